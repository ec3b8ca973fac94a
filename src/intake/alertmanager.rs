//! Alertmanager's webhook, version 4 (documented up to 0.34): from its bytes to an [`AlertGroup`].
//!
//! What a newer or older Alertmanager adds or leaves out is no reason to lose an alert; what is not Alertmanager's is
//! refused with a sentence, because it answers nobody's question to investigate half of a body.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::wire::{Body, KEEP_ALERTS, KEEP_ENTRIES, Map, Status, WireAlert};
use super::{IntakeError, Limits};
use crate::alert::{Alert, AlertGroup, AlertStatus, Labels, Source};
use crate::redact::Redactor;

/// Longest group key or fingerprint kept as it is; what is longer keeps its beginning and a hash of the whole.
const MAX_KEY_BYTES: usize = 1024;
const MAX_FINGERPRINT_BYTES: usize = 128;

/// Reads a webhook body received now.
///
/// # Errors
/// When the body is not Alertmanager's or is too large; see [`IntakeError::status`].
pub fn parse(body: &[u8], limits: &Limits) -> Result<AlertGroup, IntakeError> {
    parse_at(body, limits, Timestamp::now())
}

/// Reads a webhook body received at a given time, which stands in for the times a sender leaves out.
///
/// # Errors
/// As [`parse`].
pub fn parse_at(body: &[u8], limits: &Limits, received_at: Timestamp) -> Result<AlertGroup, IntakeError> {
    let text = std::str::from_utf8(body).map_err(|error| IntakeError::NotUtf8 { offset: error.valid_up_to() })?;
    let body = read(text)?;
    check_version(&body)?;
    let alerts = body.alerts.as_ref().ok_or(IntakeError::NotAlertmanager { missing: "alerts" })?;
    if alerts.found == 0 {
        return Err(IntakeError::NoAlerts);
    }
    let limit = limits.max_alerts.min(KEEP_ALERTS);
    if alerts.found > limit {
        return Err(IntakeError::TooManyAlerts { found: alerts.found, limit });
    }
    check_sizes(&body, limits)?;
    Ok(Conversion { limits, received_at, redactor: Redactor::default() }.group(body))
}

fn read(text: &str) -> Result<Body, IntakeError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let body: Body = serde_path_to_error::deserialize(&mut json).map_err(|error| refusal(text, &error))?;
    json.end().map_err(|error| not_json(&error))?;
    Ok(body)
}

fn refusal(text: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> IntakeError {
    if !error.inner().is_data() {
        return not_json(error.inner());
    }
    match text.trim_start().as_bytes().first() {
        Some(b'{') => {}
        Some(b'[') => return IntakeError::NotAnObject { found: "a list" },
        Some(b'"') => return IntakeError::NotAnObject { found: "a string" },
        _ => return IntakeError::NotAnObject { found: "a number, a boolean or null" },
    }
    let path = match error.path().to_string() {
        path if path == "." => "the body".to_owned(),
        path => cut(&path, 200),
    };
    IntakeError::WrongType { path, what: without_value(&error.inner().to_string()) }
}

fn not_json(error: &serde_json::Error) -> IntakeError {
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default().to_owned();
    IntakeError::NotJson { line: error.line(), column: error.column(), what }
}

/// serde quotes the offending value, which may be a secret or a megabyte: only its type is kept.
fn without_value(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or_default();
    let (Some(open), Some(expected)) = (message.find(['`', '"']), message.rfind(", expected ")) else {
        return cut(message, 200);
    };
    if !message.starts_with("invalid ") || open > expected {
        return cut(message, 200);
    }
    cut(&format!("{}{}", message[..open].trim_end(), &message[expected..]), 200)
}

fn check_version(body: &Body) -> Result<(), IntakeError> {
    let hint = match body.version.as_deref() {
        Some("4") => return Ok(()),
        None => return Err(IntakeError::NotAlertmanager { missing: "version" }),
        Some("1") => "; version \"1\" is Grafana's, whose contact points have an address of their own",
        Some(_) => "; Alertmanager sends it since 0.9",
    };
    let found = cut(body.version.as_deref().unwrap_or_default(), 20);
    Err(IntakeError::WrongVersion { found, hint })
}

fn check_sizes(body: &Body, limits: &Limits) -> Result<(), IntakeError> {
    check_labels("groupLabels", &body.group_labels, limits)?;
    check_labels("commonLabels", &body.common_labels, limits)?;
    check_count("commonAnnotations", &body.common_annotations, limits)?;
    for (index, alert) in body.alerts.iter().flat_map(|alerts| &alerts.list).enumerate() {
        check_labels(&format!("alerts[{index}].labels"), &alert.labels, limits)?;
        check_count(&format!("alerts[{index}].annotations"), &alert.annotations, limits)?;
    }
    Ok(())
}

fn check_count(path: &str, map: &Map, limits: &Limits) -> Result<(), IntakeError> {
    let limit = limits.max_labels.min(KEEP_ENTRIES);
    if map.found > limit {
        return Err(IntakeError::TooManyLabels { path: path.to_owned(), found: map.found, limit });
    }
    Ok(())
}

fn check_labels(path: &str, map: &Map, limits: &Limits) -> Result<(), IntakeError> {
    check_count(path, map, limits)?;
    let found = map.entries.iter().map(|(name, value)| name.len() + value.len()).sum();
    if found > limits.max_label_set_bytes {
        return Err(IntakeError::LabelsTooLong { path: path.to_owned(), found, limit: limits.max_label_set_bytes });
    }
    Ok(())
}

/// What every part of one delivery is converted with: one redactor, so that the same secret reads the same everywhere.
struct Conversion<'a> {
    limits: &'a Limits,
    received_at: Timestamp,
    redactor: Redactor,
}

