//! A clock that went back: what was written while it was ahead must not wait until that time comes again.

use std::time::Duration;

use super::columns::{Columns, millis, now};
use super::{Store, StoreError};

/// What was written later than so far from now was written under a clock that went back since. Clocks of replicas differ
/// by less.
pub(super) const AHEAD: Duration = Duration::from_secs(10);

/// No lease is granted for longer; one that ends later was granted by such a clock.
const LONGEST_LEASE: Duration = Duration::from_secs(60);

const IN_THE_FUTURE: &str = "SELECT
     (SELECT COUNT(*) FROM outbox WHERE state = 'ready' AND created_at > $1)
     + (SELECT COUNT(*) FROM outbox WHERE state = 'sending' AND due_at > {clock} + $2)
     + (SELECT COUNT(*) FROM investigation WHERE state = 'ready' AND created_at > $1)
     + (SELECT COUNT(*) FROM investigation WHERE state = 'running' AND due_at > {clock} + $2) AS n";

impl Store {
    /// Brings what waits back into the present; how much that was, which is nothing while clocks only go forward.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mend_times(&self) -> Result<u64, StoreError> {
        let now = now();
        let (ahead, leased) = (now.saturating_add(millis(AHEAD)), millis(LONGEST_LEASE));
        let query = self.query(IN_THE_FUTURE).bind(ahead).bind(leased);
        let row = self.row("look for times in the future", query).await?;
        let found = row.map_or(Ok(0), |row| Columns(&row).count("n"))?;
        if found == 0 {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        for statement in [
            "UPDATE outbox SET due_at = due_at - (created_at - $2), created_at = $2
             WHERE state = 'ready' AND created_at > $1",
            "UPDATE investigation SET due_at = due_at - (created_at - $2), created_at = $2
             WHERE state = 'ready' AND created_at > $1",
        ] {
            let query = tx.query(statement).bind(ahead).bind(now);
            tx.write("bring what waits into the present", query).await?;
        }
        for statement in [
            "UPDATE outbox SET due_at = {clock} + $2 WHERE state = 'sending' AND due_at > {clock} + $1",
            "UPDATE investigation SET due_at = {clock} + $2 WHERE state = 'running' AND due_at > {clock} + $1",
        ] {
            let query = tx.query(statement).bind(leased).bind(leased / 4);
            tx.write("bring leases into the present", query).await?;
        }
        tx.commit().await?;
        Ok(found)
    }
}
