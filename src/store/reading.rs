//! Reading for people: lists of incidents, and one incident with everything about it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::columns::Columns;
use super::deliveries::delivery_of;
use super::listing::summary_of;
use super::{Delivery, Incident, IncidentState, NoticeRole, Outgoing, PastLook, Store, StoreError};
use crate::notify::notice::Notice;
use crate::report::{EvidenceEntry, Report, Verdict};

/// The newest deliveries an incident is shown with; the count of all is in the incident.
const SHOWN_DELIVERIES: i64 = 200;

/// One line of a list of incidents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncidentSummary {
    /// Its identity.
    pub id: Uuid,
    /// 1 the first time this group fired.
    pub generation: i64,
    /// Open or resolved.
    pub state: IncidentState,
    /// When the first delivery came.
    pub opened_at: Timestamp,
    /// When the last delivery came.
    pub updated_at: Timestamp,
    /// When it resolved.
    pub resolved_at: Option<Timestamp>,
    /// When the alert that leads began, as its sender says; when it opened, where that does not.
    pub began_at: Timestamp,
    /// When the alerts were over, as their sender says.
    pub ended_at: Option<Timestamp>,
    /// Deliveries that belong to it.
    pub deliveries: u64,
    /// The leading alert's name.
    pub alertname: String,
    /// Its severity as the sender spells it; empty when it has none.
    pub severity: String,
    /// The gravest severity any of its alerts ever had, by which it is counted and found.
    pub gravest: String,
    /// Its namespace; empty when it has none.
    pub namespace: String,
    /// Alerts that fire now.
    pub firing: u64,
    /// What the diagnosis says, once there is one.
    pub verdict: Option<Verdict>,
    /// Its sentence.
    pub headline: Option<String>,
}

/// An incident with everything that is known about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentDetail {
    /// The incident, its report included.
    pub incident: Incident,
    /// What the playbook found, while a model is asked for the report.
    pub first_look: Option<Report>,
    /// Where its investigation stands; none when none was ever queued.
    pub investigation: Option<Investigation>,
    /// Looks before the last.
    pub looks: Vec<PastLook>,
    /// The newest 200 deliveries, oldest first.
    pub deliveries: Vec<Delivery>,
    /// Its messages, oldest first.
    pub notices: Vec<OutboxEntry>,
    /// Its recorded tool results, without their text.
    pub evidence: Vec<EvidenceEntry>,
}

/// Where an investigation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InvestigationState {
    /// It waits for a worker or for its next attempt.
    Ready,
    /// A worker holds it.
    Running,
    /// It led to a report.
    Done,
    /// Its last attempt failed.
    Dead,
    /// Its incident resolved before it began.
    Cancelled,
}

/// An investigation as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Investigation {
    /// Where it stands.
    pub state: InvestigationState,
    /// Attempts begun.
    pub attempts: u64,
    /// How often it was begun anew after an end, because of what joined.
    pub repeats: u64,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When the last look was asked for.
    pub asked_at: Timestamp,
    /// When it may be claimed next; while it runs, when its lease ends.
    pub due_at: Timestamp,
    /// Why the last failed attempt failed.
    pub last_error: Option<String>,
    /// When it was done, dead or cancelled.
    pub ended_at: Option<Timestamp>,
    /// When the report was found that the incident has; a second look keeps it until it has its own.
    pub diagnosed_at: Option<Timestamp>,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeState {
    /// It waits: for its time, for the one before it, or for its next attempt.
    Ready,
    /// A worker is sending it.
    Sending,
    /// The channel accepted it.
    Sent,
    /// It was given up.
    Dead,
}

