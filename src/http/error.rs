//! Errors as senders and people read them: a status and one sentence.

use std::sync::Arc;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::alert::Source;
use crate::intake::IntakeError;
use crate::store::StoreError;

/// An answer other than success.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    /// Seconds after which another try may succeed, where it may.
    again_s: u64,
}

/// A store that did not answer does so again within its own patience, or somebody has to look.
const AGAIN_S: u64 = 5;
/// What waits for a channel leaves at its pace, which products count by the minute: sooner there is no room.
const ROOM_S: u64 = 30;

impl ApiError {
    /// The request is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into(), again_s: AGAIN_S }
    }

    /// The request holds more than is taken.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, message: message.into(), again_s: AGAIN_S }
    }

    /// The credentials are missing or wrong.
    pub fn unauthorized() -> Self {
        let message = "send one token of server.tokens, or of server.senders for this route, as `Authorization: Bearer …`, or \
                       basic credentials; exactly one of them";
        Self { status: StatusCode::UNAUTHORIZED, message: message.to_owned(), again_s: AGAIN_S }
    }

    /// The request is not whose it says it is.
    pub fn denied(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, message: message.into(), again_s: AGAIN_S }
    }

    /// Somebody else than who asks would have to ask.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, message: message.into(), again_s: AGAIN_S }
    }

    /// What is asked for does not go with how things stand.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, message: message.into(), again_s: AGAIN_S }
    }

    /// A defect of ours. What exactly failed is for the log.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request failed");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: "this failed on our side; the log says why".to_owned(),
            again_s: AGAIN_S,
        }
    }

    /// The same in the words of a sender, if it is said to one: what another try may mend must be 429 for Nightingale,
    /// which comes again on nothing else, and a 5xx for the others, whom a 4xx tells not to.
    #[must_use]
    pub fn said_to(self, sender: Option<Source>) -> Self {
        let passes = [
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        match sender {
            Some(sender) if passes.contains(&self.status) => Self { status: comes_again_on(sender), ..self },
            _ => self,
        }
    }

    /// The request was not read to its end in time.
    pub fn too_slow(message: impl Into<String>) -> Self {
        Self { status: StatusCode::REQUEST_TIMEOUT, message: message.into(), again_s: AGAIN_S }
    }

    /// Nothing was kept just now; senders come again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into(), again_s: AGAIN_S }
    }

    /// There is nothing here.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into(), again_s: AGAIN_S }
    }
}

/// The status on which a sender tries again (docs/senders.md).
fn comes_again_on(sender: Source) -> StatusCode {
    match sender {
        Source::Nightingale => StatusCode::TOO_MANY_REQUESTS,
        Source::Alertmanager | Source::Grafana | Source::PrometheusAlert => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl From<IntakeError> for ApiError {
    fn from(error: IntakeError) -> Self {
        Self {
            status: StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
            message: error.to_string(),
            again_s: AGAIN_S,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Arc::new(error).into()
    }
}

impl From<Arc<StoreError>> for ApiError {
    /// Senders come again on 503. What exactly failed is for the log, not for the network.
    fn from(error: Arc<StoreError>) -> Self {
        if matches!(*error, StoreError::Full { .. }) {
            tracing::warn!(%error, "a delivery was refused");
            let full = Self::unavailable(format!("{error}; nothing was kept, send it again"));
            return Self { again_s: ROOM_S, ..full };
        }
        tracing::error!(%error, "the store failed a request");
        Self::unavailable("the store did not answer just now, so nothing was kept; send it again")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, message, again_s } = self;
        let mut response = (status, Json(json!({"error": message}))).into_response();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(again_s));
        }
        response
    }
}

/// Answers what no route matches.
pub async fn not_found() -> ApiError {
    ApiError::not_found(
        "there is nothing at this path; senders post to /webhooks/alertmanager, /webhooks/grafana, /webhooks/nightingale or \
                         /prometheusalert",
    )
}

/// Answers a wrong method on a known path.
pub async fn method_not_allowed() -> ApiError {
    ApiError {
        status: StatusCode::METHOD_NOT_ALLOWED,
        message: "this path does not take that method".to_owned(),
        again_s: AGAIN_S,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(error: ApiError) -> (u16, Option<String>) {
        let response = error.into_response();
        let again = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), again)
    }

    fn broken() -> ApiError {
        ApiError::internal(&std::io::Error::other("a defect"))
    }

    #[test]
    fn what_passes_is_said_in_the_words_on_which_a_sender_comes_again_and_nothing_else_is() {
        let (alertmanager, nightingale) = (Some(Source::Alertmanager), Some(Source::Nightingale));
        let soon = || Some("5".to_owned());
        for error in [|| ApiError::unavailable("x"), || ApiError::too_slow("x"), broken] {
            assert_eq!(answered(error().said_to(alertmanager)), (503, soon()), "a 4xx ends it for Alertmanager");
            assert_eq!(answered(error().said_to(nightingale)), (429, soon()), "Nightingale knows this one");
        }
        for error in [|| ApiError::bad_request("x"), || ApiError::too_large("x"), ApiError::unauthorized] {
            let status = answered(error()).0;
            assert_eq!(answered(error().said_to(alertmanager)), (status, None), "it would be as wrong the next time");
            assert_eq!(answered(error().said_to(nightingale)), (status, None));
        }
        assert_eq!(answered(ApiError::too_slow("x").said_to(None)).0, 408, "people read a status as it is");
    }

    #[test]
    fn a_full_outbox_asks_for_more_patience_than_a_busy_store() {
        let full = ApiError::from(StoreError::Full { waiting: 9 });
        assert_eq!(answered(full), (503, Some("30".to_owned())));
        assert_eq!(answered(ApiError::from(StoreError::Overlooked)), (503, Some("5".to_owned())));
    }
}
