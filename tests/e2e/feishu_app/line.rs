//! How the long connection fares: a connection that died without a word is noticed, and people can see how it is.

use serde_json::{Value, json};

use super::{OPERATOR, with_buttons};
use crate::support::alerts::{PENDING, webhook};
use crate::support::eventually_async;
use crate::support::feishu_app::FeishuApp;
use crate::support::feishu_ws::{press, verdict};
use crate::support::service::{Home, Service, program, run};

const UP: &str = "firstlook_long_connection_up{channel=\"cards\"}";
const RECONNECTS: &str = "firstlook_long_connection_reconnects_total{channel=\"cards\"}";

async fn served(app: &FeishuApp) -> (Home, Service) {
    let mut parts = with_buttons(app, json!([]));
    parts["channels"][0]["name"] = "cards".into();
    let home = Home::new(&parts);
    let service = home.serve().await;
    (home, service)
}

async fn shown(service: &Service) -> Value {
    service.get("/readyz?verbose").await["channels"][0]["long_connection"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_goes_silent_is_dialled_again_and_presses_arrive() {
    let app = FeishuApp::start().await;
    let (_home, service) = served(&app).await;
    app.socket.stands().await;
    eventually_async("it is shown to stand", 10, async || shown(&service).await["connected"] == true).await;
    assert_eq!((service.metric(UP).await, service.metric(RECONNECTS).await), (Some(1.0), Some(0.0)));
    assert_eq!(shown(&service).await["state"], "ok");
    let (id, _) = service.accept(&webhook(PENDING)).await;
    service.settled(&id, 40).await;

    app.socket.go_silent();
    eventually_async("a second connection", 20, async || app.socket.connections() == 2).await;
    eventually_async("it stands again", 10, async || service.metric(UP).await == Some(1.0)).await;
    assert_eq!(service.metric(RECONNECTS).await, Some(1.0));
    let seen = shown(&service).await;
    assert_eq!((&seen["connected"], &seen["state"]), (&json!(true), &json!("ok")), "{seen}");
    assert_eq!((&seen["failure"], &seen["ends"]), (&json!("silent"), &json!(1)), "{seen}");
    assert!(service.log().contains("not even a pong"), "{}", service.log());
    let card = app.cards().pop().unwrap().id;
    let answer = app.socket.send("m1", &press("e1", &card, OPERATOR, &verdict("useful", "")), 1).await;
    assert_eq!(answer["toast"]["type"], "success", "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_refused_or_closed_is_seen_and_the_service_stays_ready() {
    let app = FeishuApp::start().await;
    app.socket.fail_handshakes(&[(403, ""); 3]);
    let (_home, service) = served(&app).await;
    let refused = async || shown(&service).await["failure"] == "refused";
    eventually_async("the refusal is shown", 20, refused).await;
    let seen = shown(&service).await;
    assert_eq!((&seen["connected"], &seen["state"]), (&json!(false), &json!("failing")), "{seen}");
    assert!(seen["advice"].as_str().unwrap().contains("persistent connection"), "{seen}");
    assert_eq!(service.metric(UP).await, Some(0.0));
    assert_eq!(service.get("/readyz").await["ready"], true, "messages go out all the same");

    eventually_async("it stands at last", 60, async || service.metric(UP).await == Some(1.0)).await;
    app.socket.drop_connection();
    let closed = async || matches!(shown(&service).await["failure"].as_str(), Some("closed" | "broken"));
    eventually_async("the end is shown", 20, closed).await;
    eventually_async("and it stands again", 60, async || shown(&service).await["connected"] == true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_dials_and_says_what_to_do() {
    let app = FeishuApp::start().await;
    let checked = async |parts: &Value, lang: &str| {
        let home = Home::new(parts);
        let mut command = program();
        command.args(["check", "--lang", lang, "--config"]).arg(home.config());
        let ended = run(command).await;
        let line = ended.stdout.lines().find(|line| line.contains("callbacks")).map(str::to_owned);
        (ended.code, line.unwrap_or_default())
    };
    let parts = with_buttons(&app, json!([]));
    let (code, line) = checked(&parts, "en").await;
    assert!(code == Some(0) && line.starts_with("ok ") && line.contains("the long connection stands"), "{line}");
    assert_eq!((app.socket.connections(), app.messages().len()), (1, 0), "dialled, and nobody was told anything");

    for (lang, says) in [("en", "persistent connection"), ("zh", "使用长连接接收回调")] {
        app.socket.fail_handshakes(&[(403, "")]);
        let (code, line) = checked(&parts, lang).await;
        assert!(code == Some(1) && line.starts_with("fail") && line.contains(says), "{line}");
        app.socket.fail_handshakes(&[(514, "1000040350")]);
        assert!(checked(&parts, lang).await.1.contains("50"), "too many connections");
    }
    app.socket.fail_endpoint(&[1_000_040_344]);
    let (_, line) = checked(&parts, "en").await;
    assert!(line.contains("1000040344") && line.contains("check app_id and app_secret"), "{line}");

    // Nothing listens where the platform says the connection is.
    app.socket.lead_nowhere();
    let (code, line) = checked(&parts, "zh").await;
    assert!(code == Some(1) && line.contains("callbacks: http") && !line.contains("long-secret-ticket"), "{line}");
}
