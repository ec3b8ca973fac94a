//! Alertmanager's webhook, version 4 (documented up to 0.34): from its bytes to an [`AlertGroup`].
//!
//! What a newer or older Alertmanager adds or leaves out is no reason to lose an alert; what is not Alertmanager's is
//! refused with a sentence, because it answers nobody's question to investigate half of a body.

use jiff::Timestamp;

use super::convert::Conversion;
use super::read::{Format, grouped};
use super::{IntakeError, Limits};
use crate::alert::{AlertGroup, Source};

const FORMAT: Format = Format {
    sender: "Alertmanager",
    wanted: "an Alertmanager webhook of version 4",
    version: "4",
    hint: |found| match found {
        "1" => "; version \"1\" is Grafana's, whose contact points post to /webhooks/grafana",
        _ => "; Alertmanager sends it since 0.9",
    },
    remedy: "remove `payload` from this webhook_config so that Alertmanager sends its own format",
    fewer: "set `max_alerts` in this webhook_config (50 is a good value) or group by more labels",
    lists: false,
};

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
    let mut body = grouped(body, &FORMAT, limits)?;
    body.receiver = body.receiver.as_deref().map(unescape);
    Ok(Conversion::new(Source::Alertmanager, limits, received_at).group(body))
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

#[cfg(test)]
#[path = "alertmanager_tests.rs"]
mod tests;
