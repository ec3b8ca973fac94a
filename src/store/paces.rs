//! The pace of a channel, shared by the replicas of a store: a product counts what arrives, not who sends it.

use std::time::Duration;

use uuid::Uuid;

use super::clock::AHEAD;
use super::columns::{Columns, millis, now, to_json};
use super::{Store, StoreError, Tx};

/// A message in a window: who took the slot, and when; once it went out, when that was.
type Slot = (Uuid, i64);

/// What became of the wish to send a message now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It may go, and counts from now on; so many more are left in the longest span.
    Slot(Uuid, u32),
    /// One more would be too many; a slot is free after so long.
    Wait(Duration),
}

impl Store {
    /// Takes a slot for one message to a channel's destination, which takes so many in each of these spans; `spread` as
    /// for [`next_turn`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_slot(
        &self,
        channel: &str,
        quotas: &[(u32, Duration)],
        spread: bool,
    ) -> Result<Taken, StoreError> {
        let mut tx = self.begin().await?;
        let mut slots = tx.slots(channel).await?;
        let (now, longest) = (now(), quotas.iter().map(|(_, per)| millis(*per)).max().unwrap_or_default());
        // Slots of the future were taken under a clock that went back since.
        slots.retain(|(_, at)| now - at < longest && at - now <= millis(AHEAD));
        let sent: Vec<i64> = slots.iter().map(|(_, at)| *at).collect();
        let wait = quotas.iter().map(|(messages, per)| next_turn(&sent, *messages, *per, now, spread)).max();
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Ok(Taken::Wait(wait));
        }
        let id = Uuid::now_v7();
        let most = quotas.iter().max_by_key(|(_, per)| *per).map_or(u32::MAX, |(messages, _)| *messages);
        let left = most.saturating_sub(1).saturating_sub(u32::try_from(sent.len()).unwrap_or(u32::MAX));
        slots.push((id, now));
        tx.keep_slots(channel, &slots).await?;
        tx.commit().await?;
        Ok(Taken::Slot(id, left))
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

/// Spans from which on their last messages are spread: in a second nobody waits long anyway.
const LONG: Duration = Duration::from_secs(30);

/// How long until one more message fits into a span of which so many were sent then, in order of time and in milliseconds.
/// With `spread`, the last quarter of a long span's messages is dealt out over what is left of it: whoever sends them all
/// at once is dumb for the rest of the span, and what comes meanwhile could have shared a message.
#[must_use]
pub fn next_turn(sent: &[i64], messages: u32, per: Duration, now: i64, spread: bool) -> Duration {
    let (allowed, span) = (usize::try_from(messages).unwrap_or(usize::MAX).max(1), millis(per));
    let within = &sent[sent.partition_point(|at| now - at >= span)..];
    let free = allowed.saturating_sub(within.len());
    let turn = match within {
        [.., _] if free == 0 => within[within.len() - allowed] + span,
        [oldest, .., last] if spread && per >= LONG && free <= allowed / 4 => {
            last + (oldest + span - last) / i64::try_from(free + 1).unwrap_or(i64::MAX)
        }
        _ => now,
    };
    Duration::from_millis((turn - now).max(0).unsigned_abs())
}
