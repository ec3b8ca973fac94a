//! Cards: which message of a channel shows an incident, so that it is changed in place instead of being followed.

use jiff::Timestamp;
use uuid::Uuid;

use super::columns::{Columns, storable};
use super::{Store, StoreError};
use crate::notify::notice::Notice;

/// A message that can be changed in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The platform's id of it.
    pub message: String,
    /// When it was sent: platforms take changes for some days only.
    pub sent_at: Timestamp,
}

/// What a message shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The incident.
    pub incident: Uuid,
    /// Whether it is the incident's card still.
    pub current: bool,
}

impl Store {
    /// The card of an incident on a channel; none when none was sent, or when it went out in a form that cannot change.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn card(&self, incident: Uuid, channel: &str) -> Result<Option<Card>, StoreError> {
        let query = self
            .query("SELECT message_id, sent_at FROM card WHERE incident_id = $1 AND channel = $2")
            .bind(incident.to_string())
            .bind(channel);
        self.row("look up a card", query).await?.map(|row| card_of(&Columns(&row))).transpose()
    }

    /// The card of an incident that is still looked into: nothing that ends the investigation is queued for it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn card_in_progress(&self, incident: Uuid, channel: &str) -> Result<Option<Card>, StoreError> {
        let query = self
            .query(
                "SELECT message_id, sent_at FROM card
                 WHERE incident_id = $1 AND channel = $2
                   AND NOT EXISTS (SELECT 1 FROM outbox
                                   WHERE outbox.incident_id = $1 AND outbox.channel = $2
                                     AND (role IN ('second', 'resolved') OR state IN ('ready', 'sending')))",
            )
            .bind(incident.to_string())
            .bind(channel);
        self.row("look up a card", query).await?.map(|row| card_of(&Columns(&row))).transpose()
    }

    /// What the card of an open incident shows on a channel, of the group as it stands now; none when nothing was sent that
    /// a card shows, or when the incident is over, because its end changes the card.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shown_on_card(&self, incident: Uuid, channel: &str) -> Result<Option<Notice>, StoreError> {
        let query = self
            .query(
                "SELECT notice, group_json FROM outbox JOIN incident ON incident.id = outbox.incident_id
                 WHERE outbox.incident_id = $1 AND channel = $2 AND outbox.state = 'sent'
                   AND role IN ('first', 'second') AND incident.state = 'open'
                 ORDER BY seq DESC LIMIT 1",
            )
            .bind(incident.to_string())
            .bind(channel);
        let Some(row) = self.row("read what a card shows", query).await? else { return Ok(None) };
        let shown: Notice = Columns(&row).json("notice")?;
        Ok(Some(Notice { group: Columns(&row).json("group_json")?, ..shown }))
    }

    /// Incidents whose card waits for an investigation that was given up, some of them: nothing is queued that says so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cards_left_behind(&self, channel: &str) -> Result<Vec<Uuid>, StoreError> {
        let query = self
            .query(
                "SELECT card.incident_id FROM investigation
                 JOIN card ON card.incident_id = investigation.incident_id AND card.channel = $1
                 WHERE investigation.state = 'dead'
                   AND NOT EXISTS (SELECT 1 FROM outbox
                                   WHERE outbox.incident_id = card.incident_id AND outbox.channel = $1
                                     AND role IN ('second', 'resolved'))
                 ORDER BY card.incident_id LIMIT 20",
            )
            .bind(channel);
        let rows = self.rows("look for cards left behind", query).await?;
        rows.iter().map(|row| Columns(row).id("incident_id")).collect()
    }

    /// The incident a card shows, or showed until another took its place; none when the message is no card of ours.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incident_of_card(&self, channel: &str, message: &str) -> Result<Option<Shown>, StoreError> {
        let query = self
            .query(
                "SELECT incident_id, CAST(1 AS BIGINT) AS is_current FROM card WHERE channel = $1 AND message_id = $2
                 UNION ALL SELECT incident_id, CAST(0 AS BIGINT) AS is_current FROM card_before WHERE channel = $1 AND message_id = $2
                 ORDER BY is_current DESC LIMIT 1",
            )
            .bind(channel)
            .bind(storable(message).into_owned());
        let row = self.row("look up a card", query).await?;
        row.map(|row| {
            let row = Columns(&row);
            Ok(Shown { incident: row.id("incident_id")?, current: row.get::<i64>("is_current")? != 0 })
        })
        .transpose()
    }

    /// Keeps the card of an incident on a channel, in the place of an older one, which stays known as that.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_card(&self, incident: Uuid, channel: &str, card: &Card) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let before = tx
            .query(
                "INSERT INTO card_before (channel, message_id, incident_id)
                 SELECT channel, message_id, incident_id FROM card
                 WHERE incident_id = $1 AND channel = $2 AND message_id <> $3
                 ON CONFLICT (channel, message_id) DO NOTHING",
            )
            .bind(incident.to_string())
            .bind(channel.to_owned())
            .bind(card.message.clone());
        tx.write("keep an older card", before).await?;
        let query = tx
            .query(
                "INSERT INTO card (incident_id, channel, message_id, sent_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (incident_id, channel)
                 DO UPDATE SET message_id = excluded.message_id, sent_at = excluded.sent_at",
            )
            .bind(incident.to_string())
            .bind(channel.to_owned())
            .bind(card.message.clone())
            .bind(card.sent_at.as_millisecond());
        tx.write("keep a card", query).await?;
        tx.commit().await
    }

    /// The entity that an incident's card is on a channel; none when it is an ordinary message.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn entity(&self, incident: Uuid, channel: &str) -> Result<Option<String>, StoreError> {
        let query = self
            .query("SELECT entity FROM card_entity WHERE incident_id = $1 AND channel = $2")
            .bind(incident.to_string())
            .bind(channel);
        self.row("look up an entity", query).await?.map(|row| Columns(&row).text("entity")).transpose()
    }

    /// Keeps the entity that an incident's card will be, before it is sent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_entity(&self, incident: Uuid, channel: &str, entity: &str) -> Result<(), StoreError> {
        let query = self
            .query(
                "INSERT INTO card_entity (incident_id, channel, entity) VALUES ($1, $2, $3)
                 ON CONFLICT (incident_id, channel) DO UPDATE SET entity = excluded.entity",
            )
            .bind(incident.to_string())
            .bind(channel)
            .bind(entity);
        self.write("keep an entity", query).await.map(drop)
    }

    /// Forgets the entity of a card that is not there any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_entity(&self, incident: Uuid, channel: &str) -> Result<(), StoreError> {
        let query = self
            .query("DELETE FROM card_entity WHERE incident_id = $1 AND channel = $2")
            .bind(incident.to_string())
            .bind(channel);
        self.write("forget an entity", query).await.map(drop)
    }
}

fn card_of(row: &Columns<'_>) -> Result<Card, StoreError> {
    Ok(Card { message: row.text("message_id")?, sent_at: row.time("sent_at")? })
}
