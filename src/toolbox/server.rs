//! One MCP server: how to reach it, the live connection, and one call with a time limit.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rmcp::ServiceExt;
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock, JsonObject, Tool};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use secrecy::ExposeSecret;
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::config::{McpSettings, Transport};
use crate::kube::snapshot::Snapshot;
use crate::kube::toolset::{ClusterSource, Toolset};
use crate::telemetry::Health;

/// The handshake and the tool list together may take this long.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Largest answer accepted, in bytes. A 72-pod namespace as YAML is 310 KB; 4 MiB is a runaway log.
const ANSWER_LIMIT: usize = 4 << 20;

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

/// Everything needed to build the connection again.
enum Recipe {
    Http(Box<StreamableHttpClientTransportConfig>),
    Builtin(ClusterSource),
    Snapshot(Arc<Snapshot>),
}

/// A live connection and the tools it offered when it was made.
struct Session {
    service: RunningService<RoleClient, ()>,
    tools: Vec<Tool>,
    /// Ends the snapshot's API server, when there is one, with the session.
    _snapshot: Option<DropGuard>,
}

/// An MCP server. Connects at first use and again whenever the connection is gone.
pub struct Server {
    name: String,
    recipe: Recipe,
    session: Mutex<Option<Arc<Session>>>,
    health: Health,
}

impl Server {
    /// Reads the settings; nothing is dialled yet.
    ///
    /// # Errors
    /// Settings that contradict each other, with what to write instead.
    pub fn new(settings: &McpSettings) -> Result<Self, ServerError> {
        let name = settings.name.clone();
        let wrong = |problem: &str| ServerError::Settings { name: name.clone(), problem: problem.to_owned() };
        let recipe = match (settings.transport, &settings.url) {
            (Transport::Http, None) => return Err(wrong("`transport: http` needs a `url`")),
            (Transport::Builtin, Some(_)) => {
                return Err(wrong("`transport: builtin` takes no `url`; remove one of them"));
            }
            (Transport::Http | Transport::Auto, Some(url)) => Recipe::Http(Box::new(http_config(settings, url)?)),
            (Transport::Builtin | Transport::Auto, None) => builtin(settings)?,
            (Transport::Sse | Transport::Stdio, _) => {
                return Err(wrong("this version speaks `http` and `builtin` only"));
            }
        };
        Ok(Self { name: settings.name.clone(), recipe, session: Mutex::new(None), health: Health::default() })
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its last calls went.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The clock of a snapshot, which stands still; none for anything alive.
    #[must_use]
    pub fn frozen_clock(&self) -> Option<Timestamp> {
        match &self.recipe {
            Recipe::Snapshot(snapshot) => Some(snapshot.now()),
            Recipe::Http(_) | Recipe::Builtin(_) => None,
        }
    }

    /// Names of the tools the server offers, connecting first when needed.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn tool_names(&self) -> Result<Vec<String>, ServerError> {
        Ok(self.session().await?.tools.iter().map(|tool| tool.name.to_string()).collect())
    }

    /// Calls a tool. Reads only: after a lost connection the call is made once more.
    ///
    /// # Errors
    /// When the server is unreachable or does not answer within `limit`.
    pub async fn call(&self, tool: &str, arguments: &JsonObject, limit: Duration) -> Result<Answer, ServerError> {
        tokio::time::timeout(limit, self.call_twice(tool, arguments))
            .await
            .unwrap_or_else(|_| Err(ServerError::TimedOut { name: self.name.clone(), limit }))
    }

