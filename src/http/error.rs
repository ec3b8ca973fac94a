//! Errors as senders and people read them: a status and one sentence.

use std::sync::Arc;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::intake::IntakeError;
use crate::store::StoreError;

/// An answer other than success.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    /// The request is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// The request holds more than is taken.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, message: message.into() }
    }

    /// The credentials are missing or wrong.
    pub fn unauthorized() -> Self {
        let message = "send one token of server.tokens, or of server.senders for this route, as `Authorization: Bearer …`, or \
                       basic credentials; exactly one of them";
        Self { status: StatusCode::UNAUTHORIZED, message: message.to_owned() }
    }

    /// The request is not whose it says it is.
    pub fn denied(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, message: message.into() }
    }

    /// Somebody else than who asks would have to ask.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, message: message.into() }
    }

    /// What is asked for does not go with how things stand.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, message: message.into() }
    }

    /// A defect of ours. What exactly failed is for the log.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request failed");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: "this failed on our side; the log says why".to_owned(),
        }
    }

    /// The same for a sender that comes again only on 429.
    #[must_use]
    pub fn come_again_by_429(self) -> Self {
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => Self { status: StatusCode::TOO_MANY_REQUESTS, ..self },
            _ => self,
        }
    }

    /// The request was not read to its end in time.
    pub fn too_slow(message: impl Into<String>) -> Self {
        Self { status: StatusCode::REQUEST_TIMEOUT, message: message.into() }
    }

    /// Nothing was kept just now; senders come again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into() }
    }

    /// There is nothing here.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into() }
    }
}

impl From<IntakeError> for ApiError {
    fn from(error: IntakeError) -> Self {
        Self {
            status: StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
            message: error.to_string(),
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
            return Self::unavailable(format!("{error}; nothing was kept, send it again"));
        }
        tracing::error!(%error, "the store failed a request");
        Self::unavailable("the store did not answer just now, so nothing was kept; send it again")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({"error": self.message}))).into_response();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
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
    ApiError { status: StatusCode::METHOD_NOT_ALLOWED, message: "this path does not take that method".to_owned() }
}
