//! The outbox worker of one channel: takes what is due, at the channel's pace, and tries again by the common rules.
//!
//! Architecture invariant: nothing is sent to a person except from here; only the test message of [`super::rehearsal`]
//! goes past it, because somebody waits for its outcome.

mod claim;
mod daily;
mod several;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use self::claim::{is_old, limit};
use super::channel::Channel;
use super::companion::Companions;
use super::digest::Schedule;
use super::notice::Notice;
use super::pace::Pace;
use super::retry;
use super::send::{Form, Reason, SendError};
use super::{batch, summary};
use crate::failpoint;
use crate::store::{NoticeRole, Outgoing, Store};
use crate::telemetry::{Health, Metrics};

/// Longer than one attempt may take, so that nobody else sends the same message meanwhile.
const LEASE: Duration = Duration::from_secs(15);
/// One attempt, all forms of the message included.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(12);
/// How old a claim may be when its attempt begins: what takes longer would end after the lease. A process that was frozen in
/// between would write over what its successor told since, or tell it twice.
const FRESH: Duration = LEASE.saturating_sub(ATTEMPT_LIMIT);
/// What is left of a lease that was held on to has to be this much: the products answer within a second or two.
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(5);
/// Wakes come through the watch and the due times; this is for what other replicas queue.
const POLL: Duration = Duration::from_secs(1);

/// Sends the messages of one channel.
pub struct OutboxWorker {
    name: String,
    store: Store,
    channel: Channel,
    pace: Pace,
    metrics: Arc<Metrics>,
    /// How it went last, for those who ask.
    health: Arc<Health>,
    digest: Option<Schedule>,
    /// The summaries of channels that fall back to this one, told here when those gave them up.
    falling_here: Vec<(String, Schedule)>,
    /// Messages about what is not critical go together.
    batches: bool,
    /// The channel that is told what this one never takes.
    fallback: Option<String>,
    /// When so many messages wait they go together; none: each goes alone.
    merge_above: Option<u32>,
    /// Long messages that stand for many are refused here.
    short: bool,
    /// When to look whether the daily summary is due.
    look_at: Instant,
    /// What went out and could not be written down, with the form it had.
    unmarked: HashMap<Uuid, (Outgoing, &'static str)>,
}

impl OutboxWorker {
    /// A worker; `name` tells replicas apart in the store.
    #[must_use]
    pub fn new(name: String, store: Store, channel: Channel, metrics: Arc<Metrics>) -> Self {
        let pace = Pace::new(channel.pace()).shared_in(&store, channel.name(), false);
        let merge_above = channel.merge_above();
        Self {
            name,
            store,
            channel,
            pace,
            metrics,
            health: Arc::default(),
            digest: None,
            falling_here: Vec::new(),
            batches: false,
            fallback: None,
            merge_above,
            short: false,
            look_at: Instant::now(),
            unmarked: HashMap::new(),
        }
    }

    /// The name of its channel.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.channel.name()
    }

    /// How sending goes, as it is known at any time.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Counts what goes to this destination together with `several` channels that lead there, and the other replicas; at
    /// most so many in a minute, and merged from half of that on.
    #[must_use]
    pub fn pacing(mut self, destination: &str, several: bool, a_minute: Option<u32>) -> Self {
        let pace = Pace::new(self.channel.pace()).at_most(a_minute);
        self.pace = pace.shared_in(&self.store, destination, several);
        let half = a_minute.map_or(u32::MAX, |messages| (messages / 2).max(1));
        self.merge_above = self.merge_above.map(|usual| usual.min(half));
        self
    }

    /// Merges when so many messages wait, instead of at what the channel takes in half a minute.
    #[must_use]
    pub fn merging_above(mut self, most: Option<u32>) -> Self {
        self.merge_above = self.merge_above.map(|usual| most.unwrap_or(usual));
        self
    }

