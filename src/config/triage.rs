//! Settings of `triage:`: how long and how hard an alert is looked at.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::agent::Budget;
use crate::incident::hold::Flapping;
use crate::model::DailyLimits;

/// What is said of a daily limit under which no model could ever be asked.
pub(super) const NO_LIMIT: &str = "must be more than 0; leave it out for no limit";

/// The bounds of every investigation. All of them always hold.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TriageSettings {
    /// Wall-clock time of one investigation. People wait for it: three minutes.
    pub deadline: SignedDuration,
    /// Turns of the model. Most incidents need one or two, since the playbook has looked before.
    pub max_turns: u32,
    /// Tool calls of the model over all turns.
    pub max_tool_calls: u32,
    /// Tool calls at the same time within one investigation.
    pub max_parallel: usize,
    /// Tokens of the model over all turns, questions and answers together.
    pub max_tokens: u64,
    /// Money for the model over all turns, in the currency of the models' prices; left out: no bound.
    pub max_cost: Option<f64>,
    /// What all models together may use up in a day; then the playbook answers alone.
    pub daily: DailyLimits,
    /// Investigations at the same time.
    pub concurrency: usize,
    /// How long a diagnosis is trusted when the same alerts fire again after they resolved: the first message then
    /// carries it and nothing is investigated. So long, too, other incidents with the same cause follow the first one
    /// instead of asking a model themselves. 0s: never.
    pub cooldown: SignedDuration,
    /// How long alerts that are not critical may resolve by themselves before they are investigated; the first message
    /// never waits for it, and goes without the playbook's findings then. 0s: not at all.
    pub debounce: SignedDuration,
    /// The label by which alerts name their cluster, for `mcp[].clusters`; where the Alertmanagers of several clusters send
    /// the same group, none of them ends the alerts of another.
    pub cluster_label: String,
    /// Groups that fire and resolve again and again are told once they stay; critical ones each time.
    pub flapping: Flapping,
}

impl Default for TriageSettings {
    fn default() -> Self {
        Self {
            deadline: SignedDuration::from_secs(180),
            max_turns: 12,
            max_tool_calls: 24,
            max_parallel: 4,
            max_tokens: 200_000,
            max_cost: None,
            daily: DailyLimits::default(),
            concurrency: 8,
            cooldown: SignedDuration::from_mins(10),
            debounce: SignedDuration::ZERO,
            cluster_label: "cluster".to_owned(),
            flapping: Flapping::default(),
        }
    }
}

impl TriageSettings {
    /// What one investigation may spend.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget {
            deadline: self.deadline,
            max_turns: self.max_turns,
            max_tool_calls: self.max_tool_calls,
            max_parallel: self.max_parallel,
            max_tokens: self.max_tokens,
            max_cost: self.max_cost,
        }
    }

    /// The keys with values outside of what makes sense, and what does.
    pub(super) fn out_of_range(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let (shortest, longest) = (SignedDuration::from_secs(5), SignedDuration::from_hours(1));
        if !(shortest..=longest).contains(&self.deadline) {
            wrong.push(("deadline", "must be between 5s and 1h; 180s is a good value".to_owned()));
        }
        if !(SignedDuration::ZERO..=SignedDuration::from_hours(24)).contains(&self.cooldown) {
            wrong.push(("cooldown", "must be between 0s (never) and 24h; 10m is a good value".to_owned()));
        }
        let hour = SignedDuration::ZERO..=SignedDuration::from_hours(1);
        if !hour.contains(&self.debounce) {
            wrong.push(("debounce", "must be between 0s (not at all) and 1h; 30s is a good value".to_owned()));
        }
        if self.flapping.within.is_negative() || !hour.contains(&self.flapping.hold) {
            wrong.push(("flapping", "within must not be negative, and hold be between 0s and 1h".to_owned()));
        }
        let mut check = |key, value: usize, most: usize| {
            if !(1..=most).contains(&value) {
                wrong.push((key, format!("must be between 1 and {most}")));
            }
        };
        check("max_turns", self.max_turns as usize, 100);
        check("max_tool_calls", self.max_tool_calls as usize, 500);
        check("max_parallel", self.max_parallel, 64);
        check("concurrency", self.concurrency, 256);
        if !(1_000..=100_000_000).contains(&self.max_tokens) {
            wrong.push(("max_tokens", "must be between 1000 and 100000000; 200000 is a good value".to_owned()));
        }
        if self.max_cost.is_some_and(|most| !(most > 0.0 && most.is_finite())) {
            wrong.push(("max_cost", "must be more than 0; leave it out for no bound".to_owned()));
        }
        match self.daily.senseless() {
            Some("tokens") => wrong.push(("daily.tokens", NO_LIMIT.to_owned())),
            Some(_) => wrong.push(("daily.cost", NO_LIMIT.to_owned())),
            None => {}
        }
        wrong
    }
}
