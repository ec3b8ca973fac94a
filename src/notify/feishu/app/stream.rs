//! An investigation's steps typed onto the card as they are made (`stream: true`), where the platform allows it.
//!
//! The first card is then an entity of cardkit v1 with a text that grows. What it refuses is no loss: the card is changed
//! as any other from then on. Entities are kept in memory; a card from before a restart is changed by its message, too.

use std::collections::HashMap;

use reqwest::Method;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::FeishuApp;
use super::codes::Failure;
use super::wire::{CardJson, Sealed, Settings, Shown, Text, Whole};
use crate::notify::feishu::markup;
use crate::notify::live::Step;
use crate::notify::notice::Notice;

/// The element that grows: letters, digits and underscores, at most 20.
pub const GROWING: &str = "progress";
/// Entities remembered; a chat with more incidents at once reads none of them step by step.
const REMEMBERED: usize = 512;
/// Ends the typing; JSON within JSON.
const STILL: &str = r#"{"config":{"streaming_mode":false}}"#;

/// The entities behind cards, by incident.
#[derive(Debug, Default)]
pub struct Streams(Mutex<HashMap<Uuid, Entity>>);

#[derive(Debug)]
struct Entity {
    card: String,
    /// That of the last call; each must be larger than all before.
    sequence: i32,
    /// Whether its text may grow.
    grows: bool,
}

impl Entity {
    fn next(&mut self) -> i32 {
        self.sequence = self.sequence.saturating_add(1);
        self.sequence
    }
}

impl FeishuApp {
    /// What a message holds that shows this card: an entity of it, or the card itself where none is made. Sent again, it
    /// is the same entity.
    pub(super) async fn as_entity(&self, notice: &Notice, card: Sealed) -> Sealed {
        let mut entities = self.streams.0.lock().await;
        if !entities.contains_key(&notice.incident) && entities.len() < REMEMBERED {
            let body = CardJson::new(card.content.clone());
            match self.api.call(Method::POST, "/open-apis/cardkit/v1/cards", &body).await {
                Ok(answer) => {
                    let made = answer.data.and_then(|made| made.card_id);
                    let entity = made.map(|card| Entity { card, sequence: 0, grows: true });
                    entities.extend(entity.map(|entity| (notice.incident, entity)));
                }
                Err(failure) => {
                    let error = failure.refusal();
                    tracing::warn!(channel = self.name(), incident.id = %notice.incident, %error, "cards do not grow; grant the scope cardkit:card:write to the app");
                }
            }
        }
        let shown =
            entities.get(&notice.incident).and_then(|entity| serde_json::to_string(&Shown::new(&entity.card)).ok());
        shown.map_or(card, |content| Sealed { msg_type: "interactive", content })
    }

    /// Types the steps so far onto a card; false when it has to be changed as a whole.
    pub(super) async fn grow(&self, incident: Uuid, step: &Step) -> bool {
        let mut entities = self.streams.0.lock().await;
        let Some(entity) = entities.get_mut(&incident).filter(|entity| entity.grows) else { return false };
        let text = Text { content: steps(step), sequence: entity.next() };
        let path = format!("/open-apis/cardkit/v1/cards/{}/elements/{GROWING}/content", entity.card);
        match self.api.call(Method::PUT, &path, &text).await {
            Ok(_) => true,
            Err(failure) => {
                let error = failure.refusal();
                tracing::info!(channel = self.name(), incident.id = %incident, %error, "a card does not grow any more");
                entity.grows = false;
                false
            }
        }
    }

    /// Puts a card in the place of an entity's; none when the incident has no entity, or it does not take that.
    pub(super) async fn put_entity(&self, incident: Uuid, card: &Sealed) -> Option<Result<(), Failure>> {
        let mut entities = self.streams.0.lock().await;
        let entity = entities.get_mut(&incident)?;
        let path = format!("/open-apis/cardkit/v1/cards/{}", entity.card);
        if std::mem::take(&mut entity.grows) {
            // While a card grows, presses on it change nothing; one that ended by itself refuses this, and needs it not.
            let still = Settings { settings: STILL, sequence: entity.next() };
            if let Err(failure) = self.api.call(Method::PATCH, &format!("{path}/settings"), &still).await {
                tracing::debug!(channel = self.name(), incident.id = %incident, error = %failure.refusal(), "a card did not stop to grow");
            }
        }
        let whole = Whole { card: CardJson::new(card.content.clone()), sequence: entity.next() };
        match self.api.call(Method::PUT, &path, &whole).await {
            Ok(_) => Some(Ok(())),
            Err(failure) => {
                let error = failure.refusal();
                tracing::info!(channel = self.name(), incident.id = %incident, %error, "an entity is not changed; its message is");
                entities.remove(&incident);
                None
            }
        }
    }
}

/// The tools that were read, in order: what is added is typed on.
fn steps(step: &Step) -> String {
    step.tools.iter().map(|tool| markup::escape(tool)).collect::<Vec<_>>().join(" → ")
}
