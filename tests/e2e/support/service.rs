//! The built program as a child process, spoken to over HTTP as its users do.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::contract;
use super::database::address_here;
use super::eventually;

/// The token every service of these tests asks for.
pub const TOKEN: &str = "e2e-token-0123456789abcdef";

/// The program, with nothing in its environment that would change what it does.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstlook"));
    for name in ["OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL", "FIRSTLOOK_LOG", "RUST_LOG", "LC_ALL", "LANG"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A configuration file and the store it names; both outlive the processes that use them.
pub struct Home {
    folder: tempfile::TempDir,
    store: String,
}

impl Home {
    /// Writes a configuration: these parts, a free port, a token, and a store: the one they name, or in the same folder, or
    /// on the engine a test runs on (`on_every_engine`).
    pub fn new(parts: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = || format!("sqlite:{}", folder.path().join("firstlook.db").display());
        let named = parts["store"].as_str().map(str::to_owned);
        let store = named.or_else(address_here).unwrap_or_else(file);
        let home = Self { folder, store };
        home.write(parts);
        home
    }

    /// Writes the configuration again; the store stays.
    pub fn write(&self, parts: &Value) {
        let mut config = json!({
            "server": {"listen": "127.0.0.1:0", "tokens": [TOKEN], "public_url": "https://firstlook.example.com"},
            "store": self.store,
            "language": "en",
            "timezone": "UTC",
        });
        let object = config.as_object_mut().unwrap();
        object.extend(parts.as_object().cloned().unwrap_or_default());
        // YAML is a superset of JSON.
        std::fs::write(self.config(), config.to_string()).unwrap();
    }

    /// The address of its store.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// What models used up, as its store says it.
    pub async fn tokens_spent(&self) -> i64 {
        self.count("SELECT CAST(COALESCE(SUM(prompt_tokens + completion_tokens), 0) AS BIGINT) FROM spending").await
    }

    /// The one number that a question to its store is answered with.
    pub async fn count(&self, question: &'static str) -> i64 {
        sqlx::any::install_default_drivers();
        let mut store = sqlx::AnyConnection::connect(self.store()).await.unwrap();
        sqlx::query_scalar(question).fetch_one(&mut store).await.unwrap()
    }

    /// Everything its store keeps, by the name of a file or a table.
    pub async fn everything_kept(&self) -> Vec<(String, Vec<u8>)> {
        if let Some(file) = self.store().strip_prefix("sqlite:") {
            let files = [file.to_owned(), format!("{file}-wal")];
            return files.map(|file| (file.clone(), std::fs::read(&file).unwrap_or_default())).to_vec();
        }
        let mut store = sqlx::PgConnection::connect(self.store()).await.unwrap();
        let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut store).await.unwrap();
        let mut kept = Vec::new();
        for table in tables {
            let rows = sqlx::AssertSqlSafe(format!("SELECT CAST(t AS TEXT) FROM \"{table}\" t"));
            let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(&mut store).await.unwrap();
            kept.push((table, rows.join("\n").into_bytes()));
        }
        assert!(kept.iter().any(|(table, rows)| table == "incident" && !rows.is_empty()), "there is something");
        kept
    }

    /// Where the configuration lies.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("firstlook.yaml")
    }

    /// What waits in its store for a later time is due now: nobody here has time for minutes.
    pub async fn everything_is_due(&self) {
        let mut store = SqliteConnection::connect(self.store()).await.unwrap();
        sqlx::raw_sql("UPDATE outbox SET due_at = 0 WHERE state = 'ready'").execute(&mut store).await.unwrap();
    }

    /// Starts the service and waits until it listens.
    pub async fn serve(&self) -> Service {
        self.serve_with(&[]).await
    }

    /// The same with more in its environment, for example a failpoint.
    pub async fn serve_with(&self, environment: &[(&str, &str)]) -> Service {
        Service::start(&self.config(), environment).await
    }

    /// The same, which may die at a failpoint before it listens; none then.
    pub async fn serve_until(&self, border: &str) -> Option<Service> {
        Service::try_start(&self.config(), &[("FIRSTLOOK_FAIL_AT", border)]).await.ok()
    }
}

/// What a process left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Ended {
    let output = tokio::time::timeout(Duration::from_secs(400), command.output());
    let output = output.await.expect("the program ends within 400 s").unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The lines a stream has printed so far.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Keeps what comes out of a stream.
    pub fn of(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Self::default();
        let kept = lines.clone();
        tokio::spawn(async move {
            let mut read = BufReader::new(stream).lines();
            while let Ok(Some(line)) = read.next_line().await {
                kept.0.lock().unwrap().push(line);
            }
        });
        lines
    }

    /// All of it.
    pub fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }

    /// The first thing that `find` makes of a line.
    pub fn find<T>(&self, find: impl FnMut(&String) -> Option<T>) -> Option<T> {
        self.0.lock().unwrap().iter().find_map(find)
    }
}

/// A running service; it is killed when this is dropped.
pub struct Service {
    child: Child,
    base: String,
    log: Lines,
    client: reqwest::Client,
}

