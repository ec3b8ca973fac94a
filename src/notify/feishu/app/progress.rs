//! The card while an investigation goes on: its step and how long it has taken, shown when there is room for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::FeishuApp;
use super::card::Beside;
use crate::notify::live::{Live, Step};
use crate::notify::notice::{Notice, NoticeBody};
use crate::store::{NewNotice, NoticeRole, Store, StoreError};

/// One change in this time over all cards: five a second are for the messages of the chat.
const BEAT: Duration = Duration::from_millis(1_500);
/// A card changes at most this often, and only when something was read: calls are counted by the month.
const LEAST: Duration = Duration::from_secs(4);
/// So long may nothing be read before the clock alone is shown.
const MOST: Duration = Duration::from_secs(20);
/// A change that takes longer is given up: a message may be waiting behind it.
const PATIENCE: Duration = Duration::from_secs(4);

/// No card shows any step yet.
const NOTHING: usize = usize::MAX;

/// When each card was last changed, and how many results were read then.
type Shown = HashMap<Uuid, (Instant, usize)>;

impl FeishuApp {
    /// Shows the steps of investigations until told to stop. What fails here is not tried again: the next step comes.
    pub async fn follow(self: Arc<Self>, live: Live, store: Store, stop: CancellationToken) {
        let mut shown = Shown::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.give_up(&store).await {
                tracing::debug!(channel = self.name(), %error, "could not look for cards left behind");
            }
            let going = live.all();
            shown.retain(|id, _| going.iter().any(|(other, _)| other == id));
            let Some((incident, step)) = next(going, &shown) else { continue };
            let read = match self.show(incident, &step, &store).await {
                Ok(true) => step.read,
                // Its card is on its way: all that was read is news there.
                Ok(false) => NOTHING,
                Err(error) => {
                    tracing::debug!(channel = self.name(), incident.id = %incident, %error, "could not look up a card");
                    NOTHING
                }
            };
            shown.insert(incident, (Instant::now(), read));
        }
    }

    /// Cards whose investigation was given up say so, and not "investigating" for ever.
    async fn give_up(&self, store: &Store) -> Result<(), StoreError> {
        for incident in store.cards_left_behind(self.name()).await? {
            let Some(mut notice) = self.first_notice(incident, store).await? else { continue };
            let failed = notice
                .lang
                .pick("调查多次失败，请人工排查", "The investigation failed repeatedly; please look into it");
            if let NoticeBody::Alert { investigating, missing, .. } = &mut notice.body {
                *investigating = false;
                missing.push(failed.to_owned());
            }
            let (channel, role, due, telling) = (self.name(), NoticeRole::Second, Timestamp::now(), Uuid::now_v7());
            let mut tx = store.begin().await?;
            tx.enqueue_notice(&NewNotice { incident, channel, role, telling, notice: &notice, due }).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// The first message as this channel got it, of the group as it stands now: a card shows what joined since.
    pub(super) async fn first_notice(&self, incident: Uuid, store: &Store) -> Result<Option<Notice>, StoreError> {
        let told = store.first_notices(incident).await?;
        let Some((_, first)) = told.into_iter().find(|(channel, _)| channel == self.name()) else { return Ok(None) };
        let now = store.incident_alone(incident).await?;
        Ok(Some(match now {
            Some(now) => Notice { group: now.group, ..first },
            None => first,
        }))
    }

    /// Shows a step on the incident's card; false when it has none that waits for one.
    async fn show(&self, incident: Uuid, step: &Step, store: &Store) -> Result<bool, StoreError> {
        let _turn = self.turn.lock().await;
        // Asked while nobody else may change the card: once the diagnosis is queued, no step is shown.
        let Some(card) = store.card_in_progress(incident, self.name()).await? else { return Ok(false) };
        let Some(mut first) = self.first_notice(incident, store).await? else { return Ok(false) };
        if let NoticeBody::Alert { investigating, .. } = &mut first.body {
            *investigating = true;
        }
        if let Some(typed) = self.grow(incident, step).await {
            return Ok(typed);
        }
        let beside = Beside { step: Some(step), acts: self.acts(), ..Beside::default() };
        let Some(content) = self.in_place(&first, beside) else { return Ok(true) };
        let changed = tokio::time::timeout(PATIENCE, self.put(incident, &card.message, content, store)).await;
        tracing::debug!(channel = self.name(), incident.id = %incident, ?changed, "a step was shown");
        Ok(true)
    }
}

/// The card that has waited longest for a change it may have.
fn next(going: Vec<(Uuid, Step)>, shown: &Shown) -> Option<(Uuid, Step)> {
    let waited = |id: &Uuid| shown.get(id).map_or(Duration::MAX, |(at, _)| at.elapsed());
    let due = |(id, step): &(Uuid, Step)| {
        let is_news = shown.get(id).is_none_or(|(_, read)| *read != step.read);
        waited(id) >= if is_news { LEAST } else { MOST }
    };
    going.into_iter().filter(due).max_by_key(|(id, _)| waited(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(read: usize) -> Step {
        Step { read, tool: "pods_log".into(), tools: vec!["pods_log".into(); read], since: Timestamp::UNIX_EPOCH }
    }

    #[tokio::test(start_paused = true)]
    async fn cards_take_turns_and_rest_while_nothing_is_read() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let going = |read| vec![(a, step(read)), (b, step(1))];
        let mut shown = Shown::from([(a, (Instant::now(), 1))]);
        assert_eq!(next(going(2), &shown).map(|(id, _)| id), Some(b), "it was never shown");
        shown.insert(b, (Instant::now(), 1));
        assert!(next(going(2), &shown).is_none(), "both are fresh");
        tokio::time::advance(LEAST).await;
        assert_eq!(next(going(2), &shown).map(|(id, _)| id), Some(a), "only it has news");
        assert!(next(going(1), &shown).is_none());
        shown.insert(a, (Instant::now(), NOTHING));
        tokio::time::advance(LEAST).await;
        assert_eq!(next(going(1), &shown).map(|(id, _)| id), Some(a), "its card was not there a moment ago");
        shown.insert(a, (Instant::now(), 1));
        tokio::time::advance(MOST).await;
        assert!(next(going(1), &shown).is_some(), "the clock is news at last");
    }
}
