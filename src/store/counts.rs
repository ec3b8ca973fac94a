//! Counts for metrics and health: what waits, what runs, what was given up.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::any::AnyRow;

use super::columns::Columns;
use super::{Decision, InvestigationState, NoticeState, Store, StoreError};

/// What waits, runs and was given up, for metrics and health.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Investigations that wait.
    pub investigations_pending: u64,
    /// Investigations a worker holds.
    pub investigations_running: u64,
    /// Investigations given up.
    pub investigations_dead: u64,
    /// Messages per channel.
    pub outbox: BTreeMap<String, ChannelCounts>,
    /// Incidents that go on.
    pub incidents_open: u64,
    /// Deliveries per decision; a decision that was never made is missing.
    pub deliveries: BTreeMap<Decision, u64>,
}

/// Messages of one channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ChannelCounts {
    /// Those that wait or are being sent.
    pub pending: u64,
    /// Those given up, lost daily summaries among them.
    pub dead: u64,
}

impl Store {
    /// What waits, runs and was given up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let mut counts = Counts::default();
        let investigations =
            self.query("SELECT state, COUNT(*) AS n FROM investigation WHERE state <> 'done' GROUP BY state");
        for row in self.rows("count investigations", investigations).await? {
            let (row, n) = counted(&row)?;
            match row.word("state")? {
                InvestigationState::Ready => counts.investigations_pending = n,
                InvestigationState::Running => counts.investigations_running = n,
                InvestigationState::Dead => counts.investigations_dead = n,
                InvestigationState::Done | InvestigationState::Cancelled => {}
            }
        }
        let outbox = self
            .query("SELECT channel, state, COUNT(*) AS n FROM outbox WHERE state <> 'sent' GROUP BY channel, state");
        for row in self.rows("count messages", outbox).await? {
            let (row, n) = counted(&row)?;
            let channel = counts.outbox.entry(row.text("channel")?).or_default();
            match row.word("state")? {
                NoticeState::Ready | NoticeState::Sending => channel.pending += n,
                NoticeState::Dead => channel.dead += n,
                NoticeState::Sent => {}
            }
        }
        for lost in self.undelivered_digests().await? {
            counts.outbox.entry(lost.channel).or_default().dead += 1;
        }
        let open = self.query("SELECT COUNT(*) AS n FROM incident WHERE state = 'open'");
        counts.incidents_open =
            self.row("count incidents", open).await?.map_or(Ok(0), |row| Columns(&row).count("n"))?;
        let deliveries = self.query("SELECT decision, COUNT(*) AS n FROM delivery GROUP BY decision");
        for row in self.rows("count deliveries", deliveries).await? {
            let (row, n) = counted(&row)?;
            counts.deliveries.insert(row.word("decision")?, n);
        }
        Ok(counts)
    }
}

fn counted(row: &AnyRow) -> Result<(Columns<'_>, u64), StoreError> {
    let row = Columns(row);
    let n = row.count("n")?;
    Ok((row, n))
}
