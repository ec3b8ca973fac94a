//! A stand-in for WeCom's group bots: key, length and rate are checked as documented, every failure with HTTP 200.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
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
    /// Bytes of content it takes, where that is less than documented.
    tighter: Option<usize>,
    /// Uploaded files by media id, for this bot only.
    uploads: Vec<(String, File)>,
    upload_faults: Vec<Fault>,
    call_faults: Vec<Fault>,
    files: Vec<(usize, File)>,
}

/// A file as it was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The name people see.
    pub name: String,
    /// What it holds.
    pub content: String,
}

impl Wecom {
    /// A bot that allows 20 messages a minute, as the real one.
    pub async fn start() -> Self {
        let rate = Some(Rate::new(&[(20, Duration::from_secs(60))]));
        let inner = Arc::new(Mutex::new(Inner { rate, ..Inner::default() }));
        let router = Router::new()
            .route("/cgi-bin/webhook/send", post(send))
            .route("/relay", post(send))
            .route("/cgi-bin/webhook/upload_media", post(upload))
            .with_state(inner.clone());
        Self { base: serve(router).await, inner }
    }

    /// The webhook's address.
    pub fn url(&self) -> String {
        format!("{}/cgi-bin/webhook/send?key={KEY}", self.base)
    }

    /// The same bot behind a relay that takes messages only.
    pub fn relay_url(&self) -> String {
        format!("{}/relay?key={KEY}", self.base)
    }

    /// Fails the next requests in this way, one each.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner.lock().unwrap().faults.extend(faults);
    }

    /// Fails the next uploads in this way, one each.
    pub fn fail_upload(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner.lock().unwrap().upload_faults.extend(faults);
    }

    /// Fails the next messages that call people in this way, one each.
    pub fn fail_calls(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner.lock().unwrap().call_faults.extend(faults);
    }

    /// The files shown in the group, each with the number of messages accepted before it.
    pub fn files(&self) -> Vec<(usize, File)> {
        self.inner.lock().unwrap().files.clone()
    }

    /// Lifts the limit of 20 a minute.
    pub fn without_rate_limit(self) -> Self {
        self.inner.lock().unwrap().rate = None;
        self
    }

    /// Refuses content that is longer than this, though the documentation allows it.
    pub fn refuse_longer_than(&self, bytes: usize) {
        self.inner.lock().unwrap().tighter = Some(bytes);
    }

    /// What the group got to see, in order: whole request bodies. Files belong to their messages: see [`Self::files`].
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
    if !inner.call_faults.is_empty() && String::from_utf8_lossy(&body).contains("mentioned_list") {
        let fault = inner.call_faults.remove(0);
        return failed(&fault, &uri);
    }
    match judge(&mut inner, &uri, &body) {
        Ok(message) => {
            keep(&mut inner, message);
            axum::Json(json!({"errcode": 0, "errmsg": "ok"})).into_response()
        }
        Err((code, reason)) => {
            inner.refused.push((code, reason.clone()));
            axum::Json(json!({"errcode": code, "errmsg": reason})).into_response()
        }
    }
}

/// A file is shown with the message it follows; everything else is a message of its own.
fn keep(inner: &mut Inner, message: Value) {
    let shown = message.pointer("/file/media_id").and_then(Value::as_str);
    let file = shown.and_then(|id| inner.uploads.iter().find(|(known, _)| known == id)).map(|(_, file)| file.clone());
    match file {
        Some(file) => inner.files.push((inner.accepted.len(), file)),
        None => inner.accepted.push((Timestamp::now(), message)),
    }
}

async fn upload(State(inner): State<Arc<Mutex<Inner>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut inner = inner.lock().unwrap();
    if !inner.upload_faults.is_empty() {
        let fault = inner.upload_faults.remove(0);
        return failed(&fault, &uri);
    }
    match judge_upload(&uri, &headers, &body) {
        Ok(file) => {
            let id = format!("3a1b{:060x}", inner.uploads.len());
            inner.uploads.push((id.clone(), file));
            let created = Timestamp::now().as_second().to_string();
            let answer = json!({"errcode": 0, "errmsg": "ok", "type": "file", "media_id": id, "created_at": created});
            axum::Json(answer).into_response()
        }
        Err((code, reason)) => {
            inner.refused.push((code, reason.to_owned()));
            axum::Json(json!({"errcode": code, "errmsg": reason})).into_response()
        }
    }
}

