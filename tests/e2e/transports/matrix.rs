//! The matrix: the same scenarios over every transport, the built-in toolset included.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::clock::Moved;
use crate::support::cluster::{scenarios, serve};
use crate::support::original::{ServerProcess, UNTHROTTLED, stdio_command};
use crate::support::tools;

/// The article's scenario, whose findings the first message should carry 1.4 s after the alert.
const PENDING: &str = "01-pvc-provisioner-missing";

/// What `firstlook triage` prints for a scenario through one entry of `mcp:`.
async fn triage(scenario: &Path, mut server: Value) -> Value {
    server["name"] = json!("kubernetes");
    let mut config = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    config.write_all(json!({"mcp": [server], "language": "en"}).to_string().as_bytes()).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_firstlook"))
        .args(["triage", "--output", "json", "--config"])
        .args([config.path(), &scenario.join("alert.json")])
        .output();
    let output = run.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What must not depend on the way: the conclusion, whom it blames, how sure it is, and what to do.
fn conclusion(report: &Value) -> Value {
    let causes: Vec<Value> = report["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| json!([cause["code"], cause["resource"], cause["confidence"]]))
        .collect();
    json!({
        "verdict": report["verdict"], "headline": without_chance(&report["headline"]), "causes": causes,
        "steps": report["steps"], "data_gaps": report["data_gaps"],
    })
}

/// A snapshot's clock stands still for the built-in toolset; before the real server the same cluster grows older. Whose Pod
/// took another's place stands in events by its uid alone, and the real server's tables hold none: there the uid is told.
fn without_chance(text: &Value) -> String {
    let age = Regex::new(r"\d+ (?:(?:second|minute|hour|day)s?|s|min|h|d)\b(?: \d+ (?:s|min|h)\b)?").unwrap();
    let winner = Regex::new(r"higher priority \([^)]*\)").unwrap();
    let text = age.replace_all(text.as_str().unwrap(), "[age]");
    winner.replace_all(&text, "higher priority").into_owned()
}

fn scenario(name: &str) -> PathBuf {
    scenarios()
        .into_iter()
        .find(|path| path.to_string_lossy().contains(name))
        .unwrap_or_else(|| panic!("no scenario {name}"))
}

async fn built_in(scenario: &Path) -> Value {
    triage(scenario, json!({"transport": "builtin", "snapshot": scenario})).await
}

/// The ways besides the built-in toolset, each as an entry of `mcp:`; the processes live as long as this.
struct Ways {
    entries: Vec<(&'static str, Value)>,
    _processes: Vec<ServerProcess>,
    _kubeconfig: tempfile::TempDir,
}

impl Ways {
    async fn to(cluster: SocketAddr) -> Self {
        let kubeconfig = tempfile::tempdir().unwrap();
        let newest = tools::kubernetes_mcp_server();
        let stateful = ServerProcess::start(newest.clone(), cluster, &[], &UNTHROTTLED).await;
        let stateless = ServerProcess::start(newest, cluster, &["--stateless"], &UNTHROTTLED).await;
        let older = tools::kubernetes_mcp_server_with_sse();
        let older = ServerProcess::start(older, cluster, &[], &UNTHROTTLED).await;
        let entries = vec![
            ("auto, 0.0.67", json!({"url": stateful.url("/mcp")})),
            ("http, 0.0.67", json!({"url": stateful.url("/mcp"), "transport": "http"})),
            ("auto, 0.0.67 --stateless", json!({"url": stateless.url("/mcp")})),
            ("auto, 0.0.66", json!({"url": older.url("/mcp")})),
            ("auto, 0.0.66 /sse", json!({"url": older.url("/sse")})),
            ("auto, 0.0.66 without a path", json!({"url": older.url("")})),
            ("sse, 0.0.66", json!({"url": older.url("/sse"), "transport": "sse"})),
            ("stdio, 0.0.67", json!({"transport": "stdio", "command": stdio_command(cluster, &kubeconfig)})),
        ];
        Self { entries, _processes: vec![stateful, stateless, older], _kubeconfig: kubeconfig }
    }
}

#[tokio::test]
async fn every_transport_leads_to_the_same_report() {
    for name in [PENDING, "03-oomkilled", "10-service-selector-mismatch", "14-node-notready"] {
        let scenario = scenario(name);
        let expected = conclusion(&built_in(&scenario).await);
        assert_eq!(expected["verdict"], "fault", "{name}: {expected:#}");
        let cluster = serve(&scenario).await;
        let ways = Ways::to(cluster.address).await;
        for (way, entry) in &ways.entries {
            let report = triage(&scenario, entry.clone()).await;
            assert_eq!(conclusion(&report), expected, "{name} over {way}");
        }
    }
}

async fn over_the_real_server(scenario: &Path, variables: &[(&str, &str)]) -> Value {
    let cluster = serve(scenario).await;
    let process = ServerProcess::start(tools::kubernetes_mcp_server(), cluster.address, &[], variables).await;
    triage(scenario, json!({"url": process.url("/mcp")})).await
}

/// Where the tables that the real server lists leave out what stands beside an object (who sits on a cordoned Node, what another
/// Service is a name for or serves, a third Node that threw a Pod out): the cause is the same there, less sure or without that
/// neighbour.
const WITHOUT_NEIGHBOURS: [&str; 6] = [
    "417-anti-affinity-and-a-cordoned-node-that-is-taken",
    "431-name-for-a-host-outside-has-a-slip",
    "433-renderer-without-request-empties-one-node-after-another",
    "440-evicted-beside-a-workload-that-fills-its-nodes",
    "457-indexer-without-a-size-limit-fills-one-disk-after-another",
    "465-service-renamed-behind-an-ingress",
];

/// Whether what was said over the real server is what the built-in toolset leads to.
fn is_same(scenario: &Path, said: &Value, expected: &Value) -> bool {
    match WITHOUT_NEIGHBOURS.iter().any(|name| scenario.ends_with(name)) {
        true => causes(said) == causes(expected),
        false => said == expected,
    }
}

/// The codes and objects of the causes, in order.
fn causes(conclusion: &Value) -> Vec<[Value; 2]> {
    let causes = conclusion["causes"].as_array().unwrap();
    causes.iter().map(|cause| [cause[0].clone(), cause[1].clone()]).collect()
}

/// `eval` shows that the built-in toolset gets all of them right; the real server, which lists tables, must not do worse.
#[tokio::test]
async fn the_real_server_gets_every_scenario_as_right_as_the_built_in_toolset() {
    let mut worse = Vec::new();
    for scenario in scenarios() {
        let moved = Moved::to_now(&scenario);
        let scenario = moved.path();
        let expected = conclusion(&built_in(&scenario).await);
        let said = conclusion(&over_the_real_server(&scenario, &UNTHROTTLED).await);
        if !is_same(&scenario, &said, &expected) {
            worse.push(format!("{}: {said:#}\ninstead of {expected:#}", scenario.display()));
        }
    }
    assert!(worse.is_empty(), "{}", worse.join("\n"));
}

/// As it is installed each of the server's clients asks ten times at once and then five times a second: every call counts.
/// Every fourth scenario is enough to show what that costs; that all come out the same, the test above shows.
#[tokio::test]
async fn the_real_servers_own_throttle_leaves_time_for_a_first_look() {
    let mut taken = Vec::new();
    for recorded in scenarios().into_iter().step_by(4) {
        let moved = Moved::to_now(&recorded);
        let scenario = moved.path();
        let name = scenario.file_name().unwrap().display();
        let report = over_the_real_server(&scenario, &[]).await;
        let (calls, seconds) = (spent(&report, "tool_calls"), spent(&report, "seconds"));
        println!("{name}: {calls} calls, {seconds:.2} s at the default throttle");
        let (said, expected) = (conclusion(&report), conclusion(&built_in(&scenario).await));
        assert!(is_same(&scenario, &said, &expected), "{name}: {said:#}\ninstead of {expected:#}");
        // A chain of calls over several Namespaces needs the most; gather makes 80 at most.
        assert!(calls <= if scenario.ends_with(PENDING) { 12.0 } else { 80.0 }, "{name}: {calls} calls");
        assert!(seconds < 16.0, "{name} takes {seconds} s");
        taken.push(seconds);
    }
    taken.sort_by(f64::total_cmp);
    assert!(taken[taken.len() / 2] < 2.0, "half of them take longer than {} s", taken[taken.len() / 2]);
}

fn spent(report: &Value, what: &str) -> f64 {
    report["usage"][what].as_f64().unwrap()
}
