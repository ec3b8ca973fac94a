//! Pages for people: an incident's messages as their recipients see them, beside the evidence.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;

use super::App;
use super::error::ApiError;
use super::incidents::{parse_id, unknown};
use crate::notify::preview;

/// One incident.
pub async fn incident(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let incident = parse_id(&id)?;
    let detail = app.store.incident(incident).await?.ok_or_else(|| unknown(&id))?;
    let told = app.store.told(incident).await?;
    let evidence = app.store.evidence(incident).await?;
    let report = detail.incident.report.unwrap_or_default();
    let page = preview::page(&told, &evidence, &report, app.desk.settings().lang, Timestamp::now());
    Ok(([(CONTENT_SECURITY_POLICY, preview::content_security_policy())], Html(page)).into_response())
}
