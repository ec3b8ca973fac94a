//! What holds for every request: how long it may take to arrive, and that a defect of ours is answered too.

use std::any::Any;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use super::error::ApiError;

/// A sender that has not finished its request by then is cut off.
const LONGEST: Duration = Duration::from_secs(30);

/// Cuts off a request that takes too long.
pub async fn limit(request: Request, next: Next) -> Response {
    match tokio::time::timeout(LONGEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            ApiError::too_slow("the request took longer than 30 s, so nothing was kept; send it again").into_response()
        }
    }
}

/// Answers for a handler that panicked.
pub fn panics() -> CatchPanicLayer<fn(Box<dyn Any + Send>) -> Response> {
    CatchPanicLayer::custom(answer)
}

fn answer(_: Box<dyn Any + Send>) -> Response {
    // What it was stands in the log, where the panic printed it.
    ApiError::internal(&Panicked).into_response()
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
            .layer(middleware::from_fn(limit))
            .layer(panics());
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
    }
}
