//! Incidents with one cause: the first that shows it investigates it, for all replicas, and the others follow.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::columns::{Columns, storable};
use super::{Store, StoreError, Tx};

/// An incident that shares its cause with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// Its id.
    pub incident: Uuid,
    /// What its alert is about, for people.
    pub title: String,
}

impl Store {
    /// Whom an incident leaves its cause to; none when it leads itself. `title` is what its own alert is about. Who
    /// leads since before `stale`, or is over, leads no more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lead_or_follow(
        &self,
        key: &str,
        incident: Uuid,
        title: &str,
        now: Timestamp,
        stale: Timestamp,
    ) -> Result<Option<Sharing>, StoreError> {
        let mut tx = self.begin().await?;
        let query = tx
            .query(
                "INSERT INTO cause (cause_key, incident_id, title, since) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (cause_key) DO UPDATE
                 SET incident_id = excluded.incident_id, title = excluded.title, since = excluded.since
                 WHERE cause.incident_id = excluded.incident_id OR cause.since < $5
                    OR NOT EXISTS (SELECT 1 FROM incident WHERE incident.id = cause.incident_id AND incident.state = 'open')",
            )
            .bind(key.to_owned())
            .bind(incident.to_string())
            .bind(storable(title).into_owned())
            .bind(now.as_millisecond())
            .bind(stale.as_millisecond());
        tx.write("lead a cause", query).await?;
        let query = tx.query("SELECT incident_id, title FROM cause WHERE cause_key = $1").bind(key.to_owned());
        let row = tx.row("read who leads a cause", query).await?.ok_or(StoreError::Conflict)?;
        let leader = Sharing { incident: Columns(&row).id("incident_id")?, title: Columns(&row).text("title")? };
        if leader.incident == incident {
            tx.commit().await?;
            return Ok(None);
        }
        tx.follow(incident, &leader, title, now).await?;
        tx.commit().await?;
        Ok(Some(leader))
    }

    /// The incidents that follow one, the first ones first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn followers(&self, leader: Uuid) -> Result<Vec<Sharing>, StoreError> {
        let query = self
            .query("SELECT incident_id, title FROM follower WHERE leader_id = $1 ORDER BY since, incident_id")
            .bind(leader.to_string());
        let rows = self.rows("read who follows an incident", query).await?;
        let of = |row: &AnyRow| {
            let row = Columns(row);
            Ok(Sharing { incident: row.id("incident_id")?, title: row.text("title")? })
        };
        rows.iter().map(of).collect()
    }
}

impl Tx<'_> {
    async fn follow(
        &mut self,
        incident: Uuid,
        leader: &Sharing,
        title: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let query = self
            .query(
                "INSERT INTO follower (incident_id, leader_id, title, since) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (incident_id) DO UPDATE SET leader_id = excluded.leader_id, since = excluded.since",
            )
            .bind(incident.to_string())
            .bind(leader.incident.to_string())
            .bind(storable(title).into_owned())
            .bind(now.as_millisecond());
        self.write("follow an incident", query).await.map(drop)
    }
}
