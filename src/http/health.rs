//! Health: alive, ready, and in figures.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::App;
use super::error::ApiError;
use crate::telemetry;

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
    responses((status = 200, description = "Alerts are accepted"), (status = 503, description = "The store does not answer"))
)]
pub async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    match app.store.ping().await {
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

/// Prometheus' view, in OpenMetrics.
pub async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let counts = app.store.counts().await?;
    let length = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    app.metrics.queue_length("investigations", length(counts.investigations_pending + counts.investigations_running));
    app.metrics.queue_length("investigations_dead", length(counts.investigations_dead));
    app.metrics.queue_length("outbox", length(counts.outbox.values().map(|channel| channel.pending).sum()));
    app.metrics.queue_length("outbox_dead", length(counts.outbox.values().map(|channel| channel.dead).sum()));
    app.metrics.queue_length("incidents_open", length(counts.incidents_open));
    let text = app.metrics.encode().map_err(|error| ApiError::internal(&error))?;
    Ok(([(CONTENT_TYPE, telemetry::CONTENT_TYPE)], text).into_response())
}
