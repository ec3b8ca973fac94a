//! Alerts that join a group: they go where their own routes lead, when rules let them, whatever the group waits for.

use serde_json::{Value, json};

use crate::support::Fault;
use crate::support::alerts::{PENDING, builtin, one_alert, resolved};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::gate::Gate;
use crate::support::service::{Home, Service};
use crate::support::smtp::SmtpServer;

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

/// Mail readers keep together what has one subject: whatever joins, though it began before, and whatever fires anew, is told
/// below that of its incident.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_of_what_joined_has_the_subject_of_its_incidents_other_mails() {
    on_every_engine(async || {
        let server = tokio::task::spawn_blocking(|| SmtpServer::start(&[])).await.unwrap();
        let home = Home::new(&json!({"mcp": builtin(PENDING), "channels": [{
            "name": "mail", "type": "email", "smtp": format!("smtp://{}", server.address()),
            "from": "Firstlook <fl@example.com>", "to": ["sre@example.com"],
        }]}));
        let service = home.serve().await;
        let (one, mut both) =
            group_of_two(&labels("warning", "aiops", "DiskFillsUp"), &labels("critical", "pay", "DatabaseDown"));
        both["alerts"][1]["startsAt"] = json!("2026-01-01T00:00:00Z");
        let (id, _) = service.accept(&one).await;
        service.settled(&id, 20).await;
        assert_eq!(service.accept(&both).await, (id.clone(), "joined".to_owned()));
        service.settled(&id, 30).await;
        let mut anew = both.clone();
        both["alerts"][0]["status"] = json!("resolved");
        assert_eq!(service.accept(&both).await, (id.clone(), "merged".to_owned()));
        anew["alerts"][0]["startsAt"] = json!(jiff::Timestamp::now().to_string());
        assert_eq!(service.accept(&anew).await, (id.clone(), "joined".to_owned()));
        service.settled(&id, 30).await;
        service.accept(&resolved(&anew)).await;
        contract::holds(&service, 9, 30).await;
        let mails = server.received(0);
        let joined = mails.iter().find(|mail| mail.text.as_ref().is_some_and(|text| !text.contains("DiskFillsUp")));
        assert!(joined.is_some_and(|mail| mail.text.as_ref().unwrap().contains("DatabaseDown")), "{mails:#?}");
        let subject = mails[0].header("Subject");
        assert!(subject.contains("DiskFillsUp"), "{subject}");
        assert!(mails.len() >= 3 && mails.iter().all(|mail| mail.header("Subject") == subject), "{mails:#?}");
    })
    .await;
}

/// A channel that hears of warnings, and one beside it that hears of everything, with a delivery of its own.
async fn beside(gated: Option<&Gate>, chat: &Feishu, delivery: Value) -> (Feishu, Home, Service) {
    let beside = Feishu::with(None, None).await;
    let mut url: url::Url = chat.url().parse().unwrap();
    if let Some(gate) = gated {
        url.set_port(Some(gate.address.port())).unwrap();
    }
    let home = Home::new(&json!({"mcp": builtin(PENDING), "channels": [
        {"name": "chat", "type": "feishu-bot", "url": url.as_str(), "delivery": {"min_severity": "warning"}},
        {"name": "beside", "type": "feishu-bot", "url": beside.url(), "delivery": delivery},
    ]}));
    let service = home.serve().await;
    (beside, home, service)
}

/// Whether a channel refused a message of the incident.
fn was_refused(incident: &Value) -> bool {
    incident["notices"].as_array().unwrap().iter().any(|notice| !notice["last_error"].is_null())
}

fn a_note_joins() -> (Value, Value) {
    group_of_two(&labels("warning", "aiops", "DiskFillsUp"), &labels("info", "aiops", "JoinedNote"))
}

/// One channel has heard of the group, the other is held for the night: what joins stands and falls with the other alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_joins_a_held_message_and_is_over_before_it_ends_as_suppressed() {
    on_every_engine(async || {
        let chat = Feishu::with(None, None).await;
        let (beside, _home, service) = beside(None, &chat, night()).await;
        let (one, both) = a_note_joins();
        service.accept(&one).await;
        names(&chat, "DiskFillsUp", 1).await;
        service.accept(&both).await;
        service.accept(&resolved(&both)).await;
        let balance = contract::holds(&service, 5, 20).await;
        assert_eq!((balance.sent, balance.suppressed, balance.merged), (3, 2, 0), "{balance:?}");
        assert_eq!(beside.arrivals().len(), 0, "over before its night was");
    })
    .await;
}

/// The other channel gives its message up: its fallback was told of the group, and not of what joined.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_joins_a_message_that_is_given_up_is_told_by_the_fallback() {
    on_every_engine(async || {
        let chat = Feishu::with(None, None).await;
        let (beside, _home, service) = beside(None, &chat, json!({"fallback": "chat"})).await;
        beside.fail([503, 400].map(Fault::Status));
        let (one, both) = a_note_joins();
        let (id, _) = service.accept(&one).await;
        service.incident_when("one was refused", &id, 10, was_refused).await;
        service.accept(&both).await;
        names(&chat, "JoinedNote", 1).await;
        contract::holds(&service, 3, 20).await;
    })
    .await;
}

