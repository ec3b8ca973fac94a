//! The words every room speaks: an alert, the group it arrives in, and the Kubernetes object it is about.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Alerts of a group that began so close together began together, as people see it.
const TOGETHER: SignedDuration = SignedDuration::from_mins(1);

/// Labels or annotations: sorted, so that the same set always reads and hashes the same.
pub type Labels = BTreeMap<String, String>;

/// Whether an alert, or a group of them, still needs somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// The condition holds.
    Firing,
    /// The condition is gone.
    Resolved,
}

/// One alert as its sender described it, with the sender's quirks (zero times, null maps) already removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Firing or resolved.
    pub status: AlertStatus,
    /// Identity of the alert; `alertname`, `severity`, `namespace` and so on.
    pub labels: Labels,
    /// Text for people: `summary`, `description`, `runbook_url`.
    pub annotations: Labels,
    /// When the condition began.
    pub starts_at: Timestamp,
    /// When it ended; never set while it fires (Alertmanager sends year 1 then).
    pub ends_at: Option<Timestamp>,
    /// Link to the graph or rule that produced the alert.
    pub generator_url: Option<String>,
    /// The sender's hash of the labels, or ours when it sends none.
    pub fingerprint: String,
}

impl Alert {
    /// The alert without what its author wrote about it, which may be long: what names it.
    #[must_use]
    pub fn by_its_labels(&self) -> Self {
        Self { annotations: Labels::new(), generator_url: None, ..self.clone() }
    }

    /// The `alertname` label, or a placeholder people recognise as missing.
    #[must_use]
    pub fn name(&self) -> &str {
        self.label("alertname").unwrap_or("(no alertname)")
    }

    /// A label's value when it is present and not empty.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The sentence its author wrote for people: `summary`, else `description`, else `message`.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        ["summary", "description", "message"]
            .iter()
            .find_map(|key| self.annotations.get(*key))
            .map(String::as_str)
            .filter(|text| !text.trim().is_empty())
    }

    /// Who is responsible, as the label or else the annotation `owner` says.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        let annotated = || self.annotations.get("owner").map(String::as_str).filter(|owner| !owner.trim().is_empty());
        self.label("owner").or_else(annotated)
    }

    /// How grave it is; 0 is the gravest.
    fn rank(&self) -> u8 {
        severity_rank(self.label("severity"))
    }

    /// When it began; none where its sender puts that at zero, or ahead of the clock.
    #[must_use]
    pub fn known_start(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.starts_at).filter(|at| at.as_second() > 0 && *at <= now)
    }

    /// The rule's expression, which Prometheus (and Thanos) put into the link to their graph as `g0.expr`.
    #[must_use]
    pub fn expression(&self) -> Option<String> {
        let (_, query) = self.generator_url.as_deref()?.split_once('?')?;
        let query = query.split('#').next().unwrap_or_default();
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        let expression = pairs.find(|(key, _)| key == "g0.expr").map(|(_, value)| value.trim().to_owned());
        expression.filter(|text| !text.is_empty())
    }
}

/// What kind of sender a group came from; part of an incident's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Prometheus Alertmanager, webhook version 4.
    Alertmanager,
    /// Grafana's unified alerting, webhook version 1.
    Grafana,
    /// Nightingale's events.
    Nightingale,
    /// What was sent to PrometheusAlert before.
    PrometheusAlert,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alertmanager => "alertmanager",
            Self::Grafana => "grafana",
            Self::Nightingale => "nightingale",
            Self::PrometheusAlert => "prometheusalert",
        })
    }
}

/// One delivery: the alerts a sender groups together, and what it says about the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertGroup {
    /// Who sent it.
    pub source: Source,
    /// The sender's receiver name, unescaped.
    pub receiver: String,
    /// The sender's identity for the group: route and group labels.
    pub group_key: String,
    /// Firing when at least one alert of the group fires.
    pub status: AlertStatus,
    /// Labels the group is grouped by.
    pub group_labels: Labels,
    /// Labels all alerts of the group share.
    pub common_labels: Labels,
    /// Annotations all alerts of the group share.
    pub common_annotations: Labels,
    /// The sender's own page; shown, never fetched.
    pub external_url: Option<String>,
    /// How many alerts the sender left out (`max_alerts`).
    pub truncated_alerts: u64,
    /// Why the sender notifies now, for example `repeat interval elapsed` (Alertmanager 0.32 and newer).
    pub notification_reason: Option<String>,
    /// The alerts, never empty.
    pub alerts: Vec<Alert>,
}

