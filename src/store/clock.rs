//! A clock that went back: what was written while it was ahead must not wait until that time comes again.

use std::time::Duration;

use super::columns::{Columns, millis, now};
use super::{Store, StoreError};

/// What was written later than so far from now was written under a clock that went back since. Clocks of replicas differ
/// by less.
pub(super) const AHEAD: Duration = Duration::from_secs(10);

/// No lease is granted for longer; one that ends later was granted by such a clock.
const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// No daily summary waits longer for its next try: it is given up by then. One that does was put off by such a clock.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

const IN_THE_FUTURE: &str = "SELECT
     (SELECT COUNT(*) FROM outbox WHERE state = 'ready' AND created_at > $1)
     + (SELECT COUNT(*) FROM outbox WHERE state = 'sending' AND due_at > {clock} + $2)
     + (SELECT COUNT(*) FROM investigation WHERE state = 'ready' AND created_at > $1)
     + (SELECT COUNT(*) FROM investigation WHERE state = 'running' AND due_at > {clock} + $2)
     + (SELECT COUNT(*) FROM digest WHERE state = 'sending'
          AND (leased_by IS NOT NULL AND due_at > {now} + $2 OR due_at > {now} + $3
               OR leased_by IS NULL AND created_at > $1)) AS n";

// Whoever holds one has it by the time of day on SQLite, as its lease outlives the process.
const DIGESTS: [&str; 2] = [
    "UPDATE digest SET due_at = {now} + $3 WHERE state = 'sending'
       AND (leased_by IS NOT NULL AND due_at > {now} + $1 OR due_at > {now} + $2)",
    "UPDATE digest SET due_at = due_at - (created_at - $2), created_at = $2
     WHERE state = 'sending' AND leased_by IS NULL AND created_at > $1",
];

impl Store {
    /// Brings what waits back into the present; how much that was, which is nothing while clocks only go forward.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mend_times(&self) -> Result<u64, StoreError> {
        let now = now();
        let (ahead, leased) = (now.saturating_add(millis(AHEAD)), millis(LONGEST_LEASE));
        let waited = millis(LONGEST_WAIT);
        let query = self.query(IN_THE_FUTURE).bind(ahead).bind(leased).bind(waited);
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
        let [far_ahead, ahead_of_us] = DIGESTS;
        let query = tx.query(ahead_of_us).bind(ahead).bind(now);
        tx.write("bring daily summaries into the present", query).await?;
        let query = tx.query(far_ahead).bind(leased).bind(waited).bind(leased / 4);
        tx.write("bring leases of daily summaries into the present", query).await?;
        tx.commit().await?;
        Ok(found)
    }
}
