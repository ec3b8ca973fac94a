//! Settings of `channels:`: where people are told.

use secrecy::SecretString;
use serde::Deserialize;

/// One entry of `channels:`, by `type`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type")]
pub enum ChannelSettings {
    /// A Feishu (Lark) group bot.
    #[serde(rename = "feishu-bot")]
    FeishuBot(FeishuBotSettings),
    /// A WeCom group bot.
    #[serde(rename = "wecom-bot")]
    WecomBot(WecomBotSettings),
    /// Mail.
    #[serde(rename = "email")]
    Email(EmailSettings),
}

impl ChannelSettings {
    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::FeishuBot(settings) => &settings.name,
            Self::WecomBot(settings) => &settings.name,
            Self::Email(settings) => &settings.name,
        }
    }

    /// The key of the address it sends to, and the address, which is a credential.
    #[must_use]
    pub fn address(&self) -> (&'static str, &SecretString) {
        match self {
            Self::FeishuBot(settings) => ("url", &settings.url),
            Self::WecomBot(settings) => ("url", &settings.url),
            Self::Email(settings) => ("smtp", &settings.smtp),
        }
    }
}

/// A custom bot of a Feishu group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeishuBotSettings {
    /// Name by which routes, logs and metrics call this channel.
    pub name: String,
    /// The webhook address. Its last segment is a credential.
    pub url: SecretString,
    /// The signing secret, when the bot has one.
    #[serde(default)]
    pub secret: Option<SecretString>,
    /// A keyword the bot requires in every message.
    #[serde(default)]
    pub keyword: Option<String>,
}

/// A bot of a WeCom group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WecomBotSettings {
    /// Name by which routes, logs and metrics call this channel.
    pub name: String,
    /// The webhook address. Its `key` is the whole credential.
    pub url: SecretString,
}

/// A list of mailboxes, reached through one SMTP server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailSettings {
    /// Name by which routes, logs and metrics call this channel.
    pub name: String,
    /// `smtps://user:pass@host`, `smtp://user:pass@host?tls=required`, or `smtp://host` for a trusted relay.
    pub smtp: SecretString,
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
}
