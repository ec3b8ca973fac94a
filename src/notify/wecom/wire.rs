//! WeCom's JSON: the message and the reply.

use serde::{Deserialize, Serialize};

/// A message to a group bot.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "msgtype", rename_all = "snake_case")]
pub enum Message {
    /// Markdown with tables, fences and nested lists; no colours, no mentions. 4 096 bytes.
    MarkdownV2 {
        /// The markdown.
        markdown_v2: Text,
    },
    /// Plain text. 2 048 bytes. The only kind that calls people; whom, the configuration says, never an alert.
    Text {
        /// The text.
        text: Text,
    },
    /// A card. Lengths are advice in characters, a link is required.
    TemplateCard {
        /// The card.
        template_card: Box<TemplateCard>,
    },
    /// A file the bot was given before. Counts as a message.
    File {
        /// Which.
        file: Media,
    },
}

impl Text {
    /// Text that calls nobody.
    #[must_use]
    pub fn new(content: String) -> Self {
        Self { content, mentioned_list: Vec::new() }
    }
}

/// A `text_notice` card of a group bot: it leads somewhere and calls nobody back.
#[derive(Debug, Clone, Serialize)]
pub struct TemplateCard {
    /// `text_notice`.
    pub card_type: &'static str,
    /// The line above the title.
    pub source: Source,
    /// The title and the line below it.
    pub main_title: CardTitle,
    /// The text.
    pub sub_title_text: String,
    /// Up to six pairs.
    pub horizontal_content_list: Vec<CardLine>,
    /// Up to three links.
    pub jump_list: Vec<CardLink>,
    /// Where a tap on the card leads.
    pub card_action: CardLink,
}

/// The line above a card's title.
#[derive(Debug, Clone, Serialize)]
pub struct Source {
    /// 13 characters.
    pub desc: String,
    /// 0 grey, 1 black, 2 red, 3 green.
    pub desc_color: u8,
}

/// A card's title.
#[derive(Debug, Clone, Serialize)]
pub struct CardTitle {
    /// 26 characters.
    pub title: String,
    /// 30 characters.
    pub desc: String,
}

/// A pair on a card.
#[derive(Debug, Clone, Serialize)]
pub struct CardLine {
    /// 5 characters.
    pub keyname: String,
    /// 26 characters.
    pub value: String,
}

/// A link on a card.
#[derive(Debug, Clone, Serialize)]
pub struct CardLink {
    /// 1: an address.
    pub r#type: u8,
    /// 13 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The address.
    pub url: String,
}

/// A file by the id it got when it was uploaded; good for three days and for this bot only.
#[derive(Debug, Clone, Serialize)]
pub struct Media {
    /// The id.
    pub media_id: String,
}

/// The body of either.
#[derive(Debug, Clone, Serialize)]
pub struct Text {
    /// UTF-8.
    pub content: String,
    /// Users called by name; `@all` is everybody. In `text` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentioned_list: Vec<String>,
}

/// The reply. HTTP 200 alone says nothing.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// 0 is success.
    pub errcode: i64,
    /// What it says about it, with a hint and a request id.
    #[serde(default)]
    pub errmsg: String,
    /// The id of an uploaded file.
    #[serde(default)]
    pub media_id: Option<String>,
}

impl Answer {
    /// Reads a reply; `None` when it is not one of WeCom's.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

/// A file as the form an upload expects: content type and body. WeCom wants the file's length beside its name, which is
/// why no library's form serves. The name is ours and plain ASCII.
#[must_use]
pub fn form_data(name: &str, content: &[u8]) -> (String, Vec<u8>) {
    let boundary = format!("firstlook-{}", uuid::Uuid::new_v4().simple());
    let length = content.len();
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"media\"; filename=\"{name}\"; filelength={length}\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    (format!("multipart/form-data; boundary={boundary}"), [head.as_bytes(), content, tail.as_bytes()].concat())
}
