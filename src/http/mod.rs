//! The HTTP surface: what senders, people and monitoring reach.

mod again;
mod auth;
mod body;
mod callbacks;
mod door;
mod error;
mod guard;
mod health;
mod incidents;
mod login;
mod pages;
mod status;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

pub use auth::Auth;
pub use login::Sessions;

use crate::incident::Desk;
use crate::intake::Limits;
use crate::intake::prometheusalert::Destination;
use crate::notify::feishu::app::FeishuApp;
use crate::notify::layout::Layouts;
use crate::notify::live::Live;
use crate::notify::press::Presses;
use crate::notify::preview::Looks;
use crate::store::Store;
use crate::telemetry::{Health, Metrics};
use crate::triage::Triage;

/// What the handlers share.
pub struct App {
    /// Takes deliveries.
    pub desk: Desk,
    /// Read for pages, the API and readiness.
    pub store: Store,
    /// Shows which tools and models there are.
    pub triage: Arc<Triage>,
    /// Exposed at `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Who may come in.
    pub auth: Auth,
    /// People who have logged in, and links that need no login.
    pub sessions: Sessions,
    /// How much a delivery may hold.
    pub limits: Limits,
    /// Acts on presses of people.
    pub presses: Arc<dyn Presses>,
    /// Apps whose presses arrive over HTTP.
    pub apps: Vec<Arc<FeishuApp>>,
    /// Where alerts go that were sent to PrometheusAlert.
    pub destinations: Vec<Destination>,
    /// How sending goes on each channel of this process.
    pub channels: Vec<ChannelHealth>,
    /// The operator's templates.
    pub layouts: Arc<Layouts>,
    /// The layouts in which the page of an incident's messages shows them.
    pub looks: Looks,
    /// What goes on in investigations of this process.
    pub live: Live,
    /// Largest body read, in bytes.
    pub body_limit: usize,
    /// Connections at a time.
    pub max_connections: usize,
}

/// What readiness can say of one channel.
pub struct ChannelHealth {
    /// The configured name.
    pub name: String,
    /// How sending goes.
    pub health: Arc<Health>,
    /// The Feishu app behind it, when it is one: it knows how its long connection fares.
    pub app: Option<Arc<FeishuApp>>,
}

/// Documentation of the API, served at `/api/openapi.json`.
#[derive(OpenApi)]
#[openapi(
    info(title = "Firstlook", description = "Takes alerts, investigates them, tells people."),
    paths(
        webhook::alertmanager,
        webhook::grafana,
        webhook::nightingale,
        webhook::prometheusalert,
        callbacks::feishu,
        incidents::list,
        incidents::one,
        again::by_program,
        again::investigation_by_program,
        again::summary_by_program,
        health::healthz,
        health::readyz
    ),
    components(schemas(crate::report::Report))
)]
struct Api;

/// All routes. Health needs no token, callbacks bring a signature, pages ask people to log in; everything else asks for a
/// token when one is configured.
pub fn router(app: Arc<App>) -> Router {
    let guarded = Router::new()
        .route("/webhooks/alertmanager", post(webhook::alertmanager))
        .route("/webhooks/grafana", post(webhook::grafana).put(webhook::grafana))
        .route("/webhooks/nightingale", post(webhook::nightingale))
        .route("/prometheusalert", post(webhook::prometheusalert).get(webhook::prometheusalert))
        .route("/api/v1/incidents", get(incidents::list))
        .route("/api/v1/incidents/{id}", get(incidents::one))
        .route("/api/v1/incidents/{id}/again", post(again::investigation_by_program))
        .route("/api/v1/messages/{id}/again", post(again::by_program))
        .route("/api/v1/summaries/{day}/{channel}/again", post(again::summary_by_program))
        .route("/api/openapi.json", get(|| async { axum::Json(Api::openapi()) }))
        .route("/metrics", get(health::metrics))
        .route_layer(middleware::from_fn_with_state(app.clone(), auth::check));
    let shown = pages::guarded()
        .route("/status", get(status::page))
        .route("/incidents/{id}/again", post(again::investigation_by_person))
        .route("/incidents/{id}/messages/{message}/again", post(again::by_person))
        .route("/incidents/summaries/{day}/{channel}/again", post(again::summary_by_person))
        .route_layer(middleware::from_fn_with_state(app.clone(), login::check));
    Router::new()
        .merge(guarded)
        .merge(shown)
        .merge(pages::open())
        .route("/login", get(login::page).post(login::enter))
        .route("/logout", post(login::leave))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        // The platform has no token of ours: its signature is looked at instead.
        .route("/callbacks/feishu/{channel}", post(callbacks::feishu))
        .fallback(pages::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(middleware::from_fn(guard::limit))
        .with_state(app)
}

/// Serves until told to stop; requests under way are finished.
pub async fn serve(listener: TcpListener, app: Arc<App>, stop: CancellationToken) {
    let streams = axum::Extension(pages::Streams::until(stop.clone()));
    let most = app.max_connections;
    door::serve(listener, router(app).layer(streams), most, stop).await;
}
