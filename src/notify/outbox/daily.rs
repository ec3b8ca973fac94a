//! The daily summary of a channel, which its worker sends beside its messages.

use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{ATTEMPT_LIMIT, LEASE, OutboxWorker};
use crate::notify::digest::Schedule;
use crate::notify::retry;
use crate::notify::send::{Reason, SendError};

/// How often a channel looks whether its daily summary is due.
const LOOK: Duration = Duration::from_secs(20);

impl OutboxWorker {
    /// Sends the day's summary when it is due and no other process does.
    pub(super) async fn summarise(&mut self) {
        let Some(schedule) = self.digest.clone().filter(|_| self.look_at <= Instant::now()) else { return };
        self.look_at = Instant::now() + LOOK;
        let Some((day, due)) = schedule.due(Timestamp::now()) else { return };
        match self.store.claim_digest(self.channel.name(), day, &self.name, LEASE).await {
            Ok(Some(attempt)) => self.send_digest(&schedule, day, due, attempt).await,
            Ok(None) => {}
            Err(error) => tracing::error!(channel = self.channel.name(), %error, "could not take the daily summary"),
        }
    }

    async fn send_digest(&mut self, schedule: &Schedule, day: Date, due: Timestamp, attempt: u32) {
        let outcome = match self.store.digest(day, due - SignedDuration::from_hours(24), due).await {
            Ok(digest) => {
                let notice = schedule.notice(self.channel.name(), digest, due);
                let begun = Instant::now();
                let attempt = tokio::time::timeout(ATTEMPT_LIMIT, self.channel.send(&notice)).await;
                self.counted(begun, attempt).await
            }
            Err(error) => Err(SendError::new(Reason::Server, error.to_string())),
        };
        let failure = outcome.err().map(|error| {
            tracing::warn!(channel = self.channel.name(), attempt, %error, "the daily summary was not delivered");
            self.metrics.notice_failed(self.channel.name(), error.reason.label());
            let again = retry::wait(attempt, &error).map(|wait| Timestamp::now() + wait);
            (error.to_string(), again)
        });
        if failure.is_none() {
            self.metrics.notice_sent(self.channel.name());
            tracing::info!(channel = self.channel.name(), %day, "daily summary sent");
        }
        let outcome = failure.as_ref().map_or(Ok(()), |(error, again)| Err((error.as_str(), *again)));
        if let Err(error) = self.store.settle_digest(self.channel.name(), day, attempt, outcome).await {
            tracing::error!(channel = self.channel.name(), %error, "could not keep what became of the daily summary");
        }
    }
}
