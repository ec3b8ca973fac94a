//! An investigation's steps typed onto the card as they are made (`stream: true`), where the platform allows it.
//!
//! The first card is then an entity of cardkit v1 with a text that grows. What it refuses is no loss: the card is changed
//! as any other from then on. The store knows which entity a card is before it is sent, so that it is changed by whoever
//! changes it next: this process, this one started anew, or another replica.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jiff::Timestamp;
use reqwest::Method;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::FeishuApp;
use super::codes::{Failure, Trouble};
use super::wire::{CardJson, Sealed, Settings, Shown, Text, Whole};
use crate::notify::feishu::markup;
use crate::notify::live::Step;
use crate::notify::send::{Reason, SendError};
use crate::store::Store;

/// The element that grows: letters, digits and underscores, at most 20.
pub const GROWING: &str = "progress";
/// Entities remembered; what is known of the others stands in the store.
const REMEMBERED: usize = 512;
/// Lets the text grow, and ends the typing; JSON within JSON.
const GOES_ON: &str = r#"{"config":{"streaming_mode":true}}"#;
const STILL: &str = r#"{"config":{"streaming_mode":false}}"#;
/// How far a sequence goes ahead that was behind: a minute of ticks.
const AHEAD: i32 = 600;

/// The entities behind cards, by incident.
#[derive(Debug, Default)]
pub struct Streams(Mutex<HashMap<Uuid, Entity>>);

#[derive(Debug)]
struct Entity {
    card: String,
    /// That of the last call; each must be larger than all before.
    sequence: i32,
    /// Whether steps are still typed onto it.
    grows: bool,
    /// Whether it may be in the mode in which texts grow: it has to be left before the card changes.
    open: bool,
    /// It takes no changes any more.
    lost: bool,
}

impl Entity {
    fn of(card: String, grows: bool) -> Self {
        Self { card, sequence: 0, grows, open: true, lost: false }
    }

    /// A count of tenths of a second: what another process says later is larger, too.
    fn next(&mut self) -> i32 {
        let tick = Timestamp::now().as_millisecond() / 100 % 2_000_000_000;
        self.sequence = self.sequence.saturating_add(1).max(i32::try_from(tick).unwrap_or(0));
        self.sequence
    }
}

impl FeishuApp {
    /// What a message holds that shows this card: an entity of it, or the card itself where none is made. Sent again, it
    /// is the same entity, whichever process sends it.
    pub(super) async fn as_entity(&self, incident: Uuid, store: &Store, card: Sealed) -> Sealed {
        let mut entities = self.streams.0.lock().await;
        let known = match entities.get(&incident) {
            Some(entity) => Some(entity.card.clone()),
            None => self.entity_of(incident, store).await,
        };
        let id = match known {
            Some(id) => Some(id),
            None => self.made(incident, store, &card).await,
        };
        let Some(id) = id else { return card };
        if entities.len() >= REMEMBERED {
            entities.retain(|_, entity| entity.grows);
        }
        let content = serde_json::to_string(&Shown::new(&id));
        entities.entry(incident).or_insert_with(|| Entity::of(id, true));
        content.map_or(card, |content| Sealed { msg_type: "interactive", content })
    }

    /// The entity the store knows, where it answers.
    async fn entity_of(&self, incident: Uuid, store: &Store) -> Option<String> {
        store.entity(incident, self.name()).await.unwrap_or_else(|error| {
            tracing::warn!(channel = self.name(), incident.id = %incident, %error, "the entity of a card is not known");
            None
        })
    }

    /// A new entity that the store knows; none when the platform makes none, or the store would not know it.
    async fn made(&self, incident: Uuid, store: &Store, card: &Sealed) -> Option<String> {
        let body = CardJson::new(card.content.clone());
        let id = match self.api.call(Method::POST, "/open-apis/cardkit/v1/cards", &body).await {
            Ok(answer) => answer.data.and_then(|made| made.card_id)?,
            Err(failure) => {
                let error = failure.refusal();
                tracing::warn!(channel = self.name(), incident.id = %incident, %error, "cards do not grow; grant the scope cardkit:card:write to the app");
                return None;
            }
        };
        match store.keep_entity(incident, self.name(), &id).await {
            Ok(()) => Some(id),
            Err(error) => {
                tracing::warn!(channel = self.name(), incident.id = %incident, %error, "a card does not grow");
                None
            }
        }
    }

