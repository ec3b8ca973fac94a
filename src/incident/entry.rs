//! What the desk writes down of a delivery: what was decided, why, and which message its alerts stand and fall with.

use jiff::Timestamp;
use uuid::Uuid;

use crate::alert::AlertGroup;
use crate::notify::rule::{Applied, Rule};
use crate::store::{Decision, Delivery, Outcome};

/// Why nobody hears of alerts whose route is empty.
const NO_CHANNEL: &str = "no channel is to hear of it, by its route or their min_severity";
/// Why nobody hears that it is over.
pub(super) const NEVER_TOLD: &str = "over before its messages were due";

/// A rule that decided, and why in a sentence.
pub(super) type Because = (Applied, String);

/// A delivery's entry in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) incident: Option<Uuid>,
    pub(super) decision: Decision,
    reason: String,
    pub(super) rules: Vec<Applied>,
    told: usize,
    outcome: Outcome,
    telling: Option<String>,
}

impl Entry {
    /// A delivery that leads to no message.
    pub(super) fn silent(incident: Option<Uuid>, decision: Decision) -> Self {
        let outcome = if decision == Decision::Suppressed { Outcome::Suppressed } else { Outcome::Merged };
        Self { incident, decision, reason: String::new(), rules: Vec::new(), told: 0, outcome, telling: None }
    }

    /// A delivery of which so many alerts are first named by this message. Without a message, no channel was to be told.
    pub(super) fn telling(incident: Uuid, decision: Decision, told: usize, telling: Option<String>) -> Self {
        let silent = Self::silent(Some(incident), decision);
        match telling {
            Some(_) => Self { told, outcome: Outcome::Pending, telling, ..silent },
            None => Self { outcome: Outcome::Suppressed, ..silent }.by(Applied::just(Rule::NoChannel), NO_CHANNEL),
        }
    }

    /// The end of what nobody was told of.
    pub(super) fn never_told(incident: Uuid, decision: Decision) -> Self {
        let silent = Self::silent(Some(incident), decision);
        Self { outcome: Outcome::Suppressed, ..silent }.by(Applied::just(Rule::OverBefore), NEVER_TOLD)
    }

    /// By which rule it was decided so, and the same in a sentence.
    pub(super) fn by(mut self, rule: Applied, reason: &str) -> Self {
        self.rules.push(rule);
        self.because(reason)
    }

    /// The same for several rules.
    pub(super) fn by_all(self, rules: impl IntoIterator<Item = Because>) -> Self {
        rules.into_iter().fold(self, |entry, (rule, reason)| entry.by(rule, &reason))
    }

    /// Why it was decided so, beside what was said before: a group can be held and not investigated as well.
    pub(super) fn because(mut self, reason: &str) -> Self {
        if !self.reason.is_empty() && !reason.is_empty() {
            self.reason.push_str("; ");
        }
        self.reason.push_str(reason);
        self
    }

    /// As the store keeps it.
    pub(super) fn delivery(&self, group: &AlertGroup, received_at: Timestamp) -> Delivery {
        Delivery {
            id: Uuid::now_v7(),
            incident: self.incident,
            received_at,
            status: group.status,
            alerts: group.alerts.len(),
            decision: self.decision,
            reason: self.reason.clone(),
            rules: self.rules.clone(),
            told: self.told.min(group.alerts.len()),
            outcome: self.outcome,
            telling: self.telling.clone(),
        }
    }
}
