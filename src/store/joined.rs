//! Alerts that join a group while its messages wait: what they travel with, and what must not stand before them.

use jiff::Timestamp;
use uuid::Uuid;

use super::columns::Columns;
use super::held::held_from;
use super::{StoreError, Tx};
use crate::alert::AlertGroup;
use crate::notify::notice::Notice;

/// Where an incident's first message stands.
#[derive(Debug, Default)]
pub struct Firsts {
    /// Channels where it waits and now carries more.
    pub carry: Vec<String>,
    /// Channels where it was sent, is being sent, or can never be.
    pub gone: Vec<String>,
    /// What those that carry more stand and fall with.
    pub telling: Option<String>,
}

impl Tx<'_> {
    /// Lets alerts that come late travel with the first message on the channels where that still waits, and says where it
    /// does not. `due` is when a channel is to hear of these alerts, none where it need not: a rule holds no message longer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn carry_with_first(
        &mut self,
        incident: Uuid,
        group: &AlertGroup,
        due: impl Fn(&str) -> Option<Timestamp>,
    ) -> Result<Firsts, StoreError> {
        let query = self
            .query(
                "SELECT id, channel, state, telling, notice FROM outbox
                 WHERE incident_id = $1 AND role = 'first' ORDER BY channel {locked}",
            )
            .bind(incident.to_string());
        let mut firsts = Firsts::default();
        for row in self.rows("read the first message", query).await? {
            let row = Columns(&row);
            let channel = row.text("channel")?;
            if row.text("state")? != "ready" {
                firsts.gone.push(channel);
                continue;
            }
            let mut notice: Notice = row.json("notice")?;
            notice.group = group.clone();
            self.rewrite(row.id("id")?, &notice, None).await?;
            if let Some(due) = due(&channel) {
                self.hurry(incident, &channel, due).await?;
            }
            firsts.carry.push(channel);
            firsts.telling.get_or_insert(row.text("telling")?);
        }
        Ok(firsts)
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
