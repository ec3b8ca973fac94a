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
    /// Plain text. 2 048 bytes. `mentioned_list` is left out on purpose: nobody is mentioned by what an alert says.
    Text {
        /// The text.
        text: Text,
    },
}

/// The body of either.
#[derive(Debug, Clone, Serialize)]
pub struct Text {
    /// UTF-8.
    pub content: String,
}

/// The reply. HTTP 200 alone says nothing.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// 0 is success.
    pub errcode: i64,
    /// What it says about it, with a hint and a request id.
    #[serde(default)]
    pub errmsg: String,
}

impl Answer {
    /// Reads a reply; `None` when it is not one of WeCom's.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}
