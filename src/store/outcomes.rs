//! The contract: every accepted alert ends as exactly one of sent, merged, suppressed, dead, and until then it is pending.
//!
//! The unit is the alert in a delivery: an alert that is delivered twice is accepted twice. The ends are kept with the
//! deliveries, so that the sum holds over crashes and for all replicas of a store together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::columns::Columns;
use super::{Store, StoreError, Tx};

/// Where the alerts of a delivery stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The message that first names them waits on some channel and was accepted by none.
    Pending,
    /// At least one channel accepted the message that first names them.
    Sent,
    /// People were told before, or will be by an earlier delivery's message.
    Merged,
    /// A rule says that nobody is told; the delivery holds the reason.
    Suppressed,
    /// Every channel gave the message up. It is kept with its error.
    Dead,
}

impl Outcome {
    /// Every outcome, for metrics that start at zero.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Sent, Self::Merged, Self::Suppressed, Self::Dead];

    /// The word used in the database and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Merged => "merged",
            Self::Suppressed => "suppressed",
            Self::Dead => "dead",
        }
    }
}

/// All alerts that were ever accepted, and where they stand, as of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Balance {
    /// Alerts in all deliveries that were answered with success.
    pub accepted: u64,
    /// Those alerts by where they stand; an outcome nothing has is missing. Their sum is `accepted`.
    pub outcomes: BTreeMap<Outcome, u64>,
}

impl Tx<'_> {
    /// Alerts whose message a channel just accepted are told, even when other channels had given it up.
    pub(super) async fn settle_sent(&mut self, message: Uuid) -> Result<(), StoreError> {
        let query = self
            .query(
                "UPDATE delivery SET outcome = 'sent'
                 WHERE outcome IN ('pending', 'dead') AND telling = (SELECT telling FROM outbox WHERE id = $1)",
            )
            .bind(message.to_string());
        self.write("settle deliveries", query).await.map(drop)
    }

    /// Alerts whose message was just given up are dead when no other channel has it or still tries.
    pub(super) async fn settle_dead(&mut self, message: Uuid) -> Result<(), StoreError> {
        // Two channels may give up at the same moment, neither seeing the other: the second waits here, and then does.
        let lock = self
            .query(
                "SELECT id FROM delivery
                 WHERE outcome IN ('pending', 'dead') AND telling = (SELECT telling FROM outbox WHERE id = $1)
                 ORDER BY id {locked}",
            )
            .bind(message.to_string());
        self.rows("lock deliveries", lock).await?;
        let query = self
            .query(
                "UPDATE delivery SET outcome = 'dead'
                 WHERE outcome = 'pending' AND telling = (SELECT telling FROM outbox WHERE id = $1)
                   AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.telling = delivery.telling
                                   AND outbox.state <> 'dead')",
            )
            .bind(message.to_string());
        self.write("settle deliveries", query).await.map(drop)
    }
}

impl Store {
    /// What was accepted and what became of it, both as of the same moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn balance(&self) -> Result<Balance, StoreError> {
        let query = self.query(
            "SELECT 'accepted' AS word, CAST(COALESCE(SUM(alerts), 0) AS BIGINT) AS n FROM delivery
             UNION ALL
             SELECT outcome, CAST(SUM(told) AS BIGINT) FROM delivery WHERE told > 0 GROUP BY outcome
             UNION ALL
             SELECT CASE outcome WHEN 'suppressed' THEN 'suppressed' ELSE 'merged' END,
                    CAST(SUM(alerts - told) AS BIGINT)
             FROM delivery WHERE alerts > told GROUP BY outcome
             UNION ALL
             SELECT word, alerts FROM pruned",
        );
        let mut balance = Balance::default();
        for row in self.rows("sum up deliveries", query).await? {
            let row = Columns(&row);
            let n = row.count("n")?;
            if row.text("word")? == "accepted" {
                balance.accepted += n;
            } else {
                *balance.outcomes.entry(row.word("word")?).or_default() += n;
            }
        }
        Ok(balance)
    }
}
