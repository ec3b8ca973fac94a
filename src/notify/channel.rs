//! Any channel: what the outbox sends through without knowing which it is.

use std::sync::Arc;

use jiff::SignedDuration;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::companion::Companions;
use super::delivery::Delivery;
use super::digest::TimeOfDay;
use super::email::{BadMailSettings, Email, EmailSettings};
use super::feishu::app::{BadApp, FeishuApp, FeishuAppSettings};
use super::feishu::{self, FeishuBot, FeishuBotSettings};
use super::layout::Layouts;
use super::notice::Notice;
use super::pace::{FEISHU_APP_PACE, FEISHU_PACE, MAIL_PACE, Quota, WEBHOOK_PACE, WECOM_PACE, half_a_minute};
use super::send::{Form, SendError};
use super::webhook::{BadWebhook, Webhook, WebhookSettings};
use super::wecom::{self, WecomBot, WecomBotSettings};
use super::{batch, summary};
use crate::store::{Outgoing, Store};

/// Settings of one channel, by `type`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum ChannelSettings {
    /// A Feishu (Lark) group bot.
    #[serde(rename = "feishu-bot")]
    FeishuBot(FeishuBotSettings),
    /// A Feishu (Lark) app: one card per incident, changed in place.
    #[serde(rename = "feishu-app")]
    FeishuApp(FeishuAppSettings),
    /// A WeCom group bot.
    #[serde(rename = "wecom-bot")]
    WecomBot(WecomBotSettings),
    /// Mail.
    #[serde(rename = "email")]
    Email(EmailSettings),
    /// A webhook of yours: what people are told, as signed JSON.
    #[serde(rename = "webhook")]
    Webhook(WebhookSettings),
}

