//! Retention beside work: what has had its time goes while senders deliver, and nothing that goes on does.

use serde_json::{Value, json};

use crate::support::alerts::{one_alert, resolved};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::service::{Home, Service};
use crate::support::{Fault, eventually_async};

/// Incidents that are over: several batches of fifty.
const OVER: usize = 220;
/// The fewest that can be kept.
const KEPT: usize = 100;
const SENDERS: usize = 4;
/// Alerts of each sender.
const EACH: usize = 8;

fn named(name: &str) -> Value {
    one_alert(name, &json!({"alertname": name, "namespace": "shop"}))
}

async fn accept_all(service: &Service, alerts: &[Value]) -> Vec<String> {
    let taken = futures::future::join_all(alerts.iter().map(|alert| service.accept(alert))).await;
    taken.into_iter().map(|(id, _)| id).collect()
}

/// Many incidents that are over, one that is open, and one that is over while its messages still wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f50_retention_beside_work_deletes_what_is_over_and_nothing_that_waits_or_goes_on() {
    on_every_engine(async || {
        let feishu = Feishu::start().await.without_rate_limit();
        let home = Home::new(&json!({"channels": []}));
        let service = home.serve().await;
        let over: Vec<Value> = (0..OVER).map(|number| named(&format!("Over{number:03}"))).collect();
        accept_all(&service, &over).await;
        accept_all(&service, &over.iter().map(resolved).collect::<Vec<_>>()).await;
        let (open, _) = service.accept(&named("StillOpen")).await;
        assert!(service.terminate().await.success());

        let channel = json!([{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}]);
        home.write(&json!({"channels": channel}));
        feishu.fail((0..4).map(|_| Fault::Status(502)));
        let service = home.serve().await;
        let (waits, _) = service.accept(&named("StillWaits")).await;
        let failed = |incident: &Value| incident["notices"][0]["attempts"].as_u64() >= Some(1);
        service.incident_when("its first try failed", &waits, 10, failed).await;
        service.accept(&resolved(&named("StillWaits"))).await;
        service.kill_9().await;

        home.write(&json!({"channels": channel, "retention": {"max_incidents": KEPT}}));
        let service = home.serve().await;
        let deliver = async |sender: usize| {
            let mut ids = Vec::new();
            for number in 0..EACH {
                ids.push(service.accept(&named(&format!("Sender{sender}Alert{number}"))).await.0);
            }
            ids
        };
        let new = futures::future::join_all((0..SENDERS).map(deliver)).await.concat();
        let left = async || service.incidents().await.len();
        // The bound is not sharp: what was over at the same moment goes or stays together.
        let most = SENDERS * EACH + 1 + KEPT + 40;
        eventually_async("what is over is deleted", 20, || async { left().await <= most }).await;
        for id in new.iter().chain([&waits]) {
            service.settled(id, 60).await;
        }
        assert_eq!(service.incident(&open).await["state"], "open");
        let told: String = feishu.accepted().iter().map(Value::to_string).collect();
        for name in (0..SENDERS).flat_map(|sender| (0..EACH).map(move |number| format!("Sender{sender}Alert{number}")))
        {
            assert!(told.contains(&name), "nobody heard of {name}");
        }
        assert!(told.contains("StillWaits"), "what waited is told: {told}");
        // Each of the incidents that are gone was accepted twice: when it fired, and when it was over.
        let balance = contract::holds(&service, 2 * OVER + 1 + 2 + SENDERS * EACH, 30).await;
        assert_eq!(balance.dead, 0, "{balance:?}");
    })
    .await;
}
