//! What was held back or merged before a message, from what was decided about its incident's deliveries.

use jiff::Timestamp;
use uuid::Uuid;

use super::columns::Columns;
use super::deliveries::rules_of;
use super::{NoticeRole, Outgoing, Store, StoreError};
use crate::notify::notice::Meanwhile;
use crate::notify::rule::{Applied, Rule};

/// A first message that is sent sooner waited for the playbook or a busy channel, and repeats within that time are those of
/// a pair of Alertmanagers.
const HELD_S: i64 = 60;
/// More generations than anybody counts.
const MOST: i64 = 1_000;

impl Store {
    /// What was held back or merged before this message, as of now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn meanwhile(&self, outgoing: &Outgoing) -> Result<Meanwhile, StoreError> {
        let (incident, first) = (outgoing.incident, outgoing.role == NoticeRole::First);
        let age = Timestamp::now().duration_since(outgoing.notice.opened_at).as_secs();
        let (generation, rules) = self.opening(incident).await?;
        let seconds = |wanted: Rule| {
            let wait = |applied: &Applied| applied.seconds.filter(|_| applied.rule == wanted);
            rules.iter().find_map(wait)
        };
        let held = first && age >= HELD_S;
        Ok(Meanwhile {
            repeats: if !first || held { self.repeats(incident).await? } else { 0 },
            debounced_s: seconds(Rule::Debounce).filter(|_| !first),
            // The rule is that of one channel; another that was held up for something else went out before its end.
            quiet_s: seconds(Rule::QuietHours)
                .filter(|quiet| held && u64::try_from(age).is_ok_and(|age| age >= *quiet)),
            untold: if generation > 1 { self.untold_before(incident).await? } else { 0 },
            led: if outgoing.role == NoticeRole::Resolved { self.led(incident).await? } else { Vec::new() },
        })
    }

    /// Those that came after the last message with its diagnosis stand in no message of this incident yet.
    async fn led(&self, incident: Uuid) -> Result<Vec<String>, StoreError> {
        Ok(self.followers(incident).await?.into_iter().map(|one| one.title).collect())
    }

    /// Which generation it is, and the rules by which it opened.
    async fn opening(&self, incident: Uuid) -> Result<(u64, Vec<Applied>), StoreError> {
        let query = self
            .query(
                "SELECT generation, COALESCE((SELECT rules FROM delivery
                                              WHERE incident_id = incident.id AND decision = 'opened'), '') AS rules
                 FROM incident WHERE id = $1",
            )
            .bind(incident.to_string());
        let row = self.row("read how an incident opened", query).await?;
        row.map_or(Ok((1, Vec::new())), |row| {
            Ok((Columns(&row).count("generation")?, rules_of(&Columns(&row).text("rules")?)))
        })
    }

    async fn repeats(&self, incident: Uuid) -> Result<u64, StoreError> {
        // Old repeats are deleted while their incident goes on; it has counted them. The end of some alerts is none.
        let query = self
            .query(
                "SELECT deliveries - (SELECT COUNT(*) FROM delivery WHERE incident_id = incident.id
                                      AND (decision IN ('opened', 'joined', 'resolved') OR rules = 'some_ended')) AS n
                 FROM incident WHERE id = $1",
            )
            .bind(incident.to_string());
        let row = self.row("count repeats", query).await?;
        row.map_or(Ok(0), |row| Columns(&row).count("n"))
    }

    /// Generations of its group between the last one that anybody was told of and this one.
    async fn untold_before(&self, incident: Uuid) -> Result<u64, StoreError> {
        let query = self
            .query(
                "SELECT COUNT(*) AS n FROM (
                     SELECT 1 FROM incident this JOIN incident before
                       ON before.source = this.source AND before.group_key_hash = this.group_key_hash
                      AND before.generation < this.generation
                     WHERE this.id = $1
                       AND before.generation > COALESCE((
                           SELECT told.generation FROM incident told
                           WHERE told.source = this.source AND told.group_key_hash = this.group_key_hash
                             AND told.generation < this.generation
                             AND EXISTS (SELECT 1 FROM outbox WHERE outbox.incident_id = told.id)
                           ORDER BY told.generation DESC LIMIT 1), 0)
                     LIMIT $2) AS untold",
            )
            .bind(incident.to_string())
            .bind(MOST);
        let row = self.row("count firings that were not told", query).await?;
        row.map_or(Ok(0), |row| Columns(&row).count("n"))
    }
}
