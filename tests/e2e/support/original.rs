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
    /// Its endpoint, for other clients.
    pub url: String,
    _process: Child,
    _kubeconfig: tempfile::TempDir,
}

impl Original {
    /// Starts the server read-only before the API server at `cluster`. Its own limit of five requests a second would
    /// make a comparison take minutes, so it is lifted.
    pub async fn start(cluster: SocketAddr) -> Self {
        Self::with(cluster, &[("KUBE_CLIENT_QPS", "1000"), ("KUBE_CLIENT_BURST", "2000")]).await
    }

    /// Starts the server with these variables in its environment.
    pub async fn with(cluster: SocketAddr, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config");
        std::fs::write(&config, kubeconfig(cluster)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/mcp");
        let process = Command::new(tools::kubernetes_mcp_server())
            .args(["--port", &port.to_string(), "--bind-address", "127.0.0.1", "--read-only", "--kubeconfig"])
            .arg(&config)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { client: connect(&url).await, url, _process: process, _kubeconfig: directory }
    }
}

async fn connect(url: &str) -> RunningService<RoleClient, ()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut refused = String::new();
    for _ in 0..100 {
        let transport = StreamableHttpClientTransport::from_uri(url);
        match ().serve(transport).await {
            Ok(client) => return client,
            Err(error) => refused = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("kubernetes-mcp-server did not answer within 10 s: {refused}");
}
