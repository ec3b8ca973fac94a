//! Settings of a mail channel.

use jiff::SignedDuration;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::notify::delivery::Delivery;
use crate::notify::digest::TimeOfDay;

/// A list of mailboxes, reached through one SMTP server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailSettings {
    /// Name by which routes, logs and metrics call this channel.
    pub name: String,
    /// `smtps://user:pass@host[:465]` for implicit TLS, `smtp://user:pass@host:587?tls=required` for STARTTLS,
    /// `smtp://host:25` without TLS for a trusted relay. In a user name or password write `%2F` for `/`, `%3F` for
    /// `?`, `%23` for `#` and `%25` for `%`.
    #[schemars(with = "String")]
    pub smtp: SecretString,
    /// Sender, for example `Firstlook <firstlook@example.com>`.
    pub from: String,
    /// Recipients. Each gets the mail in a transaction of its own.
    pub to: Vec<String>,
    /// How long messages about what is not critical wait for each other, for example `10m`, to go as one mail that names
    /// each incident; none when left out: each goes at once. What is critical always does.
    #[serde(default)]
    pub batch: Option<SignedDuration>,
    /// When to send a summary of the last 24 hours every day, for example `09:00`, in `timezone`; none when left out.
    #[serde(default)]
    pub digest: Option<TimeOfDay>,
    /// From which severity on it is told, and in which hours not at once; everything at once when left out.
    #[serde(default)]
    pub delivery: Delivery,
}