    /// Tells another channel what can never be delivered on this one.
    #[must_use]
    pub fn falling_back_to(mut self, channel: Option<String>) -> Self {
        self.fallback = channel;
        self
    }

    /// Sends what is due and not critical as one.
    #[must_use]
    pub fn batching(mut self, batches: bool) -> Self {
        self.batches = batches;
        self
    }

    /// Also sends a daily summary.
    #[must_use]
    pub fn with_digest(mut self, digest: Option<Schedule>) -> Self {
        self.digest = digest;
        self
    }

    /// Tells the daily summaries of these channels when they gave them up.
    #[must_use]
    pub fn with_digests_of(mut self, channels: Vec<(String, Schedule)>) -> Self {
        self.falling_here = channels;
        self
    }

    /// Works until it is told to stop. A message under way is finished first.
    pub async fn run(mut self, mut wake: watch::Receiver<()>, stop: CancellationToken) {
        // What is held up for a while can go together then, unless so many are never merged.
        let (_, a_minute) = self.pace.left();
        self.pace.spread(self.merge_above.is_some_and(|most| most < a_minute));
        while !stop.is_cancelled() {
            // A fault in this program silences no channel: the message is free again when its lease ends.
            if AssertUnwindSafe(self.turn(&mut wake, &stop)).catch_unwind().await.is_err() {
                tracing::error!(channel = self.channel.name(), "sending broke off; the next message is looked for");
                // To the store that sender has ended: a message that breaks each one is put aside.
                self.name = Uuid::now_v7().to_string();
                tokio::time::sleep(POLL).await;
            }
        }
        self.mark_what_was_not().await;
    }

    /// Waits until there is something to do, and does it.
    async fn turn(&mut self, wake: &mut watch::Receiver<()>, stop: &CancellationToken) {
        // The pace is waited for before a message is taken: what waits in the store cannot be lost.
        tokio::select! {
            () = tokio::time::sleep(self.pace.wait()) => {}
            () = stop.cancelled() => return,
        }
        wake.mark_unchanged();
        self.summarise().await;
        let mut wait = self.until_due().await;
        if wait.is_zero() {
            match self.pace.take().await {
                Some(turn) => wait = turn.min(POLL),
                None if self.send_next().await => return,
                None => self.pace.give_back().await,
            }
        }
        tokio::select! {
            _ = wake.changed() => {}
            // Never at once: what is due but was not claimed just now is in another worker's hands.
            () = tokio::time::sleep(wait.max(Duration::from_millis(20))) => {}
            () = stop.cancelled() => {}
        }
    }