    async fn call_twice(&self, tool: &str, arguments: &JsonObject) -> Result<Answer, ServerError> {
        let session = self.session().await?;
        match call_once(&session, tool, arguments).await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                tracing::warn!(mcp.server = %self.name, mcp.tool = tool, %error, "mcp call failed, dialling again")
            }
        }
        self.forget(&session).await;
        let session = self.session().await?;
        call_once(&session, tool, arguments).await.map_err(|error| self.unreachable(&error))
    }

    /// The live session. The lock makes parallel calls share one dial instead of stampeding.
    async fn session(&self) -> Result<Arc<Session>, ServerError> {
        let mut slot = self.session.lock().await;
        if let Some(session) = slot.as_ref().filter(|session| !session.service.is_closed()) {
            return Ok(session.clone());
        }
        let session = tokio::time::timeout(CONNECT_LIMIT, self.dial())
            .await
            .unwrap_or_else(|_| Err(ServerError::TimedOut { name: self.name.clone(), limit: CONNECT_LIMIT }))?;
        let session = Arc::new(session);
        *slot = Some(session.clone());
        Ok(session)
    }

    async fn forget(&self, broken: &Arc<Session>) {
        let mut slot = self.session.lock().await;
        if slot.as_ref().is_some_and(|session| Arc::ptr_eq(session, broken)) {
            *slot = None;
        }
    }

    async fn dial(&self) -> Result<Session, ServerError> {
        let (service, snapshot) = match &self.recipe {
            Recipe::Http(config) => {
                let transport = StreamableHttpClientTransport::from_config((**config).clone());
                (().serve(transport).await.map_err(|error| self.unreachable(&error))?, None)
            }
            Recipe::Builtin(source) => (self.in_process(source.clone()).await?, None),
            Recipe::Snapshot(snapshot) => {
                let (address, guard) = self.serve_snapshot(snapshot).await?;
                (self.in_process(ClusterSource::Snapshot(address)).await?, Some(guard))
            }
        };
        let tools = service.list_all_tools().await.map_err(|error| self.unreachable(&error))?;
        Ok(Session { service, tools, _snapshot: snapshot })
    }

    /// The built-in toolset behind a pipe: the same protocol as over a network, without one.
    async fn in_process(&self, source: ClusterSource) -> Result<RunningService<RoleClient, ()>, ServerError> {
        let toolset = Toolset::connect(source).await.map_err(|error| self.unreachable(&error))?;
        ().serve(toolset.spawn()).await.map_err(|error| self.unreachable(&error))
    }

    async fn serve_snapshot(&self, snapshot: &Arc<Snapshot>) -> Result<(SocketAddr, DropGuard), ServerError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| self.unreachable(&error))?;
        let address = listener.local_addr().map_err(|error| self.unreachable(&error))?;
        let stop = CancellationToken::new();
        tokio::spawn(snapshot.clone().serve(listener, stop.clone()));
        Ok((address, stop.drop_guard()))
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> ServerError {
        let mut problem = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            problem = format!("{problem}: {inner}");
            source = inner.source();
        }
        ServerError::Unreachable { name: self.name.clone(), problem }
    }
}

fn http_config(settings: &McpSettings, url: &str) -> Result<StreamableHttpClientTransportConfig, ServerError> {
    let wrong = |problem: String| ServerError::Settings { name: settings.name.clone(), problem };
    url::Url::parse(url).map_err(|error| wrong(format!("`url` is no address: {error}")))?;
    let mut headers = std::collections::HashMap::new();
    for (name, value) in &settings.headers {
        let bad = || wrong(format!("header `{name}` is not a valid HTTP header"));
        let key = axum::http::HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
        headers.insert(key, axum::http::HeaderValue::try_from(value.expose_secret()).map_err(|_| bad())?);
    }
    let mut config = StreamableHttpClientTransportConfig::with_uri(url)
        .custom_headers(headers)
        .reinit_on_expired_session(true)
        .max_sse_event_size(ANSWER_LIMIT)
        .max_json_response_size(ANSWER_LIMIT);
    config.allow_stateless = true;
    Ok(config)
}

/// The built-in toolset's cluster: a snapshot, a kubeconfig, or the cluster this process runs in.
fn builtin(settings: &McpSettings) -> Result<Recipe, ServerError> {
    if let Some(dir) = &settings.snapshot {
        let snapshot = Snapshot::load(dir)
            .map_err(|error| ServerError::Settings { name: settings.name.clone(), problem: error.to_string() })?;
        return Ok(Recipe::Snapshot(Arc::new(snapshot)));
    }
    // Kubernetes sets this in every pod.
    let in_cluster = settings.kubeconfig.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    Ok(Recipe::Builtin(if in_cluster {
        ClusterSource::InCluster
    } else {
        ClusterSource::Kubeconfig { path: settings.kubeconfig.clone(), context: settings.context.clone() }
    }))
}

async fn call_once(session: &Session, tool: &str, arguments: &JsonObject) -> Result<Answer, ServiceError> {
    let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.clone());
    match session.service.call_tool(request).await {
        Ok(result) => Ok(answer(result)),
        // The server understood and refused (unknown tool, bad arguments): the caller reads why.
        Err(ServiceError::McpError(error)) => {
            Ok(Answer { text: error.message.into_owned(), structured: None, is_error: true })
        }
        Err(error) => Err(error),
    }
}

fn answer(result: CallToolResult) -> Answer {
    let parts: Vec<String> = result
        .content
        .iter()
        .map(|block| match block {
            ContentBlock::Text(text) => text.text.clone(),
            _ => "[a part that is not text was left out]".to_owned(),
        })
        .collect();
    Answer { text: parts.join("\n"), structured: result.structured_content, is_error: result.is_error.unwrap_or(false) }
}
