//! Credentials and certificates of other ends that end: the alert is told, what to do is said, and new ones are used without
//! a restart.

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, in_group, one_alert};
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::mcp::{McpServer, Unknown};
use crate::support::model::KEY;
use crate::support::service::{Home, Service, program, run};
use crate::support::smtp::{expired, self_signed};
use crate::support::{contract, pending};

/// A file of the home's that holds a secret.
fn keep(home: &Home, name: &str, secret: &str) {
    std::fs::write(home.config().with_file_name(name), secret).unwrap();
}

/// The reports of alerts that are sent one after the other, until one is as wanted.
async fn until(service: &Service, what: &str, is: impl Fn(&Value) -> bool) -> usize {
    for number in 0..20 {
        let alert = one_alert(&format!("again-{number}"), &json!({"alertname": format!("Again{number:02}")}));
        let (id, _) = service.accept(&alert).await;
        let report = service.settled(&id, 30).await["report"].clone();
        if is(&report) {
            return number + 1;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    panic!("{what}\n{}", service.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_a_model_whose_key_was_rotated_is_asked_again_as_soon_as_the_new_one_is_mounted() {
    on_every_engine(async || {
        let model = pending::model().await;
        let hook = Feishu::start().await.without_rate_limit();
        let home = Home::new(&json!({
            "mcp": builtin(PENDING), "triage": {"cooldown": "0s"},
            "models": [{"name": "fast", "base_url": model.url(), "api_key": "${file:key}", "model": "m"}],
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": hook.url()}],
        }));
        keep(&home, "key", "sk-of-yesterday");
        let service = home.serve().await;
        let (id, _) = service.accept(&in_group(PENDING, "before")).await;
        let report = service.settled(&id, 30).await["report"].clone();
        assert_eq!(report["usage"]["source"], "playbook", "{report:#}");
        assert!(report["data_gaps"].to_string().contains("401"), "{report:#}");
        assert!(!model.take_refusals().is_empty(), "it was asked with the old key");

        keep(&home, "key", KEY);
        let sent = until(&service, "the new key is used", |report| report["usage"]["source"] == "model").await;
        assert!(!service.log().contains("sk-of-yesterday"));
        let before = in_group(PENDING, "any")["alerts"].as_array().unwrap().len();
        contract::holds(&service, before + sent, 10).await;
        model.take_refusals();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_an_mcp_server_whose_token_was_rotated_is_asked_again_as_soon_as_the_new_one_is_mounted() {
    on_every_engine(async || {
        let server = McpServer::start(Unknown::Text(404, "no session")).await;
        server.ask_for("token-of-today");
        let hook = Feishu::start().await.without_rate_limit();
        let home = Home::new(&json!({
            "mcp": [{"name": "kubernetes", "url": server.url, "transport": "http",
                     "headers": {"Authorization": "Bearer ${file:token}"}}],
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": hook.url()}],
        }));
        keep(&home, "token", "token-of-yesterday");
        let service = home.serve().await;
        let (id, _) = service.accept(&in_group(PENDING, "before")).await;
        let gaps = service.settled(&id, 30).await["report"]["data_gaps"].to_string();
        assert!(gaps.contains("kubernetes") && gaps.contains("401"), "{gaps}");
        assert_eq!(server.calls().len(), 0);

        keep(&home, "token", "token-of-today");
        let used = |_: &Value| !server.calls().is_empty();
        let sent = until(&service, "the new token is used", used).await;
        assert!(!service.log().contains("token-of-yesterday"));
        let before = in_group(PENDING, "any")["alerts"].as_array().unwrap().len();
        contract::holds(&service, before + sent, 10).await;
    })
    .await;
}

/// openssl's own little server, with this certificate: it answers nobody who looks at it.
fn tls_server(certificate: &std::path::Path) -> (tokio::process::Child, String) {
    let port = crate::support::tools::port();
    let mut server = tokio::process::Command::new("openssl");
    server.args(["s_server", "-quiet", "-www", "-port", &port.to_string(), "-cert"]).arg(certificate);
    let server = server.stdin(std::process::Stdio::null()).kill_on_drop(true).spawn().unwrap();
    (server, format!("https://127.0.0.1:{port}"))
}

/// A model and an MCP server behind a certificate that is not good: the alert is told at once, and the report and `check`
/// say of each what is wrong with it and what to do.
async fn is_named(certificate: &std::path::Path, environment: &[(&str, &str)], wrong: &str, remedy: &str) {
    on_every_engine(async || is_named_here(certificate, environment, wrong, remedy).await).await;
}

async fn is_named_here(certificate: &std::path::Path, environment: &[(&str, &str)], wrong: &str, remedy: &str) {
    let (_server, url) = tls_server(certificate);
    let hook = Feishu::start().await;
    let home = Home::new(&json!({
        "mcp": [{"name": "kubernetes", "url": format!("{url}/mcp"), "transport": "http"}],
        "models": [{"name": "fast", "base_url": format!("{url}/v1"), "api_key": KEY, "model": "m", "timeout": "5s"}],
        "triage": {"deadline": "20s"},
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": hook.url()}],
    }));
    let service = home.serve_with(environment).await;
    let (id, _) = service.accept(&in_group(PENDING, "tls")).await;
    let incident = service.settled(&id, 40).await;
    let gaps = incident["report"]["data_gaps"].to_string();
    assert!(gaps.contains("kubernetes") && gaps.contains(wrong) && gaps.contains(remedy), "{gaps}");
    assert!(!hook.accepted().is_empty());
    let mut check = program();
    check.args(["check", "--lang", "en", "--config"]).arg(home.config()).envs(environment.iter().copied());
    let said = run(check).await.stdout;
    for name in ["fast", "kubernetes"] {
        let line = said.lines().find(|line| line.contains(name) && line.contains(wrong));
        assert!(line.is_some_and(|line| line.contains(remedy)), "{name}: {said}");
    }
    let alerts = in_group(PENDING, "any")["alerts"].as_array().unwrap().len();
    assert_eq!(contract::holds(&service, alerts, 5).await.sent, alerts as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_a_certificate_nobody_trusts_is_named_and_the_alert_is_told() {
    let folder = tempfile::tempdir().unwrap();
    is_named(&self_signed(folder.path()), &[], "UnknownIssuer", "SSL_CERT_FILE").await;
}

/// Its issuer is trusted; it is only too old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_an_expired_certificate_is_named_and_the_alert_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let both = expired(folder.path());
    let trusted = folder.path().join("certificate.pem").display().to_string();
    let environment = [("SSL_CERT_FILE", trusted.as_str())];
    is_named(&both, &environment, "expired", "renew that server's certificate").await;
}
