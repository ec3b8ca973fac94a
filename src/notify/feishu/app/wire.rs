//! The app API's JSON: tokens, messages, and the reply every call has.

use serde::{Deserialize, Serialize};

/// Asks for a tenant token.
#[derive(Debug, Serialize)]
pub struct TokenRequest<'a> {
    /// The app's id.
    pub app_id: &'a str,
    /// The app's secret.
    pub app_secret: &'a str,
}

/// A new message.
#[derive(Debug, Serialize)]
pub struct NewMessage<'a> {
    /// Who gets it.
    pub receive_id: &'a str,
    /// What it says.
    #[serde(flatten)]
    pub content: Sealed,
    /// The same message within an hour is sent once.
    pub uuid: String,
}

/// An answer to a message.
#[derive(Debug, Serialize)]
pub struct NewReply {
    /// What it says.
    #[serde(flatten)]
    pub content: Sealed,
    /// Whether it opens or joins the message's thread.
    pub reply_in_thread: bool,
    /// The same answer within an hour is sent once.
    pub uuid: String,
}

/// A card's new content.
#[derive(Debug, Serialize)]
pub struct NewContent {
    /// The card, as JSON within JSON.
    pub content: String,
}

/// Content as the app API takes it: JSON within JSON.
#[derive(Debug, Clone, Serialize)]
pub struct Sealed {
    /// `interactive` or `text`.
    pub msg_type: &'static str,
    /// The card or the text, as JSON.
    pub content: String,
}

/// The reply of every call. The code decides, whatever the HTTP status.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// 0 is success.
    pub code: i64,
    /// What it says about it.
    #[serde(default)]
    pub msg: String,
    /// What was made.
    #[serde(default)]
    pub data: Option<Made>,
    /// The token, when one was asked for.
    #[serde(default)]
    pub tenant_access_token: Option<String>,
    /// How long the token holds, in seconds.
    #[serde(default)]
    pub expire: Option<u64>,
}

/// What a call made.
#[derive(Debug, Clone, Deserialize)]
pub struct Made {
    /// The message's id.
    #[serde(default)]
    pub message_id: Option<String>,
}

impl Answer {
    /// Reads a reply; `None` when it is not one of Feishu's.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}
