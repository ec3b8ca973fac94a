//! Pace: so many messages in so long, counted over a sliding window as the chat services count them.
//!
//! A token bucket would let nearly twice the allowed number through in its first minute; WeCom drops those.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::store::{Store, Taken, next_turn};

const MINUTE: Duration = Duration::from_secs(60);

/// When messages went out, as far back as any quota looks.
pub struct Pace {
    quotas: Vec<Quota>,
    sent: VecDeque<Instant>,
    /// Where the replicas of a store count together, and under which name of the destination.
    shared: Option<(Store, String)>,
    /// The slot taken for the next message.
    slot: Option<Uuid>,
    /// How many more the longest quota takes after that one, over all processes.
    left: Option<u32>,
    /// Whether the last messages of a long quota are spread over what is left of it.
    spread: bool,
}

impl Pace {
    /// Nothing sent yet.
    #[must_use]
    pub fn new(quotas: &[Quota]) -> Self {
        Self { quotas: quotas.to_vec(), sent: VecDeque::new(), shared: None, slot: None, left: None, spread: false }
    }

    /// Sends no more than so many in a minute either, as the operator wishes; what the product takes stays the most.
    #[must_use]
    pub fn at_most(mut self, a_minute: Option<u32>) -> Self {
        let wished = a_minute.map(|messages| Quota::per(messages, 60));
        let known = self.quotas.iter_mut().find(|quota| quota.per == MINUTE);
        match (known, wished) {
            (Some(known), Some(wished)) => known.messages = known.messages.min(wished.messages),
            (None, Some(wished)) => self.quotas.push(wished),
            (_, None) => {}
        }
        self
    }

    /// Spreads the last messages of a long quota over what is left of it: for who can send many messages as one.
    pub fn spread(&mut self, spread: bool) {
        self.spread = spread;
    }

    /// How many of the longest quota's messages are left, and how many it has in all.
    #[must_use]
    pub fn left(&self) -> (u32, u32) {
        let Some(longest) = self.quotas.iter().max_by_key(|quota| quota.per) else { return (u32::MAX, u32::MAX) };
        let now = Instant::now();
        let within = self.sent.iter().filter(|sent| now.duration_since(**sent) < longest.per).count();
        let own = longest.messages.saturating_sub(u32::try_from(within).unwrap_or(u32::MAX));
        (self.left.map_or(own, |left| own.min(left + 1)), longest.messages)
    }

    /// Counts what goes to a destination together with the other processes of a store, where it may have any, and with
    /// `several` channels of this one that lead there.
    #[must_use]
    pub fn shared_in(mut self, store: &Store, destination: &str, several: bool) -> Self {
        self.shared = (several || !store.has_one_writer()).then(|| (store.clone(), destination.to_owned()));
        self
    }

    /// Takes the turn for one message among all processes; how long to wait when it is not there yet. A store that does
    /// not answer holds up no message: then this process counts alone.
    pub async fn take(&mut self) -> Option<Duration> {
        let (store, destination) = self.shared.as_ref()?;
        if self.slot.is_some() {
            return None;
        }
        let quotas: Vec<(u32, Duration)> = self.quotas.iter().map(|quota| (quota.messages, quota.per)).collect();
        match store.take_slot(destination, &quotas, self.spread).await {
            Ok(Taken::Slot(slot, left)) => {
                self.slot = Some(slot);
                self.left = Some(left);
                None
            }
            Ok(Taken::Wait(wait)) => Some(wait),
            Err(error) => {
                tracing::warn!(%error, "the replicas' common pace is not known; this process keeps its own");
                None
            }
        }
    }

    /// Gives the turn back when there was nothing to send after all.
    pub async fn give_back(&mut self) {
        if let (Some(slot), Some((store, destination))) = (self.slot.take(), &self.shared)
            && let Err(error) = store.give_slot_back(destination, slot).await
        {
            tracing::warn!(%error, "a turn could not be given back; it counts as a message");
        }
    }

