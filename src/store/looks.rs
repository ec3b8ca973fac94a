//! Looks at an incident beside the last one's report: what the first found while a model is still asked, for a restart and
//! other replicas to show, and those that another followed.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::columns::{Columns, now, to_json};
use super::{Claim, InvestigationState, Store, StoreError, Tx};
use crate::report::Report;
use crate::toolbox::evidence::Evidence;

/// A look that came to its end and was followed by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PastLook {
    /// 1 the first time.
    pub number: u64,
    /// How it ended: done or dead.
    pub state: InvestigationState,
    /// Attempts begun.
    pub attempts: u64,
    /// Why the last failed attempt failed.
    pub last_error: Option<String>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it ended; none where an earlier version kept it.
    pub ended_at: Option<Timestamp>,
}

/// Which looks another may follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Following {
    /// Dead ones, and those in this state.
    pub(super) or: &'static str,
    /// With fewer looks that were counted before.
    pub(super) most: u32,
    /// Whether this one counts.
    pub(super) counts: bool,
}

impl Tx<'_> {
    /// Keeps the last look at an incident, which is open and locked, and asks for another at this time. False when it may
    /// not be followed: it goes on, or others followed before.
    pub(super) async fn look_again(
        &mut self,
        incident: Uuid,
        at: Timestamp,
        following: Following,
    ) -> Result<bool, StoreError> {
        let query = self
            .query(
                "INSERT INTO look (incident_id, number, state, attempt, last_error, asked_at, ended_at)
                 SELECT incident_id, (SELECT COUNT(*) + 1 FROM look WHERE incident_id = $1), state, attempt, last_error,
                        COALESCE(asked_at, created_at), ended_at
                 FROM investigation
                 WHERE incident_id = $1 AND state IN ('dead', $2) AND repeats < $3
                   AND EXISTS (SELECT 1 FROM incident WHERE id = $1 AND state = 'open')",
            )
            .bind(incident.to_string())
            .bind(following.or)
            .bind(i64::from(following.most));
        if self.write("keep a look", query).await? == 0 {
            return Ok(false);
        }
        let query = self
            .query(
                "UPDATE investigation
                 SET state = 'ready', attempt = 0, due_at = $2, last_error = NULL, ended_at = NULL, asked_at = $3,
                     repeats = repeats + $4
                 WHERE incident_id = $1",
            )
            .bind(incident.to_string())
            .bind(at.as_millisecond())
            .bind(now())
            .bind(i64::from(following.counts));
        self.write("queue an investigation again", query).await?;
        // What is asked again is looked at again.
        self.forget_what_was_read(incident).await.map(|()| true)
    }
}

impl Store {
    /// Looks that another followed, the first one first.
    pub(super) async fn past_looks(&self, incident: Uuid) -> Result<Vec<PastLook>, StoreError> {
        let query = self
            .query(
                "SELECT number, state, attempt, last_error, asked_at, ended_at FROM look
                 WHERE incident_id = $1 ORDER BY number",
            )
            .bind(incident.to_string());
        self.rows("read looks", query).await?.iter().map(past_look_of).collect()
    }

    /// Keeps what the playbook found and what it read for that, until the investigation ends. False, and nothing kept, when
    /// somebody else holds the investigation now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_first_look(
        &self,
        claim: &Claim,
        report: &Report,
        evidence: &[Evidence],
    ) -> Result<bool, StoreError> {
        let incident = claim.incident.id;
        let mut tx = self.begin().await?;
        tx.lock_incident(incident).await?;
        let query = tx
            .query(
                "UPDATE investigation SET first_look = $3 WHERE incident_id = $1 AND state = 'running' AND fence = $2",
            )
            .bind(incident.to_string())
            .bind(claim.fence)
            .bind(to_json("the first look", report)?);
        if tx.write("keep a first look", query).await? == 0 {
            return Ok(false);
        }
        tx.drop_evidence(incident).await?;
        tx.keep_evidence(incident, evidence).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What the first look found at an incident that has no diagnosis yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_look(&self, incident: Uuid) -> Result<Option<Report>, StoreError> {
        let query = self
            .query("SELECT first_look FROM investigation WHERE incident_id = $1 AND first_look IS NOT NULL")
            .bind(incident.to_string());
        let row = self.row("read a first look", query).await?;
        row.map_or(Ok(None), |row| Columns(&row).optional_json("first_look"))
    }
}

fn past_look_of(row: &AnyRow) -> Result<PastLook, StoreError> {
    let row = Columns(row);
    Ok(PastLook {
        number: row.count("number")?,
        state: row.word("state")?,
        attempts: row.count("attempt")?,
        last_error: row.optional_text("last_error")?,
        asked_at: row.time("asked_at")?,
        ended_at: row.optional_time("ended_at")?,
    })
}
