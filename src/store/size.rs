//! How much the store holds, in bytes, so that it can be kept within a limit.

use super::columns::Columns;
use super::{Engine, Store, StoreError};

/// What grows with alerts, as the rows hold it. PostgreSQL's own sizes of tables do not shrink when rows are deleted. Values
/// that are stored apart count as they are stored, and are not read for it; 300 bytes stand for a row's other columns and
/// its entries in indexes.
const POSTGRES: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes FROM (
     SELECT SUM(300 + pg_column_size(group_json) + COALESCE(pg_column_size(report), 0)) AS bytes FROM incident
     UNION ALL SELECT COUNT(*) * 300 FROM delivery
     UNION ALL SELECT SUM(300 + pg_column_size(arguments) + pg_column_size(text) + COALESCE(pg_column_size(full_text), 0))
               FROM evidence
     UNION ALL SELECT SUM(300 + pg_column_size(recorded)) FROM read_so_far
     UNION ALL SELECT SUM(300 + pg_column_size(notice)) FROM outbox) AS tables";

/// The most that can be, without reading a row.
const POSTGRES_FILES: &str = "SELECT pg_total_relation_size('incident') + pg_total_relation_size('delivery')
     + pg_total_relation_size('evidence') + pg_total_relation_size('outbox')
     + pg_total_relation_size('read_so_far') AS bytes";

/// Pages in use; those that deletions left free are used again before the file grows.
const SQLITE: &str = "SELECT (page_count - freelist_count) * page_size AS bytes
     FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()";

impl Store {
    /// Bytes in use. On PostgreSQL the rows are read for it when its files are larger than `enough`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bytes(&self, enough: u64) -> Result<u64, StoreError> {
        let measure = async |text: &'static str| {
            let row = self.row("measure the store", self.query(text)).await?;
            row.map_or(Ok(0), |row| Columns(&row).count("bytes"))
        };
        match self.0.engine {
            Engine::Sqlite => measure(SQLITE).await,
            Engine::Postgres => match measure(POSTGRES_FILES).await? {
                files if files <= enough => Ok(files),
                _ => measure(POSTGRES).await,
            },
        }
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
