//! The real Prometheus, scraping a page of ours, behind a door that asks for a token.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::service::client;
use super::{eventually_async, serve, tools};

/// What its door asks for.
pub const TOKEN: &str = "prometheus-token-0123456789";

/// The running server; it ends when this is dropped.
pub struct Prometheus {
    base: String,
    door: String,
    level: Arc<AtomicU64>,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it; every second it scrapes the gauge `queue_depth{queue=…}` of two queues.
    pub async fn start() -> Self {
        Self::remembering(&[]).await
    }

    /// Starts it with a past: the depth of the queue `orders`, one value a minute, the last a minute ago.
    pub async fn remembering(past: &[u64]) -> Self {
        let level = Arc::new(AtomicU64::new(3));
        let target = serve(Router::new().route("/metrics", get(page)).with_state(level.clone())).await;
        let folder = tempfile::tempdir().unwrap();
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "queues", "static_configs": [{"targets": [target.trim_start_matches("http://")]}]}],
        });
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        remember(folder.path(), target.trim_start_matches("http://"), past);
        let port = tools::port();
        let process = Command::new(tools::prometheus())
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let base = format!("http://127.0.0.1:{port}");
        let door = serve(Router::new().route("/prom/{*path}", any(pass)).with_state(base.clone())).await + "/prom";
        let server = Self { base, door, level, _process: process, _folder: folder };
        eventually_async("Prometheus has scraped", 30, || async { server.value().await.is_some() }).await;
        server
    }

    /// What belongs under `prometheus:`.
    pub fn settings(&self) -> Value {
        json!({"url": self.door, "token": TOKEN})
    }

    /// Sets the gauge and waits until Prometheus has it.
    pub async fn rise_to(&self, level: u64) {
        self.level.store(level, Ordering::Relaxed);
        let there = || async { self.value().await == Some(level.to_string()) };
        eventually_async("Prometheus has scraped the new value", 30, there).await;
    }

    async fn value(&self) -> Option<String> {
        let url = format!("{}/api/v1/query?query=queue_depth%7Bqueue%3D%22orders%22%7D", self.base);
        let answer: Value = client().get(url).send().await.ok()?.json().await.ok()?;
        answer.pointer("/data/result/0/value/1").and_then(Value::as_str).map(str::to_owned)
    }
}

/// Writes a past into the data folder with Prometheus' own tool.
fn remember(folder: &Path, instance: &str, past: &[u64]) {
    if past.is_empty() {
        return;
    }
    let mut text = "# TYPE queue_depth gauge\n".to_owned();
    let now = jiff::Timestamp::now().as_second();
    for (ago, value) in (1_i64..).zip(past.iter().rev()).collect::<Vec<_>>().into_iter().rev() {
        let at = now - 60 * ago;
        let _ = writeln!(text, "queue_depth{{queue=\"orders\",job=\"queues\",instance=\"{instance}\"}} {value} {at}");
    }
    text.push_str("# EOF\n");
    let file = folder.join("past.txt");
    std::fs::write(&file, text).unwrap();
    let mut tool = std::process::Command::new(tools::promtool());
    tool.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(&file).arg(folder.join("data"));
    let done = tool.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

async fn page(State(level): State<Arc<AtomicU64>>) -> String {
    let level = level.load(Ordering::Relaxed);
    format!("# TYPE queue_depth gauge\nqueue_depth{{queue=\"orders\"}} {level}\nqueue_depth{{queue=\"mails\"}} 1\n")
}

/// The door: who has the token goes through to the real one.
async fn pass(State(base): State<String>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    if headers.get("authorization").is_none_or(|value| value != format!("Bearer {TOKEN}").as_str()) {
        return (StatusCode::UNAUTHORIZED, "no").into_response();
    }
    let path = uri.path().trim_start_matches("/prom");
    let kind = headers.get("content-type").cloned();
    let mut request = client().post(format!("{base}{path}")).body(body);
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    match request.send().await {
        Ok(answer) => {
            let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
            (status, Body::from(answer.bytes().await.unwrap())).into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
