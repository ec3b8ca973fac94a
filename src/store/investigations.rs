//! The queue of investigations: claimed under a lease, finished in one transaction, fenced against the past.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::columns::{Columns, millis, now, storable, to_json};
use super::held::held_from;
use super::looks::Following;
use super::{Incident, IncidentState, NewNotice, Store, StoreError, Tx};
use crate::alert::AlertGroup;
use crate::report::{Report, Verdict};
use crate::toolbox::evidence::Evidence;

/// An investigation that fails, or takes its process down, this often is not tried again.
pub const MAX_ATTEMPTS: u32 = 3;

/// The right to investigate an incident, until its lease ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// What to investigate.
    pub incident: Incident,
    /// 1 the first time, at most [`MAX_ATTEMPTS`].
    pub attempt: u32,
    /// Number of this claim among all of this investigation; an older one has lost its lease.
    pub fence: i64,
}

/// What became of an investigation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It will be claimed again.
    Again,
    /// That was the last attempt; it is kept as dead with its error.
    Dead,
    /// Somebody else holds the investigation now: leave it alone.
    Lost,
}

/// That an investigation is to be made once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// When.
    pub at: Timestamp,
    /// So often in the life of its incident.
    pub most: u32,
}

impl Tx<'_> {
    /// Queues the investigation of an incident. False when it was queued before, whatever became of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enqueue_investigation(&mut self, incident: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        let query = self
            .query(
                "INSERT INTO investigation (incident_id, state, due_at, attempt, fence, created_at)
                 VALUES ($1, 'ready', $2, 0, 0, $3) ON CONFLICT (incident_id) DO NOTHING",
            )
            .bind(incident.to_string())
            .bind(at.as_millisecond())
            .bind(now());
        Ok(self.write("queue an investigation", query).await? == 1)
    }

    /// Cancels an investigation that nobody works on: its incident resolved first. False when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cancel_investigation(&mut self, incident: Uuid) -> Result<bool, StoreError> {
        let query = self
            .query(
                "UPDATE investigation SET state = 'cancelled', ended_at = $2 WHERE incident_id = $1 AND state = 'ready'",
            )
            .bind(incident.to_string())
            .bind(now());
        Ok(self.write("cancel an investigation", query).await? == 1)
    }

    /// Lets an investigation that a rule holds begin at this time at the latest, and says whether one waits or is under way.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn investigate_by(&mut self, incident: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        let query = self
            .query(
                "UPDATE investigation SET due_at = $2
                 WHERE incident_id = $1 AND state = 'ready' AND attempt = 0 AND due_at > $2 AND due_at > $3",
            )
            .bind(incident.to_string())
            .bind(at.as_millisecond())
            .bind(held_from());
        self.write("investigate earlier", query).await?;
        let query = self
            .query("SELECT 1 AS one FROM investigation WHERE incident_id = $1 AND state IN ('ready', 'running')")
            .bind(incident.to_string());
        Ok(self.row("look for an investigation", query).await?.is_some())
    }

    /// Queues the investigation of an incident once more because alerts that joined changed the picture, if it came to
    /// an end and was not repeated so often yet. False when there is nothing to repeat.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn repeat_investigation(&mut self, incident: Uuid, at: Timestamp, most: u32) -> Result<bool, StoreError> {
        self.look_again(incident, at, Following { or: "done", most, counts: true }).await
    }

    async fn end_investigation(&mut self, claim: &Claim) -> Result<bool, StoreError> {
        let query = self
            .query(
                "UPDATE investigation SET state = 'done', ended_at = $3, leased_by = NULL, first_look = NULL
                 WHERE incident_id = $1 AND state = 'running' AND fence = $2",
            )
            .bind(claim.incident.id.to_string())
            .bind(claim.fence)
            .bind(now());
        Ok(self.write("finish an investigation", query).await? == 1)
    }

    /// Locks an incident and says whether it is still open, and what fires.
    pub(super) async fn lock_incident(&mut self, incident: Uuid) -> Result<(bool, Option<AlertGroup>), StoreError> {
        let query =
            self.query("SELECT state, group_json FROM incident WHERE id = $1 {locked}").bind(incident.to_string());
        let Some(row) = self.row("lock an incident", query).await? else { return Ok((false, None)) };
        let row = Columns(&row);
        Ok((row.text("state")? == IncidentState::Open.word(), Some(row.json("group_json")?)))
    }

    /// Keeps the report of an incident, found at that time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_report(&mut self, incident: Uuid, report: &Report, found: Timestamp) -> Result<(), StoreError> {
        let query = self
            .query("UPDATE incident SET report = $2, verdict = $3, headline = $4, diagnosed_at = $5 WHERE id = $1")
            .bind(incident.to_string())
            .bind(to_json("the report", report)?)
            .bind(match report.verdict {
                Verdict::Fault => "fault",
                Verdict::NoFault => "no_fault",
                Verdict::Inconclusive => "inconclusive",
            })
            .bind(storable(&report.headline).into_owned())
            .bind(found.as_millisecond());
        self.write("keep a report", query).await.map(drop)
    }
}

