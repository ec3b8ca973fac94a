//! Which messages are this process' to send, and what it remembers of those the store could not be told of.

use std::time::{Duration, Instant};

use super::{ATTEMPT_LIMIT, FRESH, LEASE, OutboxWorker, SHORTEST_ATTEMPT};
use crate::store::{Outgoing, StoreError};

/// A message over which so many senders in a row ended, however they ended, is what ends them.
const MOST_ENDS: u32 = 3;

/// Whether a claim is so old that an attempt which begins now may end after it.
pub(super) fn is_old(claimed_at: Instant) -> bool {
    claimed_at.elapsed() > FRESH
}

/// Whether what is left of a claim is enough for an attempt.
pub(super) fn has_time(claimed_at: Instant) -> bool {
    claimed_at.elapsed() + SHORTEST_ATTEMPT <= LEASE
}

/// What an attempt may take that begins now: it ends before its claim does.
pub(super) fn limit(claimed_at: Instant) -> Duration {
    ATTEMPT_LIMIT.min(LEASE.saturating_sub(claimed_at.elapsed()))
}

impl OutboxWorker {
    /// The next message that is due. What was sent before and could not be written down is written down now, and what ends
    /// every sender is put aside, so that the others go on.
    pub(super) async fn claim(&mut self) -> Option<Outgoing> {
        loop {
            let claimed = self.store.claim_notice(self.channel.name(), &self.name, LEASE).await;
            let claimed = claimed.unwrap_or_else(|error| {
                tracing::error!(channel = self.channel.name(), %error, "could not claim a message");
                None
            })?;
            let Some(claimed) = self.unless_sent(claimed).await else { continue };
            if claimed.ends >= MOST_ENDS {
                self.put_aside(&claimed).await;
                continue;
            }
            self.note_left_behind(claimed.left_behind);
            return Some(claimed);
        }
    }

    /// Counts what goes again though it may have arrived, because whoever sent it was killed or hung. A card that is
    /// changed in place has one message however often it is sent.
    pub(super) fn note_left_behind(&self, left_behind: bool) {
        if left_behind && !self.channel.changes_in_place() {
            self.metrics.notice_perhaps_twice(self.channel.name());
        }
    }

    async fn put_aside(&self, outgoing: &Outgoing) {
        let why = format!(
            "{MOST_ENDS} attempts in a row were cut off, by the end of the process or by a fault in it; please report what its log says"
        );
        tracing::error!(channel = self.channel.name(), incident.id = %outgoing.incident, why, fallback = self.fallback, "message put aside");
        let buried = self.store.bury_notice(outgoing, &why, self.fallback.as_deref()).await;
        self.keep(outgoing, buried);
    }

    /// What came of the same incident as a claimed message.
    pub(super) async fn claim_behind(&mut self, head: &Outgoing) -> Vec<Outgoing> {
        let claimed = self.store.claim_behind(head, &self.name, LEASE).await.unwrap_or_else(|error| {
            tracing::error!(channel = self.channel.name(), %error, "could not claim the messages behind one");
            Vec::new()
        });
        let mut unsent = Vec::new();
        for outgoing in claimed {
            unsent.extend(self.unless_sent(outgoing).await);
        }
        unsent
    }

    /// The message, unless this process sent it before and could not say so: then it is written down now. Whoever held it
    /// in between may have changed it, and then it goes once more.
    async fn unless_sent(&mut self, claimed: Outgoing) -> Option<Outgoing> {
        match self.unmarked.remove(&claimed.id) {
            Some((sent, form)) if claimed.attempt == sent.attempt + 1 => {
                self.mark(&claimed, form).await;
                None
            }
            _ => Some(claimed),
        }
    }

    /// At the end: what went out and could not be written down is forgotten with this worker.
    pub(super) async fn mark_what_was_not(&mut self) {
        for (outgoing, form) in std::mem::take(&mut self.unmarked).into_values() {
            let marked = self.store.mark_sent(&outgoing, form).await;
            self.keep(&outgoing, marked);
        }
    }

