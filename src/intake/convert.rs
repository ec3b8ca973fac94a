//! Conversion: from what any sender wrote to the words every room speaks, redacted, without NUL, and no longer than allowed.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::Limits;
use super::wire::{Body, Map, Status, WireAlert};
use crate::alert::{Alert, AlertGroup, AlertStatus, Labels, Source};
use crate::redact::Redactor;

/// Longest group key or fingerprint kept as it is; what is longer keeps its beginning and a hash of the whole.
pub(super) const MAX_KEY_BYTES: usize = 1024;
const MAX_FINGERPRINT_BYTES: usize = 128;

/// What every part of one delivery is converted with: one redactor, so that the same secret reads the same everywhere.
pub(super) struct Conversion<'a> {
    source: Source,
    limits: &'a Limits,
    received_at: Timestamp,
    redactor: Redactor,
}

impl<'a> Conversion<'a> {
    /// For one delivery of a source.
    pub(super) fn new(source: Source, limits: &'a Limits, received_at: Timestamp) -> Self {
        Self { source, limits, received_at, redactor: Redactor::default() }
    }

    /// A body in Alertmanager's shape, which Grafana shares.
    pub(super) fn group(&self, body: Body) -> AlertGroup {
        let group_key =
            body.group_key.filter(|key| !key.is_empty()).unwrap_or_else(|| made_up_key(&body.group_labels.entries));
        let alerts: Vec<Alert> =
            body.alerts.unwrap_or_default().list.into_iter().map(|alert| self.alert(alert)).collect();
        AlertGroup {
            source: self.source,
            receiver: self.text(&body.receiver.unwrap_or_default()),
            group_key: self.key(&group_key),
            status: overall(&alerts),
            group_labels: self.labels(body.group_labels),
            common_labels: self.labels(body.common_labels),
            common_annotations: self.annotations(body.common_annotations),
            external_url: self.optional(body.external_url),
            truncated_alerts: body.truncated_alerts.unwrap_or(0),
            notification_reason: self.optional(body.notification_reason),
            alerts,
        }
    }

    fn alert(&self, alert: WireAlert) -> Alert {
        let said = grafana_says(&alert);
        let fingerprint = usable(alert.fingerprint).unwrap_or_else(|| fingerprint(&alert.labels.entries));
        let ended = alert.ends_at.and_then(|time| time.0);
        let (status, ends_at) = match alert.status {
            Some(Status::Resolved) => (AlertStatus::Resolved, Some(ended.unwrap_or(self.received_at))),
            None if ended.is_some_and(|time| time <= self.received_at) => (AlertStatus::Resolved, ended),
            Some(Status::Firing) | None => (AlertStatus::Firing, None),
        };
        let starts_at = alert.starts_at.and_then(|time| time.0).or(ends_at).unwrap_or(self.received_at);
        Alert {
            status,
            labels: self.labels(alert.labels),
            annotations: self.annotated(alert.annotations, said),
            starts_at,
            ends_at,
            generator_url: self.optional(alert.generator_url),
            fingerprint,
        }
    }

    /// Labels keep their length: only secrets and NUL go.
    pub(super) fn labels(&self, map: Map) -> Labels {
        map.entries
            .into_iter()
            .map(|(name, value)| {
                let value = self.redactor.redact_pair(&name, &value).replace('\0', "\u{fffd}");
                (name.replace('\0', "\u{fffd}"), value)
            })
            .collect()
    }

    fn annotations(&self, map: Map) -> Labels {
        map.entries
            .into_iter()
            .map(|(name, value)| {
                let value = self.redactor.redact_pair(&name, &value).into_owned();
                (self.text(&name), self.clean(&value))
            })
            .collect()
    }

    /// The rule's author comes first: what the sender adds never replaces an annotation of the same name.
    pub(super) fn annotated(&self, map: Map, said: Vec<(&'static str, String)>) -> Labels {
        let mut annotations = self.annotations(map);
        for (name, text) in said {
            annotations.entry(name.to_owned()).or_insert_with(|| self.text(&text));
        }
        annotations
    }

    fn optional(&self, text: Option<String>) -> Option<String> {
        text.filter(|text| !text.is_empty()).map(|text| self.text(&text))
    }

    pub(super) fn text(&self, text: &str) -> String {
        self.clean(&self.redactor.redact(text))
    }

    fn clean(&self, text: &str) -> String {
        cut(&text.replace('\0', "\u{fffd}"), self.limits.max_text_bytes)
    }

    /// A group key is identity: when redaction or its length changes it, a hash of the original keeps groups apart.
    pub(super) fn key(&self, key: &str) -> String {
        let cleaned = self.redactor.redact(key).replace('\0', "\u{fffd}");
        if cleaned == key && key.len() <= MAX_KEY_BYTES {
            return cleaned;
        }
        let hash = Sha256::digest(key.as_bytes());
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{}#{hash}", &cleaned[..cleaned.floor_char_boundary(MAX_KEY_BYTES)])
    }
}

/// Firing when one of them fires.
pub(super) fn overall(alerts: &[Alert]) -> AlertStatus {
    if alerts.iter().any(|alert| alert.status == AlertStatus::Firing) {
        return AlertStatus::Firing;
    }
    AlertStatus::Resolved
}

/// What Grafana tells beside the annotations. Links keep names under which people recognise them.
fn grafana_says(alert: &WireAlert) -> Vec<(&'static str, String)> {
    let words = [
        ("dashboard_url", &alert.dashboard_url),
        ("panel_url", &alert.panel_url),
        ("silence_url", &alert.silence_url),
        ("image_url", &alert.image_url),
        ("value_string", &alert.value_string),
    ];
    let texts = words.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?.as_str()?.to_owned())));
    let values = alert.values.as_ref().and_then(|values| values.as_object()).into_iter().map(|values| {
        let pairs: Vec<String> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        ("values", pairs.join(", "))
    });
    texts.chain(values).filter(|(_, text)| !text.trim().is_empty()).collect()
}

/// A sender's fingerprint, when it can be kept.
pub(super) fn usable(fingerprint: Option<String>) -> Option<String> {
    fingerprint
        .filter(|given| !given.trim().is_empty() && given.len() <= MAX_FINGERPRINT_BYTES && !given.contains('\0'))
}

/// What stands in for a missing `groupKey`: the group labels in Alertmanager's notation.
fn made_up_key(group_labels: &Labels) -> String {
    let labels: Vec<String> = group_labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{}}:{{{}}}", labels.join(", "))
}

/// Prometheus' own hash of a label set: FNV-1a over the sorted names and values, each closed by the byte 255.
pub(super) fn fingerprint(labels: &Labels) -> String {
    let parts = labels.iter().flat_map(|(name, value)| [name, value]);
    let bytes = parts.flat_map(|part| part.bytes().chain([255]));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// A text of at most so many bytes, which says what was cut.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}{CUT}{} bytes]", &text[..text.floor_char_boundary(limit)], text.len())
}

/// What stands where a text was cut.
const CUT: &str = "… [cut, ";

/// How many texts of a group were cut, by the mark that is left there.
#[must_use]
pub fn cut_texts(group: &AlertGroup) -> usize {
    let annotations = group.alerts.iter().flat_map(|alert| alert.annotations.values());
    annotations.filter(|text| text.ends_with(" bytes]") && text.contains(CUT)).count()
}
