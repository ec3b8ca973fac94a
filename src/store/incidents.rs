//! Incidents and the deliveries they are made of: what the receive transaction reads and writes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::columns::{Columns, signed, storable, to_json};
use super::{Outcome, StoreError, Tx, conflict_or};
use crate::alert::{AlertGroup, AlertStatus, Source};
use crate::notify::rule::Applied;
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

/// What was decided about a delivery: its one end, which people can look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It opened an incident.
    Opened,
    /// It told an open incident nothing new.
    Merged,
    /// It brought further alerts to an open incident.
    Joined,
    /// It resolved an incident.
    Resolved,
    /// A rule dropped it, or it resolved what was never seen.
    Suppressed,
}

impl Decision {
    /// Every decision, for metrics that start at zero.
    pub const ALL: [Self; 5] = [Self::Opened, Self::Merged, Self::Joined, Self::Resolved, Self::Suppressed];

    /// The word used in the database and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Merged => "merged",
            Self::Joined => "joined",
            Self::Resolved => "resolved",
            Self::Suppressed => "suppressed",
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

/// One accepted webhook call, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Identity in logs and answers.
    pub id: Uuid,
    /// The incident it belongs to; none when it was suppressed.
    pub incident: Option<Uuid>,
    /// When it came.
    pub received_at: Timestamp,
    /// What its sender said of the group.
    pub status: AlertStatus,
    /// How many alerts it held.
    pub alerts: usize,
    /// What was decided.
    pub decision: Decision,
    /// Why, in a sentence for people.
    pub reason: String,
    /// The rules it was decided by.
    pub rules: Vec<Applied>,
    /// Its alerts that a message is the first to name; the others were known, or nobody is told of them.
    pub told: usize,
    /// Where those stand; of a delivery that tells nothing: merged or suppressed.
    pub outcome: Outcome,
    /// The message they stand and fall with.
    #[serde(skip)]
    pub telling: Option<String>,
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
                        group_json, report, diagnosed_at
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
                        group_json, report
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
        let gist = Gist::of(new.group);
        let at = new.opened_at.as_millisecond();
        let query = self
            .query(
                "INSERT INTO incident (id, source, group_key_hash, generation, state, opened_at, updated_at, deliveries,
                                       group_json, alertname, severity, namespace, firing)
                 SELECT $1, $2, $3, COALESCE(MAX(generation), 0) + 1, 'open', $4, $4, 1, $5, $6, $7, $8, $9
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
            .bind(gist.firing);
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
        let gist = Gist::of(group);
        let at = at.as_millisecond();
        let query = self
            .query(
                "UPDATE incident SET state = $2, updated_at = $3, resolved_at = $4, deliveries = deliveries + 1,
                        group_json = $5, alertname = $6, severity = $7, namespace = $8, firing = $9
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
            .bind(gist.firing);
        match self.write("update an incident", query).await? {
            0 => Err(StoreError::Conflict),
            _ => Ok(()),
        }
    }

    /// Keeps what was received and what was decided about it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a delivery of this id is there already.
    pub async fn record_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        let query = self
            .query(
                "INSERT INTO delivery (id, incident_id, received_at, status, alerts, decision, reason, told, outcome,
                                       telling, rules)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            )
            .bind(delivery.id.to_string())
            .bind(delivery.incident.map(|id| id.to_string()))
            .bind(delivery.received_at.as_millisecond())
            .bind(match delivery.status {
                AlertStatus::Firing => "firing",
                AlertStatus::Resolved => "resolved",
            })
            .bind(signed(delivery.alerts))
            .bind(delivery.decision.word())
            .bind(storable(&delivery.reason).into_owned())
            .bind(signed(delivery.told))
            .bind(delivery.outcome.word())
            .bind(delivery.telling.as_deref())
            .bind(words_of(&delivery.rules));
        self.write("record a delivery", query).await.map(drop).map_err(conflict_or)
    }
}

/// What a list of incidents shows of a group.
struct Gist {
    alertname: String,
    severity: String,
    namespace: String,
    firing: i64,
}

impl Gist {
    fn of(group: &AlertGroup) -> Self {
        let label = |key| group.leading().and_then(|alert| alert.label(key)).unwrap_or_default();
        Self {
            alertname: storable(group.leading().map_or("", |alert| alert.name())).into_owned(),
            severity: storable(label("severity")).into_owned(),
            namespace: storable(label("namespace")).into_owned(),
            firing: signed(group.firing().count()),
        }
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
        report: row.optional_json("report")?,
        deliveries: row.count("deliveries")?,
    })
}

fn words_of(rules: &[Applied]) -> String {
    rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// What a later version wrote and this one does not know is left out: the sentence beside it says the same.
pub(super) fn rules_of(words: &str) -> Vec<Applied> {
    words.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

pub(super) fn delivery_of(row: &AnyRow) -> Result<Delivery, StoreError> {
    let row = Columns(row);
    let incident = row.optional_text("incident_id")?.map(|id| id.parse()).transpose();
    Ok(Delivery {
        id: row.id("id")?,
        incident: incident.map_err(|error: uuid::Error| StoreError::content("column incident_id", error))?,
        received_at: row.time("received_at")?,
        status: row.word("status")?,
        alerts: usize::try_from(row.count("alerts")?).unwrap_or(usize::MAX),
        decision: row.word("decision")?,
        reason: row.text("reason")?,
        rules: rules_of(&row.text("rules")?),
        told: usize::try_from(row.count("told")?).unwrap_or(usize::MAX),
        outcome: row.word("outcome")?,
        telling: row.optional_text("telling")?,
    })
}
