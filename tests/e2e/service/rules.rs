//! What decides whether an alert is investigated, apart from its being told: the debounce, and what its route says.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, in_group, resolved};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::model::ModelServer;
use crate::support::pending;
use crate::support::service::{Home, Service};

struct Stage {
    feishu: Feishu,
    model: ModelServer,
    service: Service,
    _home: Home,
}

async fn stage(more: Value) -> Stage {
    let (feishu, model) = (Feishu::with(None, None).await, pending::model().await);
    let mut parts = json!({
        "mcp": builtin(PENDING), "models": pending::models(&model),
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
    });
    parts.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let home = Home::new(&parts);
    Stage { service: home.serve().await, feishu, model, _home: home }
}

impl Stage {
    /// How many investigations asked the model.
    fn runs(&self) -> usize {
        self.model.asked().iter().filter(|asked| asked.results().is_empty()).count()
    }

    fn message(&self, number: usize) -> String {
        self.feishu.arrivals()[number].1.to_string()
    }

    async fn rule(&self, rule: &str) -> f64 {
        self.service.metric(&format!("firstlook_rules_total{{rule=\"{rule}\"}}")).await.unwrap_or(0.0)
    }

    /// The page that people look at says it too.
    async fn page_says(&self, id: &str, reason: &str) {
        let page = self.service.request(reqwest::Method::GET, &format!("/incidents/{id}"));
        let page = page.header("accept", "text/html").send().await.unwrap().text().await.unwrap();
        assert!(page.contains(reason), "{reason} is not on\n{page}");
    }

    /// It fires, is over with all that follows from it, and ends; the incident as it stood before its end.
    async fn one_life(&self, alert: &Value) -> Value {
        let (id, decision) = self.service.accept(alert).await;
        assert_eq!(decision, "opened");
        let incident = self.service.settled(&id, 40).await;
        self.service.accept(&resolved(alert)).await;
        self.service.settled(&id, 40).await;
        incident
    }
}

fn with_label(group: &str, name: &str, value: &str) -> Value {
    let mut body = in_group(PENDING, group);
    for alert in body["alerts"].as_array_mut().unwrap() {
        alert["labels"][name] = value.into();
    }
    body
}

