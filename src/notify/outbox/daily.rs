//! The daily summary of a channel, which its worker sends beside its messages; and that of a channel which fell back to it.

use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::claim::{has_time, is_old, limit};
use super::{LEASE, OutboxWorker};
use crate::failpoint;
use crate::notify::digest::Schedule;
use crate::notify::notice::Undelivered;
use crate::notify::retry;
use crate::notify::send::{Reason, SendError};
use crate::store::ClaimedDigest;

/// How often a channel looks whether its daily summary is due.
const LOOK: Duration = Duration::from_secs(10);
/// A summary is tried for so long after its time; then it is told on the fallback, or stands as given up. Shorter than
/// the two hours in which a summary still goes out, so that the fallback has time left.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

/// More attempts than the waits between them leave room for in that time.
const MOST_ATTEMPTS: u32 = 30;

/// What stands as the error of a summary that was taken and not tried.
const HELD_UP: &str = "whoever took it was held up before it sent it; the next one does";

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
            Ok(Some(claim)) if claim.attempt > MOST_ATTEMPTS => self.give_up_digest(&daily, claim.attempt).await,
            Ok(Some(claim)) => self.send_digest(schedule, &daily, claim).await,
            Ok(None) => {}
            Err(error) => tracing::error!(channel = daily.key, %error, "could not take the daily summary"),
        }
    }

    /// What was tried that often within its time ends whoever sends it.
    async fn give_up_digest(&self, daily: &Daily, attempt: u32) {
        let why = "its attempts were cut off, by the end of the process or by a fault in it";
        tracing::error!(channel = daily.key, day = %daily.day, attempt, why, "the daily summary is given up");
        self.settle(daily, attempt, Err((why, None))).await;
    }

    async fn send_digest(&mut self, schedule: &Schedule, daily: &Daily, mut claim: ClaimedDigest) {
        self.note_left_behind(claim.left_behind);
        let digest = self.store.digest(daily.day, daily.due - SignedDuration::from_hours(24), daily.due).await;
        failpoint::pass("before-send").await;
        if is_old(claim.claimed_at) && !self.still_holds_digest(daily, &mut claim).await {
            tracing::warn!(channel = daily.key, day = %daily.day, "this process was held up since it took the daily summary, which is left to the next");
            return self.settle(daily, claim.attempt, Err((HELD_UP, Some(Duration::ZERO)))).await;
        }
        let outcome = match digest {
            Ok(digest) => {
                let mut notice = schedule.notice(&daily.key, digest, daily.due);
                notice.undelivered.extend(daily.lost.clone());
                let begun = Instant::now();
                let attempt = tokio::time::timeout(limit(claim.claimed_at), self.channel.send(&notice)).await;
                self.counted(begun, attempt).await
            }
            Err(error) => Err(SendError::new(Reason::Server, error.to_string())),
        };
        match outcome {
            Ok(_) => {
                self.metrics.notice_sent(self.channel.name());
                tracing::info!(channel = daily.key, day = %daily.day, "daily summary sent");
                failpoint::pass("before-mark").await;
                self.settle(daily, claim.attempt, Ok(())).await;
            }
            Err(error) => self.digest_failed(daily, claim.attempt, &error).await,
        }
    }

    async fn digest_failed(&self, daily: &Daily, attempt: u32, error: &SendError) {
        self.note_failed(error);
        let again = retry::wait(attempt, error).filter(|wait| Timestamp::now() + *wait < daily.due + PATIENCE);
        tracing::warn!(channel = daily.key, attempt, %error, given_up = again.is_none(), "the daily summary was not delivered");
        self.settle(daily, attempt, Err((&error.to_string(), again))).await;
    }

    /// Whether a summary is this process' own after all, as [`OutboxWorker::still_holds`] asks it of a message.
    async fn still_holds_digest(&self, daily: &Daily, claim: &mut ClaimedDigest) -> bool {
        match self.store.hold_on_digest(&daily.key, daily.day, claim, LEASE).await {
            Ok(held) => held && has_time(claim.claimed_at),
            Err(error) => {
                tracing::warn!(channel = daily.key, %error, "the daily summary could not be held on to");
                false
            }
        }
    }

    async fn settle(&self, daily: &Daily, attempt: u32, outcome: Result<(), (&str, Option<Duration>)>) {
        match self.store.settle_digest(&daily.key, daily.day, attempt, outcome).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(channel = daily.key, day = %daily.day, "the daily summary was taken over by another process")
            }
            Err(error) => {
                tracing::error!(channel = daily.key, %error, "could not keep what became of the daily summary")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::alert::Lang;
    use crate::notify::digest::TimeOfDay;
    use crate::notify::outbox::claim::tests::worker;
    use crate::store::tests::fixtures::{EXPIRED, on_every_engine};

    /// Whoever sent it before was killed, perhaps after it had arrived.
    #[tokio::test]
    async fn f08_a_daily_summary_that_may_come_twice_is_counted() {
        on_every_engine(async |store| {
            let schedule = Schedule::new(TimeOfDay::try_from("09:00".to_owned()).unwrap(), "UTC", Lang::En, None);
            let of = |day: Date| Daily { key: "hook".into(), day, due: schedule.on(day).unwrap(), lost: None };
            let mut worker = worker("one", &store);
            let counted = |worker: &OutboxWorker| worker.metrics.encode().unwrap().contains("perhaps_twice_total{");
            worker.send_if_mine(&schedule, of(date(2026, 11, 25))).await;
            assert!(!counted(&worker), "nobody sent it before");
            let killed = date(2026, 11, 26);
            store.claim_digest("hook", killed, "another", EXPIRED).await.unwrap().unwrap();
            worker.send_if_mine(&schedule, of(killed)).await;
            assert!(counted(&worker));
        })
        .await;
    }
}
