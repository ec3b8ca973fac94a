//! Intake: one file per sender's format, all of which end in an [`AlertGroup`](crate::alert::AlertGroup).

pub mod alertmanager;
mod convert;
mod error;
pub mod grafana;
pub mod nightingale;
pub mod prometheusalert;
mod read;
pub mod signature;
mod wire;

pub use convert::cut_texts;
pub use error::IntakeError;

/// What one delivery may hold before it is refused or cut. The length of the body is limited by the HTTP surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Alerts in one delivery. Alertmanager sends all of a group unless `max_alerts` is set; real groups stay below 1 000.
    pub max_alerts: usize,
    /// Entries in one set of labels or annotations. Prometheus rules rarely pass 30.
    pub max_labels: usize,
    /// Bytes of one set of labels, names and values together. Labels are identity: more is refused, never cut.
    pub max_label_set_bytes: usize,
    /// Bytes of one annotation, link or reason. These are text for people: what is longer is cut, and says so.
    pub max_text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_alerts: 5_000, max_labels: 256, max_label_set_bytes: 64 * 1024, max_text_bytes: 16 * 1024 }
    }
}
