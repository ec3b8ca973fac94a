//! Ends and new beginnings: nothing that was answered 202 is lost, whatever ends the process.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::Fault;
use crate::support::alerts::{PENDING, builtin, one_alert, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::eventually;
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, ModelServer};
use crate::support::pending;
use crate::support::service::{Home, Service, program, run};
use crate::support::team::{CHANNELS, Team};
use crate::support::wecom::Wecom;

const GROUPS: usize = 20;

/// A model that thinks for longer than the process lives, the first time.
async fn slow_at_first() -> ModelServer {
    let begun = Instant::now();
    ModelServer::scripted(move |asked| {
        if begun.elapsed() < Duration::from_secs(6) { Answer::Hang } else { pending::investigate(asked) }
    })
    .await
}

fn group(index: usize) -> Value {
    one_alert(&format!("group-{index}"), &json!({"alertname": format!("Alert{index:02}")}))
}

fn parts(team: &Team, model: &ModelServer) -> Value {
    let mut models = pending::models(model);
    models[0]["timeout"] = "60s".into();
    json!({"mcp": builtin(PENDING), "models": models, "channels": team.channels(), "triage": {"cooldown": "0s"}})
}

async fn all_settled(service: &Service, seconds: u64) -> Vec<Value> {
    let mut settled = Vec::new();
    for incident in service.incidents().await {
        settled.push(service.settled(incident["id"].as_str().unwrap(), seconds).await);
    }
    settled
}

/// All groups are accepted, the process ends in this way, and the next one tells all of them and ends every investigation.
/// Nobody reads more than was to be told, and at most one message of each channel once more for each of these kills.
async fn ends_after_the_202(kills: usize, end: impl AsyncFnOnce(Service)) {
    let (mut team, model) = (Team::start().await, slow_at_first().await);
    // A killed process cannot know what it sent within WeCom's minute.
    team.wecom = team.wecom.without_rate_limit();
    let home = Home::new(&parts(&team, &model));
    let service = home.serve().await;
    let groups: Vec<Value> = (0..GROUPS).map(group).collect();
    futures::future::join_all(groups.iter().map(|alert| service.accept(alert))).await;
    end(service).await;

    let service = home.serve().await;
    assert_eq!(service.incidents().await.len(), GROUPS);
    let incidents = all_settled(&service, 90).await;
    for incident in &incidents {
        assert_eq!(incident["investigation"]["state"], "done", "{incident:#}");
        assert_eq!(incident["report"]["causes"][0]["resource"]["name"], "test-data");
    }
    let balance = contract::holds(&service, GROUPS, 10).await;
    assert_eq!(balance.sent, GROUPS as u64, "{balance:?}");
    for (name, channel) in CHANNELS.iter().zip(team.heard()) {
        let notices = incidents.iter().flat_map(|incident| incident["notices"].as_array().unwrap());
        let notices = notices.filter(|notice| notice["channel"] == *name).count();
        assert!(channel.len() <= notices + kills, "{notices} notices became {} on {name}", channel.len());
        let all: String = channel.iter().map(|message| message.text.as_str()).collect();
        let silent: Vec<usize> = (0..GROUPS).filter(|index| !all.contains(&format!("Alert{index:02}"))).collect();
        assert!(silent.is_empty(), "nobody heard of {silent:?}: {channel:#?}");
    }
}

