//! A storm: more incidents than a channel takes one by one. Everybody hears every name, and no product refuses a message.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Fault;
use crate::support::alerts::{one_alert, resolved};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::eventually;
use crate::support::feishu::Feishu;
use crate::support::feishu_app::FeishuApp;
use crate::support::service::Home;
use crate::support::wecom::Wecom;

const INCIDENTS: usize = 90;

/// Never so many at once that they would be merged, and more than a bot's minute holds: what is left of the minute is
/// shared out, so that nobody waits for its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_incidents_does_not_spend_a_bot_s_minute_in_its_first_seconds() {
    const STREAM: usize = 45;
    let wecom = Wecom::start().await;
    let home = Home::new(&json!({"channels": [{"name": "ops", "type": "wecom-bot", "url": wecom.url()}]}));
    let service = home.serve().await;
    for number in 0..STREAM {
        let name = format!("Stream{number:03}");
        service.accept(&one_alert(&name, &json!({"alertname": name, "namespace": "shop"}))).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let named = || {
        let all: String = wecom.accepted().iter().map(Value::to_string).collect();
        (0..STREAM).filter(|number| all.contains(&format!("Stream{number:03}"))).count()
    };
    eventually("each is named before the minute is over", 40, || (named() == STREAM).then_some(())).await;
    assert!(
        wecom.accepted().len() < 20 && wecom.refused().is_empty(),
        "{} {:?}",
        wecom.accepted().len(),
        wecom.refused()
    );
}

/// A product whose limits are tighter than it says: what it refuses as one message comes as several, and every name in one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_summary_that_is_refused_comes_as_shorter_ones() {
    let wecom = Wecom::start().await;
    let home = Home::new(&json!({"channels": [
        {"name": "ops", "type": "wecom-bot", "url": wecom.url(), "delivery": {"merge_above": 1}},
    ]}));
    let service = home.serve().await;
    wecom.fail([Fault::Code(-1, "system busy")]);
    let alerts: Vec<Value> = (0..30)
        .map(|number| {
            let name = format!("Refused{number:03}");
            one_alert(&name, &json!({"alertname": name, "namespace": "shop"}))
        })
        .collect();
    let receipts = futures::future::join_all(alerts.iter().map(|alert| service.accept(alert))).await;
    wecom.refuse_longer_than(1_300);
    for (id, _) in &receipts {
        let incident = service.settled(id, 40).await;
        assert_eq!(incident["notices"][0]["state"], "sent", "{incident:#}");
    }
    let all: String = wecom.accepted().iter().map(Value::to_string).collect();
    let missing: Vec<usize> = (0..30).filter(|number| !all.contains(&format!("Refused{number:03}"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(wecom.refused().iter().any(|(code, _)| *code == 40058), "{:?}", wecom.refused());
    let balance = contract::holds(&service, alerts.len(), 5).await;
    assert_eq!(balance.sent, alerts.len() as u64, "{balance:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f44_a_storm_merges_into_summaries_that_name_everything() {
    on_every_engine(async || {
        let (feishu, wecom) = (Feishu::with(None, None).await, Wecom::start().await);
        let home = Home::new(&json!({"channels": [
            {"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"merge_above": 5}},
            {"name": "ops", "type": "wecom-bot", "url": wecom.url()},
        ]}));
        let service = home.serve().await;
        let alert = |number: usize| {
            let name = format!("Storm{number:03}");
            one_alert(&name, &json!({"alertname": name, "namespace": "shop"}))
        };
        let alerts: Vec<Value> = (0..INCIDENTS).map(alert).collect();
        let receipts = futures::future::join_all(alerts.iter().map(|alert| service.accept(alert))).await;
        assert!(receipts.iter().all(|(_, decision)| decision == "opened"), "{receipts:?}");
        for (id, _) in &receipts {
            service.settled(id, 30).await;
        }
        assert_eq!(feishu.refused(), [], "within its limits");
        let told = |messages: Vec<String>, product: &str| {
            let all = messages.concat();
            let missing: Vec<usize> =
                (0..INCIDENTS).filter(|number| !all.contains(&format!("Storm{number:03}"))).collect();
            assert!(missing.is_empty(), "{product} never heard of {missing:?}");
            messages.len()
        };
        let feishu = told(feishu.accepted().iter().map(Value::to_string).collect(), "Feishu");
        let wecom = told(wecom.accepted().iter().map(Value::to_string).collect(), "WeCom");
        println!("{INCIDENTS} incidents: {feishu} messages in Feishu, {wecom} in WeCom");
        assert!(feishu < INCIDENTS / 2 && wecom <= 10, "{feishu} {wecom}");
        let balance = contract::holds(&service, INCIDENTS, 5).await;
        assert_eq!(balance.sent, INCIDENTS as u64, "{balance:?}");
    })
    .await;
}

/// An app's cards are merged like a bot's messages when more wait than its chat takes; what changes a card that is there
/// never is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_merges_in_an_app_s_chat_and_cards_that_are_there_are_still_changed() {
    const STORM: usize = 60;
    on_every_engine(async || {
        let app = FeishuApp::start().await;
        let mut channel = app.channel();
        channel["delivery"] = json!({"merge_above": 8});
        let home = Home::new(&json!({"channels": [channel]}));
        let service = home.serve().await;
        let named = |name: &str| one_alert(name, &json!({"alertname": name, "namespace": "shop"}));
        let first = named("BeforeTheStorm");
        let (id, _) = service.accept(&first).await;
        service.settled(&id, 20).await;
        let card = app.cards().pop().expect("a card");

        let mut alerts: Vec<Value> = (0..STORM).map(|number| named(&format!("Storm{number:03}"))).collect();
        alerts.push(resolved(&first));
        let receipts = futures::future::join_all(alerts.iter().map(|alert| service.accept(alert))).await;
        let mut among_many = None;
        for (number, (id, _)) in receipts.iter().enumerate() {
            let incident = service.settled(id, 60).await;
            assert!(incident["notices"].as_array().unwrap().iter().all(|one| one["state"] == "sent"), "{incident:#}");
            among_many = among_many.or((incident["notices"][0]["form"] == "summary").then_some(number));
        }
        let among_many = among_many.expect("some were told in one");
        eventually("the card says that it is over", 20, || {
            let now = app.cards().into_iter().find(|one| one.id == card.id)?;
            (now.content["header"]["template"] == "green").then_some(())
        })
        .await;
        let all: String = app.messages().iter().map(|message| message.content.to_string()).collect();
        let missing: Vec<usize> = (0..STORM).filter(|number| !all.contains(&format!("Storm{number:03}"))).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(app.messages().len() < STORM / 2, "{} messages", app.messages().len());

        // What was told among many gets a card of its own when there is more to tell of it.
        let cards = app.cards().len();
        service.accept(&resolved(&alerts[among_many])).await;
        eventually("it is told", 20, || (app.cards().len() > cards).then_some(())).await;
        contract::holds_at_least(&service, STORM as u64 + 3, 10).await;
    })
    .await;
}
