//! Stand-ins and servers the tests talk to. They refuse what the real ones refuse.

pub mod alertmanager;
pub mod alerts;
pub mod card;
pub mod card_app;
pub mod clock;
pub mod cluster;
pub mod contract;
pub mod database;
pub mod faulty;
pub mod feishu;
pub mod feishu_app;
pub mod feishu_ws;
pub mod gate;
pub mod line;
pub mod mcp;
pub mod model;
pub mod original;
pub mod pending;
pub mod postgres;
pub mod prometheus;
pub mod service;
pub mod smtp;
pub mod team;
pub mod tools;
pub mod wall_clock;
pub mod webhook;
pub mod wecom;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::Router;
use firstlook::notify::notice::Notice;

/// Serves a router on a port of its own and returns `http://127.0.0.1:PORT`. It ends with the test's runtime.
pub async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// A notice of `tests/notices/`, for example `diagnosis-pvc.zh`.
pub fn notice(name: &str) -> Notice {
    let path = format!("{}/tests/notices/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&json).expect("a notice")
}

/// Every notice of `tests/notices/`, by name.
pub fn notices() -> Vec<(String, Notice)> {
    let folder = format!("{}/tests/notices", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).expect("the folder of notices");
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.ok()?.file_name().to_str()?.strip_suffix(".json")?.to_owned())).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), notice(&name))).collect()
}

/// How a stand-in fails when it is told to.
#[derive(Debug, Clone)]
pub enum Fault {
    /// HTTP 200 with this code in the body, as both products fail.
    Code(i64, &'static str),
    /// The same with another status.
    At(u16, i64, &'static str),
    /// An HTTP status without the product's reply, as gateways fail.
    Status(u16),
    /// The product's reply, repeating the address it was called at.
    Echo(i64),
}

/// Counts messages over sliding windows, as the products do.
#[derive(Debug)]
pub struct Rate {
    windows: Vec<(usize, Duration)>,
    sent: VecDeque<Instant>,
}

impl Rate {
    /// So many messages in each of these spans.
    pub fn new(windows: &[(usize, Duration)]) -> Self {
        Self { windows: windows.to_vec(), sent: VecDeque::new() }
    }

    /// Whether one more message is allowed now; counts it if so.
    pub fn allows(&mut self) -> bool {
        let now = Instant::now();
        let within = |span: &Duration| self.sent.iter().filter(|at| now - **at < *span).count();
        let allowed = self.windows.iter().all(|(most, span)| within(span) < *most);
        if allowed {
            self.sent.push_back(now);
        }
        allowed
    }
}

/// Asks again until there is an answer; fails after so many seconds.
pub async fn eventually<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The same for questions that take a while.
pub async fn eventually_async<F: Future<Output = bool>>(what: &str, seconds: u64, mut ask: impl FnMut() -> F) {
    let begun = Instant::now();
    while !ask().await {
        assert!(begun.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
