//! Grafana's unified alerting: its webhook contact point, in Alertmanager's shape with version 1 and more to say.
//!
//! Links and values become annotations of their own (`dashboard_url`, `panel_url`, `silence_url`, `image_url`, `values`,
//! `value_string`): shown to people, never fetched.

use jiff::Timestamp;

use super::convert::Conversion;
use super::read::{Format, grouped};
use super::{IntakeError, Limits};
use crate::alert::{AlertGroup, Source};

pub(super) const FORMAT: Format = Format {
    sender: "Grafana",
    wanted: "the webhook of a Grafana contact point",
    version: "1",
    hint: |found| match found {
        "4" => "; version \"4\" is Alertmanager's, which posts to /webhooks/alertmanager",
        _ => "; Grafana sends it since 9.0",
    },
    remedy: "remove the custom payload from this contact point so that Grafana sends its own format",
    fewer: "set \"Max alerts\" in this contact point (50 is a good value) or group by more labels",
    lists: false,
};

/// Reads a webhook body received now.
///
/// # Errors
/// When the body is not Grafana's or is too large; see [`IntakeError::status`].
pub fn parse(body: &[u8], limits: &Limits) -> Result<AlertGroup, IntakeError> {
    parse_at(body, limits, Timestamp::now())
}

/// Reads a webhook body received at a given time.
///
/// # Errors
/// As [`parse`].
pub fn parse_at(body: &[u8], limits: &Limits, received_at: Timestamp) -> Result<AlertGroup, IntakeError> {
    let body = grouped(body, &FORMAT, limits)?;
    Ok(Conversion::new(Source::Grafana, limits, received_at).group(body))
}

#[cfg(test)]
#[path = "grafana_tests.rs"]
mod tests;
