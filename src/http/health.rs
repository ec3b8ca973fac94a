//! Health: alive, ready, and in figures.

use std::sync::Arc;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::App;

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
        Ok(()) => (StatusCode::OK, Json(json!({"ready": true, "models": app.triage.model_names(), "mcp": app.triage.server_names()}))),
        Err(error) => {
            tracing::error!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ready": false, "error": "the store does not answer"})))
        }
    }
}

/// Prometheus' view, in OpenMetrics.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    match app.store.counts().await {
        Ok(counts) => app.metrics.set_counts(&counts),
        Err(error) => tracing::warn!(%error, "queue lengths are missing from /metrics"),
    }
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], app.metrics.encode()).into_response()
}

/// Counts every request by its route's pattern, never by its path: paths are the sender's to choose.
pub async fn count(State(app): State<Arc<App>>, path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let route = path.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let started = std::time::Instant::now();
    let response = next.run(request).await;
    app.metrics.request(&route, response.status().as_u16(), started.elapsed());
    response
}
