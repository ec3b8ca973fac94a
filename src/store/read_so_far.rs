//! What an investigation under way has read so far: whoever takes it up after its process died goes on from there.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::columns::{Columns, millis, to_json};
use super::{Claim, Store, StoreError, Tx};
use crate::toolbox::evidence::Recorded;

/// What was kept longer ago is read anew, because a cluster changes: longer than a lease and a restart take, shorter than
/// a diagnosis may be late.
const FRESH: Duration = Duration::from_secs(600);

impl Tx<'_> {
    pub(super) async fn forget_what_was_read(&mut self, incident: Uuid) -> Result<(), StoreError> {
        let query = self.query("DELETE FROM read_so_far WHERE incident_id = $1").bind(incident.to_string());
        self.write("forget what was read", query).await.map(drop)
    }
}

impl Store {
    /// Keeps what was read, beside what was kept before, until the investigation ends. False, and nothing kept, when
    /// somebody else holds the investigation now.
    ///
    /// # Errors
    /// When the database fails; the investigation goes on without.
    pub async fn keep_what_was_read(&self, claim: &Claim, recorded: &[Arc<Recorded>]) -> Result<bool, StoreError> {
        let recorded: Vec<&Recorded> = recorded.iter().map(Arc::as_ref).collect();
        // JSON writes NUL in letters, so both databases take it as it is.
        let recorded = to_json("what was read", &recorded)?;
        let query = self
            .query(
                "INSERT INTO read_so_far (incident_id, part, recorded, kept_at)
                 SELECT incident_id, (SELECT COUNT(*) FROM read_so_far WHERE incident_id = $1), $3, {now}
                 FROM investigation WHERE incident_id = $1 AND state = 'running' AND fence = $2",
            )
            .bind(claim.incident.id.to_string())
            .bind(claim.fence)
            .bind(recorded);
        Ok(self.write("keep what was read", query).await? == 1)
    }

    /// Deletes what is too old to be gone on from: what was given up, or is over, has nobody who would read it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_what_was_read(&self) -> Result<u64, StoreError> {
        let query = self.query("DELETE FROM read_so_far WHERE kept_at <= {now} - $1").bind(millis(FRESH));
        self.write("delete what was read long ago", query).await
    }

    /// What an earlier attempt at an investigation read within the last ten minutes, in the order it was kept.
    ///
    /// # Errors
    /// When the database fails, or another version wrote it.
    pub async fn what_was_read(&self, claim: &Claim) -> Result<Vec<Recorded>, StoreError> {
        let query = self
            .query("SELECT recorded FROM read_so_far WHERE incident_id = $1 AND kept_at > {now} - $2 ORDER BY part")
            .bind(claim.incident.id.to_string())
            .bind(millis(FRESH));
        let rows = self.rows("read what was read", query).await?;
        let parts = rows.iter().map(|row| Columns(row).json::<Vec<Recorded>>("recorded"));
        parts.collect::<Result<Vec<_>, _>>().map(|parts| parts.into_iter().flatten().collect())
    }
}
