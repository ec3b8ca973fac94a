//! What the desk writes down of a delivery: what was decided, why, and which message its alerts stand and fall with.

use jiff::Timestamp;
use uuid::Uuid;

use super::decide;
use crate::alert::{Alert, AlertGroup, AlertStatus};
use crate::notify::rule::{Applied, Rule};
use crate::notify::story::labelled_object;
use crate::notify::text;
use crate::store::{Changes, Decision, Delivery, Incident, Named, Outcome};

/// Why nobody hears of alerts whose route is empty.
const NO_CHANNEL: &str = "no channel is to hear of it, by its route or their min_severity";
/// Why nobody hears that it is over.
pub(super) const NEVER_TOLD: &str = "over before its messages were due";

/// Alerts of a delivery that are named; more are counted.
const NAMED: usize = 3;

/// A rule that decided, and why in a sentence.
pub(super) type Because = (Applied, String);

/// A delivery's entry in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) incident: Option<Uuid>,
    pub(super) decision: Decision,
    reason: String,
    pub(super) rules: Vec<Applied>,
    changes: Changes,
    told: usize,
    outcome: Outcome,
    telling: Option<String>,
}

impl Entry {
    /// A delivery that leads to no message.
    pub(super) fn silent(incident: Option<Uuid>, decision: Decision) -> Self {
        let outcome = if decision == Decision::Suppressed { Outcome::Suppressed } else { Outcome::Merged };
        let (reason, rules, changes) = Default::default();
        Self { incident, decision, reason, rules, changes, told: 0, outcome, telling: None }
    }

    /// A delivery of an open group of which nobody is told: it brings nothing new, or ends some alerts while others fire on.
    pub(super) fn merged(open: &Incident, group: &AlertGroup) -> Self {
        let silent = Self::silent(Some(open.id), Decision::Merged);
        let ended = named(decide::ended(&open.group, group));
        if !ended.is_empty() {
            let reason = format!("{} ended; others of the group still fire", in_words(&ended));
            let changes = Changes { ended, ..Changes::default() };
            return silent.by(Applied::just(Rule::SomeEnded), &reason).changing(changes);
        }
        let again = group.notification_reason.as_deref().unwrap_or("the same alerts again");
        let is_over = group.status == AlertStatus::Resolved;
        let reason = if is_over { "its sender's alerts are over; others of the group still fire" } else { again };
        silent.by(Applied::just(Rule::Repeat), reason)
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

    /// What it changed about its group.
    pub(super) fn changing(self, changes: Changes) -> Self {
        Self { changes, ..self }
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
            changes: self.changes.clone(),
            told: self.told.min(group.alerts.len()),
            outcome: self.outcome,
            telling: self.telling.clone(),
        }
    }
}

/// Alerts by name and object, each once; a few of them.
pub(super) fn named<'a>(alerts: impl IntoIterator<Item = &'a Alert>) -> Named {
    let (mut names, mut all) = (Vec::new(), 0);
    for alert in alerts {
        all += 1;
        let object = labelled_object(alert).map(|object| format!(" · {object}")).unwrap_or_default();
        let name = text::line(&format!("{}{object}", alert.name()), 160);
        if names.len() < NAMED && !names.contains(&name) {
            names.push(name);
        }
    }
    Named { more: all - names.len(), alerts: names }
}

/// The same in a sentence.
pub(super) fn in_words(named: &Named) -> String {
    let more = if named.more > 0 { format!(" and {} more", named.more) } else { String::new() };
    format!("{}{more}", named.alerts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_alerts_are_named_each_once_and_the_rest_counted() {
        let alert = |name: &str| Alert {
            status: AlertStatus::Firing,
            labels: [("alertname", "PodNotReady"), ("namespace", "shop"), ("pod", name)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            annotations: Default::default(),
            starts_at: Timestamp::UNIX_EPOCH,
            ends_at: None,
            generator_url: None,
            fingerprint: name.to_owned(),
        };
        let pods = ["a", "a", "b"].map(alert);
        assert_eq!(in_words(&named(&pods[..1])), "PodNotReady · Pod shop/a");
        assert_eq!(in_words(&named(&pods)), "PodNotReady · Pod shop/a, PodNotReady · Pod shop/b and 1 more");
        let many = ["a", "b", "c", "d", "e"].map(alert);
        assert_eq!((named(&many).alerts.len(), named(&many).more), (3, 2));
        assert!(named([]).is_empty());
    }
}
