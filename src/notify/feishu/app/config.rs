//! Settings of a Feishu (Lark) app that keeps one card per incident.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

/// A self-built app that writes to one chat or person.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeishuAppSettings {
    /// Name by which routes, logs and metrics call this channel.
    pub name: String,
    /// The app's id (`cli_…`), from the developer console.
    pub app_id: String,
    /// The app's secret, from the same page.
    #[schemars(with = "String")]
    pub app_secret: SecretString,
    /// Who gets the cards: a chat (`oc_…`), a person (`ou_…`, `on_…`, a user id) or a mail address.
    pub receive_id: String,
    /// What `receive_id` is, when its first letters do not say: `chat_id`, `open_id`, `union_id`, `user_id` or `email`.
    #[serde(default)]
    pub receive_id_type: Option<ReceiverKind>,
    /// Where the API is: `https://open.feishu.cn` when left out, `https://open.larksuite.com` for Lark.
    #[serde(default = "feishu")]
    #[schemars(with = "Option<String>")]
    pub base_url: SecretString,
}

fn feishu() -> SecretString {
    "https://open.feishu.cn".into()
}

/// What kind of receiver an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverKind {
    /// A group or a one-to-one chat.
    ChatId,
    /// A person, as this app knows them.
    OpenId,
    /// A person, as all apps of the developer know them.
    UnionId,
    /// A person, as their company knows them.
    UserId,
    /// A person, by work mail address.
    Email,
}

impl ReceiverKind {
    /// What an id names, by its first letters as the platform gives them out.
    #[must_use]
    pub fn of(id: &str) -> Self {
        match id {
            id if id.starts_with("oc_") => Self::ChatId,
            id if id.starts_with("ou_") => Self::OpenId,
            id if id.starts_with("on_") => Self::UnionId,
            id if id.contains('@') => Self::Email,
            _ => Self::UserId,
        }
    }

    /// The word in the address of the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ChatId => "chat_id",
            Self::OpenId => "open_id",
            Self::UnionId => "union_id",
            Self::UserId => "user_id",
            Self::Email => "email",
        }
    }
}
