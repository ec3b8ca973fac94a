//! An MCP server over streamable HTTP that answers as kubernetes-mcp-server does, from answers worked out before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use firstlook::toolbox::config::{McpSettings, Transport};
use firstlook::toolbox::server::Server;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

use crate::alert::SCENARIO;
use crate::large;

/// The only session.
const SESSION: &str = "AGOTKSZ6FDBIEYANHAEBCBXKG4";

/// Answers by tool and arguments. Each is worked out once, by the built-in toolset over the scenario's objects.
pub struct Cluster {
    source: Server,
    answers: Mutex<HashMap<String, Arc<OnceCell<Value>>>>,
}

impl Cluster {
    pub fn load() -> Self {
        let settings = McpSettings {
            clusters: Vec::new(),
            name: "scenario".to_owned(),
            transport: Transport::Builtin,
            url: None,
            headers: Default::default(),
            kubeconfig: None,
            context: None,
            snapshot: Some(SCENARIO.into()),
            command: Vec::new(),
        };
        Self { source: Server::new(&settings).unwrap(), answers: Mutex::default() }
    }

    async fn call(&self, params: &Value) -> Value {
        let cell = self.answers.lock().await.entry(params.to_string()).or_default().clone();
        cell.get_or_init(|| self.work_out(params)).await.clone()
    }

    /// Text alone: the real server sends no objects beside it.
    async fn work_out(&self, params: &Value) -> Value {
        let tool = params["name"].as_str().unwrap_or_default();
        let arguments = params["arguments"].as_object().cloned().unwrap_or_default();
        if let Some(text) = large::text(arguments.get("namespace").and_then(Value::as_str).unwrap_or_default()) {
            return json!({ "content": [{ "type": "text", "text": text }] });
        }
        let answer = self.source.call(tool, &arguments, Duration::from_secs(10)).await.unwrap();
        json!({ "content": [{ "type": "text", "text": answer.text }], "isError": answer.is_error })
    }

    async fn tools(&self) -> Value {
        let names = self.source.tool_names().await.unwrap();
        let tools = names.iter().map(|name| json!({ "name": name, "inputSchema": { "type": "object" } }));
        json!({ "tools": tools.collect::<Vec<_>>() })
    }
}

pub fn router(cluster: Arc<Cluster>) -> Router {
    Router::new().route("/mcp", post(message)).with_state(cluster)
}

async fn message(State(cluster): State<Arc<Cluster>>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    let method = message["method"].as_str().unwrap_or_default();
    if method != "initialize" && headers.get("mcp-session-id").is_none_or(|session| session != SESSION) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let result = match method {
        "initialize" => json!({
            "protocolVersion": "2025-06-18",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "kubernetes-mcp-server", "version": "v0.0.67" },
        }),
        "tools/list" => cluster.tools().await,
        "tools/call" => cluster.call(&message["params"]).await,
        _ if message.get("id").is_none() => return StatusCode::ACCEPTED.into_response(),
        _ => return StatusCode::BAD_REQUEST.into_response(),
    };
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
    let headers = [(header::CONTENT_TYPE.as_str(), "text/event-stream"), ("mcp-session-id", SESSION)];
    (headers, format!("event: message\ndata: {answer}\n\n")).into_response()
}