    /// Whether a message is this process' own after all, however long it was held up: by a database that is slow, and nobody
    /// else would be faster, or because it was frozen, and its successor has the message.
    pub(super) async fn still_holds(&self, outgoing: &mut Outgoing) -> bool {
        match self.store.hold_on(outgoing, LEASE).await {
            Ok(held) => held && has_time(outgoing.claimed_at),
            Err(error) => {
                tracing::warn!(channel = self.channel.name(), incident.id = %outgoing.incident, %error, "a message could not be held on to");
                false
            }
        }
    }

    /// Notes that a message was accepted. Where the store does not take that, this process remembers: only when it dies
    /// before the lease ends do people read the message twice.
    pub(super) async fn mark(&mut self, outgoing: &Outgoing, form: &'static str) {
        let marked = self.store.mark_sent(outgoing, form).await;
        if marked.is_err() {
            self.unmarked.insert(outgoing.id, (outgoing.clone(), form));
        }
        self.keep(outgoing, marked);
    }

    /// Says what could not be kept: it is found again when the lease runs out.
    pub(super) fn keep(&self, outgoing: &Outgoing, kept: Result<bool, StoreError>) {
        match kept {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(channel = self.channel.name(), incident.id = %outgoing.incident, "the message was taken over by another process")
            }
            Err(error) => {
                tracing::error!(channel = self.channel.name(), incident.id = %outgoing.incident, %error, "could not keep what became of a message")
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::notify::channel::ChannelSettings;
    use crate::notify::layout::Layouts;
    use crate::store::tests::fixtures::{EXPIRED, on_every_engine, opened, past, queued};
    use crate::store::{NoticeRole, Store};
    use crate::telemetry::Metrics;

    pub(in crate::notify::outbox) fn worker(name: &str, store: &Store) -> OutboxWorker {
        let settings = json!({"type": "webhook", "name": "hook", "url": "http://127.0.0.1:9/"});
        let settings: ChannelSettings = serde_json::from_value(settings).unwrap();
        let channel = settings.build(&crate::notify::post::client().unwrap(), &Arc::new(Layouts::default())).unwrap();
        OutboxWorker::new(name.into(), store.clone(), channel, Arc::new(Metrics::new()))
    }

    /// Claims a new message, which then goes out while the store is away: it is remembered, and its lease runs out.
    async fn sent_and_not_noted(worker: &mut OutboxWorker, store: &Store, key: &str) {
        let incident = opened(store, key).await;
        queued(store, incident, "hook", NoticeRole::First, past()).await;
        let sent = store.claim_notice("hook", &worker.name, EXPIRED).await.unwrap().unwrap();
        worker.unmarked.insert(sent.id, (sent, "full"));
    }

    #[tokio::test]
    async fn what_was_sent_and_not_noted_is_noted_unless_another_replica_had_it_meanwhile() {
        on_every_engine(async |store| {
            let (mut one, mut other) = (worker("one", &store), worker("other", &store));
            sent_and_not_noted(&mut one, &store, "nobody had it").await;
            assert!(one.claim().await.is_none(), "people have it");
            assert_eq!(store.next_due("hook").await.unwrap(), None, "and the store knows");

            sent_and_not_noted(&mut one, &store, "another had it").await;
            let taken = other.claim().await.expect("the other one knows nothing of it");
            assert!(store.retry_notice(&taken, "refused", past()).await.unwrap());
            let again = one.claim().await.expect("the other one may have made another message of it");
            assert_eq!((again.id, again.attempt), (taken.id, 3));

            sent_and_not_noted(&mut one, &store, "another told it").await;
            let taken = other.claim().await.expect("its lease ran out");
            assert!(store.mark_sent(&taken, "full").await.unwrap());
            one.mark_what_was_not().await;
            assert!(one.claim().await.is_none() && other.claim().await.is_none(), "told, and by one of them noted");
            assert!(
                store.next_due("hook").await.unwrap().is_none_or(|due| due > Timestamp::now()),
                "only the leased one"
            );
        })
        .await;
    }
}
