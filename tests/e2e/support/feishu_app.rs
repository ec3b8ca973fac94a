//! A stand-in for Feishu's app API: tokens, uuid, who may be written to, cards and their changes, rates and sizes are
//! checked as documented. Codes come with HTTP 400, as there, unless a test says otherwise.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post, put};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::feishu_ws::LongConnection;
use super::{Rate, card_app, serve};

/// The app every stand-in knows.
pub const APP_ID: &str = "cli_a1b2c3d4e5f60001";
/// Its secret.
pub const APP_SECRET: &str = "feishu-app-secret-0123456789";
/// The chat its bot is in.
pub const CHAT: &str = "oc_5ad11d72b830411d72b836c20";

/// Bytes of a card, as documented.
const LARGEST: usize = 30 * 1024;

/// A code, with the HTTP status it comes with.
#[derive(Debug, Clone)]
pub struct Refused {
    pub status: u16,
    pub code: i64,
    pub said: String,
    /// Seconds in `x-ogw-ratelimit-reset`.
    pub reset: Option<u64>,
}

impl Refused {
    /// A code as it usually comes.
    pub fn code(code: i64, said: &str) -> Self {
        Self { status: 400, code, said: said.to_owned(), reset: None }
    }

    /// The gateway's limit, which says when to come again.
    pub fn slow(reset: u64) -> Self {
        Self { status: 429, code: 99_991_400, said: "request trigger frequency limit".into(), reset: Some(reset) }
    }
}

/// A message in the chat.
#[derive(Debug, Clone)]
pub struct Message {
    pub id: String,
    pub at: Timestamp,
    pub kind: String,
    /// What it shows now.
    pub content: Value,
    /// What it showed before, oldest first.
    pub before: Vec<Value>,
    /// The message it answers.
    pub answers: Option<String>,
    pub in_thread: bool,
}

impl Message {
    /// All it ever showed, oldest first.
    pub fn history(&self) -> Vec<String> {
        self.before.iter().chain([&self.content]).map(Value::to_string).collect()
    }
}

/// The platform, with one app and one chat.
#[derive(Clone)]
pub struct FeishuApp {
    pub base: String,
    pub socket: LongConnection,
    platform: Arc<Mutex<Platform>>,
}

struct Platform {
    tokens: HashMap<String, Instant>,
    token_life: u64,
    given_out: usize,
    messages: Vec<Message>,
    by_uuid: HashMap<String, String>,
    gone: HashMap<String, i64>,
    chat_rate: Rate,
    message_rates: HashMap<String, Rate>,
    faults: Vec<Refused>,
    patch_faults: Vec<Refused>,
    reply_faults: Vec<Refused>,
    /// For calls about entities, by the last word of their path; `entity` is the whole card.
    entity_faults: HashMap<&'static str, Vec<i64>>,
    refused: Vec<(i64, String)>,
    without_threads: bool,
    /// Calls that are kept but whose answer the caller never sees.
    swallow: usize,
    /// People whom messages may call; nobody may call everybody.
    callable: Vec<&'static str>,
    /// Whether the app has the scope cardkit:card:write.
    makes_entities: bool,
    entities: HashMap<String, Entity>,
    /// How long a card may grow before it stops by itself.
    growing_ends: Duration,
}

/// A card that was made before it was sent.
struct Entity {
    card: Value,
    sequence: i64,
    /// Since when its texts may grow.
    growing: Option<Instant>,
    /// The message that shows it; it can be sent once.
    message: Option<String>,
    rate: Rate,
    /// What its growing text said, oldest first.
    texts: Vec<String>,
}

impl FeishuApp {
    /// A platform that gives out tokens for two hours.
    pub async fn start() -> Self {
        Self::with_tokens_for(7_200).await
    }

