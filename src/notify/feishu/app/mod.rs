//! The Feishu (Lark) app: one card per incident, changed in place until the incident is over.

mod api;
mod buttons;
mod callback;
pub mod card;
mod codes;
mod config;
mod crypt;
mod line;
mod progress;
mod socket;
mod stream;
mod telling;
mod thread;
pub mod wire;

use std::time::Duration;

pub use callback::{Denied, Signed};
pub use config::{Callbacks, FeishuAppSettings, ReceiverKind};
use jiff::Timestamp;
pub use line::{Ended, Line, LineSeen};
use reqwest::Method;
pub use stream::{GROWING, steps};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::api::Api;
use self::card::Beside;
use self::codes::Failure;
use self::stream::Streams;
use self::telling::{Telling, Trail};
use self::wire::{NewContent, NewMessage, Sealed};
use crate::notify::companion::Companions;
use crate::notify::ladder::{Refusal, descend};
use crate::notify::layout::Layout;
use crate::notify::mention::{BadUser, Mentions};
use crate::notify::notice::Notice;
use crate::notify::post::BadAddress;
use crate::notify::send::{Form, Reason, SendError};
use crate::report::Report;
use crate::store::{Card, NoticeRole, Outgoing, Store, StoreError};

/// Cards take changes for 14 days; an hour is left for clocks that differ.
const CHANGEABLE: Duration = Duration::from_secs(14 * 24 * 3_600 - 3_600);

/// An app that writes to one chat or person.
#[derive(Debug)]
pub struct FeishuApp {
    settings: FeishuAppSettings,
    kind: ReceiverKind,
    api: Api,
    /// One change at a time: a step of the investigation must not come after the diagnosis.
    turn: Mutex<()>,
    /// Replies in the threads of cards.
    companions: Companions,
    /// How its messages are laid out.
    layout: Layout,
    mentions: Mentions,
    /// Cards whose text grows.
    streams: Streams,
    /// How the long connection fares.
    line: Line,
}