impl Store {
    /// Takes the investigation that has been due longest, or one whose lease ended. Nobody else gets it before the
    /// lease ends. What has used up its attempts without an answer (its process died) is put aside as dead.
    ///
    /// # Errors
    /// When the database fails, or the incident cannot be read: then it comes again when the lease ends.
    pub async fn claim_investigation(&self, worker: &str, lease: Duration) -> Result<Option<Claim>, StoreError> {
        while let Some((id, attempt, fence)) = self.claim_next(worker, lease).await? {
            if attempt > MAX_ATTEMPTS {
                self.put_aside(id, fence).await?;
                continue;
            }
            let incident = self.incident_alone(id).await?;
            let incident = incident.ok_or_else(|| StoreError::content("an incident", "it was deleted meanwhile"))?;
            return Ok(Some(Claim { incident, attempt, fence }));
        }
        Ok(None)
    }

    async fn claim_next(&self, worker: &str, lease: Duration) -> Result<Option<(Uuid, u32, i64)>, StoreError> {
        let query = self
            .query(
                "UPDATE investigation
                 SET state = 'running', attempt = attempt + 1, fence = fence + 1, due_at = {clock} + $1, leased_by = $2
                 WHERE incident_id = (SELECT incident_id FROM investigation
                                      WHERE state IN ('ready', 'running')
                                        AND due_at <= CASE state WHEN 'ready' THEN $3 ELSE {clock} END
                                        AND due_at <= (SELECT MAX(at) FROM (SELECT CAST($3 AS BIGINT) AS at
                                                                            UNION ALL SELECT {clock}) AS either)
                                      ORDER BY due_at, incident_id LIMIT 1 {unclaimed})
                 RETURNING incident_id, attempt, fence",
            )
            .bind(millis(lease))
            .bind(worker)
            .bind(now());
        let Some(row) = self.returning("claim an investigation", query).await? else { return Ok(None) };
        let row = Columns(&row);
        let attempt = u32::try_from(row.count("attempt")?).unwrap_or(u32::MAX);
        Ok(Some((row.id("incident_id")?, attempt, row.get("fence")?)))
    }

    async fn put_aside(&self, incident: Uuid, fence: i64) -> Result<(), StoreError> {
        tracing::error!(incident.id = %incident, attempts = MAX_ATTEMPTS, "investigation put aside: no attempt came to an end");
        let query = self
            .query(
                "UPDATE investigation SET state = 'dead', attempt = attempt - 1, ended_at = $3, leased_by = NULL,
                        last_error = COALESCE(last_error, 'no attempt came to an end: the process was killed or hung')
                 WHERE incident_id = $1 AND state = 'running' AND fence = $2",
            )
            .bind(incident.to_string())
            .bind(fence)
            .bind(now());
        self.write("put an investigation aside", query).await.map(drop)
    }