    /// The same with tokens that end after so many seconds.
    pub async fn with_tokens_for(token_life: u64) -> Self {
        let platform = Arc::new(Mutex::new(Platform {
            tokens: HashMap::new(),
            token_life,
            given_out: 0,
            messages: Vec::new(),
            by_uuid: HashMap::new(),
            gone: HashMap::new(),
            chat_rate: Rate::new(&[(5, Duration::from_secs(1))]),
            message_rates: HashMap::new(),
            callable: Vec::new(),
            faults: Vec::new(),
            patch_faults: Vec::new(),
            reply_faults: Vec::new(),
            entity_faults: HashMap::new(),
            refused: Vec::new(),
            without_threads: false,
            swallow: 0,
            makes_entities: true,
            entities: HashMap::new(),
            growing_ends: Duration::from_secs(600),
        }));
        let router = Router::new()
            .route("/open-apis/auth/v3/tenant_access_token/internal", post(token))
            .route("/open-apis/im/v1/messages", post(create))
            .route("/open-apis/im/v1/messages/{id}", patch(change))
            .route("/open-apis/im/v1/messages/{id}/reply", post(reply))
            .route("/open-apis/cardkit/v1/cards", post(new_entity))
            .route("/open-apis/cardkit/v1/cards/{id}", put(put_entity))
            .route("/open-apis/cardkit/v1/cards/{id}/settings", patch(set_entity))
            .route("/open-apis/cardkit/v1/cards/{id}/elements/{element}/content", put(grow_entity))
            .with_state(platform.clone());
        let (endpoint, socket) = LongConnection::start().await;
        Self { base: serve(router.merge(endpoint)).await, socket, platform }
    }

    /// The channel, for `channels:`.
    pub fn channel(&self) -> Value {
        json!({"name": "oncall", "type": "feishu-app", "app_id": APP_ID, "app_secret": APP_SECRET,
               "receive_id": CHAT, "base_url": self.base})
    }

    fn lock(&self) -> MutexGuard<'_, Platform> {
        self.platform.lock().unwrap()
    }

    /// What the chat shows, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.lock().messages.clone()
    }

    /// The cards of the chat that answer nothing.
    pub fn cards(&self) -> Vec<Message> {
        self.messages()
            .into_iter()
            .filter(|message| message.kind == "interactive" && message.answers.is_none())
            .collect()
    }

    /// The answers to a message.
    pub fn answers_to(&self, id: &str) -> Vec<Message> {
        self.messages().into_iter().filter(|message| message.answers.as_deref() == Some(id)).collect()
    }

    /// Lets new messages call this person.
    pub fn may_call(&self, user: &'static str) {
        self.lock().callable.push(user);
    }

    /// Fails the next calls that send or change, one each.
    pub fn fail(&self, faults: impl IntoIterator<Item = Refused>) {
        self.lock().faults.extend(faults);
    }

    /// Fails the next changes, one each.
    pub fn fail_changes(&self, faults: impl IntoIterator<Item = Refused>) {
        self.lock().patch_faults.extend(faults);
    }

    /// Fails the next answers in threads, one each.
    pub fn fail_replies(&self, faults: impl IntoIterator<Item = Refused>) {
        self.lock().reply_faults.extend(faults);
    }

    /// Fails the next calls of this kind about entities (`content`, `settings`, `entity`) with this code.
    pub fn fail_entities(&self, kind: &'static str, code: i64) {
        self.lock().entity_faults.entry(kind).or_default().push(code);
    }

    /// Keeps the next messages and breaks the line before the answer.
    pub fn swallow(&self, calls: usize) {
        self.lock().swallow = calls;
    }

    /// Makes a message one that cannot be changed or answered any more, and the code that says so.
    pub fn lose(&self, id: &str, code: i64) {
        self.lock().gone.insert(id.to_owned(), code);
    }

    /// An app without the scope for entities.
    pub fn without_entities(&self) {
        self.lock().makes_entities = false;
    }

    /// Cards stop to grow by themselves after this.
    pub fn growing_ends_after(&self, life: Duration) {
        self.lock().growing_ends = life;
    }

    /// What each card's growing text said, oldest first, with whether it may still grow.
    pub fn grown(&self) -> Vec<(Vec<String>, bool)> {
        self.lock().entities.values().map(|entity| (entity.texts.clone(), entity.growing.is_some())).collect()
    }

    /// A chat that has no threads.
    pub fn without_threads(&self) {
        self.lock().without_threads = true;
    }

    /// Ends all tokens, as a change of the secret does.
    pub fn end_tokens(&self) {
        self.lock().tokens.clear();
    }

    /// How often a token was asked for.
    pub fn tokens_given(&self) -> usize {
        self.lock().given_out
    }

    /// What was refused by the rules: code and reason.
    pub fn refused(&self) -> Vec<(i64, String)> {
        self.lock().refused.clone()
    }
}

