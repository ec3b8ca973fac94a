//! Every secret of a configuration, and other ends that repeat whatever they are told: none is seen in a log, a metric, an
//! answer, a page, a message or the store.

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::support::alerts::{PENDING, webhook};
use crate::support::feishu::Feishu;
use crate::support::serve;
use crate::support::service::{Home, Service, TOKEN, client};

/// A secret that is found again wherever it goes.
fn secret(name: &str) -> String {
    format!("Zq7-{name}-8fKp2LwX9vTn4RbY")
}

const NAMES: [&str; 13] = [
    "sender",
    "basic",
    "link",
    "grafana",
    "model-key",
    "model-header",
    "mcp-header",
    "prometheus",
    "feishu-token",
    "feishu-secret",
    "wecom-key",
    "smtp-password",
    "webhook-secret",
];

/// Answers everything with what it was sent: address, headers and body.
async fn echo() -> String {
    let answer = |request: Request| async {
        let (parts, body) = request.into_parts();
        let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
        let said = format!("bad call of {} with {:?} and {}", parts.uri, parts.headers, String::from_utf8_lossy(&body));
        let said: String = said.chars().take(3_000).collect();
        let answer = json!({
            "code": 19001, "msg": said, "errcode": 93000, "errmsg": said, "error": {"message": said, "code": "bad"},
        });
        (axum::http::StatusCode::BAD_REQUEST, axum::Json(answer)).into_response()
    };
    serve(Router::new().fallback(answer)).await
}

fn configuration(echo: &str, working: &Feishu) -> Value {
    let s = secret;
    json!({
        "server": {
            "listen": "127.0.0.1:0", "tokens": [TOKEN], "public_url": "https://firstlook.example.com",
            "basic_auth": [{"username": "am", "password": s("basic")}],
            "senders": [{"source": "nightingale", "token": s("sender")}],
            "link_secret": s("link"), "grafana_hmac": {"secret": s("grafana")},
        },
        "models": [{"name": "fast", "base_url": format!("{echo}/v1"), "api_key": s("model-key"), "model": "m",
                    "headers": {"x-gateway-key": s("model-header")}, "timeout": "5s"}],
        "mcp": [{"name": "kubernetes", "url": format!("{echo}/mcp"), "transport": "http",
                 "headers": {"Authorization": format!("Bearer {}", s("mcp-header"))}}],
        "prometheus": {"url": echo, "token": s("prometheus")},
        "triage": {"deadline": "10s"},
        "channels": [
            {"name": "works", "type": "feishu-bot", "url": working.url()},
            {"name": "feishu", "type": "feishu-bot", "secret": s("feishu-secret"),
             "url": format!("{echo}/open-apis/bot/v2/hook/{}", s("feishu-token"))},
            {"name": "wecom", "type": "wecom-bot", "url": format!("{echo}/cgi-bin/webhook/send?key={}", s("wecom-key"))},
            {"name": "mail", "type": "email", "from": "a@example.com", "to": ["b@example.com"],
             "smtp": format!("smtp://user:{}@127.0.0.1:1", s("smtp-password"))},
            {"name": "hook", "type": "webhook", "url": format!("{echo}/hook"), "secret": s("webhook-secret")},
        ],
    })
}

/// Fails when any of the secrets stands in a text.
fn assert_clean(place: &str, text: &[u8]) {
    for name in NAMES.iter().copied() {
        let needle = secret(name);
        let found = text.windows(needle.len()).any(|window| window == needle.as_bytes());
        assert!(!found, "{place} shows {needle}");
    }
    let token = text.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
    assert!(!token, "{place} shows the token");
}

async fn page(service: &Service, path: &str) -> Vec<u8> {
    let answer = service.request(reqwest::Method::GET, path).header("accept", "text/html").send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a37_no_secret_of_the_configuration_is_seen_anywhere() {
    let (echo, working) = (echo().await, Feishu::start().await);
    let home = Home::new(&configuration(&echo, &working));
    let service = home.serve_with(&[("FIRSTLOOK_LOG", "debug")]).await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    let tried = |incident: &Value| {
        let notices = incident["notices"].as_array().unwrap();
        notices.iter().all(|notice| notice["attempts"].as_u64() >= Some(1)) && !incident["report"].is_null()
    };
    service.incident_when("every end was tried", &id, 40, tried).await;
    // Wrong credentials, and a request that repeats right ones where they do not belong.
    for path in [format!("/incidents/{id}?pass={}", secret("link")), "/webhooks/grafana".to_owned()] {
        let url = format!("{}{path}", service.base());
        let _ = client().post(url).bearer_auth(secret("sender")).body(secret("grafana")).send().await;
    }
    let incident = format!("/incidents/{id}");
    let paths = [
        "/metrics",
        "/readyz?verbose",
        "/status",
        "/incidents",
        "/api/v1/incidents",
        "/api/openapi.json",
        &format!("/api/v1{incident}"),
        &incident,
        &format!("{incident}/messages"),
    ];
    for path in paths {
        assert_clean(path, &page(&service, path).await);
    }
    for message in working.accepted() {
        assert_clean("a message", message.to_string().as_bytes());
    }
    let store = home.config().with_file_name("firstlook.db");
    for file in [store.clone(), store.with_file_name("firstlook.db-wal")] {
        assert_clean(&file.display().to_string(), &std::fs::read(&file).unwrap_or_default());
    }
    let log = service.log();
    assert!(log.contains("bad call of") || log.contains("400"), "the ends were heard:\n{log}");
    assert_clean("the log", log.as_bytes());
}
