//! What was given up, as the store holds it: the messages, and the alerts that no channel told.

use std::collections::BTreeMap;

use sqlx::{Connection, Row};

use crate::support::service::Home;

/// What was given up.
#[derive(Debug)]
pub struct Dead {
    /// Alerts of deliveries whose message every channel gave up.
    pub alerts: u64,
    /// For each channel, the messages it gave up.
    messages: BTreeMap<String, Vec<String>>,
}

impl Dead {
    pub async fn of(home: &Home) -> Self {
        sqlx::any::install_default_drivers();
        let mut store = sqlx::AnyConnection::connect(home.store()).await.unwrap();
        let outbox = "SELECT channel, state, telling, notice FROM outbox ORDER BY id";
        let outbox = sqlx::query(outbox).fetch_all(&mut store).await.unwrap();
        let deliveries = "SELECT CAST(told AS BIGINT) AS told, telling FROM delivery WHERE telling IS NOT NULL";
        let deliveries = sqlx::query(deliveries).fetch_all(&mut store).await.unwrap();
        let mut messages: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // Whether everybody gave up what these words were told with.
        let mut by_all: BTreeMap<String, bool> = BTreeMap::new();
        for row in &outbox {
            let dead = row.get::<String, _>("state") == "dead";
            if let Some(telling) = row.try_get::<Option<String>, _>("telling").unwrap() {
                let so_far = by_all.entry(telling).or_insert(true);
                *so_far = *so_far && dead;
            }
            if dead {
                messages.entry(row.get("channel")).or_default().push(row.get("notice"));
            }
        }
        let alerts =
            deliveries.iter().filter(|row| by_all.get(&row.get::<String, _>("telling")).is_some_and(|all| *all));
        let alerts = alerts.map(|row| u64::try_from(row.get::<i64, _>("told")).unwrap()).sum();
        Self { alerts, messages }
    }

    /// Messages that were given up.
    pub fn messages(&self) -> usize {
        self.messages.values().map(Vec::len).sum()
    }

    /// Whether a message that a channel gave up names an alert.
    pub fn names(&self, channel: &str, alert: &str) -> bool {
        self.messages.get(channel).is_some_and(|messages| messages.iter().any(|message| message.contains(alert)))
    }
}
