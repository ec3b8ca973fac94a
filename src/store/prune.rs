//! What has had its time is deleted, in small batches; what still has something to do never is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::columns::Columns;
use super::{Outcome, Query, Store, StoreError, Tx};

/// Incidents deleted in one transaction: senders wait for the writer meanwhile.
const BATCH: i64 = 50;

/// Incidents that are over, and of which nothing waits or runs.
const OVER: &str = "SELECT id FROM incident
     WHERE state = 'resolved' AND resolved_at < $1
       AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.incident_id = incident.id
                       AND outbox.state IN ('ready', 'sending'))
       AND NOT EXISTS (SELECT 1 FROM investigation WHERE investigation.incident_id = incident.id
                       AND investigation.state IN ('ready', 'running'))
     ORDER BY resolved_at, id LIMIT $2 {unclaimed}";

const SUMS_OF_INCIDENT: &str =
    "SELECT outcome, CAST(SUM(told) AS BIGINT) AS told, CAST(SUM(alerts) AS BIGINT) AS alerts
     FROM delivery WHERE incident_id = $1 GROUP BY outcome";

// Deleting says what it deleted: two replicas that prune at once carry no delivery over twice.
const DELETE_OF_NONE: &str = "DELETE FROM delivery WHERE id IN (
         SELECT id FROM delivery WHERE incident_id IS NULL AND received_at < $1 ORDER BY received_at, id LIMIT $2)
     RETURNING outcome, told, alerts";

const DELETE_REPEATS: &str = "DELETE FROM delivery WHERE id IN (
         SELECT id FROM delivery WHERE incident_id = $1 AND decision = 'merged' AND rules <> 'some_ended'
           AND received_at < $2
         ORDER BY received_at, id LIMIT $3)
     RETURNING outcome, told, alerts";

