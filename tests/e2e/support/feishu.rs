//! A stand-in for Feishu's custom bots: signature, keyword, size, rate and card schema are checked as documented.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Fault, Rate, card, serve};

/// The token in the webhook's address.
const TOKEN: &str = "f00dcafe-1234-4321-aaaa-0123456789ab";
/// Bytes of a request, as documented.
const LARGEST: usize = 20 * 1024;
/// How far the timestamp may be off.
const HOUR: i64 = 3_600;

/// A bot in a group.
#[derive(Clone)]
pub struct Feishu {
    base: String,
    bot: Arc<Bot>,
}

#[derive(Default)]
struct Bot {
    secret: Option<String>,
    keyword: Option<String>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    accepted: Vec<(Timestamp, Value)>,
    refused: Vec<(i64, String)>,
    faults: Vec<Fault>,
    rate: Option<Rate>,
    /// People messages may call.
    callable: Vec<&'static str>,
}

impl Feishu {
    /// A bot without signature and keyword.
    pub async fn start() -> Self {
        Self::with(None, None).await
    }

    /// A bot that checks signatures, or asks for a keyword.
    pub async fn with(secret: Option<&str>, keyword: Option<&str>) -> Self {
        let rate = Rate::new(&[(5, Duration::from_secs(1)), (100, Duration::from_secs(60))]);
        let inner = Mutex::new(Inner { rate: Some(rate), ..Inner::default() });
        let bot = Arc::new(Bot { secret: secret.map(str::to_owned), keyword: keyword.map(str::to_owned), inner });
        let router = Router::new().route("/open-apis/bot/v2/hook/{token}", post(hook)).with_state(bot.clone());
        Self { base: serve(router).await, bot }
    }

    /// The webhook's address.
    pub fn url(&self) -> String {
        format!("{}/open-apis/bot/v2/hook/{TOKEN}", self.base)
    }

    /// Fails the next requests in this way, one each.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.bot.inner.lock().unwrap().faults.extend(faults);
    }

    /// Lets messages call this person.
    pub fn calling(self, user: &'static str) -> Self {
        self.bot.inner.lock().unwrap().callable.push(user);
        self
    }

    /// Lifts the limit of 5 a second and 100 a minute.
    pub fn without_rate_limit(self) -> Self {
        self.bot.inner.lock().unwrap().rate = None;
        self
    }

    /// What the group got to see, in order: whole request bodies.
    pub fn accepted(&self) -> Vec<Value> {
        self.arrivals().into_iter().map(|(_, message)| message).collect()
    }

    /// The same, each with the time it came in.
    pub fn arrivals(&self) -> Vec<(Timestamp, Value)> {
        self.bot.inner.lock().unwrap().accepted.clone()
    }

    /// What was refused: code and reason.
    pub fn refused(&self) -> Vec<(i64, String)> {
        self.bot.inner.lock().unwrap().refused.clone()
    }
}

async fn hook(State(bot): State<Arc<Bot>>, Path(token): Path<String>, uri: Uri, body: Bytes) -> Response {
    let mut inner = bot.inner.lock().unwrap();
    if !inner.faults.is_empty() {
        let fault = inner.faults.remove(0);
        return failed(&fault, &uri);
    }
    match judge(&bot, &mut inner, &token, &body) {
        Ok(message) => {
            inner.accepted.push((Timestamp::now(), message));
            axum::Json(json!({"code": 0, "msg": "success", "data": {}, "StatusCode": 0, "StatusMessage": "success"}))
                .into_response()
        }
        Err((code, reason)) => {
            inner.refused.push((code, reason.clone()));
            // 9499 is the one that comes with HTTP 400; the others come with 200.
            let status = if code == 9499 { StatusCode::BAD_REQUEST } else { StatusCode::OK };
            (status, axum::Json(json!({"code": code, "msg": reason, "data": {}}))).into_response()
        }
    }
}