/// A message of an incident as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutboxEntry {
    /// Its identity, the same over all attempts.
    pub id: Uuid,
    /// Name of the channel.
    pub channel: String,
    /// Which message it is.
    pub role: NoticeRole,
    /// Where it stands.
    pub state: NoticeState,
    /// Attempts begun.
    pub attempts: u64,
    /// When it is due next, while it waits.
    pub due_at: Timestamp,
    /// Why the last failed attempt failed.
    pub last_error: Option<String>,
    /// When the channel accepted it.
    pub sent_at: Option<Timestamp>,
    /// In which form it did.
    pub form: Option<String>,
}

impl Store {
    /// Incidents, newest first, at most `limit`; those older than `before` (time opened and id of the last one seen),
    /// and of one state only, when asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incidents(
        &self,
        limit: u32,
        before: Option<(Timestamp, Uuid)>,
        state: Option<IncidentState>,
    ) -> Result<Vec<IncidentSummary>, StoreError> {
        let (time, id) = before.map_or((i64::MAX, String::new()), |(at, id)| (at.as_millisecond(), id.to_string()));
        let query = self
            .query(
                "SELECT id, generation, state, opened_at, updated_at, resolved_at, began_at, over_at, deliveries,
                        alertname, severity,
                        COALESCE(gravest, severity) AS gravest, namespace, firing, verdict, headline
                 FROM incident
                 WHERE (opened_at, id) < ($1, $2) AND ($3 = 'any' OR state = $3)
                 ORDER BY opened_at DESC, id DESC LIMIT $4",
            )
            .bind(time)
            .bind(id)
            .bind(state.map_or("any", IncidentState::word))
            .bind(i64::from(limit));
        self.rows("list incidents", query).await?.iter().map(summary_of).collect()
    }

    /// An incident with everything about it; none when there is none of this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incident(&self, id: Uuid) -> Result<Option<IncidentDetail>, StoreError> {
        // An investigation ends in one commit with its report, evidence and messages. It is read before them, so that one
        // that is seen done is never seen without them.
        let investigation = self.investigation_of(id).await?;
        let Some(incident) = self.incident_alone(id).await? else { return Ok(None) };
        let first_look = if incident.report.is_none() { self.first_look(id).await? } else { None };
        Ok(Some(IncidentDetail {
            incident,
            first_look,
            investigation,
            looks: self.past_looks(id).await?,
            deliveries: self.deliveries_of(id).await?,
            notices: self.notices_of(id).await?,
            evidence: self.evidence_entries_of(id).await?,
        }))
    }

    /// What people were told about an incident, or will be: one notice of each role, in the order they were written.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn told(&self, id: Uuid) -> Result<Vec<Notice>, StoreError> {
        let query = self
            .query("SELECT role, notice FROM outbox WHERE incident_id = $1 ORDER BY created_at, id")
            .bind(id.to_string());
        let mut roles = Vec::new();
        let mut told = Vec::new();
        for row in self.rows("read messages", query).await? {
            let role = Columns(&row).text("role")?;
            if !roles.contains(&role) {
                told.push(Columns(&row).json("notice")?);
                roles.push(role);
            }
        }
        Ok(told)
    }

    /// The first message as each channel got it or will get it; what was given up is not among them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_notices(&self, id: Uuid) -> Result<Vec<(String, Notice)>, StoreError> {
        let query = self
            .query(
                "SELECT channel, notice FROM outbox
                 WHERE incident_id = $1 AND role = 'first' AND state <> 'dead' ORDER BY channel",
            )
            .bind(id.to_string());
        let rows = self.rows("read the first messages", query).await?;
        rows.iter().map(|row| Ok((Columns(row).text("channel")?, Columns(row).json("notice")?))).collect()
    }

    /// The report that a channel showed last before a message, if any of those it was sent held one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shown_before(&self, outgoing: &Outgoing) -> Result<Option<Report>, StoreError> {
        let query = self
            .query(
                "SELECT notice FROM outbox
                 WHERE incident_id = $1 AND channel = $2 AND id <> $3 AND state = 'sent' AND role IN ('first', 'second')
                 ORDER BY seq DESC",
            )
            .bind(outgoing.incident.to_string())
            .bind(outgoing.channel.clone())
            .bind(outgoing.id.to_string());
        for row in self.rows("read what a channel showed", query).await? {
            let notice: Notice = Columns(&row).json("notice")?;
            if let Some(report) = notice.report() {
                return Ok(Some(report.clone()));
            }
        }
        Ok(None)
    }

    async fn investigation_of(&self, id: Uuid) -> Result<Option<Investigation>, StoreError> {
        let query = self
            .query(
                "SELECT one.state, attempt, repeats, created_at, COALESCE(asked_at, created_at) AS asked_at, due_at, last_error,
                        ended_at, diagnosed_at
                 FROM investigation one JOIN incident ON id = incident_id WHERE incident_id = $1",
            )
            .bind(id.to_string());
        self.row("read an investigation", query).await?.as_ref().map(investigation_of).transpose()
    }

    async fn deliveries_of(&self, id: Uuid) -> Result<Vec<Delivery>, StoreError> {
        let query = self
            .query(
                "SELECT id, incident_id, received_at, status, alerts, decision, reason, rules, changes, told, outcome,
                        telling FROM delivery
                 WHERE incident_id = $1 ORDER BY received_at DESC, id DESC LIMIT $2",
            )
            .bind(id.to_string())
            .bind(SHOWN_DELIVERIES);
        self.rows("read deliveries", query).await?.iter().rev().map(delivery_of).collect()
    }

    async fn notices_of(&self, id: Uuid) -> Result<Vec<OutboxEntry>, StoreError> {
        let query = self
            .query(
                "SELECT id, channel, role, state, attempt, due_at, last_error, sent_at, form FROM outbox
                 WHERE incident_id = $1 ORDER BY created_at, id",
            )
            .bind(id.to_string());
        self.rows("read messages", query).await?.iter().map(outbox_entry_of).collect()
    }

    async fn evidence_entries_of(&self, id: Uuid) -> Result<Vec<EvidenceEntry>, StoreError> {
        let query = self
            .query(
                "SELECT reference, tool, arguments, octet_length(COALESCE(full_text, text)) AS bytes, taken_at
                 FROM evidence WHERE incident_id = $1 ORDER BY ordinal",
            )
            .bind(id.to_string());
        self.rows("read evidence", query).await?.iter().map(evidence_entry_of).collect()
    }
}

