//! Incidents as JSON: the list, and one with its report, messages and evidence.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use uuid::Uuid;

use super::App;
use super::error::ApiError;
use crate::store::IncidentState;

/// Incidents on one page when the caller does not say.
const PAGE: u32 = 50;
/// Most incidents on one page.
const LARGEST_PAGE: u32 = 500;

/// Which incidents to list.
#[derive(Debug, Deserialize, IntoParams)]
pub struct Filter {
    /// How many, at most 500; default 50.
    limit: Option<u32>,
    /// `open` or `resolved`; both when left out.
    state: Option<String>,
    /// `next` of the page before.
    before: Option<String>,
}

/// Lists incidents, newest first.
#[utoipa::path(get, path = "/api/v1/incidents", params(Filter), responses((status = 200, description = "`incidents`, `next` when there are more, and `undelivered_summaries`: daily summaries of the last week that nobody got")))]
pub async fn list(State(app): State<Arc<App>>, Query(filter): Query<Filter>) -> Result<Json<Value>, ApiError> {
    let state = match filter.state.as_deref() {
        None => None,
        Some("open") => Some(IncidentState::Open),
        Some("resolved") => Some(IncidentState::Resolved),
        Some(other) => return Err(ApiError::bad_request(format!("state is `open` or `resolved`, not `{other}`"))),
    };
    let before = filter.before.as_deref().map(cursor).transpose()?;
    let limit = filter.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let incidents = app.store.incidents(limit, before, state).await?;
    let full = u32::try_from(incidents.len()) == Ok(limit);
    let next = incidents.last().filter(|_| full).map(|last| format!("{}_{}", last.opened_at, last.id));
    let summaries = app.store.undelivered_digests().await?;
    Ok(Json(json!({"incidents": incidents, "next": next, "undelivered_summaries": summaries})))
}

/// Reads `next` of an earlier answer.
fn cursor(text: &str) -> Result<(Timestamp, Uuid), ApiError> {
    let parts = text.rsplit_once('_').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    parts.ok_or_else(|| ApiError::bad_request("before takes the `next` of the page before, unchanged"))
}

/// One incident: its alerts, report, messages, deliveries and evidence.
///
/// `first_look` is what the playbook found, while there is no report yet; `looks` are those before the last, which `investigation`
/// tells of.
#[utoipa::path(get, path = "/api/v1/incidents/{id}", responses((status = 200, description = "The incident"), (status = 404, description = "No such incident")))]
pub async fn one(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let number = parse_id(&id)?;
    let detail = app.store.incident(number).await?.ok_or_else(|| unknown(&id))?;
    let mut incident = json!(detail.incident);
    if let Some(found) = detail.first_look {
        incident["first_look"] = json!(found);
    }
    incident["investigation"] = json!(detail.investigation);
    incident["looks"] = json!(detail.looks);
    incident["notices"] = json!(detail.notices);
    incident["presses"] = json!(app.store.presses(number).await?);
    incident["evidence"] = json!(detail.evidence);
    incident["delivery_log"] = json!(detail.deliveries);
    Ok(Json(incident))
}

pub(super) fn parse_id(id: &str) -> Result<Uuid, ApiError> {
    id.parse().map_err(|_| unknown(id))
}

pub(super) fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no incident `{id}`"))
}
