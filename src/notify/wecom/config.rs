//! Settings of a WeCom (企业微信) group bot.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::notify::digest::TimeOfDay;
use crate::notify::mention::MentionRule;

/// A message push ("消息推送", formerly group bot) of one group.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WecomBotSettings {
    /// Name by which routes, logs and metrics call this channel.
    pub name: String,
    /// The webhook address with its `key`. The key is the whole credential.
    #[schemars(with = "String")]
    pub url: SecretString,
    /// Whom to call by name when an alert comes, each at most once in five minutes; diagnoses and ends call nobody.
    #[serde(default)]
    pub mentions: Vec<MentionRule>,
    /// The product's user for what a label or annotation `owner` says.
    #[serde(default)]
    pub owners: BTreeMap<String, String>,
    /// When to send a summary of the last 24 hours every day, for example `09:00`, in `timezone`; none when left out.
    #[serde(default)]
    pub digest: Option<TimeOfDay>,
}
