//! Restarts: the real server killed and started again, between calls and during them, over every transport.

use std::time::{Duration, Instant};

use firstlook::toolbox::server::{Answer, Server, ServerError};
use serde_json::{Map, Value, json};

use crate::support::cluster::{scenarios, serve};
use crate::support::gate::Gate;
use crate::support::original::{ServerProcess, UNTHROTTLED, entry, stdio_command};
use crate::support::tools;

const LIMIT: Duration = Duration::from_secs(15);

async fn list_pods(server: &Server) -> Result<Answer, ServerError> {
    let arguments: Map<String, Value> = json!({"namespace": "aiops"}).as_object().cloned().unwrap();
    server.call("pods_list_in_namespace", &arguments, LIMIT).await
}

fn is_the_list(answer: &Answer) -> bool {
    !answer.is_error && answer.text.contains("test-deployment-")
}

/// The real server before a gate before scenario 01.
struct Stage {
    gate: Gate,
    process: ServerProcess,
    server: Server,
    _cluster: crate::support::cluster::Cluster,
}

impl Stage {
    async fn with(way: &str) -> Self {
        let cluster = serve(&scenarios()[0]).await;
        let gate = Gate::before(cluster.address).await;
        let (program, more, path, transport): (_, &[&str], _, _) = match way {
            "http" => (tools::kubernetes_mcp_server(), &[], "/mcp", "auto"),
            "stateless" => (tools::kubernetes_mcp_server(), &["--stateless"], "/mcp", "auto"),
            "sse" => (tools::kubernetes_mcp_server_with_sse(), &[], "/sse", "sse"),
            other => panic!("no way {other}"),
        };
        let process = ServerProcess::start(program, gate.address, more, &UNTHROTTLED).await;
        let server = Server::new(&entry(json!({"url": process.url(path), "transport": transport}))).unwrap();
        assert!(is_the_list(&list_pods(&server).await.unwrap()));
        Self { gate, process, server, _cluster: cluster }
    }
}

#[tokio::test]
async fn a_restart_between_calls_goes_unnoticed() {
    for way in ["http", "stateless", "sse"] {
        let mut stage = Stage::with(way).await;
        for _ in 0..2 {
            stage.process.kill().await;
            stage.process.start_again();
            stage.process.listens().await;
            let started = Instant::now();
            assert!(is_the_list(&list_pods(&stage.server).await.unwrap_or_else(|error| panic!("{way}: {error}"))));
            assert!(started.elapsed() < Duration::from_secs(2), "{way}: {:?}", started.elapsed());
        }
    }
}

#[tokio::test]
async fn f27_a_restart_during_calls_goes_unnoticed() {
    for way in ["http", "stateless", "sse"] {
        let Stage { gate, mut process, server, _cluster } = Stage::with(way).await;
        gate.shut();
        let started = Instant::now();
        let calls = futures::future::join_all((0..8).map(|_| list_pods(&server)));
        let restart = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            process.kill().await;
            gate.open();
            // Longer than one try to dial takes: the server is away while everyone finds it gone.
            tokio::time::sleep(Duration::from_millis(300)).await;
            process.start_again();
        };
        let (answers, ()) = tokio::join!(calls, restart);
        for answer in answers {
            assert!(is_the_list(&answer.unwrap_or_else(|error| panic!("{way}: {error}"))), "{way}");
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{way}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_frozen_cluster_costs_the_call_its_limit_and_not_the_session() {
    for way in ["http", "stateless", "sse"] {
        let stage = Stage::with(way).await;
        stage.gate.shut();
        let arguments: Map<String, Value> = json!({"namespace": "aiops"}).as_object().cloned().unwrap();
        let limit = Duration::from_millis(700);
        let started = Instant::now();
        let error = stage.server.call("pods_list_in_namespace", &arguments, limit).await.unwrap_err();
        assert!(matches!(error, ServerError::TimedOut { .. }), "{way}: {error}");
        assert!(started.elapsed() < limit * 2, "{way}");
        stage.gate.open();
        assert!(is_the_list(&list_pods(&stage.server).await.unwrap()), "{way}");
    }
}

#[tokio::test]
async fn a_child_that_dies_is_started_again_and_ends_with_us() {
    let cluster = serve(&scenarios()[0]).await;
    let home = tempfile::tempdir().unwrap();
    let pids = home.path().join("pids");
    // The shell becomes the server, so the number it writes is the server's.
    let script = format!("echo $$ >> {} && exec \"$@\"", pids.display());
    let mut command = vec!["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()];
    command.extend(stdio_command(cluster.address, &home));
    let server = Server::new(&entry(json!({"transport": "stdio", "command": command}))).unwrap();
    assert!(is_the_list(&list_pods(&server).await.unwrap()));
    let started = || -> Vec<String> { std::fs::read_to_string(&pids).unwrap().lines().map(str::to_owned).collect() };
    kill(&started()[0]);
    assert!(is_the_list(&list_pods(&server).await.unwrap()));
    assert_eq!(started().len(), 2);
    drop(server);
    for _ in 0..100 {
        if !is_running(&started()[1]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the child lives on 5 s after its session ended");
}

fn kill(pid: &str) {
    assert!(std::process::Command::new("kill").args(["-9", pid]).status().unwrap().success());
}

/// A zombie is not running.
fn is_running(pid: &str) -> bool {
    let status = std::process::Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
    let state = String::from_utf8_lossy(&status.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

#[tokio::test]
async fn a_program_that_fails_says_why() {
    let server = |command: Value| Server::new(&entry(json!({"transport": "stdio", "command": command}))).unwrap();
    let missing = server(json!(["no-such-program"])).tool_names().await.unwrap_err().to_string();
    assert!(missing.contains("cannot start `no-such-program`") && missing.contains("in command"), "{missing}");
    let program = tools::kubernetes_mcp_server();
    let broken = server(json!([program, "--read-only", "--kubeconfig", "/nowhere/config"]));
    let broken = broken.tool_names().await.unwrap_err().to_string();
    assert!(broken.contains("/nowhere/config"), "{broken}");
}
