//! What is said in a card's thread: a change of the card rings nobody's phone.

use jiff::Timestamp;
use reqwest::Method;
use uuid::Uuid;

use super::card::{self, Beside};
use super::codes::Failure;
use super::telling::{Telling, Trail};
use super::wire::{NewMessage, NewReply, Sealed};
use super::{FeishuApp, is_changeable, unkept};
use crate::notify::companion::Companion;
use crate::notify::ladder::{Refusal, descend};
use crate::notify::notice::Notice;
use crate::notify::send::{Form, SendError};
use crate::report::news;
use crate::store::{Card, NoticeRole, Outgoing, Store, StoreError};

impl FeishuApp {
    /// Answers a message in its thread, or beneath it where the chat has no threads.
    pub(super) async fn reply(&self, message: &str, content: Sealed, uuid: String) -> Result<(), Failure> {
        let path = format!("/open-apis/im/v1/messages/{message}/reply");
        let mut body = NewReply { content, reply_in_thread: true, uuid };
        let outcome = match self.api.call(Method::POST, &path, &body).await {
            Err(Failure::Refused(Refusal::Form(_))) => {
                body.reply_in_thread = false;
                self.api.call(Method::POST, &path, &body).await
            }
            outcome => outcome,
        };
        self.companions.posted();
        outcome.map(drop)
    }

    /// Alerts that came later are told in the card's thread: a change of the card would ring nobody's phone.
    pub(super) async fn joined(&self, outgoing: &Outgoing, card: &Card, store: &Store) -> Result<Form, SendError> {
        let users = self.mentions.due(&outgoing.notice).await;
        let telling = Telling::of(&outgoing.notice, Beside { users: &users, ..Beside::default() }, &self.layout);
        let outcome = descend(|form, refused| self.join_as(&telling, form, refused, card, outgoing.id)).await;
        let trail = telling.trail.into_inner();
        let outcome =
            self.or_bare(outcome, &trail, &outgoing.notice, Some(&card.message), &outgoing.id.to_string()).await;
        self.mentions.settle(&users, outcome.is_ok()).await;
        match outcome {
            Err(_) if trail.gone => self.first(outgoing, Beside::default(), store, "-again").await,
            Ok(form) => {
                self.lead_anew(outgoing.incident, card, store).await?;
                Ok(form)
            }
            failed => failed,
        }
    }

    /// The card follows its group, which what joined may lead now. The thread has told it: only a failure that passes is
    /// worth another attempt.
    async fn lead_anew(&self, incident: Uuid, card: &Card, store: &Store) -> Result<(), SendError> {
        let Some(shown) = store.shown_on_card(incident, self.name()).await.map_err(unkept)? else { return Ok(()) };
        let beside = Beside { acts: self.acts(), ..Beside::default() };
        let Some(content) = self.in_place(&shown, beside).filter(|_| is_changeable(card)) else { return Ok(()) };
        match self.put(incident, &card.message, content, store).await {
            Ok(()) => Ok(()),
            Err(Failure::Refused(Refusal::Other(error))) if error.reason.is_retryable() => Err(error),
            Err(failure) => {
                let error = failure.refusal();
                tracing::warn!(channel = self.name(), incident.id = %incident, %error, "a card does not show what joined");
                Ok(())
            }
        }
    }

    /// A notice as a card that stands already, in the richest form that fits.
    pub(super) fn in_place(&self, notice: &Notice, beside: Beside<'_>) -> Option<Sealed> {
        let now = Timestamp::now();
        let forms = [Form::Full, Form::Compact];
        forms.into_iter().find_map(|form| card::sealed(notice, now, form, beside, &self.layout))
    }

    /// What a filter refused in every form is told without a word of anybody else's: that there is something, and where.
    pub(super) async fn or_bare(
        &self,
        outcome: Result<Form, SendError>,
        trail: &Trail,
        notice: &Notice,
        beneath: Option<&str>,
        id: &str,
    ) -> Result<Form, SendError> {
        // What passes in a moment is tried again in a form that may be taken whole.
        let refused = outcome.as_ref().is_err_and(|error| !error.reason.is_retryable());
        if !refused || !trail.filtered {
            return outcome;
        }
        let (content, uuid) = (card::bare(notice), format!("{id}-f"));
        let sent = match beneath {
            Some(message) => self.reply(message, content, uuid).await,
            None => {
                let path = format!("/open-apis/im/v1/messages?receive_id_type={}", self.kind.word());
                let body = NewMessage { receive_id: &self.settings.receive_id, content, uuid };
                self.api.call(Method::POST, &path, &body).await.map(drop)
            }
        };
        match sent {
            Ok(()) => Ok(Form::Plain),
            Err(failure) => match failure.refusal() {
                Refusal::Other(error) => Err(error),
                _ => outcome,
            },
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
        telling.trail.lock().await.met(&failure);
        Err(failure.refusal())
    }

    /// A line in the thread when the incident is over, or the diagnosis is the first or another than the card showed. The card says it already: only a
    /// failure that passes is worth another attempt.
    pub(super) async fn call_attention(
        &self,
        outgoing: &Outgoing,
        card: &Card,
        store: &Store,
    ) -> Result<(), SendError> {
        let Some(news) = self.news(outgoing, store).await.map_err(unkept)? else { return Ok(()) };
        match self.reply(&card.message, news, format!("{}-r", outgoing.id)).await {
            Ok(()) => Ok(()),
            Err(Failure::Refused(Refusal::Other(error))) if error.reason.is_retryable() => Err(error),
            Err(failure) => {
                let error = failure.refusal();
                tracing::warn!(channel = self.name(), incident.id = %outgoing.incident, %error, "a card was changed without a line in its thread");
                self.companions.lost(Companion::Reply);
                Ok(())
            }
        }
    }

    async fn news(&self, outgoing: &Outgoing, store: &Store) -> Result<Option<Sealed>, StoreError> {
        let notice = &outgoing.notice;
        Ok(match outgoing.role {
            NoticeRole::Resolved => card::ended(notice, Timestamp::now()),
            NoticeRole::Second => {
                let (before, now) = (store.shown_before(outgoing).await?, notice.report());
                match (now, before) {
                    (Some(_), None) => Some(card::diagnosed(notice, None)),
                    (Some(now), Some(before)) => news(now, &before).map(|news| card::diagnosed(notice, Some(&news))),
                    (None, _) => None,
                }
            }
            NoticeRole::First | NoticeRole::Joined => None,
        })
    }
}
