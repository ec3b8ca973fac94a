//! The cluster's API server itself fails, behind the built-in toolset: what it did not say is said, and the alert is told.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use firstlook::kube::snapshot::kubeconfig;
use serde_json::json;

use crate::support::alerts::{PENDING, scenario, webhook};
use crate::support::cluster::{self, Cluster};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::serve;
use crate::support::service::{Home, client};
use crate::support::team::Team;

/// What becomes of requests for claims; all others are answered by the cluster.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Failing {
    /// Refused as too many, as the API server's priority and fairness does it.
    Busy,
    /// Never answered.
    Silent,
    /// Refused, as to an account without the right to read them.
    Forbidden,
}

/// A cluster whose API server fails so.
async fn failing(how: Failing) -> (Cluster, std::net::SocketAddr) {
    let cluster = cluster::serve(&scenario(PENDING)).await;
    let behind = cluster.address;
    let router = axum::Router::new().fallback(move |request: Request| async move {
        match request.uri().path().contains("/persistentvolumeclaims") {
            true if how == Failing::Busy => busy(),
            true if how == Failing::Forbidden => forbidden(),
            true => std::future::pending().await,
            false => passed_on(behind, request).await,
        }
    });
    let address = serve(router).await.trim_start_matches("http://").parse().unwrap();
    (cluster, address)
}

fn busy() -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "TooManyRequests", "code": 429,
        "message": "the server has received too many requests and has asked us to try again later",
        "details": {"retryAfterSeconds": 1},
    });
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], axum::Json(status)).into_response()
}

fn forbidden() -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "persistentvolumeclaims is forbidden: User \"system:serviceaccount:firstlook:firstlook\" cannot list \
                    resource \"persistentvolumeclaims\" in API group \"\" in the namespace \"aiops\"",
        "details": {"kind": "persistentvolumeclaims"},
    });
    (StatusCode::FORBIDDEN, axum::Json(status)).into_response()
}

async fn passed_on(behind: std::net::SocketAddr, request: Request) -> Response {
    let path = request.uri().path_and_query().unwrap().as_str();
    let mut asked = client().get(format!("http://{behind}{path}"));
    if let Some(accept) = request.headers().get("accept") {
        asked = asked.header("accept", accept.as_bytes());
    }
    // A body may not wait with us, and a read has none.
    drop(request);
    let answer = asked.send().await.unwrap();
    let kind = answer.headers()["content-type"].clone();
    let answered = Response::builder().status(answer.status().as_u16()).header("content-type", kind);
    answered.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}

/// The alert is told in time, and report and message say what the API server did not.
async fn is_said(how: Failing, said: &str) {
    let (_cluster, address) = failing(how).await;
    let team = Team::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig(address)).unwrap();
    let mcp = json!([{"name": "kubernetes", "transport": "builtin", "kubeconfig": file}]);
    let home = Home::new(&json!({"mcp": mcp, "channels": team.channels()}));
    let service = home.serve().await;
    let (begun, alert) = (Instant::now(), webhook(PENDING));
    let (id, _) = service.accept(&alert).await;
    team.each_has(1, 5).await;
    let incident = service.settled(&id, 60).await;
    assert!(begun.elapsed() < Duration::from_secs(45), "it took {:?}", begun.elapsed());
    let gaps = incident["report"]["data_gaps"].to_string();
    assert!(gaps.contains(said), "{said} is not in {gaps}");
    assert_ne!(incident["report"]["causes"][0]["code"], "pvc_unbound_provisioner_missing", "what nobody could read");
    for (channel, heard) in team.heard().iter().enumerate() {
        assert!(heard.last().unwrap().text.contains(said), "channel {channel}: {heard:#?}");
    }
    team.each_has_what_was_sent(&[&incident]).await;
    let alerts = alert["alerts"].as_array().unwrap().len();
    assert_eq!(contract::holds(&service, alerts, 10).await.sent, alerts as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_an_api_server_that_is_too_busy_is_said_in_the_report() {
    on_every_engine(async || is_said(Failing::Busy, "too many requests").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_what_the_cluster_forbids_to_read_is_said_in_the_report() {
    on_every_engine(async || is_said(Failing::Forbidden, "forbidden").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_an_api_server_that_does_not_answer_is_said_in_the_report() {
    on_every_engine(async || is_said(Failing::Silent, "did not answer within 10 s").await).await;
}
