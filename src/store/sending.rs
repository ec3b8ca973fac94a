//! Who sends a message: claimed under a lease, in order per incident and channel, sent at least once.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::columns::{Columns, LEFT_BEHIND, millis, now, storable};
use super::outbox::NoticeRole;
use super::{Store, StoreError};
use crate::notify::notice::Notice;

/// The right to send a message, until its lease ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Stays the same over all attempts: the idempotency key for channels that take one.
    pub id: Uuid,
    /// The incident it is about.
    pub incident: Uuid,
    /// Name of the channel.
    pub channel: String,
    /// Which message it is.
    pub role: NoticeRole,
    /// What it tells.
    pub notice: Notice,
    /// 1 the first time. Counts claims, so an older one has lost its lease.
    pub attempt: u32,
    /// Whoever sent it last was killed or hung, so that it may have arrived.
    pub left_behind: bool,
    /// So often in a row another sender ended over it: it may be what ends them.
    pub ends: u32,
    /// When it was claimed at the latest, by a clock that nobody sets. A sender that was frozen since has lost it.
    pub claimed_at: Instant,
}

impl Store {
    /// Takes the next message of a channel that is due and has no unsent one of the same incident before it. Nobody
    /// else gets it before the lease ends. A message this version cannot read is buried, not left in the way.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_notice(
        &self,
        channel: &str,
        worker: &str,
        lease: Duration,
    ) -> Result<Option<Outgoing>, StoreError> {
        loop {
            let asked = Instant::now();
            let Some(row) = self.claim_row(channel, worker, lease).await? else { return Ok(None) };
            match outgoing_of(&row, channel, asked) {
                Ok(outgoing) => return Ok(Some(outgoing)),
                Err(error) => {
                    let (id, attempt) = (Columns(&row).id("id")?, Columns(&row).get("attempt")?);
                    tracing::error!(message = %id, channel, %error, "message buried: it cannot be read");
                    self.bury_unreadable(id, attempt, &error.to_string()).await?;
                }
            }
        }
    }

    /// Takes what is due behind a message that this sender holds, of the same incident and channel, in its order: as long
    /// as it is held nobody else can take them.
    ///
    /// # Errors
    /// When the database fails, or one of them cannot be read; they are free again when their lease ends.
    pub async fn claim_behind(
        &self,
        held: &Outgoing,
        worker: &str,
        lease: Duration,
    ) -> Result<Vec<Outgoing>, StoreError> {
        let query = self
            .query(
                "UPDATE outbox SET state = 'sending', attempt = attempt + 1, due_at = {clock} + $1, leased_by = $2
                 WHERE lane = $3 AND state = 'ready' AND due_at <= $4
                   AND seq < COALESCE((SELECT MIN(seq) FROM outbox later
                                       WHERE later.lane = $3 AND later.state = 'ready' AND later.due_at > $4), seq + 1)
                 RETURNING id, incident_id, role, notice, attempt, seq, last_error, ended",
            )
            .bind(millis(lease))
            .bind(worker.to_owned())
            .bind(format!("{} {}", held.incident, held.channel))
            .bind(now());
        let asked = Instant::now();
        let mut tx = self.begin().await?;
        let mut rows = Vec::new();
        for row in tx.rows("claim the messages behind one", query).await? {
            rows.push((Columns(&row).count("seq")?, outgoing_of(&row, &held.channel, asked)?));
        }
        tx.commit().await?;
        rows.sort_by_key(|(seq, _)| *seq);
        Ok(rows.into_iter().map(|(_, outgoing)| outgoing).collect())
    }

    // Due by the sender's own clock, free again by the one all replicas share; the later of both ends the index's search.
    // Asking for the smallest seq reads one index entry per candidate. The same question as NOT EXISTS makes PostgreSQL,
    // while it has no statistics, join the whole table with itself: 100 ms a claim with 2,000 messages waiting.
    async fn claim_row(&self, channel: &str, worker: &str, lease: Duration) -> Result<Option<AnyRow>, StoreError> {
        let query = self
            .query(
                "UPDATE outbox SET state = 'sending', attempt = attempt + 1, due_at = {clock} + $1, leased_by = $2,
                        last_error = CASE WHEN state = 'sending' THEN $3 ELSE last_error END,
                        ended = CASE WHEN state = 'sending' AND leased_by <> $2 THEN ended + 1 ELSE ended END
                 WHERE id = (SELECT waiting.id FROM outbox waiting
                             WHERE waiting.channel = $4 AND waiting.state IN ('ready', 'sending')
                               AND waiting.due_at <= CASE waiting.state WHEN 'ready' THEN $5 ELSE {clock} END
                               AND waiting.due_at <= (SELECT MAX(at) FROM (SELECT CAST($5 AS BIGINT) AS at
                                                                           UNION ALL SELECT {clock}) AS either)
                               AND waiting.seq = (SELECT MIN(unsent.seq) FROM outbox unsent
                                                  WHERE unsent.lane = waiting.lane
                                                    AND unsent.state IN ('ready', 'sending'))
                             ORDER BY waiting.due_at, waiting.id LIMIT 1 {unclaimed})
                 RETURNING id, incident_id, role, notice, attempt, last_error, ended",
            )
            .bind(millis(lease))
            .bind(worker)
            .bind(LEFT_BEHIND)
            .bind(channel)
            .bind(now());
        self.returning("claim a message", query).await
    }

    /// Notes that a message was accepted, and in which form. False when somebody else holds it now: it may go twice.
    ///
    /// # Errors
    /// When the database fails; the message then goes again when its lease ends.
    pub async fn mark_sent(&self, outgoing: &Outgoing, form: &str) -> Result<bool, StoreError> {
        let query = self
            .query(
                "UPDATE outbox SET state = 'sent', sent_at = $3, form = $4, leased_by = NULL
                 WHERE id = $1 AND state = 'sending' AND attempt = $2",
            )
            .bind(outgoing.id.to_string())
            .bind(i64::from(outgoing.attempt))
            .bind(now())
            .bind(form);
        let mut tx = self.begin().await?;
        let mine = tx.write("mark a message as sent", query).await? == 1;
        if mine {
            tx.settle_sent(outgoing.id).await?;
        }
        tx.commit().await?;
        Ok(mine)
    }

    /// Notes a failed attempt; the message is due again at `at`. False when somebody else holds it now.
    ///
    /// # Errors
    /// When the database fails; the message then goes again when its lease ends.
    pub async fn retry_notice(&self, outgoing: &Outgoing, error: &str, at: Timestamp) -> Result<bool, StoreError> {
        let query = self
            .query(
                "UPDATE outbox SET state = 'ready', due_at = $3, last_error = $4, leased_by = NULL, ended = 0
                 WHERE id = $1 AND state = 'sending' AND attempt = $2",
            )
            .bind(outgoing.id.to_string())
            .bind(i64::from(outgoing.attempt))
            .bind(at.as_millisecond())
            .bind(storable(error).into_owned());
        Ok(self.write("note a failed attempt", query).await? == 1)
    }

    /// Holds a claimed message for another lease, for whoever was held up on the way. False when somebody else holds it now.
    ///
    /// # Errors
    /// When the database fails; the message is free again when its lease ends.
    pub async fn hold_on(&self, outgoing: &mut Outgoing, lease: Duration) -> Result<bool, StoreError> {
        let query = self
            .query("UPDATE outbox SET due_at = {clock} + $3 WHERE id = $1 AND state = 'sending' AND attempt = $2")
            .bind(outgoing.id.to_string())
            .bind(i64::from(outgoing.attempt))
            .bind(millis(lease));
        let asked = Instant::now();
        let held = self.write("hold on to a message", query).await? == 1;
        outgoing.claimed_at = asked;
        Ok(held)
    }

    /// Gives up a message that was claimed and not tried: it is due at once. False when somebody else holds it now.
    ///
    /// # Errors
    /// When the database fails; the message is free again when its lease ends.
    pub async fn put_back(&self, outgoing: &Outgoing) -> Result<bool, StoreError> {
        let query = self
            .query(
                "UPDATE outbox SET state = 'ready', due_at = $3, leased_by = NULL,
                                   last_error = CASE WHEN last_error = $4 THEN NULL ELSE last_error END
                 WHERE id = $1 AND state = 'sending' AND attempt = $2",
            )
            .bind(outgoing.id.to_string())
            .bind(i64::from(outgoing.attempt))
            .bind(now())
            // That it may go twice was counted when it was claimed.
            .bind(LEFT_BEHIND);
        let mine = self.write("put a message back", query).await? == 1;
        if !mine {
            // Whoever holds it now took it from one that was slow, and did not end over it.
            let query = self
                .query("UPDATE outbox SET ended = 0 WHERE id = $1 AND state = 'sending'")
                .bind(outgoing.id.to_string());
            self.write("take back that a sender ended", query).await?;
        }
        Ok(mine)
    }

    /// When [`Store::claim_notice`] can next find something on a channel; past when it can now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_due(&self, channel: &str) -> Result<Option<Timestamp>, StoreError> {
        let query = self
            .query(
                "SELECT CASE waiting.state WHEN 'ready' THEN waiting.due_at ELSE waiting.due_at - {clock} + $2 END AS due_at
                 FROM outbox waiting
                 WHERE waiting.channel = $1 AND waiting.state IN ('ready', 'sending')
                   AND waiting.seq = (SELECT MIN(unsent.seq) FROM outbox unsent
                                      WHERE unsent.lane = waiting.lane
                                        AND unsent.state IN ('ready', 'sending'))
                 ORDER BY waiting.due_at, waiting.id LIMIT 1",
            )
            .bind(channel)
            .bind(now());
        let row = self.row("look for the next message", query).await?;
        row.map_or(Ok(None), |row| Columns(&row).optional_time("due_at"))
    }
}

fn outgoing_of(row: &AnyRow, channel: &str, claimed_at: Instant) -> Result<Outgoing, StoreError> {
    let row = Columns(row);
    Ok(Outgoing {
        id: row.id("id")?,
        incident: row.id("incident_id")?,
        channel: channel.to_owned(),
        role: row.word("role")?,
        notice: row.json("notice")?,
        attempt: u32::try_from(row.count("attempt")?).unwrap_or(u32::MAX),
        left_behind: row.optional_text("last_error")?.is_some_and(|error| error == LEFT_BEHIND),
        ends: u32::try_from(row.count("ended")?).unwrap_or(u32::MAX),
        claimed_at,
    })
}
