//! Health: alive, ready, and in figures.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::error::ApiError;
use super::{App, ChannelHealth};
use crate::model::{Capabilities, Client, Model, Standing};
use crate::notify::feishu::app::LineSeen;
use crate::notify::rule::Rule;
use crate::store::Outcome;
use crate::telemetry::{self, Seen};

/// Says that the process answers.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "The process answers")))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Says whether alerts can be stored. A model or an MCP server that is away does not make the service unready: alerts are
/// still taken and sent.
#[utoipa::path(
    get,
    path = "/readyz",
    params(Detail),
    responses((status = 200, description = "Alerts are accepted"), (status = 503, description = "The store does not answer"))
)]
pub async fn readyz(State(app): State<Arc<App>>, Query(detail): Query<Detail>) -> (StatusCode, Json<Value>) {
    match app.store.ping().await {
        Ok(()) if detail.wanted() => (
            StatusCode::OK,
            Json(json!({
                "ready": true,
                "models": app.triage.model_health().map(ModelEntry::from).collect::<Vec<_>>(),
                "mcp": app.triage.server_health().map(Entry::from).collect::<Vec<_>>(),
                "channels": app.channels.iter().map(ChannelEntry::from).collect::<Vec<_>>(),
                "templates": {"used": app.layouts.used(), "broken": app.layouts.broken().into_keys().collect::<Vec<_>>()},
            })),
        ),
        Ok(()) => (
            StatusCode::OK,
            Json(json!({"ready": true, "models": app.triage.model_names(), "mcp": app.triage.server_names()})),
        ),
        Err(error) => {
            tracing::error!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ready": false, "error": "the store does not answer"})))
        }
    }
}

/// How much readiness tells.
#[derive(Debug, Deserialize, IntoParams)]
pub struct Detail {
    /// `?verbose`: how the last call of each model, MCP server and channel went, and which templates of the operator's are used or
    /// broken, and whether the long connection of a Feishu app stands. Nothing is dialled for it.
    verbose: Option<String>,
}

impl Detail {
    fn wanted(&self) -> bool {
        self.verbose.as_deref().is_some_and(|value| !matches!(value, "false" | "0"))
    }
}

/// One model or server. Fixed words only: this route needs no token.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    #[serde(flatten)]
    seen: Seen,
}

impl<'a> From<(&'a str, Seen)> for Entry<'a> {
    fn from((name, seen): (&'a str, Seen)) -> Self {
        Self { name, seen }
    }
}

/// One channel, and the connection its presses arrive over, where it has one.
#[derive(Serialize)]
struct ChannelEntry<'a> {
    #[serde(flatten)]
    entry: Entry<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    long_connection: Option<LineSeen>,
}

impl<'a> From<&'a ChannelHealth> for ChannelEntry<'a> {
    fn from(channel: &'a ChannelHealth) -> Self {
        let long_connection = channel.app.as_ref().and_then(|app| app.line());
        Self { entry: Entry::from((&*channel.name, channel.health.seen())), long_connection }
    }
}

/// One model, and what keeps it from being asked.
#[derive(Serialize)]
struct ModelEntry<'a> {
    #[serde(flatten)]
    entry: Entry<'a>,
    /// Seconds until it is tried again, while it rests after failing.
    #[serde(skip_serializing_if = "Option::is_none")]
    resting_s: Option<u64>,
    /// The class of the failure it rests after, or `daily_limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    /// What it can do, once that was found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Capabilities>,
}

impl<'a> From<(&'a Client, Seen, Standing)> for ModelEntry<'a> {
    fn from((model, seen, standing): (&'a Client, Seen, Standing)) -> Self {
        let (why, resting_s) = match standing.resting {
            Some((class, left)) => (Some(class.label()), Some(left.as_secs())),
            None => (standing.capped.then_some("daily_limit"), None),
        };
        Self { entry: Entry { name: model.name(), seen }, resting_s, why, capabilities: model.capabilities() }
    }
}

/// Prometheus' view, in OpenMetrics.
pub async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let (counts, balance) = (app.store.counts().await?, app.store.balance().await?);
    let standing = |outcome: Outcome| (outcome.word(), balance.outcomes.get(&outcome).copied().unwrap_or_default());
    app.metrics.alerts(balance.accepted, Outcome::ALL.map(standing));
    app.metrics.rules(Rule::ALL.map(Rule::word));
    let length = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    app.metrics.queue_length("investigations", length(counts.investigations_pending + counts.investigations_running));
    app.metrics.queue_length("investigations_dead", length(counts.investigations_dead));
    app.metrics.queue_length("outbox", length(counts.outbox.values().map(|channel| channel.pending).sum()));
    app.metrics.queue_length("outbox_dead", length(counts.outbox.values().map(|channel| channel.dead).sum()));
    app.metrics.queue_length("incidents_open", length(counts.incidents_open));
    app.metrics.templates_broken(app.layouts.broken().len());
    for (model, _, standing) in app.triage.model_health() {
        app.metrics.model_standing(model.name(), standing.resting.is_some(), standing.capped);
    }
    let text = app.metrics.encode().map_err(|error| ApiError::internal(&error))?;
    Ok(([(CONTENT_TYPE, telemetry::CONTENT_TYPE)], text).into_response())
}
