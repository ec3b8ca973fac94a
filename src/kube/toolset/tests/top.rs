//! `kubectl top` texts, compared with recordings over the same nodes and the usage those recordings show.

use std::path::Path;

use serde_json::{Value, json};

use super::Session;

const NODES: &str = "\
NAME       CPU(cores)   CPU(%)      MEMORY(bytes)   MEMORY(%)   SWAP(bytes)   SWAP(%)   
worker-1   430m         11%         3563Mi          23%         0Mi           
worker-2   351m         9%          3174Mi          20%         0Mi           
worker-4   317m         8%          3011Mi          19%         0Mi           
worker-5   378m         9%          15117Mi         98%         0Mi           
worker-3   <unknown>    <unknown>   <unknown>       <unknown>   <unknown>     <unknown>   
";

const PODS: &str = "\
NAMESPACE   POD                            NAME           CPU(cores)   MEMORY(bytes)   SWAP(bytes)   
pricing     quote-engine-d7cb49b6b-flptw   quote-engine   97m          40Mi            0Mi           
pricing     quote-engine-d7cb49b6b-hqpjg   quote-engine   97m          48Mi            0Mi           
pricing     quote-engine-d7cb49b6b-mllfn   quote-engine   99m          55Mi            0Mi           
                                                                       ________        ________      
                                                                       292m            145Mi         0Mi   
";

fn usage(cpu: &str, memory: &str) -> Value {
    json!({"cpu": cpu, "memory": memory})
}

/// The objects of scenario 20 and the metrics that were measured then.
fn measured() -> tempfile::TempDir {
    let objects = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/20-hpa-at-max/objects.json");
    let mut list: Value = serde_json::from_slice(&std::fs::read(objects).unwrap()).unwrap();
    let items = list["items"].as_array_mut().unwrap();
    for (name, cpu, memory) in [
        ("worker-1", "430m", "3563Mi"),
        ("worker-2", "350500001n", "3174Mi"),
        ("worker-4", "317m", "3011Mi"),
        ("worker-5", "378m", "15117Mi"),
    ] {
        items.push(json!({
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics", "metadata": {"name": name},
            "usage": usage(cpu, memory),
        }));
    }
    for (pod, cpu, memory) in
        [("hqpjg", "96800u", "50000Ki"), ("flptw", "96400000n", "41900Ki"), ("mllfn", "98600u", "56900Ki")]
    {
        let metadata = json!({"name": format!("quote-engine-d7cb49b6b-{pod}"), "namespace": "pricing"});
        items.push(json!({
            "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics", "metadata": metadata,
            "containers": [{"name": "quote-engine", "usage": usage(cpu, memory)}],
        }));
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("objects.json"), list.to_string()).unwrap();
    directory
}

#[tokio::test]
async fn usage_reads_as_kubectl_top() {
    let directory = measured();
    let session = Session::directory(directory.path()).await;
    let nodes = session.call("nodes_top", json!({})).await;
    assert_eq!(nodes.text, NODES);
    assert_eq!(nodes.structured["items"].as_array().unwrap().len(), 4);
    assert_eq!(session.call("pods_top", json!({"namespace": "pricing"})).await.text, PODS);
    assert_eq!(session.call("pods_top", json!({})).await.text, PODS);
    assert_eq!(session.call("pods_top", json!({"namespace": "nowhere"})).await.text, "");
}

#[tokio::test]
async fn one_node_is_shown_alone() {
    let directory = measured();
    let session = Session::directory(directory.path()).await;
    let said = session.call("nodes_top", json!({"name": "worker-5"})).await.text;
    assert!(said.contains("worker-5   378m"), "{said}");
    let refused = session.refusal("nodes_top", json!({"name": "worker-9"})).await;
    assert_eq!(
        refused,
        "failed to get nodes top: failed to get metrics for node worker-9: nodes.metrics.k8s.io \"worker-9\" not found"
    );
}
