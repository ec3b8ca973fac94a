//! Why a body was refused, in a sentence its sender's operator can act on.

use thiserror::Error;

/// A body that is not taken. Its text quotes names and positions, never values, so that it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IntakeError {
    /// Not text.
    #[error("the body is not UTF-8 text (first bad byte at offset {offset}); send JSON in UTF-8, uncompressed")]
    NotUtf8 {
        /// Offset in bytes.
        offset: usize,
    },
    /// Not JSON.
    #[error(
        "the body is not valid JSON (line {line}, column {column}: {what}); check what sits between the sender and Firstlook"
    )]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
        /// The parser's words.
        what: String,
    },
    /// JSON, but not an object.
    #[error("the body must be one JSON object, {wanted}; it is {found}")]
    NotAnObject {
        /// What it must be.
        wanted: &'static str,
        /// What it is instead.
        found: &'static str,
    },
    /// An object that the sender of this route does not send by itself.
    #[error("the body has no \"{missing}\": it is not {wanted}; {remedy}")]
    NotTheFormat {
        /// The key that every such body has.
        missing: &'static str,
        /// What it must be.
        wanted: &'static str,
        /// How its sender is told to send that.
        remedy: &'static str,
    },
    /// Another version of the format.
    #[error("the body says version {found:?}, this address takes {sender}'s version {expected:?}{hint}")]
    WrongVersion {
        /// What the body says.
        found: String,
        /// What this route takes.
        expected: &'static str,
        /// Whose format this route takes.
        sender: &'static str,
        /// What to do when the version tells the sender.
        hint: &'static str,
    },
    /// A known key with a value of the wrong type.
    #[error("{path}: {what}; the body must be as {sender} sends it")]
    WrongType {
        /// Where, for example `alerts[3].labels.severity`.
        path: String,
        /// Who sends to this route.
        sender: &'static str,
        /// What was found and what was expected.
        what: String,
    },
    /// A list of no alerts.
    #[error("\"alerts\" is empty: there is nothing to look at; send at least one alert")]
    NoAlerts,
    /// More alerts than are taken.
    #[error("the body holds {found} alerts, at most {limit} are taken; {remedy}")]
    TooManyAlerts {
        /// How many it holds.
        found: usize,
        /// How many are taken.
        limit: usize,
        /// How fewer are sent.
        remedy: &'static str,
    },
    /// A set of labels or annotations with too many entries.
    #[error(
        "{path} has {found} entries, at most {limit} are taken; drop labels with `alert_relabel_configs` in Prometheus"
    )]
    TooManyLabels {
        /// Where.
        path: String,
        /// How many entries it has.
        found: usize,
        /// How many are taken.
        limit: usize,
    },
    /// A set of labels that is too long.
    #[error(
        "{path} is {found} bytes long, at most {limit} are taken; labels are identity, long text belongs in annotations"
    )]
    LabelsTooLong {
        /// Where.
        path: String,
        /// Its length in bytes, names and values.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl IntakeError {
    /// The HTTP status to answer: 413 when less of the same would be taken, 400 otherwise. No sender repeats either.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TooManyAlerts { .. } | Self::TooManyLabels { .. } | Self::LabelsTooLong { .. } => 413,
            _ => 400,
        }
    }
}
