//! What waits by a rule: maintenance, quiet hours, flapping, routes that only tell; and that nothing of it is lost.

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, in_group, resolved, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::service::{Home, Service, program, run};

struct Stage {
    feishu: Feishu,
    service: Service,
    _home: Home,
}

async fn stage(more: Value, delivery: Value) -> Stage {
    let feishu = Feishu::with(None, None).await;
    let channel = json!({"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": delivery});
    let mut parts = json!({"mcp": builtin(PENDING), "channels": [channel]});
    parts.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let home = Home::new(&parts);
    Stage { service: home.serve().await, feishu, _home: home }
}

fn alerts(body: &Value) -> usize {
    body["alerts"].as_array().unwrap().len()
}

fn reasons(incident: &Value) -> Vec<String> {
    let log = incident["delivery_log"].as_array().unwrap();
    log.iter().map(|entry| entry["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_holds_an_alert_and_drops_it_when_it_is_over_by_then() {
    on_every_engine(async || {
        let window = json!([{"name": "db upgrade", "match": {"namespace": "aiops"}, "to": "2099-01-01T00:00:00Z"}]);
        let Stage { feishu, service, _home } = stage(json!({"maintenance": window}), json!({})).await;
        let alert = webhook(PENDING);
        let (id, decision) = service.accept(&alert).await;
        assert_eq!(decision, "opened");
        let incident = service.incident(&id).await;
        assert!(reasons(&incident)[0].contains("db upgrade"), "{incident:#}");
        assert!(incident["notices"][0]["due_at"].as_str().unwrap().starts_with("2099-01-01"), "{incident:#}");
        assert_eq!(incident["investigation"]["state"], "ready", "nothing is looked at meanwhile");
        service.accept(&resolved(&alert)).await;
        let balance = contract::holds(&service, 2 * alerts(&alert), 5).await;
        assert_eq!(balance.suppressed, 2 * alerts(&alert) as u64, "{balance:?}");
        assert_eq!(service.incident(&id).await["notices"], json!([]));
        assert_eq!(feishu.arrivals().len(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_hours_let_the_critical_through_and_hold_the_rest() {
    on_every_engine(async || {
        // Hours that hold now, whenever this runs.
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        let around = |hours: i64| (&now + jiff::SignedDuration::from_hours(hours)).strftime("%H:%M").to_string();
        let quiet = json!({"quiet_hours": format!("{}-{}", around(-2), around(2))});
        let Stage { feishu, service, _home } = stage(json!({}), quiet).await;
        let mut critical = in_group(PENDING, "critical");
        for alert in critical["alerts"].as_array_mut().unwrap() {
            alert["labels"]["severity"] = "critical".into();
        }
        let (warning, _) = service.accept(&webhook(PENDING)).await;
        let (id, _) = service.accept(&critical).await;
        service.settled(&id, 20).await;
        assert_eq!(feishu.arrivals().len(), 1, "the critical one");
        let done = |incident: &Value| incident["investigation"]["state"] == "done";
        let held = service.incident_when("it is investigated meanwhile", &warning, 20, done).await;
        assert_eq!(held["notices"][0]["state"], "ready", "{held:#}");
        assert!(
            reasons(&held)[0].contains("oncall is told at") && reasons(&held)[0].contains("quiet_hours"),
            "{held:#}"
        );
        assert_eq!(held["delivery_log"][0]["rules"][0]["rule"], "quiet_hours", "{held:#}");
        assert_eq!(feishu.arrivals().len(), 1, "findings do not wake anybody either");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a47_what_flaps_is_told_a_few_times_and_then_waits() {
    on_every_engine(async || {
        let flapping = json!({"triage": {"flapping": {"count": 3, "within": "1h", "hold": "20s"}}});
        let Stage { feishu, service, _home } = stage(flapping, json!({})).await;
        let alert = webhook(PENDING);
        for _ in 0..2 {
            let (id, _) = service.accept(&alert).await;
            service.settled(&id, 20).await;
            service.accept(&resolved(&alert)).await;
            service.settled(&id, 20).await;
        }
        assert_eq!(feishu.arrivals().len(), 4, "two firings and two ends");
        let mut last = String::new();
        for _ in 0..20 {
            last = service.accept(&alert).await.0;
            service.accept(&resolved(&alert)).await;
        }
        assert_eq!(feishu.arrivals().len(), 4, "the rest is over before it is due");
        let incident = service.incident(&last).await;
        assert!(reasons(&incident).iter().any(|reason| reason.contains("over before")), "{incident:#}");
        contract::holds(&service, 44 * alerts(&alert), 5).await;
        let (id, _) = service.accept(&alert).await;
        let incident = service.incident(&id).await;
        assert!(reasons(&incident)[0].contains("It flaps (23 times within 1 h)"), "{incident:#}");
        assert_eq!(incident["delivery_log"][0]["rules"][0], json!({"rule": "flapping", "seconds": 20}));
        for (rule, times) in [("flapping", 21.0), ("over_before", 20.0)] {
            let counted = service.metric(&format!("firstlook_rules_total{{rule=\"{rule}\"}}")).await;
            assert_eq!(counted, Some(times), "{rule}");
        }
        service.settled(&id, 40).await;
        let told = feishu.arrivals()[4].1.to_string();
        assert!(told.contains("20 earlier firings were not told"), "{told}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_may_tell_without_investigating_and_a_channel_hears_from_a_severity_on() {
    let routes = json!([{"match": {"namespace": "aiops"}, "channels": ["oncall"], "triage": "never"}]);
    let Stage { feishu, service, _home } = stage(json!({"routes": routes}), json!({})).await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    let incident = service.settled(&id, 20).await;
    assert!(incident["investigation"].is_null(), "{incident:#}");
    assert!(
        feishu.arrivals()[0].1.to_string().contains("It is not investigated, as its route says"),
        "{}",
        feishu.arrivals()[0].1
    );

    let Stage { feishu, service, _home } = stage(json!({}), json!({"min_severity": "critical"})).await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    let over = |incident: &Value| incident["investigation"]["state"] == "done";
    let incident = service.incident_when("it is investigated", &id, 20, over).await;
    assert_eq!(incident["notices"], json!([]), "a warning");
    assert!(reasons(&incident)[0].contains("oncall is not told (min_severity)"), "{incident:#}");
    assert_eq!(service.metric("firstlook_rules_total{rule=\"min_severity\"}").await, Some(1.0));
    assert_eq!(feishu.arrivals().len(), 0);
}

#[tokio::test]
async fn check_says_where_an_alert_would_go_and_why() {
    let home = Home::new(&json!({
        "channels": [
            {"name": "oncall", "type": "feishu-bot", "url": "https://open.feishu.cn/hook/1"},
            {"name": "mail", "type": "email", "smtp": "smtp://localhost", "from": "a@example.com", "to": ["b@example.com"],
             "delivery": {"min_severity": "critical"}},
        ],
        "routes": [{"match": {"severity": "critical"}, "channels": ["oncall"], "continue": true},
                   {"match_re": {"namespace": "pay|shop"}, "channels": ["mail"], "triage": "on_first"}],
        "maintenance": [{"name": "db upgrade", "match": {"namespace": "shop"}, "to": "2099-01-01T00:00:00Z"}],
    }));
    let asked = async |labels: &str| {
        let mut command = program();
        command.args(["check", "--lang", "en", "--route", labels, "--config"]).arg(home.config());
        run(command).await
    };
    let both = asked("severity=critical,namespace=pay").await;
    assert_eq!(both.code, Some(0), "{}", both.stderr);
    for words in ["Matched by routes[0], routes[1]", "oncall  told at once", "mail  told at once", "triage: on_first"] {
        assert!(both.stdout.contains(words), "{}", both.stdout);
    }
    let shop = asked("severity=warning,namespace=shop").await.stdout;
    assert!(shop.contains("mail  not told: below") && shop.contains("Nobody is told"), "{shop}");
    assert!(shop.contains("Maintenance db upgrade: waits until 2099-01-01"), "{shop}");
    assert!(asked("severity=none").await.stdout.contains("No route matches: every channel is told"));
    assert_eq!(asked("nonsense").await.code, Some(2));
}
