//! The real kubernetes-mcp-server and the built-in toolset before the same cluster: they must say the same.

use std::collections::BTreeSet;
use std::path::Path;

use firstlook::kube::toolset::{ClusterSource, Toolset};
use regex::Regex;
use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService, ServiceExt};
use serde_json::{Value, json};

use crate::support::cluster::{Cluster, scenarios, serve};
use crate::support::original::Original;

type Client = RunningService<RoleClient, ()>;

#[derive(Debug, PartialEq)]
struct Said {
    text: String,
    is_error: bool,
}

async fn call(client: &Client, tool: &str, arguments: &Value) -> Said {
    let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.as_object().cloned().unwrap());
    let result = client.call_tool(request).await.unwrap();
    let text = result.content.first().and_then(|content| content.as_text()).unwrap().text.clone();
    Said { text, is_error: result.is_error == Some(true) }
}

/// What the toolset does differently on purpose: kubectl's copy of an object is left out where the object agrees with it.
fn without_last_applied(text: &str) -> String {
    let copy = Regex::new(r"(?m)^    kubectl\.kubernetes\.io/last-applied-configuration: \|\n.*\n").unwrap();
    let empty = Regex::new(r"(?m)^  annotations:\n(  [a-zA-Z])").unwrap();
    empty.replace_all(&copy.replace_all(text, ""), "$1").into_owned()
}

/// What the toolset does differently on purpose: events come in the order they happened, not in that of their names.
fn in_any_order(text: &str) -> Vec<String> {
    let mut entries: Vec<String> = text.split("\n- ").map(|entry| entry.trim_end().to_owned()).collect();
    entries.sort();
    entries
}

struct Pair {
    original: Original,
    built_in: Client,
    _cluster: Cluster,
}

impl Pair {
    async fn before(scenario: &Path) -> Self {
        let cluster = serve(scenario).await;
        let toolset = Toolset::connect(ClusterSource::Snapshot(cluster.address)).await.unwrap();
        let built_in = ().serve(toolset.spawn()).await.unwrap();
        Self { original: Original::start(cluster.address).await, built_in, _cluster: cluster }
    }

    async fn same(&self, tool: &str, arguments: Value) {
        let theirs = call(&self.original.client, tool, &arguments).await;
        let ours = call(&self.built_in, tool, &arguments).await;
        if tool == "events_list" && !theirs.is_error {
            assert_eq!(in_any_order(&ours.text), in_any_order(&theirs.text), "{tool} {arguments}");
            return;
        }
        let tells = ours.text.contains("kubectl.kubernetes.io/last-applied-configuration");
        let theirs = if tells { theirs } else { Said { text: without_last_applied(&theirs.text), ..theirs } };
        assert_eq!(ours, theirs, "{tool} {arguments}");
    }
}

fn objects(scenario: &Path) -> Vec<Value> {
    let list: Value = serde_json::from_slice(&std::fs::read(scenario.join("objects.json")).unwrap()).unwrap();
    list["items"].as_array().cloned().unwrap()
}

/// Every object by itself, every kind as a table, and what the Pods logged.
async fn compare_everything(pair: &Pair, scenario: &Path) -> usize {
    // A snapshot leaves Secrets out, and each of the two says so in words of its own.
    let objects: Vec<Value> = objects(scenario).into_iter().filter(|object| object["kind"] != "Secret").collect();
    let mut calls: Vec<(&str, Value)> = Vec::new();
    let mut kinds = BTreeSet::new();
    for object in &objects {
        let metadata = &object["metadata"];
        kinds.insert((object["apiVersion"].to_string(), object["kind"].to_string()));
        let mut get = json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "name": metadata["name"]});
        if metadata["namespace"].is_string() {
            get["namespace"] = metadata["namespace"].clone();
        }
        if object["kind"] == "Pod" {
            let pod = json!({"namespace": metadata["namespace"], "name": metadata["name"]});
            for log in [json!({}), json!({"previous": true}), json!({"tail": 3}), json!({"container": "nope"})] {
                let mut log = log;
                log.as_object_mut().unwrap().extend(pod.as_object().cloned().unwrap());
                calls.push(("pods_log", log));
            }
            calls.push(("pods_get", pod));
        }
        calls.push(("resources_get", get));
    }
    for (api_version, kind) in &kinds {
        let list = json!({"apiVersion": api_version.trim_matches('"'), "kind": kind.trim_matches('"')});
        calls.push(("resources_list", list));
    }
    calls.extend([("pods_list", json!({})), ("namespaces_list", json!({})), ("events_list", json!({}))]);
    for (tool, arguments) in &calls {
        pair.same(tool, arguments.clone()).await;
    }
    calls.len()
}