/// Settings no channel can be built from.
#[derive(Debug, Error)]
pub enum BadChannel {
    /// A setting of a Feishu bot is wrong.
    #[error("channel `{0}`: {1}")]
    Feishu(String, #[source] feishu::BadBot),
    /// A setting of a Feishu app is wrong.
    #[error("channel `{0}`: {1}")]
    App(String, #[source] BadApp),
    /// A setting of a WeCom bot is wrong.
    #[error("channel `{0}`: {1}")]
    Wecom(String, #[source] wecom::BadBot),
    /// A mail setting is wrong.
    #[error("channel `{0}`: {1}")]
    Mail(String, #[source] BadMailSettings),
    /// A setting of a generic webhook is wrong.
    #[error("channel `{0}`: {1}")]
    Webhook(String, #[source] BadWebhook),
}

impl ChannelSettings {
    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::FeishuBot(settings) => &settings.name,
            Self::FeishuApp(settings) => &settings.name,
            Self::WecomBot(settings) => &settings.name,
            Self::Email(settings) => &settings.name,
            Self::Webhook(settings) => &settings.name,
        }
    }

    /// When its daily summary is due.
    #[must_use]
    pub fn digest(&self) -> Option<TimeOfDay> {
        match self {
            Self::FeishuBot(settings) => settings.digest,
            Self::FeishuApp(settings) => settings.digest,
            Self::WecomBot(settings) => settings.digest,
            Self::Email(settings) => settings.digest,
            Self::Webhook(settings) => settings.digest,
        }
    }

    /// How long messages about what is not critical wait for each other.
    #[must_use]
    pub fn batch(&self) -> Option<SignedDuration> {
        match self {
            Self::Email(settings) => settings.batch,
            Self::FeishuBot(_) | Self::FeishuApp(_) | Self::WecomBot(_) | Self::Webhook(_) => None,
        }
    }

    /// From which severity on it is told, and when.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        match self {
            Self::FeishuBot(settings) => &settings.delivery,
            Self::FeishuApp(settings) => &settings.delivery,
            Self::WecomBot(settings) => &settings.delivery,
            Self::Email(settings) => &settings.delivery,
            Self::Webhook(settings) => &settings.delivery,
        }
    }

    /// The key of the address it sends to, and the address, which is a credential.
    #[must_use]
    pub fn address(&self) -> (&'static str, &SecretString) {
        match self {
            Self::FeishuBot(settings) => ("url", &settings.url),
            Self::FeishuApp(settings) => ("base_url", &settings.base_url),
            Self::WecomBot(settings) => ("url", &settings.url),
            Self::Email(settings) => ("smtp", &settings.smtp),
            Self::Webhook(settings) => ("url", &settings.url),
        }
    }

    /// What the product counts messages by, as a word that tells nothing of it: the address and, where many are reached
    /// there, who is written to. Channels with the same one share its pace.
    #[must_use]
    pub fn destination(&self) -> String {
        let whom = match self {
            Self::FeishuApp(settings) => settings.receive_id.clone(),
            Self::Email(settings) => settings.to.join("\n"),
            Self::FeishuBot(_) | Self::WecomBot(_) | Self::Webhook(_) => String::new(),
        };
        let address = self.address().1.expose_secret().trim_end_matches('/');
        let hash = Sha256::digest(format!("{address}\n{whom}"));
        hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Builds the channel; nothing is sent and nothing is connected yet. `client` is
    /// [`super::post::client`]'s; `layouts` are the operator's templates, or none.
    ///
    /// # Errors
    /// When a setting cannot work; the text names the channel and never a secret.
    pub fn build(self, client: &reqwest::Client, layouts: &Arc<Layouts>) -> Result<Channel, BadChannel> {
        let name = self.name().to_owned();
        let layout = layouts.of(&name);
        Ok(match self {
            Self::FeishuBot(settings) => Channel::FeishuBot(
                FeishuBot::new(settings, client.clone(), layout).map_err(|error| BadChannel::Feishu(name, error))?,
            ),
            Self::FeishuApp(settings) => Channel::FeishuApp(Arc::new(
                FeishuApp::new(settings, client.clone(), layout).map_err(|error| BadChannel::App(name, error))?,
            )),
            Self::WecomBot(settings) => Channel::WecomBot(
                WecomBot::new(settings, client.clone(), layout).map_err(|error| BadChannel::Wecom(name, error))?,
            ),
            Self::Email(settings) => {
                let channel = Email::new(settings, layout).map_err(|error| BadChannel::Mail(name, error))?;
                Channel::Email(Box::new(channel))
            }
            Self::Webhook(settings) => Channel::Webhook(
                Webhook::new(settings, client.clone()).map_err(|error| BadChannel::Webhook(name, error))?,
            ),
        })
    }
}

/// A channel, ready to send.
#[derive(Debug)]
pub enum Channel {
    /// A Feishu (Lark) group bot.
    FeishuBot(FeishuBot),
    /// A Feishu (Lark) app; shared with the task that shows an investigation's steps.
    FeishuApp(Arc<FeishuApp>),
    /// A WeCom group bot.
    WecomBot(WecomBot),
    /// Mail.
    Email(Box<Email>),
    /// A webhook.
    Webhook(Webhook),
}

impl Channel {
    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::FeishuBot(channel) => channel.name(),
            Self::FeishuApp(channel) => channel.name(),
            Self::WecomBot(channel) => channel.name(),
            Self::Email(channel) => channel.name(),
            Self::Webhook(channel) => channel.name(),
        }
    }