/// Nobody sends to a channel that is configured no more; nobody waits for it for ever either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_channel_that_was_removed_are_put_aside_where_people_see_it() {
    let (feishu, wecom) = (Feishu::start().await, Wecom::start().await);
    feishu.fail(vec![Fault::Status(502); 3]);
    let ops = json!({"name": "ops", "type": "wecom-bot", "url": wecom.url()});
    let both = json!([{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}, ops]);
    let home = Home::new(&json!({"channels": both}));
    let service = home.serve().await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    let waits = |incident: &Value| {
        let notices = incident["notices"].as_array().unwrap();
        notices.iter().any(|one| one["state"] == "sent") && notices.iter().any(|one| !one["last_error"].is_null())
    };
    service.incident_when("one is told, one waits", &id, 20, waits).await;
    drop(service);

    home.write(&json!({"channels": [ops]}));
    home.everything_is_due().await;
    let service = home.serve().await;
    let incident = service.settled(&id, 20).await;
    let dead = incident["notices"].as_array().unwrap().iter().find(|one| one["channel"] == "oncall").unwrap();
    assert_eq!(dead["state"], "dead", "{dead}");
    assert!(dead["last_error"].as_str().unwrap().contains("`oncall` is not in the configuration any more"), "{dead}");
    assert_eq!(service.metric("firstlook_queue_length{queue=\"outbox_dead\"}").await, Some(1.0));
    assert_eq!(contract::holds(&service, webhook(PENDING)["alerts"].as_array().unwrap().len(), 5).await.dead, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_killed_right_after_the_202_every_message_comes_and_every_investigation_ends() {
    on_every_engine(async || {
        ends_after_the_202(1, Service::kill_9).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f46_asked_to_end_right_after_the_202_every_message_comes_and_every_investigation_ends() {
    on_every_engine(async || {
        ends_after_the_202(0, async |service: Service| assert!(service.terminate().await.success())).await;
    })
    .await;
}

/// Sends until the service is gone, and tells of each incident that was answered with a 202.
async fn post_until_killed(webhook: RequestBuilder, sender: usize, told: mpsc::UnboundedSender<String>) {
    for number in 0.. {
        let alert = one_alert(&format!("{sender} {number}"), &json!({"alertname": "Burst"}));
        let Ok(answer) = webhook.try_clone().unwrap().json(&alert).send().await else { break };
        assert_eq!(answer.status(), 202);
        // The process may die between the status and the body; then nobody was told of an incident.
        let Ok(answer) = answer.json::<Value>().await else { break };
        told.send(answer["incident"].as_str().unwrap().to_owned()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_killed_in_the_middle_of_a_burst_every_delivery_answered_202_is_there() {
    on_every_engine(async || {
        let home = Home::new(&json!({"mcp": [], "channels": []}));
        let service = home.serve().await;
        let webhook = service.request(Method::POST, "/webhooks/alertmanager");
        let (tell, mut told) = mpsc::unbounded_channel();
        let senders: Vec<_> = (0..20)
            .map(|sender| tokio::spawn(post_until_killed(webhook.try_clone().unwrap(), sender, tell.clone())))
            .collect();
        drop(tell);
        let mut ids = Vec::new();
        while ids.len() < 100 {
            ids.push(told.recv().await.unwrap());
        }
        service.kill_9().await;
        futures::future::join_all(senders).await.into_iter().for_each(Result::unwrap);
        while let Some(id) = told.recv().await {
            ids.push(id);
        }

        let service = home.serve().await;
        let balance = contract::balance(&service).await;
        assert_eq!((balance.suppressed, balance.pending), (balance.accepted, 0), "no channel is to hear of them");
        assert!(balance.accepted >= ids.len() as u64, "what was answered 202 is counted: {balance:?}");
        for id in ids {
            assert_eq!(service.incident(&id).await["state"], "open");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f46_asked_to_end_it_ends_soon_and_the_next_one_goes_on_at_once() {
    on_every_engine(async || {
        let (team, model) = (Team::start().await, slow_at_first().await);
        let home = Home::new(&parts(&team, &model));
        let service = home.serve().await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        eventually("the model is asked", 10, || (!model.asked().is_empty()).then_some(())).await;
        let running = service.incident(&id).await;
        assert_eq!(running["investigation"]["state"], "running");
        let begun = Instant::now();
        assert_eq!(service.terminate().await.code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());

        eventually("the model is in its right mind", 10, || (begun.elapsed() > Duration::from_secs(6)).then_some(()))
            .await;
        let service = home.serve().await;
        let restarted = Instant::now();
        let incident = service.settled(&id, 20).await;
        assert!(restarted.elapsed() < Duration::from_secs(10), "no lease had to run out");
        assert_eq!(incident["report"]["usage"]["source"], "model");
        assert_eq!(incident["investigation"]["attempts"], 1, "to be stopped is no failed attempt: {incident:#}");
        team.each_has_what_was_sent(&[&incident]).await;
        let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
        contract::holds(&service, alerts, 5).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f47_a_second_process_on_the_same_file_refuses() {
    let home = Home::new(&json!({"mcp": builtin(PENDING), "channels": []}));
    let service = home.serve().await;
    let mut second = program();
    second.args(["serve", "--config"]).arg(home.config());
    let ended = run(second).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.contains("firstlook.db") && last.contains("another"), "{last}");
    assert_eq!(service.get("/readyz").await["ready"], true);
    service.accept(&webhook(PENDING)).await;
    service.kill_9().await;
    let service = home.serve().await;
    contract::holds(&service, webhook(PENDING)["alerts"].as_array().unwrap().len(), 5).await;
}
