//! The steps of an investigation typed onto the card: where the platform allows it, and as before where it does not.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;

use super::card::thoughtful;
use super::parts;
use crate::support::alerts::{PENDING, resolved, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::eventually;
use crate::support::feishu_app::FeishuApp;
use crate::support::pending;
use crate::support::service::{Home, Service, is_settled};

/// Investigates one alert on a card that grows, and lets it end; the card's contents, oldest first.
async fn told(app: &FeishuApp) -> (Service, Home, Vec<String>) {
    told_in(app, 6).await
}

/// The same with a model that thinks so many seconds.
async fn told_in(app: &FeishuApp, seconds: u64) -> (Service, Home, Vec<String>) {
    let model = thoughtful(seconds).await;
    let mut parts = parts(app, pending::models(&model));
    parts["channels"][0]["stream"] = true.into();
    let home = Home::new(&parts);
    let service = home.serve().await;
    let alert = webhook(PENDING);
    let (id, _) = service.accept(&alert).await;
    service.settled(&id, 40).await;
    let diagnosed = app.cards()[0].content.to_string();
    assert!(diagnosed.contains("com.tencent.cloud.csi.cbs") && !diagnosed.contains("streaming_mode"), "{diagnosed}");
    service.accept(&resolved(&alert)).await;
    let over = |incident: &Value| incident["state"] == "resolved" && is_settled(incident);
    let incident = service.incident_when("it is resolved", &id, 20, over).await;
    let forms: Vec<&Value> = incident["notices"].as_array().unwrap().iter().map(|one| &one["form"]).collect();
    assert!(forms.iter().all(|form| *form == "full"), "{incident:#}");
    let cards = app.cards();
    assert_eq!(
        (cards.len(), &cards[0].content["header"]["template"]),
        (1, &Value::from("green")),
        "one card, and over"
    );
    let history = cards[0].history();
    let alerts = 2 * alert["alerts"].as_array().unwrap().len();
    assert_eq!(contract::holds(&service, alerts, 10).await.sent, alerts as u64);
    (service, home, history)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_are_typed_onto_the_card_until_it_is_diagnosed() {
    let app = FeishuApp::start().await;
    let (_service, _home, history) = told(&app).await;
    let grown = app.grown();
    let [(texts, grows)] = grown.as_slice() else { panic!("one card grew: {grown:?}") };
    assert!(!texts.is_empty() && texts.windows(2).all(|two| two[1].starts_with(&two[0])), "{texts:?}");
    assert!(texts.last().unwrap().contains("list"), "it names what is read: {texts:?}");
    assert!(!grows, "the typing ended with the investigation");
    assert!(history.len() <= 3, "no step was a change of the whole card: {history:#?}");
    assert_eq!(app.refused(), vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_may_not_type_changes_its_card_as_without_it() {
    let app = FeishuApp::start().await;
    app.without_entities();
    let (_service, _home, history) = told(&app).await;
    assert!(history.iter().any(|shown| shown.contains("results read, the last from")), "{history:#?}");
    assert!(app.refused().iter().all(|(code, _)| *code == 99_991_672), "{:?}", app.refused());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_stopped_to_grow_by_itself_is_changed_from_then_on() {
    let app = FeishuApp::start().await;
    app.growing_ends_after(Duration::ZERO);
    let (_service, _home, history) = told(&app).await;
    assert!(history.iter().any(|shown| shown.contains("results read, the last from")), "{history:#?}");
    assert_eq!(codes(&app), [200_850, 200_850], "once as it was, once after it was asked to go on");
}

fn codes(app: &FeishuApp) -> Vec<i64> {
    app.refused().iter().map(|(code, _)| *code).collect()
}

/// Whatever a call about a growing card is answered, the incident is one card that ends as it should; [`told`] looks at
/// that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_code_of_a_growing_card_leaves_one_card_that_tells_it_all() {
    let each = [200_740, 200_750, 200_770, 200_810, 300_309, 300_317].into_iter().flat_map(|code| {
        ["content", "entity"].into_iter().map(move |kind| async move {
            let app = FeishuApp::start().await;
            app.fail_entities(kind, code);
            // Long enough for a second step behind one that was skipped.
            let (service, _home, history) = told_in(&app, 9).await;
            let log = || service.log();
            assert_eq!(codes(&app), [code], "{kind}: it was met once, and what followed was right: {}", log());
            let typed_again = kind == "content" && [200_810, 300_309, 300_317].contains(&code);
            let grown = app.grown().first().is_some_and(|(texts, _)| !texts.is_empty());
            assert!(!typed_again || grown, "{code}: the steps are typed all the same");
            let changed = history.iter().any(|shown| shown.contains("results read, the last from"));
            assert!(kind == "entity" || typed_again || changed, "{code}: the card is changed instead: {history:#?}");
        })
    });
    futures::stream::iter(each).buffer_unordered(3).collect::<Vec<()>>().await;
}

/// Which entity a card is stands in the store: a process started anew types no more on it, and changes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_a_card_grows_the_next_process_changes_that_card() {
    on_every_engine(async || {
        let (app, model) = (FeishuApp::start().await, thoughtful(8).await);
        let mut parts = parts(&app, pending::models(&model));
        parts["channels"][0]["stream"] = true.into();
        let home = Home::new(&parts);
        let service = home.serve().await;
        let alert = webhook(PENDING);
        let (id, _) = service.accept(&alert).await;
        eventually("steps are typed", 20, || app.grown().first().is_some_and(|one| !one.0.is_empty()).then_some(()))
            .await;
        service.kill_9().await;
        let service = home.serve().await;
        let incident = service.settled(&id, 90).await;
        let card = app.cards().pop().unwrap();
        assert!(card.content.to_string().contains("com.tencent.cloud.csi.cbs"), "{:#}", card.content);
        assert!(incident["notices"].as_array().unwrap().iter().all(|one| one["form"] == "full"), "{incident:#}");
        service.accept(&resolved(&alert)).await;
        let over = |incident: &Value| incident["state"] == "resolved" && is_settled(incident);
        service.incident_when("it is resolved", &id, 20, over).await;
        assert_eq!((app.cards().len(), &app.cards()[0].content["header"]["template"]), (1, &Value::from("green")));
        assert_eq!(app.refused(), vec![]);
        let alerts = 2 * alert["alerts"].as_array().unwrap().len();
        assert_eq!(contract::holds(&service, alerts, 10).await.sent, alerts as u64);
    })
    .await;
}
