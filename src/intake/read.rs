//! Reading: JSON into a sender's types, and the sentences for what is none of theirs.

use serde::de::DeserializeOwned;

use super::convert::cut;
use super::wire::{Body, KEEP_ALERTS, KEEP_ENTRIES, Map};
use super::{IntakeError, Limits};

/// The words of one sender's format, for refusals its operator can act on.
pub(super) struct Format {
    /// Who sends it.
    pub(super) sender: &'static str,
    /// What the body must be.
    pub(super) wanted: &'static str,
    /// The version the body says; empty for a format without one.
    pub(super) version: &'static str,
    /// What another version tells.
    pub(super) hint: fn(&str) -> &'static str,
    /// How its operator gets the format when something else is sent.
    pub(super) remedy: &'static str,
    /// How its operator gets fewer alerts into one delivery.
    pub(super) fewer: &'static str,
    /// Whether the body may be a list.
    pub(super) lists: bool,
}

impl Format {
    /// The refusal of a body without this key.
    pub(super) fn lacks(&self, missing: &'static str) -> IntakeError {
        IntakeError::NotTheFormat { missing, wanted: self.wanted, remedy: self.remedy }
    }
}

/// The whole of a body in Alertmanager's shape, checked against its version and the limits.
pub(super) fn grouped(body: &[u8], format: &Format, limits: &Limits) -> Result<Body, IntakeError> {
    let body: Body = read(text(body)?, format)?;
    check_version(&body, format)?;
    let alerts = body.alerts.as_ref().ok_or(format.lacks("alerts"))?;
    check_alerts(alerts.found, format, limits)?;
    check_sizes(&body, limits)?;
    Ok(body)
}

/// A body as text.
pub(super) fn text(body: &[u8]) -> Result<&str, IntakeError> {
    std::str::from_utf8(body).map_err(|error| IntakeError::NotUtf8 { offset: error.valid_up_to() })
}

/// Neither none nor too many.
pub(super) fn check_alerts(found: usize, format: &Format, limits: &Limits) -> Result<(), IntakeError> {
    let limit = limits.max_alerts.min(KEEP_ALERTS);
    match found {
        0 => Err(IntakeError::NoAlerts),
        found if found > limit => Err(IntakeError::TooManyAlerts { found, limit, remedy: format.fewer }),
        _ => Ok(()),
    }
}

fn check_version(body: &Body, format: &Format) -> Result<(), IntakeError> {
    let Some(found) = body.version.as_deref() else { return Err(format.lacks("version")) };
    if found == format.version {
        return Ok(());
    }
    Err(IntakeError::WrongVersion {
        found: cut(found, 20),
        expected: format.version,
        sender: format.sender,
        hint: (format.hint)(found),
    })
}

/// Reads JSON of a format; `T` says which.
pub(super) fn read<T: DeserializeOwned>(text: &str, format: &Format) -> Result<T, IntakeError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let body = serde_path_to_error::deserialize(&mut json).map_err(|error| refusal(text, format, &error))?;
    json.end().map_err(|error| not_json(&error))?;
    Ok(body)
}

fn refusal(text: &str, format: &Format, error: &serde_path_to_error::Error<serde_json::Error>) -> IntakeError {
    let wanted = format.wanted;
    if !error.inner().is_data() {
        return not_json(error.inner());
    }
    match text.trim_start().as_bytes().first() {
        Some(b'{') => {}
        Some(b'[') if format.lists => {}
        Some(b'[') => return IntakeError::NotAnObject { wanted, found: "a list" },
        Some(b'"') => return IntakeError::NotAnObject { wanted, found: "a string" },
        _ => return IntakeError::NotAnObject { wanted, found: "a number, a boolean or null" },
    }
    let path = match error.path().to_string() {
        path if path == "." => "the body".to_owned(),
        path => cut(&path, 200),
    };
    IntakeError::WrongType { path, sender: format.sender, what: without_value(&error.inner().to_string()) }
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

/// A set of labels or annotations is not too many.
pub(super) fn check_count(path: &str, map: &Map, limits: &Limits) -> Result<(), IntakeError> {
    let limit = limits.max_labels.min(KEEP_ENTRIES);
    if map.found > limit {
        return Err(IntakeError::TooManyLabels { path: path.to_owned(), found: map.found, limit });
    }
    Ok(())
}

/// A set of labels is neither too many nor too long.
pub(super) fn check_labels(path: &str, map: &Map, limits: &Limits) -> Result<(), IntakeError> {
    check_count(path, map, limits)?;
    let found = map.entries.iter().map(|(name, value)| name.len() + value.len()).sum();
    if found > limits.max_label_set_bytes {
        return Err(IntakeError::LabelsTooLong { path: path.to_owned(), found, limit: limits.max_label_set_bytes });
    }
    Ok(())
}
