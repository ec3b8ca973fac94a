//! The foreign programs, as scripts/e2e-tools.sh installs them.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

/// Where the script puts what it does not install for the whole machine.
pub fn folder() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("e2e")
}

/// kubernetes-mcp-server 0.0.67.
pub fn kubernetes_mcp_server() -> PathBuf {
    there(folder().join("bin/kubernetes-mcp-server"))
}

/// kubernetes-mcp-server 0.0.66, the last version with SSE.
pub fn kubernetes_mcp_server_with_sse() -> PathBuf {
    there(folder().join("bin/kubernetes-mcp-server-0.0.66"))
}

/// A Python with aiosmtpd.
pub fn python() -> PathBuf {
    there(folder().join("venv/bin/python"))
}

/// Debian's Alertmanager.
pub fn alertmanager() -> PathBuf {
    there(PathBuf::from("/usr/bin/prometheus-alertmanager"))
}

/// Debian's strace.
pub fn strace() -> PathBuf {
    there(PathBuf::from("/usr/bin/strace"))
}

/// Debian's Prometheus.
pub fn prometheus() -> PathBuf {
    there(PathBuf::from("/usr/bin/prometheus"))
}

/// The tool that comes with it.
pub fn promtool() -> PathBuf {
    there(PathBuf::from("/usr/bin/promtool"))
}

/// Debian's Chromium.
pub fn chromium() -> PathBuf {
    there(PathBuf::from("/usr/bin/chromium"))
}

/// A test without its real counterpart would prove nothing, so it fails and says what to run.
fn there(program: PathBuf) -> PathBuf {
    assert!(program.exists(), "{} is missing; run scripts/e2e-tools.sh", program.display());
    program
}

/// Says that a test tests nothing here.
///
/// # Panics
/// When this variable says that it could: `scripts/test.sh` sets it after trying what the test needs.
pub fn untested(variable: &str, why: &str) {
    assert!(std::env::var_os(variable).is_none(), "{variable} is set, but {why}");
    eprintln!("NOT TESTED: {why}");
}

/// The library that gives a program a clock of its own (Debian `faketime`).
pub fn faketime() -> String {
    let known = ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let file = known.map(|folder| format!("{folder}/faketime/libfaketimeMT.so.1"));
    let found = file.into_iter().find(|file| std::path::Path::new(file).exists());
    found.expect("libfaketime is installed; scripts/e2e-tools.sh does that")
}

/// A port for a foreign program, which cannot be handed a listener: below those the kernel gives to whoever asks for any,
/// so that no stand-in of another test sits there by the time the program does.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs on one machine begin at different places.
    let first = u16::try_from(std::process::id() % 100).unwrap() * 100;
    loop {
        let port = 20_000 + first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
