//! Clocks that step while work is under way: nothing is lost, doubled, or left until the old time comes again.

use std::time::Duration;

use serde_json::json;

use crate::support::alerts::{PENDING, builtin, in_group};
use crate::support::database::{Database, on_every_engine};
use crate::support::feishu::Feishu;
use crate::support::gate::Gate;
use crate::support::model::{Answer, ModelServer};
use crate::support::service::Home;
use crate::support::wall_clock::Clock;
use crate::support::{Fault, contract, eventually, eventually_async, pending};

/// Groups beside those whose clock is watched.
const MANY: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f39_a_clock_that_steps_an_hour_in_either_direction_delays_and_doubles_nothing() {
    on_every_engine(async || {
        let (feishu, clock) = (Feishu::start().await, Clock::new());
        let model =
            ModelServer::scripted(|asked| Answer::After(Duration::from_secs(4), Box::new(pending::investigate(asked))))
                .await;
        let mut models = pending::models(&model);
        models[0]["timeout"] = "20s".into();
        let home = Home::new(&json!({
            "mcp": builtin(PENDING), "models": models, "triage": {"cooldown": "0s"},
            "channels": [
                {"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"merge_above": 1000}},
            ],
        }));
        let service = clock.serve(&home).await;

        let (id, _) = service.accept(&in_group(PENDING, "forward")).await;
        eventually("the model is asked", 10, || (!model.asked().is_empty()).then_some(())).await;
        clock.set("+3600");
        let incident = service.settled(&id, 60).await;
        assert_eq!(incident["report"]["usage"]["source"], "model", "{incident:#}");
        assert_eq!(incident["investigation"]["attempts"], 1, "its own lease is not over: {incident:#}");
        assert_eq!(incident["report"]["usage"]["turns"], model.asked().len(), "nothing is asked twice: {incident:#}");
        assert_eq!(feishu.accepted().len(), incident["notices"].as_array().unwrap().len(), "{incident:#}");

        // More than a bot takes in a second are noted with times that are an hour away when the clock is back.
        let many = (0..MANY).map(|number| in_group(PENDING, &format!("beside {number}"))).collect::<Vec<_>>();
        let many = futures::future::join_all(many.iter().map(|alert| service.accept(alert))).await;
        for (id, _) in many {
            service.settled(&id, 60).await;
        }
        assert!(feishu.accepted().len() > MANY, "{}", feishu.accepted().len());

        feishu.fail([Fault::Status(502)]);
        let told = feishu.accepted().len();
        let (id, _) = service.accept(&in_group(PENDING, "back")).await;
        let failed = |incident: &serde_json::Value| incident["notices"][0]["attempts"] == 1;
        service.incident_when("the first try failed", &id, 10, failed).await;
        clock.set("+0");
        eventually("the message comes although its time is an hour away", 20, || {
            (feishu.accepted().len() > told).then_some(())
        })
        .await;
        let incident = service.settled(&id, 60).await;
        assert_eq!(feishu.accepted().len() - told, incident["notices"].as_array().unwrap().len(), "{incident:#}");
        let alerts = (2 + MANY) * in_group(PENDING, "any")["alerts"].as_array().unwrap().len();
        contract::holds(&service, alerts, 20).await;
    })
    .await;
}

/// A daily summary that failed while the clock was ahead is tried again when it is less so, and told once however often
/// its time comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f39_a_daily_summary_waits_for_no_clock_that_steps_and_comes_once() {
    on_every_engine(async || {
        let (feishu, clock) = (Feishu::start().await, Clock::new());
        // A quarter of an hour ago when the clock is an hour ahead, and five minutes ago when it is ten minutes less.
        let due = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(45);
        let due = due.strftime("%H:%M").to_string();
        let home = Home::new(&json!({
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "digest": due}],
        }));
        feishu.fail([Fault::Status(502)]);
        clock.set("+3600");
        let service = clock.serve(&home).await;
        let failed = || async { home.count("SELECT COUNT(*) FROM digest WHERE last_error IS NOT NULL").await == 1 };
        eventually_async("its first try failed", 10, failed).await;
        assert!(feishu.accepted().is_empty());
        clock.set("+3000");
        eventually("it comes although its next try is ten minutes away", 25, || {
            (!feishu.accepted().is_empty()).then_some(())
        })
        .await;
        clock.set("+3600");
        // Longer than a channel takes to look for a summary that is due.
        tokio::time::sleep(Duration::from_secs(12)).await;
        let sent = home.count("SELECT COUNT(*) FROM digest WHERE state = 'sent'").await;
        assert_eq!((feishu.accepted().len(), sent), (1, 1), "{}", service.log());
        contract::holds(&service, 0, 5).await;
    })
    .await;
}

/// Leases are measured by the one clock that replicas share: one that is far ahead does not take what another is sending.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f39_a_replica_whose_clock_is_far_ahead_takes_nothing_out_of_anothers_hands() {
    let Some(database) = Database::postgres().await else { return };
    let feishu = Feishu::start().await.without_rate_limit();
    let mut chat: url::Url = feishu.url().parse().unwrap();
    let gate = Gate::before(chat.socket_addrs(|| None).unwrap()[0]).await;
    chat.set_port(Some(gate.address.port())).unwrap();
    let parts = json!({
        "store": database.address().unwrap(),
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": chat.as_str()}],
    });
    let (here, there, clock) = (Home::new(&parts), Home::new(&parts), Clock::new());
    let service = here.serve().await;
    clock.set("+40");
    let ahead = clock.serve(&there).await;
    gate.shut();
    let (id, _) = service.accept(&in_group(PENDING, "held up")).await;
    let sending = |incident: &serde_json::Value| incident["notices"][0]["state"] == "sending";
    let incident = service.incident_when("it is being sent", &id, 10, sending).await;
    assert_eq!(incident["notices"][0]["attempts"], 1);
    // Longer than the other one takes to look, shorter than an attempt.
    tokio::time::sleep(Duration::from_secs(5)).await;
    gate.open();
    let incident = service.settled(&id, 20).await;
    assert_eq!(incident["notices"][0]["attempts"], 1, "{incident:#}");
    assert_eq!(feishu.accepted().len(), 1);
    drop((service, ahead));
    database.remove().await;
}
