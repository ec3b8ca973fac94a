//! Deliveries: what was received, what was decided about it, and what it changed about its incident's group.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::columns::{Columns, signed, storable, to_json};
use super::{Outcome, StoreError, Tx, conflict_or};
use crate::alert::AlertStatus;
use crate::notify::rule::Applied;

/// What was decided about a delivery: its one end, which people can look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It opened an incident.
    Opened,
    /// Nobody is told of it: the same alerts again, or the end of some while others fire on.
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

/// What a delivery changed about a group that was open already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Alerts that fire anew.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub joined: Named,
    /// Alerts that ended while others fire on.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub ended: Named,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.ended.is_empty()
    }
}

/// Some alerts, a few of them by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Name and object of each, in a line.
    pub alerts: Vec<String>,
    /// How many there are beside these.
    #[serde(default)]
    pub more: usize,
}

impl Named {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.more == 0
    }
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
    /// What it changed about its incident's group.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub changes: Changes,
    /// Its alerts that a message is the first to name; the others were known, or nobody is told of them.
    pub told: usize,
    /// Where those stand; of a delivery that tells nothing: merged or suppressed.
    pub outcome: Outcome,
    /// The message they stand and fall with.
    #[serde(skip)]
    pub telling: Option<String>,
}

impl Tx<'_> {
    /// Keeps what was received and what was decided about it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a delivery of this id is there already.
    pub async fn record_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        let changes = Some(&delivery.changes).filter(|changes| !changes.is_empty());
        let changes = changes.map(|changes| to_json("what a delivery changed", changes)).transpose()?;
        let query = self
            .query(
                "INSERT INTO delivery (id, incident_id, received_at, status, alerts, decision, reason, told, outcome,
                                       telling, rules, changes)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
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
            .bind(words_of(&delivery.rules))
            .bind(changes);
        self.write("record a delivery", query).await.map(drop).map_err(conflict_or)
    }
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
        changes: row.optional_json("changes")?.unwrap_or_default(),
        told: usize::try_from(row.count("told")?).unwrap_or(usize::MAX),
        outcome: row.word("outcome")?,
        telling: row.optional_text("telling")?,
    })
}
