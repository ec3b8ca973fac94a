//! The outbox worker of one channel: takes what is due, at the channel's pace, and tries again by the common rules.
//!
//! Architecture invariant: nothing is sent to a person except from here; only the test message of [`super::rehearsal`]
//! goes past it, because somebody waits for its outcome.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::channel::Channel;
use super::pace::Pace;
use super::retry;
use super::send::SendError;
use crate::failpoint;
use crate::store::{NoticeRole, Outgoing, Store, StoreError};
use crate::telemetry::Metrics;

/// Longer than one attempt may take, so that nobody else sends the same message meanwhile.
const LEASE: Duration = Duration::from_secs(15);
/// One attempt, all forms of the message included.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(12);
/// Wakes come through the watch and the due times; this is for what other replicas queue.
const POLL: Duration = Duration::from_secs(1);

/// Sends the messages of one channel.
pub struct OutboxWorker {
    name: String,
    store: Store,
    channel: Channel,
    pace: Pace,
    metrics: Arc<Metrics>,
}

impl OutboxWorker {
    /// A worker; `name` tells replicas apart in the store.
    #[must_use]
    pub fn new(name: String, store: Store, channel: Channel, metrics: Arc<Metrics>) -> Self {
        let pace = Pace::new(channel.pace());
        Self { name, store, channel, pace, metrics }
    }

    /// Works until it is told to stop. A message under way is finished first.
    pub async fn run(mut self, mut wake: watch::Receiver<()>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // The pace is waited for before a message is taken: what waits in the store cannot be lost.
            tokio::select! {
                () = tokio::time::sleep(self.pace.wait()) => {}
                () = stop.cancelled() => return,
            }
            wake.mark_unchanged();
            let wait = self.until_due().await;
            if wait.is_zero()
                && let Some(outgoing) = self.claim().await
            {
                self.send(outgoing).await;
                continue;
            }
            tokio::select! {
                _ = wake.changed() => {}
                // Never at once: what is due but was not claimed just now is in another worker's hands.
                () = tokio::time::sleep(wait.max(Duration::from_millis(20))) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Looking is a read beside all others; claiming where there is nothing would keep the writers waiting.
    async fn until_due(&self) -> Duration {
        match self.store.next_due(self.channel.name()).await {
            Ok(Some(due)) => {
                Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO).min(POLL)
            }
            Ok(None) => POLL,
            Err(error) => {
                tracing::error!(channel = self.channel.name(), %error, "could not look for messages");
                POLL
            }
        }
    }

    async fn claim(&self) -> Option<Outgoing> {
        let claimed = self.store.claim_notice(self.channel.name(), &self.name, LEASE).await;
        claimed.unwrap_or_else(|error| {
            tracing::error!(channel = self.channel.name(), %error, "could not claim a message");
            None
        })
    }

    async fn send(&mut self, outgoing: Outgoing) {
        failpoint::pass("before-send").await;
        let attempt = tokio::time::timeout(ATTEMPT_LIMIT, self.channel.send(&outgoing.notice)).await;
        // Counted when the answer is there: the destination counts arrivals, and this one came before.
        self.pace.note();
        let outcome = attempt.unwrap_or_else(|_| {
            let seconds = ATTEMPT_LIMIT.as_secs();
            Err(SendError::new(super::send::Reason::Network, format!("no answer within {seconds} s")))
        });
        // A file beside a message counts at the destination as one more.
        (0..self.channel.take_attached()).for_each(|_| self.pace.note());
        match outcome {
            Ok(form) => {
                self.metrics.notice_sent(self.channel.name());
                self.note_first(&outgoing);
                tracing::info!(channel = self.channel.name(), incident.id = %outgoing.incident, role = outgoing.role.word(), form = form.label(), "message sent");
                failpoint::pass("before-mark").await;
                self.keep(&outgoing, self.store.mark_sent(&outgoing, form.label()).await);
                failpoint::pass("after-mark").await;
            }
            Err(error) => self.failed(&outgoing, &error).await,
        }
    }

    /// The promise is measured: from the accepted alert to the first message in people's hands.
    fn note_first(&self, outgoing: &Outgoing) {
        if outgoing.role == NoticeRole::First {
            let delay = Timestamp::now().duration_since(outgoing.notice.opened_at);
            self.metrics.first_message(self.channel.name(), Duration::try_from(delay).unwrap_or_default());
        }
    }

    async fn failed(&self, outgoing: &Outgoing, error: &SendError) {
        self.metrics.notice_failed(self.channel.name(), error.reason.label());
        let kept = match retry::wait(outgoing.attempt, error) {
            Some(wait) => {
                tracing::warn!(channel = self.channel.name(), incident.id = %outgoing.incident, attempt = outgoing.attempt, %error, wait_ms = wait.as_millis(), "message not delivered, will try again");
                self.store.retry_notice(outgoing, &error.to_string(), Timestamp::now() + wait).await
            }
            None => {
                tracing::error!(channel = self.channel.name(), incident.id = %outgoing.incident, attempt = outgoing.attempt, %error, "message cannot be delivered, put aside");
                self.store.bury_notice(outgoing, &error.to_string()).await
            }
        };
        self.keep(outgoing, kept);
    }

    /// What could not be written down is found again when the lease runs out: at worst people read it twice.
    fn keep(&self, outgoing: &Outgoing, kept: Result<bool, StoreError>) {
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
