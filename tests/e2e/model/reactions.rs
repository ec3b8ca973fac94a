//! What a failing provider does to an alert: it is asked as often as may help and no oftener, the next model answers, the
//! report says why, and where another model answered nothing of the failing one's words reaches people. Through the built
//! program.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::alerts::{PENDING, builtin, webhook};
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, KEY, ModelServer};
use crate::support::pending;
use crate::support::service::{Home, Service};

/// Stands in every body of a failing provider, and nowhere else.
const SECRET_WORDS: &str = "Heliotrope";

fn html(status: u16) -> Answer {
    let page = format!("<html><body>{SECRET_WORDS}: sign in</body></html>");
    Answer::Raw(status, vec![("content-type", "text/html".to_owned())], page)
}

fn says(status: u16, headers: Vec<(&'static str, String)>, message: &str) -> Answer {
    let body = json!({"error": {"message": format!("{message} {SECRET_WORDS}")}});
    Answer::Raw(status, headers, body.to_string())
}

/// The wait a provider asks for.
fn slow_down(retry_after: &[&str]) -> Answer {
    let headers = retry_after.iter().map(|wait| ("retry-after", (*wait).to_owned())).collect();
    says(429, headers, "slow down")
}

fn in_a_while(seconds: i64) -> String {
    let at = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_zoned(jiff::tz::TimeZone::UTC);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn entry(name: &str, url: &str) -> Value {
    json!({"name": name, "base_url": url, "api_key": KEY, "model": "m", "timeout": "3s"})
}

/// One alert before models in order: the settled incident, and the service that told of it.
async fn alert(models: &Value) -> (Value, Feishu, Service, Home) {
    alert_within(models, 40).await
}

async fn alert_within(models: &Value, seconds: u64) -> (Value, Feishu, Service, Home) {
    let feishu = Feishu::start().await;
    let home = Home::new(&json!({
        "mcp": builtin(PENDING), "models": models, "triage": {"deadline": format!("{seconds}s")},
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
    }));
    let service = home.serve().await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    let incident = service.settled(&id, seconds + 5).await;
    (incident, feishu, service, home)
}

/// The first model fails in this way for ever; the second answers.
async fn fails(what: &str, answer: impl Fn() -> Answer + Send + 'static, why: &str, times: RangeInclusive<usize>) {
    let (failing, second) = (ModelServer::scripted(move |_| answer()).await, pending::model().await);
    let models = json!([entry("fast", &failing.url()), entry("second", &second.url())]);
    let (incident, feishu, service, _home) = alert(&models).await;
    assert_passed_over(what, &incident, why);
    let asked = failing.asked().len();
    assert!(times.contains(&asked), "{what}: asked {asked} times, not {times:?}\n{}", service.log());
    let told = format!("{incident}{:?}", feishu.accepted());
    assert!(!told.contains(SECRET_WORDS), "{what}: the provider's words are told: {told}");
}

fn assert_passed_over(what: &str, incident: &Value, why: &str) {
    let usage = &incident["report"]["usage"];
    assert_eq!((&usage["source"], &usage["model"]), (&json!("model"), &json!("second")), "{what}: {incident:#}");
    assert_eq!(usage["passed_over"], json!([{"model": "fast", "why": why}]), "{what}: {incident:#}");
    assert_eq!(incident["report"]["causes"][0]["resource"]["name"], "test-data", "{what}");
}

/// The first model fails once in this way and then answers, after at least so long.
async fn recovers(what: &str, once: Answer, at_least: Duration) {
    let mut once = Some(once);
    let model = ModelServer::scripted(move |asked| once.take().unwrap_or_else(|| pending::investigate(asked))).await;
    let (incident, ..) = alert(&json!([entry("fast", &model.url())])).await;
    let usage = &incident["report"]["usage"];
    assert_eq!((&usage["source"], &usage["passed_over"]), (&json!("model"), &json!([])), "{what}: {incident:#}");
    let asked = model.asked();
    assert_eq!(asked.len(), 3, "{what}: the failure, and two turns");
    assert_eq!(asked[0].body, asked[1].body, "{what}: the same question again, nothing of the failure in it");
    let waited = asked[1].at - asked[0].at;
    assert!(waited >= at_least && waited < at_least + Duration::from_secs(6), "{what}: {waited:?}");
}

/// Seconds, a date, none: a wait that fits is kept, one that does not gives way to the next model at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_a_429_is_waited_for_when_that_fits_and_left_when_it_does_not() {
    let soon = in_a_while(4);
    tokio::join!(
        recovers("2 s", slow_down(&["2"]), Duration::from_secs(2)),
        // Half a second of the four is the start of the service and the first look.
        recovers("a date soon", slow_down(&[&soon]), Duration::ZERO),
        recovers("no wait named", slow_down(&[]), Duration::from_millis(250)),
        fails("2 h", || slow_down(&["7200"]), "429 rate limited", 1..=1),
        fails("a date in 2 h", || slow_down(&[&in_a_while(7200)]), "429 rate limited", 1..=1),
        fails("no wait named, for ever", || slow_down(&[]), "429 rate limited", 3..=3),
        fails("tokens per minute", || says(429, vec![], "TPM limit reached."), "429 rate limited", 1..=1),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_what_is_no_answer_is_told_apart_and_the_next_model_answers() {
    let raw = |status, body: &'static str| move || Answer::Raw(status, vec![], format!("{body}{SECRET_WORDS}"));
    let nothing = |status| move || Answer::Raw(status, vec![], String::new());
    let in_stream = r#"data: {"error":{"message":"overloaded ","code":529}}"#;
    tokio::join!(
        fails("a page with 200", || html(200), "unusable answer", 3..=3),
        fails("a page with 502", || html(502), "502 server error", 3..=3),
        fails("nothing with 200", nothing(200), "unusable answer", 3..=3),
        fails("nothing with 500", nothing(500), "500 server error", 3..=3),
        // Once more in the plainest form: a thinking model with too high a limit says nothing either.
        fails("nothing with 400", nothing(400), "400 request refused", 2..=2),
        fails("words with 200", raw(200, "Hello, "), "unusable answer", 3..=3),
        fails("an error with 200", || says(200, vec![], "Insufficient Balance"), "no quota left", 1..=1),
        fails(
            "an error in the stream",
            move || Answer::Raw(200, vec![], format!("{in_stream}\n\n")),
            "529 server error",
            3..=3
        ),
        fails(
            "half an event",
            || Answer::Raw(200, vec![], "data: {\"choices\":\n\n".to_owned()),
            "unusable answer",
            3..=3
        ),
    );
}

/// Whatever came of a broken answer is not used: the question is asked again, and no call is made twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_a_model_that_dies_in_the_middle_is_asked_again_and_then_left() {
    tokio::join!(
        recovers("once", Answer::Cut(Box::new(pending::look())), Duration::from_millis(250)),
        fails("for ever", || Answer::Cut(Box::new(pending::look())), "unreachable", 3..=3),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_a_model_that_only_keeps_the_line_open_is_left_in_time() {
    fails("endless keep-alives", || Answer::KeepAlive, "timed out", 1..=3).await;
}

/// 200 MB from a model cost what its bound says, in memory as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_an_answer_without_end_costs_a_bounded_part_of_it() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let failing = ModelServer::scripted(move |_| Answer::Flood(Arc::clone(&counter))).await;
    let second = pending::model().await;
    let mut models = json!([entry("fast", &failing.url()), entry("second", &second.url())]);
    // Reading so much in one line takes a build without optimisation several seconds, three times.
    models[0]["timeout"] = "40s".into();
    let (incident, _, service, _home) = alert_within(&models, 240).await;
    assert_passed_over("200 MB", &incident, "unusable answer");
    assert!(failing.asked().len() <= 3);
    // Sockets on both sides hold a few megabytes more than is read.
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < failing.asked().len() * (24 << 20), "{taken} bytes were taken");
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    assert!(peak.unwrap() < 200_000, "{peak:?} kB at the highest");
}

/// The key and the conversation go nowhere but to the configured place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let elsewhere = ModelServer::scripted(|_| Answer::Text("I am another".to_owned())).await;
    let place = format!("{}/chat/completions", elsewhere.url());
    let redirect = move || Answer::Raw(307, vec![("location", place.clone())], String::new());
    fails("a redirect", redirect, "307 not found", 1..=1).await;
    assert_eq!(elsewhere.asked().len(), 0);
}

/// A server that cannot prove who it is gets the beginning of a handshake and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tls_that_holds_nothing_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/v1", listener.local_addr().unwrap());
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut packet = [0; 4096];
            let length = stream.read(&mut packet).await.unwrap_or_default();
            ear.lock().unwrap().extend_from_slice(&packet[..length]);
        }
    });
    let second = pending::model().await;
    let (incident, ..) = alert(&json!([entry("fast", &url), entry("second", &second.url())])).await;
    assert_passed_over("no TLS", &incident, "unreachable");
    let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    assert!(!heard.is_empty() && !heard.contains(KEY) && !heard.contains("test-data"), "{heard}");
}

