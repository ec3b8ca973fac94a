//! Signatures of deliveries that were taken: shared by all replicas, so that none takes what another one has.

use jiff::Timestamp;

use super::{Store, StoreError};

impl Store {
    /// Whether a delivery with this signature was taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn signature_taken(&self, signature: &str) -> Result<bool, StoreError> {
        let query = self.query("SELECT 1 FROM taken_signature WHERE signature = $1").bind(signature.to_owned());
        Ok(self.row("look up a signature", query).await?.is_some())
    }

    /// Notes that the delivery with this signature was taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_signature(&self, signature: &str, at: Timestamp) -> Result<(), StoreError> {
        let query = self
            .query(
                "INSERT INTO taken_signature (signature, taken_at) VALUES ($1, $2) ON CONFLICT (signature) DO NOTHING",
            )
            .bind(signature.to_owned())
            .bind(at.as_millisecond());
        self.write("note a signature", query).await.map(drop)
    }

    /// Forgets signatures that were taken before then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_signatures(&self, before: Timestamp) -> Result<u64, StoreError> {
        let query = self.query("DELETE FROM taken_signature WHERE taken_at < $1").bind(before.as_millisecond());
        self.write("forget signatures", query).await
    }
}
