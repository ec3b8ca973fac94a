//! Measurements: the alert's own expression, asked of a real Prometheus, reaches people as a line and the model as facts.

use serde_json::{Value, json};

use crate::support::model::{Answer, ModelServer};
use crate::support::prometheus::Prometheus;
use crate::support::service::{Home, TOKEN, program, run};
use crate::support::team::Team;
use crate::support::{alerts, contract, pending};

/// An alert about a queue, which is no object of the cluster.
fn alert() -> Value {
    let expression = "g0.expr=queue_depth%7Bqueue%3D~%22orders%7Cmails%22%7D+%3E+10&g0.tab=1";
    let mut body = alerts::one_alert(
        "queues",
        &json!({"alertname": "QueueTooLong", "severity": "critical", "queue": "orders", "job": "queues"}),
    );
    let alert = &mut body["alerts"][0];
    alert["generatorURL"] = format!("http://prometheus.example.com/graph?{expression}").into();
    alert["startsAt"] = (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(3)).to_string().into();
    alert["annotations"] = json!({"summary": "The queue of orders is too long"});
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alerts_expression_reaches_people_and_the_model() {
    let (prometheus, team) = (Prometheus::start().await, Team::start().await);
    prometheus.rise_to(42).await;
    // The model asks once more itself, and quotes what it got.
    let model = ModelServer::scripted(|asked| match asked.results().len() {
        0 => Answer::Calls(vec![("prometheus_query".to_owned(), json!({"query": "max(queue_depth)"}))]),
        _ => {
            let quoted = asked.results()[0].to_owned();
            assert!(quoted.contains("42"), "{quoted}");
            Answer::Calls(vec![(
                "submit_diagnosis".to_owned(),
                json!({"verdict": "inconclusive", "headline": "42 orders wait in the queue", "causes": [],
                       "primary": {"resource": {"kind": "", "namespace": "", "name": ""}, "findings": []},
                       "related": [], "impact": "", "steps": [], "ruled_out": [], "unresolved": []}),
            )])
        }
    })
    .await;
    let parts = json!({"prometheus": prometheus.settings(), "mcp": alerts::builtin(alerts::PENDING),
                       "models": pending::models(&model), "channels": team.channels()});
    let home = Home::new(&parts);
    let service = home.serve().await;
    let (id, _) = service.accept(&alert()).await;
    let incident = service.settled(&id, 40).await;
    let series = &incident["report"]["series"][0];
    assert!(series.is_object(), "{incident:#}");
    assert_eq!(series["labels"]["queue"], "orders", "the series the alert fired on: {series}");
    assert_eq!((&series["latest"], &series["threshold"]), (&json!(42.0), &json!("> 10")), "{series}");
    assert!(series["least"].as_f64().unwrap() <= 42.0 && !series["points"].as_array().unwrap().is_empty());
    let prompt = model.asked()[0].body["messages"].to_string();
    assert!(prompt.contains("latest 42 (fires when > 10)"), "the facts say what was measured: {prompt}");
    assert!(model.asked()[0].offered().contains(&"prometheus_query_range"));
    for channel in &team.each_has(1, 20).await {
        let text = &channel[0].text;
        assert!(text.contains("latest 42, fires") && text.contains(['▄', '█']), "{text}");
    }
    let evidence = incident["report"]["evidence"].to_string();
    assert!(evidence.contains("prometheus_query_range") && evidence.contains("\"prometheus_query\""), "{evidence}");
    team.refused_nothing();
}

/// Half an hour of history, and an alert that fired in its midst: the line and the picture show the rise and the moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_course_before_and_after_the_firing_is_drawn() {
    let past: Vec<u64> = (0..50).map(|minute| if minute < 35 { 4 } else { 4 + 2 * (minute - 34) }).collect();
    let (prometheus, team) = (Prometheus::remembering(&past).await, Team::start().await);
    prometheus.rise_to(36).await;
    let parts = json!({"prometheus": prometheus.settings(), "mcp": alerts::builtin(alerts::PENDING),
                       "timezone": "UTC", "channels": team.channels()});
    let home = Home::new(&parts);
    let service = home.serve().await;
    let mut body = alert();
    let fired = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(12);
    body["alerts"][0]["startsAt"] = fired.to_string().into();
    let (id, _) = service.accept(&body).await;
    let incident = service.settled(&id, 30).await;
    let series = &incident["report"]["series"][0];
    assert!(series["least"] == 4.0 && series["greatest"].as_f64() >= Some(34.0), "{series}");
    let points = series["points"].as_array().unwrap().len();
    assert!((40..=240).contains(&points), "{points} points of 42 minutes");
    for channel in &team.each_has(1, 20).await {
        let text = &channel[0].text;
        let marked = text.split('│').collect::<Vec<_>>();
        assert!(marked.len() == 2 && marked[0].ends_with(['▁', '▂', '▃']), "flat, then fired, then a rise: {text}");
        assert!(text.contains('█'), "{text}");
    }
    let page = service.request(reqwest::Method::GET, &format!("/incidents/{id}"));
    let page = page.send().await.unwrap().text().await.unwrap();
    let picture =
        page.split("<svg class=\"series\"").nth(1).and_then(|rest| rest.split("</svg>").next()).unwrap_or_default();
    assert!(!picture.is_empty(), "{page}");
    let when = fired.strftime("%H:%M").to_string();
    for part in ["class=\"mark\"", "class=\"limit\"", &when] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_that_is_not_there_is_a_gap_and_delays_nobody() {
    let team = Team::start().await;
    let prometheus = json!({"url": "http://127.0.0.1:9", "token": "t0ken-0123456789abcd"});
    let parts = json!({"prometheus": prometheus, "mcp": alerts::builtin(alerts::PENDING), "channels": team.channels()});
    let home = Home::new(&parts);
    let service = home.serve().await;
    let (id, _) = service.accept(&alert()).await;
    let incident = service.settled(&id, 30).await;
    let gaps = incident["report"]["data_gaps"].to_string();
    assert!(gaps.contains("could not be evaluated") && gaps.contains("prometheus.url"), "{gaps}");
    crate::support::team::assert_in_time(&team.each_has(1, 10).await, &incident);
    let alerts = alert()["alerts"].as_array().unwrap().len();
    assert_eq!(contract::holds(&service, alerts, 10).await.sent, alerts as u64);
}

/// `check` says what it found, and what to do about a wrong token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tries_prometheus() {
    let prometheus = Prometheus::start().await;
    let check = async |settings: Value| {
        let home = Home::new(&json!({"prometheus": settings, "channels": []}));
        let mut command = program();
        command.args(["check", "--lang", "en", "--config"]).arg(home.config());
        run(command).await
    };
    let right = check(prometheus.settings()).await;
    assert!(right.stdout.contains("1 targets are scraped"), "{}", right.stdout);
    let mut settings = prometheus.settings();
    settings["token"] = "wrong-token-0123456789".into();
    let wrong = check(settings).await;
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stdout.contains("answers 401; check prometheus.token"), "{}", wrong.stdout);
    assert!(!wrong.stdout.contains("wrong-token") && !wrong.stdout.contains(TOKEN), "{}", wrong.stdout);
}

/// A Prometheus that takes the question and never answers: the playbook's findings are in the first message all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_that_hangs_holds_no_first_message_back() {
    let team = Team::start().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let parts =
        json!({"prometheus": {"url": url}, "mcp": alerts::builtin(alerts::PENDING), "channels": team.channels()});
    let home = Home::new(&parts);
    let service = home.serve().await;
    let (id, _) = service.accept(&alerts::webhook(alerts::PENDING)).await;
    let incident = service.settled(&id, 30).await;
    let heard = team.each_has(1, 10).await;
    crate::support::team::assert_in_time(&heard, &incident);
    for channel in &heard {
        assert!(channel[0].text.contains("com.tencent.cloud.csi.cbs"), "{}", channel[0].text);
    }
    assert!(incident["report"]["data_gaps"].to_string().contains("no answer in time"), "{incident:#}");
    let alerts = alerts::webhook(alerts::PENDING)["alerts"].as_array().unwrap().len();
    assert_eq!(contract::holds(&service, alerts, 10).await.sent, alerts as u64);
    drop(silent);
}
