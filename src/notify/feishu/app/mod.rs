//! The Feishu (Lark) app: one card per incident, changed in place until the incident is over.

mod api;
mod buttons;
mod callback;
pub mod card;
mod codes;
mod config;
mod crypt;
mod progress;
mod socket;
mod stream;
mod telling;
pub mod wire;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use callback::{Denied, Signed};
pub use config::{Callbacks, FeishuAppSettings, ReceiverKind};
use jiff::Timestamp;
use reqwest::Method;
pub use stream::{GROWING, steps};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::api::Api;
use self::card::Beside;
use self::codes::Failure;
use self::stream::Streams;
use self::telling::{Telling, Trail};
use self::wire::{NewContent, NewMessage, NewReply, Sealed};
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
    /// Messages beside those asked for, since this was last asked.
    beside: AtomicU32,
    /// How its messages are laid out.
    layout: Layout,
    mentions: Mentions,
    /// Cards whose text grows.
    streams: Streams,
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
        let (turn, beside, streams) = (Mutex::default(), AtomicU32::new(0), Streams::default());
        Ok(Self { settings, kind, api, turn, beside, layout, mentions, streams })
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

    /// How many messages went out beside those asked for, since this was last asked: replies count at the chat's rate.
    pub fn take_attached(&self) -> u32 {
        self.beside.swap(0, Ordering::Relaxed)
    }

    /// Sends a notice as a message of its own, which nobody will change.
    ///
    /// # Errors
    /// When it is not delivered in any form.
    pub async fn send(&self, notice: &Notice) -> Result<Form, SendError> {
        let id = Uuid::now_v7().to_string();
        let users = self.mentions.due(notice);
        let (outcome, _) = self.new_message(notice, Beside { users: &users, ..Beside::default() }, &id).await;
        let form = outcome?;
        self.mentions.note(&users);
        Ok(form)
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
        if Timestamp::now().duration_since(card.sent_at).unsigned_abs() > CHANGEABLE {
            return self.first(outgoing, beside, store, "-again").await;
        }
        let (outcome, trail) = self.change(outgoing, &card, beside).await;
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
        let users = self.mentions.due(&outgoing.notice);
        let beside = Beside { users: &users, ..beside };
        let (outcome, trail) = self.new_message(&outgoing.notice, beside, &format!("{}{again}", outgoing.id)).await;
        let form = outcome?;
        self.mentions.note(&users);
        // Alerts that joined are a message of their own, and never the incident's card.
        if let (Some(message), true) = (trail.sent, outgoing.role != NoticeRole::Joined) {
            let card = Card { message, sent_at: Timestamp::now() };
            store.keep_card(outgoing.incident, self.name(), &card).await.map_err(unkept)?;
        }
        Ok(form)
    }

    async fn new_message(&self, notice: &Notice, beside: Beside<'_>, id: &str) -> (Result<Form, SendError>, Trail) {
        let telling = Telling::of(notice, beside, &self.layout);
        let outcome = descend(|form, refused| self.post(&telling, form, refused, id)).await;
        (outcome, telling.trail.into_inner())
    }

    async fn post(&self, telling: &Telling<'_>, form: Form, refused: bool, id: &str) -> Result<(), Refusal> {
        let content = telling.content(form, refused).ok_or(Refusal::Unfit)?;
        let is_card = content.msg_type == "interactive";
        let content = match is_card && telling.beside.streams {
            true => self.as_entity(telling.notice, content).await,
            false => content,
        };
        let path = format!("/open-apis/im/v1/messages?receive_id_type={}", self.kind.word());
        let body = NewMessage { receive_id: &self.settings.receive_id, content, uuid: id.to_owned() };
        let answer = self.api.call(Method::POST, &path, &body).await.map_err(Failure::refusal)?;
        telling.trail.lock().await.sent = answer.data.and_then(|made| made.message_id).filter(|_| is_card);
        Ok(())
    }

    /// Changes a card; what no card takes is told in plain text beneath it.
    async fn change(&self, outgoing: &Outgoing, card: &Card, beside: Beside<'_>) -> (Result<Form, SendError>, Trail) {
        let telling = Telling::of(&outgoing.notice, beside, &self.layout);
        let outcome = descend(|form, _| self.put_as(&telling, form, card, outgoing.id)).await;
        (outcome, telling.trail.into_inner())
    }

    async fn put_as(&self, telling: &Telling<'_>, form: Form, card: &Card, id: Uuid) -> Result<(), Refusal> {
        let content = telling.content(form, false).ok_or(Refusal::Unfit)?;
        let done = match content.msg_type {
            "interactive" => self.put(telling.notice.incident, &card.message, content).await,
            _ => self.reply(&card.message, content, format!("{id}-p")).await,
        };
        let Err(failure) = done else { return Ok(()) };
        telling.trail.lock().await.gone |= matches!(failure, Failure::Gone(_));
        Err(failure.refusal())
    }

    async fn put(&self, incident: Uuid, message: &str, content: Sealed) -> Result<(), Failure> {
        if let Some(outcome) = self.put_entity(incident, &content).await {
            return outcome;
        }
        let body = NewContent { content: content.content };
        self.api.call(Method::PATCH, &format!("/open-apis/im/v1/messages/{message}"), &body).await.map(drop)
    }

    /// Answers a message in its thread, or beneath it where the chat has no threads.
    async fn reply(&self, message: &str, content: Sealed, uuid: String) -> Result<(), Failure> {
        let path = format!("/open-apis/im/v1/messages/{message}/reply");
        let mut body = NewReply { content, reply_in_thread: true, uuid };
        let outcome = match self.api.call(Method::POST, &path, &body).await {
            Err(Failure::Refused(Refusal::Form(_))) => {
                body.reply_in_thread = false;
                self.api.call(Method::POST, &path, &body).await
            }
            outcome => outcome,
        };
        self.beside.fetch_add(1, Ordering::Relaxed);
        outcome.map(drop)
    }

    /// Alerts that came later are told in the card's thread: a change of the card would ring nobody's phone.
    async fn joined(&self, outgoing: &Outgoing, card: &Card, store: &Store) -> Result<Form, SendError> {
        let users = self.mentions.due(&outgoing.notice);
        let telling = Telling::of(&outgoing.notice, Beside { users: &users, ..Beside::default() }, &self.layout);
        let outcome = descend(|form, refused| self.join_as(&telling, form, refused, card, outgoing.id)).await;
        match outcome {
            Err(_) if telling.trail.into_inner().gone => self.first(outgoing, Beside::default(), store, "-again").await,
            Ok(form) => {
                self.mentions.note(&users);
                Ok(form)
            }
            failed => failed,
        }
    }

    async fn join_as(
        &self,
        telling: &Telling<'_>,
        form: Form,
        refused: bool,
        card: &Card,
        id: Uuid,
    ) -> Result<(), Refusal> {
        let content = telling.content(form, refused).ok_or(Refusal::Unfit)?;
        let Err(failure) = self.reply(&card.message, content, id.to_string()).await else { return Ok(()) };
        telling.trail.lock().await.gone |= matches!(failure, Failure::Gone(_));
        Err(failure.refusal())
    }

    /// A line in the thread when the incident is over or the diagnosis is another one. The card says it already: only a
    /// failure that passes is worth another attempt.
    async fn call_attention(&self, outgoing: &Outgoing, card: &Card, store: &Store) -> Result<(), SendError> {
        let Some(news) = self.news(outgoing, store).await.map_err(unkept)? else { return Ok(()) };
        match self.reply(&card.message, news, format!("{}-r", outgoing.id)).await {
            Ok(()) => Ok(()),
            Err(Failure::Refused(Refusal::Other(error))) if error.reason.is_retryable() => Err(error),
            Err(failure) => {
                let error = failure.refusal();
                tracing::warn!(channel = self.name(), incident.id = %outgoing.incident, %error, "a card was changed without a line in its thread");
                Ok(())
            }
        }
    }

    async fn news(&self, outgoing: &Outgoing, store: &Store) -> Result<Option<Sealed>, StoreError> {
        let notice = &outgoing.notice;
        Ok(match outgoing.role {
            NoticeRole::Resolved => Some(card::plain(notice, Timestamp::now(), &[], &self.layout)),
            NoticeRole::Second => {
                let first = self.first_report(outgoing, store).await?;
                let another = first.zip(notice.report()).is_some_and(|(first, now)| is_another(&first, now));
                another.then(|| card::another_diagnosis(notice))
            }
            NoticeRole::First | NoticeRole::Joined => None,
        })
    }
}

/// Whether a diagnosis says something else: another verdict, another object or kind of cause, or that two differ.
fn is_another(before: &Report, now: &Report) -> bool {
    let gist = |report: &Report| {
        let first = report.causes.first().map(|cause| (cause.resource.clone(), cause.code.clone()));
        (report.verdict, first, report.disagreement.is_some())
    };
    gist(before) != gist(now)
}

/// What the store does not say now it may say in a moment.
fn unkept(error: StoreError) -> SendError {
    SendError::new(Reason::Server, format!("the store does not say where the card is: {error}"))
}
