//! What is said in a card's thread: a change of the card rings nobody's phone.

use jiff::Timestamp;
use reqwest::Method;
use uuid::Uuid;

use super::card::{self, Beside};
use super::codes::Failure;
use super::telling::Telling;
use super::wire::{NewReply, Sealed};
use super::{FeishuApp, unkept};
use crate::notify::companion::Companion;
use crate::notify::ladder::{Refusal, descend};
use crate::notify::send::{Form, SendError};
use crate::report::Report;
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
        self.mentions.settle(&users, outcome.is_ok()).await;
        match outcome {
            Err(_) if telling.trail.into_inner().gone => self.first(outgoing, Beside::default(), store, "-again").await,
            outcome => outcome,
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
            NoticeRole::Resolved => Some(card::plain(notice, Timestamp::now(), &[], &self.layout)),
            NoticeRole::Second => {
                let before = store.shown_before(outgoing).await?;
                let news = notice.report().is_some_and(|now| before.as_ref().is_none_or(|it| is_another(it, now)));
                news.then(|| card::diagnosed(notice, before.is_some()))
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
