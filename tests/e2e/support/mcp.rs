//! A strict MCP server over streamable HTTP whose sessions can be lost in every way seen in the wild.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::serve;

/// What the server answers to a session it does not know.
#[derive(Debug, Clone, Copy)]
pub enum Unknown {
    /// A status and a text that is no JSON.
    Text(u16, &'static str),
    /// A status and a JSON-RPC error.
    Error(u16, i64, &'static str),
}

#[derive(Debug)]
struct Book {
    unknown: Unknown,
    sessions: HashSet<String>,
    initialized: usize,
    calls: Vec<String>,
    cancelled: usize,
    /// Whether sessions are lost as soon as they are made.
    forgetful: bool,
    /// What it offers.
    tools: Vec<&'static str>,
    /// The token it asks for, when it asks for one.
    token: Option<String>,
}

/// The server. `pods_get` answers at once, `events_list` never, `pods_log` with 50 MB; `pods_list` with a picture,
/// `namespaces_list` with nothing but structured content, `nodes_top` with an error.
#[derive(Clone)]
pub struct McpServer {
    pub url: String,
    book: Arc<Mutex<Book>>,
}

impl McpServer {
    pub async fn start(unknown: Unknown) -> Self {
        firstlook::trust::cryptography();
        let book = Book {
            unknown,
            sessions: HashSet::new(),
            initialized: 0,
            calls: Vec::new(),
            cancelled: 0,
            forgetful: false,
            tools: vec!["pods_get", "events_list", "pods_log"],
            token: None,
        };
        let book = Arc::new(Mutex::new(book));
        let router = Router::new().route("/mcp", post(take)).with_state(book.clone());
        Self { url: serve(router).await + "/mcp", book }
    }

    /// Offers these instead.
    pub fn offering(self, tools: &[&'static str]) -> Self {
        self.book.lock().unwrap().tools = tools.to_vec();
        self
    }

    /// Asks for this token from now on, and knows no session any more.
    pub fn ask_for(&self, token: &str) {
        let mut book = self.book.lock().unwrap();
        book.token = Some(token.to_owned());
        book.sessions.clear();
    }

    /// Loses all sessions.
    pub fn forget(&self) {
        self.book.lock().unwrap().sessions.clear();
    }

    /// Loses every session as soon as its tools were listed.
    pub fn forget_always(&self) {
        self.book.lock().unwrap().forgetful = true;
    }

    /// How many sessions were ever made.
    pub fn initialized(&self) -> usize {
        self.book.lock().unwrap().initialized
    }

    /// The tools whose calls were taken.
    pub fn calls(&self) -> Vec<String> {
        self.book.lock().unwrap().calls.clone()
    }

    /// How many calls the client said it no longer waits for.
    pub fn cancelled(&self) -> usize {
        self.book.lock().unwrap().cancelled
    }
}

async fn take(State(book): State<Arc<Mutex<Book>>>, headers: HeaderMap, body: Bytes) -> Response {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if book.lock().unwrap().token.as_ref().is_some_and(|token| bearer != format!("Bearer {token}")) {
        return (StatusCode::UNAUTHORIZED, "unauthorized").into_response();
    }
    let accept = headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !accept.contains("application/json") || !accept.contains("text/event-stream") {
        return (StatusCode::BAD_REQUEST, "Accept must contain both 'application/json' and 'text/event-stream'")
            .into_response();
    }
    if headers.get("content-type").is_none_or(|value| value != "application/json") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let Ok(message) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    if method == "initialize" {
        return initialize(&book, &message);
    }
    let session = headers.get("mcp-session-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !book.lock().unwrap().sessions.contains(session) {
        return match book.lock().unwrap().unknown {
            Unknown::Text(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
            Unknown::Error(status, code, text) => {
                let error = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": text}});
                (StatusCode::from_u16(status).unwrap(), axum::Json(error)).into_response()
            }
        };
    }
    match method.as_str() {
        "notifications/cancelled" => {
            assert!(message["params"]["requestId"].is_number(), "{message}");
            book.lock().unwrap().cancelled += 1;
            StatusCode::ACCEPTED.into_response()
        }
        "notifications/initialized" => StatusCode::ACCEPTED.into_response(),
        "ping" => result(&message, json!({})),
        "tools/list" => {
            let mut book = book.lock().unwrap();
            if book.forgetful {
                book.sessions.clear();
            }
            let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
            let tools: Vec<Value> = book.tools.iter().copied().map(tool).collect();
            result(&message, json!({"tools": tools}))
        }
        "tools/call" => call(&book, &message).await,
        _ => (StatusCode::BAD_REQUEST, format!("JSON RPC not handled: {method:?} unsupported")).into_response(),
    }
}

fn initialize(book: &Mutex<Book>, message: &Value) -> Response {
    let version = message["params"]["protocolVersion"].as_str().expect("a protocol version").to_owned();
    let mut book = book.lock().unwrap();
    book.initialized += 1;
    let session = format!("session-{}", book.initialized);
    book.sessions.insert(session.clone());
    let info = json!({"name": "strict", "version": "1"});
    let answer =
        result(message, json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}));
    ([("mcp-session-id", session)], answer).into_response()
}

async fn call(book: &Mutex<Book>, message: &Value) -> Response {
    let tool = message["params"]["name"].as_str().unwrap_or_default().to_owned();
    book.lock().unwrap().calls.push(tool.clone());
    let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
    let answer = match tool.as_str() {
        "pods_get" => text("kind: Pod"),
        "pods_log" => text(&"x".repeat(50 << 20)),
        "pods_list" => json!({"content": [{"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}]}),
        "namespaces_list" => json!({"content": [], "structuredContent": {"items": [{"name": "shop"}]}}),
        "nodes_top" => {
            let mut failed = text("failed to get nodes metrics: the server could not find the requested resource");
            failed["isError"] = true.into();
            failed
        }
        _ => std::future::pending().await,
    };
    result(message, answer)
}

fn result(message: &Value, result: Value) -> Response {
    axum::Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}
