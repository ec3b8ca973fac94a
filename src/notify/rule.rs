//! The rules by which deliveries are merged, held back, not told or not investigated: words every room may use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a decision was made by. A fixed set: metrics count by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The same alerts again.
    Repeat,
    /// Some alerts of the group ended while others fire on.
    SomeEnded,
    /// An alert that only says that alerting works.
    Heartbeat,
    /// The end of what never began here.
    UnknownEnd,
    /// No route leads to a channel.
    NoChannel,
    /// A channel hears of graver alerts only.
    MinSeverity,
    /// A channel waits for the end of its quiet hours.
    QuietHours,
    /// A channel collects what is not critical.
    Batch,
    /// A maintenance window is under way.
    Maintenance,
    /// The group comes and goes.
    Flapping,
    /// It was over before its messages were due.
    OverBefore,
    /// The last diagnosis still holds.
    Cooldown,
    /// Its route says that it is not investigated.
    Route,
    /// It may resolve by itself before it is investigated.
    Debounce,
    /// Another incident is investigated for the same cause.
    SameCause,
    /// More messages waited than the channel takes, and this one became a line of a summary.
    Summary,
}

impl Rule {
    /// Every rule, for metrics that start at zero.
    pub const ALL: [Self; 16] = [
        Self::Repeat,
        Self::SomeEnded,
        Self::Heartbeat,
        Self::UnknownEnd,
        Self::NoChannel,
        Self::MinSeverity,
        Self::QuietHours,
        Self::Batch,
        Self::Maintenance,
        Self::Flapping,
        Self::OverBefore,
        Self::Cooldown,
        Self::Route,
        Self::Debounce,
        Self::SameCause,
        Self::Summary,
    ];

    /// The word used in the database and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Repeat => "repeat",
            Self::SomeEnded => "some_ended",
            Self::Heartbeat => "heartbeat",
            Self::UnknownEnd => "unknown_end",
            Self::NoChannel => "no_channel",
            Self::MinSeverity => "min_severity",
            Self::QuietHours => "quiet_hours",
            Self::Batch => "batch",
            Self::Maintenance => "maintenance",
            Self::Flapping => "flapping",
            Self::OverBefore => "over_before",
            Self::Cooldown => "cooldown",
            Self::Route => "route",
            Self::Debounce => "debounce",
            Self::SameCause => "same_cause",
            Self::Summary => "summary",
        }
    }
}

/// A rule as it was applied to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Which one.
    pub rule: Rule,
    /// For how long it puts a message or an investigation off, in seconds, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

impl Applied {
    /// A rule that puts nothing off.
    #[must_use]
    pub fn just(rule: Rule) -> Self {
        Self { rule, seconds: None }
    }

    /// A rule that puts something off.
    #[must_use]
    pub fn wait(rule: Rule, wait: jiff::SignedDuration) -> Self {
        Self { rule, seconds: Some(wait.as_secs().unsigned_abs()) }
    }
}

/// As the store keeps it.
impl fmt::Display for Applied {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            Some(seconds) => write!(out, "{}={seconds}", self.rule.word()),
            None => out.write_str(self.rule.word()),
        }
    }
}

/// A word that is no rule: a later version wrote it.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no rule that this version knows")]
pub struct UnknownRule(String);

impl FromStr for Applied {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        let (word, seconds) = text.split_once('=').map_or((text, None), |(word, seconds)| (word, seconds.parse().ok()));
        let rule = Rule::ALL.into_iter().find(|rule| rule.word() == word);
        Ok(Self { rule: rule.ok_or_else(|| UnknownRule(text.to_owned()))?, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_read_as_it_was_written_and_as_the_api_says_it() {
        for rule in Rule::ALL {
            for applied in [Applied::just(rule), Applied::wait(rule, jiff::SignedDuration::from_mins(5))] {
                assert_eq!(applied.to_string().parse::<Applied>().unwrap(), applied);
            }
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.word());
        }
        assert!("of_next_year=3".parse::<Applied>().is_err());
    }
}