impl Conversion<'_> {
    fn group(&self, body: Body) -> AlertGroup {
        let group_key =
            body.group_key.filter(|key| !key.is_empty()).unwrap_or_else(|| made_up_key(&body.group_labels.entries));
        let alerts: Vec<Alert> =
            body.alerts.unwrap_or_default().list.into_iter().map(|alert| self.alert(alert)).collect();
        AlertGroup {
            source: Source::Alertmanager,
            receiver: self.text(&unescape(&body.receiver.unwrap_or_default())),
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
        let fingerprint = alert
            .fingerprint
            .filter(|given| !given.trim().is_empty() && given.len() <= MAX_FINGERPRINT_BYTES && !given.contains('\0'))
            .unwrap_or_else(|| fingerprint(&alert.labels.entries));
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
            annotations: self.annotations(alert.annotations),
            starts_at,
            ends_at,
            generator_url: self.optional(alert.generator_url),
            fingerprint,
        }
    }

    /// Labels keep their length: only secrets and NUL go.
    fn labels(&self, map: Map) -> Labels {
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

    fn optional(&self, text: Option<String>) -> Option<String> {
        text.filter(|text| !text.is_empty()).map(|text| self.text(&text))
    }

    fn text(&self, text: &str) -> String {
        self.clean(&self.redactor.redact(text))
    }

    fn clean(&self, text: &str) -> String {
        cut(&text.replace('\0', "\u{fffd}"), self.limits.max_text_bytes)
    }

    /// A group key is identity: when redaction or its length changes it, a hash of the original keeps groups apart.
    fn key(&self, key: &str) -> String {
        let cleaned = self.redactor.redact(key).replace('\0', "\u{fffd}");
        if cleaned == key && key.len() <= MAX_KEY_BYTES {
            return cleaned;
        }
        let hash = Sha256::digest(key.as_bytes());
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{}#{hash}", &cleaned[..cleaned.floor_char_boundary(MAX_KEY_BYTES)])
    }
}

fn overall(alerts: &[Alert]) -> AlertStatus {
    if alerts.iter().any(|alert| alert.status == AlertStatus::Firing) {
        return AlertStatus::Firing;
    }
    AlertStatus::Resolved
}

/// What stands in for a missing `groupKey`: the group labels in Alertmanager's notation.
fn made_up_key(group_labels: &Labels) -> String {
    let labels: Vec<String> = group_labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{}}:{{{}}}", labels.join(", "))
}

/// Undoes Go's `regexp.QuoteMeta`, through which Alertmanager passes the receiver's name.
fn unescape(receiver: &str) -> String {
    let mut plain = String::with_capacity(receiver.len());
    let mut rest = receiver.chars().peekable();
    while let Some(char) = rest.next() {
        match rest.peek() {
            Some(&next) if char == '\\' && r"\.+*?()|[]{}^$".contains(next) => {
                plain.push(next);
                rest.next();
            }
            _ => plain.push(char),
        }
    }
    plain
}

/// Prometheus' own hash of a label set: FNV-1a over the sorted names and values, each closed by the byte 255.
fn fingerprint(labels: &Labels) -> String {
    let parts = labels.iter().flat_map(|(name, value)| [name, value]);
    let bytes = parts.flat_map(|part| part.bytes().chain([255]));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}… [cut, {} bytes]", &text[..text.floor_char_boundary(limit)], text.len())
}

#[cfg(test)]
#[path = "alertmanager_tests.rs"]
mod tests;
