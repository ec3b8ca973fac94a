//! The steps of an investigation typed onto the card: where the platform allows it, and as before where it does not.

use std::time::Duration;

use serde_json::Value;

use super::card::thoughtful;
use super::parts;
use crate::support::alerts::{PENDING, resolved, webhook};
use crate::support::feishu_app::FeishuApp;
use crate::support::pending;
use crate::support::service::{Home, Service, is_settled};

/// Investigates one alert on a card that grows, and lets it end; the card's contents, oldest first.
async fn told(app: &FeishuApp) -> (Service, Home, Vec<String>) {
    let model = thoughtful(6).await;
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
    assert_eq!(app.refused().iter().map(|(code, _)| *code).collect::<Vec<_>>(), [200_850]);
}