    /// How long until the next message may go; zero when it may go now.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let now = Instant::now();
        self.quotas.iter().map(|quota| self.wait_for(quota, now)).max().unwrap_or_default()
    }

    fn wait_for(&self, quota: &Quota, now: Instant) -> Duration {
        let ago = |sent: &Instant| -i64::try_from(now.duration_since(*sent).as_millis()).unwrap_or(i64::MAX);
        let sent: Vec<i64> = self.sent.iter().map(ago).collect();
        next_turn(&sent, quota.messages, quota.per, 0, self.spread)
    }

    /// Notes that a message went out now, and so many beside it.
    pub async fn note(&mut self, beside: u32) {
        (0..=beside).for_each(|_| self.note_one());
        if let Some((store, destination)) = &self.shared
            && let Err(error) = store.use_slot(destination, self.slot.take(), beside).await
        {
            tracing::warn!(%error, "a message could not be counted for the other replicas");
        }
    }

    fn note_one(&mut self) {
        self.sent.push_back(Instant::now());
        let most = self.quotas.iter().map(|quota| quota.messages).max().unwrap_or(0);
        while self.sent.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            self.sent.pop_front();
        }
    }
}

/// Half of what a channel takes in a minute.
pub(super) const fn half_a_minute(pace: &[Quota; 2]) -> u32 {
    pace[1].messages / 2
}

/// Documented for custom bots: 5 a second and 100 a minute.
pub(super) const FEISHU_PACE: [Quota; 2] = [Quota::per(5, 1), Quota::per(100, 60)];
/// Documented for apps: 5 a second in a chat, shared by all bots there, and 1 000 a minute. One of the five is left to the
/// steps of an investigation.
pub(super) const FEISHU_APP_PACE: [Quota; 2] = [Quota::per(4, 1), Quota::per(900, 60)];
/// Documented for group bots: 20 a minute.
pub(super) const WECOM_PACE: [Quota; 1] = [Quota::per(20, 60)];
/// Servers differ; this keeps a storm from looking like spam, and a handful of incidents at once within two seconds.
pub(super) const MAIL_PACE: [Quota; 2] = [Quota::per(5, 1), Quota::per(60, 60)];
/// A service of one's own says 429 when it wants less; this keeps a storm from becoming one there.
pub(super) const WEBHOOK_PACE: [Quota; 1] = [Quota::per(20, 1)];

/// So many messages in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Messages.
    pub messages: u32,
    /// The span they are counted over.
    pub per: Duration,
}

impl Quota {
    const fn per(messages: u32, seconds: u64) -> Self {
        Self { messages, per: Duration::from_secs(seconds) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static QUOTAS: [Quota; 2] =
        [Quota { messages: 2, per: Duration::from_secs(1) }, Quota { messages: 3, per: Duration::from_secs(60) }];

    #[tokio::test(start_paused = true)]
    async fn every_window_holds() {
        let mut pace = Pace::new(&QUOTAS);
        pace.note(0).await;
        assert_eq!(pace.wait(), Duration::ZERO);
        pace.note(0).await;
        assert_eq!(pace.wait(), Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pace.wait(), Duration::ZERO);
        pace.note(0).await;
        assert_eq!(pace.wait(), Duration::from_secs(59), "the first three fill the minute");
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(pace.wait(), Duration::ZERO);
    }

    #[test]
    fn the_operator_may_want_less_than_the_product_takes_and_never_more() {
        let quotas = |known: &[Quota], most| Pace::new(known).at_most(most).quotas;
        assert_eq!(quotas(&QUOTAS, Some(2)), [QUOTAS[0], Quota::per(2, 60)]);
        assert_eq!(quotas(&QUOTAS, Some(4)), QUOTAS);
        assert_eq!(quotas(&WEBHOOK_PACE, Some(30)), [WEBHOOK_PACE[0], Quota::per(30, 60)]);
        assert_eq!(quotas(&QUOTAS, None), QUOTAS);
    }
}