    /// The word for its kind, as `type` has it; for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FeishuBot(_) => "feishu-bot",
            Self::FeishuApp(_) => "feishu-app",
            Self::WecomBot(_) => "wecom-bot",
            Self::Email(_) => "email",
            Self::Webhook(_) => "webhook",
        }
    }

    /// One attempt to deliver a notice, in the richest form the destination accepts.
    ///
    /// # Errors
    /// When it is not delivered; [`super::send::Reason::is_retryable`] says whether to come again.
    pub async fn send(&self, notice: &Notice) -> Result<Form, SendError> {
        match self {
            Self::FeishuBot(channel) => channel.send(notice).await,
            Self::FeishuApp(channel) => channel.send(notice).await,
            Self::WecomBot(channel) => channel.send(notice).await,
            Self::Email(channel) => channel.send(notice).await,
            Self::Webhook(channel) => channel.send(notice).await,
        }
    }

    /// One attempt to deliver a message of the outbox. A channel whose messages can be changed does that, where the
    /// incident has one already; the others send.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub async fn deliver(&self, outgoing: &Outgoing, store: &Store) -> Result<Form, SendError> {
        match self {
            Self::FeishuApp(channel) => channel.deliver(outgoing, store).await,
            other => other.send(&outgoing.notice).await,
        }
    }

    /// The Feishu app behind it, when it is one.
    #[must_use]
    pub fn app(&self) -> Option<&Arc<FeishuApp>> {
        match self {
            Self::FeishuApp(app) => Some(app),
            _ => None,
        }
    }

    /// Whether an incident is one message here, changed in place: it then takes every outcome, also one that adds nothing.
    #[must_use]
    pub fn changes_in_place(&self) -> bool {
        matches!(self, Self::FeishuApp(_))
    }

    /// Counts whom it calls by name together with all processes of a store.
    pub fn share_calls(&self, store: &Store) {
        let mentions = match self {
            Self::FeishuBot(channel) => channel.mentions(),
            Self::FeishuApp(channel) => channel.mentions(),
            Self::WecomBot(channel) => channel.mentions(),
            Self::Email(_) | Self::Webhook(_) => return,
        };
        mentions.share(store, self.name());
    }

    /// What went out beside messages, and what did not; none where nothing does.
    #[must_use]
    pub fn companions(&self) -> Option<&Companions> {
        match self {
            Self::WecomBot(channel) => Some(channel.companions()),
            Self::FeishuApp(channel) => Some(channel.companions()),
            Self::FeishuBot(_) | Self::Email(_) | Self::Webhook(_) => None,
        }
    }

    /// Whether the destination can be reached, without telling anybody anything: for chat products DNS, TCP and TLS of
    /// the host, for mail and apps also the login.
    ///
    /// # Errors
    /// When it cannot; the text says why.
    pub async fn reach(&self) -> Result<(), SendError> {
        match self {
            Self::FeishuBot(channel) => channel.reach().await,
            Self::FeishuApp(channel) => channel.reach().await,
            Self::WecomBot(channel) => channel.reach().await,
            Self::Email(channel) => channel.reach().await,
            Self::Webhook(channel) => channel.reach().await,
        }
    }

    /// How many messages may wait before they are sent as one: half of what is taken in a minute, for an app what its chat
    /// takes in half a minute. None where a program reads them.
    #[must_use]
    pub fn merge_above(&self) -> Option<u32> {
        match self {
            Self::FeishuBot(_) => Some(half_a_minute(&FEISHU_PACE)),
            Self::WecomBot(_) => Some(WECOM_PACE[0].messages / 2),
            Self::Email(_) => Some(half_a_minute(&MAIL_PACE)),
            Self::FeishuApp(_) => Some(FEISHU_APP_PACE[0].messages * 30),
            Self::Webhook(_) => None,
        }
    }

    /// How many messages may go as one, where [`Self::names_all`] finds room for them.
    #[must_use]
    pub fn most_together(&self) -> usize {
        match self {
            Self::FeishuBot(_) | Self::FeishuApp(_) => summary::MOST,
            Self::WecomBot(channel) => channel.most_together(),
            Self::Email(_) => batch::MOST,
            Self::Webhook(_) => summary::SURE,
        }
    }

    /// Whether a message that stands for many has room for the name of each.
    #[must_use]
    pub fn names_all(&self, notice: &Notice) -> bool {
        match self {
            Self::FeishuBot(channel) => channel.has_room(notice),
            Self::WecomBot(channel) => channel.has_room(notice),
            Self::FeishuApp(channel) => channel.has_room(notice),
            Self::Email(_) | Self::Webhook(_) => true,
        }
    }

    /// Tells a channel whether it may send files beside messages: they count at its rate, and messages need it first.
    pub fn allow_files(&self, allowed: bool) {
        if let Self::WecomBot(channel) = self {
            channel.allow_files(allowed);
        }
    }

    /// How fast this destination may be sent to.
    #[must_use]
    pub fn pace(&self) -> &'static [Quota] {
        match self {
            Self::FeishuBot(_) => &FEISHU_PACE,
            Self::FeishuApp(_) => &FEISHU_APP_PACE,
            Self::WecomBot(_) => &WECOM_PACE,
            Self::Email(_) => &MAIL_PACE,
            Self::Webhook(_) => &WEBHOOK_PACE,
        }
    }
}
