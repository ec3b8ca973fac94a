//! The main path: Alertmanager delivers, three channels hear of it, the report is true, the end is told.

use serde_json::{Value, json};

use crate::support::alertmanager::Alertmanager;
use crate::support::alerts::{PENDING, builtin, scenario, webhook};
use crate::support::cluster;
use crate::support::eventually_async;
use crate::support::model::ModelServer;
use crate::support::original::Original;
use crate::support::pending;
use crate::support::service::{Home, Service, TOKEN};
use crate::support::team::{Heard, Team, assert_in_time};

/// Waits for the one incident and returns it settled.
async fn the_incident(service: &Service, alertmanager: &Alertmanager) -> Value {
    eventually_async("Alertmanager delivers", 20, || async { !service.incidents().await.is_empty() }).await;
    let incidents = service.incidents().await;
    assert_eq!(incidents.len(), 1, "{}", alertmanager.log());
    service.settled(incidents[0]["id"].as_str().unwrap(), 60).await
}

fn assert_true_report(report: &Value) {
    let cause = &report["causes"][0];
    let culprit = json!({"kind": "PersistentVolumeClaim", "namespace": "aiops", "name": "test-data"});
    assert_eq!((&report["verdict"], &cause["resource"]), (&json!("fault"), &culprit), "{report:#}");
    assert!(report["headline"].as_str().unwrap().contains("com.tencent.cloud.csi.cbs"), "{report:#}");
    let known: Vec<&Value> = report["evidence"].as_array().unwrap().iter().map(|entry| &entry["ref"]).collect();
    let cited = cause["evidence"].as_array().unwrap();
    assert!(!cited.is_empty() && cited.iter().all(|citation| known.contains(&&citation["ref"])), "{report:#}");
}

fn assert_tells_the_cause(heard: &[Vec<Heard>; 3], alert: &str) {
    for channel in heard {
        assert!(channel[0].text.contains(alert), "{}", channel[0].text);
        let told: String = channel.iter().map(|message| message.text.as_str()).collect();
        for word in ["test-data", "com.tencent.cloud.csi.cbs"] {
            assert!(told.contains(word), "{word} is missing in {told}");
        }
    }
}

fn assert_no_secret_reached(model: &ModelServer, team: &Team) {
    let secrets = [TOKEN.to_owned(), team.channels()[0]["secret"].as_str().unwrap().to_owned(), team.wecom.url()];
    for asked in model.asked() {
        let body = asked.body.to_string();
        assert!(secrets.iter().all(|secret| !body.contains(secret.as_str())), "a secret reached the model: {body}");
    }
}

fn assert_mail_threads(team: &Team) {
    let mails = team.mail.received(0);
    let roots: Vec<&str> = mails.iter().map(|mail| mail.header("In-Reply-To")).collect();
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "{roots:?}");
    let mut ids: Vec<&str> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    ids.dedup();
    assert_eq!(ids.len(), mails.len(), "every mail is one of its own");
}

/// Fires an incident through Alertmanager, and ends it; the settled incident before its end.
async fn from_alert_to_end(mcp: Value) -> Value {
    let (team, model) = (Team::start().await, pending::model().await);
    let home = Home::new(&json!({"mcp": mcp, "models": pending::models(&model), "channels": team.channels()}));
    let service = home.serve().await;
    let alertmanager = Alertmanager::before(&service).await;

    alertmanager.put(&webhook(PENDING), true).await;
    let incident = the_incident(&service, &alertmanager).await;
    assert_true_report(&incident["report"]);
    assert_eq!(incident["report"]["usage"]["source"], "model", "{incident:#}");
    let heard = team.each_has(1, 5).await;
    assert_in_time(&heard, &incident);
    assert_tells_the_cause(&heard, incident["report"]["overview"]["alertname"].as_str().unwrap());
    assert_no_secret_reached(&model, &team);
    assert!(heard.iter().all(|channel| channel.len() <= 2), "an incident is two messages at most");
    let under_two = "firstlook_first_message_delay_seconds_bucket{le=\"2.0\",channel=\"oncall\"}";
    assert_eq!(service.metric(under_two).await, Some(1.0));

    let before = team.counts();
    alertmanager.put(&webhook(PENDING), false).await;
    let id = incident["id"].as_str().unwrap();
    let over = |incident: &Value| incident["state"] == "resolved" && crate::support::service::is_settled(incident);
    service.incident_when("it is resolved", id, 20, over).await;
    let heard = team.each_has(before[0] + 1, 5).await;
    for (channel, before) in heard.iter().zip(before) {
        assert_eq!(channel.len(), before + 1, "one message about the end");
        let end = &channel[before].text;
        assert!(end.contains("esolved") && end.len() < channel[0].text.len(), "{end}");
    }
    assert_mail_threads(&team);
    team.refused_nothing();
    assert_eq!(service.incidents().await.len(), 1);
    assert!(!service.log().contains("\"level\":\"ERROR\""), "{}", service.log());
    incident
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_alertmanager_through_kubernetes_mcp_server_to_every_channel() {
    let cluster = cluster::serve(&scenario(PENDING)).await;
    let server = Original::with(cluster.address, &[("KUBE_CLIENT_QPS", "1000"), ("KUBE_CLIENT_BURST", "2000")]).await;
    from_alert_to_end(json!([{"name": "kubernetes", "url": server.url}])).await;
}

/// As it is installed: five requests a second, so the first message may go before the look is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_alertmanager_through_an_unhurried_kubernetes_mcp_server() {
    let cluster = cluster::serve(&scenario(PENDING)).await;
    let server = Original::with(cluster.address, &[]).await;
    let incident = from_alert_to_end(json!([{"name": "kubernetes", "url": server.url}])).await;
    eprintln!("default rate: {} s", incident["report"]["usage"]["seconds"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_alertmanager_through_the_built_in_toolset_to_every_channel() {
    from_alert_to_end(builtin(PENDING)).await;
}
