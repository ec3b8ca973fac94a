//! How much the store holds, in bytes, so that it can be kept within a limit.

use super::columns::Columns;
use super::{Engine, Store, StoreError};

/// What grows with alerts. PostgreSQL's own sizes of tables do not shrink when rows are deleted, so the rows are summed
/// up; values stored apart count as they are stored, and are not read for it.
const POSTGRES: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes FROM (
     SELECT SUM(pg_column_size(incident.*)) AS bytes FROM incident
     UNION ALL SELECT SUM(pg_column_size(delivery.*)) FROM delivery
     UNION ALL SELECT SUM(pg_column_size(evidence.*)) FROM evidence
     UNION ALL SELECT SUM(pg_column_size(outbox.*)) FROM outbox) AS tables";

/// Pages in use; those that deletions left free are used again before the file grows.
const SQLITE: &str = "SELECT (page_count - freelist_count) * page_size AS bytes
     FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()";

impl Store {
    /// Bytes in use.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bytes(&self) -> Result<u64, StoreError> {
        let query = match self.0.engine {
            Engine::Sqlite => self.query(SQLITE),
            Engine::Postgres => self.query(POSTGRES),
        };
        let row = self.row("measure the store", query).await?;
        row.map_or(Ok(0), |row| Columns(&row).count("bytes"))
    }

    /// How many incidents are over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incidents_over(&self) -> Result<u64, StoreError> {
        let query = self.query("SELECT COUNT(*) AS n FROM incident WHERE state = 'resolved'");
        let row = self.row("count incidents that are over", query).await?;
        row.map_or(Ok(0), |row| Columns(&row).count("n"))
    }
}
