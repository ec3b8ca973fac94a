//! What another process may read and write in a store beside the service that runs on it: what was found out about
//! models. Nothing is made or migrated for it.

use jiff::Timestamp;
use sqlx::{AnyConnection, ConnectOptions, Connection};
use url::Url;

use super::columns::{Columns, storable};
use super::error::Doing;
use super::models::{KEEP_CAPABILITIES, READ_CAPABILITIES};
use super::{StoreError, open};

/// One connection to a store that is there already. A single row is written at a time, which SQLite's log and
/// PostgreSQL allow beside a running service.
pub struct Beside(AnyConnection);

impl Beside {
    /// Opens what an address names; `None` when there is no store yet.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(url: &str) -> Result<Option<Self>, StoreError> {
        sqlx::any::install_default_drivers();
        match url.split_once(':') {
            Some(("sqlite", path)) => {
                let file = open::resolve(path)?;
                if !file.exists() {
                    return Ok(None);
                }
                let refused = |error: sqlx::Error| open::unreadable(&file.display().to_string(), &error);
                let mut connection = open::sqlite_options(&file)?.connect().await.map_err(refused)?;
                sqlx::raw_sql(open::PATIENT).execute(&mut connection).await.map_err(refused)?;
                Ok(Some(Self(connection)))
            }
            _ => {
                let address: Url = url.parse().map_err(|error| open::unusable("postgres", error, open::SHAPES))?;
                open::dial_postgres(&address).await.map(|connection| Some(Self(connection)))
            }
        }
    }

    /// What was found out about a model, as [`super::Store::capabilities`] has it.
    ///
    /// # Errors
    /// When the database fails, or its tables are older than this.
    pub async fn capabilities(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        let query = sqlx::query(READ_CAPABILITIES).bind(key.to_owned());
        let row = query.fetch_optional(&mut self.0).await.doing("read what a model can do")?;
        row.map(|row| Columns(&row).text("json")).transpose()
    }

    /// Keeps what was found out about a model, as [`super::Store::put_capabilities`] does.
    ///
    /// # Errors
    /// When the database fails, or its tables are older than this.
    pub async fn put_capabilities(&mut self, key: &str, json: &str, at: Timestamp) -> Result<(), StoreError> {
        let query = sqlx::query(KEEP_CAPABILITIES)
            .bind(key.to_owned())
            .bind(at.as_millisecond())
            .bind(storable(json).into_owned());
        query.execute(&mut self.0).await.map(drop).doing("keep what a model can do")
    }

    /// Closes it; a log that only this connection wrote is then part of the file.
    pub async fn close(self) {
        let _ = self.0.close().await;
    }
}
