//! What a run may spend, and a clock that knows when the next turn must be the last.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use tokio::time::Instant;

use super::Stop;

/// Bounds of one run; the same words as under `triage:` in the configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Wall-clock time, for example `180s`.
    pub deadline: SignedDuration,
    /// Answers of the model.
    pub max_turns: u32,
    /// Executed tool calls.
    pub max_tool_calls: u32,
    /// Tool calls at the same time.
    pub max_parallel: usize,
    /// Tokens of all turns, questions and answers together. The last answer may pass it, a question never does.
    pub max_tokens: u64,
    /// Money for all turns, in the currency of the models' prices; no bound where it is left out.
    pub max_cost: Option<f64>,
}

impl Default for Budget {
    /// An alert's budget: most are answered in two or three turns and half a minute.
    fn default() -> Self {
        Self {
            deadline: SignedDuration::from_secs(180),
            max_turns: 12,
            max_tool_calls: 24,
            max_parallel: 4,
            max_tokens: 200_000,
            max_cost: None,
        }
    }
}

/// What one turn took, its tool calls included, or what the next question alone will take.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Price {
    pub(super) took: Duration,
    pub(super) tokens: u64,
    pub(super) cost: f64,
}

impl Price {
    /// The larger of both in every respect.
    fn max(self, other: Self) -> Self {
        Self { took: self.took.max(other.took), tokens: self.tokens.max(other.tokens), cost: self.cost.max(other.cost) }
    }
}

/// What has been spent of a budget. Time is monotonic: a clock that is set back must not prolong a run.
#[derive(Debug)]
pub(super) struct Clock {
    deadline: Instant,
    turns_left: u32,
    calls_left: u32,
    tokens_left: u64,
    money_left: f64,
    /// The most a turn took so far, in every respect.
    dearest: Price,
}

impl Clock {
    pub(super) fn start(budget: &Budget) -> Self {
        Self {
            deadline: Instant::now() + Duration::try_from(budget.deadline).unwrap_or_default(),
            turns_left: budget.max_turns,
            calls_left: budget.max_tool_calls,
            tokens_left: budget.max_tokens,
            money_left: budget.max_cost.unwrap_or(f64::INFINITY),
            dearest: Price::default(),
        }
    }

    /// When everything must be over.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When tool calls must be over: half of what is left stays for the answer.
    pub(super) fn tools_deadline(&self) -> Instant {
        let now = Instant::now();
        now + self.deadline.saturating_duration_since(now) / 2
    }

    /// Takes one executed tool call out of the budget, if there is one left.
    pub(super) fn take_call(&mut self) -> bool {
        let taken = self.calls_left.checked_sub(1);
        self.calls_left = taken.unwrap_or_default();
        taken.is_some()
    }

    /// Notes a turn and what it took.
    pub(super) fn note_turn(&mut self, turn: Price) {
        self.turns_left = self.turns_left.saturating_sub(1);
        self.tokens_left = self.tokens_left.saturating_sub(turn.tokens);
        self.money_left -= turn.cost;
        self.dearest = self.dearest.max(turn);
    }

    /// The budget that is used up, if any.
    pub(super) fn exhausted(&self) -> Option<Stop> {
        if self.turns_left == 0 {
            return Some(Stop::MaxTurns);
        }
        if self.is_late() {
            return Some(Stop::Deadline);
        }
        self.cannot_ask(Price::default())
    }

    /// Whether the time is over.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// The budget that does not carry even this question.
    pub(super) fn cannot_ask(&self, question: Price) -> Option<Stop> {
        if self.tokens_left == 0 || self.tokens_left < question.tokens {
            return Some(Stop::MaxTokens);
        }
        (self.money_left <= 0.0 || self.money_left < question.cost).then_some(Stop::MaxCost)
    }

