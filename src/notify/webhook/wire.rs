//! The JSON a webhook gets, version 1. Keys may be added, never renamed.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::alert::{Alert, Labels};
use crate::notify::notice::{Meanwhile, Undelivered};
use crate::report::Report;

/// A message.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    /// Version of this shape.
    pub version: u32,
    /// What is told: `alert`, `diagnosis`, `resolved`, `summary`, `digest` or `test`.
    pub event: &'static str,
    /// The incident it belongs to: the same from the first message to the resolved one; none where it tells of several, or
    /// of none.
    pub incident: Option<Uuid>,
    /// When the incident was opened; where there is none, when the message was made.
    pub opened_at: Timestamp,
    /// When its alerts were gone; in `resolved` only.
    pub resolved_at: Option<Timestamp>,
    /// The incident's page.
    pub page_url: Option<&'a str>,
    /// What people read elsewhere, as plain text in the configured language.
    pub text: String,
    /// Labels all alerts of the group share.
    pub common_labels: &'a Labels,
    /// The alerts of the group, the first ones when there are too many.
    pub alerts: &'a [Alert],
    /// How many alerts of the group are not listed.
    pub alerts_left_out: usize,
    /// The checked report, when there is one and it fits.
    pub report: Option<&'a Report>,
    /// Whether a diagnosis may follow.
    pub investigating: bool,
    /// What this first look lacks and why.
    pub missing: &'a [String],
    /// What was held back or merged before this message; left out when nothing was.
    #[serde(skip_serializing_if = "Meanwhile::is_empty")]
    pub meanwhile: &'a Meanwhile,
    /// Channels it was meant for that gave it up, and why; left out when there are none.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub undelivered: &'a [Undelivered],
}