type Shared = State<Arc<Mutex<Platform>>>;

async fn token(State(platform): Shared, body: Bytes) -> Response {
    let mut platform = platform.lock().unwrap();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    if asked["app_id"] != APP_ID {
        return platform.answer(Err(Refused::code(10_003, "invalid param")));
    }
    if asked["app_secret"] != APP_SECRET {
        return platform.answer(Err(Refused::code(10_014, "app secret invalid")));
    }
    platform.given_out += 1;
    let token = format!("t-{}", uuid::Uuid::now_v7().simple());
    let (life, end) = (platform.token_life, Instant::now() + Duration::from_secs(platform.token_life));
    platform.tokens.insert(token.clone(), end);
    axum::Json(json!({"code": 0, "msg": "ok", "tenant_access_token": token, "expire": life})).into_response()
}

async fn create(
    State(platform): Shared,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut platform = platform.lock().unwrap();
    let made = platform.create(&query, &headers, &body);
    platform.answer(made)
}

async fn change(State(platform): Shared, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let mut platform = platform.lock().unwrap();
    let changed = platform.change(&id, &headers, &body);
    platform.answer(changed)
}

async fn reply(State(platform): Shared, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let mut platform = platform.lock().unwrap();
    let made = platform.reply(&id, &headers, &body);
    platform.answer(made)
}

type Call = (Shared, Path<String>, HeaderMap, Bytes);

async fn new_entity(State(platform): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let mut platform = platform.lock().unwrap();
    let made = platform.new_entity(&headers, &body);
    platform.answer(made)
}

async fn put_entity((State(platform), Path(id), headers, body): Call) -> Response {
    let mut platform = platform.lock().unwrap();
    let put = platform.put_entity(&id, &headers, &body);
    platform.answer(put)
}

async fn set_entity((State(platform), Path(id), headers, body): Call) -> Response {
    let mut platform = platform.lock().unwrap();
    let set = platform.set_entity(&id, &headers, &body);
    platform.answer(set)
}

