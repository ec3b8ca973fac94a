//! Daily summaries: what they count, and who sends them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use sqlx::any::AnyRow;

use super::columns::{Columns, lease_end, now, storable};
use super::{Store, StoreError};
use crate::notify::notice::{Digest, Line, Tally};

/// Lines of each list: a summary is read in a minute.
const SHOWN: i64 = 8;

impl Store {
    /// What happened between two moments, as a summary of `day`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn digest(&self, day: Date, from: Timestamp, to: Timestamp) -> Result<Digest, StoreError> {
        let (from, to) = (from.as_millisecond(), to.as_millisecond());
        let counts = self
            .query(
                "SELECT COUNT(CASE WHEN opened_at >= $1 AND opened_at < $2 THEN 1 END) AS opened,
                        COUNT(CASE WHEN resolved_at >= $1 AND resolved_at < $2 THEN 1 END) AS resolved,
                        COUNT(CASE WHEN state = 'open' THEN 1 END) AS open_now,
                        COUNT(CASE WHEN opened_at >= $1 AND opened_at < $2 AND verdict = 'fault' THEN 1 END) AS diagnosed,
                        COUNT(CASE WHEN opened_at >= $1 AND opened_at < $2 AND verdict = 'no_fault' THEN 1 END) AS healthy,
                        (SELECT COUNT(*) FROM outbox WHERE state = 'dead') AS put_aside
                 FROM incident WHERE state = 'open' OR updated_at >= $1",
            )
            .bind(from)
            .bind(to);
        let row = self.row("count a day's incidents", counts).await?;
        let count = |name: &str| row.as_ref().map_or(Ok(0), |row| Columns(row).count(name));
        Ok(Digest {
            day: day.to_string(),
            opened: count("opened")?,
            resolved: count("resolved")?,
            open_now: count("open_now")?,
            diagnosed: count("diagnosed")?,
            healthy: count("healthy")?,
            put_aside: count("put_aside")?,
            severities: self.tallies(SEVERITIES, from, to).await?,
            noisiest: self.tallies(NOISIEST, from, to).await?,
            open: self.lines(OPEN, from, to).await?,
            slowest: self.lines(SLOWEST, from, to).await?,
        })
    }

    async fn tallies(&self, text: &'static str, from: i64, to: i64) -> Result<Vec<Tally>, StoreError> {
        let query = self.query(text).bind(from).bind(to).bind(SHOWN);
        self.rows("count a day's incidents", query).await?.iter().map(tally_of).collect()
    }

    async fn lines(&self, text: &'static str, from: i64, to: i64) -> Result<Vec<Line>, StoreError> {
        let query = self.query(text).bind(from).bind(to).bind(SHOWN);
        self.rows("list a day's incidents", query).await?.iter().map(line_of).collect()
    }

    /// Takes a channel's summary of a day for sending: which attempt it is, or none when it was sent, is being sent by
    /// another process, or waits for its next try.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_digest(
        &self,
        channel: &str,
        day: Date,
        by: &str,
        lease: Duration,
    ) -> Result<Option<u32>, StoreError> {
        let query = self
            .query(
                "INSERT INTO digest (channel, day, state, attempt, due_at, leased_by, created_at)
                 VALUES ($1, $2, 'sending', 1, $3, $4, $5)
                 ON CONFLICT (channel, day) DO UPDATE SET
                     attempt = digest.attempt + 1, due_at = excluded.due_at, leased_by = excluded.leased_by
                 WHERE digest.state = 'sending' AND digest.due_at <= $5
                 RETURNING attempt",
            )
            .bind(channel.to_owned())
            .bind(day.to_string())
            .bind(lease_end(lease))
            .bind(by.to_owned())
            .bind(now());
        let row = self.returning("take a daily summary", query).await?;
        row.map(|row| Columns(&row).count("attempt").map(|n| u32::try_from(n).unwrap_or(u32::MAX))).transpose()
    }

    /// Notes what became of an attempt: sent, or to be tried again then, or given up. False when another process took
    /// it over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle_digest(
        &self,
        channel: &str,
        day: Date,
        attempt: u32,
        outcome: Result<(), (&str, Option<Timestamp>)>,
    ) -> Result<bool, StoreError> {
        let (state, due, error) = match outcome {
            Ok(()) => ("sent", now(), None),
            Err((error, Some(again))) => ("sending", again.as_millisecond(), Some(storable(error).into_owned())),
            Err((error, None)) => ("dead", now(), Some(storable(error).into_owned())),
        };
        let query = self
            .query(
                "UPDATE digest SET state = $4, due_at = $5, last_error = $6, leased_by = NULL
                 WHERE channel = $1 AND day = $2 AND attempt = $3 AND state = 'sending'",
            )
            .bind(channel.to_owned())
            .bind(day.to_string())
            .bind(i64::from(attempt))
            .bind(state)
            .bind(due)
            .bind(error);
        Ok(self.write("note what became of a daily summary", query).await? == 1)
    }
}

const SEVERITIES: &str = "SELECT severity AS name, COUNT(*) AS incidents, CAST(SUM(deliveries) AS BIGINT) AS deliveries
     FROM incident WHERE opened_at >= $1 AND opened_at < $2 GROUP BY severity ORDER BY incidents DESC, name LIMIT $3";
const NOISIEST: &str = "SELECT alertname AS name, COUNT(*) AS incidents, CAST(SUM(deliveries) AS BIGINT) AS deliveries
     FROM incident WHERE opened_at >= $1 AND opened_at < $2 GROUP BY alertname
     ORDER BY incidents DESC, deliveries DESC, name LIMIT $3";
const OPEN: &str = "SELECT alertname, severity, namespace, headline, opened_at, resolved_at
     FROM incident WHERE state = 'open' AND opened_at < $2 AND $1 < $2 ORDER BY opened_at, id LIMIT $3";
const SLOWEST: &str = "SELECT alertname, severity, namespace, headline, opened_at, resolved_at
     FROM incident WHERE resolved_at >= $1 AND resolved_at < $2 ORDER BY resolved_at - opened_at DESC, id LIMIT $3";

fn tally_of(row: &AnyRow) -> Result<Tally, StoreError> {
    let row = Columns(row);
    Ok(Tally { name: row.text("name")?, incidents: row.count("incidents")?, deliveries: row.count("deliveries")? })
}

fn line_of(row: &AnyRow) -> Result<Line, StoreError> {
    let row = Columns(row);
    Ok(Line {
        alertname: row.text("alertname")?,
        severity: row.text("severity")?,
        namespace: row.text("namespace")?,
        headline: row.optional_text("headline")?,
        opened_at: row.time("opened_at")?,
        resolved_at: row.optional_time("resolved_at")?,
    })
}
