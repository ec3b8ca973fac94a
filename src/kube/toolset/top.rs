//! `nodes_top` and `pods_top`: what the metrics API measured, laid out as `kubectl top` does.

use serde_json::Value;

use super::Toolset;
use super::answer::{Answer, Success};
use super::arguments::Arguments;
use super::cluster::{Query, ReadError};
use super::kinds::{object_name, path_segment};
use super::text_table::{Line, align};
use crate::quantity::{amount, round_up};

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";
const MEBIBYTE: i64 = 1024 * 1024;

impl Toolset {
    pub(super) async fn nodes_top(&self, arguments: &Arguments) -> Answer {
        let failed = |why: String| format!("failed to get nodes top: {why}");
        let name = arguments.text("name").map_err(failed)?;
        let labels = arguments.text("label_selector").map_err(failed)?;
        let metrics = self.node_metrics(name, labels).await.map_err(failed)?;
        let query = Query { labels, ..Query::default() };
        let nodes = self.cluster.list("/api/v1/nodes", &query).await;
        let nodes = nodes.map_err(|error| format!("failed to list nodes: {error}"))?;
        Ok(Success::items(print_nodes(&metrics, &nodes.entries), metrics))
    }

    pub(super) async fn pods_top(&self, arguments: &Arguments) -> Answer {
        let failed = |why: String| format!("failed to get pods top: {why}");
        let everywhere = arguments.flag("all_namespaces", true).map_err(failed)?;
        let namespace = arguments.text("namespace").map_err(failed)?;
        let name = arguments.text("name").map_err(failed)?;
        let labels = arguments.text("label_selector").map_err(failed)?;
        // One Pod lives in one namespace, so a name alone means the default one.
        let namespace =
            if everywhere && name.is_empty() { namespace } else { self.cluster.namespace_or_default(namespace) };
        let metrics = self.pod_metrics(namespace, name, labels).await.map_err(failed)?;
        Ok(Success::items(print_pods(&metrics), metrics))
    }

    async fn node_metrics(&self, name: &str, labels: &str) -> Result<Vec<Value>, String> {
        self.require_metrics().await?;
        let collection = format!("{METRICS}/nodes");
        if name.is_empty() {
            let listed = self.cluster.list(&collection, &Query { labels, ..Query::default() }).await;
            return listed.map(|found| found.entries).map_err(|error| format!("failed to list node metrics: {error}"));
        }
        let measured = self.measured(&collection, name).await;
        measured.map_err(|error| format!("failed to get metrics for node {name}: {error}"))
    }

    async fn pod_metrics(&self, namespace: &str, name: &str, labels: &str) -> Result<Vec<Value>, String> {
        self.require_metrics().await?;
        let collection = match path_segment(namespace).map_err(|error| error.to_string())? {
            "" => format!("{METRICS}/pods"),
            namespace => format!("{METRICS}/namespaces/{namespace}/pods"),
        };
        if name.is_empty() {
            let listed = self.cluster.list(&collection, &Query { labels, ..Query::default() }).await;
            return listed
                .map(|found| found.entries)
                .map_err(|error| format!("failed to list pod metrics in namespace {namespace}: {error}"));
        }
        let measured = self.measured(&collection, name).await;
        measured.map_err(|error| format!("failed to get metrics for pod {namespace}/{name}: {error}"))
    }

    async fn measured(&self, collection: &str, name: &str) -> Result<Vec<Value>, ReadError> {
        Ok(vec![self.cluster.document(&format!("{collection}/{}", object_name(name)?)).await?])
    }

