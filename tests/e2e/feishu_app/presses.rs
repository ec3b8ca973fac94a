//! Buttons over the long connection: who may, what is done, what is kept.

use serde_json::{Value, json};
use sqlx::Connection;

use super::{OPERATOR, parts, with_buttons};
use crate::support::alertmanager::Alertmanager;
use crate::support::alerts::{PENDING, in_group, resolved, webhook};
use crate::support::contract;
use crate::support::eventually;
use crate::support::feishu_app::FeishuApp;
use crate::support::feishu_ws::{button, press, verdict};
use crate::support::model::{Answer, ModelServer};
use crate::support::pending;
use crate::support::service::{Home, Service, is_settled};

async fn with_card(app: &FeishuApp, parts: &Value) -> (Home, Service, String, String) {
    let home = Home::new(parts);
    let service = home.serve().await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    service.settled(&id, 40).await;
    let card = app.cards().pop().expect("a card");
    (home, service, id, card.id)
}

async fn presses(service: &Service, id: &str) -> Vec<Value> {
    service.incident(id).await["presses"].as_array().cloned().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_makes_a_silence_in_alertmanager_that_matches_exactly_the_alerts() {
    let elsewhere = Home::new(&json!({"mcp": [], "channels": []}));
    let unused = elsewhere.serve().await;
    let alertmanager = Alertmanager::before(&unused).await;
    let body = webhook(PENDING);
    let mut other = body.clone();
    for alert in other["alerts"].as_array_mut().unwrap() {
        alert["labels"]["pod"] = "a-pod-nobody-silenced".into();
    }
    alertmanager.put(&body, true).await;
    alertmanager.put(&other, true).await;

    let app = FeishuApp::start().await;
    let mut parts = with_buttons(&app, json!([]));
    parts["alertmanager"] = json!({"url": alertmanager.base()});
    parts["channels"][0]["owners"] = json!({"alice": OPERATOR});
    let (_home, service, id, card) = with_card(&app, &parts).await;
    let shown = app.cards()[0].content.to_string();
    assert!(shown.contains("\"firstlook\":\"silence\"") && !shown.contains("silences/new"), "{shown}");

    let stranger = app.socket.send("m0", &press("e0", &card, "ou_stranger", &button("silence")), 1).await;
    assert_eq!(stranger["toast"]["type"], "error", "{stranger}");
    assert!(alertmanager.get("silences").await.is_empty());

    let pressed = press("e1", &card, OPERATOR, &button("silence"));
    let answer = app.socket.send("m1", &pressed, 1).await;
    assert_eq!(answer["toast"]["type"], "success", "{answer}\n{}", service.log());
    // The same event again, and another press: one silence for each alert all the same.
    assert_eq!(app.socket.send("m2", &pressed, 1).await, answer);
    let again = app.socket.send("m3", &press("e2", &card, OPERATOR, &button("silence")), 1).await;
    assert!(again["toast"]["content"].as_str().unwrap().contains("alice has silenced it already"), "{again}");
    let others = || app.answers_to(&card).into_iter().find(|it| it.content.to_string().contains("alice: "));
    let told = eventually("the others hear of it", 5, others).await;
    assert!(told.in_thread && told.content.to_string().contains("silenced until"), "{told:#?}");

    let alerts = body["alerts"].as_array().unwrap();
    let silences = alertmanager.get("silences").await;
    assert_eq!(silences.len(), alerts.len(), "{silences:#?}");
    for silence in &silences {
        assert!(silence["comment"].as_str().unwrap().contains(OPERATOR), "{silence}");
        assert!(
            silence["matchers"].as_array().unwrap().iter().all(|one| one["isRegex"] == false && one["isEqual"] == true)
        );
        let times =
            ["startsAt", "endsAt"].map(|key| silence[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
        let seconds = times[1].duration_since(times[0]).as_secs();
        // Alertmanager moves the beginning to the moment it hears of it.
        assert!((7_190..=7_200).contains(&seconds), "{silence}");
    }
    for alert in alertmanager.get("alerts").await {
        let is_other = alert["labels"]["pod"] == "a-pod-nobody-silenced";
        let is_silent = !alert["status"]["silencedBy"].as_array().unwrap().is_empty();
        assert_eq!(is_silent, !is_other, "{alert:#}");
    }
    let kept = presses(&service, &id).await;
    let gist: Vec<_> =
        kept.iter().map(|one| (one["person"].as_str().unwrap(), one["state"].as_str().unwrap())).collect();
    assert_eq!(gist, [("ou_stranger", "refused"), (OPERATOR, "done"), (OPERATOR, "refused")], "{kept:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_who_is_no_silencer_may_do_everything_else() {
    let app = FeishuApp::start().await;
    let mut parts = with_buttons(&app, json!([]));
    parts["channels"][0]["operators"] = json!([OPERATOR, "ou_silencer"]);
    parts["channels"][0]["silencers"] = json!(["ou_silencer"]);
    let (_home, service, id, card) = with_card(&app, &parts).await;
    let refused = app.socket.send("m1", &press("e1", &card, OPERATOR, &button("silence")), 1).await;
    assert_eq!(refused["toast"]["type"], "error", "{refused}");
    assert!(refused["toast"]["content"].as_str().unwrap().contains("but not silence"), "{refused}");
    let noted = app.socket.send("m2", &press("e2", &card, OPERATOR, &verdict("useful", "")), 1).await;
    assert_eq!(noted["toast"]["type"], "success", "{noted}");
    // It gets as far as the Alertmanager, of which nothing is configured here.
    let allowed = app.socket.send("m3", &press("e3", &card, "ou_silencer", &button("silence")), 1).await;
    assert!(allowed["toast"]["content"].as_str().unwrap().contains("alertmanager.url"), "{allowed}");
    let stranger = app.socket.send("m4", &press("e4", &card, "ou_stranger", &button("silence")), 1).await;
    assert!(stranger["toast"]["content"].as_str().unwrap().contains("operators"), "{stranger}");
    let kept = presses(&service, &id).await;
    let gist: Vec<_> =
        kept.iter().map(|one| ["person", "action", "state"].map(|key| one[key].as_str().unwrap())).collect();
    let expected = [
        [OPERATOR, "silence", "refused"],
        [OPERATOR, "useful", "done"],
        ["ou_silencer", "silence", "refused"],
        ["ou_stranger", "silence", "refused"],
    ];
    assert_eq!(gist, expected, "every press is on record: {kept:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn investigate_again_changes_the_card_and_feedback_is_kept_with_its_reason() {
    let app = FeishuApp::start().await;
    let turn = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let model = ModelServer::scripted(move |asked| {
        if asked.results().is_empty() {
            return pending::look();
        }
        let mut diagnosis = pending::diagnosis(&asked.results());
        let number = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        diagnosis["headline"] = format!("Look number {number}: the provisioner is not installed").into();
        Answer::call("submit_diagnosis", diagnosis)
    })
    .await;
    let (_home, service, id, card) = with_card(&app, &with_buttons(&app, pending::models(&model))).await;
    assert!(app.cards()[0].content.to_string().contains("Look number 0"));

    let answer = app.socket.send("m1", &press("e1", &card, OPERATOR, &button("again")), 3).await;
    assert_eq!(answer["toast"]["type"], "success", "{answer}");
    eventually("the second look is on the card", 30, || {
        app.cards()[0].content.to_string().contains("Look number 1").then_some(())
    })
    .await;
    assert_eq!(app.cards().len(), 1);
    let report = service.settled(&id, 20).await["report"].clone();
    let known: Vec<&Value> = report["evidence"].as_array().unwrap().iter().map(|entry| &entry["ref"]).collect();
    assert!(known.contains(&&json!("E1")), "{report:#}");

    app.socket.send("m2", &press("e2", &card, OPERATOR, &verdict("useless", "已经知道了 <at id=all>")), 1).await;
    let kept = presses(&service, &id).await;
    assert_eq!(kept[1]["action"], "useless");
    assert_eq!(kept[1]["reason"], "已经知道了 <at id=all>");

    service.accept(&resolved(&webhook(PENDING))).await;
    service.incident_when("it is over", &id, 20, |incident| incident["state"] == "resolved").await;
    let late = app.socket.send("m3", &press("e3", &card, OPERATOR, &button("again")), 1).await;
    assert_eq!(late["toast"]["type"], "error", "{late}");
    let unknown = app.socket.send("m4", &press("e4", "om_somebody_elses", OPERATOR, &button("again")), 1).await;
    assert_eq!(unknown["toast"]["type"], "error", "{unknown}");
    assert_eq!(presses(&service, &id).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_press_on_a_card_that_another_took_the_place_of_is_kept_with_its_refusal() {
    let app = FeishuApp::start().await;
    let (_home, service, id, old) = with_card(&app, &with_buttons(&app, json!([]))).await;
    app.lose(&old, 230_031);
    service.accept(&resolved(&webhook(PENDING))).await;
    let new = eventually("a new card", 20, || app.cards().pop().filter(|card| card.id != old)).await;
    let over = |incident: &Value| incident["state"] == "resolved" && is_settled(incident);
    service.incident_when("it is over", &id, 20, over).await;

    let late = app.socket.send("m1", &press("e1", &old, OPERATOR, &verdict("useful", "")), 1).await;
    assert!(late["toast"]["content"].as_str().unwrap().contains("does not show its incident any more"), "{late}");
    // The same press again is the same press.
    assert_eq!(app.socket.send("m2", &press("e1", &old, OPERATOR, &verdict("useful", "")), 1).await, late);
    let answer = app.socket.send("m3", &press("e2", &new.id, OPERATOR, &verdict("useful", "")), 1).await;
    assert_eq!(answer["toast"]["type"], "success", "{answer}");
    let kept = presses(&service, &id).await;
    let gist: Vec<[&str; 2]> =
        kept.iter().map(|one| ["message", "state"].map(|key| one[key].as_str().unwrap())).collect();
    assert_eq!(gist, [[old.as_str(), "refused"], [new.id.as_str(), "done"]], "{kept:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_is_kept_alive_and_dialled_again_when_it_ends() {
    let app = FeishuApp::start().await;
    let (_home, service, _, card) = with_card(&app, &with_buttons(&app, json!([]))).await;
    eventually("pings", 10, || (app.socket.pings() >= 2).then_some(())).await;
    app.socket.drop_connection();
    eventually("a second connection", 15, || (app.socket.connections() == 2).then_some(())).await;
    assert_eq!(app.socket.asked(), 2, "the address is asked for anew");
    let answer = app.socket.send("m1", &press("e1", &card, OPERATOR, &verdict("useful", "")), 1).await;
    assert_eq!(answer["toast"]["type"], "success", "{answer}");
    assert!(!service.log().contains("long-secret-ticket"), "the address is a credential");
    let other =
        json!({"schema": "2.0", "header": {"event_id": "x", "event_type": "im.message.receive_v1"}, "event": {}});
    assert_eq!(app.socket.send("m2", &other, 1).await, json!({}), "what is no press is acknowledged");
}

/// Each documented code of the address and of the handshake: it is said what to do, and dialled again until it stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_platform_answers_a_dial_the_connection_stands_at_last() {
    let app = FeishuApp::start().await;
    app.socket.fail_endpoint(&[1_000_040_344, 1_000_040_343, 1]);
    app.socket.fail_handshakes(&[(514, "1000040350"), (514, "1000040342"), (403, "")]);
    let (_home, service, id, card) = with_card(&app, &with_buttons(&app, json!([]))).await;
    // The first wait is at random, of up to half a minute; each after it is twice as long as the one before.
    eventually("a connection", 120, || (app.socket.connections() == 1).then_some(())).await;
    let answer = app.socket.send("m1", &press("e1", &card, OPERATOR, &verdict("useful", "")), 1).await;
    assert_eq!(answer["toast"]["type"], "success", "{answer}");
    assert_eq!(presses(&service, &id).await.len(), 1);
    let log = service.log();
    for said in [
        "answered 1 ",
        "1000040343",
        "1000040344",
        "check app_id and app_secret",
        "1000040350",
        "at most 50",
        "refused the connection: 403",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(!log.contains("long-secret-ticket"), "the address is a credential");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alertmanager_that_is_away_or_hangs_is_said_in_time_and_can_be_tried_again() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = FeishuApp::start().await;
    let mut parts = with_buttons(&app, json!([]));
    parts["alertmanager"] = json!({"url": format!("http://{}", silent.local_addr().unwrap())});
    let (_home, service, id, card) = with_card(&app, &parts).await;
    // Connections are accepted by the system and nobody answers: the person hears within three seconds all the same.
    let answer = app.socket.send("m1", &press("e1", &card, OPERATOR, &button("silence")), 1).await;
    assert!(answer["toast"]["content"].as_str().unwrap().contains("Under way"), "{answer}");
    assert_eq!(answer["toast"]["type"], "info", "nobody knows yet: {answer}");
    let failed = |incident: &Value| incident["presses"][0]["state"] == "failed";
    let incident = service.incident_when("the press is over", &id, 20, failed).await;
    assert!(incident["presses"][0]["outcome"].as_str().unwrap().contains("did not answer in time"), "{incident:#}");
    let told = || {
        let answers = app.answers_to(&card);
        answers.iter().any(|it| it.content.to_string().contains("did not answer in time")).then_some(())
    };
    eventually("the thread tells what came of it", 10, told).await;
    drop(silent);
    let answer = app.socket.send("m2", &press("e2", &card, OPERATOR, &button("silence")), 1).await;
    assert!(answer["toast"]["content"].as_str().unwrap().contains("is not reached"), "{answer}");
    let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
    assert_eq!(contract::holds(&service, alerts, 10).await.sent, alerts as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_whose_investigation_was_given_up_says_so() {
    let (app, model) = (FeishuApp::start().await, ModelServer::scripted(|_| Answer::Hang).await);
    let home = Home::new(&with_buttons(&app, pending::models(&model)));
    let service = home.serve().await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    eventually("a card", 10, || app.cards().pop()).await;
    service.kill_9().await;
    // As three processes that died over it would leave it.
    let database = home.config().with_file_name("firstlook.db");
    let killed = "UPDATE investigation SET attempt = 3, due_at = 0";
    sqlite(&database, killed).await;
    let service = home.serve().await;
    eventually("the card says so", 20, || {
        app.cards()[0].content.to_string().contains("failed repeatedly").then_some(())
    })
    .await;
    assert!(!app.cards()[0].content.to_string().contains("investigating"));
    assert_eq!(service.settled(&id, 20).await["investigation"]["state"], "dead");
    let answer = app.socket.send("m1", &press("e1", &app.cards()[0].id, OPERATOR, &button("again")), 1).await;
    assert_eq!(answer["toast"]["type"], "success", "{answer}");
    let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
    assert_eq!(contract::holds(&service, alerts, 10).await.sent, alerts as u64);
}

/// Cards take changes for 14 days: what comes after that is told in a card of its own, without asking for what is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_of_last_month_is_left_alone_and_its_end_is_a_new_one() {
    let app = FeishuApp::start().await;
    let home = Home::new(&parts(&app, json!([])));
    let service = home.serve().await;
    let alert = in_group(PENDING, "old");
    let (id, _) = service.accept(&alert).await;
    service.settled(&id, 20).await;
    let before = app.cards();
    service.kill_9().await;
    sqlite(&home.config().with_file_name("firstlook.db"), "UPDATE card SET sent_at = sent_at - 1209600000").await;
    let service = home.serve().await;
    service.accept(&resolved(&alert)).await;
    let over = |incident: &Value| incident["state"] == "resolved" && is_settled(incident);
    service.incident_when("it is resolved", &id, 30, over).await;
    let cards = app.cards();
    assert_eq!(cards.len(), before.len() + 1, "{cards:#?}");
    assert_eq!(cards[0].history(), before[0].history(), "the old one was not touched");
    assert_eq!(cards.last().unwrap().content["header"]["template"], "green");
}

/// Changes a store that no process has open.
async fn sqlite(file: &std::path::Path, statement: &'static str) {
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_operators_nothing_acts_and_nothing_is_dialled() {
    let app = FeishuApp::start().await;
    let home = Home::new(&parts(&app, json!([])));
    let service = home.serve().await;
    let (id, _) = service.accept(&in_group(PENDING, "quiet")).await;
    service.settled(&id, 20).await;
    assert!(!app.cards()[0].content.to_string().contains("callback"));
    assert_eq!(app.socket.asked(), 0);
}
