//! Errors of MCP servers: why one could not be asked, told to people.

use std::time::Duration;

use thiserror::Error;

/// Why a server could not be asked.
#[derive(Debug, Clone, Error)]
pub enum ServerError {
    /// Its settings cannot work.
    #[error("MCP server {name}: {problem}")]
    Settings {
        /// The server's configured name.
        name: String,
        /// What is wrong and what to write instead.
        problem: String,
    },
    /// It was not reached, or broke off.
    #[error("MCP server {name} is unreachable: {problem}")]
    Unreachable {
        /// The server's configured name.
        name: String,
        /// What happened.
        problem: String,
    },
    /// It did not answer in time.
    #[error("MCP server {name} did not answer within {} s", limit.as_secs_f32())]
    TimedOut {
        /// The server's configured name.
        name: String,
        /// The time limit that passed.
        limit: Duration,
    },
}

/// Why a transport could not be set up.
#[derive(Debug)]
pub(super) struct DialError {
    /// In one sentence.
    pub problem: String,
    /// Whether something answers at the address but does not speak this transport.
    pub speaks_otherwise: bool,
}

impl DialError {
    /// A failure that says nothing about what else the server may speak.
    pub(super) fn new(error: &(dyn std::error::Error + 'static)) -> Self {
        Self { problem: chain(error), speaks_otherwise: false }
    }
}

/// An error with all its causes in one line; libraries put the telling part last.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    text
}