fn opening(incident: &Value) -> (&str, &Value) {
    let delivery = &incident["delivery_log"][0];
    (delivery["reason"].as_str().unwrap_or_default(), &delivery["rules"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_debounce_holds_the_investigation_of_what_is_not_critical_and_never_its_first_message() {
    const DEBOUNCE: Duration = Duration::from_secs(6);
    on_every_engine(async || {
        let stage = stage(json!({"triage": {"debounce": "6s"}})).await;
        let service = &stage.service;

        // Over before it is looked at: told at once, and no model is paid.
        let brief = with_label("brief", "severity", "warning");
        let begun = Instant::now();
        let (id, _) = service.accept(&brief).await;
        let told = |incident: &Value| incident["notices"][0]["state"] == "sent";
        service.incident_when("the first message is out", &id, 5, told).await;
        assert!(begun.elapsed() < DEBOUNCE / 2, "it waits for nothing: {:?}", begun.elapsed());
        service.accept(&resolved(&brief)).await;
        let incident = service.settled(&id, 5).await;
        assert_eq!(incident["investigation"]["state"], "cancelled", "{incident:#}");
        let (reason, rules) = opening(&incident);
        assert!(reason.contains("investigated after 6 s") && reason.contains("triage.debounce"), "{reason}");
        assert_eq!(rules, &json!([{"rule": "debounce", "seconds": 6}]));
        stage.page_says(&id, "triage.debounce").await;
        assert!(stage.message(1).contains("investigation put off 6 s"), "{}", stage.message(1));
        assert_eq!(stage.rule("debounce").await, 1.0);

        // Critical: nobody waits.
        let critical = with_label("critical", "severity", "critical");
        let begun = Instant::now();
        let (id, _) = service.accept(&critical).await;
        let looked = |incident: &Value| incident["investigation"]["state"] != "ready";
        let incident = service.incident_when("it is looked at", &id, 5, looked).await;
        assert!(begun.elapsed() < DEBOUNCE / 2, "{:?}", begun.elapsed());
        assert_eq!(opening(&incident).1, &json!([]));
        assert_eq!(service.settled(&id, 40).await["report"]["usage"]["source"], "model");
        assert_eq!((stage.runs(), stage.rule("debounce").await), (1, 1.0));
        service.accept(&resolved(&critical)).await;

        // It goes on: looked at when the debounce is over.
        let lasting = with_label("lasting", "severity", "warning");
        let begun = Instant::now();
        let (id, _) = service.accept(&lasting).await;
        let incident = service.settled(&id, 40).await;
        assert!(begun.elapsed() >= DEBOUNCE, "{:?}", begun.elapsed());
        assert_eq!(incident["report"]["usage"]["source"], "model", "{incident:#}");
        // The brief one's time has come and gone too.
        assert_eq!((stage.runs(), stage.rule("debounce").await), (2, 2.0));
        let each = brief["alerts"].as_array().unwrap().len();
        contract::holds(service, 5 * each, 10).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_rule_decides_whether_an_alert_is_investigated_never_the_first_time_or_always() {
    on_every_engine(async || {
        let route = |team: &str| json!({"match": {"team": team}, "channels": ["oncall"], "triage": team});
        let stage = stage(json!({"routes": [route("never"), route("on_first"), route("always")]})).await;
        let runs_of = async |team: &str, times: usize| {
            let (before, alert) = (stage.runs(), with_label(team, "team", team));
            let mut lives = Vec::new();
            for _ in 0..times {
                lives.push(stage.one_life(&alert).await);
            }
            (stage.runs() - before, lives)
        };

        let (runs, lives) = runs_of("never", 2).await;
        assert_eq!(runs, 0);
        for incident in &lives {
            assert!(incident["investigation"].is_null(), "{incident:#}");
            assert_eq!(opening(incident).1, &json!([{"rule": "route"}]), "{incident:#}");
        }
        assert!(stage.message(0).contains("It is not investigated, as its route says"), "{}", stage.message(0));
        assert_eq!(stage.rule("route").await, 2.0);

        let first = stage.feishu.arrivals().len();
        let (runs, lives) = runs_of("on_first", 2).await;
        assert_eq!(runs, 1, "the first time alone");
        assert_eq!(lives[0]["report"]["usage"]["source"], "model", "{:#}", lives[0]);
        // What was found then still holds, and goes out with the message: nothing is looked at again.
        assert!(lives[1]["investigation"].is_null(), "{:#}", lives[1]);
        assert_eq!(stage.feishu.arrivals().len(), first + notices(&lives) + 2, "and two ends");

        // Without the label rule the second time would be held by the cooldown.
        let (runs, lives) = runs_of("always", 2).await;
        assert_eq!(runs, 2, "however short ago it was");
        assert!(lives.iter().all(|incident| incident["report"]["usage"]["source"] == "model"), "{lives:#?}");
        assert_eq!(stage.rule("cooldown").await, 1.0, "that of on_first alone");
        let each = with_label("x", "team", "x")["alerts"].as_array().unwrap().len();
        contract::holds(&stage.service, 12 * each, 10).await;
    })
    .await;
}

fn notices(lives: &[Value]) -> usize {
    lives.iter().map(|incident| incident["notices"].as_array().unwrap().len()).sum()
}

/// Without a cooldown only the route stands between the second firing and another investigation, and the card says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_first_without_a_cooldown_is_looked_at_once_and_says_why_not_again() {
    on_every_engine(async || {
        let routes = json!([{"match": {"team": "batch"}, "channels": ["oncall"], "triage": "on_first"}]);
        let stage = stage(json!({"routes": routes, "triage": {"cooldown": "0s"}})).await;
        let alert = with_label("on first", "team", "batch");
        stage.one_life(&alert).await;
        let told = stage.feishu.arrivals().len();
        let again = stage.one_life(&alert).await;
        assert_eq!((stage.runs(), stage.rule("route").await), (1, 1.0));
        assert!(again["investigation"].is_null() && again["report"].is_null(), "{again:#}");
        let (reason, rules) = opening(&again);
        assert!(reason.contains("triage: on_first"), "{reason}");
        assert_eq!(rules, &json!([{"rule": "route"}]));
        assert!(
            stage.message(told).contains("It is investigated the first time it fires only"),
            "{}",
            stage.message(told)
        );
        stage.page_says(again["id"].as_str().unwrap(), "triage: on_first").await;
        contract::holds(&stage.service, 4 * alert["alerts"].as_array().unwrap().len(), 10).await;
    })
    .await;
}
