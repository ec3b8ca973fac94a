//! The senders' doors: read, decide, commit, and only then answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
use super::body;
use super::error::ApiError;
use crate::alert::{AlertGroup, Source};
use crate::incident::{Desk, Receipt};
use crate::intake::{self, IntakeError};
use crate::store::StoreError;

/// How long a sender waits for the store. Alertmanager gives up at its group interval, 10 s at the least, and Nightingale at
/// 10 s; what is kept after that is merged when they come again.
const PATIENCE: Duration = Duration::from_secs(6);

/// Groups of one delivery that are kept at the same time: as many as share a commit on SQLite.
const SIDE_BY_SIDE: usize = 64;

/// What a sender is told.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// The incident the alerts belong to; null when there is none (resolved without having fired).
    #[schema(value_type = Option<String>)]
    incident: Option<Uuid>,
    /// What was decided: opened, merged, joined, resolved, suppressed.
    decision: &'static str,
    /// The same for each group, when a delivery held several: only Nightingale's can.
    #[serde(skip_serializing_if = "one")]
    groups: Vec<Receipted>,
}

/// What became of one group of a delivery.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Receipted {
    /// The incident its alerts belong to.
    #[schema(value_type = Option<String>)]
    incident: Option<Uuid>,
    /// What was decided.
    decision: &'static str,
}

fn one(groups: &[Receipted]) -> bool {
    groups.len() == 1
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
    let read = |body: &[u8]| Ok(vec![intake::alertmanager::parse(body, &app.limits)?]);
    let taken = accept(&app, body, read).await.map(|taken| (StatusCode::ACCEPTED, taken));
    answered(&app, "alertmanager", started, taken.map_err(|error| error.said_to(Some(Source::Alertmanager))))
}

/// Takes the webhook of Grafana's unified alerting.
#[utoipa::path(
    post,
    path = "/webhooks/grafana",
    request_body(content_type = "application/json", description = "The body of a Grafana contact point of type webhook"),
    responses(
        (status = 202, description = "Stored durably; investigated afterwards", body = Accepted),
        (status = 400, description = "Not Grafana's webhook; the answer says what is wrong"),
        (status = 401, description = "Credentials are missing or wrong"),
        (status = 413, description = "Too large"),
        (status = 503, description = "Not stored; send it again"),
    )
)]
pub async fn grafana(State(app): State<Arc<App>>, body: Body) -> Response {
    let started = Instant::now();
    let read = |body: &[u8]| Ok(vec![intake::grafana::parse(body, &app.limits)?]);
    let taken = accept(&app, body, read).await.map(|taken| (StatusCode::ACCEPTED, taken));
    answered(&app, "grafana", started, taken.map_err(|error| error.said_to(Some(Source::Grafana))))
}

/// Takes Nightingale's events. Nightingale counts only 200 as delivered, and comes again only on 429.
#[utoipa::path(
    post,
    path = "/webhooks/nightingale",
    request_body(content_type = "application/json", description = "One event of Nightingale, or a list of them"),
    responses(
        (status = 200, description = "Stored durably; investigated afterwards", body = Accepted),
        (status = 400, description = "Not Nightingale's event; the answer says what is wrong"),
        (status = 401, description = "Credentials are missing or wrong"),
        (status = 413, description = "Too large"),
        (status = 429, description = "Not stored; send it again"),
    )
)]
pub async fn nightingale(State(app): State<Arc<App>>, body: Body) -> Response {
    let started = Instant::now();
    let read = |body: &[u8]| intake::nightingale::parse(body, &app.limits);
    let taken = accept(&app, body, read).await.map(|taken| (StatusCode::OK, taken));
    answered(&app, "nightingale", started, taken.map_err(|error| error.said_to(Some(Source::Nightingale))))
}

