//! The outbox: messages to people, in order per incident and channel.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::columns::{Columns, now, to_json};
use super::held::held_from;
use super::{Store, StoreError, Tx, conflict_or};
use crate::notify::notice::Notice;

/// Which of an incident's messages a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeRole {
    /// The alert itself, with what is known at once.
    First,
    /// Further alerts that came after the first message had gone.
    Joined,
    /// A diagnosis that adds to the first message.
    Second,
    /// The incident is over.
    Resolved,
}

impl NoticeRole {
    /// The word used in the database and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Joined => "joined",
            Self::Second => "second",
            Self::Resolved => "resolved",
        }
    }
}

/// A message to put into the outbox.
#[derive(Debug, Clone)]
pub struct NewNotice<'a> {
    /// The incident it is about.
    pub incident: Uuid,
    /// Name of the configured channel.
    pub channel: &'a str,
    /// Which message it is.
    pub role: NoticeRole,
    /// The same for this message on all its channels, and for the deliveries whose alerts it is the first to name.
    pub telling: Uuid,
    /// What it tells.
    pub notice: &'a Notice,
    /// When it may go.
    pub due: Timestamp,
}

impl Tx<'_> {
    /// Puts a message into the outbox, behind those of the same incident and channel. Returns its id.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another transaction queued one for both at this moment.
    pub async fn enqueue_notice(&mut self, new: &NewNotice<'_>) -> Result<Uuid, StoreError> {
        let id = Uuid::now_v7();
        let query = self
            .query(
                "INSERT INTO outbox (id, incident_id, channel, lane, seq, role, notice, state, due_at, attempt, created_at,
                                     telling)
                 SELECT $1, $2, $3, $4, COALESCE(MAX(seq), 0) + 1, $5, $6, 'ready', $7, 0, $8, $9
                 FROM outbox WHERE lane = $4",
            )
            .bind(id.to_string())
            .bind(new.incident.to_string())
            .bind(new.channel)
            .bind(format!("{} {}", new.incident, new.channel))
            .bind(new.role.word())
            .bind(to_json("the notice", new.notice)?)
            .bind(new.due.as_millisecond())
            .bind(now())
            .bind(new.telling.to_string());
        self.write("queue a message", query).await.map_err(conflict_or)?;
        Ok(id)
    }

    /// Replaces what a waiting message tells. One that was never tried may go from `due` on, and never later than it
    /// might before; one that waits after a failed attempt keeps its pace, and one that a rule holds back keeps its time.
    pub(super) async fn rewrite(&mut self, id: Uuid, notice: &Notice, due: Option<i64>) -> Result<(), StoreError> {
        let query = self
            .query(
                "UPDATE outbox SET notice = $2,
                                   due_at = CASE WHEN attempt = 0 AND due_at <= $4 AND due_at > $3 THEN $3 ELSE due_at END
                 WHERE id = $1 AND state = 'ready'",
            )
            .bind(id.to_string())
            .bind(to_json("the notice", notice)?)
            .bind(due)
            .bind(held_from());
        self.write("rewrite a message", query).await.map(drop)
    }
}

impl Store {
    /// Lets a message that was held back go, after `enrich` has added to it on every channel where it neither was sent nor
    /// is being sent, and has said when it may go there. Returns those channels: the others have the message as it was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release_notice(
        &self,
        incident: Uuid,
        role: NoticeRole,
        mut enrich: impl FnMut(&str, &mut Notice) -> Timestamp + Send,
    ) -> Result<Vec<String>, StoreError> {
        let mut tx = self.begin().await?;
        let query = tx
            .query(
                "SELECT id, channel, notice FROM outbox
                 WHERE incident_id = $1 AND role = $2 AND state = 'ready' ORDER BY channel {locked}",
            )
            .bind(incident.to_string())
            .bind(role.word());
        let mut released = Vec::new();
        for row in tx.rows("read waiting messages", query).await? {
            let row = Columns(&row);
            let mut notice: Notice = row.json("notice")?;
            let channel = row.text("channel")?;
            let due = enrich(&channel, &mut notice);
            tx.rewrite(row.id("id")?, &notice, Some(due.as_millisecond())).await?;
            released.push(channel);
        }
        tx.commit().await?;
        Ok(released)
    }
}
