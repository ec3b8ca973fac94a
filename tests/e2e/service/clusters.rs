//! Several clusters behind one Firstlook: an alert's label says which of them is looked at.

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, in_group, one_alert, resolved, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::service::{Home, Service};
use crate::support::team::Team;

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

/// Two alerts of a cluster in the group key that every cluster's Alertmanager uses.
fn of_one_group(cluster: &str) -> Value {
    let one =
        |name: &str| one_alert("everywhere", &json!({"cluster": cluster, "alertname": format!("{name}{cluster}")}));
    let mut body = one("First");
    let second = one("Second")["alerts"][0].clone();
    body["alerts"].as_array_mut().unwrap().push(second);
    for (alert, name) in body["alerts"].as_array_mut().unwrap().iter_mut().zip(["first", "second"]) {
        alert["fingerprint"] = format!("{name}-{cluster}").into();
    }
    body
}

/// A delivery of this body, which has to be taken for this, and has to be of this incident.
async fn taken(service: &Service, body: &Value, incident: &str, decision: &str) {
    let receipt = service.accept(body).await;
    assert_eq!((receipt.0.as_str(), receipt.1.as_str()), (incident, decision), "{body:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f42_the_alertmanagers_of_two_clusters_do_not_end_each_others_alerts() {
    on_every_engine(async || {
        let team = Team::start().await;
        let home = Home::new(&json!({"mcp": builtin(PENDING), "channels": team.channels()}));
        let service = home.serve().await;
        let (east, west) = (of_one_group("east"), of_one_group("west"));
        let (id, _) = service.accept(&east).await;
        service.settled(&id, 30).await;
        taken(&service, &west, &id, "joined").await;
        let incident = service.settled(&id, 30).await;
        assert_eq!(incident["group"]["alerts"].as_array().unwrap().len(), 4, "{incident:#}");

        // The end of one cluster, from both of its pair, and what the other says meanwhile.
        taken(&service, &resolved(&east), &id, "merged").await;
        taken(&service, &resolved(&east), &id, "merged").await;
        taken(&service, &west, &id, "merged").await;
        let incident = service.settled(&id, 30).await;
        assert_eq!((&incident["state"], &incident["resolved_at"]), (&json!("open"), &Value::Null), "{incident:#}");
        let fires = |incident: &Value, name: &str| {
            let alert =
                incident["group"]["alerts"].as_array().unwrap().iter().find(|one| one["fingerprint"] == name).unwrap();
            alert["status"] == "firing"
        };
        assert!(!fires(&incident, "first-east") && fires(&incident, "first-west"), "{incident:#}");
        let reason = incident["delivery_log"][2]["reason"].as_str().unwrap();
        assert!(reason.contains("others of the group still fire"), "{reason}");

        // It fires again there, and is told; the last end is the end.
        taken(&service, &east, &id, "joined").await;
        taken(&service, &resolved(&west), &id, "merged").await;
        taken(&service, &resolved(&east), &id, "resolved").await;
        let incident = service.settled(&id, 30).await;
        assert_eq!(incident["state"], "resolved", "{incident:#}");
        assert_eq!(service.incidents().await.len(), 1);
        team.each_has_what_was_sent(&[&incident]).await;
        for (channel, heard) in team.heard().iter().enumerate() {
            let all: String = heard.iter().map(|message| message.text.as_str()).collect();
            let named = ["Firsteast", "Secondeast", "Firstwest", "Secondwest"].iter().all(|name| all.contains(name));
            assert!(named, "channel {channel}: {all}");
            let ends = heard.iter().filter(|message| message.text.contains("Resolved")).count();
            assert_eq!(ends, 1, "channel {channel}: {all}");
            assert!(heard.last().unwrap().text.contains("Resolved"), "channel {channel}: {all}");
        }
        let balance = contract::holds(&service, 8 * 2, 30).await;
        assert_eq!((balance.sent, balance.merged), (8, 8), "{balance:?}");
        team.refused_nothing();
    })
    .await;
}
