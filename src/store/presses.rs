//! Presses: who pressed which button of a card, when, and what came of it. Each is kept before anything is done.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::columns::{Columns, storable};
use super::{Store, StoreError};

/// What became of a press.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PressState {
    /// It was noted; what it asks for is under way, or the process ended in the middle of it.
    Taken,
    /// What it asks for is done.
    Done,
    /// This person may not, or there is nothing to do.
    Refused,
    /// It could not be done.
    Failed,
}

impl PressState {
    fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// A press as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PressEntry {
    /// The platform's id of the event.
    pub id: String,
    /// Name of the channel.
    pub channel: String,
    /// The platform's id of the message.
    pub message: String,
    /// The platform's id of the person.
    pub person: String,
    /// What was pressed: `silence`, `again`, `useful`, `useless`.
    pub action: String,
    /// What the person wrote beside it.
    pub reason: String,
    /// When.
    pub pressed_at: Timestamp,
    /// What became of it.
    pub state: PressState,
    /// The same in words.
    pub outcome: String,
}

impl Store {
    /// Notes a press before it is acted on. False when an event of this id was noted before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_press(&self, incident: Uuid, press: &PressEntry) -> Result<bool, StoreError> {
        let query = self
            .query(
                "INSERT INTO press (id, incident_id, channel, message_id, person, action, reason, pressed_at, state, outcome)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING",
            )
            .bind(storable(&press.id).into_owned())
            .bind(incident.to_string())
            .bind(press.channel.as_str())
            .bind(storable(&press.message).into_owned())
            .bind(storable(&press.person).into_owned())
            .bind(press.action.as_str())
            .bind(storable(&press.reason).into_owned())
            .bind(press.pressed_at.as_millisecond())
            .bind(press.state.word())
            .bind(storable(&press.outcome).into_owned());
        Ok(self.write("note a press", query).await? == 1)
    }

    /// Notes what became of a press.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_press(&self, id: &str, state: PressState, outcome: &str) -> Result<(), StoreError> {
        let query = self
            .query("UPDATE press SET state = $2, outcome = $3 WHERE id = $1")
            .bind(storable(id).into_owned())
            .bind(state.word())
            .bind(storable(outcome).into_owned());
        self.write("note what became of a press", query).await.map(drop)
    }

    /// All presses on the cards of an incident, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn presses(&self, incident: Uuid) -> Result<Vec<PressEntry>, StoreError> {
        let query = self
            .query(
                "SELECT id, channel, message_id, person, action, reason, pressed_at, state, outcome FROM press
                 WHERE incident_id = $1 ORDER BY pressed_at, id",
            )
            .bind(incident.to_string());
        let rows = self.rows("read presses", query).await?;
        rows.iter()
            .map(|row| {
                let row = Columns(row);
                Ok(PressEntry {
                    id: row.text("id")?,
                    channel: row.text("channel")?,
                    message: row.text("message_id")?,
                    person: row.text("person")?,
                    action: row.text("action")?,
                    reason: row.text("reason")?,
                    pressed_at: row.time("pressed_at")?,
                    state: row.word("state")?,
                    outcome: row.text("outcome")?,
                })
            })
            .collect()
    }
}
