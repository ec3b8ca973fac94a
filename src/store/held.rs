//! Messages that a rule holds back: when they may go, and that nobody needs them any more when it is over by then.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::columns::{Columns, now};
use super::{Store, StoreError, Tx};
use crate::alert::Source;
use crate::notify::rule::Rule;

/// A first message that is due later than this waits by a rule (quiet hours, maintenance), not for the playbook.
const HELD: Duration = Duration::from_secs(10);

/// The moment from which on what is due is held by a rule.
pub(super) fn held_from() -> i64 {
    now().saturating_add(i64::try_from(HELD.as_millis()).unwrap_or(i64::MAX))
}

impl Store {
    /// How many messages of a channel could go now, counted up to so many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting(&self, channel: &str, most: u32) -> Result<u64, StoreError> {
        let query = self
            .query(
                "SELECT COUNT(*) AS n FROM (SELECT 1 FROM outbox WHERE channel = $1 AND state = 'ready' AND due_at <= $2
                                            LIMIT $3) AS due",
            )
            .bind(channel.to_owned())
            .bind(now())
            .bind(i64::from(most));
        let row = self.row("count waiting messages", query).await?;
        row.map_or(Ok(0), |row| Columns(&row).count("n"))
    }

    /// The channels with messages that were due before then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channels_behind(&self, before: Timestamp) -> Result<Vec<String>, StoreError> {
        let query = self
            .query("SELECT DISTINCT channel FROM outbox WHERE state IN ('ready', 'sending') AND due_at < $1")
            .bind(before.as_millisecond());
        let rows = self.rows("look for messages that nobody sends", query).await?;
        rows.iter().map(|row| Columns(row).text("channel")).collect()
    }
}

impl Tx<'_> {
    /// How often a group began to fire since then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn firings_since(&mut self, source: Source, key: &str, since: Timestamp) -> Result<u64, StoreError> {
        let query = self
            .query("SELECT COUNT(*) AS n FROM incident WHERE source = $1 AND group_key_hash = $2 AND opened_at >= $3")
            .bind(source.to_string())
            .bind(key.to_owned())
            .bind(since.as_millisecond());
        let row = self.row("count how often a group fired", query).await?;
        row.map_or(Ok(0), |row| Columns(&row).count("n"))
    }

    /// How many messages of all channels wait to be delivered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all_waiting(&mut self) -> Result<u64, StoreError> {
        let query = self.query("SELECT COUNT(*) AS n FROM outbox WHERE state IN ('ready', 'sending')");
        let row = self.row("count what waits to be delivered", query).await?;
        row.map_or(Ok(0), |row| Columns(&row).count("n"))
    }

    /// Takes back what an incident's channels were to be told and were not, because a rule held it: it is over before
    /// anybody heard of it. Returns those channels; the alerts in question count as suppressed, for this reason. A message
    /// that waits in its channel's batch for others is told all the same: `batches` says how long those windows are. Where
    /// the first message went out, held ones about alerts that joined are taken back alone: the channel hears of the end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn withdraw_held(
        &mut self,
        incident: Uuid,
        reason: &str,
        batches: &HashMap<String, SignedDuration>,
    ) -> Result<Vec<String>, StoreError> {
        let query = self
            .query(
                "SELECT id, role, channel, due_at FROM outbox
                 WHERE incident_id = $1 AND role IN ('first', 'joined') AND state = 'ready' AND attempt = 0 AND due_at > $2
                 ORDER BY channel {locked}",
            )
            .bind(incident.to_string())
            .bind(held_from());
        let rows = self.rows("look for messages that are held", query).await?;
        let (mut channels, mut joined) = (Vec::new(), Vec::new());
        for row in &rows {
            let (channel, due) = (Columns(row).text("channel")?, Columns(row).time("due_at")?);
            if batches.get(&channel).is_some_and(|window| due <= Timestamp::now() + *window) {
                continue;
            }
            match Columns(row).text("role")?.as_str() {
                "first" => channels.push(channel),
                _ => joined.push(Columns(row).text("id")?),
            }
        }
        for id in &joined {
            let query = self.query("DELETE FROM outbox WHERE id = $1 AND state = 'ready'").bind(id.clone());
            self.write("take a message back", query).await?;
        }
        for channel in &channels {
            let query = self
                .query("DELETE FROM outbox WHERE incident_id = $1 AND channel = $2 AND state = 'ready'")
                .bind(incident.to_string())
                .bind(channel.clone());
            self.write("take messages back", query).await?;
        }
        if !channels.is_empty() || !joined.is_empty() {
            let query = self
                .query(
                    "UPDATE delivery SET outcome = 'suppressed',
                            reason = CASE reason WHEN '' THEN $2 ELSE reason || '; ' || $2 END,
                            rules = CASE rules WHEN '' THEN $3 ELSE rules || ' ' || $3 END
                     WHERE incident_id = $1 AND outcome = 'pending'
                       AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.telling = delivery.telling)",
                )
                .bind(incident.to_string())
                .bind(reason.to_owned())
                .bind(Rule::OverBefore.word());
            self.write("settle deliveries", query).await?;
        }
        Ok(channels)
    }
}
