//! What a run may spend, and a clock that knows when the next turn must be the last.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use tokio::time::Instant;

use super::Stop;

/// Bounds of one run; the same words as under `triage:` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
}

impl Default for Budget {
    /// An alert's budget: most are answered in two or three turns and half a minute.
    fn default() -> Self {
        Self { deadline: SignedDuration::from_secs(180), max_turns: 12, max_tool_calls: 24, max_parallel: 4 }
    }
}

/// What has been spent of a budget. Time is monotonic: a clock that is set back must not prolong a run.
#[derive(Debug)]
pub(super) struct Clock {
    deadline: Instant,
    turns_left: u32,
    calls_left: u32,
    slowest_turn: Duration,
}

impl Clock {
    pub(super) fn start(budget: &Budget) -> Self {
        Self {
            deadline: Instant::now() + Duration::try_from(budget.deadline).unwrap_or_default(),
            turns_left: budget.max_turns,
            calls_left: budget.max_tool_calls,
            slowest_turn: Duration::ZERO,
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

    /// Notes a turn and how long it took, its tool calls included.
    pub(super) fn note_turn(&mut self, took: Duration) {
        self.turns_left = self.turns_left.saturating_sub(1);
        self.slowest_turn = self.slowest_turn.max(took);
    }

    /// The budget that is used up, if any.
    pub(super) fn exhausted(&self) -> Option<Stop> {
        if self.turns_left == 0 {
            return Some(Stop::MaxTurns);
        }
        self.is_late().then_some(Stop::Deadline)
    }

    /// Whether the time is over.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// The budget of which too little is left for two more turns, one to look and one to answer.
    pub(super) fn short_of(&self) -> Option<Stop> {
        if self.turns_left < 2 {
            return Some(Stop::MaxTurns);
        }
        if self.calls_left == 0 {
            return Some(Stop::MaxToolCalls);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        (left < self.slowest_turn * 2).then_some(Stop::Deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(clock.short_of(), None);
        assert!(clock.take_call());
        assert!(!clock.take_call(), "there was only one");
        assert_eq!(clock.short_of(), Some(Stop::MaxToolCalls));
        clock.note_turn(Duration::from_secs(1));
        clock.note_turn(Duration::from_secs(1));
        assert_eq!(clock.short_of(), Some(Stop::MaxTurns));
        assert_eq!(clock.exhausted(), None);
        clock.note_turn(Duration::from_secs(1));
        assert_eq!(clock.exhausted(), Some(Stop::MaxTurns));
    }

    #[test]
    fn a_slow_model_is_asked_to_answer_while_there_is_time() {
        let mut clock = Clock::start(&Budget { deadline: SignedDuration::from_secs(100), ..Budget::default() });
        clock.note_turn(Duration::from_secs(40));
        assert_eq!(clock.short_of(), None);
        clock.note_turn(Duration::from_secs(51));
        assert_eq!(clock.short_of(), Some(Stop::Deadline));
    }

    #[test]
    fn a_negative_deadline_is_none_at_all() {
        let clock = Clock::start(&Budget { deadline: SignedDuration::from_secs(-5), ..Budget::default() });
        assert_eq!(clock.exhausted(), Some(Stop::Deadline));
    }
}