/// Settings an app cannot be built from.
#[derive(Debug, thiserror::Error)]
pub enum BadApp {
    /// `base_url` is wrong.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// `mentions` or `owners` hold what is no user id.
    #[error(transparent)]
    User(#[from] BadUser),
}

impl FeishuApp {
    /// Builds the channel; nothing is sent yet.
    ///
    /// # Errors
    /// When `base_url` is not a web address, or a user's id none.
    pub fn new(mut settings: FeishuAppSettings, client: reqwest::Client, layout: Layout) -> Result<Self, BadApp> {
        let mentions = Mentions::new(std::mem::take(&mut settings.mentions), std::mem::take(&mut settings.owners))?;
        let kind = settings.receive_id_type.unwrap_or_else(|| ReceiverKind::of(&settings.receive_id));
        let api = Api::new(&settings.base_url, settings.app_id.clone(), settings.app_secret.clone(), client)?;
        let (turn, companions, streams) = (Mutex::default(), Companions::default(), Streams::default());
        let line = Line::default();
        Ok(Self { settings, kind, api, turn, companions, layout, mentions, streams, line })
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// How presses arrive; `None` when nobody may press anything.
    #[must_use]
    pub fn callbacks(&self) -> Option<Callbacks> {
        (!self.settings.operators.is_empty()).then_some(self.settings.callbacks)
    }

    /// How the long connection fares; `None` when there is none to have.
    #[must_use]
    pub fn line(&self) -> Option<LineSeen> {
        (self.callbacks() == Some(Callbacks::LongConnection)).then(|| self.line.seen())
    }

    /// Whether the platform is reached and knows the app; nothing is sent.
    ///
    /// # Errors
    /// When it is not, or does not.
    pub async fn reach(&self) -> Result<(), SendError> {
        self.api.sign_in().await
    }

    /// Whether cards have buttons that act.
    fn acts(&self) -> bool {
        self.callbacks().is_some()
    }

    /// What went out beside messages, and what did not: replies count at the chat's rate.
    pub(in crate::notify) fn companions(&self) -> &Companions {
        &self.companions
    }

    /// Whom it calls by name.
    pub(in crate::notify) fn mentions(&self) -> &Mentions {
        &self.mentions
    }

    /// Whether a card has room for all that a message names.
    pub(in crate::notify) fn has_room(&self, notice: &Notice) -> bool {
        card::sealed(notice, Timestamp::now(), Form::Compact, Beside::default(), &self.layout).is_some()
    }

    /// Sends a notice as a message of its own, which nobody will change.
    ///
    /// # Errors
    /// When it is not delivered in any form.
    pub async fn send(&self, notice: &Notice) -> Result<Form, SendError> {
        let id = Uuid::now_v7().to_string();
        let users = self.mentions.due(notice).await;
        let (outcome, _) = self.new_message(notice, Beside { users: &users, ..Beside::default() }, &id, None).await;
        self.mentions.settle(&users, outcome.is_ok()).await;
        outcome
    }

    /// Delivers a message of the outbox: the first becomes the incident's card, those after it change it.
    ///
    /// # Errors
    /// When it is not delivered in any form, or the store does not answer.
    pub async fn deliver(&self, outgoing: &Outgoing, store: &Store) -> Result<Form, SendError> {
        let _turn = self.turn.lock().await;
        let known = self.known(outgoing, store).await.map_err(unkept)?;
        let streams = self.settings.stream && outgoing.notice.is_investigating();
        let beside = Beside { known: known.as_ref(), acts: self.acts(), streams, ..Beside::default() };
        let card = store.card(outgoing.incident, self.name()).await.map_err(unkept)?;
        let Some(card) = card else { return self.first(outgoing, beside, store, "").await };
        if outgoing.role == NoticeRole::Joined {
            return self.joined(outgoing, &card, store).await;
        }
        if !is_changeable(&card) {
            return self.first(outgoing, beside, store, "-again").await;
        }
        let (outcome, trail) = self.change(outgoing, &card, beside, store).await;
        match outcome {
            Err(_) if trail.gone => self.first(outgoing, beside, store, "-again").await,
            Ok(form) => {
                self.call_attention(outgoing, &card, store).await?;
                Ok(form)
            }
            failed => failed,
        }
    }

    /// What was found so far, for the card of an incident that is over.
    async fn known(&self, outgoing: &Outgoing, store: &Store) -> Result<Option<Report>, StoreError> {
        if outgoing.role != NoticeRole::Resolved {
            return Ok(None);
        }
        let kept = store.incident_alone(outgoing.incident).await?.and_then(|incident| incident.report);
        match kept {
            Some(report) => Ok(Some(report)),
            None => self.first_report(outgoing, store).await,
        }
    }

    /// What the first message told.
    async fn first_report(&self, outgoing: &Outgoing, store: &Store) -> Result<Option<Report>, StoreError> {
        let first = self.first_notice(outgoing.incident, store).await?;
        Ok(first.and_then(|first| first.report().cloned()))
    }

    /// Sends a card and keeps where it is. `again` tells a card in the place of a lost one from the lost one.
    async fn first(
        &self,
        outgoing: &Outgoing,
        beside: Beside<'_>,
        store: &Store,
        again: &str,
    ) -> Result<Form, SendError> {
        let users = self.mentions.due(&outgoing.notice).await;
        let beside = Beside { users: &users, ..beside };
        if !again.is_empty() && outgoing.role != NoticeRole::Joined {
            self.forget_entity(outgoing.incident, store).await;
        }
        let id = format!("{}{again}", outgoing.id);
        let (outcome, trail) = self.new_message(&outgoing.notice, beside, &id, Some(store)).await;
        self.mentions.settle(&users, outcome.is_ok()).await;
        let form = outcome?;
        // Alerts that joined are a message of their own, and never the incident's card.
        if let (Some(message), true) = (trail.sent, outgoing.role != NoticeRole::Joined) {
            let card = Card { message, sent_at: Timestamp::now() };
            store.keep_card(outgoing.incident, self.name(), &card).await.map_err(unkept)?;
        }
        Ok(form)
    }

    /// A message that was not there. Only where a store is given can its card be an entity, which has to be remembered.
    async fn new_message(
        &self,
        notice: &Notice,
        beside: Beside<'_>,
        id: &str,
        store: Option<&Store>,
    ) -> (Result<Form, SendError>, Trail) {
        let telling = Telling::of(notice, beside, &self.layout);
        let outcome = descend(|form, refused| self.post(&telling, form, refused, id, store)).await;
        let trail = telling.trail.into_inner();
        (self.or_bare(outcome, &trail, notice, None, id).await, trail)
    }

    async fn post(
        &self,
        telling: &Telling<'_>,
        form: Form,
        refused: bool,
        id: &str,
        store: Option<&Store>,
    ) -> Result<(), Refusal> {
        let content = telling.content(form, refused).ok_or(Refusal::Unfit)?;
        let is_card = content.msg_type == "interactive";
        let content = match store.filter(|_| is_card && telling.beside.streams) {
            Some(store) => self.as_entity(telling.notice.incident, store, content).await,
            None => content,
        };
        let path = format!("/open-apis/im/v1/messages?receive_id_type={}", self.kind.word());
        let body = NewMessage { receive_id: &self.settings.receive_id, content, uuid: id.to_owned() };
        let answer = match self.api.call(Method::POST, &path, &body).await {
            Ok(answer) => answer,
            Err(failure) => {
                telling.trail.lock().await.met(&failure);
                return Err(failure.refusal());
            }
        };
        telling.trail.lock().await.sent = answer.data.and_then(|made| made.message_id).filter(|_| is_card);
        Ok(())
    }

    /// Changes a card; what no card takes is told in plain text beneath it.
    async fn change(
        &self,
        outgoing: &Outgoing,
        card: &Card,
        beside: Beside<'_>,
        store: &Store,
    ) -> (Result<Form, SendError>, Trail) {
        let telling = Telling::of(&outgoing.notice, beside, &self.layout);
        let outcome = descend(|form, _| self.put_as(&telling, form, card, outgoing.id, store)).await;
        let (trail, id) = (telling.trail.into_inner(), outgoing.id.to_string());
        (self.or_bare(outcome, &trail, &outgoing.notice, Some(&card.message), &id).await, trail)
    }

    async fn put_as(
        &self,
        telling: &Telling<'_>,
        form: Form,
        card: &Card,
        id: Uuid,
        store: &Store,
    ) -> Result<(), Refusal> {
        let content = telling.content(form, false).ok_or(Refusal::Unfit)?;
        let done = match content.msg_type {
            "interactive" => self.put(telling.notice.incident, &card.message, content, store).await,
            _ => self.reply(&card.message, content, format!("{id}-p")).await,
        };
        let Err(failure) = done else { return Ok(()) };
        telling.trail.lock().await.met(&failure);
        Err(failure.refusal())
    }

    async fn put(&self, incident: Uuid, message: &str, content: Sealed, store: &Store) -> Result<(), Failure> {
        if let Some(outcome) = self.put_entity(incident, store, &content).await {
            return outcome;
        }
        let body = NewContent { content: content.content };
        self.api.call(Method::PATCH, &format!("/open-apis/im/v1/messages/{message}"), &body).await.map(drop)
    }
}

/// Whether the platform still takes changes of a card.
fn is_changeable(card: &Card) -> bool {
    Timestamp::now().duration_since(card.sent_at).unsigned_abs() <= CHANGEABLE
}

/// What the store does not say now it may say in a moment.
fn unkept(error: StoreError) -> SendError {
    SendError::new(Reason::Server, format!("the store does not say where the card is: {error}"))
}
