//! Replicas of a store are one sender to a product: together they keep to what it takes.

use serde_json::json;

use crate::support::alerts::in_group;
use crate::support::alerts::{PENDING, builtin};
use crate::support::contract;
use crate::support::database::Database;
use crate::support::eventually;
use crate::support::service::Home;
use crate::support::wecom::Wecom;

/// More than a WeCom bot takes in a minute.
const INCIDENTS: usize = 26;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_share_what_a_bot_takes_in_a_minute() {
    let Some(database) = Database::postgres().await else { return };
    let wecom = Wecom::start().await;
    let home = Home::new(&json!({
        "store": database.address().unwrap(),
        "mcp": builtin(PENDING),
        "channels": [{"name": "ops", "type": "wecom-bot", "url": wecom.url(), "delivery": {"merge_above": 1000}}],
    }));
    let replicas = [home.serve().await, home.serve().await, home.serve().await];
    for number in 0..INCIDENTS {
        // A group of its own each: another name makes another incident, whatever else it shares.
        let mut alert = in_group(PENDING, &format!("pace-{number}"));
        for one in alert["alerts"].as_array_mut().unwrap() {
            one["labels"]["alertname"] = format!("Pace{number:02}").into();
            one["labels"]["namespace"] = format!("team-{number}").into();
            one["labels"]["pod"] = format!("pod-{number}").into();
        }
        replicas[number % replicas.len()].accept(&alert).await;
    }
    eventually("as many as the bot takes", 30, || (wecom.accepted().len() >= 20).then_some(())).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!((wecom.accepted().len(), wecom.refused()), (20, vec![]), "nobody ran into the limit");
    eventually("the rest a minute later", 75, || (wecom.accepted().len() == INCIDENTS).then_some(())).await;
    assert_eq!(wecom.refused(), vec![]);
    let each = in_group(PENDING, "pace")["alerts"].as_array().unwrap().len();
    let balance = contract::holds(&replicas[2], INCIDENTS * each, 10).await;
    assert_eq!(balance.sent, (INCIDENTS * each) as u64, "each replica says so: {balance:?}");
    drop(replicas);
    database.remove().await;
}
