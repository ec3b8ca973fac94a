//! Killed at every border between two stages, on both engines: nothing accepted is lost, nothing paid twice without need.
//!
//! The names are those of the borders in `src/failpoint.rs`' callers. A process that comes to one is gone at once, as
//! after `kill -9`; then the same configuration is started again without the failpoint.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::alerts::{PENDING, builtin, in_group, one_alert, webhook};
use crate::support::contract;
use crate::support::database;
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, ModelServer};
use crate::support::pending;
use crate::support::service::{Home, Service, is_settled};
use crate::support::wecom::Wecom;
use crate::support::{eventually, eventually_async};

/// A lease, and room for the work that follows.
const SECONDS: u64 = 40;

/// One group that hears of alerts, one model, one store.
struct Stage {
    feishu: Feishu,
    model: ModelServer,
    home: Home,
    parts: Value,
}

impl Stage {
    async fn with(model: ModelServer) -> Self {
        let feishu = Feishu::with(None, None).await;
        let channels = json!([{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}]);
        let mut models = pending::models(&model);
        models[0]["timeout"] = "60s".into();
        let parts = json!({"mcp": builtin(PENDING), "models": models, "channels": channels});
        Self { home: Home::new(&parts), feishu, model, parts }
    }

    /// Serves until the alert brings the process to a failpoint; whether the sender heard a 202.
    async fn killed_at(&self, environment: &[(&str, &str)]) -> bool {
        let mut service = self.home.serve_with(environment).await;
        let request = service.request(reqwest::Method::POST, "/webhooks/alertmanager");
        let answer = request.json(&webhook(PENDING)).send().await;
        service.dies(20).await;
        answer.is_ok_and(|answer| answer.status() == 202)
    }

    /// Starts again and waits for the one incident to be over: diagnosed, by the model, and told.
    async fn goes_on(&self) -> (Service, Value) {
        let service = self.home.serve().await;
        let incidents = service.incidents().await;
        assert_eq!(incidents.len(), 1, "{incidents:#?}");
        let incident = service.settled(incidents[0]["id"].as_str().unwrap(), SECONDS).await;
        assert_eq!(incident["investigation"]["state"], "done", "{incident:#}");
        assert_eq!(incident["report"]["causes"][0]["resource"]["name"], "test-data", "{incident:#}");
        for notice in incident["notices"].as_array().unwrap() {
            assert_eq!(notice["state"], "sent", "{incident:#}");
        }
        assert_eq!(contract::balance(&service).await.pending, 0, "{incident:#}");
        (service, incident)
    }

    fn cards(&self) -> usize {
        self.feishu.arrivals().len()
    }

    /// One first message, at most one that adds the model's diagnosis, and each arrived once.
    fn told_once(&self, incident: &Value) {
        let notices = incident["notices"].as_array().unwrap();
        let firsts = notices.iter().filter(|notice| notice["role"] == "first").count();
        assert_eq!((firsts, self.cards()), (1, notices.len()), "{incident:#}");
    }

    /// So many deliveries of the alert were accepted, and each came to its end.
    async fn sum_is_right_after(&self, deliveries: usize, service: &Service) {
        let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
        contract::holds(service, deliveries * alerts, 5).await;
    }

    /// Waits until whoever goes on from here need not ask the cluster again.
    async fn what_was_read_is_kept(&self) {
        let kept = || async { self.home.count("SELECT COUNT(*) FROM read_so_far").await > 0 };
        eventually_async("what was read is kept", 10, kept).await;
    }

    fn runs(&self) -> usize {
        let asked = self.model.asked();
        asked.iter().filter(|asked| asked.results().is_empty()).count()
    }
}