impl AlertGroup {
    /// A group Firstlook makes itself, for a message or a question that no sender stands behind; it fires, and what
    /// only a sender can say is empty.
    #[must_use]
    pub fn unsent(alerts: Vec<Alert>) -> Self {
        Self {
            source: Source::Alertmanager,
            receiver: "firstlook".to_owned(),
            group_key: String::new(),
            status: AlertStatus::Firing,
            group_labels: Labels::new(),
            common_labels: Labels::new(),
            common_annotations: Labels::new(),
            external_url: None,
            truncated_alerts: 0,
            notification_reason: None,
            alerts,
        }
    }

    /// When the alert that leads began. What senders put at zero, or ahead of the clock, began when they told us.
    #[must_use]
    pub fn began(&self, told: Timestamp, now: Timestamp) -> Timestamp {
        self.leading().and_then(|alert| alert.known_start(now)).unwrap_or(told)
    }

    /// When the oldest of the alerts began that fire (of all, when none does), where that was well before the one that
    /// leads.
    #[must_use]
    pub fn oldest(&self, told: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let status = self.leading()?.status;
        let known = self.alerts.iter().filter(|alert| alert.status == status);
        let oldest = known.filter_map(|alert| alert.known_start(now)).min()?;
        Some(oldest).filter(|at| self.began(told, now).duration_since(*at) >= TOGETHER)
    }

    /// When the condition was over, as its sender says; when we were told, where it does not.
    #[must_use]
    pub fn ended(&self, told: Timestamp) -> Timestamp {
        self.alerts.iter().filter_map(|alert| alert.ends_at).max().unwrap_or(told)
    }

    /// The alerts that fire.
    pub fn firing(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing)
    }

    /// The alert that stands for the group, in titles and wherever one is named for all: the gravest that fires, the first
    /// among equals; when none fires any more, the gravest of those that are over, the last to end among equals.
    #[must_use]
    pub fn leading(&self) -> Option<&Alert> {
        let over = || self.alerts.iter().min_by_key(|alert| (alert.rank(), Reverse(alert.ends_at)));
        self.firing().min_by_key(|alert| alert.rank()).or_else(over)
    }

    /// The gravest severity of the group's alerts, of those that are over too, as its sender spells it.
    #[must_use]
    pub fn gravest(&self) -> Option<&str> {
        self.alerts.iter().min_by_key(|alert| alert.rank())?.label("severity")
    }

    /// Whether alerts of the group may fire that this delivery does not list: Alertmanager cuts by `max_alerts`,
    /// Nightingale sends each event alone. Such a delivery resolves only what it names.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.truncated_alerts > 0 || self.source == Source::Nightingale
    }
}

/// Orders the severities people use, gravest first; what is unknown ranks between `warning` and `info`.
#[must_use]
pub fn severity_rank(severity: Option<&str>) -> u8 {
    // No longer word is known, and a label may be megabytes long.
    match severity.filter(|said| said.len() <= 16).map(str::to_ascii_lowercase).as_deref() {
        Some("critical" | "page" | "emergency" | "fatal" | "disaster" | "p0") => 0,
        Some("error" | "high" | "major" | "p1") => 1,
        Some("warning" | "warn" | "medium" | "p2") => 2,
        Some("info" | "notice" | "none" | "low" | "p3" | "p4") => 4,
        _ => 3,
    }
}

/// A Kubernetes object by kind, namespace (empty for cluster-scoped kinds) and name.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    Default,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
pub struct ObjectRef {
    /// CamelCase kind, for example `Deployment`.
    pub kind: String,
    /// Namespace, empty for cluster-scoped kinds.
    #[serde(default)]
    pub namespace: String,
    /// Object name.
    pub name: String,
}

impl ObjectRef {
    /// Names an object; pass an empty namespace for cluster-scoped kinds.
    pub fn new(kind: impl Into<String>, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// A Pod's name without what its owners made up: an ordinal or five characters, and the hash of a ReplicaSet before them.
#[must_use]
pub fn stem(pod: &str) -> &str {
    let made_up = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_digit() || (byte.is_ascii_lowercase() && !b"aeiou".contains(&byte)))
    };
    let cut = |name: &'_ str, sizes: std::ops::RangeInclusive<usize>| {
        let (rest, last) = name.rsplit_once('-')?;
        (sizes.contains(&last.len()) && made_up(last)).then_some(rest.len())
    };
    let Some(length) = cut(pod, 1..=5) else { return pod };
    let name = &pod[..length];
    cut(name, 6..=10).map_or(name, |length| &name[..length])
}