fn investigation_of(row: &AnyRow) -> Result<Investigation, StoreError> {
    let row = Columns(row);
    Ok(Investigation {
        state: row.word("state")?,
        attempts: row.count("attempt")?,
        repeats: row.count("repeats")?,
        created_at: row.time("created_at")?,
        asked_at: row.time("asked_at")?,
        due_at: row.time("due_at")?,
        last_error: row.optional_text("last_error")?,
        ended_at: row.optional_time("ended_at")?,
        diagnosed_at: row.optional_time("diagnosed_at")?,
    })
}

fn outbox_entry_of(row: &AnyRow) -> Result<OutboxEntry, StoreError> {
    let row = Columns(row);
    Ok(OutboxEntry {
        id: row.id("id")?,
        channel: row.text("channel")?,
        role: row.word("role")?,
        state: row.word("state")?,
        attempts: row.count("attempt")?,
        due_at: row.time("due_at")?,
        last_error: row.optional_text("last_error")?,
        sent_at: row.optional_time("sent_at")?,
        form: row.optional_text("form")?,
    })
}

fn evidence_entry_of(row: &AnyRow) -> Result<EvidenceEntry, StoreError> {
    let row = Columns(row);
    Ok(EvidenceEntry {
        reference: row.text("reference")?,
        tool: row.text("tool")?,
        arguments: row.json("arguments")?,
        bytes: usize::try_from(row.count("bytes")?).unwrap_or(usize::MAX),
        taken_at: row.time("taken_at")?,
    })
}
