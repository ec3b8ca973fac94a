//! A receiver of the generic webhook, as its documentation tells people to write one: it checks time and signature, and
//! acts once for each delivery.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;

use super::{Fault, serve};

/// Seconds a signature is good for.
const FRESH: i64 = 300;

/// The receiver.
#[derive(Clone)]
pub struct Receiver {
    base: String,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    secret: String,
    seen: HashSet<String>,
    accepted: Vec<Value>,
    faults: Vec<Fault>,
}

impl Receiver {
    /// A receiver that expects bodies signed with this secret.
    pub async fn start(secret: &str) -> Self {
        let inner = Inner { secret: secret.to_owned(), seen: HashSet::new(), accepted: vec![], faults: vec![] };
        let inner = Arc::new(Mutex::new(inner));
        let router = Router::new().route("/firstlook", post(take)).with_state(inner.clone());
        Self { base: serve(router).await, inner }
    }

    /// Where it is posted to.
    pub fn url(&self) -> String {
        format!("{}/firstlook", self.base)
    }

    /// Fails the next requests in this way, one each.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner.lock().unwrap().faults.extend(faults);
    }

    /// What it acted on, in order.
    pub fn accepted(&self) -> Vec<Value> {
        self.inner.lock().unwrap().accepted.clone()
    }
}

async fn take(State(inner): State<Arc<Mutex<Inner>>>, headers: HeaderMap, body: Bytes) -> Response {
    let mut inner = inner.lock().unwrap();
    if !inner.faults.is_empty() {
        let Fault::Status(status) = inner.faults.remove(0) else { panic!("a receiver fails by status") };
        return (StatusCode::from_u16(status).unwrap(), [("retry-after", "7")], "no").into_response();
    }
    match judge(&inner, &headers, &body) {
        Ok((delivery, message)) => {
            if inner.seen.insert(delivery) {
                inner.accepted.push(message);
            }
            StatusCode::NO_CONTENT.into_response()
        }
        Err((status, why)) => (StatusCode::from_u16(status).unwrap(), why).into_response(),
    }
}

fn judge(inner: &Inner, headers: &HeaderMap, body: &[u8]) -> Result<(String, Value), (u16, &'static str)> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let time: i64 = header("x-firstlook-timestamp").parse().map_err(|_| (401, "no timestamp"))?;
    if (Timestamp::now().as_second() - time).abs() > FRESH {
        return Err((401, "the timestamp is old"));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(inner.secret.as_bytes()).unwrap();
    mac.update(&[format!("{time}.").as_bytes(), body].concat());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    if header("x-firstlook-signature") != format!("sha256={hex}") {
        return Err((401, "the signature does not match"));
    }
    if header("content-type") != "application/json" || header("x-team") != "sre" {
        return Err((400, "a header is missing"));
    }
    let delivery = header("x-firstlook-delivery");
    if delivery.is_empty() {
        return Err((400, "no delivery id"));
    }
    let message = serde_json::from_slice(body).map_err(|_| (400, "no JSON"))?;
    Ok((delivery.to_owned(), message))
}
