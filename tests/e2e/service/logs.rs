//! What the service logs: whoever looks for an incident's identifier finds its whole life, and nothing of it elsewhere.

use serde_json::{Value, json};

use crate::support::Fault;
use crate::support::alerts::{PENDING, builtin, one_alert, resolved, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, ModelServer};
use crate::support::pending;
use crate::support::service::{Home, Service};

/// One line, and the incident that it or a span around it names.
struct Line {
    says: String,
    incident: Option<String>,
    text: String,
}

/// Every line is an object of its own.
fn lines(service: &Service) -> Vec<Line> {
    let log = service.log();
    log.lines().map(line).collect()
}

fn line(text: &str) -> Line {
    let line: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let spans = line["spans"].as_array().cloned().unwrap_or_default();
    let mut named = spans.iter().chain([&line]).filter_map(|part| part["incident.id"].as_str());
    let incident = named.next().map(str::to_owned);
    assert!(named.all(|other| Some(other) == incident.as_deref()), "two incidents: {text}");
    let says = line["message"].as_str().unwrap_or_default().to_owned();
    Line { says, incident, text: text.to_owned() }
}

/// Fails unless the lines of this incident say all of this.
fn assert_told(lines: &[Line], incident: &str, expected: &[&str]) {
    let of_it: Vec<&str> =
        lines.iter().filter(|line| line.incident.as_deref() == Some(incident)).map(|line| line.says.as_str()).collect();
    for says in expected {
        assert!(of_it.contains(says), "{incident} lacks {says:?}: {of_it:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_identifier_is_in_every_line_of_an_incident_from_the_webhook_to_the_last_message() {
    on_every_engine(async || {
        let feishu = Feishu::start().await;
        let mut failed = false;
        let model = ModelServer::scripted(move |asked| match std::mem::replace(&mut failed, true) {
            false => Answer::error(503, &json!({"error": {"message": "overloaded"}})),
            true => pending::investigate(asked),
        })
        .await;
        let home = Home::new(&json!({
            "mcp": builtin(PENDING), "models": pending::models(&model),
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
        }));
        let service = home.serve_with(&[("FIRSTLOOK_LOG", "firstlook=debug")]).await;
        // What a model can do is asked once, for no incident.
        let examined = || async { service.get("/readyz?verbose").await["models"][0]["capabilities"].is_object() };
        crate::support::eventually_async("the model is examined", 20, examined).await;
        let before = lines(&service).len();
        feishu.fail([Fault::Status(502)]);
        let alert = webhook(PENDING);
        let (id, _) = service.accept(&alert).await;
        service.settled(&id, 40).await;
        service.accept(&alert).await;
        service.accept(&resolved(&alert)).await;
        service.settled(&id, 20).await;

        let lines = lines(&service).split_off(before);
        let of_nobody: Vec<&str> =
            lines.iter().filter(|line| line.incident.is_none()).map(|line| line.text.as_str()).collect();
        assert!(of_nobody.is_empty(), "{of_nobody:#?}");
        assert!(lines.iter().all(|line| line.incident.as_deref() == Some(&id)), "there is but one");
        assert_told(
            &lines,
            &id,
            &[
                "delivery accepted",
                "tool answered",
                "model call failed, trying again",
                "run ended",
                "message not delivered, will try again",
                "message sent",
            ],
        );
        let times = |says: &str| lines.iter().filter(|line| line.says == says).count();
        assert_eq!((times("delivery accepted"), times("run ended")), (3, 1));
        contract::holds(&service, 3 * alert["alerts"].as_array().unwrap().len(), 5).await;
    })
    .await;
}

/// Several incidents in one message: each one's identifier still leads from its delivery to where it was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_identifier_leads_to_the_summary_an_incident_was_told_in() {
    const STORM: usize = 12;
    on_every_engine(async || {
        let feishu = Feishu::start().await;
        let home = Home::new(&json!({"channels": [
            {"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"merge_above": 1}},
        ]}));
        let service = home.serve().await;
        let alert = |number: usize| {
            let name = format!("Logged{number:02}");
            one_alert(&name, &json!({"alertname": name, "namespace": "shop"}))
        };
        let alerts: Vec<Value> = (0..STORM).map(alert).collect();
        let receipts = futures::future::join_all(alerts.iter().map(|alert| service.accept(alert))).await;
        for (id, _) in &receipts {
            service.settled(id, 40).await;
        }
        let lines = lines(&service);
        for (id, _) in &receipts {
            assert_told(&lines, id, &["delivery accepted", "message sent"]);
        }
        assert!(feishu.accepted().len() < STORM, "some were told together");
        assert!(lines.iter().any(|line| line.says == "messages sent as one"));
    })
    .await;
}
