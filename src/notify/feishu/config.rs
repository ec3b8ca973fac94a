//! Settings of a Feishu (Lark) group bot.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::notify::delivery::Delivery;
use crate::notify::digest::TimeOfDay;
use crate::notify::mention::MentionRule;

/// A custom bot of one group.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeishuBotSettings {
    /// Name by which routes, logs and metrics call this channel.
    pub name: String,
    /// The webhook address from the group's bot page. Its last segment is a credential.
    #[schemars(with = "String")]
    pub url: SecretString,
    /// The signing secret, when the bot's page shows one ("签名校验").
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub secret: Option<SecretString>,
    /// A keyword the bot's page requires in every message ("自定义关键词").
    #[serde(default)]
    pub keyword: Option<String>,
    /// Whom to call by name when an alert comes, each at most once in five minutes; diagnoses and ends call nobody.
    #[serde(default)]
    pub mentions: Vec<MentionRule>,
    /// The product's user for what a label or annotation `owner` says.
    #[serde(default)]
    pub owners: BTreeMap<String, String>,
    /// When to send a summary of the last 24 hours every day, for example `09:00`, in `timezone`; none when left out.
    #[serde(default)]
    pub digest: Option<TimeOfDay>,
    /// From which severity on it is told, and in which hours not at once; everything at once when left out.
    #[serde(default)]
    pub delivery: Delivery,
}
