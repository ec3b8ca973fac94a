//! Several clusters behind one Firstlook: an alert's label says which of them is looked at.

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, in_group, webhook};
use crate::support::feishu::Feishu;
use crate::support::service::{Home, Service};

/// A scenario of another cluster.
const IMAGE: &str = "04-imagepull-bad-tag";

fn server(name: &str, scenario: &str, clusters: &[&str]) -> Value {
    let mut entry = builtin(scenario)[0].clone();
    (entry["name"], entry["clusters"]) = (name.into(), clusters.into());
    entry
}

/// The alerts of a scenario, as a cluster of this name sends them.
fn from(cluster: &str, scenario: &str) -> Value {
    let mut body = in_group(scenario, cluster);
    for alert in body["alerts"].as_array_mut().unwrap() {
        alert["labels"]["cluster"] = cluster.into();
    }
    body
}

async fn serve(mcp: Value) -> (Feishu, Home, Service) {
    let feishu = Feishu::start().await;
    let channels = json!([{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}]);
    let home = Home::new(&json!({"mcp": mcp, "channels": channels}));
    let service = home.serve().await;
    (feishu, home, service)
}

async fn found(service: &Service, body: &Value) -> (Value, String) {
    let (id, _) = service.accept(body).await;
    let report = service.settled(&id, 30).await["report"].clone();
    (report["causes"][0]["code"].clone(), report["data_gaps"].to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cluster_is_looked_at_by_its_own_server() {
    let mcp = json!([server("east", PENDING, &["east", "east-2"]), server("west", IMAGE, &["west"])]);
    let (_feishu, _home, service) = serve(mcp).await;
    let (code, gaps) = found(&service, &from("east-2", PENDING)).await;
    assert_eq!((&code, gaps.contains("cluster")), (&json!("pvc_unbound_provisioner_missing"), false), "{gaps}");
    let (code, gaps) = found(&service, &from("west", IMAGE)).await;
    assert_eq!((&code, gaps.contains("cluster ")), (&json!("image_not_found"), false), "{gaps}");

    let (code, gaps) = found(&service, &from("north", PENDING)).await;
    assert!(code.is_null() && gaps.contains("No MCP server looks at cluster north"), "{code} {gaps}");
    let (code, gaps) = found(&service, &webhook(PENDING)).await;
    assert!(code.is_null() && gaps.contains("has no label cluster"), "{code} {gaps}");

    let mut both = from("east", PENDING);
    let mut other = both["alerts"][0].clone();
    (other["labels"]["cluster"], other["labels"]["pod"]) = ("west".into(), "another-pod".into());
    other["fingerprint"] = "00000000000000ff".into();
    both["alerts"].as_array_mut().unwrap().push(other);
    let (code, gaps) = found(&service, &both).await;
    assert_eq!(code, json!("pvc_unbound_provisioner_missing"));
    assert!(gaps.contains("east was looked at, west was not") && gaps.contains("group_by"), "{gaps}");
}

/// A server without clusters looks at whatever an alert names, as one of a single cluster always did; one that names
/// them comes before it when it is configured before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_clusters_takes_what_no_other_does() {
    let (_feishu, _home, service) = serve(json!([server("west", IMAGE, &["west"]), builtin(PENDING)[0]])).await;
    assert_eq!(found(&service, &from("north", PENDING)).await.0, json!("pvc_unbound_provisioner_missing"));
    assert_eq!(found(&service, &webhook(PENDING)).await.0, json!("pvc_unbound_provisioner_missing"));
    assert_eq!(found(&service, &from("west", IMAGE)).await.0, json!("image_not_found"));
}
