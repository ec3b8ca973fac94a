//! A storm with one cause: investigated once, told everywhere.

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, in_group, resolved};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::model::ModelServer;
use crate::support::pending;
use crate::support::service::{Home, Service};

async fn stage(triage: Value) -> (Feishu, ModelServer, Home, Service) {
    let (feishu, model) = (Feishu::start().await, pending::model().await);
    let channels = json!([{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}]);
    let home = Home::new(&json!({
        "mcp": builtin(PENDING), "models": pending::models(&model), "channels": channels, "triage": triage,
    }));
    let service = home.serve().await;
    (feishu, model, home, service)
}

fn same_cause(incident: &Value) -> &Value {
    &incident["report"]["same_cause"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_groups_of_one_cause_are_one_investigation_and_each_is_told() {
    on_every_engine(async || {
        let (feishu, model, _home, service) = stage(json!({})).await;
        let groups: Vec<Value> = (0..12).map(|number| in_group(PENDING, &number.to_string())).collect();
        let receipts = futures::future::join_all(groups.iter().map(|body| service.accept(body))).await;
        let mut incidents = Vec::new();
        for (id, _) in &receipts {
            incidents.push(service.settled(id, 60).await);
        }
        assert_eq!(model.asked().len(), 2, "a look and an answer, once");
        let (followers, leaders): (Vec<&Value>, Vec<&Value>) =
            incidents.iter().partition(|incident| same_cause(incident)["led_by"].is_object());
        let [leader] = leaders.as_slice() else { panic!("one leads: {leaders:#?}") };
        assert_eq!((&leader["report"]["usage"]["source"], followers.len()), (&json!("model"), 11));
        for follower in &followers {
            assert_eq!(same_cause(follower)["led_by"]["incident"], leader["id"]);
            assert_eq!(follower["report"]["usage"]["stopped_by"], "same_cause");
            assert_eq!(
                follower["report"]["causes"][0]["code"], "pvc_unbound_provisioner_missing",
                "it knows the cause"
            );
        }
        let cards: Vec<String> = feishu.accepted().iter().map(Value::to_string).collect();
        let follow = cards.iter().filter(|card| card.contains("which is investigated for both")).count();
        assert_eq!((cards.len(), follow), (12, 11), "one message each, and each says whom it follows: {cards:#?}");
        let alerts = groups[0]["alerts"].as_array().unwrap().len();
        let balance = contract::holds(&service, 12 * alerts, 60).await;
        assert_eq!(balance.sent, 12 * alerts as u64, "every alert is told: {balance:?}");

        let path = format!("/incidents/{}", leader["id"].as_str().unwrap());
        let page = service.request(reqwest::Method::GET, &path).send().await.unwrap().text().await.unwrap();
        assert_eq!(page.matches("KubePodNotReady · Pod aiops&#x2f;test-deployment").count(), 11, "the page names all");
        assert!(feishu.refused().is_empty(), "{:?}", feishu.refused());
    })
    .await;
}

/// Who comes when the first one is over leads; without a cooldown nobody follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_that_is_over_leads_nobody() {
    on_every_engine(async || {
        let (_feishu, model, _home, service) = stage(json!({})).await;
        let first = in_group(PENDING, "first");
        let (id, _) = service.accept(&first).await;
        service.settled(&id, 30).await;
        service.accept(&resolved(&first)).await;
        let (id, _) = service.accept(&in_group(PENDING, "second")).await;
        let second = service.settled(&id, 30).await;
        assert!(same_cause(&second).is_null() && second["report"]["usage"]["source"] == "model", "{second:#}");
        assert_eq!(model.asked().len(), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_cooldown_each_is_investigated() {
    on_every_engine(async || {
        let (_feishu, model, _home, service) = stage(json!({"cooldown": "0s"})).await;
        for group in ["first", "second"] {
            let (id, _) = service.accept(&in_group(PENDING, group)).await;
            assert!(same_cause(&service.settled(&id, 30).await).is_null());
        }
        assert_eq!(model.asked().len(), 4);
    })
    .await;
}