async fn grow_entity(
    State(platform): Shared,
    Path((id, element)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut platform = platform.lock().unwrap();
    let grown = platform.grow_entity(&id, &element, &headers, &body);
    platform.answer(grown)
}

/// Entities of cardkit v1.
impl Platform {
    fn new_entity(&mut self, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refused> {
        self.admit(headers)?;
        if !self.makes_entities {
            return Err(Refused::code(
                99_991_672,
                "Access denied. One of the following scopes is required: [cardkit:card:write]",
            ));
        }
        let body = known(body, &["type", "data"])?;
        let card = self.card_json(&body)?;
        let id = format!("73{:017}", self.entities.len());
        let growing = (card["config"]["streaming_mode"] == true).then(Instant::now);
        let rate = Rate::new(&[(10, Duration::from_secs(1))]);
        self.entities.insert(id.clone(), Entity { card, sequence: 0, growing, message: None, rate, texts: Vec::new() });
        Ok(json!({"card_id": id}))
    }

    fn card_json(&self, body: &Value) -> Result<Value, Refused> {
        let data = body["data"].as_str().filter(|_| body["type"] == "card_json");
        let data = data.ok_or_else(|| Refused::code(200_621, "type or data is invalid"))?;
        if data.len() > LARGEST {
            return Err(Refused::code(200_860, "the card is larger than 30 kB"));
        }
        self.content("interactive", &json!({"content": data}), &self.callable)
    }

    /// An entity that may be changed now, by a call whose sequence is larger than all before.
    fn entity(&mut self, kind: &str, id: &str, body: &Value) -> Result<&mut Entity, Refused> {
        if let Some(code) = self.entity_faults.get_mut(kind).and_then(Vec::pop) {
            if [200_740, 200_750].contains(&code) {
                // It is really gone; its message stays.
                self.entities.remove(id);
            }
            if let (300_309, Some(entity)) = (code, self.entities.get_mut(id)) {
                entity.growing = None;
            }
            return Err(Refused::code(code, "as the test wants it"));
        }
        let entity = self.entities.get_mut(id).ok_or_else(|| Refused::code(200_740, "the card does not exist"))?;
        if !entity.rate.allows() {
            return Err(Refused::code(99_991_400, "more than ten calls a second about one card"));
        }
        let sequence =
            body["sequence"].as_i64().filter(|sequence| *sequence <= i64::from(i32::MAX)).unwrap_or_default();
        if sequence <= entity.sequence {
            return Err(Refused::code(300_317, "sequence number compare failed"));
        }
        entity.sequence = sequence;
        Ok(entity)
    }

    fn put_entity(&mut self, id: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refused> {
        self.admit(headers)?;
        let body = known(body, &["card", "sequence", "uuid"])?;
        let card = self.card_json(&body["card"])?;
        let entity = self.entity("entity", id, &body)?;
        if entity.growing.is_some() {
            return Err(Refused::code(300_309, "streaming mode is on"));
        }
        entity.card = card.clone();
        let shown = entity.message.clone();
        if let Some(message) = self.messages.iter_mut().find(|message| Some(&message.id) == shown.as_ref()) {
            let before = std::mem::replace(&mut message.content, card);
            message.before.push(before);
        }
        Ok(json!({}))
    }

    fn set_entity(&mut self, id: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refused> {
        self.admit(headers)?;
        let body = known(body, &["settings", "sequence", "uuid"])?;
        let settings = body["settings"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let grows = settings.and_then(|settings| settings["config"]["streaming_mode"].as_bool());
        let grows = grows.ok_or_else(|| Refused::code(200_621, "settings are invalid"))?;
        self.entity("settings", id, &body)?.growing = grows.then(Instant::now);
        Ok(json!({}))
    }

    fn grow_entity(&mut self, id: &str, element: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refused> {
        self.admit(headers)?;
        let body = known(body, &["content", "sequence", "uuid"])?;
        let life = self.growing_ends;
        let entity = self.entity("content", id, &body)?;
        match entity.growing {
            None => return Err(Refused::code(300_309, "streaming mode is closed")),
            Some(since) if since.elapsed() > life => {
                entity.growing = None;
                return Err(Refused::code(200_850, "streaming mode timed out"));
            }
            Some(_) => {}
        }
        let text = body["content"].as_str().filter(|text| !text.is_empty() && text.chars().count() <= 100_000);
        let text = text.ok_or_else(|| Refused::code(200_621, "content is invalid"))?.to_owned();
        let elements = entity.card["body"]["elements"].as_array_mut().into_iter().flatten();
        let target = elements.into_iter().find(|one| one["element_id"] == element && one["tag"] == "markdown");
        target.ok_or_else(|| Refused::code(300_314, "there is no such element"))?["content"] = text.clone().into();
        entity.texts.push(text);
        Ok(json!({}))
    }
}

impl Platform {
    fn answer(&mut self, outcome: Result<Value, Refused>) -> Response {
        match outcome {
            Ok(_) if self.swallow > 0 => {
                self.swallow -= 1;
                (StatusCode::BAD_GATEWAY, "<html>gateway</html>").into_response()
            }
            Ok(data) => axum::Json(json!({"code": 0, "msg": "success", "data": data})).into_response(),
            Err(Refused { status, code, said, reset }) => {
                self.refused.push((code, said.clone()));
                let status = StatusCode::from_u16(status).unwrap();
                let mut response = (status, axum::Json(json!({"code": code, "msg": said}))).into_response();
                if let Some(seconds) = reset {
                    response.headers_mut().insert("x-ogw-ratelimit-reset", seconds.to_string().parse().unwrap());
                }
                response
            }
        }
    }

    fn admit(&mut self, headers: &HeaderMap) -> Result<(), Refused> {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = given.ok_or_else(|| Refused::code(99_991_661, "Missing access token for authorization"))?;
        let good = self.tokens.get(token).is_some_and(|end| *end > Instant::now());
        good.then_some(()).ok_or_else(|| Refused::code(99_991_663, &format!("Invalid access token: {token}")))?;
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults.remove(0)) }
    }

    fn create(&mut self, query: &HashMap<String, String>, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refused> {
        self.admit(headers)?;
        let body = known(body, &["receive_id", "msg_type", "content", "uuid"])?;
        let kind = query.get("receive_id_type").map(String::as_str);
        if !["open_id", "user_id", "union_id", "email", "chat_id"].contains(&kind.unwrap_or_default()) {
            return Err(Refused::code(230_001, "invalid receive_id_type"));
        }
        if kind == Some("chat_id") && body["receive_id"] != CHAT {
            return Err(Refused::code(230_002, "Bot/User can NOT be out of the chat."));
        }
        self.keep(&body, None)
    }

    fn reply(&mut self, id: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refused> {
        self.admit(headers)?;
        if !self.reply_faults.is_empty() {
            return Err(self.reply_faults.remove(0));
        }
        let body = known(body, &["msg_type", "content", "uuid", "reply_in_thread"])?;
        self.there(id)?;
        if self.without_threads && body["reply_in_thread"] == true {
            return Err(Refused::code(230_071, "reply in thread is not supported"));
        }
        self.keep(&body, Some(id.to_owned()))
    }

    fn keep(&mut self, body: &Value, answers: Option<String>) -> Result<Value, Refused> {
        let uuid = body["uuid"].as_str().unwrap_or_default().to_owned();
        if uuid.len() > 50 {
            return Err(Refused::code(230_001, "uuid is longer than 50"));
        }
        if let Some(id) = self.by_uuid.get(&uuid).filter(|_| !uuid.is_empty()) {
            return Ok(json!({"message_id": id}));
        }
        if !self.chat_rate.allows() {
            return Err(Refused::code(230_020, "The operation triggers the frequency limit of the chat"));
        }
        let kind = body["msg_type"].as_str().unwrap_or_default().to_owned();
        let entity = self.entity_to_send(body)?;
        let content = match &entity {
            Some(card) => self.entities[card].card.clone(),
            None => self.content(&kind, body, &self.callable)?,
        };
        let id = format!("om_{}", uuid::Uuid::now_v7().simple());
        if let Some(entity) = entity.and_then(|card| self.entities.get_mut(&card)) {
            entity.message = Some(id.clone());
        }
        self.by_uuid.insert(uuid, id.clone());
        let in_thread = body["reply_in_thread"] == true;
        let at = Timestamp::now();
        self.messages.push(Message { id: id.clone(), at, kind, content, before: Vec::new(), answers, in_thread });
        Ok(json!({"message_id": id, "chat_id": CHAT}))
    }

    /// The entity a message shows; the card itself where it shows none. An entity is sent once.
    fn entity_to_send(&self, body: &Value) -> Result<Option<String>, Refused> {
        let content: Value = serde_json::from_str(body["content"].as_str().unwrap_or_default()).unwrap_or_default();
        if content["type"] != "card" {
            return Ok(None);
        }
        let card = content["data"]["card_id"].as_str().unwrap_or_default();
        let entity = self.entities.get(card).ok_or_else(|| Refused::code(230_099, "ErrCode: 200740; no such card"))?;
        match entity.message {
            None => Ok(Some(card.to_owned())),
            Some(_) => Err(Refused::code(230_099, "ErrCode: 200750; the card was sent before")),
        }
    }

    fn change(&mut self, id: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refused> {
        self.admit(headers)?;
        if !self.patch_faults.is_empty() {
            return Err(self.patch_faults.remove(0));
        }
        let body = known(body, &["content"])?;
        self.there(id)?;
        if self.entities.values().any(|entity| entity.message.as_deref() == Some(id) && entity.growing.is_some()) {
            return Err(Refused::code(230_099, "ErrCode: 300309; the card grows"));
        }
        let rate = self.message_rates.entry(id.to_owned()).or_insert_with(|| Rate::new(&[(5, Duration::from_secs(1))]));
        if !rate.allows() {
            return Err(Refused::code(230_020, "The operation triggers the frequency limit of the message"));
        }
        // A change rings nobody's phone: whoever writes a mention there meant to call somebody and calls nobody.
        let content = self.content("interactive", &body, &[])?;
        let message = self.messages.iter_mut().find(|message| message.id == id).unwrap();
        if message.kind != "interactive" {
            return Err(Refused::code(230_001, "the message is not a card"));
        }
        if message.content["config"]["update_multi"] != true || content["config"]["update_multi"] != true {
            return Err(Refused::code(230_099, "ErrCode: 200300; update_multi must be true"));
        }
        let before = std::mem::replace(&mut message.content, content);
        message.before.push(before);
        Ok(json!({}))
    }

    fn there(&self, id: &str) -> Result<(), Refused> {
        if let Some(code) = self.gone.get(id) {
            return Err(Refused::code(*code, "the message was recalled, deleted or is too old"));
        }
        let known = self.messages.iter().any(|message| message.id == id);
        known.then_some(()).ok_or_else(|| Refused::code(230_001, "invalid message_id"))
    }

    fn content(&self, kind: &str, body: &Value, callable: &[&str]) -> Result<Value, Refused> {
        let text = body["content"].as_str().ok_or_else(|| Refused::code(230_001, "content is not a JSON string"))?;
        let content: Value =
            serde_json::from_str(text).map_err(|_| Refused::code(230_001, "content is not a string in json format"))?;
        // The tag of a text is another one than that of a card.
        let (said, tag) = match kind {
            "text" => (content["text"].as_str().unwrap_or_default().to_owned(), ("<at user_id=\"", "\"></at>")),
            _ => (content.to_string(), ("<at id=", "></at>")),
        };
        let called: usize =
            callable.iter().map(|user| said.matches(&format!("{}{user}{}", tag.0, tag.1)).count()).sum();
        if super::feishu::mentions(&content) && called != said.matches("<at").count() {
            return Err(Refused::code(230_099, "a mention nobody asked for"));
        }
        match kind {
            "interactive" if text.len() > LARGEST => Err(Refused::code(230_025, "The length of the card is too long")),
            "interactive" => card_app::check(&content)
                .map(|()| content)
                .map_err(|reason| Refused::code(230_099, &format!("Failed to create card content, ext={reason}"))),
            "text" if content["text"].as_str().is_some_and(|text| !text.is_empty()) => Ok(content),
            _ => Err(Refused::code(230_001, "invalid msg_type or content")),
        }
    }
}

fn known(body: &[u8], fields: &[&str]) -> Result<Value, Refused> {
    let body: Value = serde_json::from_slice(body).map_err(|_| Refused::code(9499, "Bad Request"))?;
    match body.as_object().and_then(|object| object.keys().find(|key| !fields.contains(&key.as_str()))) {
        Some(key) => Err(Refused::code(9499, &format!("Bad Request: {key}"))),
        None => Ok(body),
    }
}
