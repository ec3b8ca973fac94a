//! Feishu bots without a rate limit: cards are checked as Feishu does, and remembered by alert and time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{card, model};
use crate::alert;

/// Which card of an alert.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The first: the alert, with what the playbook found by then.
    First,
    /// The one with the model's diagnosis.
    Diagnosis,
}

/// When an alert's cards came.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub first: Instant,
    pub last: Instant,
    /// Whether the model's diagnosis was in one of them.
    pub diagnosed: bool,
}

/// Every chat's cards.
#[derive(Default)]
pub struct Chat {
    seen: Mutex<HashMap<usize, Seen>>,
    refused: Mutex<Vec<String>>,
    waiting: Mutex<HashMap<usize, Arc<Notify>>>,
}

impl Chat {
    /// Waits for a card of an alert.
    pub async fn wait(&self, number: usize, stage: Stage) -> Seen {
        let news = self.waiting.lock().unwrap().entry(number).or_default().clone();
        loop {
            let arrived = self.seen.lock().unwrap().get(&number).copied();
            if let Some(seen) = arrived.filter(|seen| stage == Stage::First || seen.diagnosed) {
                return seen;
            }
            news.notified().await;
        }
    }

    /// How many alerts of a range have a first card.
    pub fn told(&self, alerts: std::ops::Range<usize>) -> usize {
        let seen = self.seen.lock().unwrap();
        alerts.filter(|number| seen.contains_key(number)).count()
    }

    /// When an alert's first card came.
    pub fn first(&self, number: usize) -> Option<Instant> {
        self.seen.lock().unwrap().get(&number).map(|seen| seen.first)
    }

    /// What was refused, and why.
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap().clone()
    }

    fn take(&self, body: &[u8]) -> Result<(), String> {
        let message: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        card::check(message.get("card").unwrap_or(&Value::Null))?;
        let text = String::from_utf8_lossy(body);
        let number = alert::number_in(&text).ok_or("the card does not name its alert")?;
        let (now, diagnosed) = (Instant::now(), text.contains(model::NAME));
        let mut seen = self.seen.lock().unwrap();
        let entry = seen.entry(number).or_insert(Seen { first: now, last: now, diagnosed });
        (entry.last, entry.diagnosed) = (now, entry.diagnosed || diagnosed);
        drop(seen);
        self.waiting.lock().unwrap().entry(number).or_default().notify_one();
        Ok(())
    }
}

/// The bots' webhooks.
pub fn router(chat: Arc<Chat>) -> Router {
    Router::new().route("/open-apis/bot/v2/hook/{team}", post(hook)).with_state(chat)
}

async fn hook(State(chat): State<Arc<Chat>>, body: Bytes) -> Json<Value> {
    match chat.take(&body) {
        Ok(()) => Json(json!({"code": 0, "msg": "success", "data": {}})),
        Err(reason) => {
            chat.refused.lock().unwrap().push(reason.clone());
            Json(json!({"code": 11246, "msg": reason, "data": {}}))
        }
    }
}
