//! Incidents: what the receive transaction reads and writes of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::columns::{Columns, to_json};
use super::gist::Gist;
use super::{Store, StoreError, Tx, conflict_or};
use crate::alert::{Alert, AlertGroup, Source};
use crate::report::Report;

/// Whether an incident still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// At least one alert of the group fires.
    Open,
    /// The group resolved; the next firing delivery opens the next generation.
    Resolved,
}

impl IncidentState {
    /// The word used in the database and in addresses.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }
}

/// One generation of a sender's group. Times are kept to the millisecond.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Incident {
    /// Identity in pages, messages and addresses.
    pub id: Uuid,
    /// Who sent it.
    pub source: Source,
    /// Hash of the sender's identity for the group.
    pub group_key_hash: String,
    /// 1 the first time this group fires, one more each time it fires again after it resolved.
    pub generation: i64,
    /// Open or resolved.
    pub state: IncidentState,
    /// When the first delivery came.
    pub opened_at: Timestamp,
    /// When the last delivery came.
    pub updated_at: Timestamp,
    /// When it resolved.
    pub resolved_at: Option<Timestamp>,
    /// The alerts, merged over all deliveries.
    pub group: AlertGroup,
    /// The gravest alert it opened with, as it was then: what its mails are called by to the end.
    #[serde(skip)]
    pub opened_with: Option<Alert>,
    /// The diagnosis, once there is one.
    pub report: Option<Report>,
    /// Deliveries that belong to it.
    pub deliveries: u64,
}

/// What an incident begins with.
#[derive(Debug, Clone)]
pub struct NewIncident<'a> {
    /// Its identity.
    pub id: Uuid,
    /// Who sent it.
    pub source: Source,
    /// Hash of the sender's identity for the group.
    pub group_key_hash: &'a str,
    /// When the delivery came.
    pub opened_at: Timestamp,
    /// Its alerts.
    pub group: &'a AlertGroup,
}

/// The last generation of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct LastTime {
    /// As it ended.
    pub incident: Incident,
    /// When its report was found, which may have been generations before; none without a report.
    pub diagnosed_at: Option<Timestamp>,
}