/// One part named `media` with the name and the length of the file, more than 5 bytes and at most 20 MB.
fn judge_upload(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<File, (i64, &'static str)> {
    let pairs: Vec<&str> = uri.query().unwrap_or_default().split('&').collect();
    if !pairs.contains(&format!("key={KEY}").as_str()) {
        return Err((93000, "invalid webhook url"));
    }
    if !pairs.contains(&"type=file") {
        return Err((40004, "invalid media type"));
    }
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").ok_or((41005, "media data missing"))?;
    let body = std::str::from_utf8(body).map_err(|_| (41005, "media data missing"))?;
    let part = body
        .strip_prefix(&format!("--{boundary}\r\n"))
        .and_then(|rest| rest.strip_suffix(&format!("\r\n--{boundary}--\r\n")))
        .filter(|part| !part.contains(&format!("--{boundary}")))
        .ok_or((41005, "media data missing"))?;
    let (head, content) = part.split_once("\r\n\r\n").ok_or((41005, "media data missing"))?;
    let disposition = head.lines().find_map(|line| line.strip_prefix("Content-Disposition: form-data; "));
    let fields: Vec<&str> = disposition.unwrap_or_default().split("; ").collect();
    let name = fields.iter().find_map(|field| field.strip_prefix("filename=\"")?.strip_suffix('"'));
    let name = name.filter(|name| !name.is_empty()).ok_or((41005, "media data missing"))?;
    let length = format!("filelength={}", content.len());
    if !fields.contains(&"name=\"media\"") || !fields.contains(&length.as_str()) {
        return Err((41005, "media data missing"));
    }
    if content.len() <= 5 || content.len() > 20 << 20 {
        return Err((40006, "invalid media size"));
    }
    Ok(File { name: name.to_owned(), content: content.to_owned() })
}

fn failed(fault: &Fault, uri: &Uri) -> Response {
    match fault {
        Fault::Code(code, said) => axum::Json(json!({"errcode": code, "errmsg": said})).into_response(),
        Fault::At(status, code, said) => {
            (StatusCode::from_u16(*status).unwrap(), axum::Json(json!({"errcode": code, "errmsg": said})))
                .into_response()
        }
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
        Some("text") => {
            if message.pointer("/text/mentioned_list").is_some_and(|list| !list.is_array()) {
                return Err((40008, "invalid mentioned_list".into()));
            }
            ("text", TEXT, 45002)
        }
        Some("template_card") => return judge_card(&message).map(|()| message.clone()),
        Some("file") => {
            let id = message.pointer("/file/media_id").and_then(Value::as_str);
            let known = id.is_some_and(|id| inner.uploads.iter().any(|(known, _)| known == id));
            return if known { Ok(message) } else { Err((40007, "invalid media_id".into())) };
        }
        _ => return Err((40008, "invalid message type".into())),
    };
    let content = message.get(kind).and_then(|body| body.get("content")).and_then(Value::as_str).unwrap_or_default();
    if content.is_empty() {
        return Err((44004, "empty content".into()));
    }
    let most = inner.tighter.map_or(most, |tighter| tighter.min(most));
    if content.len() > most {
        return Err((code, format!("{kind}.content exceed max length {most}")));
    }
    Ok(message)
}

/// A group bot's card: `text_notice` (the other kind is not used here), within the advised lengths, leading somewhere.
fn judge_card(message: &Value) -> Result<(), (i64, String)> {
    let card = &message["template_card"];
    let bad = |what: &str| (40058, format!("invalid template_card: {what}"));
    let within = |pointer: &str, most: usize| {
        let said = card.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if said.chars().count() <= most { Ok(()) } else { Err(bad(pointer)) }
    };
    if card["card_type"] != "text_notice" {
        return Err(bad("card_type"));
    }
    within("/source/desc", 13)?;
    within("/main_title/title", 26)?;
    within("/main_title/desc", 30)?;
    within("/sub_title_text", 112)?;
    let list = |name: &str| card[name].as_array().cloned().unwrap_or_default();
    if list("horizontal_content_list").len() > 6 || list("jump_list").len() > 3 {
        return Err(bad("too many lines"));
    }
    for (at, _) in list("horizontal_content_list").iter().enumerate() {
        within(&format!("/horizontal_content_list/{at}/keyname"), 5)?;
        within(&format!("/horizontal_content_list/{at}/value"), 26)?;
    }
    for (at, link) in list("jump_list").iter().enumerate() {
        within(&format!("/jump_list/{at}/title"), 13)?;
        if !link["url"].as_str().is_some_and(|url| url.starts_with("http")) {
            return Err(bad("jump_list.url"));
        }
    }
    let leads = card["card_action"]["type"] == 1 && card["card_action"]["url"].as_str().is_some();
    let says = !card["main_title"]["title"].as_str().unwrap_or_default().is_empty();
    if leads && says { Ok(()) } else { Err(bad("card_action or main_title")) }
}
