//! The pace of a channel, shared by the replicas of a store: a product counts what arrives, not who sends it.

use std::time::Duration;

use uuid::Uuid;

use super::columns::{Columns, now, to_json};
use super::{Store, StoreError, Tx};

/// A message in a window: who took the slot, and when; once it went out, when that was.
type Slot = (Uuid, i64);

/// What became of the wish to send a message now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It may go, and counts from now on.
    Slot(Uuid),
    /// One more would be too many; a slot is free after so long.
    Wait(Duration),
}

impl Store {
    /// Takes a slot for one message to a channel's destination, which takes so many in each of these spans.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_slot(&self, channel: &str, quotas: &[(u32, Duration)]) -> Result<Taken, StoreError> {
        let mut tx = self.begin().await?;
        let mut slots = tx.slots(channel).await?;
        let (now, longest) = (now(), quotas.iter().map(|(_, per)| millis(*per)).max().unwrap_or_default());
        slots.retain(|(_, at)| now - at < longest);
        let wait = quotas.iter().map(|(messages, per)| wait_for(&slots, *messages, millis(*per), now)).max();
        if let Some(wait) = wait.filter(|wait| *wait > 0) {
            return Ok(Taken::Wait(Duration::from_millis(wait.unsigned_abs())));
        }
        let id = Uuid::now_v7();
        slots.push((id, now));
        tx.keep_slots(channel, &slots).await?;
        tx.commit().await?;
        Ok(Taken::Slot(id))
    }

    /// Notes that a message went out in its slot just now, and so many beside it. Without a slot it counts all the same.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn use_slot(&self, channel: &str, slot: Option<Uuid>, beside: u32) -> Result<(), StoreError> {
        let now = now();
        self.change_slots(channel, |slots| {
            slots.retain(|(id, _)| Some(*id) != slot);
            slots.extend((0..=beside).map(|_| (Uuid::now_v7(), now)));
        })
        .await
    }

    /// Gives a slot back in which nothing went out.
    ///
    /// # Errors
    /// When the database fails; it then counts until its span is over.
    pub async fn give_slot_back(&self, channel: &str, slot: Uuid) -> Result<(), StoreError> {
        self.change_slots(channel, |slots| slots.retain(|(id, _)| *id != slot)).await
    }

    async fn change_slots(&self, channel: &str, change: impl FnOnce(&mut Vec<Slot>) + Send) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let mut slots = tx.slots(channel).await?;
        change(&mut slots);
        slots.sort_by_key(|(_, at)| *at);
        tx.keep_slots(channel, &slots).await?;
        tx.commit().await
    }
}

impl Tx<'_> {
    /// The slots of a channel; its row is this transaction's until it ends.
    async fn slots(&mut self, channel: &str) -> Result<Vec<Slot>, StoreError> {
        let row = self
            .query("INSERT INTO pace (channel, sent) VALUES ($1, '[]') ON CONFLICT (channel) DO NOTHING")
            .bind(channel.to_owned());
        self.write("begin to count messages", row).await?;
        let query = self.query("SELECT sent FROM pace WHERE channel = $1 {locked}").bind(channel.to_owned());
        let row = self.row("count messages", query).await?;
        row.map_or(Ok(Vec::new()), |row| Columns(&row).json("sent"))
    }

    async fn keep_slots(&mut self, channel: &str, slots: &[Slot]) -> Result<(), StoreError> {
        let query = self
            .query("UPDATE pace SET sent = $2 WHERE channel = $1")
            .bind(channel.to_owned())
            .bind(to_json("the pace", &slots)?);
        self.write("count messages", query).await.map(drop)
    }
}

/// How long until one more fits into a span: the slot that must have left it before. Slots stand in order of time.
fn wait_for(slots: &[Slot], messages: u32, per: i64, now: i64) -> i64 {
    let allowed = usize::try_from(messages).unwrap_or(usize::MAX).max(1);
    let last = slots.len().checked_sub(allowed).and_then(|at| slots.get(at));
    last.map_or(0, |(_, at)| (at + per - now).max(0))
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
