//! Alerts that join a group: they go where their own routes lead, when rules let them, whatever the group waits for.

use serde_json::{Value, json};

use crate::support::Fault;
use crate::support::alerts::{PENDING, builtin, one_alert, resolved};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::service::{Home, Service};

/// A group of one alert, and the same group with a further one.
fn group_of_two(first: &Value, second: &Value) -> (Value, Value) {
    let (one, mut other) = (one_alert("joins", first), one_alert("joins", second));
    other["alerts"][0]["fingerprint"] = "00000000000000ab".into();
    let mut both = one.clone();
    both["alerts"].as_array_mut().unwrap().push(other["alerts"][0].clone());
    both["commonLabels"] = json!({});
    (one, both)
}

fn labels(severity: &str, namespace: &str, name: &str) -> Value {
    json!({"alertname": name, "severity": severity, "namespace": namespace})
}

struct Stage {
    chat: Feishu,
    oncall: Feishu,
    service: Service,
    _home: Home,
}

/// Everybody hears of everything in `chat`, by its rules; what is critical goes to `oncall` as well.
async fn stage(delivery: Value, more: Value) -> Stage {
    let (chat, oncall) = (Feishu::with(None, None).await, Feishu::with(None, None).await);
    let channels = json!([
        {"name": "chat", "type": "feishu-bot", "url": chat.url(), "delivery": delivery},
        {"name": "oncall", "type": "feishu-bot", "url": oncall.url()},
    ]);
    let routes = json!([{"match": {"severity": "critical"}, "channels": ["oncall", "chat"]}, {"channels": ["chat"]}]);
    let mut parts = json!({"mcp": builtin(PENDING), "channels": channels, "routes": routes});
    parts.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let home = Home::new(&parts);
    Stage { service: home.serve().await, chat, oncall, _home: home }
}

/// Hours that hold now, whenever this runs.
fn night() -> Value {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let around = |hours: i64| (&now + jiff::SignedDuration::from_hours(hours)).strftime("%H:%M").to_string();
    json!({"quiet_hours": format!("{}-{}", around(-2), around(2))})
}

/// Waits until so many messages name this in a chat.
async fn names(chat: &Feishu, name: &str, times: usize) {
    let told = || chat.arrivals().iter().filter(|(_, message)| message.to_string().contains(name)).count();
    for _ in 0..200 {
        if told() >= times {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{name} was told {} times instead of {times}", told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_alert_that_joins_a_group_held_for_the_night_wakes_people() {
    on_every_engine(async || {
        let stage = stage(night(), json!({})).await;
        let (one, both) =
            group_of_two(&labels("warning", "aiops", "DiskFillsUp"), &labels("critical", "aiops", "DatabaseDown"));
        let (id, _) = stage.service.accept(&one).await;
        let held = stage.service.incident(&id).await;
        assert_eq!(held["notices"].as_array().unwrap().len(), 1, "{held:#}");
        assert_eq!(stage.service.accept(&both).await, (id.clone(), "joined".to_owned()));
        names(&stage.oncall, "DatabaseDown", 1).await;
        names(&stage.chat, "DatabaseDown", 1).await;
        contract::holds(&stage.service, 3, 20).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_alert_that_joins_reaches_its_own_channel_though_the_groups_is_down() {
    on_every_engine(async || {
        let stage = stage(json!({}), json!({})).await;
        stage.chat.fail([503, 503, 503].map(Fault::Status));
        let (one, both) =
            group_of_two(&labels("warning", "aiops", "DiskFillsUp"), &labels("critical", "aiops", "DatabaseDown"));
        stage.service.accept(&one).await;
        stage.service.accept(&both).await;
        names(&stage.oncall, "DatabaseDown", 1).await;
        names(&stage.chat, "DatabaseDown", 1).await;
        contract::holds(&stage.service, 3, 30).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_outside_the_maintenance_window_that_holds_its_group_is_told_and_looked_at() {
    on_every_engine(async || {
        let window = json!([{"name": "upgrade", "match": {"namespace": "shop"}, "to": "2099-01-01T00:00:00Z"}]);
        let stage = stage(json!({}), json!({"maintenance": window})).await;
        let (one, both) = group_of_two(&labels("warning", "shop", "Slow"), &labels("critical", "pay", "PaymentsDown"));
        let (id, _) = stage.service.accept(&one).await;
        assert!(stage.service.incident(&id).await["notices"][0]["due_at"].as_str().unwrap().starts_with("2099"));
        stage.service.accept(&both).await;
        names(&stage.oncall, "PaymentsDown", 1).await;
        names(&stage.chat, "PaymentsDown", 1).await;
        let looked = |incident: &Value| incident["investigation"]["state"] == "done";
        stage.service.incident_when("it is investigated", &id, 20, looked).await;
        contract::holds(&stage.service, 3, 20).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_of_a_maintenance_window_that_joins_waits_for_its_end_and_holds_nothing_up() {
    on_every_engine(async || {
        let window = json!([{"name": "upgrade", "match": {"namespace": "shop"}, "to": "2099-01-01T00:00:00Z"}]);
        let stage = stage(json!({}), json!({"maintenance": window})).await;
        let (one, both) = group_of_two(&labels("warning", "pay", "PaymentsSlow"), &labels("warning", "shop", "Slow"));
        let (id, _) = stage.service.accept(&one).await;
        names(&stage.chat, "PaymentsSlow", 1).await;
        stage.service.settled(&id, 20).await;
        stage.service.accept(&both).await;
        let held = stage.service.incident(&id).await;
        let rules = held["delivery_log"].as_array().unwrap().iter().flat_map(|it| it["rules"].as_array().unwrap());
        assert!(rules.into_iter().any(|rule| rule["rule"] == "maintenance"), "{held:#}");
        stage.service.accept(&resolved(&both)).await;
        stage.service.settled(&id, 20).await;
        contract::holds(&stage.service, 5, 20).await;
        let heard = |name: &str| stage.chat.arrivals().iter().filter(|(_, it)| it.to_string().contains(name)).count();
        assert!(heard("PaymentsSlow") >= 2, "its beginning and its end");
    })
    .await;
}