/// Takes what was sent to PrometheusAlert: its query chooses among `server.prometheusalert`, and no address in it is called.
#[utoipa::path(
    post,
    path = "/prometheusalert",
    params(
        ("type" = Option<String>, Query, description = "fs, wx, email and so on; compared with `server.prometheusalert[].match`, as is every other parameter"),
        ("tpl" = Option<String>, Query, description = "Name of a template; not rendered"),
    ),
    request_body(content_type = "application/json", description = "Alertmanager's or Grafana's webhook body"),
    responses(
        (status = 200, description = "Stored durably; investigated afterwards", body = Accepted),
        (status = 400, description = "Neither Alertmanager's nor Grafana's webhook; the answer says what is wrong"),
        (status = 401, description = "Credentials are missing or wrong"),
        (status = 413, description = "Too large"),
        (status = 503, description = "Not stored; send it again"),
    )
)]
pub async fn prometheusalert(
    State(app): State<Arc<App>>,
    Query(query): Query<Vec<(String, String)>>,
    body: Body,
) -> Response {
    let started = Instant::now();
    let read = |body: &[u8]| Ok(vec![intake::prometheusalert::parse(body, &query, &app.destinations, &app.limits)?]);
    let taken = accept(&app, body, read).await.map(|taken| (StatusCode::OK, taken));
    answered(&app, "prometheusalert", started, taken.map_err(|error| error.said_to(Some(Source::PrometheusAlert))))
}

/// Keeps what a delivery holds. Where a group cannot be kept the sender comes again with all, and those kept merge.
async fn accept(
    app: &App,
    body: Body,
    read: impl FnOnce(&[u8]) -> Result<Vec<AlertGroup>, IntakeError>,
) -> Result<Json<Accepted>, ApiError> {
    let body = body::read(body, app.body_limit).await?;
    let groups = read(&body)?;
    let seen: Vec<Seen> = groups.iter().map(Seen::of).collect();
    // A task of its own: what waits for the store goes on when its sender is told to come again.
    let keeping = tokio::spawn(keep(app.desk.clone(), groups));
    let Ok(kept) = tokio::time::timeout(PATIENCE, keeping).await else {
        return Err(ApiError::unavailable("the store does not answer in time; send it again, it is not told twice"));
    };
    let mut taken = Vec::new();
    for (seen, receipt) in seen.into_iter().zip(kept.map_err(|error| ApiError::internal(&error))?) {
        let receipt = receipt?;
        tracing::info!(
            incident.id = receipt.incident.map(tracing::field::display),
            source = %seen.source,
            alerts = seen.alerts,
            decision = receipt.decision.word(),
            "delivery accepted"
        );
        app.metrics.shortened(seen.cut, seen.truncated);
        taken.push(Receipted { incident: receipt.incident, decision: receipt.decision.word() });
    }
    let first = taken.first().ok_or(IntakeError::NoAlerts)?;
    Ok(Json(Accepted { incident: first.incident, decision: first.decision, groups: taken }))
}

/// What is said of a group once it is kept.
struct Seen {
    source: Source,
    alerts: usize,
    cut: usize,
    truncated: u64,
}

impl Seen {
    fn of(group: &AlertGroup) -> Self {
        Self {
            source: group.source,
            alerts: group.alerts.len(),
            cut: intake::cut_texts(group),
            truncated: group.truncated_alerts,
        }
    }
}

/// Keeps groups side by side, so that a list of many is not as many commits; no two of a delivery have one key.
async fn keep(desk: Desk, groups: Vec<AlertGroup>) -> Vec<Result<Receipt, Arc<StoreError>>> {
    let keeping = groups.into_iter().map(|group| {
        let desk = desk.clone();
        async move { desk.receive(group).await }
    });
    futures::stream::iter(keeping).buffered(SIDE_BY_SIDE).collect().await
}

fn answered(
    app: &App,
    route: &'static str,
    started: Instant,
    taken: Result<(StatusCode, Json<Accepted>), ApiError>,
) -> Response {
    let response = taken.into_response();
    app.metrics.webhook(route, response.status().as_u16(), started.elapsed());
    response
}
