//! The real kubernetes-mcp-server in all its ways of being spoken to, started before a cluster.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use firstlook::kube::snapshot::kubeconfig;
use firstlook::toolbox::config::McpSettings;
use rmcp::service::{RoleClient, RunningService, ServiceExt};
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::tools;

/// Variables that lift its limit of five requests a second, which would make a comparison take minutes.
pub const UNTHROTTLED: [(&str, &str); 2] = [("KUBE_CLIENT_QPS", "1000"), ("KUBE_CLIENT_BURST", "2000")];

/// The running server and a client of it; both end when this is dropped.
pub struct Original {
    pub client: RunningService<RoleClient, ()>,
    /// Its endpoint, for other clients.
    pub url: String,
    _process: ServerProcess,
}

impl Original {
    /// Starts the server read-only before the API server at `cluster`, as fast as it can be.
    pub async fn start(cluster: SocketAddr) -> Self {
        Self::with(cluster, &UNTHROTTLED).await
    }

    /// Starts the server with these variables in its environment.
    pub async fn with(cluster: SocketAddr, variables: &[(&str, &str)]) -> Self {
        let process = ServerProcess::start(tools::kubernetes_mcp_server(), cluster, &[], variables).await;
        let url = process.url("/mcp");
        let transport = StreamableHttpClientTransport::from_uri(url.as_str());
        Self { client: ().serve(transport).await.unwrap(), url, _process: process }
    }
}

/// The server as a process that can be killed and started again on the same port.
pub struct ServerProcess {
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    port: u16,
    child: Child,
    _kubeconfig: tempfile::TempDir,
}

impl ServerProcess {
    /// Starts a version of the server on a free port and waits until it listens.
    pub async fn start(program: PathBuf, cluster: SocketAddr, more: &[&str], variables: &[(&str, &str)]) -> Self {
        firstlook::trust::cryptography();
        let directory = tempfile::tempdir().unwrap();
        let port = tools::port();
        let mut arguments = stdio_arguments(cluster, &directory);
        arguments.extend(["--port".to_owned(), port.to_string(), "--bind-address".to_owned(), "127.0.0.1".to_owned()]);
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>();
        let child = spawn(&program, &arguments, &variables);
        let process = Self { program, arguments, variables, port, child, _kubeconfig: directory };
        process.listens().await;
        process
    }

    /// The address of a path of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Kills it, as a node that goes away does.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again where it was; it listens some time later.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.program, &self.arguments, &self.variables);
    }

    /// Waits until it listens.
    pub async fn listens(&self) {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} did not listen within 10 s", self.program.display());
    }
}

fn spawn(program: &PathBuf, arguments: &[String], variables: &[(String, String)]) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().cloned()).stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true).spawn().unwrap()
}

/// Its arguments when it is spoken to through standard input, with a kubeconfig kept in `directory`.
pub fn stdio_arguments(cluster: SocketAddr, directory: &tempfile::TempDir) -> Vec<String> {
    let config = directory.path().join("config");
    std::fs::write(&config, kubeconfig(cluster)).unwrap();
    vec!["--read-only".to_owned(), "--kubeconfig".to_owned(), config.to_str().unwrap().to_owned()]
}

/// An entry of `mcp:` that starts the server itself, unthrottled.
pub fn stdio_command(cluster: SocketAddr, directory: &tempfile::TempDir) -> Vec<String> {
    let mut command: Vec<String> = vec!["env".to_owned()];
    command.extend(UNTHROTTLED.iter().map(|(name, value)| format!("{name}={value}")));
    command.push(tools::kubernetes_mcp_server().to_str().unwrap().to_owned());
    command.extend(stdio_arguments(cluster, directory));
    command
}

/// An entry of `mcp:` as a configuration file has it.
pub fn entry(mut entry: Value) -> McpSettings {
    entry["name"] = json!("kubernetes");
    serde_json::from_value(entry).unwrap()
}