/// Every sixth scenario holds each kind many times; what is concluded from all of them is compared elsewhere.
#[tokio::test]
async fn both_say_the_same_of_every_object_of_every_sixth_scenario() {
    let mut compared = 0;
    for scenario in scenarios().into_iter().step_by(6) {
        let pair = Pair::before(&scenario).await;
        compared += compare_everything(&pair, &scenario).await;
    }
    assert!(compared > 500, "only {compared} calls were compared");
}

#[tokio::test]
async fn both_select_and_refuse_alike() {
    let scenario = scenarios().into_iter().find(|path| path.ends_with("14-node-notready")).unwrap();
    let pair = Pair::before(&scenario).await;
    for (tool, arguments) in [
        ("pods_list", json!({"fieldSelector": "spec.nodeName=worker-3"})),
        ("pods_list", json!({"labelSelector": "app in (sensor-hub),pod-template-hash"})),
        ("pods_list", json!({"labelSelector": "a b"})),
        ("pods_list", json!({"fieldSelector": "spec.foo=a"})),
        ("pods_list", json!({"labelSelector": 5})),
        ("pods_list_in_namespace", json!({"namespace": "nowhere"})),
        ("pods_list_in_namespace", json!({})),
        ("pods_get", json!({"namespace": "edge", "name": "nope"})),
        ("pods_get", json!({"namespace": "edge", "name": ""})),
        ("pods_get", json!({"name": "nope"})),
        ("pods_get", json!({})),
        ("pods_log", json!({"namespace": "edge", "name": "nope"})),
        ("pods_log", json!({"namespace": "edge", "name": "nope", "tail": "x"})),
        ("events_list", json!({"namespace": "edge", "fieldSelector": "type=Warning"})),
        ("events_list", json!({"namespace": "nowhere"})),
        ("events_list", json!({"fieldSelector": "involvedObject.foo=a"})),
        (
            "resources_list",
            json!({"apiVersion": "v1", "kind": "Node", "labelSelector": "!node-role.kubernetes.io/worker"}),
        ),
        ("resources_list", json!({"apiVersion": "v1", "kind": "Node", "fieldSelector": "metadata.name=worker-3"})),
        ("resources_list", json!({"apiVersion": "apps/v1", "kind": "Deployment", "fieldSelector": "spec.replicas=1"})),
        ("resources_list", json!({"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "edge"})),
        ("resources_list", json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"})),
        ("resources_list", json!({"apiVersion": "v1", "kind": "Flarb"})),
        ("resources_list", json!({"kind": "Pod"})),
        ("resources_get", json!({"apiVersion": "v1", "kind": "Node", "name": "worker-9"})),
        ("resources_get", json!({"apiVersion": "v1", "kind": "Node"})),
        ("namespaces_list", json!({"fieldSelector": "status.phase=Active"})),
        ("nodes_top", json!({})),
        ("pods_top", json!({"namespace": "edge"})),
    ] {
        pair.same(tool, arguments).await;
    }
}

/// Texts that try a YAML writer: everything that means something to YAML, in every place.
fn odd_texts() -> Vec<String> {
    const PIECES: &[&str] = &[
        "a",
        "word",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        ":",
        ": ",
        "-",
        "- ",
        "#",
        " #",
        "'",
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&",
        "*",
        "!",
        "|",
        ">",
        "%",
        "@",
        "`",
        "?",
        "? ",
        "=",
        "~",
        "null",
        "true",
        "no",
        "1",
        "0",
        "12",
        ":30",
        ".5",
        "e+3",
        "_",
        "0x1f",
        "0o7",
        "0b1",
        "2026-11-23",
        "T02:27:23Z",
        " 02:27:23",
        "用户",
        "é",
        "😀",
        "\u{a0}",
        "\r",
        "...",
        "---",
        "<<",
        "+",
        ".inf",
        "/",
        "a long run of words that goes on until it has to be folded because it is past eighty columns",
    ];
    let mut state = 20_261_123_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut texts: Vec<String> = PIECES.iter().map(|piece| (*piece).to_owned()).collect();
    texts.extend((0..3000).map(|_| (0..1 + next(6)).map(|_| PIECES[next(PIECES.len())]).collect()));
    texts
}

#[tokio::test]
async fn both_write_odd_texts_alike() {
    let metadata = |name: &str| json!({"name": name, "namespace": "odd", "creationTimestamp": "2026-11-23T00:00:00Z"});
    let map = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name), "data": data});
    let texts = odd_texts();
    let by_number: serde_json::Map<String, Value> =
        texts.iter().enumerate().map(|(number, text)| (format!("k{number}"), json!(text))).collect();
    // The characters Kubernetes allows in keys of data, labels and annotations.
    let allowed = |text: &&String| text.chars().all(|c| c.is_ascii_alphanumeric() || "-._/+".contains(c));
    let keys: Vec<&String> = texts.iter().filter(allowed).collect();
    assert!(keys.len() > 50);
    // In pairs: Go's order of more keys can have circles.
    let pairs = keys.windows(2).map(|pair| json!({pair[0].clone(): 1, pair[1].clone(): 1}));
    let by_text = json!({"pairs": pairs.collect::<Vec<_>>()});
    let nested =
        json!({"list": texts.iter().take(200).collect::<Vec<_>>(), "lists": [[1, [2, {"a": [], "b": {}}]], []]});
    let list = json!({"items": [map("values", by_number.into()), map("keys", by_text), map("nested", nested)]});
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("objects.json"), list.to_string()).unwrap();
    let pair = Pair::before(directory.path()).await;
    for name in ["values", "keys", "nested"] {
        let get = json!({"apiVersion": "v1", "kind": "ConfigMap", "namespace": "odd", "name": name});
        let theirs = call(&pair.original.client, "resources_get", &get).await.text;
        let ours = call(&pair.built_in, "resources_get", &get).await.text;
        for (our_line, their_line) in ours.lines().zip(theirs.lines()) {
            assert_eq!(our_line, their_line, "{name}");
        }
        assert_eq!(ours.len(), theirs.len(), "{name}");
    }
}