impl Tx<'_> {
    /// The last generation of a group, whatever became of it; none the first time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_time(&mut self, source: Source, group_key_hash: &str) -> Result<Option<LastTime>, StoreError> {
        let query = self
            .query(
                "SELECT id, source, group_key_hash, generation, state, opened_at, updated_at, resolved_at, deliveries,
                        group_json, opened_with, report, diagnosed_at
                 FROM incident WHERE source = $1 AND group_key_hash = $2 ORDER BY generation DESC LIMIT 1",
            )
            .bind(source.to_string())
            .bind(group_key_hash);
        let last = |row: &AnyRow| {
            Ok(LastTime { incident: incident_of(row)?, diagnosed_at: Columns(row).optional_time("diagnosed_at")? })
        };
        self.row("look up the last generation", query).await?.as_ref().map(last).transpose()
    }

    /// The open incident of a group. Until the transaction ends nobody else changes it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_incident(
        &mut self,
        source: Source,
        group_key_hash: &str,
    ) -> Result<Option<Incident>, StoreError> {
        let query = self
            .query(
                "SELECT id, source, group_key_hash, generation, state, opened_at, updated_at, resolved_at, deliveries,
                        group_json, opened_with, report
                 FROM incident WHERE source = $1 AND group_key_hash = $2 AND state = 'open' {locked}",
            )
            .bind(source.to_string())
            .bind(group_key_hash);
        self.row("look up an open incident", query).await?.as_ref().map(incident_of).transpose()
    }

    /// Opens an incident with its first delivery counted, as the next generation of its group.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another delivery opened the same group first: run the transaction again.
    pub async fn insert_incident(&mut self, new: &NewIncident<'_>) -> Result<(), StoreError> {
        let gist = Gist::of(new.group, new.opened_at);
        let at = new.opened_at.as_millisecond();
        let query = self
            .query(
                "INSERT INTO incident (id, source, group_key_hash, generation, state, opened_at, updated_at, deliveries,
                                       group_json, alertname, severity, namespace, firing, opened_with,
                                       gravest, began_at)
                 SELECT $1, $2, $3, COALESCE(MAX(generation), 0) + 1, 'open', $4, $4, 1, $5, $6, $7, $8, $9, $10, $11, $12
                 FROM incident WHERE source = $2 AND group_key_hash = $3",
            )
            .bind(new.id.to_string())
            .bind(new.source.to_string())
            .bind(new.group_key_hash)
            .bind(at)
            .bind(to_json("the alert group", new.group)?)
            .bind(gist.alertname)
            .bind(gist.severity)
            .bind(gist.namespace)
            .bind(gist.firing)
            .bind(new.group.leading().map(|alert| to_json("the opening alert", &alert.by_its_labels())).transpose()?)
            .bind(gist.gravest)
            .bind(gist.began_at);
        self.write("open an incident", query).await.map(drop).map_err(conflict_or)
    }

    /// Counts another delivery of an open incident and keeps the alerts as they stand after it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the incident is not open any more: run the transaction again.
    pub async fn update_group(&mut self, id: Uuid, group: &AlertGroup, at: Timestamp) -> Result<(), StoreError> {
        self.keep_group(id, group, at, IncidentState::Open).await
    }

    /// Counts the delivery that ends an incident.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the incident is not open any more: run the transaction again.
    pub async fn resolve_incident(&mut self, id: Uuid, group: &AlertGroup, at: Timestamp) -> Result<(), StoreError> {
        self.keep_group(id, group, at, IncidentState::Resolved).await
    }

    async fn keep_group(
        &mut self,
        id: Uuid,
        group: &AlertGroup,
        at: Timestamp,
        state: IncidentState,
    ) -> Result<(), StoreError> {
        let gist = Gist::of(group, at);
        let at = at.as_millisecond();
        let query = self
            .query(
                "UPDATE incident SET state = $2, updated_at = $3, resolved_at = $4, deliveries = deliveries + 1,
                        group_json = $5, alertname = $6, severity = $7, namespace = $8, firing = $9, gravest = $10,
                        began_at = $11,
                        over_at = CASE WHEN $12 < COALESCE($11, opened_at) THEN $3 ELSE $12 END
                 WHERE id = $1 AND state = 'open'",
            )
            .bind(id.to_string())
            .bind(state.word())
            .bind(at)
            .bind((state == IncidentState::Resolved).then_some(at))
            .bind(to_json("the alert group", group)?)
            .bind(gist.alertname)
            .bind(gist.severity)
            .bind(gist.namespace)
            .bind(gist.firing)
            .bind(gist.gravest)
            .bind(gist.began_at)
            .bind((state == IncidentState::Resolved).then_some(gist.ended_at));
        match self.write("update an incident", query).await? {
            0 => Err(StoreError::Conflict),
            _ => Ok(()),
        }
    }
}

impl Store {
    /// An incident as it stands now, without what belongs to it; none when there is none of this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incident_alone(&self, id: Uuid) -> Result<Option<Incident>, StoreError> {
        let query = self
            .query(
                "SELECT id, source, group_key_hash, generation, state, opened_at, updated_at, resolved_at, deliveries,
                        group_json, opened_with, report
                 FROM incident WHERE id = $1",
            )
            .bind(id.to_string());
        self.row("read an incident", query).await?.as_ref().map(incident_of).transpose()
    }
}

pub(super) fn incident_of(row: &AnyRow) -> Result<Incident, StoreError> {
    let row = Columns(row);
    Ok(Incident {
        id: row.id("id")?,
        source: row.word("source")?,
        group_key_hash: row.text("group_key_hash")?,
        generation: row.get("generation")?,
        state: row.word("state")?,
        opened_at: row.time("opened_at")?,
        updated_at: row.time("updated_at")?,
        resolved_at: row.optional_time("resolved_at")?,
        group: row.json("group_json")?,
        opened_with: row.optional_json("opened_with")?,
        report: row.optional_json("report")?,
        deliveries: row.count("deliveries")?,
    })
}