/// Nobody else answers: the playbook does, in time, and the report says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_failing_model_the_playbook_answers_and_says_why() {
    let failures = [("a page", "unusable answer"), ("two hours", "429 rate limited"), ("cut", "unreachable")];
    join_all(failures.map(|(what, why)| async move {
        let answer = move || match what {
            "a page" => html(200),
            "two hours" => slow_down(&["7200"]),
            _ => Answer::Cut(Box::new(pending::look())),
        };
        let model = ModelServer::scripted(move |_| answer()).await;
        let (incident, feishu, ..) = alert(&json!([entry("fast", &model.url())])).await;
        let report = &incident["report"];
        let usage = &report["usage"];
        assert_eq!(
            (&usage["source"], &usage["stopped_by"]),
            (&json!("playbook"), &json!("model_error")),
            "{what}: {usage:#}"
        );
        assert_eq!(usage["passed_over"], json!([{"model": "fast", "why": why}]), "{what}");
        assert!(report["data_gaps"].to_string().contains("fast"), "{what}: {report:#}");
        let told = format!("{:?}", feishu.accepted());
        assert!(told.contains("com.tencent.cloud.csi.cbs"), "{what}: {told}");
        // The reason in the report quotes an error's sentence, and never a page.
        assert!(what == "two hours" || !format!("{report}{told}").contains(SECRET_WORDS), "{what}: {told}");
    }))
    .await;
}
