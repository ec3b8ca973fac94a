//! A stand-in for WeCom's group bots: key, length and rate are checked as documented, every failure with HTTP 200.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Fault, Rate, serve};

/// The key in the webhook's address.
const KEY: &str = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa";
/// Bytes of markdown, as documented.
const MARKDOWN: usize = 4096;
/// Bytes of text, as documented.
const TEXT: usize = 2048;

/// A bot in a group.
#[derive(Clone)]
pub struct Wecom {
    base: String,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    accepted: Vec<(Timestamp, Value)>,
    refused: Vec<(i64, String)>,
    faults: Vec<Fault>,
    rate: Option<Rate>,
}

impl Wecom {
    /// A bot that allows 20 messages a minute, as the real one.
    pub async fn start() -> Self {
        let rate = Some(Rate::new(&[(20, Duration::from_secs(60))]));
        let inner = Arc::new(Mutex::new(Inner { rate, ..Inner::default() }));
        let router = Router::new().route("/cgi-bin/webhook/send", post(send)).with_state(inner.clone());
        Self { base: serve(router).await, inner }
    }

    /// The webhook's address.
    pub fn url(&self) -> String {
        format!("{}/cgi-bin/webhook/send?key={KEY}", self.base)
    }

    /// Fails the next requests in this way, one each.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner.lock().unwrap().faults.extend(faults);
    }

    /// Lifts the limit of 20 a minute.
    pub fn without_rate_limit(self) -> Self {
        self.inner.lock().unwrap().rate = None;
        self
    }

    /// What the group got to see, in order: whole request bodies.
    pub fn accepted(&self) -> Vec<Value> {
        self.arrivals().into_iter().map(|(_, message)| message).collect()
    }

    /// The same, each with the time it came in.
    pub fn arrivals(&self) -> Vec<(Timestamp, Value)> {
        self.inner.lock().unwrap().accepted.clone()
    }

    /// What was refused: code and reason.
    pub fn refused(&self) -> Vec<(i64, String)> {
        self.inner.lock().unwrap().refused.clone()
    }
}

async fn send(State(inner): State<Arc<Mutex<Inner>>>, uri: Uri, body: Bytes) -> Response {
    let mut inner = inner.lock().unwrap();
    if !inner.faults.is_empty() {
        let fault = inner.faults.remove(0);
        return failed(&fault, &uri);
    }
    match judge(&mut inner, &uri, &body) {
        Ok(message) => {
            inner.accepted.push((Timestamp::now(), message));
            axum::Json(json!({"errcode": 0, "errmsg": "ok"})).into_response()
        }
        Err((code, reason)) => {
            inner.refused.push((code, reason.clone()));
            axum::Json(json!({"errcode": code, "errmsg": reason})).into_response()
        }
    }
}

fn failed(fault: &Fault, uri: &Uri) -> Response {
    match fault {
        Fault::Code(code, said) => axum::Json(json!({"errcode": code, "errmsg": said})).into_response(),
        Fault::Status(status) => (StatusCode::from_u16(*status).unwrap(), "<html>gateway</html>").into_response(),
        Fault::Echo(code) => {
            axum::Json(json!({"errcode": code, "errmsg": format!("bad call of {uri}")})).into_response()
        }
    }
}

fn judge(inner: &mut Inner, uri: &Uri, body: &[u8]) -> Result<Value, (i64, String)> {
    if uri.query() != Some(&format!("key={KEY}")) {
        return Err((93000, "invalid webhook url".into()));
    }
    if inner.rate.as_mut().is_some_and(|rate| !rate.allows()) {
        return Err((45009, "api freq out of limit".into()));
    }
    let message: Value = serde_json::from_slice(body).map_err(|_| (47001, "data format error".into()))?;
    let (kind, most, code) = match message.get("msgtype").and_then(Value::as_str) {
        Some("markdown_v2") => ("markdown_v2", MARKDOWN, 40058),
        Some("text") => ("text", TEXT, 45002),
        _ => return Err((40008, "invalid message type".into())),
    };
    let content = message.get(kind).and_then(|body| body.get("content")).and_then(Value::as_str).unwrap_or_default();
    if content.is_empty() {
        return Err((44004, "empty content".into()));
    }
    if content.len() > most {
        return Err((code, format!("{kind}.content exceed max length {most}")));
    }
    Ok(message)
}
