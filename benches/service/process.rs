//! Firstlook as a process of its own: started, read through `/proc`, stopped.

use std::fmt::Write as _;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use tempfile::TempDir;

use crate::alert::TEAMS;
use crate::stand_ins::{StandIns, model};

/// The unit of CPU time in `/proc/PID/stat`: user space sees hundredths on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a run wants of the model and of Firstlook.
#[derive(Clone, Copy)]
pub struct Setup {
    /// Which script the model follows; none leaves the playbook alone.
    pub script: Option<model::Script>,
    /// How long the model thinks about each turn, in milliseconds.
    pub thinks: u64,
    /// `triage.concurrency`.
    pub concurrency: usize,
}

/// A running service with a store of its own.
pub struct Firstlook {
    child: Child,
    base: String,
    folder: TempDir,
    started: Instant,
}

impl Firstlook {
    /// Starts the process and returns at once.
    pub fn spawn(world: &StandIns, setup: Setup) -> Self {
        Self::spawn_with(world, setup, &chats(world))
    }

    /// Starts the process with one group of each product and waits until it serves; with the app where asked for.
    pub async fn in_rooms(world: &StandIns, setup: Setup, with_app: bool) -> Self {
        Self::spawn_with(world, setup, &rooms(world, with_app)).ready().await
    }

    fn spawn_with(world: &StandIns, setup: Setup, channels: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("sqlite:{}", folder.path().join("firstlook.db").display());
        Self::spawn_on(world, setup, &store, folder, channels)
    }

    /// The same on a store that is there before and after it.
    pub fn spawn_on(world: &StandIns, setup: Setup, store: &str, folder: TempDir, channels: &str) -> Self {
        let port = free_port();
        let config = folder.path().join("firstlook.yaml");
        std::fs::write(&config, configuration(world, setup, port, store, channels)).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_firstlook"))
            .args(["serve", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, base: format!("http://127.0.0.1:{port}"), folder, started }
    }

    /// Starts the process and waits until it serves.
    pub async fn serving(world: &StandIns, setup: Setup) -> Self {
        Self::spawn(world, setup).ready().await
    }

    /// The same on a store that is there before and after it.
    pub async fn serving_on(world: &StandIns, setup: Setup, store: &str) -> Self {
        Self::spawn_on(world, setup, store, tempfile::tempdir().unwrap(), &chats(world)).ready().await
    }

    async fn ready(self) -> Self {
        let client = Client::new();
        let url = format!("{}/healthz", self.base);
        while !client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(self.started.elapsed() < Duration::from_secs(20), "not serving: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self
    }

    /// Ends it as a loss of power would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Where Alertmanager would send its webhooks.
    pub fn webhook(&self) -> String {
        format!("{}/webhooks/alertmanager", self.base)
    }

    /// Time since the process was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// CPU seconds used so far, in user and kernel mode.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The program's name stands in brackets and may hold spaces; user and kernel time are 12th and 13th after it.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().unwrap()).sum();
        ticks / TICKS_PER_SECOND
    }

    /// Resident memory now, in MB of a million bytes.
    pub fn rss(&self) -> f64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory there ever was, in MB of a million bytes.
    pub fn peak_rss(&self) -> f64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, key: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kibibytes * 1024.0 / 1e6
    }

    /// Ends the process as an operator would, and returns the bytes its store then has on disk.
    pub async fn stop(mut self) -> u64 {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        let status = tokio::task::spawn_blocking(move || (self.child.wait().unwrap(), self)).await.unwrap();
        let (status, this) = status;
        assert!(status.success(), "did not end well: {}", this.log());
        ["firstlook.db", "firstlook.db-wal"]
            .iter()
            .filter_map(|name| this.folder.path().join(name).metadata().ok())
            .map(|file| file.len())
            .sum()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Firstlook {
    fn drop(&mut self) {
        // Already gone after `stop`; after a failed run nothing may stay behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The size of the program, in MB of a million bytes.
pub fn program_megabytes() -> f64 {
    std::fs::metadata(env!("CARGO_BIN_EXE_firstlook")).unwrap().len() as f64 / 1e6
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn configuration(world: &StandIns, setup: Setup, port: u16, store: &str, channels: &str) -> String {
    let mut yaml = format!(
        "server: {{ listen: \"127.0.0.1:{port}\" }}\nstore: \"{store}\"\nlanguage: en\ntimezone: UTC\n\
         mcp:\n  - {{ name: kubernetes, url: \"{}\" }}\ntriage: {{ concurrency: {}, cooldown: 0s }}\n",
        world.mcp_url(),
        setup.concurrency,
    );
    if let Some(script) = setup.script {
        let url = world.model_url(script, setup.thinks);
        let (name, key) = (model::NAME, model::KEY);
        writeln!(yaml, "models:\n  - {{ name: {name}, base_url: \"{url}\", api_key: {key}, model: {name} }}").unwrap();
    }
    yaml + channels
}

/// One group of each product, which hears of everything.
fn rooms(world: &StandIns, with_app: bool) -> String {
    let base = world.base();
    let app = format!(
        "  - {{ name: app, type: feishu-app, base_url: \"{base}\", app_id: cli_bench, app_secret: bench, receive_id: oc_bench }}\n"
    );
    format!(
        "channels:\n  - {{ name: feishu, type: feishu-bot, url: \"{base}/rooms/feishu\" }}\n  - {{ name: wecom, type: wecom-bot, \
         url: \"{base}/cgi-bin/webhook/send?key=bench\" }}\n{}",
        if with_app { app.as_str() } else { "" }
    )
}

/// A Feishu bot for each team, which hears of its alerts alone.
fn chats(world: &StandIns) -> String {
    let mut yaml = "channels:\n".to_owned();
    for team in 0..TEAMS {
        writeln!(yaml, "  - {{ name: t{team}, type: feishu-bot, url: \"{}\" }}", world.chat_url(team)).unwrap();
    }
    yaml.push_str("routes:\n");
    for team in 0..TEAMS {
        writeln!(yaml, "  - {{ match: {{ team: t{team} }}, channels: [t{team}] }}").unwrap();
    }
    yaml
}