impl Store {
    /// Deletes a few incidents that were over before then, with all that belongs to them; how many. Less than
    /// [`Store::PRUNED_AT_ONCE`] means that no more are to be deleted now.
    ///
    /// # Errors
    /// When the database fails; nothing of the batch is deleted then.
    pub async fn prune(&self, before: Timestamp) -> Result<usize, StoreError> {
        let mut tx = self.begin().await?;
        let query = tx.query(OVER).bind(before.as_millisecond()).bind(BATCH);
        let rows = tx.rows("look for what has had its time", query).await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| Columns(row).id("id")).collect::<Result<_, _>>()?;
        for id in &ids {
            let query = tx.query(SUMS_OF_INCIDENT).bind(id.to_string());
            tx.carry_over(query).await?;
            let query = tx.query("DELETE FROM incident WHERE id = $1").bind(id.to_string());
            tx.write("delete an incident", query).await?;
        }
        tx.commit().await?;
        Ok(ids.len())
    }

    /// How many incidents are deleted at once.
    pub const PRUNED_AT_ONCE: usize = BATCH as usize;

    /// Deletes a few deliveries that led to no incident and came before then; how many. Less than
    /// [`Store::SUPPRESSED_AT_ONCE`] means that no more are to be deleted now.
    ///
    /// # Errors
    /// When the database fails; nothing of the batch is deleted then.
    pub async fn prune_suppressed(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let limit = i64::try_from(Self::SUPPRESSED_AT_ONCE).unwrap_or(i64::MAX);
        let query = tx.query(DELETE_OF_NONE).bind(before.as_millisecond()).bind(limit);
        let deleted = tx.carry_over(query).await?;
        tx.commit().await?;
        Ok(deleted)
    }

    /// Incidents of which more repeats are kept than so many, and from when on those are: an alert that never resolves
    /// repeats for ever.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn repetitive(&self, most: u32) -> Result<Vec<(Uuid, Timestamp)>, StoreError> {
        let query = self
            .query(
                "SELECT id, since FROM (
                     SELECT id, (SELECT received_at FROM delivery WHERE incident_id = incident.id AND decision = 'merged'
                                   AND rules <> 'some_ended'
                                 ORDER BY received_at DESC LIMIT 1 OFFSET $1) AS since
                     FROM incident WHERE state = 'open' AND deliveries > $2) AS open WHERE since IS NOT NULL",
            )
            .bind(i64::from(most.saturating_sub(1)))
            .bind(i64::from(most));
        let rows = self.rows("look for incidents that repeat", query).await?;
        rows.iter().map(|row| Ok((Columns(row).id("id")?, Columns(row).time("since")?))).collect()
    }

    /// Deletes a few repeats of an incident that came before then; how many. The incident goes on counting them.
    ///
    /// # Errors
    /// When the database fails; nothing of the batch is deleted then.
    pub async fn prune_repeats(&self, incident: Uuid, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let query = tx
            .query(DELETE_REPEATS)
            .bind(incident.to_string())
            .bind(before.as_millisecond())
            .bind(i64::try_from(Self::SUPPRESSED_AT_ONCE).unwrap_or(i64::MAX));
        let deleted = tx.carry_over(query).await?;
        tx.commit().await?;
        Ok(deleted)
    }

    /// Deletes what was spent and which summaries were sent on days before this one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_days(&self, before: Date) -> Result<(), StoreError> {
        let query = self.query("DELETE FROM spending WHERE day < $1").bind(before.to_string());
        self.write("delete old spending", query).await?;
        let query = self.query("DELETE FROM digest WHERE day < $1 AND state <> 'sending'").bind(before.to_string());
        self.write("delete old summaries", query).await.map(drop)
    }

    /// How many deliveries without an incident are deleted at once: they are a row each.
    pub const SUPPRESSED_AT_ONCE: u64 = 1_000;

    /// Deletes the tool results of incidents that were over before then; the reports keep their quotations.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_evidence(&self, before: Timestamp) -> Result<u64, StoreError> {
        let query = self
            .query(
                "DELETE FROM evidence WHERE incident_id IN (
                     SELECT id FROM incident WHERE state = 'resolved' AND resolved_at < $1
                       AND EXISTS (SELECT 1 FROM evidence WHERE evidence.incident_id = incident.id)
                     ORDER BY resolved_at, id LIMIT $2)",
            )
            .bind(before.as_millisecond())
            .bind(BATCH);
        self.write("delete tool results", query).await
    }

    /// When the newest of those incidents was over that are more than so many; none when there are not more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn over_beyond(&self, most: u64) -> Result<Option<Timestamp>, StoreError> {
        let query = self
            .query(
                "SELECT resolved_at FROM incident WHERE state = 'resolved' ORDER BY resolved_at DESC LIMIT 1 OFFSET $1",
            )
            .bind(i64::try_from(most).unwrap_or(i64::MAX));
        let row = self.row("count incidents that are over", query).await?;
        row.map(|row| Columns(&row).time("resolved_at")).transpose()
    }
}

impl Tx<'_> {
    /// Adds what became of deliveries to the sums that outlive them; how many rows there were.
    async fn carry_over(&mut self, deliveries: Query<'_>) -> Result<u64, StoreError> {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        let rows = self.rows("sum up deliveries", deliveries).await?;
        for row in &rows {
            let row = Columns(row);
            let (outcome, told, alerts): (Outcome, u64, u64) =
                (row.word("outcome")?, row.count("told")?, row.count("alerts")?);
            let rest = if outcome == Outcome::Suppressed { Outcome::Suppressed } else { Outcome::Merged };
            *sums.entry("accepted".to_owned()).or_default() += alerts;
            *sums.entry(outcome.word().to_owned()).or_default() += told;
            *sums.entry(rest.word().to_owned()).or_default() += alerts - told;
        }
        for (word, alerts) in sums.into_iter().filter(|(_, alerts)| *alerts > 0) {
            let query = self
                .query(
                    "INSERT INTO pruned (word, alerts) VALUES ($1, $2)
                     ON CONFLICT (word) DO UPDATE SET alerts = pruned.alerts + excluded.alerts",
                )
                .bind(word)
                .bind(i64::try_from(alerts).unwrap_or(i64::MAX));
            self.write("carry sums over", query).await?;
        }
        Ok(rows.len() as u64)
    }
}
