//! One group chat of each product, with its limits: a Feishu bot, a Feishu app and a WeCom bot. What comes too fast or too
//! long is refused as documented, and everything that is shown is remembered with its bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{patch, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{card, card_app, model};
use crate::alert;

/// A product's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Room {
    FeishuBot,
    FeishuApp,
    Wecom,
}

/// What was shown at once: a message, an answer in a thread, or a change of a card.
#[derive(Debug, Clone)]
pub struct Shown {
    pub room: Room,
    pub at: Instant,
    /// Bytes of the request.
    pub bytes: usize,
    /// The alerts it names.
    pub alerts: Vec<usize>,
    /// Whether a card that was there already shows it.
    pub is_change: bool,
    /// Whether the model's diagnosis is in it.
    pub diagnosed: bool,
}

/// The groups, and what they show.
#[derive(Default)]
pub struct Rooms {
    shown: Mutex<Vec<Shown>>,
    sent: Mutex<HashMap<Room, VecDeque<Instant>>>,
    too_fast: Mutex<HashMap<Room, usize>>,
    refused: Mutex<Vec<String>>,
}

impl Room {
    /// So many in so long, as documented.
    fn rate(self) -> &'static [(usize, Duration)] {
        const SECOND: Duration = Duration::from_secs(1);
        const MINUTE: Duration = Duration::from_secs(60);
        match self {
            Self::FeishuBot => &[(5, SECOND), (100, MINUTE)],
            Self::FeishuApp => &[(5, SECOND)],
            Self::Wecom => &[(20, MINUTE)],
        }
    }
}

impl Rooms {
    /// Everything a group shows, in order.
    pub fn shown(&self, room: Room) -> Vec<Shown> {
        self.shown.lock().unwrap().iter().filter(|one| one.room == room).cloned().collect()
    }

    /// When each alert was named first in a group.
    pub fn named(&self, room: Room) -> HashMap<usize, Instant> {
        let mut named = HashMap::new();
        for one in self.shown(room) {
            for number in one.alerts {
                named.entry(number).or_insert(one.at);
            }
        }
        named
    }

    /// How often a group had to say that it is too fast.
    pub fn too_fast(&self, room: Room) -> usize {
        self.too_fast.lock().unwrap().get(&room).copied().unwrap_or_default()
    }

    /// Forgets what was shown.
    pub fn clear(&self) {
        self.shown.lock().unwrap().clear();
        self.too_fast.lock().unwrap().clear();
    }

    /// What was refused for another reason than the rate.
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap().clone()
    }

    /// Whether one more is taken now; counts it if so.
    fn admits(&self, room: Room) -> bool {
        let mut all = self.sent.lock().unwrap();
        let (sent, now) = (all.entry(room).or_default(), Instant::now());
        let within = |span: Duration| sent.iter().filter(|at| now - **at < span).count();
        let admitted = room.rate().iter().all(|(most, span)| within(*span) < *most);
        match admitted {
            true => sent.push_back(now),
            false => *self.too_fast.lock().unwrap().entry(room).or_default() += 1,
        }
        while sent.front().is_some_and(|at| now - *at > Duration::from_secs(60)) {
            sent.pop_front();
        }
        admitted
    }

    fn show(&self, room: Room, body: &[u8], is_change: bool) {
        let text = String::from_utf8_lossy(body);
        let (alerts, diagnosed) = (alert::numbers_in(&text), text.contains(model::NAME));
        let shown = Shown { room, at: Instant::now(), bytes: body.len(), alerts, is_change, diagnosed };
        self.shown.lock().unwrap().push(shown);
    }

    fn refuse(&self, reason: String) -> String {
        self.refused.lock().unwrap().push(reason.clone());
        reason
    }
}

pub fn router(rooms: Arc<Rooms>) -> Router {
    Router::new()
        .route("/rooms/feishu", post(feishu))
        .route("/cgi-bin/webhook/send", post(wecom))
        .route("/open-apis/auth/v3/tenant_access_token/internal", post(token))
        .route("/open-apis/im/v1/messages", post(send))
        .route("/open-apis/im/v1/messages/{id}", patch(change))
        .route("/open-apis/im/v1/messages/{id}/reply", post(send))
        .with_state(rooms)
}

async fn feishu(State(rooms): State<Arc<Rooms>>, body: Bytes) -> Json<Value> {
    if !rooms.admits(Room::FeishuBot) {
        return Json(json!({"code": 9499, "msg": "too many request", "data": {}}));
    }
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let checked = match body.len() <= 20 * 1024 {
        true if message["msg_type"] == "interactive" => card::check(&message["card"]),
        true => Ok(()),
        false => Err(format!("{} bytes", body.len())),
    };
    match checked {
        Ok(()) => {
            rooms.show(Room::FeishuBot, &body, false);
            Json(json!({"code": 0, "msg": "success", "data": {}}))
        }
        Err(reason) => Json(json!({"code": 11246, "msg": rooms.refuse(reason), "data": {}})),
    }
}

async fn wecom(State(rooms): State<Arc<Rooms>>, body: Bytes) -> Json<Value> {
    if !rooms.admits(Room::Wecom) {
        return Json(json!({"errcode": 45009, "errmsg": "api freq out of limit"}));
    }
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let length = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).map_or(0, str::len);
    if length("/markdown_v2/content") > 4096 || length("/text/content") > 2048 {
        return Json(json!({"errcode": 40058, "errmsg": rooms.refuse("content exceed max length".to_owned())}));
    }
    rooms.show(Room::Wecom, &body, false);
    Json(json!({"errcode": 0, "errmsg": "ok"}))
}

async fn token() -> Json<Value> {
    Json(json!({"code": 0, "msg": "ok", "tenant_access_token": "t-bench", "expire": 7200}))
}

async fn send(State(rooms): State<Arc<Rooms>>, body: Bytes) -> Json<Value> {
    if !rooms.admits(Room::FeishuApp) {
        return Json(json!({"code": 230_020, "msg": "frequency limit"}));
    }
    take(&rooms, &body, false)
}

async fn change(State(rooms): State<Arc<Rooms>>, Path(_): Path<String>, body: Bytes) -> Json<Value> {
    take(&rooms, &body, true)
}

fn take(rooms: &Rooms, body: &[u8], is_change: bool) -> Json<Value> {
    let message: Value = serde_json::from_slice(body).unwrap_or_default();
    let content: Value = serde_json::from_str(message["content"].as_str().unwrap_or_default()).unwrap_or_default();
    let checked = match content["schema"].is_string() {
        true if body.len() > 30 * 1024 => Err(format!("{} bytes", body.len())),
        true => card_app::check(&content),
        false => Ok(()),
    };
    if let Err(reason) = checked {
        return Json(json!({"code": 230_099, "msg": rooms.refuse(reason)}));
    }
    rooms.show(Room::FeishuApp, body, is_change);
    let id = format!("om_{}", uuid::Uuid::new_v4().simple());
    Json(json!({"code": 0, "msg": "success", "data": {"message_id": id, "chat_id": "oc_bench"}}))
}
