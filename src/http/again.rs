//! What was given up, once more: messages, daily summaries and investigations. For programs with a token, for people who
//! are logged in.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{HOST, LOCATION, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::App;
use super::error::ApiError;
use super::pages::base::{self, Trouble, Visit};
use super::{incidents, login};
use crate::store::Revival;

/// Sends a message again that was given up.
#[utoipa::path(
    post,
    path = "/api/v1/messages/{id}/again",
    params(("id" = String, Path, description = "`id` of an entry in `notices` of `/api/v1/incidents/{id}`")),
    responses(
        (status = 202, description = "It waits to be sent"),
        (status = 404, description = "No such message"),
        (status = 409, description = "It was not given up, or a later one stands in its place")
    )
)]
pub async fn by_program(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let unknown = || ApiError::not_found(format!("there is no message `{id}`"));
    let number: Uuid = id.parse().map_err(|_| unknown())?;
    match app.store.send_again(number, &app.desk.settings().in_place).await? {
        Revival::Again(incident) => {
            tracing::info!(incident.id = %incident, message = %number, "a message that was given up is sent again");
            Ok((StatusCode::ACCEPTED, Json(json!({"id": number, "state": "ready"}))))
        }
        Revival::Unknown => Err(unknown()),
        Revival::NotDead => Err(ApiError::conflict("the message was not given up; only `dead` ones are sent again")),
        Revival::Overtaken => Err(ApiError::conflict("a later message of the incident stands in its place already")),
    }
}

/// The button on an incident's page. A link's pass shows the page and does not press: only a login does, and only from
/// a page of ours. Whatever became of it, the page shows.
pub async fn by_person(
    visit: Visit,
    State(app): State<Arc<App>>,
    Path((incident, message)): Path<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Response {
    if !may_press(&app, &headers) {
        return ApiError::forbidden("log in, and press the button on the incident's page").into_response();
    }
    match app.store.send_again(message, &app.desk.settings().in_place).await {
        Ok(revival) => {
            tracing::info!(incident.id = %incident, %message, ?revival, "a message was asked to be sent again");
            see(format!("../../../{incident}{}", visit.keep))
        }
        Err(error) => visit.trouble(&Trouble::Store(error)),
    }
}

/// Investigates an incident again whose investigation was given up.
#[utoipa::path(
    post,
    path = "/api/v1/incidents/{id}/again",
    params(("id" = String, Path, description = "`id` of an incident whose `investigation` is `dead`")),
    responses(
        (status = 202, description = "It waits to be investigated"),
        (status = 404, description = "No such incident"),
        (status = 409, description = "Its investigation was not given up, or it is over")
    )
)]
pub async fn investigation_by_program(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let number = incidents::parse_id(&id)?;
    match app.desk.investigate_again(number).await? {
        Revival::Again(()) => {
            tracing::info!(incident.id = %number, "an investigation that was given up is made again");
            Ok((StatusCode::ACCEPTED, Json(json!({"id": number, "investigation": "ready"}))))
        }
        Revival::Unknown => Err(incidents::unknown(&id)),
        Revival::NotDead => {
            Err(ApiError::conflict("the investigation was not given up; only `dead` ones are made again"))
        }
        Revival::Overtaken => Err(ApiError::conflict("the incident is over, so there is nothing left to look at")),
    }
}

/// The button on an incident's page, for its investigation.
pub async fn investigation_by_person(
    visit: Visit,
    State(app): State<Arc<App>>,
    Path(incident): Path<Uuid>,
    headers: HeaderMap,
) -> Response {
    if !may_press(&app, &headers) {
        return ApiError::forbidden("log in, and press the button on the incident's page").into_response();
    }
    match app.desk.investigate_again(incident).await {
        Ok(revival) => {
            tracing::info!(incident.id = %incident, ?revival, "an investigation was asked to be made again");
            see(format!("../{incident}{}", visit.keep))
        }
        Err(error) => visit.trouble(&Trouble::Store(error)),
    }
}

/// Sends a daily summary again that nobody got.
#[utoipa::path(
    post,
    path = "/api/v1/summaries/{day}/{channel}/again",
    params(
        ("day" = String, Path, description = "`day` of an entry in `undelivered_summaries` of `/api/v1/incidents`"),
        ("channel" = String, Path, description = "`channel` of that entry")
    ),
    responses(
        (status = 202, description = "It is sent within some ten seconds"),
        (status = 404, description = "No such summary"),
        (status = 409, description = "It was not given up")
    )
)]
pub async fn summary_by_program(
    State(app): State<Arc<App>>,
    Path((day, channel)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let unknown = || ApiError::not_found(format!("there is no summary of `{day}` for `{channel}`"));
    match app.store.digest_again(&channel, day.parse().map_err(|_| unknown())?).await? {
        Revival::Again(()) => {
            tracing::info!(channel, day, "a daily summary that was given up is sent again");
            Ok((StatusCode::ACCEPTED, Json(json!({"day": day, "channel": channel, "state": "sending"}))))
        }
        Revival::Unknown => Err(unknown()),
        Revival::NotDead | Revival::Overtaken => Err(ApiError::conflict("the summary was not given up")),
    }
}

/// The button on the list of incidents, for a daily summary.
pub async fn summary_by_person(
    visit: Visit,
    State(app): State<Arc<App>>,
    Path((day, channel)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if !may_press(&app, &headers) {
        return ApiError::forbidden("log in, and press the button on the list of incidents").into_response();
    }
    let Ok(date) = day.parse() else { return visit.trouble(&Trouble::Missing) };
    match app.store.digest_again(&channel, date).await {
        Ok(revival) => {
            tracing::info!(channel, day, ?revival, "a daily summary was asked to be sent again");
            see(format!("../../../../incidents{}", visit.keep))
        }
        Err(error) => visit.trouble(&Trouble::Store(error)),
    }
}

/// Whether this is a button that somebody pressed who is logged in, on a page of ours.
fn may_press(app: &App, headers: &HeaderMap) -> bool {
    login::may_act(app, headers) && is_from_here(headers, app.desk.settings().public_url.as_deref())
}

/// Sends a browser to the page that shows what became of a press.
fn see(page: String) -> Response {
    (StatusCode::SEE_OTHER, base::headers(), [(LOCATION, page)]).into_response()
}

/// Whether a browser sends this from a page of this service: another site's page could press for whoever is logged in,
/// or, where nobody has to, for whoever can reach the address. Programs send no origin.
fn is_from_here(headers: &HeaderMap, public_url: Option<&str>) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(origin) = text(ORIGIN) else { return true };
    let authority = |url: &str| Url::parse(url).ok().map(|url| url.authority().to_owned());
    let ours = [text(HOST).map(str::to_owned), public_url.and_then(authority)];
    authority(origin).is_some_and(|origin| ours.contains(&Some(origin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_site_presses_nothing() {
        let given = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "firstlook.example.com:8443".parse().unwrap());
            origin.map(|origin| headers.insert(ORIGIN, origin.parse().unwrap()));
            is_from_here(&headers, Some("https://alerts.example.com/firstlook"))
        };
        assert!(given(None) && given(Some("https://firstlook.example.com:8443")));
        assert!(given(Some("https://alerts.example.com")), "behind a proxy that says another host");
        for other in ["null", "https://evil.example", "https://firstlook.example.com", "x"] {
            assert!(!given(Some(other)), "{other}");
        }
    }
}