    /// Renews a lease. False when somebody else holds the investigation now: stop working on it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn extend(&self, claim: &Claim, lease: Duration) -> Result<bool, StoreError> {
        let query = self
            .query("UPDATE investigation SET due_at = {clock} + $3 WHERE incident_id = $1 AND state = 'running' AND fence = $2")
            .bind(claim.incident.id.to_string())
            .bind(claim.fence)
            .bind(millis(lease));
        Ok(self.write("extend a lease", query).await? == 1)
    }

    /// Keeps the report, its evidence and the messages it leads to, and ends the investigation: all of it or nothing. It is
    /// queued once more, `most` times at the most, when `again` says so of the alerts as they are now.
    /// False, and nothing kept, when somebody else holds the investigation now.
    ///
    /// # Errors
    /// When the database fails; the investigation then comes again when its lease ends.
    pub async fn finish_investigation(
        &self,
        claim: &Claim,
        report: &Report,
        evidence: &[Evidence],
        notices: &[NewNotice<'_>],
        again: impl Fn(&AlertGroup) -> Option<Again>,
    ) -> Result<bool, StoreError> {
        let incident = claim.incident.id;
        let mut tx = self.begin().await?;
        let (open, group) = tx.lock_incident(incident).await?;
        if !tx.end_investigation(claim).await? {
            return Ok(false);
        }
        tx.set_report(incident, report, Timestamp::now()).await?;
        tx.drop_evidence(incident).await?;
        tx.forget_what_was_read(incident).await?;
        tx.keep_evidence(incident, evidence).await?;
        // People already heard that a resolved incident is over; a late diagnosis stays on its page.
        for notice in notices.iter().filter(|_| open) {
            tx.enqueue_notice(notice).await?;
        }
        if let Some(Again { at, most }) = group.as_ref().and_then(again) {
            tx.repeat_investigation(incident, at, most).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Ends an attempt that failed: it is due again at `at`, or dead when it was the last.
    ///
    /// # Errors
    /// When the database fails; the investigation then comes again when its lease ends.
    pub async fn retry_investigation(&self, claim: &Claim, error: &str, at: Timestamp) -> Result<Retry, StoreError> {
        let dead = claim.attempt >= MAX_ATTEMPTS;
        let query = self
            .query(
                "UPDATE investigation SET state = $3, due_at = $4, last_error = $5, ended_at = $6, leased_by = NULL
                 WHERE incident_id = $1 AND state = 'running' AND fence = $2",
            )
            .bind(claim.incident.id.to_string())
            .bind(claim.fence)
            .bind(if dead { "dead" } else { "ready" })
            .bind(at.as_millisecond())
            .bind(storable(error).into_owned())
            .bind(dead.then(now));
        Ok(match (self.write("end an attempt", query).await?, dead) {
            (0, _) => Retry::Lost,
            (_, true) => Retry::Dead,
            (_, false) => Retry::Again,
        })
    }

    /// Queues an investigation that came to an end once more, while its incident is open. False when there is none, when
    /// it still goes on, or when the incident is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn investigate_again(&self, incident: Uuid) -> Result<bool, StoreError> {
        self.requeue(incident, "done").await
    }

    /// Queues an investigation once more that is dead, or in this other state.
    pub(super) async fn requeue(&self, incident: Uuid, or: &'static str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        tx.lock_incident(incident).await?;
        let following = Following { or, most: u32::MAX, counts: false };
        let again = tx.look_again(incident, Timestamp::now(), following).await?;
        tx.commit().await?;
        Ok(again)
    }

    /// Gives an unfinished investigation back at once and uncounted, because this process shuts down.
    ///
    /// # Errors
    /// When the database fails; the investigation then comes again when its lease ends.
    pub async fn hand_back(&self, claim: &Claim) -> Result<bool, StoreError> {
        let query = self
            .query(
                "UPDATE investigation SET state = 'ready', due_at = $3, attempt = attempt - 1, leased_by = NULL
                 WHERE incident_id = $1 AND state = 'running' AND fence = $2",
            )
            .bind(claim.incident.id.to_string())
            .bind(claim.fence)
            .bind(now());
        Ok(self.write("hand an investigation back", query).await? == 1)
    }

    /// [`Tx::cancel_investigation`] on its own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cancel_investigation(&self, incident: Uuid) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let cancelled = tx.cancel_investigation(incident).await?;
        tx.commit().await?;
        Ok(cancelled)
    }

    /// When [`Store::claim_investigation`] can next find something; past when it can now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_investigation_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let query = self.query("SELECT MIN(due_at) AS due_at FROM investigation WHERE state IN ('ready', 'running')");
        let row = self.row("look for the next investigation", query).await?;
        row.map_or(Ok(None), |row| Columns(&row).optional_time("due_at"))
    }
}
