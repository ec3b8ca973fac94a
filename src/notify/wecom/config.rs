//! Settings of a WeCom (企业微信) group bot.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::notify::delivery::Delivery;
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
    /// How messages look. `text` is what readers in WeChat (微信插件) see, where markdown and cards do not show.
    #[serde(default)]
    pub msgtype: MessageType,
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

/// How a group bot's messages look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    /// Markdown: everything, with commands and quotes. The full report follows as a file when it does not fit.
    #[default]
    MarkdownV2,
    /// Plain text, with the full report as a file.
    Text,
    /// WeCom's card with the cause in a sentence; needs `server.public_url`, else markdown is sent.
    TemplateCard,
}
