//! The daily summary of a channel, which its worker sends beside its messages; and that of a channel which fell back to it.

use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{ATTEMPT_LIMIT, LEASE, OutboxWorker};
use crate::notify::digest::Schedule;
use crate::notify::notice::Undelivered;
use crate::notify::retry;
use crate::notify::send::{Reason, SendError};

/// How often a channel looks whether its daily summary is due.
const LOOK: Duration = Duration::from_secs(10);
/// A summary is tried for so long after its time; then it is told on the fallback, or stands as given up. Shorter than
/// the two hours in which a summary still goes out, so that the fallback has time left.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

/// More attempts than the waits between them leave room for in that time.
const MOST_ATTEMPTS: u32 = 30;

/// A summary to send, and the name it is kept under.
struct Daily {
    key: String,
    day: Date,
    due: Timestamp,
    lost: Option<Undelivered>,
}

impl OutboxWorker {
    /// Sends the day's summaries that are due here when no other process does: the channel's own, and those that the
    /// channels falling back to it gave up.
    pub(super) async fn summarise(&mut self) {
        if self.look_at > Instant::now() {
            return;
        }
        self.look_at = Instant::now() + LOOK;
        if let Some(schedule) = self.digest.clone()
            && let Some((day, due)) = schedule.due(Timestamp::now())
        {
            let daily = Daily { key: self.channel.name().to_owned(), day, due, lost: None };
            self.send_if_mine(&schedule, daily).await;
        }
        if let Some(schedule) = self.digest.clone() {
            let key = self.channel.name().to_owned();
            self.send_asked_for(&schedule, &key, None).await;
        }
        for (channel, schedule) in self.falling_here.clone() {
            let key = format!("{channel} → {}", self.channel.name());
            self.send_asked_for(&schedule, &key, Some(&channel)).await;
            let Some((day, due)) = schedule.due(Timestamp::now()) else { continue };
            match self.store.dead_digest(&channel, day).await {
                Ok(Some(why)) => {
                    let daily = Daily { key, day, due, lost: Some(Undelivered { channel, why }) };
                    self.send_if_mine(&schedule, daily).await;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(channel, %error, "could not look for a lost daily summary"),
            }
        }
    }

    /// Sends the summaries of other days that a person asked for.
    async fn send_asked_for(&mut self, schedule: &Schedule, key: &str, lost_by: Option<&str>) {
        let days = self.store.digests_asked_for(key).await.unwrap_or_else(|error| {
            tracing::error!(channel = key, %error, "could not look for daily summaries to send again");
            Vec::new()
        });
        for day in days {
            let Some(due) = schedule.on(day) else { continue };
            let mut lost = None;
            if let Some(channel) = lost_by {
                let why = self.store.dead_digest(channel, day).await.ok().flatten().unwrap_or_default();
                lost = Some(Undelivered { channel: channel.to_owned(), why });
            }
            self.send_if_mine(schedule, Daily { key: key.to_owned(), day, due, lost }).await;
        }
    }

    async fn send_if_mine(&mut self, schedule: &Schedule, daily: Daily) {
        match self.store.claim_digest(&daily.key, daily.day, &self.name, LEASE).await {
            Ok(Some(attempt)) if attempt > MOST_ATTEMPTS => self.give_up_digest(&daily, attempt).await,
            Ok(Some(attempt)) => self.send_digest(schedule, &daily, attempt).await,
            Ok(None) => {}
            Err(error) => tracing::error!(channel = daily.key, %error, "could not take the daily summary"),
        }
    }

    /// What was tried that often within its time ends whoever sends it.
    async fn give_up_digest(&self, daily: &Daily, attempt: u32) {
        let why = "its attempts were cut off, by the end of the process or by a fault in it";
        tracing::error!(channel = daily.key, day = %daily.day, attempt, why, "the daily summary is given up");
        if let Err(error) = self.store.settle_digest(&daily.key, daily.day, attempt, Err((why, None))).await {
            tracing::error!(channel = daily.key, %error, "could not keep what became of the daily summary");
        }
    }

    async fn send_digest(&mut self, schedule: &Schedule, daily: &Daily, attempt: u32) {
        let due = daily.due;
        let outcome = match self.store.digest(daily.day, due - SignedDuration::from_hours(24), due).await {
            Ok(digest) => {
                let mut notice = schedule.notice(&daily.key, digest, due);
                notice.undelivered.extend(daily.lost.clone());
                let begun = Instant::now();
                let attempt = tokio::time::timeout(ATTEMPT_LIMIT, self.channel.send(&notice)).await;
                self.counted(begun, attempt).await
            }
            Err(error) => Err(SendError::new(Reason::Server, error.to_string())),
        };
        let failure = outcome.err().map(|error| {
            self.metrics.notice_failed(self.channel.name(), error.reason.label());
            let again = retry::wait(attempt, &error).filter(|wait| Timestamp::now() + *wait < due + PATIENCE);
            tracing::warn!(channel = daily.key, attempt, %error, given_up = again.is_none(), "the daily summary was not delivered");
            (error.to_string(), again)
        });
        if failure.is_none() {
            self.metrics.notice_sent(self.channel.name());
            tracing::info!(channel = daily.key, day = %daily.day, "daily summary sent");
        }
        let outcome = failure.as_ref().map_or(Ok(()), |(error, again)| Err((error.as_str(), *again)));
        if let Err(error) = self.store.settle_digest(&daily.key, daily.day, attempt, outcome).await {
            tracing::error!(channel = daily.key, %error, "could not keep what became of the daily summary");
        }
    }
}
