//! Who was called by name, and when: counted by all replicas together, and kept over restarts.

use std::time::Duration;

use uuid::Uuid;

use super::columns::millis;
use super::{Store, StoreError};

impl Store {
    /// Takes the call of one person on a channel: true when nobody called them within `quiet`, nor is about to. It is
    /// taken for `lease`, and by the same caller as often as it likes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_call(
        &self,
        channel: &str,
        person: &str,
        caller: Uuid,
        lease: Duration,
        quiet: Duration,
    ) -> Result<bool, StoreError> {
        let query = self
            .query(
                // What is farther away than it can be was written by a clock that was wrong.
                "INSERT INTO called (channel, person, caller, quiet_until) VALUES ($1, $2, $3, {now} + $4)
                 ON CONFLICT (channel, person)
                 DO UPDATE SET caller = excluded.caller, quiet_until = excluded.quiet_until
                 WHERE called.quiet_until <= {now} OR called.quiet_until > {now} + $5 OR called.caller = excluded.caller",
            )
            .bind(channel)
            .bind(person)
            .bind(caller.to_string())
            .bind(millis(lease))
            .bind(millis(quiet.max(lease)));
        Ok(self.write("take a call", query).await? == 1)
    }

    /// Notes that a person was called: nobody calls them again for so long.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_call(&self, channel: &str, person: &str, quiet: Duration) -> Result<(), StoreError> {
        let query = self
            .query("UPDATE called SET caller = '', quiet_until = {now} + $3 WHERE channel = $1 AND person = $2")
            .bind(channel)
            .bind(person)
            .bind(millis(quiet));
        self.write("note a call", query).await.map(drop)
    }

    /// Gives a call back that reached nobody.
    ///
    /// # Errors
    /// When the database fails; it is then free when its lease ends.
    pub async fn give_call_back(&self, channel: &str, person: &str, caller: Uuid) -> Result<(), StoreError> {
        let query = self
            .query("DELETE FROM called WHERE channel = $1 AND person = $2 AND caller = $3")
            .bind(channel)
            .bind(person)
            .bind(caller.to_string());
        self.write("give a call back", query).await.map(drop)
    }
}