/// The first channel is in the middle of sending when the alert joins, and the other gives its message up: nobody was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_joins_while_a_message_is_being_sent_without_it_does_not_count_as_told() {
    on_every_engine(async || {
        let chat = Feishu::with(None, None).await;
        let gate = Gate::before(chat.url().parse::<url::Url>().unwrap().socket_addrs(|| None).unwrap()[0]).await;
        let (beside, _home, service) = beside(Some(&gate), &chat, json!({})).await;
        beside.fail([503, 400, 400, 400].map(Fault::Status));
        gate.shut();
        let (one, both) = a_note_joins();
        let (id, _) = service.accept(&one).await;
        service.incident_when("one was refused", &id, 10, was_refused).await;
        service.accept(&both).await;
        gate.open();
        let balance = contract::holds(&service, 3, 30).await;
        let told = beside.arrivals().iter().filter(|(_, message)| message.to_string().contains("JoinedNote")).count();
        assert_eq!((balance.sent, balance.dead), if told > 0 { (2, 0) } else { (1, 1) }, "{balance:?}");
    })
    .await;
}

/// What is only told is no reason to look at a group again, and what is to be looked at is, though nobody looked before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_joins_is_looked_at_as_its_own_route_says() {
    on_every_engine(async || {
        let chat = Feishu::with(None, None).await;
        let home = Home::new(&json!({
            "mcp": builtin(PENDING),
            "channels": [{"name": "chat", "type": "feishu-bot", "url": chat.url()}],
            "routes": [{"match": {"severity": "info"}, "triage": "never"}, {}],
        }));
        let service = home.serve().await;
        let (note, critical) = (labels("info", "aiops", "JoinedNote"), labels("critical", "aiops", "DatabaseDown"));
        let (one, both) = group_of_two(&note, &critical);
        let (id, _) = service.accept(&one).await;
        let incident = service.settled(&id, 20).await;
        assert!(incident["investigation"].is_null(), "it is only told: {incident:#}");
        service.accept(&both).await;
        let looked = |incident: &Value| incident["investigation"]["state"] == "done";
        service.incident_when("what joined is looked at", &id, 20, looked).await;

        let (one, both) = group_of_two(&critical, &note);
        let named = |mut body: Value| {
            body["groupKey"] = "the other way round".into();
            body
        };
        let (id, _) = service.accept(&named(one)).await;
        service.settled(&id, 20).await;
        service.accept(&named(both)).await;
        let incident = service.settled(&id, 20).await;
        let reason = incident["delivery_log"].as_array().unwrap().last().unwrap()["reason"].to_string();
        assert!(!reason.contains("investigated"), "a note is no reason: {reason}");
        contract::holds(&service, 6, 20).await;
    })
    .await;
}

/// A channel that heard of what joined before, and one that did not, share a telling: a third alert that goes to the other
/// alone stands and falls with that one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_joins_on_one_channel_alone_does_not_hang_on_what_another_was_told() {
    on_every_engine(async || {
        let (all, pay) = (Feishu::with(None, None).await, Feishu::with(None, None).await);
        let home = Home::new(&json!({
            "mcp": builtin(PENDING), "triage": {"cooldown": "0s"},
            "channels": [
                {"name": "all", "type": "feishu-bot", "url": all.url()},
                {"name": "pay", "type": "feishu-bot", "url": pay.url()},
            ],
            "routes": [
                {"match": {"severity": "warning"}, "channels": ["all"], "continue": true},
                {"match_re": {"alertname": "Pay.*"}, "channels": ["pay"]},
            ],
        }));
        let service = home.serve().await;
        let named = |name: &str, severity: &str, print: &str| {
            let mut alert = one_alert("three", &labels(severity, "aiops", name))["alerts"][0].clone();
            alert["fingerprint"] = print.into();
            alert
        };
        let (first, second, third) = (
            named("DiskFillsUp", "warning", "00000000000000a1"),
            named("PaySlow", "warning", "00000000000000a2"),
            named("PayNote", "info", "00000000000000a3"),
        );
        let group = |alerts: &[&Value]| {
            let mut body = one_alert("three", &json!({}));
            (body["alerts"], body["commonLabels"]) = (json!(alerts), json!({}));
            body
        };
        service.accept(&group(&[&first])).await;
        names(&all, "DiskFillsUp", 1).await;
        pay.fail([503, 400, 400, 400].map(Fault::Status));
        let (id, _) = service.accept(&group(&[&first, &second])).await;
        names(&all, "PaySlow", 1).await;
        service.incident_when("the other refused it", &id, 10, was_refused).await;
        service.accept(&group(&[&first, &second, &third])).await;
        let balance = contract::holds(&service, 6, 30).await;
        let told = pay.arrivals().iter().filter(|(_, message)| message.to_string().contains("PayNote")).count();
        assert_eq!((balance.sent, balance.dead), if told > 0 { (3, 0) } else { (2, 1) }, "{balance:?}");
    })
    .await;
}
