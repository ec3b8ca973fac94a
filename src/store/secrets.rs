//! Keys that replicas make up for themselves and share.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::columns::Columns;
use super::{Store, StoreError};

impl Store {
    /// The key of this name; when there is none yet, the one that is offered becomes it, for all replicas and restarts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shared_secret(&self, name: &str, offered: &SecretString) -> Result<SecretString, StoreError> {
        let query = self
            .query("INSERT INTO secret (name, value, made_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING")
            .bind(name.to_owned())
            .bind(offered.expose_secret().to_owned())
            .bind(Timestamp::now().as_millisecond());
        self.write("offer a shared key", query).await?;
        let query = self.query("SELECT value FROM secret WHERE name = $1").bind(name.to_owned());
        let row = self.row("read a shared key", query).await?.ok_or(StoreError::Conflict)?;
        Ok(Columns(&row).text("value")?.into())
    }
}
