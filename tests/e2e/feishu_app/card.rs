//! From the alert to the end: what the one card shows, and what is said beneath it.

use std::time::Duration;

use serde_json::json;

use super::{home, parts};
use crate::support::alerts::{PENDING, in_group, one_alert, resolved, webhook};
use crate::support::eventually;
use crate::support::feishu_app::{FeishuApp, Message};
use crate::support::model::{Answer, ModelServer};
use crate::support::pending;
use crate::support::service::{Home, is_settled, program, run};

fn the_card(app: &FeishuApp) -> Message {
    let mut cards = app.cards();
    assert_eq!(cards.len(), 1, "an incident is one card: {cards:#?}");
    cards.remove(0)
}

/// A model that thinks before it submits.
pub(super) async fn thoughtful(seconds: u64) -> ModelServer {
    ModelServer::scripted(move |asked| match pending::investigate(asked) {
        answer if asked.results().is_empty() => answer,
        answer => Answer::After(Duration::from_secs(seconds), Box::new(answer)),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_card_is_received_investigated_diagnosed_and_resolved() {
    let (app, model) = (FeishuApp::start().await, thoughtful(6).await);
    let home = home(&app, &model);
    let service = home.serve().await;
    let alert = webhook(PENDING);
    let (id, _) = service.accept(&alert).await;
    let incident = service.settled(&id, 40).await;
    let card = the_card(&app);
    let history = card.history();
    assert!(history[0].contains("investigating") && history[0].contains("KubePodNotReady"), "{}", history[0]);
    let opened: jiff::Timestamp = incident["opened_at"].as_str().unwrap().parse().unwrap();
    assert!(card.at.duration_since(opened).as_secs_f64() < 2.0, "the card came in time");
    assert!(history.iter().any(|shown| shown.contains("results read, the last from")), "{history:#?}");
    let last = history.last().unwrap();
    assert!(last.contains("com.tencent.cloud.csi.cbs") && !last.contains("investigating"), "{last}");
    assert!(history.len() <= 5, "steps are coalesced: {}", history.len());

    service.accept(&resolved(&alert)).await;
    let over = |incident: &serde_json::Value| incident["state"] == "resolved" && is_settled(incident);
    service.incident_when("it is resolved", &id, 20, over).await;
    let card = the_card(&app);
    assert_eq!(card.content["header"]["template"], "green");
    let shown = card.content.to_string();
    assert!(
        shown.contains("gone after") && shown.contains("com.tencent.cloud.csi.cbs"),
        "the diagnosis stays: {shown}"
    );
    let answers = app.answers_to(&card.id);
    let end = &answers.last().expect("a line about the end").content["text"];
    assert!(
        end.as_str().unwrap().contains("Resolved after") && answers.iter().all(|answer| answer.in_thread),
        "{answers:#?}"
    );
    assert_eq!(end.as_str().unwrap().lines().count(), 1, "{answers:#?}");
    assert!(answers.len() <= 2, "{answers:#?}");
    assert_eq!(app.refused(), vec![]);
    assert_eq!(app.tokens_given(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_diagnosis_that_adds_nothing_still_ends_the_investigation_on_the_card() {
    let app = FeishuApp::start().await;
    let broken = ModelServer::scripted(|_| Answer::error(500, &json!({"error": {"message": "cuda ran away"}}))).await;
    let models = json!([{"name": "fast", "base_url": broken.url(), "api_key": crate::support::model::KEY, "model": "m", "timeout": "4s"}]);
    let mut parts = parts(&app, models);
    parts["triage"] = json!({"deadline": "8s"});
    let home = Home::new(&parts);
    let service = home.serve().await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    service.settled(&id, 40).await;
    let card = the_card(&app);
    assert!(card.history()[0].contains("investigating"), "{}", card.history()[0]);
    let shown = card.content.to_string();
    assert!(!shown.contains("investigating") && shown.contains("com.tencent.cloud.csi.cbs"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_diagnosis_that_changes_is_said_beneath_the_card() {
    let app = FeishuApp::start().await;
    let model = ModelServer::scripted(|asked| {
        if asked.results().is_empty() {
            return pending::look();
        }
        let mut diagnosis = pending::diagnosis(&asked.results());
        diagnosis["causes"][0]["code"] = "storage_class_wrong".into();
        diagnosis["causes"][0]["resource"] = json!({"kind": "StorageClass", "namespace": "", "name": "cbs"});
        Answer::call("submit_diagnosis", diagnosis)
    })
    .await;
    let home = home(&app, &model);
    let service = home.serve().await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    let incident = service.settled(&id, 40).await;
    let first_had_findings = the_card(&app).history()[0].contains("com.tencent.cloud.csi.cbs");
    let changed = incident["report"]["disagreement"].is_object();
    assert!(first_had_findings && changed, "{incident:#}");
    let answers = app.answers_to(&the_card(&app).id);
    assert_eq!(answers.len(), 1, "{answers:#?}");
    let said = answers[0].content["text"].as_str().unwrap();
    assert!(said.starts_with("StorageClass/cbs may be a cause too"), "what is new, and no more: {answers:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tries_the_credentials_and_sends_a_card_when_asked() {
    let app = FeishuApp::start().await;
    let checked = async |parts: &serde_json::Value, arguments: &[&str]| {
        let home = Home::new(parts);
        let mut command = program();
        command.args(["check", "--config"]).arg(home.config()).args(arguments);
        run(command).await
    };
    let mut parts = json!({"channels": [app.channel()]});
    let tried = checked(&parts, &[]).await;
    assert!(tried.code == Some(0) && tried.stdout.contains("the app's credentials are accepted"), "{tried:?}");
    assert!(app.messages().is_empty());
    let sent = checked(&parts, &["--send"]).await;
    assert!(sent.code == Some(0) && sent.stdout.contains("the test message was accepted (full)"), "{sent:?}");
    assert_eq!(app.cards().len(), 1);
    parts["channels"][0]["app_secret"] = "wrong-secret-wrong-secret".into();
    let wrong = checked(&parts, &[]).await;
    assert!(wrong.code == Some(1) && wrong.stdout.contains("`app_secret`"), "{wrong:?}");
    assert!(!wrong.stdout.contains("wrong-secret-wrong-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_that_join_are_told_in_the_thread_and_shown_on_the_card() {
    let app = FeishuApp::start().await;
    let home = Home::new(&parts(&app, json!([])));
    let service = home.serve().await;
    let (id, _) = service.accept(&in_group(PENDING, "a")).await;
    service.settled(&id, 20).await;
    let late = one_alert("a", &json!({"alertname": "LateComer"}));
    assert_eq!(service.accept(&late).await, (id.clone(), "joined".to_owned()));
    service.settled(&id, 20).await;
    // It is another kind of alert, so the group was looked at once more, and the card shows it as it stands.
    let card = the_card(&app);
    assert!(card.content.to_string().contains("LateComer"));
    let answers = app.answers_to(&card.id);
    assert_eq!(answers.len(), 1);
    assert!(answers[0].content.to_string().contains("LateComer"), "{answers:#?}");
    app.without_threads();
    service.accept(&resolved(&late)).await;
    let end = || app.answers_to(&card.id).into_iter().find(|answer| !answer.in_thread);
    eventually("a line without a thread", 10, end).await;
}

/// Nobody looks a second time, so nothing else would change the card.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graver_alert_that_joins_leads_the_card_though_nothing_is_looked_at() {
    let app = FeishuApp::start().await;
    let mut parts = parts(&app, json!([]));
    parts["routes"] = json!([{"triage": "never"}]);
    let home = Home::new(&parts);
    let service = home.serve().await;
    let alert = in_group(PENDING, "a");
    let (id, _) = service.accept(&alert).await;
    service.settled(&id, 20).await;
    assert_eq!(the_card(&app).content["header"]["title"]["content"], "KubePodNotReady");
    let late = one_alert("a", &json!({"alertname": "DatabaseDown", "severity": "critical"}));
    assert_eq!(service.accept(&late).await, (id.clone(), "joined".to_owned()));
    service.settled(&id, 20).await;
    let card = the_card(&app);
    assert_eq!(card.content["header"]["title"]["content"], "DatabaseDown");
    assert_eq!(card.content["header"]["template"], "red");
    assert!(card.content.to_string().contains("also KubePodNotReady"), "{:#}", card.content);
    let answers = app.answers_to(&card.id);
    assert!(answers.len() == 1 && answers[0].content.to_string().contains("DatabaseDown"), "{answers:#?}");
    assert_eq!(app.refused(), vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_called_by_what_is_new_and_never_by_a_change_or_the_end() {
    let app = FeishuApp::start().await;
    app.may_call("ou_alice");
    app.may_call("ou_bob");
    let mut parts = parts(&app, json!([]));
    // The chat forbids to call everybody, and refuses the first form for it.
    parts["channels"][0]["mentions"] = json!([
        {"match": {"severity": "warning"}, "users": ["all", "ou_alice"]},
        {"match": {"alertname": "LateComer"}, "users": ["ou_bob"]},
    ]);
    let home = Home::new(&parts);
    let service = home.serve().await;
    let alert = in_group(PENDING, "a");
    let (id, _) = service.accept(&alert).await;
    service.settled(&id, 20).await;
    let calls = |message: &Message, user: &str| message.content.to_string().contains(&format!("<at id={user}></at>"));
    assert_eq!(app.refused().iter().map(|(code, _)| *code).collect::<Vec<_>>(), [230_099]);
    assert!(calls(&the_card(&app), "ou_alice") && !calls(&the_card(&app), "all"), "{:#?}", the_card(&app));

    service.accept(&one_alert("a", &json!({"alertname": "LateComer"}))).await;
    service.settled(&id, 20).await;
    let joined = app.answers_to(&the_card(&app).id).remove(0);
    assert!(calls(&joined, "ou_bob"), "{joined:#?}");
    assert!(!calls(&joined, "ou_alice"), "called a moment ago");

    service.accept(&resolved(&alert)).await;
    service.accept(&resolved(&one_alert("a", &json!({"alertname": "LateComer"})))).await;
    let over = |incident: &serde_json::Value| incident["state"] == "resolved" && is_settled(incident);
    service.incident_when("it is resolved", &id, 20, over).await;
    let last = app.answers_to(&the_card(&app).id).pop().unwrap();
    assert!(!last.content.to_string().contains("<at"), "{last:#?}");
    assert!(!the_card(&app).content.to_string().contains("<at"), "nor does what the card became");
    assert_eq!(app.refused().len(), 1, "no change tried to call anybody: {:?}", app.refused());
}
