//! Asked to end at any moment: idle, in the middle of a message, twice; and what a resolved incident does to work under way.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, resolved, webhook};
use crate::support::database::on_every_engine;
use crate::support::faulty::{Fate, Faulty};
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, ModelServer};
use crate::support::service::Home;
use crate::support::{contract, eventually, pending};

fn alerts() -> usize {
    webhook(PENDING)["alerts"].as_array().unwrap().len()
}

/// A channel whose answers take this long.
async fn slow(feishu: &Feishu, wait: Duration) -> (Value, Faulty) {
    let url: url::Url = feishu.url().parse().unwrap();
    let line = Faulty::before(&format!("127.0.0.1:{}", url.port().unwrap()), [Fate::Slow(wait)]).await;
    let mut slow = url;
    slow.set_port(Some(line.address.port())).unwrap();
    (json!([{"name": "oncall", "type": "feishu-bot", "url": slow.as_str()}]), line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f46_asked_to_end_while_idle_it_is_gone_at_once() {
    on_every_engine(async || {
        let feishu = Feishu::start().await;
        let channels = json!([{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}]);
        let home = Home::new(&json!({"channels": channels}));
        let service = home.serve().await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        service.settled(&id, 20).await;
        let begun = Instant::now();
        assert_eq!(service.terminate().await.code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        let service = home.serve().await;
        contract::holds(&service, alerts(), 5).await;
        assert_eq!(feishu.accepted().len(), 1, "what was sent is not sent again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f46_asked_to_end_in_the_middle_of_a_message_it_finishes_that_and_nobody_reads_it_twice() {
    on_every_engine(async || {
        let feishu = Feishu::start().await;
        let (channels, line) = slow(&feishu, Duration::from_secs(3)).await;
        let home = Home::new(&json!({"channels": channels}));
        let service = home.serve().await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        eventually("the message is on its way", 10, || (!feishu.accepted().is_empty()).then_some(())).await;
        assert_eq!((line.met(), &service.incident(&id).await["notices"][0]["state"]), (1, &json!("sending")));
        assert_eq!(service.terminate().await.code(), Some(0));
        let service = home.serve().await;
        let incident = service.settled(&id, 20).await;
        assert_eq!(incident["notices"][0]["attempts"], 1, "{incident:#}");
        assert_eq!(contract::holds(&service, alerts(), 5).await.sent, alerts() as u64);
        assert_eq!(feishu.accepted().len(), 1);
    })
    .await;
}

/// Somebody is in a hurry: what was under way comes again when its lease ends, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f46_asked_twice_it_ends_at_once_and_the_next_one_sends_what_was_under_way() {
    on_every_engine(async || {
        let feishu = Feishu::start().await;
        let (channels, _line) = slow(&feishu, Duration::from_secs(9)).await;
        let home = Home::new(&json!({"channels": channels}));
        let mut service = home.serve().await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        eventually("the message is on its way", 10, || (!feishu.accepted().is_empty()).then_some(())).await;
        service.signal("-TERM").await;
        assert!(!service.is_gone_within(1).await, "it finishes the message");
        let door = service.base().trim_start_matches("http://");
        let refused = tokio::net::TcpStream::connect(door).await.expect_err("nobody waits at a door that is shut");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let begun = Instant::now();
        service.signal("-TERM").await;
        assert_eq!(service.has_ended().await.code(), Some(1), "not all was finished");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let service = home.serve().await;
        let incident = service.settled(&id, 40).await;
        assert_eq!(incident["notices"][0]["attempts"], 2, "{incident:#}");
        assert_eq!(contract::holds(&service, alerts(), 5).await.sent, alerts() as u64);
        assert_eq!(feishu.accepted().len(), 2, "it had arrived, which nobody could note");
    })
    .await;
}

/// The alert is over while a model thinks about it: the end is told, and no diagnosis comes after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f42_resolved_while_the_model_runs_the_end_is_the_last_word() {
    on_every_engine(async || {
        let feishu = Feishu::start().await;
        // Something only a model could say: it would be told, were it not over.
        let model =
            ModelServer::scripted(|asked| Answer::After(Duration::from_secs(2), Box::new(pending::investigate(asked))))
                .await;
        let home = Home::new(&json!({
            "mcp": builtin(PENDING), "models": pending::models(&model),
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
        }));
        let service = home.serve().await;
        let alert = webhook(PENDING);
        let (id, _) = service.accept(&alert).await;
        eventually("the model is asked", 10, || (!model.asked().is_empty()).then_some(())).await;
        let (_, decision) = service.accept(&resolved(&alert)).await;
        assert_eq!(decision, "resolved");
        let over = |incident: &Value| {
            let ended = ["done", "cancelled"].map(Value::from).contains(&incident["investigation"]["state"]);
            ended && incident["notices"].as_array().unwrap().iter().all(|notice| notice["state"] == "sent")
        };
        let incident = service.incident_when("the run is over", &id, 30, over).await;
        let roles: Vec<&str> =
            incident["notices"].as_array().unwrap().iter().map(|notice| notice["role"].as_str().unwrap()).collect();
        assert_eq!((incident["state"].as_str(), roles), (Some("resolved"), vec!["first", "resolved"]), "{incident:#}");
        let messages = feishu.accepted();
        assert_eq!(messages.len(), 2, "{messages:#?}");
        assert!(messages[1].to_string().contains("Resolved"), "{messages:#?}");
        contract::holds(&service, 2 * alerts(), 5).await;
    })
    .await;
}