/// Gone means gone: one that is started on the same file right after must find its lock free.
impl Drop for Service {
    fn drop(&mut self) {
        let begun = std::time::Instant::now();
        let _ = self.child.start_kill();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Service {
    async fn start(config: &Path, environment: &[(&str, &str)]) -> Self {
        let started = Self::try_start(config, environment).await;
        started.unwrap_or_else(|log| panic!("the service ended:\n{log}"))
    }

    /// The same for one that may be gone before it listens; then what it logged.
    async fn try_start(config: &Path, environment: &[(&str, &str)]) -> Result<Self, String> {
        let mut command = program();
        command.args(["--log-json", "serve", "--config"]).arg(config).envs(environment.iter().copied());
        let mut child = command.spawn().unwrap();
        let log = Lines::of(child.stderr.take().unwrap());
        let listens = |line: &String| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(format!("http://{}", line["listen.address"].as_str()?))
        };
        let base = eventually("the service listens", 20, || match child.try_wait().unwrap() {
            Some(_) => Some(Err(log.text())),
            None => log.find(listens).map(Ok),
        })
        .await?;
        Ok(Self { child, base, log, client: client() })
    }

    /// Its address, without a path.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Resident memory in kB, as Linux counts it; nothing elsewhere.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// A request with the token.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN)
    }

    /// Posts a body to Alertmanager's webhook: status and answer.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.request(reqwest::Method::POST, "/webhooks/alertmanager");
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text:?} is not JSON")))
    }

    /// Posts an alert that must be taken; the incident's id and the decision.
    pub async fn accept(&self, alert: &Value) -> (String, String) {
        let (status, answer) = self.post(alert.to_string()).await;
        assert_eq!(status, 202, "{answer}");
        let word = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        (word("incident"), word("decision"))
    }

    /// Reads JSON; anything but a success ends the test with what the service logged.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.request(reqwest::Method::GET, path).send().await.unwrap();
        let status = answer.status();
        let body = answer.text().await.unwrap();
        assert!(status.is_success(), "GET {path}: {status} {body}\n{}", self.log.text());
        serde_json::from_str(&body).unwrap()
    }

    /// One incident with everything about it.
    pub async fn incident(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/incidents/{id}")).await
    }

    /// All incidents, newest first.
    pub async fn incidents(&self) -> Vec<Value> {
        self.get("/api/v1/incidents?limit=500").await["incidents"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until an incident is as asked.
    pub async fn incident_when(&self, what: &str, id: &str, seconds: u64, is: impl Fn(&Value) -> bool) -> Value {
        let begun = tokio::time::Instant::now();
        loop {
            let incident = self.incident(id).await;
            if is(&incident) {
                return incident;
            }
            let in_time = begun.elapsed() < Duration::from_secs(seconds);
            assert!(in_time, "not within {seconds} s: {what}\n{incident:#}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the investigation is over and no message waits; the contract's sum is right then, as at any time.
    pub async fn settled(&self, id: &str, seconds: u64) -> Value {
        let incident = self.incident_when("the incident is settled", id, seconds, is_settled).await;
        contract::balance(self).await;
        incident
    }

    /// The value of a metric whose line starts like this.
    pub async fn metric(&self, start: &str) -> Option<f64> {
        let text = self.request(reqwest::Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with(start))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Ends it as a loss of power would, between one instruction and the next.
    pub async fn kill_9(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Ends it as a kill does, if it did not end before.
    pub async fn end(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Sends it a signal, for example `-STOP`.
    pub async fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Asks it to end, as Kubernetes does; its exit status.
    pub async fn ask_to_end(&mut self) -> ExitStatus {
        self.signal("-TERM").await;
        self.has_ended().await
    }

    /// The exit status of one that is about to end.
    pub async fn has_ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it does not end:\n{}", self.log())).unwrap()
    }

    /// Whether it ends by itself in this time.
    pub async fn is_gone_within(&mut self, seconds: u64) -> bool {
        tokio::time::timeout(Duration::from_secs(seconds), self.child.wait()).await.is_ok()
    }

    /// Waits until it was ended by a signal: it came to its failpoint.
    pub async fn dies(&mut self, seconds: u64) {
        let ended = tokio::time::timeout(Duration::from_secs(seconds), self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("it did not come to its failpoint:\n{}", self.log())).unwrap();
        assert_eq!(status.code(), None, "{status}\n{}", self.log());
    }

    /// Asks it to end, as Kubernetes does; its exit status.
    pub async fn terminate(mut self) -> ExitStatus {
        self.ask_to_end().await
    }
}

/// Whether the investigation is over and no message waits.
pub fn is_settled(incident: &Value) -> bool {
    let over = ["done", "dead", "cancelled"].map(Value::from).contains(&incident["investigation"]["state"]);
    let notices = incident["notices"].as_array().cloned().unwrap_or_default();
    let out = notices.iter().all(|notice| notice["state"] == "sent" || notice["state"] == "dead");
    (over || incident["investigation"].is_null()) && out && !notices.is_empty()
}

/// A client that takes no proxy for loopback.
pub fn client() -> reqwest::Client {
    firstlook::trust::cryptography();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}