/// Runs a test on every engine, each with a stage of its own.
async fn on_every_engine(test: impl AsyncFn(Stage)) {
    database::on_every_engine(async || test(Stage::with(pending::model().await).await).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_killed_before_the_commit_nobody_was_told_202_and_the_sender_comes_again() {
    on_every_engine(async |stage| {
        assert!(!stage.killed_at(&[("FIRSTLOOK_FAIL_AT", "before-commit")]).await);
        let service = stage.home.serve().await;
        assert_eq!(service.incidents().await, Vec::<Value>::new());
        let (id, decision) = service.accept(&webhook(PENDING)).await;
        assert_eq!(decision, "opened");
        stage.told_once(&service.settled(&id, SECONDS).await);
        assert_eq!(stage.runs(), 1);
        stage.sum_is_right_after(1, &service).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_killed_between_commit_and_answer_the_repeat_is_merged() {
    on_every_engine(async |stage| {
        assert!(!stage.killed_at(&[("FIRSTLOOK_FAIL_AT", "after-commit")]).await);
        let service = stage.home.serve().await;
        let (id, decision) = service.accept(&webhook(PENDING)).await;
        assert_eq!(decision, "merged");
        let incident = service.settled(&id, SECONDS).await;
        assert_eq!(incident["delivery_log"].as_array().unwrap().len(), 2, "{incident:#}");
        stage.told_once(&incident);
        assert_eq!((service.incidents().await.len(), stage.runs()), (1, 1));
        stage.sum_is_right_after(2, &service).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_killed_between_answer_and_claim_it_is_taken_up_at_start() {
    on_every_engine(async |stage| {
        let halted = [("FIRSTLOOK_STALL_AT", "before-claim")];
        let service = stage.home.serve_with(&halted).await;
        let mut alert = webhook(PENDING);
        let began = Timestamp::now() - Duration::from_secs(95 * 60);
        alert["alerts"][0]["startsAt"] = began.to_string().into();
        service.accept(&alert).await;
        service.kill_9().await;
        let (_service, incident) = stage.goes_on().await;
        assert_eq!(incident["investigation"]["attempts"], 1, "{incident:#}");
        stage.told_once(&incident);
        // Whoever reads it after a pause sees how old it is.
        let card = stage.feishu.arrivals()[0].1.to_string();
        assert!(card.contains("for 1 h 35 min"), "{card}");
        assert_eq!(stage.runs(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f04_killed_after_the_claim_it_is_claimed_again_when_the_lease_ends() {
    on_every_engine(async |stage| {
        stage.killed_at(&[("FIRSTLOOK_FAIL_AT", "after-claim")]).await;
        let (_service, incident) = stage.goes_on().await;
        assert_eq!(incident["investigation"]["attempts"], 2, "{incident:#}");
        stage.told_once(&incident);
        assert_eq!(stage.runs(), 1);
    })
    .await;
}

/// What was put aside is investigated when somebody asks, by its page's button or by this; others are not.
async fn is_investigated_when_asked(service: &Service, dead: &Value, done: &str) {
    let id = dead["id"].as_str().unwrap();
    let again = async |id: &str| {
        let request = service.request(reqwest::Method::POST, &format!("/api/v1/incidents/{id}/again"));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(
        [again("none").await, again(&uuid::Uuid::now_v7().to_string()).await, again(done).await],
        [404, 404, 409]
    );
    let page = service.request(reqwest::Method::GET, &format!("/incidents/{id}?lang=en")).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains(&format!("action=\"{id}/again?lang=en\"")), "{page}");
    let nobody = reqwest::Client::builder().no_proxy().build().unwrap();
    let press = nobody.post(format!("{}/incidents/{id}/again", service.base())).send().await.unwrap();
    assert_eq!(press.status(), 401, "nobody knows who this is");
    assert_eq!(again(id).await, 202);
    let incident =
        service.incident_when("it is investigated", id, SECONDS, |one| is_settled(one) && !one["report"].is_null());
    let incident = incident.await;
    assert_eq!(incident["investigation"]["state"], "done", "{incident:#}");
    assert_eq!(incident["report"]["causes"][0]["resource"]["name"], "test-data", "{incident:#}");
    assert_eq!(again(id).await, 409, "it is not dead any more");
}

/// A delivery on which every process dies: after three attempts it is put aside where people see it, its alert was told
/// all the same, and those after it are investigated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f45_what_kills_its_worker_every_time_is_put_aside_and_the_rest_goes_on() {
    on_every_engine(async |stage| {
        stage.killed_at(&[("FIRSTLOOK_FAIL_AT", "after-claim")]).await;
        let mut deaths = 1;
        let service = loop {
            assert!(deaths < 6, "it dies for ever");
            let Some(mut service) = stage.home.serve_until("after-claim").await else {
                deaths += 1;
                continue;
            };
            let gone = service.is_gone_within(25).await;
            if !gone {
                break service;
            }
            deaths += 1;
        };
        assert_eq!(deaths, 3);
        let incidents = service.incidents().await;
        let incident = service.settled(incidents[0]["id"].as_str().unwrap(), SECONDS).await;
        assert_eq!(incident["investigation"]["state"], "dead", "{incident:#}");
        assert!(incident["investigation"]["last_error"].as_str().unwrap().contains("no attempt came to an end"));
        assert_eq!((incident["notices"].as_array().unwrap().len(), stage.cards()), (1, 1), "the alert itself was told");
        assert_eq!(service.metric("firstlook_queue_length{queue=\"investigations_dead\"}").await, Some(1.0));
        stage.sum_is_right_after(1, &service).await;
        service.kill_9().await;

        let service = stage.home.serve().await;
        let (id, _) = service.accept(&in_group(PENDING, "after it")).await;
        assert_eq!(service.settled(&id, SECONDS).await["report"]["usage"]["source"], "model");
        stage.sum_is_right_after(2, &service).await;
        is_investigated_when_asked(&service, &incident, &id).await;
        stage.sum_is_right_after(2, &service).await;
    })
    .await;
}

/// A fault of the program's own in an investigation ends that attempt and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f45_an_investigation_that_breaks_off_is_tried_again_then_put_aside_and_the_process_goes_on() {
    on_every_engine(async |stage| {
        let service = stage.home.serve_with(&[("FIRSTLOOK_PANIC_AT", "after-claim")]).await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let dead = service.settled(&id, SECONDS).await;
        let investigation = &dead["investigation"];
        assert_eq!((&investigation["state"], &investigation["attempts"]), (&json!("dead"), &json!(3)), "{dead:#}");
        assert!(investigation["last_error"].as_str().unwrap().contains("broke off"), "{dead:#}");
        assert_eq!((dead["notices"].as_array().unwrap().len(), stage.cards()), (1, 1), "the alert itself was told");
        let (after, _) = service.accept(&in_group(PENDING, "after it")).await;
        assert_eq!(service.settled(&after, SECONDS).await["report"]["usage"]["source"], "model");
        is_investigated_when_asked(&service, &dead, &after).await;
        stage.sum_is_right_after(2, &service).await;
    })
    .await;
}

/// The model's first answer begins and never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_killed_in_the_middle_of_a_models_stream_the_run_is_repeated_from_what_was_read() {
    database::on_every_engine(async || {
        let mut begun = false;
        let model = ModelServer::scripted(move |asked| {
            let is_first = !std::mem::replace(&mut begun, true);
            if is_first { Answer::KeepAlive } else { pending::investigate(asked) }
        })
        .await;
        let stage = Stage::with(model).await;
        let service = stage.home.serve().await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        eventually("the model is asked", 10, || (!stage.model.asked().is_empty()).then_some(())).await;
        // The playbook's findings are out by then; they must not be told again.
        let told = |incident: &Value| incident["notices"][0]["state"] == "sent";
        let first = service.incident_when("the first message is sent", &id, 10, told).await;
        stage.what_was_read_is_kept().await;
        service.kill_9().await;
        let (service, incident) = stage.goes_on().await;
        assert_eq!(incident["investigation"]["attempts"], 2, "{incident:#}");
        let usage = &incident["report"]["usage"];
        assert_eq!(usage["source"], "model", "{incident:#}");
        stage.told_once(&incident);
        assert_eq!(stage.runs(), 2);
        // The cluster is not asked again: what the first message cites is what the second one cites.
        assert_eq!(incident["evidence"], first["evidence"]);
        let read = incident["evidence"].as_array().unwrap().len();
        assert!(read > 3 && usage["tool_calls"] == read, "what both runs read is counted: {incident:#}");
        assert_eq!(service.metric("firstlook_tool_calls_total").await, None);
    })
    .await;
}

/// What the first turn cost is counted when the process dies in the second, beside what the repeated run costs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_killed_in_the_second_turn_what_the_first_one_cost_stays_counted() {
    database::on_every_engine(async || {
        let mut turns = 0;
        let model = ModelServer::scripted(move |asked| {
            turns += 1;
            if turns == 2 { Answer::KeepAlive } else { pending::investigate(asked) }
        })
        .await;
        let stage = Stage::with(model).await;
        // What a model can do is asked once, and costs too.
        let service = stage.home.serve().await;
        let examined = || async { service.get("/readyz?verbose").await["models"][0]["capabilities"].is_object() };
        eventually_async("the model is examined", 20, examined).await;
        assert!(service.terminate().await.success());
        let before = stage.home.tokens_spent().await;

        let service = stage.home.serve().await;
        service.accept(&webhook(PENDING)).await;
        eventually("the second turn is under way", 20, || (stage.model.asked().len() == 2).then_some(())).await;
        let counted = || async { stage.home.tokens_spent().await > before };
        eventually_async("the first turn is counted", 10, counted).await;
        stage.what_was_read_is_kept().await;
        service.kill_9().await;
        let first = stage.home.tokens_spent().await - before;
        let (service, incident) = stage.goes_on().await;
        assert_eq!(service.metric("firstlook_tool_calls_total").await, None, "nothing is read twice");
        assert!(service.terminate().await.success());
        let usage = &incident["report"]["usage"];
        let repeated = ["prompt_tokens", "completion_tokens"].map(|key| usage[key].as_i64().unwrap());
        assert_eq!(stage.home.tokens_spent().await, before + first + repeated.iter().sum::<i64>(), "{usage:#}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f06_killed_in_a_tool_call_it_is_called_again() {
    on_every_engine(async |stage| {
        stage.killed_at(&[("FIRSTLOOK_FAIL_AT", "in-tool-call")]).await;
        assert_eq!(stage.runs(), 0, "it died while looking");
        let (_service, incident) = stage.goes_on().await;
        assert!(!incident["evidence"].as_array().unwrap().is_empty(), "{incident:#}");
        stage.told_once(&incident);
        assert_eq!(stage.runs(), 1);
    })
    .await;
}

/// The first message is held back, so that it is certain to be unsent when the diagnosis is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_killed_between_diagnosis_and_message_no_second_run_is_paid() {
    on_every_engine(async |stage| {
        let points = [("FIRSTLOOK_FAIL_AT", "after-diagnosis"), ("FIRSTLOOK_STALL_AT", "before-send")];
        assert!(stage.killed_at(&points).await);
        assert_eq!((stage.cards(), stage.runs()), (0, 1));
        let (_service, incident) = stage.goes_on().await;
        assert_eq!(incident["investigation"]["attempts"], 1, "{incident:#}");
        stage.told_once(&incident);
        assert_eq!(stage.runs(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_killed_between_arrival_and_mark_people_read_it_twice_at_most() {
    on_every_engine(async |stage| {
        assert!(stage.killed_at(&[("FIRSTLOOK_FAIL_AT", "before-mark")]).await);
        assert_eq!(stage.cards(), 1, "it had arrived");
        let (service, incident) = stage.goes_on().await;
        assert_eq!(incident["notices"][0]["attempts"], 2, "{incident:#}");
        let counted = service.metric("firstlook_notices_perhaps_twice_total{channel=\"oncall\"}").await;
        assert_eq!(counted, Some(1.0), "what people may read twice is counted");
        let said = incident["notices"][0]["last_error"].as_str().unwrap_or_default();
        assert!(said.contains("killed or hung"), "and said where it happened: {incident:#}");
        let firsts = stage.cards() - (incident["notices"].as_array().unwrap().len() - 1);
        assert_eq!(firsts, 2, "{incident:#}");
    })
    .await;
}

/// Killed when a summary had arrived and none of those in it was marked: each of them is told again, once, and none is
/// forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_killed_between_a_summary_s_arrival_and_its_marks_each_name_comes_twice_at_most() {
    const STORM: usize = 12;
    database::on_every_engine(async || {
        let feishu = Feishu::start().await;
        let home = Home::new(&json!({"channels": [
            {"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"merge_above": 1}},
        ]}));
        let name = |number: usize| format!("Merged{number:02}");
        let alert = |number| one_alert(&name(number), &json!({"alertname": name(number), "namespace": "shop"}));
        // Nothing is sent until all of them wait.
        let service = home.serve_with(&[("FIRSTLOOK_STALL_AT", "before-send")]).await;
        // The first message stands still there, alone: what comes after it is nobody's.
        service.accept(&one_alert("stalled", &json!({"alertname": "Stalled", "namespace": "shop"}))).await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let alerts: Vec<Value> = (0..STORM).map(alert).collect();
        futures::future::join_all(alerts.iter().map(|alert| service.accept(alert))).await;
        service.kill_9().await;
        if let Some(mut service) = home.serve_until("before-mark").await {
            service.dies(40).await;
        }
        let arrived = feishu.accepted();
        assert_eq!(arrived.len(), 1, "one message had arrived");
        let in_it = (0..STORM).filter(|number| arrived[0].to_string().contains(&name(*number))).count();
        assert!(in_it > 1, "it stood for several: {}", arrived[0]);

        let service = home.serve().await;
        for incident in service.incidents().await {
            let incident = service.settled(incident["id"].as_str().unwrap(), SECONDS).await;
            assert_eq!(incident["notices"][0]["state"], "sent", "{incident:#}");
        }
        let messages: Vec<String> = feishu.accepted().iter().map(Value::to_string).collect();
        let told = |number: usize| messages.iter().filter(|message| message.contains(&name(number))).count();
        let times: Vec<usize> = (0..STORM).map(told).collect();
        assert!(times.iter().all(|times| [1, 2].contains(times)), "{times:?}");
        assert_eq!(times.iter().filter(|times| **times == 2).count(), in_it, "{times:?}");
        let balance = contract::holds(&service, STORM + 1, 5).await;
        assert_eq!(balance.sent, STORM as u64 + 1, "{balance:?}");
    })
    .await;
}

/// The second place takes connections and says nothing until the process is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f09_killed_between_two_places_only_the_second_is_sent_to() {
    on_every_engine(async |mut stage| {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/cgi-bin/webhook/send?key=k", silent.local_addr().unwrap());
        let second = |url: &str| json!({"name": "ops", "type": "wecom-bot", "url": url});
        stage.parts["channels"].as_array_mut().unwrap().push(second(&url));
        stage.home.write(&stage.parts);
        assert!(stage.killed_at(&[("FIRSTLOOK_FAIL_AT", "after-mark")]).await);
        assert_eq!(stage.cards(), 1);

        let wecom = Wecom::start().await;
        stage.parts["channels"][1] = second(&wecom.url());
        stage.home.write(&stage.parts);
        let (_service, incident) = stage.goes_on().await;
        let told = incident["notices"].as_array().unwrap();
        let on = |channel: &str| told.iter().filter(|notice| notice["channel"] == channel).count();
        assert_eq!((stage.cards(), wecom.arrivals().len()), (on("oncall"), on("ops")), "{incident:#}");
        let attempts: Vec<u64> = told.iter().take(2).map(|notice| notice["attempts"].as_u64().unwrap()).collect();
        // Whether the second place had been tried when the process died is chance.
        assert!([2, 3].contains(&attempts.iter().sum()), "{incident:#}");
    })
    .await;
}
