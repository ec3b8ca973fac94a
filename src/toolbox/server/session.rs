//! A session: one live connection, the tools found when it was made, and one call on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientRequest, ContentBlock, ErrorData, JsonObject, PaginatedRequestParams,
    PingRequest,
};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use serde_json::Value;
use tokio_util::sync::DropGuard;

use super::error::{chain, transport_problem};

/// The rmcp client behind a session.
pub(super) type Service = RunningService<RoleClient, ()>;

/// Pages of a tool list that are read; kubernetes-mcp-server has one.
const PAGE_LIMIT: usize = 20;
/// A server that does not answer a ping by then is taken for gone.
const PING_LIMIT: Duration = Duration::from_secs(2);
/// JSON-RPC codes by which gateways and SDKs report a lost session, besides those that say "session".
const LOST_CODES: [i32; 3] = [-32600, -32001, -32000];

/// What a server answered; a failed tool is an answer too.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The answer's text parts.
    pub text: String,
    /// The same as data, where the server gives it.
    pub structured: Option<Value>,
    /// Whether the tool failed.
    pub is_error: bool,
}

/// Why a call has no answer.
pub(super) enum Failure {
    /// The session is gone, for this reason.
    Lost(String),
    /// The answer is larger than what is accepted.
    TooLarge,
}

/// What a transport said before it ended: rmcp knows only that it did.
#[derive(Debug, Clone, Default)]
pub(super) struct LastWords(Arc<Mutex<String>>);

impl LastWords {
    pub(super) fn say(&self, words: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }

    /// A problem with the last words behind it, when there are any.
    pub(super) fn after(&self, problem: String) -> String {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if words.is_empty() { problem } else { format!("{problem}; {words}") }
    }
}

/// What a transport gives when it is set up.
pub(super) struct Connection {
    pub(super) service: Service,
    pub(super) last_words: LastWords,
    /// Ends with the session: the API server of a snapshot.
    pub(super) _kept: Option<DropGuard>,
}

impl From<Service> for Connection {
    fn from(service: Service) -> Self {
        Self { service, last_words: LastWords::default(), _kept: None }
    }
}

/// A live connection and the tools it offered when it was made. Ends, and its child process with it, when dropped.
pub(super) struct Session {
    connection: Connection,
    tools: Vec<String>,
    given_up: AtomicBool,
}

impl Session {
    /// Asks for the tools: the proof that the server works.
    pub(super) async fn open(connection: Connection) -> Result<Self, String> {
        let listed = tool_names(&connection.service).await;
        let tools = listed.map_err(|error| connection.last_words.after(problem(&error)))?;
        Ok(Self { connection, tools, given_up: AtomicBool::new(false) })
    }

    pub(super) fn tools(&self) -> &[String] {
        &self.tools
    }

    /// Whether a call may be made on it.
    pub(super) fn is_usable(&self) -> bool {
        let service = &self.connection.service;
        !self.given_up.load(Ordering::Relaxed) && !service.is_closed() && !service.is_transport_closed()
    }

    /// No new call is made on it; those under way may finish.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Gives the session up unless the server behind it still answers.
    pub(super) async fn check(&self) {
        let ping = self.connection.service.send_request(ClientRequest::PingRequest(PingRequest::default()));
        if !matches!(tokio::time::timeout(PING_LIMIT, ping).await, Ok(Ok(_))) {
            self.give_up();
        }
    }

    /// Calls a tool. When the caller stops waiting, the server is told to stop working.
    pub(super) async fn call(&self, tool: &str, arguments: &JsonObject) -> Result<Answer, Failure> {
        let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.clone());
        match self.connection.service.call_tool(request).await {
            Ok(result) => answer(result),
            Err(ServiceError::McpError(error)) if is_session_loss(&error) => Err(self.lost(error.message.to_string())),
            // The server understood and refused (unknown tool, bad arguments): the caller reads why.
            Err(ServiceError::McpError(error)) => {
                Ok(Answer { text: error.message.into_owned(), structured: None, is_error: true })
            }
            Err(error) => match problem(&error) {
                text if is_too_large(&text) => Err(Failure::TooLarge),
                text => Err(self.lost(text)),
            },
        }
    }

    fn lost(&self, problem: String) -> Failure {
        Failure::Lost(self.connection.last_words.after(problem))
    }
}

async fn tool_names(service: &Service) -> Result<Vec<String>, ServiceError> {
    let mut names = Vec::new();
    let mut page = None;
    for _ in 0..PAGE_LIMIT {
        let listed = service.list_tools(page.take()).await?;
        names.extend(listed.tools.into_iter().map(|tool| tool.name.into_owned()));
        let Some(cursor) = listed.next_cursor else { break };
        page = Some(PaginatedRequestParams::default().with_cursor(Some(cursor)));
    }
    Ok(names)
}

fn problem(error: &ServiceError) -> String {
    match error {
        ServiceError::TransportSend(error) => transport_problem(error),
        error => chain(error),
    }
}

/// Whether an error says that the server does not know the session any more: not all answer 404.
fn is_session_loss(error: &ErrorData) -> bool {
    LOST_CODES.contains(&error.code.0) || error.message.to_ascii_lowercase().contains("session")
}

/// rmcp's limits on events and bodies speak only through their texts.
fn is_too_large(text: &str) -> bool {
    text.contains("exceeded the maximum size")
}

fn answer(result: CallToolResult) -> Result<Answer, Failure> {
    let parts: Vec<String> = result
        .content
        .iter()
        .map(|block| match block {
            ContentBlock::Text(text) => text.text.clone(),
            _ => "[a part that is not text was left out]".to_owned(),
        })
        .collect();
    let mut text = parts.join("\n");
    if let Some(value) = result.structured_content.as_ref().filter(|_| text.is_empty()) {
        // Older ends of the protocol want the same in a text; not every server gives both.
        text = format!("{value:#}");
    }
    if text.len() > super::MESSAGE_LIMIT {
        return Err(Failure::TooLarge);
    }
    Ok(Answer { text, structured: result.structured_content, is_error: result.is_error.unwrap_or(false) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmcp::model::ErrorCode;

    #[test]
    fn sessions_are_lost_in_many_words() {
        let said = |code, text: &'static str| is_session_loss(&ErrorData::new(ErrorCode(code), text, None));
        assert!(said(-32600, "Invalid Request"));
        assert!(said(-32602, "Invalid session ID"));
        assert!(said(0, "method \"tools/call\" is invalid during session initialization"));
        assert!(!said(-32602, "unknown tool \"pods_delete\""));
    }
}
