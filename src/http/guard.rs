//! What holds for every request: how long it may take to arrive, and that a defect of ours is answered too.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;

use super::auth;
use super::error::ApiError;

/// A sender that has not finished its request by then is cut off.
const LONGEST: Duration = Duration::from_secs(30);

/// Cuts off a request that takes too long, and answers for a handler that panicked; senders in the words on which they come
/// again.
pub async fn limit(request: Request, next: Next) -> Response {
    let sender = auth::sender(request.uri().path());
    let running = AssertUnwindSafe(next.run(request)).catch_unwind();
    let error = match tokio::time::timeout(LONGEST, running).await {
        Ok(Ok(response)) => return response,
        // What it was stands in the log, where the panic printed it.
        Ok(Err(_)) => ApiError::internal(&Panicked),
        Err(_) => ApiError::too_slow("the request took longer than 30 s, so nothing was kept; send it again"),
    };
    error.said_to(sender).into_response()
}

/// A handler that did not come back.
#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
struct Panicked;

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::routing::get;
    use axum::{Router, middleware};
    use tower::ServiceExt;

    use super::*;

    async fn answered(path: &str) -> (u16, String) {
        async fn panic() -> &'static str {
            panic!("a defect")
        }
        let router = Router::new()
            .route("/panic", get(panic))
            .route("/forever", get(std::future::pending::<&'static str>))
            .route("/webhooks/alertmanager", get(std::future::pending::<&'static str>))
            .route("/webhooks/grafana", get(panic))
            .route("/webhooks/nightingale", get(panic))
            .layer(middleware::from_fn(limit));
        let response = router.oneshot(Request::get(path).body(axum::body::Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1024).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (status, body["error"].as_str().unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_or_breaks_is_answered_with_a_sentence() {
        let (status, said) = answered("/forever").await;
        assert!(status == 408 && said.contains("30 s"), "{status} {said}");
        let (status, said) = answered("/panic").await;
        assert!(status == 500 && said.contains("our side") && !said.contains("defect"), "{status} {said}");
        for (path, status) in [("alertmanager", 503), ("grafana", 503), ("nightingale", 429)] {
            assert_eq!(answered(&format!("/webhooks/{path}")).await.0, status, "{path} comes again on it");
        }
    }
}
