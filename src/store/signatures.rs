//! Signatures of deliveries that were taken: shared by all replicas, so that none takes what another one has.

use std::time::Duration;

use jiff::Timestamp;

use super::columns::millis;
use super::{Store, StoreError};

/// Whose a signature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// That of whoever asked, until it is taken or given back.
    Ours,
    /// A delivery with it is being taken at this moment.
    Anothers,
    /// A delivery with it was taken.
    Taken,
}

impl Store {
    /// Holds a signature for its delivery before that is looked into: of many at once one holds it. Held for so long, in
    /// case that whoever holds it dies: the delivery was not taken then, and its sender comes again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hold_signature(&self, signature: &str, at: Timestamp, lease: Duration) -> Result<Hold, StoreError> {
        let query = self
            .query(
                "INSERT INTO taken_signature (signature, taken_at, held_until) VALUES ($1, $2, {now} + $3)
                 ON CONFLICT (signature) DO UPDATE SET taken_at = excluded.taken_at, held_until = excluded.held_until
                 WHERE taken_signature.held_until <= {now} OR taken_signature.held_until > {now} + $3",
            )
            .bind(signature.to_owned())
            .bind(at.as_millisecond())
            .bind(millis(lease));
        if self.write("hold a signature", query).await? == 1 {
            return Ok(Hold::Ours);
        }
        let taken = self
            .query("SELECT 1 FROM taken_signature WHERE signature = $1 AND held_until IS NULL")
            .bind(signature.to_owned());
        let is_taken = self.row("look up a signature", taken).await?.is_some();
        Ok(if is_taken { Hold::Taken } else { Hold::Anothers })
    }

    /// Notes that the delivery with a held signature was taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_signature(&self, signature: &str) -> Result<(), StoreError> {
        let query =
            self.query("UPDATE taken_signature SET held_until = NULL WHERE signature = $1").bind(signature.to_owned());
        self.write("note a signature", query).await.map(drop)
    }

    /// Gives back a held signature whose delivery was not taken: its sender may come again with it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_back_signature(&self, signature: &str) -> Result<(), StoreError> {
        let query = self
            .query("DELETE FROM taken_signature WHERE signature = $1 AND held_until IS NOT NULL")
            .bind(signature.to_owned());
        self.write("give back a signature", query).await.map(drop)
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
