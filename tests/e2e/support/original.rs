//! The real kubernetes-mcp-server, started before a cluster.

use std::net::{SocketAddr, TcpListener};

use std::process::Stdio;
use std::time::Duration;

use firstlook::kube::snapshot::kubeconfig;
use rmcp::service::{RoleClient, RunningService, ServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use tokio::process::{Child, Command};

use super::tools;

/// The running server and a client of it; both end when this is dropped.
pub struct Original {
    pub client: RunningService<RoleClient, ()>,
    _process: Child,
    _kubeconfig: tempfile::TempDir,
}

impl Original {
    /// Starts the server read-only before the API server at `cluster`.
    pub async fn start(cluster: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config");
        std::fs::write(&config, kubeconfig(cluster)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(tools::kubernetes_mcp_server())
            .args(["--port", &port.to_string(), "--bind-address", "127.0.0.1", "--read-only", "--kubeconfig"])
            .arg(&config)
            // Its own limit of five requests a second would make the comparison take minutes.
            .envs([("KUBE_CLIENT_QPS", "1000"), ("KUBE_CLIENT_BURST", "2000")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { client: connect(port).await, _process: process, _kubeconfig: directory }
    }
}

async fn connect(port: u16) -> RunningService<RoleClient, ()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut refused = String::new();
    for _ in 0..100 {
        let transport = StreamableHttpClientTransport::from_uri(format!("http://127.0.0.1:{port}/mcp"));
        match ().serve(transport).await {
            Ok(client) => return client,
            Err(error) => refused = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("kubernetes-mcp-server did not answer within 10 s: {refused}");
}