    async fn require_metrics(&self) -> Result<(), String> {
        match self.cluster.document(METRICS).await {
            Ok(_) => Ok(()),
            Err(ReadError::Refused { code: 404 | 503, .. }) => Err("metrics API is not available".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn line<const N: usize>(cells: [&str; N]) -> Line {
    Line { cells: cells.iter().map(|cell| (*cell).to_owned()).collect(), open: false }
}

fn print_nodes(metrics: &[Value], nodes: &[Value]) -> String {
    if metrics.is_empty() {
        return String::new();
    }
    let header = ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)", "SWAP(bytes)", "SWAP(%)"];
    let mut lines = vec![line(header)];
    let mut measured: Vec<&Value> = metrics.iter().collect();
    measured.sort_by_key(|metric| text(metric, "/metadata/name"));
    for metric in &measured {
        let name = text(metric, "/metadata/name");
        let node = nodes.iter().find(|node| text(node, "/metadata/name") == name).unwrap_or(&Value::Null);
        lines.push(node_line(name, &metric["usage"], node));
    }
    let silent = nodes.iter().map(|node| text(node, "/metadata/name"));
    let silent = silent.filter(|name| measured.iter().all(|metric| text(metric, "/metadata/name") != *name));
    let unknown = "<unknown>";
    lines.extend(silent.map(|name| line([name, unknown, unknown, unknown, unknown, unknown, unknown])));
    align(&lines)
}

fn node_line(name: &str, usage: &Value, node: &Value) -> Line {
    let mut cells = vec![name.to_owned()];
    let allocatable = &node["status"]["allocatable"];
    for (resource, show) in [("cpu", cores as fn(f64) -> String), ("memory", mebibytes)] {
        let used = used(usage, resource);
        cells.push(show(used));
        cells.extend(allocatable[resource].as_str().and_then(amount).and_then(|all| percent(used, all)));
    }
    let swap = used(usage, "swap");
    cells.push(mebibytes(swap));
    cells.extend(node["status"]["nodeInfo"]["swap"]["capacity"].as_f64().and_then(|all| percent(swap, all)));
    Line { cells, open: false }
}

fn print_pods(metrics: &[Value]) -> String {
    if metrics.is_empty() {
        return String::new();
    }
    let mut lines = vec![line(["NAMESPACE", "POD", "NAME", "CPU(cores)", "MEMORY(bytes)", "SWAP(bytes)"])];
    let mut pods: Vec<&Value> = metrics.iter().collect();
    pods.sort_by_key(|pod| (text(pod, "/metadata/namespace"), text(pod, "/metadata/name")));
    let mut total = [0.0; 3];
    for pod in pods {
        let mut containers: Vec<&Value> = pod["containers"].as_array().into_iter().flatten().collect();
        containers.sort_by_key(|container| text(container, "/name"));
        for container in containers {
            let used = ["cpu", "memory", "swap"].map(|resource| used(&container["usage"], resource));
            total.iter_mut().zip(used).for_each(|(sum, used)| *sum += used);
            let [cpu, memory, swap] = shown(used);
            let (namespace, pod) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
            lines.push(line([namespace, pod, text(container, "/name"), &cpu, &memory, &swap]));
        }
    }
    // kubectl sets the totals one column too far to the right; the text must be the same on both servers.
    lines.push(line(["", "", "", "", "________", "________"]));
    let [cpu, memory, swap] = shown(total);
    lines.push(line(["", "", "", "", &cpu, &memory, &swap]));
    align(&lines)
}

fn used(usage: &Value, resource: &str) -> f64 {
    usage[resource].as_str().and_then(amount).unwrap_or(0.0)
}

/// Of two quantities in their rounded thousandths, as kubectl compares them.
fn percent(used: f64, all: f64) -> Option<String> {
    let thousandths = |units: f64| round_up(units * 1000.0) as f64;
    (all > 0.0).then(|| format!("{}%", (thousandths(used) / thousandths(all) * 100.0) as i64))
}

fn shown([cpu, memory, swap]: [f64; 3]) -> [String; 3] {
    [cores(cpu), mebibytes(memory), mebibytes(swap)]
}

fn cores(units: f64) -> String {
    format!("{}m", round_up(units * 1000.0))
}

fn mebibytes(bytes: f64) -> String {
    format!("{}Mi", round_up(bytes) / MEBIBYTE)
}
