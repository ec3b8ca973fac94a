//! The senders' doors: read, decide, commit, and only then answer.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
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
pub async fn alertmanager(State(app): State<Arc<App>>, body: Result<Bytes, BytesRejection>) -> Response {
    let started = Instant::now();
    let response = accept(&app, body).await.into_response();
    app.metrics.webhook("alertmanager", response.status().as_u16(), started.elapsed());
    response
}

async fn accept(app: &App, body: Result<Bytes, BytesRejection>) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    let body = body.map_err(|rejection| too_large_or_broken(&rejection, app.body_limit))?;
    let group = intake::alertmanager::parse(&body, &app.limits)?;
    let receipt = app.desk.receive(&group).await?;
    tracing::info!(
        incident.id = receipt.incident.map(tracing::field::display),
        alerts = group.alerts.len(),
        decision = receipt.decision.word(),
        "delivery accepted"
    );
    Ok((StatusCode::ACCEPTED, Json(Accepted { incident: receipt.incident, decision: receipt.decision.word() })))
}

fn too_large_or_broken(rejection: &BytesRejection, limit: usize) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::too_large(format!(
            "the body is larger than {limit} bytes; set max_alerts in Alertmanager's webhook_config, or raise \
             server.limits.max_body_bytes"
        ));
    }
    ApiError::bad_request("the request body could not be read to its end")
}