    /// Counts an attempt at the destination's pace; one that took too long has failed.
    async fn counted(
        &mut self,
        begun: Instant,
        attempt: Result<Result<Form, SendError>, Elapsed>,
    ) -> Result<Form, SendError> {
        // Counted when the answer is there: the destination counts arrivals, and this one came before. A file or a call
        // beside a message counts at the destination as one more.
        let companions = self.channel.companions();
        for lost in companions.map(Companions::take_lost).unwrap_or_default() {
            self.metrics.notice_failed(self.channel.name(), lost.lost());
        }
        self.pace.note(companions.map(Companions::take_posted).unwrap_or_default()).await;
        let outcome = attempt.unwrap_or_else(|_| {
            let seconds = begun.elapsed().as_secs();
            let late = SendError::new(Reason::Network, format!("no answer within {seconds} s"));
            Err(late.perhaps_arrived(!self.channel.changes_in_place()))
        });
        match &outcome {
            Ok(_) => self.health.succeeded(begun.elapsed()),
            Err(error) => self.health.failed(error.reason.label(), error, |lang| error.reason.advice(lang)),
        }
        outcome
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

    /// Sends what is due next; false when nothing is.
    async fn send_next(&mut self) -> bool {
        let Some(first) = self.claim().await else { return false };
        if self.batches && batch::waits(&first.notice) {
            let (claimed, urgent) = self.claim_batch(first).await;
            self.send_all(claimed, batch::together).await;
            self.send_apart(urgent).await;
        } else {
            let (claimed, alone) = self.claim_some(first).await;
            self.send_all(claimed, summary::summary).await;
            self.send_apart(alone).await;
        }
        true
    }

    /// Sends these messages, several of them as the one that stands for them.
    async fn send_all(&mut self, mut claimed: Vec<Outgoing>, as_one: fn(&[Outgoing]) -> Option<Notice>) {
        if claimed.len() > 1 && claimed.iter().any(|outgoing| is_old(outgoing.claimed_at)) {
            tracing::warn!(
                channel = self.channel.name(),
                messages = claimed.len(),
                "claiming took too long for messages to go together"
            );
            self.put_back(claimed.split_off(1)).await;
        }
        match claimed.len() {
            0 => {}
            1 => self.send_one(claimed.remove(0)).await,
            _ => {
                if let Some(notice) = as_one(&claimed) {
                    self.send_together(claimed, &notice).await;
                }
            }
        }
    }

    /// Whatever is logged on the way, down to a call of the channel's, names the incident.
    async fn send_one(&mut self, outgoing: Outgoing) {
        let span = tracing::info_span!("incident", incident.id = %outgoing.incident);
        self.send(outgoing).instrument(span).await;
    }

    async fn send(&mut self, mut outgoing: Outgoing) {
        let (left, all) = self.pace.left();
        self.channel.allow_files(left > all / 2);
        failpoint::pass("before-send").await;
        match self.store.meanwhile(&outgoing).await {
            Ok(meanwhile) => outgoing.notice.meanwhile = meanwhile,
            Err(error) => {
                tracing::warn!(channel = self.channel.name(), incident.id = %outgoing.incident, %error, "what was held back before it is not told")
            }
        }
        if is_old(outgoing.claimed_at) && !self.still_holds(&mut outgoing).await {
            tracing::warn!(channel = self.channel.name(), incident.id = %outgoing.incident, "this process was held up since it claimed a message, which is left to the next");
            return self.put_back([outgoing]).await;
        }
        let begun = Instant::now();
        let attempt =
            tokio::time::timeout(limit(outgoing.claimed_at), self.channel.deliver(&outgoing, &self.store)).await;
        match self.counted(begun, attempt).await {
            Ok(form) => {
                self.metrics.notice_sent(self.channel.name());
                self.note_first(&outgoing);
                tracing::info!(channel = self.channel.name(), incident.id = %outgoing.incident, role = outgoing.role.word(), form = form.label(), "message sent");
                failpoint::pass("before-mark").await;
                self.mark(&outgoing, form.label()).await;
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

    /// Counts a failed attempt, and that people may read twice what goes again.
    fn note_failed(&self, error: &SendError) {
        self.metrics.notice_failed(self.channel.name(), error.reason.label());
        if error.perhaps_arrived {
            self.metrics.notice_perhaps_twice(self.channel.name());
        }
    }

    async fn failed(&self, outgoing: &Outgoing, error: &SendError) {
        self.note_failed(error);
        let kept = match retry::wait(outgoing.attempt, error) {
            Some(wait) => {
                tracing::warn!(channel = self.channel.name(), incident.id = %outgoing.incident, attempt = outgoing.attempt, %error, wait_ms = wait.as_millis(), "message not delivered, will try again");
                self.store.retry_notice(outgoing, &error.to_string(), Timestamp::now() + wait).await
            }
            None => {
                tracing::error!(channel = self.channel.name(), incident.id = %outgoing.incident, attempt = outgoing.attempt, %error, fallback = self.fallback, "message cannot be delivered, put aside");
                self.store.bury_notice(outgoing, &error.to_string(), self.fallback.as_deref()).await
            }
        };
        self.keep(outgoing, kept);
    }
}
