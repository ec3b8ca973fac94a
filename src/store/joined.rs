//! Alerts that join a group while its messages wait: what they travel with, and what must not stand before them.

use jiff::Timestamp;
use uuid::Uuid;

use super::columns::Columns;
use super::held::held_from;
use super::{NoticeRole, NoticeState, StoreError, Tx};
use crate::alert::AlertGroup;
use crate::notify::notice::Notice;

/// Where an incident's first message stands.
#[derive(Debug, Default)]
pub struct Firsts {
    /// Channels where it waits and now carries more.
    pub carry: Vec<String>,
    /// Channels where it was sent, is being sent, can never be, or must not carry more.
    pub gone: Vec<String>,
    /// What those that carry more stand and fall with.
    pub telling: Option<String>,
}

/// A message of an incident on one channel.
struct Message {
    id: Uuid,
    channel: String,
    role: NoticeRole,
    state: NoticeState,
    telling: String,
    /// What it tells, where it is the first one and waits: of the others nothing is rewritten.
    waiting: Option<Notice>,
}

impl Message {
    fn waits(&self) -> bool {
        self.waiting.is_some()
    }
}

impl Tx<'_> {
    /// Lets alerts that come late travel with the first message on the channels where that still waits, and says where it
    /// does not. `due` is when a channel is to hear of these alerts, none where it need not: a rule holds no message longer.
    ///
    /// They stand and fall with exactly the messages that name them. Where the same message may still come to its end on
    /// another channel without them, they travel with none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn carry_with_first(
        &mut self,
        incident: Uuid,
        group: &AlertGroup,
        due: impl Fn(&str) -> Option<Timestamp>,
    ) -> Result<Firsts, StoreError> {
        let all = self.messages(incident).await?;
        let firsts: Vec<&Message> = all.iter().filter(|message| message.role == NoticeRole::First).collect();
        let channels = |of: &[&Message]| of.iter().map(|first| first.channel.clone()).collect();
        let (waiting, gone): (Vec<&Message>, Vec<&Message>) = firsts.iter().partition(|first| first.waits());
        let Some(leading) = waiting.first() else { return Ok(Firsts { gone: channels(&gone), ..Firsts::default() }) };
        // Of whatever role: channels that heard of a group are told of what joins in a message of another one.
        let beside = |first: &Message| all.iter().filter(|other| other.telling == first.telling).collect::<Vec<_>>();
        let told = |first: &Message| beside(first).iter().any(|other| other.state == NoticeState::Sent);
        let whole = |first: &Message| beside(first).iter().all(|other| other.waits());
        if !waiting.iter().all(|first| told(first) || whole(first)) {
            return Ok(Firsts { gone: channels(&firsts), ..Firsts::default() });
        }
        let one = waiting.iter().all(|first| first.telling == leading.telling) && whole(leading);
        let telling = if one { leading.telling.clone() } else { Uuid::now_v7().to_string() };
        for (first, notice) in waiting.iter().filter_map(|first| Some((first, first.waiting.as_ref()?))) {
            if !told(first) && first.telling != telling {
                self.move_deliveries(&first.telling, &telling).await?;
            }
            self.rewrite(first.id, &Notice { group: group.clone(), ..notice.clone() }, None).await?;
            self.stand_with(first.id, &telling).await?;
            if let Some(due) = due(&first.channel) {
                self.hurry(incident, &first.channel, due).await?;
            }
        }
        Ok(Firsts { carry: channels(&waiting), gone: channels(&gone), telling: Some(telling) })
    }

    async fn messages(&mut self, incident: Uuid) -> Result<Vec<Message>, StoreError> {
        let query = self
            .query(
                "SELECT id, channel, role, state, telling, notice FROM outbox
                 WHERE incident_id = $1 ORDER BY channel, seq {locked}",
            )
            .bind(incident.to_string());
        let rows = self.rows("read the messages of an incident", query).await?;
        let message = |row| {
            let row = Columns(row);
            let (role, state) = (row.word("role")?, row.word("state")?);
            let waits = (role, state) == (NoticeRole::First, NoticeState::Ready);
            Ok(Message {
                id: row.id("id")?,
                channel: row.text("channel")?,
                role,
                state,
                telling: row.text("telling")?,
                waiting: waits.then(|| row.json("notice")).transpose()?,
            })
        };
        rows.iter().map(message).collect()
    }

    /// Lets alerts that nobody was told of stand and fall with another telling.
    async fn move_deliveries(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        let query = self
            .query(
                // The first of the two conditions is the index's.
                "UPDATE delivery SET telling = $2
                 WHERE telling = $1 AND outcome IN ('pending', 'dead') AND outcome = 'pending'",
            )
            .bind(from.to_owned())
            .bind(to.to_owned());
        self.write("move deliveries to another telling", query).await.map(drop)
    }

    async fn stand_with(&mut self, message: Uuid, telling: &str) -> Result<(), StoreError> {
        let query = self
            .query("UPDATE outbox SET telling = $2 WHERE id = $1")
            .bind(message.to_string())
            .bind(telling.to_owned());
        self.write("let a message carry more", query).await.map(drop)
    }

    /// Lets what a rule holds of an incident's messages on a channel go at this time at the latest: what is graver waits
    /// behind it. What waits after a failed attempt keeps its pace.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hurry(&mut self, incident: Uuid, channel: &str, due: Timestamp) -> Result<(), StoreError> {
        let query = self
            .query(
                "UPDATE outbox SET due_at = $2
                 WHERE lane = $1 AND state = 'ready' AND attempt = 0 AND due_at > $2 AND due_at > $3",
            )
            .bind(format!("{incident} {channel}"))
            .bind(due.as_millisecond())
            .bind(held_from());
        self.write("let messages go earlier", query).await.map(drop)
    }
}
