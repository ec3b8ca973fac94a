//! The senders' JSON as it is: lenient about what is missing or null, strict about types and repeated keys.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;

use crate::alert::Labels;

/// Alerts kept in memory while the rest of a list is only counted: no configured limit can be higher.
pub(super) const KEEP_ALERTS: usize = 20_000;
/// Entries kept of one map while the rest is only counted: no configured limit can be higher.
pub(super) const KEEP_ENTRIES: usize = 2_000;

/// The top of the body. Every key may be missing or null; what is required is checked by name afterwards.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body {
    pub(super) version: Option<String>,
    pub(super) group_key: Option<String>,
    pub(super) truncated_alerts: Option<u64>,
    pub(super) receiver: Option<String>,
    #[serde(default)]
    pub(super) group_labels: Map,
    #[serde(default)]
    pub(super) common_labels: Map,
    #[serde(default)]
    pub(super) common_annotations: Map,
    #[serde(rename = "externalURL")]
    pub(super) external_url: Option<String>,
    #[serde(rename = "notification_reason")]
    pub(super) notification_reason: Option<String>,
    pub(super) alerts: Option<Alerts<WireAlert>>,
}

/// One alert of the body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireAlert {
    pub(super) status: Option<Status>,
    #[serde(default)]
    pub(super) labels: Map,
    #[serde(default)]
    pub(super) annotations: Map,
    pub(super) starts_at: Option<Time>,
    pub(super) ends_at: Option<Time>,
    #[serde(rename = "generatorURL")]
    pub(super) generator_url: Option<String>,
    pub(super) fingerprint: Option<String>,
    // Grafana's alone. Whatever type they have, no alert is lost for them.
    #[serde(rename = "dashboardURL")]
    pub(super) dashboard_url: Option<Value>,
    #[serde(rename = "panelURL")]
    pub(super) panel_url: Option<Value>,
    #[serde(rename = "silenceURL")]
    pub(super) silence_url: Option<Value>,
    #[serde(rename = "imageURL")]
    pub(super) image_url: Option<Value>,
    pub(super) value_string: Option<Value>,
    pub(super) values: Option<Value>,
}

/// `firing` or `resolved`, in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Firing,
    Resolved,
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        match word.to_ascii_lowercase().as_str() {
            "firing" => Ok(Self::Firing),
            "resolved" => Ok(Self::Resolved),
            _ => Err(D::Error::custom("the status is neither \"firing\" nor \"resolved\"")),
        }
    }
}

/// An RFC 3339 time with any offset; Go's zero time and the empty text mean "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Option<jiff::Timestamp>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let time: jiff::Timestamp = text
            .parse()
            .map_err(|_| D::Error::custom("not an RFC 3339 time such as \"2026-11-23T01:00:00.5Z\" or \"…+08:00\""))?;
        Ok(Self((time > jiff::Timestamp::UNIX_EPOCH).then_some(time)))
    }
}

/// A set of labels or annotations, `null` being the empty one. A name that stands twice is refused: which one counts
/// would differ from sender to sender.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub(super) entries: Labels,
    pub(super) found: usize,
}

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MapVisitor)
    }
}

struct MapVisitor;

impl<'de> Visitor<'de> for MapVisitor {
    type Value = Map;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Map, E> {
        Ok(Map::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Map, A::Error> {
        let mut entries = BTreeMap::new();
        let mut found = 0;
        while let Some(name) = access.next_key::<String>()? {
            found += 1;
            if entries.len() >= KEEP_ENTRIES {
                access.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = access.next_value::<Option<String>>()?.unwrap_or_default();
            if entries.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice in this object"));
            }
        }
        Ok(Map { entries, found })
    }
}

/// A list of alerts, in bounded memory.
#[derive(Debug)]
pub(super) struct Alerts<T> {
    pub(super) list: Vec<T>,
    pub(super) found: usize,
}

impl<T> Default for Alerts<T> {
    fn default() -> Self {
        Self { list: Vec::new(), found: 0 }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Alerts<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AlertsVisitor(PhantomData))
    }
}

struct AlertsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AlertsVisitor<T> {
    type Value = Alerts<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of alerts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Alerts<T>, A::Error> {
        let mut alerts = Alerts::default();
        loop {
            if alerts.list.len() < KEEP_ALERTS {
                let Some(alert) = access.next_element()? else { return Ok(alerts) };
                alerts.list.push(alert);
            } else if access.next_element::<IgnoredAny>()?.is_none() {
                return Ok(alerts);
            }
            alerts.found += 1;
        }
    }
}
