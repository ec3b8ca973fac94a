//! The outcome of one attempt to send, decided in the same words for every channel.

use std::time::Duration;

use thiserror::Error;

/// Why a message was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The destination was not reached or did not answer in time.
    Network,
    /// The destination asks to slow down.
    RateLimited,
    /// The destination failed on its side.
    Server,
    /// The destination refuses our credentials, address or signature.
    Auth,
    /// The destination refuses the message itself, in its plainest form.
    Rejected,
}

impl Reason {
    /// A fixed word for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::RateLimited => "rate_limited",
            Self::Server => "server",
            Self::Auth => "auth",
            Self::Rejected => "rejected",
        }
    }

    /// What to do about it, in words that hold for every destination: its own are with the message.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Network => "check DNS, egress and the proxy settings; messages wait and are tried again",
            Self::RateLimited => "nothing: messages wait as long as the product asks, and merge when many do",
            Self::Server => "nothing: the product fails on its side, and messages are tried again",
            Self::Auth | Self::Rejected => {
                "the incident's page has what the product said; mend it and send the message again from there"
            }
        }
    }

    /// Whether the same message can succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Network | Self::RateLimited | Self::Server)
    }
}

/// A failed attempt. Its text never holds a secret: addresses are cut to scheme and host.
#[derive(Debug, Clone, Error)]
#[error("{} ({})", detail, reason.label())]
pub struct SendError {
    /// What kind of failure it is.
    pub reason: Reason,
    /// What the destination said, and what to do about it.
    pub detail: String,
    /// How long the destination asks to wait.
    pub retry_after: Option<Duration>,
    /// Whether the message may have arrived all the same: no answer came that says otherwise.
    pub perhaps_arrived: bool,
}

impl SendError {
    /// A failure without a wish to wait.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), retry_after: None, perhaps_arrived: false }
    }

    /// The same for an attempt to which no answer came.
    #[must_use]
    pub fn perhaps_arrived(self, perhaps_arrived: bool) -> Self {
        Self { perhaps_arrived, ..self }
    }
}

/// The form in which a message was at last accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As designed.
    Full,
    /// Shortened to fit.
    Compact,
    /// Plain text, after the richer forms were refused.
    Plain,
}

impl Form {
    /// A fixed word for the store, logs and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Compact => "compact",
            Self::Plain => "plain",
        }
    }
}