fn failed(fault: &Fault, uri: &Uri) -> Response {
    match fault {
        Fault::Code(code, said) => axum::Json(json!({"code": code, "msg": said, "data": {}})).into_response(),
        Fault::At(status, code, said) => {
            (StatusCode::from_u16(*status).unwrap(), axum::Json(json!({"code": code, "msg": said}))).into_response()
        }
        Fault::Status(status) => (StatusCode::from_u16(*status).unwrap(), "<html>gateway</html>").into_response(),
        Fault::Echo(code) => axum::Json(json!({"code": code, "msg": format!("bad call of {uri}")})).into_response(),
    }
}

fn judge(bot: &Bot, inner: &mut Inner, token: &str, body: &[u8]) -> Result<Value, (i64, String)> {
    if token != TOKEN {
        return Err((19001, "param invalid: incoming webhook access token invalid".into()));
    }
    if inner.rate.as_mut().is_some_and(|rate| !rate.allows()) {
        return Err((9499, "too many request".into()));
    }
    if body.len() > LARGEST {
        return Err((19036, "the message exceeds the size limit".into()));
    }
    let message: Value = serde_json::from_slice(body).map_err(|_| (9499, "Bad Request".into()))?;
    if let Some(secret) = &bot.secret {
        signed(&message, secret)
            .ok_or((19021, "sign match fail or timestamp is not within one hour from current time".into()))?;
    }
    let shown = shown(&message)?;
    if bot.keyword.as_ref().is_some_and(|keyword| !shown.contains(keyword)) {
        return Err((19024, "Key Words Not Found".into()));
    }
    let text = message.to_string();
    // Only people a test expects to be called may be; nobody may call everybody.
    let called: usize = inner.callable.iter().map(|user| text.matches(&format!("<at id={user}></at>")).count()).sum();
    if mentions(&message) && (called != text.matches("<at").count() || text.contains("<at id=all>")) {
        return Err((11235, "the group does not allow @all".into()));
    }
    Ok(message)
}

fn signed(message: &Value, secret: &str) -> Option<()> {
    let timestamp: i64 = message.get("timestamp")?.as_str()?.parse().ok()?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    let key = format!("{timestamp}\n{secret}");
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?.finalize().into_bytes();
    let sound = (now - timestamp).abs() <= HOUR && message.get("sign")?.as_str()? == STANDARD.encode(mac);
    sound.then_some(())
}

/// The words people see, after the message's form was checked.
fn shown(message: &Value) -> Result<String, (i64, String)> {
    let allowed = ["timestamp", "sign", "msg_type", "card", "content"];
    if let Some(key) =
        message.as_object().into_iter().flatten().map(|(key, _)| key).find(|key| !allowed.contains(&key.as_str()))
    {
        return Err((9499, format!("Bad Request: {key}")));
    }
    match message.get("msg_type").and_then(Value::as_str) {
        Some("interactive") => {
            let card = message.get("card").unwrap_or(&Value::Null);
            card::check(card).map_err(|reason| (11246, format!("card content invalid: {reason}")))?;
            let mut words = String::new();
            collect(card, &mut words);
            Ok(words)
        }
        Some("text") => {
            let text = message.pointer("/content/text").and_then(Value::as_str).unwrap_or_default();
            if text.is_empty() { Err((9499, "Bad Request".into())) } else { Ok(text.to_owned()) }
        }
        _ => Err((9499, "Bad Request".into())),
    }
}

/// Whether Feishu would make a mention of something: in markdown and in text messages, not in plain text, of which the
/// line in the list of chats is a kind.
pub fn mentions(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(mentions),
        Value::Object(fields) if fields.get("tag").is_some_and(|tag| tag == "plain_text") => false,
        Value::Object(fields) => {
            let is_mention = fields.get("tag").is_some_and(|tag| tag == "at");
            is_mention || fields.iter().any(|(key, value)| key != "summary" && mentions(value))
        }
        Value::String(text) => text.to_ascii_lowercase().replace(' ', "").contains("<at"),
        _ => false,
    }
}

fn collect(value: &Value, words: &mut String) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        Value::Object(fields) => fields.iter().for_each(|(key, item)| match item.as_str() {
            Some(text) if key == "content" => words.push_str(&format!("{text}\n")),
            _ => collect(item, words),
        }),
        _ => {}
    }
}
