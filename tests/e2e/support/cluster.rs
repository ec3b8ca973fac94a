//! A scenario served as a Kubernetes API for the length of a test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firstlook::kube::snapshot::Snapshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The server ends when this is dropped.
pub struct Cluster {
    pub address: SocketAddr,
    _stop: DropGuard,
}

/// Every scenario directory.
pub fn scenarios() -> Vec<PathBuf> {
    let scenarios = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).unwrap();
    let mut scenarios: Vec<PathBuf> = scenarios.map(|entry| entry.unwrap().path()).collect();
    scenarios.sort();
    scenarios
}

/// Serves a scenario directory on a free port.
pub async fn serve(scenario: &Path) -> Cluster {
    let snapshot = Arc::new(Snapshot::load(scenario).unwrap());
    let stop = CancellationToken::new();
    let address = snapshot.spawn(stop.clone()).await.unwrap();
    Cluster { address, _stop: stop.drop_guard() }
}
