//! Prometheus as a second toolset: two read-only tools in this process, behind the same door as every other tool.

mod client;
mod config;
mod text;
mod wire;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt};
use serde_json::{Map, Value, json};
use tokio::io::DuplexStream;

pub use client::{Answer, Client, LONGEST_RANGE, Measured, PrometheusError};
pub use config::PrometheusSettings;

/// Bytes in flight between the two ends in one process.
const PIPE: usize = 256 * 1024;
/// The value of an expression now.
pub const QUERY: &str = "prometheus_query";
/// The values of an expression over a range.
pub const QUERY_RANGE: &str = "prometheus_query_range";
/// Nobody measures farther away than ten years.
const FARTHEST: SignedDuration = SignedDuration::from_hours(10 * 366 * 24);
/// Minutes of a range, when none are asked for.
const MINUTES: i64 = 60;

/// Marks an answer that says that Prometheus itself did not give one, so that its health is known.
pub const AWAY: &str = "firstlook_away";

/// Why there is no answer, and whether it is because Prometheus is not there or refuses us.
struct Failed {
    text: String,
    away: bool,
}

/// The tools over one Prometheus.
#[derive(Clone)]
pub struct Toolset(Arc<Client>);

impl Toolset {
    /// The tools of a client.
    #[must_use]
    pub fn new(client: Arc<Client>) -> Self {
        Self(client)
    }

    /// Serves the tools to one MCP client in this process and returns its end of the pipe. Must be called on a Tokio
    /// runtime; the server ends when that end is dropped.
    #[must_use]
    pub fn spawn(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let toolset = self.clone();
        tokio::spawn(async move {
            match toolset.serve(ours).await {
                Ok(service) => drop(service.waiting().await),
                Err(error) => tracing::debug!(%error, "the client of Prometheus' tools left before it was initialized"),
            }
        });
        theirs
    }

    async fn answer(&self, tool: &str, arguments: &Map<String, Value>) -> Option<Result<(String, Value), Failed>> {
        let asked = match Asked::read(arguments) {
            Ok(asked) => asked,
            Err(text) => return Some(Err(Failed { text, away: false })),
        };
        let answer = match tool {
            QUERY => self.0.query(&asked.query, asked.end).await,
            QUERY_RANGE => self.0.query_range(&asked.query, asked.start, asked.end, asked.step).await,
            _ => return None,
        };
        let failed = |error: PrometheusError| Failed { text: error.to_string(), away: error.is_away() };
        Some(answer.map_err(failed).map(|mut answer| {
            answer.series.retain(|series| asked.allows(&series.labels));
            (text::table(&answer), text::structured(&answer))
        }))
    }
}

/// What a call asks for.
struct Asked {
    query: String,
    start: Timestamp,
    end: Timestamp,
    step: Option<i64>,
    /// Series that say otherwise about one of these labels are left out.
    labels: Vec<(String, String)>,
}

impl Asked {
    fn read(arguments: &Map<String, Value>) -> Result<Self, String> {
        let query = arguments.get("query").and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        if query.is_empty() {
            return Err("query parameter required".to_owned());
        }
        let time = |name: &str| match arguments.get(name).and_then(Value::as_str) {
            Some(text) => text
                .parse::<Timestamp>()
                .map(Some)
                .map_err(|_| format!("{name} is no time such as 2026-11-25T08:00:00Z")),
            None => Ok(None),
        };
        let end = time("end")?.unwrap_or_else(Timestamp::now);
        if end.duration_since(Timestamp::now()).abs() > FARTHEST {
            return Err("end is years away".to_owned());
        }
        let minutes = arguments.get("minutes").and_then(Value::as_i64).unwrap_or(MINUTES).clamp(1, 24 * 60);
        let start = time("start")?.unwrap_or(end - SignedDuration::from_mins(minutes));
        if start >= end {
            return Err("start must be before end".to_owned());
        }
        let step = arguments.get("step").and_then(Value::as_i64).filter(|step| *step > 0);
        let labels = arguments.get("labels").and_then(Value::as_str).unwrap_or_default();
        let labels = labels.lines().flat_map(|line| line.split(", ")).filter_map(pair).collect();
        Ok(Self { query, start, end, step, labels })
    }

    fn allows(&self, labels: &crate::alert::Labels) -> bool {
        self.labels.iter().all(|(name, value)| labels.get(name).is_none_or(|known| value == known))
    }
}

/// `name=value`, with or without quotes around the value.
fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
}

impl ServerHandler for Toolset {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("firstlook-prometheus", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        // How they are described to a model is the toolbox' own matter.
        let schema = Arc::new(Map::from_iter([("type".to_owned(), json!("object"))]));
        let tools = [QUERY, QUERY_RANGE].map(|name| Tool::new(name, "", schema.clone()));
        Ok(ListToolsResult::with_all_items(tools.to_vec()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let answer = self.answer(&request.name, &request.arguments.unwrap_or_default()).await;
        let answer =
            answer.ok_or_else(|| ErrorData::invalid_params(format!("unknown tool \"{}\"", request.name), None))?;
        let result = match answer {
            Ok((text, structured)) => {
                let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
                result.structured_content = Some(structured);
                result
            }
            Err(Failed { text, away }) => {
                let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
                result.structured_content = away.then(|| json!({AWAY: true}));
                result
            }
        };
        Ok(result.into())
    }
}
