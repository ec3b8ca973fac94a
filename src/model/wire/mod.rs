//! Foreign JSON of the chat completions protocol: what is sent, and lenient reading of what comes back.

mod message;
#[cfg(test)]
mod native_cases;
mod reply;
mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::config::ModelConfig;
use super::{Function, Request};

pub use message::{Arguments, AssistantMessage, Message, ToolCall};
pub use reply::{Reply, TokenUsage};
pub(super) use stream::assemble;

/// The most that is read of one answer; a whole diagnosis with long thinking stays far below 1 MiB.
pub(super) const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Why what came back with a status of 200 is no answer.
#[derive(Debug, Clone, PartialEq, Error)]
pub(super) enum Fault {
    /// An error in place of an answer: its own status where it names one, and its whole body.
    #[error("an error came instead of an answer")]
    Refused {
        /// The status the body names, if any.
        status: Option<u16>,
        /// The body.
        body: String,
    },
    /// Something else than JSON.
    #[error("what came back is not JSON")]
    NotJson,
    /// No choice, no message.
    #[error("the answer holds no message")]
    Empty,
    /// The stream ended before the answer did.
    #[error("the stream ended in the middle of the answer")]
    Cut,
    /// More than is reasonable.
    #[error("the answer is longer than {} MiB", MAX_ANSWER_BYTES >> 20)]
    TooLong,
    /// Not one byte for a while.
    #[error("the provider was silent for {0:?}")]
    Silent(Duration),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// The body of one request.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: &'a [Message],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
}

impl<'a> Body<'a> {
    /// The request as JSON. It always asks for a stream: some providers refuse to let a thinking model answer whole.
    pub(super) fn new(config: &'a ModelConfig, request: &'a Request, ask_for_usage: bool) -> Self {
        Self {
            model: &config.model,
            messages: &request.messages,
            tools: request.tools.iter().map(declaration).collect(),
            stream: true,
            stream_options: ask_for_usage.then(|| json!({ "include_usage": true })),
            max_tokens: config.max_tokens,
            temperature: config.temperature,
        }
    }
}

fn declaration(function: &Function) -> Value {
    let Function { name, description, parameters, .. } = function;
    json!({ "type": "function", "function": { "name": name, "description": description, "parameters": parameters } })
}
