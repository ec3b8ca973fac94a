//! The app API's JSON: tokens, messages, and the reply every call has.

mod entity;

pub use entity::{CardJson, Settings, Shown, Text, Whole};
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
    /// The entity's id.
    #[serde(default)]
    pub card_id: Option<String>,
}

impl Answer {
    /// Reads a reply; `None` when it is not one of Feishu's.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

/// A callback over HTTP: encrypted, or the question whether the address is ours.
#[derive(Debug, Deserialize)]
pub struct Envelope {
    /// The event, encrypted and in base64.
    pub encrypt: String,
}

/// The question whether an address is ours, asked when it is saved in the console.
#[derive(Debug, Deserialize)]
pub struct Challenge {
    /// `url_verification`.
    pub r#type: String,
    /// What to say back.
    pub challenge: String,
    /// The verification token.
    #[serde(default)]
    pub token: String,
}

/// An event, schema 2.0.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// What kind, and from where.
    pub header: EventHeader,
    /// What happened.
    #[serde(default)]
    pub event: serde_json::Value,
}

/// What every event has.
#[derive(Debug, Deserialize)]
pub struct EventHeader {
    /// The same event comes with the same one.
    pub event_id: String,
    /// `card.action.trigger` for a press.
    pub event_type: String,
    /// The verification token.
    #[serde(default)]
    pub token: String,
    /// The app it is meant for.
    #[serde(default)]
    pub app_id: String,
}

/// A press on a card.
#[derive(Debug, Deserialize)]
pub struct CardAction {
    /// Who.
    pub operator: Operator,
    /// What.
    pub action: ActionOf,
    /// Where.
    pub context: ActionContext,
}

/// Who pressed.
#[derive(Debug, Deserialize)]
pub struct Operator {
    /// As this app knows them.
    pub open_id: String,
    /// As their company knows them, when the app may know.
    #[serde(default)]
    pub user_id: Option<String>,
}

/// What was pressed.
#[derive(Debug, Deserialize)]
pub struct ActionOf {
    /// What the button carries; an object of ours.
    #[serde(default)]
    pub value: serde_json::Value,
    /// The button's name, for buttons of a form.
    #[serde(default)]
    pub name: Option<String>,
    /// What the form's fields hold.
    #[serde(default)]
    pub form_value: Option<FormValue>,
}

/// What the fields of our form hold.
#[derive(Debug, Deserialize)]
pub struct FormValue {
    /// The reason somebody wrote.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Where a button was pressed.
#[derive(Debug, Deserialize)]
pub struct ActionContext {
    /// The message of the card.
    pub open_message_id: String,
}

/// The answer to a press: a line that shows for a moment.
#[derive(Debug, Serialize)]
pub struct Toasted {
    /// The line.
    pub toast: Toast,
}

/// A line that shows for a moment.
#[derive(Debug, Serialize)]
pub struct Toast {
    /// `success`, `info` or `error`.
    pub r#type: &'static str,
    /// The line.
    pub content: String,
}

/// Asks where the long connection is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointRequest<'a> {
    /// The app's id.
    #[serde(rename = "AppID")]
    pub app_id: &'a str,
    /// The app's secret.
    pub app_secret: &'a str,
}

/// Where the long connection is.
#[derive(Debug, Deserialize)]
pub struct EndpointAnswer {
    /// 0 is success.
    pub code: i64,
    /// What it says about it.
    #[serde(default)]
    pub msg: String,
    /// The place.
    #[serde(default)]
    pub data: Option<Endpoint>,
}

/// The place of the long connection.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoint {
    /// Its address; the query is a credential.
    #[serde(rename = "URL")]
    pub url: String,
    /// How to behave there.
    #[serde(default, rename = "ClientConfig")]
    pub client: ClientConfig,
}

/// How a client of the long connection is to behave, in seconds.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ClientConfig {
    /// Between two attempts to connect again.
    pub reconnect_interval: Option<u64>,
    /// The most that is waited, at random, before the first of them.
    pub reconnect_nonce: Option<u64>,
    /// Between two pings.
    pub ping_interval: Option<u64>,
}

/// What is sent back for a frame with an event.
#[derive(Debug, Serialize)]
pub struct FrameAnswer {
    /// 200 when it was handled.
    pub code: u16,
    /// The callback's answer, as JSON in base64.
    pub data: String,
}

/// A frame of the long connection: protobuf, as the platform's own clients speak it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Frame {
    /// Counts the frames of a connection.
    #[prost(uint64, required, tag = "1")]
    pub seq_id: u64,
    /// For the platform's log.
    #[prost(uint64, required, tag = "2")]
    pub log_id: u64,
    /// The service the connection belongs to.
    #[prost(int32, required, tag = "3")]
    pub service: i32,
    /// 0 for pings and pongs, 1 for data.
    #[prost(int32, required, tag = "4")]
    pub method: i32,
    /// `type`, `message_id`, `sum`, `seq` and others.
    #[prost(message, repeated, tag = "5")]
    pub headers: Vec<FrameHeader>,
    /// How the payload is packed.
    #[prost(string, optional, tag = "6")]
    pub payload_encoding: Option<String>,
    /// What the payload is.
    #[prost(string, optional, tag = "7")]
    pub payload_type: Option<String>,
    /// The event, or part of it.
    #[prost(bytes = "vec", optional, tag = "8")]
    pub payload: Option<Vec<u8>>,
    /// For the platform's log, as text.
    #[prost(string, optional, tag = "9")]
    pub log_id_new: Option<String>,
}

/// A header of a frame.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FrameHeader {
    /// Its name.
    #[prost(string, required, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, required, tag = "2")]
    pub value: String,
}

impl Frame {
    /// A header's value; empty when there is none.
    #[must_use]
    pub fn header(&self, key: &str) -> &str {
        self.headers.iter().find(|header| header.key == key).map_or("", |header| header.value.as_str())
    }
}
