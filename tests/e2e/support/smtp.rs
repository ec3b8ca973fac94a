//! A real SMTP server, aiosmtpd, started by the test and ended with it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;

use super::tools;

/// A mail the server took.
#[derive(Debug, Clone, Deserialize)]
pub struct Received {
    /// Recipients of the envelope.
    pub to: Vec<String>,
    /// Headers, decoded, in order.
    pub headers: Vec<(String, String)>,
    /// Content types of the parts.
    pub parts: Vec<String>,
    /// The text part.
    pub text: Option<String>,
    /// The HTML part.
    pub html: Option<String>,
    /// Attached files: name and content.
    pub files: Vec<(String, String)>,
    /// Whether it came over TLS.
    pub secure: bool,
    /// When it came in.
    #[serde(skip, default = "Timestamp::now")]
    pub at: Timestamp,
}

impl Received {
    /// The value of the only header of this name.
    pub fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = found.next().unwrap_or_else(|| panic!("no header {name} in {:?}", self.headers));
        assert!(found.next().is_none(), "{name} stands there twice");
        &value.1
    }
}

/// The running server.
pub struct SmtpServer {
    child: Child,
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

impl SmtpServer {
    /// Starts it with options of `smtp_server.py`.
    pub fn start(options: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/support/smtp_server.py");
        let mut child = Command::new(tools::python())
            .arg(script)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let first = lines.next().expect("the server starts; its error is printed above");
        let port = serde_json::from_str::<serde_json::Value>(&first).expect("JSON")["port"].as_u64().expect("a port");
        let received = Arc::new(Mutex::new(Vec::new()));
        let taken = received.clone();
        std::thread::spawn(move || {
            lines.for_each(|line| taken.lock().unwrap().push(serde_json::from_str(&line).expect("a mail")));
        });
        Self { child, port: u16::try_from(port).expect("a port"), received }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The mails it took so far. Waits until there are at least so many, two seconds at most.
    pub fn received(&self, at_least: usize) -> Vec<Received> {
        let begun = Instant::now();
        while self.received.lock().unwrap().len() < at_least && begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.received.lock().unwrap().clone()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate for 127.0.0.1 that nobody trusts, as a PEM file with its key.
pub fn self_signed(folder: &Path) -> PathBuf {
    certificate(folder, &[])
}

/// The same, made years ago for two days.
pub fn expired(folder: &Path) -> PathBuf {
    certificate(folder, &[("LD_PRELOAD", &tools::faketime()), ("FAKETIME", "2020-01-01 00:00:00")])
}

fn certificate(folder: &Path, clock: &[(&str, &str)]) -> PathBuf {
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .envs(clock.iter().copied())
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "openssl makes a certificate");
    let both = std::fs::read_to_string(&certificate).unwrap() + &std::fs::read_to_string(&key).unwrap();
    let file = folder.join("both.pem");
    std::fs::write(&file, both).unwrap();
    file
}
