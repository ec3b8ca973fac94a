//! Every secret of a configuration, and other ends that repeat whatever they are told: none is seen in a log, a metric, an
//! answer, a page, a message or the store.

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::alerts::{PENDING, in_group, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::serve;
use crate::support::service::{Home, Service, TOKEN, client};

/// A secret that is found again wherever it goes.
fn secret(name: &str) -> String {
    format!("Zq7-{name}-8fKp2LwX9vTn4RbY")
}

const NAMES: [&str; 23] = [
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
    "webhook-header",
    "prometheus-header",
    "app-secret",
    "app-encrypt-key",
    "app-verification-token",
    "prometheusalert-address",
    "database-password",
    "mcp-address",
    "model-address",
    "prometheus-password",
];

/// Who asks Prometheus where it wants a password.
const USER: &str = "firstlook";

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
            "prometheusalert": [{"receiver": "pay", "channels": ["works"],
                                 "match": {"type": "fs", "fsurl": migrated_address(echo)}}],
        },
        "models": [{"name": "fast", "base_url": format!("{echo}/v1?key={}", s("model-address")), "api_key": s("model-key"), "model": "m",
                    "headers": {"x-gateway-key": s("model-header")}, "timeout": "5s"}],
        "mcp": [{"name": "kubernetes", "url": format!("{echo}/mcp"), "transport": "http",
                 "headers": {"Authorization": format!("Bearer {}", s("mcp-header"))}},
                {"name": "other", "url": format!("{echo}/mcp?key={}", s("mcp-address"))}],
        "prometheus": {"url": echo, "token": s("prometheus"), "headers": {"x-tenant": s("prometheus-header")}},
        "triage": {"deadline": "10s"},
        "channels": [
            {"name": "works", "type": "feishu-bot", "url": working.url()},
            {"name": "feishu", "type": "feishu-bot", "secret": s("feishu-secret"),
             "url": format!("{echo}/open-apis/bot/v2/hook/{}", s("feishu-token"))},
            {"name": "wecom", "type": "wecom-bot", "url": format!("{echo}/cgi-bin/webhook/send?key={}", s("wecom-key"))},
            {"name": "mail", "type": "email", "from": "a@example.com", "to": ["b@example.com"],
             "smtp": format!("smtp://user:{}@127.0.0.1:1", s("smtp-password"))},
            {"name": "hook", "type": "webhook", "url": format!("{echo}/hook"), "secret": s("webhook-secret"),
             "headers": {"x-hook-key": s("webhook-header")}},
            {"name": "app", "type": "feishu-app", "app_id": "cli_a", "receive_id": "oc_a", "base_url": echo,
             "app_secret": s("app-secret"), "encrypt_key": s("app-encrypt-key"), "operators": ["ou_a"],
             "verification_token": s("app-verification-token"), "callbacks": "http"},
        ],
    })
}

/// The same where Prometheus asks for a name and a password, which it takes in place of a token.
fn by_password(mut parts: Value) -> Value {
    let prometheus = parts["prometheus"].as_object_mut().unwrap();
    prometheus.remove("token");
    prometheus.insert("username".to_owned(), USER.into());
    prometheus.insert("password".to_owned(), secret("prometheus-password").into());
    parts
}

/// Where PrometheusAlert posted to, whose token opens the chat.
fn migrated_address(echo: &str) -> String {
    format!("{echo}/open-apis/bot/v2/hook/{}", secret("prometheusalert-address"))
}

/// The store's address, on a server with a password in it.
fn with_password(store: &str) -> String {
    let Ok(mut address) = store.parse::<url::Url>() else { return store.to_owned() };
    if address.scheme() == "postgres" {
        address.set_password(Some(&secret("database-password"))).unwrap();
        return address.to_string();
    }
    store.to_owned()
}

/// Fails when any of the secrets stands in a text.
fn assert_clean(place: &str, text: &[u8]) {
    for name in NAMES.iter().copied() {
        let needle = secret(name);
        let found = text.windows(needle.len()).any(|window| window == needle.as_bytes());
        assert!(!found, "{place} shows {needle}");
        // PostgreSQL shows bytes in hexadecimal digits.
        let digits: String = needle.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!text.windows(digits.len()).any(|window| window == digits.as_bytes()), "{place} keeps {needle}");
    }
    let sent = STANDARD.encode(format!("{USER}:{}", secret("prometheus-password")));
    assert!(!text.windows(sent.len()).any(|window| window == sent.as_bytes()), "{place} shows the encoded password");
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
    on_every_engine(async || {
        let (echo, working) = (echo().await, Feishu::start().await);
        let home = Home::new(&json!({}));
        let mut parts = configuration(&echo, &working);
        // Each engine tries one of the two ways to come into Prometheus.
        if !home.store().starts_with("sqlite:") {
            parts = by_password(parts);
        }
        parts["store"] = with_password(home.store()).into();
        home.write(&parts);
        let service = home.serve_with(&[("FIRSTLOOK_LOG", "debug")]).await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let tried = |incident: &Value| {
            let notices = incident["notices"].as_array().unwrap();
            notices.iter().all(|notice| notice["attempts"].as_u64() >= Some(1)) && !incident["report"].is_null()
        };
        service.incident_when("every end was tried", &id, 40, tried).await;
        // Somebody who came from PrometheusAlert names the chat as before; another names one that nobody knows.
        for fsurl in [migrated_address(&echo), format!("{}/else", migrated_address(&echo))] {
            let request = service.request(reqwest::Method::POST, "/prometheusalert");
            let query = [("type", "fs"), ("tpl", "prometheus-fs"), ("fsurl", fsurl.as_str())];
            let answer =
                request.query(&query).json(&in_group(PENDING, &fsurl[fsurl.len() - 4..])).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let said = answer.bytes().await.unwrap();
            assert_clean("the answer", &said);
            let id = serde_json::from_slice::<Value>(&said).unwrap()["incident"].as_str().unwrap().to_owned();
            let told = |incident: &Value| incident["notices"][0]["state"] == "sent";
            service.incident_when("its channel is told", &id, 40, told).await;
        }
        // Every other end fails, and some channel accepted each alert all the same.
        let alerts = 3 * webhook(PENDING)["alerts"].as_array().unwrap().len();
        assert_eq!(contract::holds(&service, alerts, 20).await.sent, alerts as u64);
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
        for (place, bytes) in home.everything_kept().await {
            assert_clean(&place, &bytes);
        }
        let log = service.log();
        assert!(log.contains("bad call of") || log.contains("400"), "the ends were heard:\n{log}");
        assert_clean("the log", log.as_bytes());
    })
    .await;
}