    /// The budget of which too little is left for two more turns, one to look and one to answer. They take as much as
    /// the dearest before, and at least the next question each: a conversation only grows.
    pub(super) fn short_of(&self, question: Price) -> Option<Stop> {
        if self.turns_left < 2 {
            return Some(Stop::MaxTurns);
        }
        if self.calls_left == 0 {
            return Some(Stop::MaxToolCalls);
        }
        let next = self.dearest.max(question);
        if self.tokens_left < next.tokens.saturating_mul(2) {
            return Some(Stop::MaxTokens);
        }
        if self.money_left < next.cost * 2.0 {
            return Some(Stop::MaxCost);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        (left < next.took * 2).then_some(Stop::Deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Price = Price { took: Duration::ZERO, tokens: 0, cost: 0.0 };

    fn seconds(seconds: u64) -> Price {
        Price { took: Duration::from_secs(seconds), ..NOTHING }
    }

    fn tokens(tokens: u64) -> Price {
        Price { tokens, ..NOTHING }
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        let budget: Budget = yaml_serde::from_str("{ deadline: 2m 30s, max_turns: 5 }").unwrap();
        assert_eq!(budget.deadline, SignedDuration::from_secs(150));
        assert_eq!((budget.max_turns, budget.max_tool_calls), (5, 24));
        assert!(yaml_serde::from_str::<Budget>("{ max_turn: 5 }").is_err());
    }

    #[test]
    fn the_last_turn_is_called_before_the_budget_is_gone() {
        let budget = Budget { max_turns: 3, max_tool_calls: 1, ..Budget::default() };
        let mut clock = Clock::start(&budget);
        assert_eq!(clock.short_of(NOTHING), None);
        assert!(clock.take_call());
        assert!(!clock.take_call(), "there was only one");
        assert_eq!(clock.short_of(NOTHING), Some(Stop::MaxToolCalls));
        clock.note_turn(seconds(1));
        clock.note_turn(seconds(1));
        assert_eq!(clock.short_of(NOTHING), Some(Stop::MaxTurns));
        assert_eq!(clock.exhausted(), None);
        clock.note_turn(seconds(1));
        assert_eq!(clock.exhausted(), Some(Stop::MaxTurns));
    }

    #[test]
    fn a_slow_model_is_asked_to_answer_while_there_is_time() {
        let mut clock = Clock::start(&Budget { deadline: SignedDuration::from_secs(100), ..Budget::default() });
        clock.note_turn(seconds(40));
        assert_eq!(clock.short_of(NOTHING), None);
        clock.note_turn(seconds(51));
        assert_eq!(clock.short_of(NOTHING), Some(Stop::Deadline));
    }

    #[test]
    fn tokens_must_carry_two_more_turns_and_the_last_question() {
        let mut clock = Clock::start(&Budget { max_tokens: 1_000, ..Budget::default() });
        assert_eq!(clock.short_of(tokens(501)), Some(Stop::MaxTokens), "known before the first turn");
        assert_eq!(clock.short_of(tokens(500)), None);
        clock.note_turn(tokens(400));
        assert_eq!(clock.short_of(tokens(10)), Some(Stop::MaxTokens), "600 do not carry twice 400");
        assert_eq!((clock.cannot_ask(tokens(600)), clock.exhausted()), (None, None));
        assert_eq!(clock.cannot_ask(tokens(601)), Some(Stop::MaxTokens));
        clock.note_turn(tokens(700));
        assert_eq!(clock.exhausted(), Some(Stop::MaxTokens));
    }

    #[test]
    fn money_is_a_bound_only_where_one_is_set() {
        let price = |cost| Price { cost, ..NOTHING };
        let mut free = Clock::start(&Budget::default());
        free.note_turn(price(1e9));
        assert_eq!((free.short_of(NOTHING), free.exhausted()), (None, None));

        let mut clock = Clock::start(&Budget { max_cost: Some(1.0), ..Budget::default() });
        clock.note_turn(price(0.3));
        assert_eq!(clock.short_of(NOTHING), None);
        clock.note_turn(price(0.3));
        assert_eq!(clock.short_of(NOTHING), Some(Stop::MaxCost));
        assert_eq!(clock.cannot_ask(price(0.5)), Some(Stop::MaxCost));
        clock.note_turn(price(0.4));
        assert_eq!(clock.exhausted(), Some(Stop::MaxCost));
    }

    #[test]
    fn a_negative_deadline_is_none_at_all() {
        let clock = Clock::start(&Budget { deadline: SignedDuration::from_secs(-5), ..Budget::default() });
        assert_eq!(clock.exhausted(), Some(Stop::Deadline));
    }
}
