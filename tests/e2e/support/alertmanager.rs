//! The real Alertmanager, started before a service, with alerts put in through its API.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::service::{Lines, Service, TOKEN, client};
use super::{eventually_async, tools};

/// The running server; it ends when this is dropped.
pub struct Alertmanager {
    base: String,
    log: Lines,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts it with one receiver, the service's webhook, grouping by namespace.
    pub async fn before(service: &Service) -> Self {
        Self::start(service, &["--cluster.listen-address=".to_owned()]).await
    }

    /// Two that know of each other, each before a service of its own. Neither waits for the other's word, so that both
    /// send whatever both were given.
    pub async fn pair_before(services: [&Service; 2]) -> [Self; 2] {
        let ports = [tools::port(), tools::port()];
        let arguments = |own: usize| {
            [
                format!("--cluster.listen-address=127.0.0.1:{}", ports[own]),
                format!("--cluster.peer=127.0.0.1:{}", ports[1 - own]),
                "--cluster.peer-timeout=1ms".to_owned(),
            ]
        };
        let (first, second) = (arguments(0), arguments(1));
        let (first, second) = tokio::join!(Self::start(services[0], &first), Self::start(services[1], &second));
        let pair = [first, second];
        for one in &pair {
            let joined = || async {
                let answer = client().get(format!("{}/api/v2/status", one.base)).send().await.unwrap();
                let status: Value = answer.json().await.unwrap();
                status["cluster"]["peers"].as_array().is_some_and(|peers| peers.len() == 2)
            };
            eventually_async("the pair found each other", 30, joined).await;
        }
        pair
    }

    async fn start(service: &Service, arguments: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = json!({
            "route": {"receiver": "firstlook", "group_by": ["namespace"], "group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"},
            "receivers": [{"name": "firstlook", "webhook_configs": [{
                "url": format!("{}/webhooks/alertmanager", service.base()),
                "send_resolved": true,
                "http_config": {"authorization": {"type": "Bearer", "credentials": TOKEN}},
            }]}],
        });
        let file = folder.path().join("alertmanager.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let port = tools::port();
        let mut process = Command::new(tools::alertmanager())
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Lines::of(process.stderr.take().unwrap());
        let base = format!("http://127.0.0.1:{port}");
        let ready = format!("{base}/-/ready");
        let up = || async { client().get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) };
        eventually_async("Alertmanager is ready", 20, up).await;
        Self { base, log, _process: process, _folder: folder }
    }

    /// Puts alerts in, as Prometheus does: those of a webhook body, firing or over.
    pub async fn put(&self, body: &Value, fires: bool) {
        let now = jiff::Timestamp::now();
        let ends = if fires { now + jiff::SignedDuration::from_mins(30) } else { now };
        let started = now - jiff::SignedDuration::from_mins(15);
        let alerts: Vec<Value> = body["alerts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|alert| {
                json!({"labels": alert["labels"], "annotations": alert["annotations"], "startsAt": started, "endsAt": ends,
                       "generatorURL": alert["generatorURL"]})
            })
            .collect();
        let answer = client().post(format!("{}/api/v2/alerts", self.base)).json(&alerts).send().await.unwrap();
        assert!(answer.status().is_success(), "{}\n{}", answer.status(), self.log.text());
    }

    /// Its address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Reads its API.
    pub async fn get(&self, path: &str) -> Vec<Value> {
        let answer = client().get(format!("{}/api/v2/{path}", self.base)).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// What it logged about deliveries that failed.
    pub fn log(&self) -> String {
        self.log.text()
    }
}