/// The language people read: of prompts, cards, mails and pages.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, clap::ValueEnum, schemars::JsonSchema,
)]
pub enum Lang {
    /// Simplified Chinese.
    #[default]
    #[serde(rename = "zh-CN", alias = "zh")]
    #[value(name = "zh-CN", alias = "zh", alias = "zh-cn")]
    Zh,
    /// English.
    #[serde(rename = "en", alias = "en-US")]
    #[value(name = "en")]
    En,
}

impl Lang {
    /// The one of two texts that is in this language.
    #[must_use]
    pub fn pick<T>(self, zh: T, en: T) -> T {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }

    /// The tag used in configuration, folder names and HTML.
    #[must_use]
    pub fn tag(self) -> &'static str {
        self.pick("zh-CN", "en")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked(url: Option<&str>) -> Option<String> {
        let alert = Alert {
            status: AlertStatus::Firing,
            labels: Labels::new(),
            annotations: Labels::new(),
            starts_at: Timestamp::UNIX_EPOCH,
            ends_at: None,
            generator_url: url.map(str::to_owned),
            fingerprint: String::new(),
        };
        alert.expression()
    }

    /// Alerts by severity, start and end.
    fn group(alerts: &[(&str, i64, Option<i64>)]) -> AlertGroup {
        let at = |second: i64| Timestamp::constant(1_790_000_000 + second, 0);
        let alert = |(severity, start, end): &(&str, i64, Option<i64>)| Alert {
            status: if end.is_some() { AlertStatus::Resolved } else { AlertStatus::Firing },
            labels: [("severity".to_owned(), (*severity).to_owned())].into(),
            annotations: Labels::new(),
            starts_at: at(*start),
            ends_at: end.map(at),
            generator_url: None,
            fingerprint: format!("{severity}-{start}"),
        };
        AlertGroup::unsent(alerts.iter().map(alert).collect())
    }

    fn leader(alerts: &[(&str, i64, Option<i64>)]) -> String {
        group(alerts).leading().unwrap().fingerprint.clone()
    }

    #[test]
    fn the_gravest_that_fires_leads_and_when_none_does_the_gravest_that_ended_last() {
        assert_eq!(leader(&[("warning", 0, None), ("critical", 1, None), ("critical", 2, None)]), "critical-1");
        assert_eq!(leader(&[("warning", 0, None), ("critical", 1, Some(9))]), "warning-0");
        assert_eq!(
            leader(&[("warning", 0, Some(20)), ("critical", 1, Some(9)), ("critical", 2, Some(10))]),
            "critical-2"
        );
        assert_eq!(
            leader(&[("critical", 1, Some(9)), ("critical", 2, Some(9))]),
            "critical-1",
            "the first among equals"
        );
        assert_eq!(group(&[("warning", 0, None), ("Critical", 1, Some(9))]).gravest(), Some("Critical"));
        assert!(group(&[]).leading().is_none() && group(&[]).gravest().is_none());
    }

    #[test]
    fn the_start_is_the_leading_alerts_own_and_a_much_older_one_is_told_apart() {
        let at = |second: i64| Timestamp::constant(1_790_000_000 + second, 0);
        let seen = |alerts: &[(&str, i64, Option<i64>)]| {
            let group = group(alerts);
            (group.began(at(7_000), at(9_000)), group.oldest(at(7_000), at(9_000)))
        };
        assert_eq!(seen(&[("warning", 0, None), ("critical", 500, None)]), (at(500), Some(at(0))));
        assert_eq!(seen(&[("warning", 460, None), ("critical", 500, None)]), (at(500), None), "seconds are noise");
        assert_eq!(seen(&[("warning", 0, Some(9)), ("critical", 500, None)]), (at(500), None), "it does not fire");
        assert_eq!(seen(&[("warning", 0, Some(9)), ("critical", 500, Some(9))]), (at(500), Some(at(0))));
        assert_eq!(
            seen(&[("warning", 0, None), ("critical", 9_500, None)]),
            (at(7_000), Some(at(0))),
            "ahead of the clock"
        );
    }

    #[test]
    fn the_expression_is_read_from_the_link_to_the_graph() {
        let url = "http://prometheus:9090/graph?g0.expr=up%7Bjob%3D%22api%22%7D+%3D%3D+0&g0.tab=1";
        assert_eq!(linked(Some(url)).as_deref(), Some("up{job=\"api\"} == 0"));
        assert_eq!(linked(Some("https://grafana/alerting/x/view?orgId=1")), None, "Grafana names no expression");
        assert_eq!(linked(Some("http://prometheus/graph?g0.expr=")), None);
        assert_eq!(linked(None), None);
    }
}
