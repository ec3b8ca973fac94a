//! What the configuration says of incidents: where they go, and when.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::hold::{self, Flapping, Maintenance};
use super::routes::{self, Route, Routed, When};
use crate::alert::{Alert, AlertGroup, Lang, Source, severity_rank};
use crate::notify::batch;
use crate::notify::delivery::Delivery;
use crate::notify::pass::Passes;
use crate::notify::people::People;
use crate::notify::rule::Rule;

/// What the desk needs to know of the configuration.
#[derive(Debug, Clone, Default)]
pub struct DeskSettings {
    /// Language of messages.
    pub lang: Lang,
    /// IANA zone of the times in messages.
    pub timezone: String,
    /// Where this service's pages are reached, without a trailing slash.
    pub public_url: Option<String>,
    /// What links to pages carry, so that they open without a login; none: they need one, or nobody does.
    pub passes: Option<Passes>,
    /// Where people reach Alertmanager: silences are linked there.
    pub alertmanager_url: Option<String>,
    /// What people are called whom a platform knows by ids.
    pub people: People,
    /// Routes, in order.
    pub routes: Vec<Route>,
    /// Channels of the receivers of `server.prometheusalert`, in place of those of the routes.
    pub receivers: HashMap<String, Vec<String>>,
    /// Names of all channels.
    pub channels: Vec<String>,
    /// Of these, those where an incident is one message, changed in place.
    pub in_place: Vec<String>,
    /// The label by which alerts name their cluster: one cluster's Alertmanager does not end another's alerts.
    pub cluster_label: String,
    /// What every first message lacks, known before any alert came (no MCP server, no model).
    pub missing: Vec<String>,
    /// How many messages may wait to be delivered; zero: any number.
    pub max_waiting: u64,
    /// Whether anything can be investigated at all.
    pub investigates: bool,
    /// How long a diagnosis is trusted when the same alerts fire again after they resolved; zero: never.
    pub cooldown: SignedDuration,
    /// How long alerts that are not critical may resolve by themselves before they are investigated.
    pub debounce: SignedDuration,
    /// What channels are told, and when; a channel without an entry is told everything at once.
    pub deliveries: HashMap<String, Delivery>,
    /// How long a channel's messages about what is not critical wait for each other; a channel without an entry: not.
    pub batches: HashMap<String, SignedDuration>,
    /// Times in which alerts wait.
    pub maintenance: Vec<Maintenance>,
    /// When a group that comes and goes waits.
    pub flapping: Flapping,
}

impl DeskSettings {
    /// Where a group goes, and whether it is investigated.
    #[must_use]
    pub fn routed(&self, group: &AlertGroup) -> Routed {
        let own = self.receivers.get(&group.receiver).filter(|_| group.source == Source::PrometheusAlert);
        let mut routed = match own {
            Some(channels) => Routed { channels: channels.clone(), ..Routed::default() },
            None => routes::route(&self.routes, &self.channels, group),
        };
        let hears = |channel: &String| self.deliveries.get(channel).is_none_or(|rule| rule.hears(severity(group)));
        (routed.channels, routed.too_mild) = routed.channels.into_iter().partition(hears);
        routed
    }

    /// Whether an alert is a reason to look at a group once more: its route does not say that it is only told then.
    #[must_use]
    pub fn is_looked_into(&self, alert: &Alert) -> bool {
        let triage = routes::route_one(&self.routes, &self.channels, alert).triage;
        !matches!(triage, Some(When::Never | When::OnFirst))
    }

    /// When a channel is told of a group that could be told at this moment.
    #[must_use]
    pub fn due(&self, channel: &str, group: &AlertGroup, at: Timestamp) -> Timestamp {
        self.waits(channel, group, at).last().map_or(at, |(_, until)| *until)
    }

    /// The rules by which a channel waits with a group that could be told at this moment, and until when, in their order.
    #[must_use]
    pub fn waits(&self, channel: &str, group: &AlertGroup, at: Timestamp) -> Vec<(Rule, Timestamp)> {
        let mut waits = Vec::new();
        if let Some(rule) = self.deliveries.get(channel).filter(|rule| rule.quiet_hours.is_some()) {
            let until = rule.due(severity(group), at, &self.zone());
            waits.extend((until > at).then_some((Rule::QuietHours, until)));
        }
        let begin = waits.last().map_or(at, |(_, until)| *until);
        let window = self.batches.get(channel).filter(|_| severity_rank(severity(group)) > 0);
        waits.extend(window.map(|window| (Rule::Batch, batch::end(begin, *window))));
        waits
    }

    /// The maintenance window that holds a group at this moment, and when it ends.
    #[must_use]
    pub fn maintained(&self, group: &AlertGroup, now: Timestamp) -> Option<(&str, Timestamp)> {
        hold::maintained(group, &self.maintenance, now, &self.zone())
    }

    /// The zone of quiet hours and maintenance; UTC when the name is not known.
    pub(super) fn zone(&self) -> TimeZone {
        TimeZone::get(&self.timezone).unwrap_or(TimeZone::UTC)
    }
}

/// The severity of the gravest alert.
pub(super) fn severity(group: &AlertGroup) -> Option<&str> {
    group.leading()?.label("severity")
}
