//! What was given up: messages, kept with their error, told on another channel and sent again when a person says so; and
//! investigations, made again.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::columns::{Columns, now, storable, to_json};
use super::{IncidentState, NoticeState, Outgoing, Store, StoreError, Tx, conflict_or};
use crate::notify::notice::{Notice, Undelivered};

/// What became of the wish to do something again that was given up and belongs to `Of`: a message to its incident, a daily
/// summary and an investigation to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Revival<Of> {
    /// It waits for its turn.
    Again(Of),
    /// There is none.
    Unknown,
    /// It was not given up.
    NotDead,
    /// It comes too late: a later message of its incident stands there already, and this one would put older news in its
    /// place; or the incident is over.
    Overtaken,
}

impl Store {
    /// Gives a message up: it is kept as dead with its error, and those behind it may go. With `fallback` the same
    /// transaction queues it on that channel, unless that one was told the same anyway. False when somebody else holds
    /// the message now.
    ///
    /// # Errors
    /// When the database fails; the message then goes again when its lease ends.
    pub async fn bury_notice(
        &self,
        outgoing: &Outgoing,
        error: &str,
        fallback: Option<&str>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let mine = tx.give_up(outgoing.id, i64::from(outgoing.attempt), error).await?;
        if mine {
            if let Some(channel) = fallback {
                tx.tell_elsewhere(outgoing, error, channel).await?;
            }
            // After that: alerts whose message goes on elsewhere are not dead.
            tx.settle_dead(outgoing.id).await?;
        }
        tx.commit().await?;
        Ok(mine)
    }

    /// Buries a message that nobody can read, and so nobody can tell elsewhere.
    pub(super) async fn bury_unreadable(&self, id: Uuid, attempt: i64, error: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if tx.give_up(id, attempt, error).await? {
            tx.settle_dead(id).await?;
        }
        tx.commit().await
    }

    /// Puts a message that was given up back into the queue of its channel. On a channel `in_place`, where an incident
    /// is one message, only while no later one of it was sent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn send_again(&self, id: Uuid, in_place: &[String]) -> Result<Revival<Uuid>, StoreError> {
        let mut tx = self.begin().await?;
        let query = tx
            .query(
                "SELECT incident_id, state, channel,
                        (SELECT COUNT(*) FROM outbox later WHERE later.lane = outbox.lane AND later.seq > outbox.seq
                                                             AND later.state = 'sent') AS later
                 FROM outbox WHERE id = $1 {locked}",
            )
            .bind(id.to_string());
        let Some(row) = tx.row("look for a message", query).await? else { return Ok(Revival::Unknown) };
        let row = Columns(&row);
        if row.word::<NoticeState>("state")? != NoticeState::Dead {
            return Ok(Revival::NotDead);
        }
        if row.count("later")? > 0 && in_place.contains(&row.text("channel")?) {
            return Ok(Revival::Overtaken);
        }
        let incident = row.id("incident_id")?;
        tx.revive(id).await?;
        tx.commit().await?;
        Ok(Revival::Again(incident))
    }

    /// Queues the investigation of an incident once more that was given up, and no other: the diagnosis of one that ended well stands in bots and
    /// mails, which cannot change it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revive_investigation(&self, incident: Uuid) -> Result<Revival<()>, StoreError> {
        if self.requeue(incident, "dead").await? {
            return Ok(Revival::Again(()));
        }
        Ok(match self.incident_alone(incident).await?.map(|incident| incident.state) {
            None => Revival::Unknown,
            Some(IncidentState::Open) => Revival::NotDead,
            Some(IncidentState::Resolved) => Revival::Overtaken,
        })
    }
}

impl Tx<'_> {
    /// Marks a message as dead while this attempt still holds it.
    async fn give_up(&mut self, id: Uuid, attempt: i64, error: &str) -> Result<bool, StoreError> {
        let query = self
            .query(
                "UPDATE outbox SET state = 'dead', due_at = $3, last_error = $4, leased_by = NULL
                 WHERE id = $1 AND state = 'sending' AND attempt = $2",
            )
            .bind(id.to_string())
            .bind(attempt)
            .bind(now())
            .bind(storable(error).into_owned());
        Ok(self.write("give a message up", query).await? == 1)
    }

    /// Queues a lost message on another channel, behind what that one is told of the incident. Both carry the same
    /// telling: a channel that has it already is told nothing twice, and alerts are told when either is sent.
    async fn tell_elsewhere(&mut self, lost: &Outgoing, error: &str, channel: &str) -> Result<(), StoreError> {
        let mut notice: Notice = lost.notice.clone();
        notice.undelivered.push(Undelivered { channel: lost.channel.clone(), why: error.to_owned() });
        let query = self
            .query(
                "INSERT INTO outbox (id, incident_id, channel, lane, seq, role, notice, state, due_at, attempt, created_at,
                                     telling)
                 SELECT $1, lost.incident_id, $2, $3,
                        (SELECT COALESCE(MAX(seq), 0) + 1 FROM outbox WHERE lane = $3), lost.role, $4, 'ready', $5, 0, $5,
                        lost.telling
                 FROM outbox lost
                 WHERE lost.id = $6
                   AND NOT EXISTS (SELECT 1 FROM outbox told WHERE told.telling = lost.telling AND told.channel = $2)",
            )
            .bind(Uuid::now_v7().to_string())
            .bind(channel.to_owned())
            .bind(format!("{} {channel}", lost.incident))
            .bind(to_json("the notice", &notice)?)
            .bind(Timestamp::now().as_millisecond())
            .bind(lost.id.to_string());
        self.write("tell a message elsewhere", query).await.map(drop).map_err(conflict_or)
    }

    /// The attempts go on counting: whoever held the message before must not be able to settle it now.
    async fn revive(&mut self, id: Uuid) -> Result<(), StoreError> {
        let query = self
            .query("UPDATE outbox SET state = 'ready', due_at = $2, ended = 0 WHERE id = $1")
            .bind(id.to_string())
            .bind(now());
        self.write("send a message again", query).await?;
        let query = self
            .query(
                "UPDATE delivery SET outcome = 'pending'
                 WHERE outcome = 'dead' AND telling = (SELECT telling FROM outbox WHERE id = $1)",
            )
            .bind(id.to_string());
        self.write("settle deliveries", query).await.map(drop)
    }
}
