//! A storm: more incidents than a channel takes one by one. Everybody hears every name, and no product refuses a message.

use serde_json::{Value, json};

use crate::support::alerts::one_alert;
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::service::Home;
use crate::support::wecom::Wecom;

const INCIDENTS: usize = 90;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f44_a_storm_merges_into_summaries_that_name_everything() {
    on_every_engine(async || {
        let (feishu, wecom) = (Feishu::with(None, None).await, Wecom::start().await);
        let home = Home::new(&json!({"channels": [
            {"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"merge_above": 5}},
            {"name": "ops", "type": "wecom-bot", "url": wecom.url()},
        ]}));
        let service = home.serve().await;
        let alert = |number: usize| {
            let name = format!("Storm{number:03}");
            one_alert(&name, &json!({"alertname": name, "namespace": "shop"}))
        };
        let alerts: Vec<Value> = (0..INCIDENTS).map(alert).collect();
        let receipts = futures::future::join_all(alerts.iter().map(|alert| service.accept(alert))).await;
        assert!(receipts.iter().all(|(_, decision)| decision == "opened"), "{receipts:?}");
        for (id, _) in &receipts {
            service.settled(id, 30).await;
        }
        assert_eq!(feishu.refused(), [], "within its limits");
        let told = |messages: Vec<String>, product: &str| {
            let all = messages.concat();
            let missing: Vec<usize> =
                (0..INCIDENTS).filter(|number| !all.contains(&format!("Storm{number:03}"))).collect();
            assert!(missing.is_empty(), "{product} never heard of {missing:?}");
            messages.len()
        };
        let feishu = told(feishu.accepted().iter().map(Value::to_string).collect(), "Feishu");
        let wecom = told(wecom.accepted().iter().map(Value::to_string).collect(), "WeCom");
        println!("{INCIDENTS} incidents: {feishu} messages in Feishu, {wecom} in WeCom");
        assert!(feishu < INCIDENTS / 2 && wecom <= 20, "{feishu} {wecom}");
        let balance = contract::holds(&service, INCIDENTS, 5).await;
        assert_eq!(balance.sent, INCIDENTS as u64, "{balance:?}");
    })
    .await;
}
