//! The card while an investigation goes on: its step and how long it has taken, shown when there is room for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::FeishuApp;
use super::card::{self, Beside};
use crate::notify::live::{Live, Step};
use crate::notify::notice::NoticeBody;
use crate::notify::send::Form;
use crate::store::{Store, StoreError};

/// One change in this time over all cards: five a second are for the messages of the chat.
const BEAT: Duration = Duration::from_millis(1_500);
/// A card changes at most this often, and only when something was read: calls are counted by the month.
const LEAST: Duration = Duration::from_secs(4);
/// So long may nothing be read before the clock alone is shown.
const MOST: Duration = Duration::from_secs(20);
/// A change that takes longer is given up: a message may be waiting behind it.
const PATIENCE: Duration = Duration::from_secs(4);

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
            let going = live.all();
            shown.retain(|id, _| going.iter().any(|(other, _)| other == id));
            let Some((incident, step)) = next(going, &shown) else { continue };
            shown.insert(incident, (Instant::now(), step.read));
            if let Err(error) = self.show(incident, &step, &store).await {
                tracing::debug!(channel = self.name(), incident.id = %incident, %error, "could not look up a card");
            }
        }
    }

    async fn show(&self, incident: Uuid, step: &Step, store: &Store) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        // Asked while nobody else may change the card: once the diagnosis is queued, no step is shown.
        let Some(card) = store.card_in_progress(incident, self.name()).await? else { return Ok(()) };
        let told = store.first_notices(incident).await?;
        let Some((_, mut first)) = told.into_iter().find(|(channel, _)| channel == self.name()) else { return Ok(()) };
        if let NoticeBody::Alert { investigating, .. } = &mut first.body {
            *investigating = true;
        }
        let beside = Beside { known: None, step: Some(step), acts: self.acts() };
        let now = Timestamp::now();
        let forms = [Form::Full, Form::Compact];
        let Some(content) = forms.into_iter().find_map(|form| card::sealed(&first, now, form, beside)) else {
            return Ok(());
        };
        let changed = tokio::time::timeout(PATIENCE, self.put(&card.message, content)).await;
        tracing::debug!(channel = self.name(), incident.id = %incident, ?changed, "a step was shown");
        Ok(())
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
        Step { read, tool: "pods_log".into(), since: Timestamp::UNIX_EPOCH }
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
        tokio::time::advance(MOST).await;
        assert!(next(going(1), &shown).is_some(), "the clock is news at last");
    }
}