    /// A new card stands in the place of the one an entity shows.
    pub(super) async fn forget_entity(&self, incident: Uuid, store: &Store) {
        self.streams.0.lock().await.remove(&incident);
        if let Err(error) = store.forget_entity(incident, self.name()).await {
            tracing::warn!(channel = self.name(), incident.id = %incident, %error, "an entity could not be forgotten");
        }
    }

    /// Types the steps so far onto a card; false when somebody presses something on it just now, and none when it has to
    /// be changed as a whole.
    pub(super) async fn grow(&self, incident: Uuid, step: &Step) -> Option<bool> {
        let mut entities = self.streams.0.lock().await;
        let entity = entities.get_mut(&incident).filter(|entity| entity.grows)?;
        let outcome = match self.typed(entity, step).await {
            Err(Failure::Entity(Trouble::Closed, _)) => match self.set(entity, GOES_ON).await {
                Ok(()) => self.typed(entity, step).await,
                refused => refused,
            },
            outcome => outcome,
        };
        match outcome {
            Ok(()) => Some(true),
            Err(Failure::Entity(Trouble::Busy, _)) => Some(false),
            Err(failure) => {
                (entity.grows, entity.lost) = (false, matches!(failure, Failure::Entity(Trouble::Lost, _)));
                let error = failure.refusal();
                tracing::info!(channel = self.name(), incident.id = %incident, %error, "a card does not grow any more");
                None
            }
        }
    }

    /// Puts a card in the place of an entity's; none when the incident has no entity, or it does not take that.
    pub(super) async fn put_entity(&self, incident: Uuid, store: &Store, card: &Sealed) -> Option<Result<(), Failure>> {
        let mut entities = self.streams.0.lock().await;
        let entity = match entities.entry(incident) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Entity::of(self.entity_of(incident, store).await?, false)),
        };
        if entity.lost {
            return None;
        }
        entity.grows = false;
        match self.replaced(entity, card).await {
            Ok(()) => Some(Ok(())),
            // Who presses something is done in a moment.
            Err(Failure::Entity(Trouble::Busy, said)) => Some(Err(SendError::new(Reason::RateLimited, said).into())),
            Err(failure) => {
                let error = failure.refusal();
                tracing::info!(channel = self.name(), incident.id = %incident, %error, "an entity is not changed; its message is");
                entity.lost = !error.passes();
                None
            }
        }
    }

    async fn replaced(&self, entity: &mut Entity, card: &Sealed) -> Result<(), Failure> {
        if entity.open {
            // While a card grows, presses on it change nothing; one that ended by itself refuses this, and needs it not.
            match self.set(entity, STILL).await {
                Ok(()) | Err(Failure::Entity(Trouble::Closed, _)) => entity.open = false,
                Err(Failure::Entity(Trouble::Busy, said)) => return Err(Failure::Entity(Trouble::Busy, said)),
                Err(failure) => {
                    tracing::debug!(channel = self.name(), error = %failure.refusal(), "a card did not stop to grow");
                }
            }
        }
        let path = format!("/open-apis/cardkit/v1/cards/{}", entity.card);
        let card = || CardJson::new(card.content.clone());
        self.in_order(entity, Method::PUT, &path, |sequence| Whole { card: card(), sequence }).await
    }

    async fn typed(&self, entity: &mut Entity, step: &Step) -> Result<(), Failure> {
        let path = format!("/open-apis/cardkit/v1/cards/{}/elements/{GROWING}/content", entity.card);
        self.in_order(entity, Method::PUT, &path, |sequence| Text { content: steps(step), sequence }).await
    }

    async fn set(&self, entity: &mut Entity, settings: &'static str) -> Result<(), Failure> {
        let path = format!("/open-apis/cardkit/v1/cards/{}/settings", entity.card);
        self.in_order(entity, Method::PATCH, &path, |sequence| Settings { settings, sequence }).await
    }

    /// A call about an entity; one whose sequence is behind (a clock went back) goes again well ahead.
    async fn in_order<B: serde::Serialize>(
        &self,
        entity: &mut Entity,
        method: Method,
        path: &str,
        body: impl Fn(i32) -> B,
    ) -> Result<(), Failure> {
        let first = self.api.call(method.clone(), path, &body(entity.next())).await;
        let Err(Failure::Entity(Trouble::Behind, _)) = first else { return first.map(drop) };
        entity.sequence = entity.sequence.saturating_add(AHEAD);
        self.api.call(method, path, &body(entity.next())).await.map(drop)
    }
}

/// The tools that were read, in order: what is added is typed on.
#[must_use]
pub fn steps(step: &Step) -> String {
    step.tools.iter().map(|tool| markup::escape(tool)).collect::<Vec<_>>().join(" → ")
}
