//! Who silences an incident: one of all who press, before whichever replica.

use std::time::Duration;

use uuid::Uuid;

use super::columns::{Columns, millis, storable};
use super::{Store, StoreError};

/// Who has an incident's silence, when it is not free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilencedBy {
    /// The platform's id of the person.
    pub person: String,
    /// Whether the silence is made; it is being made else.
    pub made: bool,
}

impl Store {
    /// Takes the silencing of an incident for a press, for as long as making it may take. Who has it, when somebody does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_silence(
        &self,
        incident: Uuid,
        press: &str,
        person: &str,
        lease: Duration,
    ) -> Result<Option<SilencedBy>, StoreError> {
        let query = self
            .query(
                "INSERT INTO silence (incident_id, press_id, person, made, held_until) VALUES ($1, $2, $3, 0, {now} + $4)
                 ON CONFLICT (incident_id)
                 DO UPDATE SET press_id = excluded.press_id, person = excluded.person, made = 0,
                               held_until = excluded.held_until
                 WHERE silence.held_until <= {now}",
            )
            .bind(incident.to_string())
            .bind(storable(press).into_owned())
            .bind(storable(person).into_owned())
            .bind(millis(lease));
        if self.write("take a silence", query).await? == 1 {
            return Ok(None);
        }
        let query = self.query("SELECT person, made FROM silence WHERE incident_id = $1").bind(incident.to_string());
        let row = self.row("read who silences", query).await?;
        // Given back between the two statements: whoever it was, it was somebody else.
        let nobody = SilencedBy { person: String::new(), made: false };
        row.map_or(Ok(Some(nobody)), |row| {
            let row = Columns(&row);
            Ok(Some(SilencedBy { person: row.text("person")?, made: row.get::<i64>("made")? != 0 }))
        })
    }

    /// Notes that the silence is made, and holds for so long.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_silence(&self, incident: Uuid, press: &str, holds: Duration) -> Result<(), StoreError> {
        let query = self
            .query("UPDATE silence SET made = 1, held_until = {now} + $3 WHERE incident_id = $1 AND press_id = $2")
            .bind(incident.to_string())
            .bind(storable(press).into_owned())
            .bind(millis(holds));
        self.write("keep a silence", query).await.map(drop)
    }

    /// Gives the silencing back: it could not be made.
    ///
    /// # Errors
    /// When the database fails; it is then free when its lease ends.
    pub async fn give_silence_back(&self, incident: Uuid, press: &str) -> Result<(), StoreError> {
        let query = self
            .query("DELETE FROM silence WHERE incident_id = $1 AND press_id = $2 AND made = 0")
            .bind(incident.to_string())
            .bind(storable(press).into_owned());
        self.write("give a silence back", query).await.map(drop)
    }
}
