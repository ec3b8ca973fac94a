//! Pages for people: all incidents, one incident's report, and what an incident told as channels would show it now.

pub mod base;
mod list;
mod live;
mod report;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use uuid::Uuid;

use self::base::{Trouble, Visit};
pub use self::live::Streams;
use super::App;
use super::error;
use crate::notify::preview;

/// The pages that show something of an incident: whoever may not see it is shown the way in.
pub fn guarded() -> Router<Arc<App>> {
    Router::new()
        .route("/incidents", get(list::page))
        .route("/incidents/{id}", get(report::page))
        .route("/incidents/{id}/events", get(live::events))
        .route("/incidents/{id}/evidence/{name}", get(report::whole))
        .route("/incidents/{id}/messages", get(messages))
}

/// What needs no login: the way to the first page, and what every page loads.
pub fn open() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(|| async { (StatusCode::SEE_OTHER, [(LOCATION, "incidents")]) }))
        .route("/assets/{name}", get(base::asset))
}

/// Answers what no route matches: people with a page, programs with a sentence.
pub async fn not_found(visit: Visit, headers: HeaderMap) -> Response {
    match wants_page(&headers) {
        true => visit.trouble(&Trouble::Missing),
        false => error::not_found().await.into_response(),
    }
}

/// Whether a browser asks for something to show.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accepts| accepts.contains("text/html"))
}

/// What an incident told, rendered now as channels would show it, beside the evidence.
async fn messages(visit: Visit, State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let shown = async {
        let incident = id.parse::<Uuid>().map_err(|_| Trouble::Missing)?;
        let found = app.store.incident_alone(incident).await?.ok_or(Trouble::Missing)?;
        let told = app.store.told(incident).await?;
        let evidence = app.store.evidence(incident).await?;
        let lang = app.desk.settings().lang;
        let first_look = app.store.first_look(incident).await?;
        let (report, now) = (found.report.or(first_look).unwrap_or_default(), Timestamp::now());
        Ok::<_, Trouble>(preview::page(&told, &evidence, &report, lang, now, &app.looks))
    };
    match shown.await {
        Ok(page) => {
            let policy = [(CONTENT_SECURITY_POLICY, preview::content_security_policy())];
            (base::headers(), policy, Html(page)).into_response()
        }
        Err(trouble) => visit.trouble(&trouble),
    }
}

/// A page without the hashes in the names of what it loads, so that a snapshot outlives a change of style.
#[cfg(test)]
fn unhashed(page: &str) -> String {
    let hash = regex::Regex::new(r"\.[0-9a-f]{12}\.").expect("a pattern");
    hash.replace_all(page, ".HASH.").into_owned()
}