#[tokio::test]
async fn both_show_usage_alike() {
    let scenario = scenarios().into_iter().find(|path| path.ends_with("20-hpa-at-max")).unwrap();
    let mut items = objects(&scenario);
    let usage = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory, "swap": "3Mi"});
    for (node, cpu) in [("worker-1", "430123456n"), ("worker-2", "1"), ("worker-5", "0")] {
        let metadata = json!({"name": node, "labels": {"pool": "a"}});
        items.push(json!({
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics", "metadata": metadata,
            "timestamp": "2026-11-23T02:42:00Z", "window": "10s", "usage": usage(cpu, "3123456Ki"),
        }));
    }
    for (pod, memory) in [("b", "48Mi"), ("a", "123456789")] {
        items.push(json!({
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
            "metadata": {"name": pod, "namespace": "pricing"}, "timestamp": "2026-11-23T02:42:00Z", "window": "10s",
            "containers": [{"name": "z", "usage": usage("96600u", memory)}, {"name": "c", "usage": usage("5n", memory)}],
        }));
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("objects.json"), json!({"items": items}).to_string()).unwrap();
    let pair = Pair::before(directory.path()).await;
    for (tool, arguments) in [
        ("nodes_top", json!({"name": "worker-9"})),
        ("pods_top", json!({})),
        ("pods_top", json!({"namespace": "pricing"})),
        ("pods_top", json!({"namespace": "pricing", "name": "a"})),
        ("pods_top", json!({"namespace": "nowhere"})),
        ("pods_top", json!({"all_namespaces": false})),
        ("pods_top", json!({"all_namespaces": "x"})),
    ] {
        pair.same(tool, arguments).await;
    }
    // Nodes without metrics come in random order from the original.
    for arguments in [json!({}), json!({"name": "worker-2"}), json!({"label_selector": "pool=a"})] {
        let sorted = |said: Said| said.text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let theirs = sorted(call(&pair.original.client, "nodes_top", &arguments).await);
        assert_eq!(sorted(call(&pair.built_in, "nodes_top", &arguments).await), theirs, "{arguments}");
    }
}
