//! Model: one question to a language model and one whole answer back, whatever the provider makes of the protocol.

use std::future::Future;

use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

pub mod absence;
pub mod breaker;
pub mod capabilities;
pub mod client;
pub mod config;
pub mod error;
pub mod fallback;
mod form;
pub mod ledger;
pub mod probe;
pub mod profile;
pub mod reaction;
pub mod recover;
mod retry;
pub mod roster;
pub mod tape;
pub mod wire;

pub use absence::{Absence, Passed};
pub use capabilities::{Capabilities, ToolMode};
pub use client::Client;
pub use config::ModelConfig;
pub use error::{Class, ModelError};
pub use fallback::Fallback;
pub use form::Change;
pub use ledger::{DailyLimits, Ledger};
pub use profile::{Catalogue, Profile};
pub use reaction::{Reaction, reaction};
pub use recover::{Family, Recovered, recover};
pub use roster::{Roster, Standing};
pub use tape::Tape;
pub use wire::{Arguments, AssistantMessage, Message, Reply, TokenUsage, ToolCall};

/// A function offered to a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Function {
    /// Name the model calls it by.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// JSON schema of its arguments, always an object with `type` and `properties`.
    pub parameters: Value,
    /// Whether calling it changes nothing. A call that was found in text is only believed of such a function.
    pub read_only: bool,
}

/// Text in which a model meant to call functions, and nothing that could be called was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Garbled {
    /// Markers of calls around something that is no call.
    Unreadable,
    /// Remains of markers, or an old layout without them: asked again, the model may do it right.
    Suspected,
    /// Calls of functions that were not offered.
    NotOffered(Vec<String>),
    /// Calls of functions that change something; those are never taken from text.
    Changing(Vec<String>),
}

/// One question: the conversation so far and the functions that may be called in the answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// System, user, assistant and tool messages, in order, every tool call answered.
    pub messages: Vec<Message>,
    /// What the model may call; to force an answer the others are left out, which every provider understands.
    pub tools: Vec<Function>,
}

/// Something that answers a conversation. A real provider, several in order, or a script in a test.
pub trait Model: Send + Sync {
    /// The name it has in the configuration.
    fn name(&self) -> &str;

    /// Tokens that fit into it, question and answer together.
    fn context_tokens(&self) -> usize;

    /// What an answer cost, in the currency of the model's prices; zero where they are not known.
    fn cost(&self, usage: TokenUsage) -> f64 {
        let _ = usage;
        0.0
    }

    /// The currency of [`Model::cost`]; none where prices are not known, or where it would not be one.
    fn currency(&self) -> Option<&str> {
        None
    }

    /// Asks once and waits for the whole answer, at the latest until `deadline`.
    fn complete(&self, request: &Request, deadline: Instant) -> impl Future<Output = Result<Reply, ModelError>> + Send;
}
