//! Replicas of a store are one sender to a product: together they keep to what it takes.

use serde_json::json;

use crate::support::alerts::{PENDING, builtin, in_group, one_alert};
use crate::support::contract;
use crate::support::database::{Database, on_every_engine};
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

/// A team may want fewer messages than its product takes: the rest goes together, and every name is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_gets_no_more_in_a_minute_than_its_people_want() {
    on_every_engine(async || {
        let wecom = Wecom::start().await;
        let home = Home::new(&json!({
            "channels": [{"name": "ops", "type": "wecom-bot", "url": wecom.url(), "delivery": {"max_per_minute": 4}}],
            "routes": [{"channels": ["ops"], "triage": "never"}],
        }));
        let service = home.serve().await;
        let names: Vec<String> = (0..12).map(|number| format!("Wished{number:02}")).collect();
        for name in &names {
            service.accept(&one_alert(name, &json!({"alertname": name, "namespace": "shop"}))).await;
        }
        let told = |name: &String| wecom.accepted().iter().any(|message| message.to_string().contains(name));
        eventually("all are told", 58, || names.iter().all(told).then_some(())).await;
        assert!(wecom.accepted().len() <= 4, "{}", wecom.accepted().len());
        contract::holds(&service, names.len(), 5).await;
    })
    .await;
}

/// A product counts what arrives at an address: two channels that lead there have one pace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_channels_with_one_address_share_what_its_bot_takes() {
    on_every_engine(async || {
        let wecom = Wecom::start().await;
        let channel = |name: &str| {
            json!({"name": name, "type": "wecom-bot", "url": wecom.url(), "delivery": {"merge_above": 1000}})
        };
        let home = Home::new(&json!({
            "channels": [channel("day"), channel("night")],
            "routes": [{"channels": ["day", "night"], "triage": "never"}],
        }));
        let service = home.serve().await;
        for number in 0..15 {
            let name = format!("Shared{number:02}");
            service.accept(&one_alert(&name, &json!({"alertname": name, "namespace": "shop"}))).await;
        }
        eventually("as many as the bot takes", 30, || (wecom.accepted().len() >= 20).then_some(())).await;
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        assert_eq!((wecom.accepted().len(), wecom.refused()), (20, vec![]), "30 wait, and 20 are taken in a minute");
    })
    .await;
}
