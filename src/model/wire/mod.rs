//! Foreign JSON of the chat completions protocol: what is sent, and lenient reading of what comes back.

mod body;
#[cfg(test)]
mod body_tests;
mod history;
mod message;
#[cfg(test)]
mod native_cases;
pub(super) mod prompted;
mod reply;
mod schema;
mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;

pub(super) use body::Sending;
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
