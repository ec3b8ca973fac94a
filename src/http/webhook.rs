//! The senders' doors: read, decide, commit, and only then answer.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
use super::body;
use super::error::ApiError;
use crate::intake;

/// What a sender is told.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// The incident the alerts belong to; null when there is none (resolved without having fired).
    #[schema(value_type = Option<String>)]
    incident: Option<Uuid>,
    /// What was decided: opened, merged, joined, resolved, suppressed.
    decision: &'static str,
}

/// Takes Alertmanager's webhook, version 4.
#[utoipa::path(
    post,
    path = "/webhooks/alertmanager",
    request_body(content_type = "application/json", description = "Alertmanager's webhook body, version 4"),
    responses(
        (status = 202, description = "Stored durably; investigated afterwards", body = Accepted),
        (status = 400, description = "Not Alertmanager's webhook; the answer says what is wrong"),
        (status = 401, description = "Credentials are missing or wrong"),
        (status = 413, description = "Too large"),
        (status = 503, description = "Not stored; send it again"),
    )
)]
pub async fn alertmanager(State(app): State<Arc<App>>, body: Body) -> Response {
    let started = Instant::now();
    let response = accept(&app, body).await.into_response();
    app.metrics.webhook("alertmanager", response.status().as_u16(), started.elapsed());
    response
}

async fn accept(app: &App, body: Body) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    let body = body::read(body, app.body_limit).await?;
    let group = intake::alertmanager::parse(&body, &app.limits)?;
    let alerts = group.alerts.len();
    let receipt = app.desk.receive(group).await?;
    tracing::info!(
        incident.id = receipt.incident.map(tracing::field::display),
        alerts,
        decision = receipt.decision.word(),
        "delivery accepted"
    );
    Ok((StatusCode::ACCEPTED, Json(Accepted { incident: receipt.incident, decision: receipt.decision.word() })))
}
