//! Settings of a webhook that gets what people get, as JSON.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::notify::delivery::Delivery;
use crate::notify::digest::TimeOfDay;

/// An HTTP endpoint of yours.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Name by which routes, logs and metrics call this channel.
    pub name: String,
    /// The address that is posted to; anything secret in it stays so.
    #[schemars(with = "String")]
    pub url: SecretString,
    /// Signs every body: `X-Firstlook-Signature` is `sha256=` and the hex HMAC-SHA256 of `timestamp.body`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub secret: Option<SecretString>,
    /// Further headers, for example `Authorization`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: BTreeMap<String, SecretString>,
    /// When to send a summary of the last 24 hours every day, for example `09:00`, in `timezone`; none when left out.
    #[serde(default)]
    pub digest: Option<TimeOfDay>,
    /// From which severity on it is told, and in which hours not at once; everything at once when left out.
    #[serde(default)]
    pub delivery: Delivery,
}
