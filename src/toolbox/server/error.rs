//! Errors of MCP servers: why one could not be asked, told to people.

use std::time::Duration;

use rmcp::service::ClientInitializeError;
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::StreamableHttpError;
use thiserror::Error;

use super::session::LastWords;
use crate::alert::Lang;
use crate::unreached::with_remedy;

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

impl ServerError {
    /// The sentence in this language. What the network said is English, and stands in the log.
    #[must_use]
    pub fn told(&self, lang: Lang) -> String {
        lang.pick(self.in_chinese(), self.to_string())
    }

    fn in_chinese(&self) -> String {
        match self {
            Self::Settings { name, problem } => format!("MCP 服务 {name} 的配置不可用：{problem}"),
            Self::Unreachable { name, .. } => {
                format!("MCP 服务 {name} 无法访问，请确认它已启动且网络可达（firstlook check 会说明原因）")
            }
            Self::TimedOut { name, limit } => format!("MCP 服务 {name} 在 {} 秒内没有应答", limit.as_secs_f32()),
        }
    }
}

/// Why a transport could not be set up.
#[derive(Debug)]
pub(super) struct DialError {
    /// In one sentence.
    pub problem: String,
    /// Whether something answers at the address but does not speak this transport.
    pub speaks_otherwise: bool,
}

impl From<ClientInitializeError> for DialError {
    fn from(error: ClientInitializeError) -> Self {
        match &error {
            ClientInitializeError::TransportError { error, .. } => {
                Self { problem: transport_problem(error), speaks_otherwise: false }
            }
            _ => Self::new(&error),
        }
    }
}

impl DialError {
    /// A failure that says nothing about what else the server may speak.
    pub(super) fn new(error: &(dyn std::error::Error + 'static)) -> Self {
        Self { problem: chain(error), speaks_otherwise: false }
    }

    /// The same with what the transport said last.
    pub(super) fn with(self, last_words: &LastWords) -> Self {
        Self { problem: last_words.after(self.problem), ..self }
    }
}

/// What went wrong below rmcp, without the names of its types.
pub(super) fn transport_problem(error: &DynamicTransportError) -> String {
    match error.error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        // It does not name the error it wraps as its cause, and there stands why the connection failed.
        Some(StreamableHttpError::Client(error)) => chain(error),
        Some(error) => chain(error),
        None => chain(error.error.as_ref()),
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
    with_remedy(text)
}
