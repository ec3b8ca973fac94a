//! The toolset seen by an MCP client in the same process, against snapshots and against recordings of the original.

mod recordings;
mod top;

use std::path::Path;
use std::time::{Duration, Instant};

use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService, ServiceExt};
use serde_json::{Value, json};

use super::{ClusterSource, Toolset};
use crate::kube::snapshot::tests::{Served, serve, serve_directory};

/// An MCP client of the toolset over one cluster.
struct Session {
    client: RunningService<RoleClient, ()>,
    _served: Option<Served>,
}

#[derive(Debug)]
struct Said {
    text: String,
    is_error: bool,
    structured: Value,
}

impl Session {
    async fn over(source: ClusterSource, served: Option<Served>) -> Self {
        let toolset = Toolset::connect(source).await.unwrap();
        Self { client: ().serve(toolset.spawn()).await.unwrap(), _served: served }
    }

    async fn scenario(name: &str) -> Self {
        let served = serve(name).await;
        Self::over(ClusterSource::Snapshot(served.address), Some(served)).await
    }

    async fn directory(directory: &Path) -> Self {
        let served = serve_directory(directory).await;
        Self::over(ClusterSource::Snapshot(served.address), Some(served)).await
    }

    async fn call(&self, tool: &str, arguments: Value) -> Said {
        let arguments = arguments.as_object().cloned().unwrap();
        let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let result = self.client.call_tool(request).await.unwrap();
        Said {
            text: result.content.first().and_then(|content| content.as_text()).unwrap().text.clone(),
            is_error: result.is_error == Some(true),
            structured: result.structured_content.unwrap_or_default(),
        }
    }

    async fn refusal(&self, tool: &str, arguments: Value) -> String {
        let said = self.call(tool, arguments).await;
        assert!(said.is_error, "{tool} should have failed: {}", said.text);
        said.text
    }
}

#[tokio::test]
async fn every_tool_is_announced_as_read_only() {
    let session = Session::scenario("30-healthy-flap").await;
    let tools = session.client.list_all_tools().await.unwrap();
    assert_eq!(tools.len(), 10);
    for tool in tools {
        let annotations = tool.annotations.unwrap();
        assert_eq!(
            (annotations.read_only_hint, annotations.destructive_hint),
            (Some(true), Some(false)),
            "{}",
            tool.name
        );
    }
    let unknown = session.client.call_tool(CallToolRequestParams::new("pods_delete")).await.unwrap_err();
    assert!(unknown.to_string().contains("unknown tool \"pods_delete\""), "{unknown}");
}

#[tokio::test]
async fn answers_carry_the_objects_for_code() {
    let session = Session::scenario("02-crashloop-app-error").await;
    let pods = session.call("pods_list_in_namespace", json!({"namespace": "payments"})).await.structured;
    let pod = &pods["items"][0];
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "CrashLoopBackOff");
    let deployment =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "payments", "name": "checkout-api"});
    let deployment = session.call("resources_get", deployment).await;
    assert_eq!(deployment.structured["spec"]["replicas"], 1);
    assert!(!deployment.text.contains("last-applied-configuration"));
    assert!(deployment.structured["metadata"]["annotations"]["deployment.kubernetes.io/revision"].is_string());
    let events = session.call("events_list", json!({"namespace": "payments"})).await.structured;
    let events = events["items"].as_array().unwrap();
    assert!(events.len() > 3 && events.iter().all(|event| event["kind"] == "Event"));
}

#[tokio::test]
async fn events_are_told_in_the_order_they_happened() {
    let session = Session::scenario("24-rollout-stuck").await;
    let told = session.call("events_list", json!({"namespace": "identity"})).await.text;
    let times: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("  Timestamp: ")).collect();
    assert!(times.len() > 10 && times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn nothing_is_said_as_the_original_says_it() {
    let session = Session::scenario("30-healthy-flap").await;
    let nowhere = json!({"namespace": "nowhere"});
    assert_eq!(session.call("events_list", nowhere.clone()).await.text, "# No events found");
    let pods = session.call("pods_list_in_namespace", nowhere).await;
    assert_eq!((pods.text.as_str(), &pods.structured), ("", &json!({"items": []})));
    let drivers = session.call("resources_list", json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver"})).await;
    assert_eq!((drivers.text.as_str(), drivers.is_error), ("", false));
}

#[tokio::test]
async fn mistakes_are_answered_in_the_originals_words() {
    let session = Session::scenario("01-pvc-provisioner-missing").await;
    let cases = [
        ("pods_get", json!({}), "failed to get pod: name parameter required"),
        (
            "pods_get",
            json!({"namespace": "aiops", "name": "nope"}),
            "failed to get pod nope in namespace aiops: pods \"nope\" not found",
        ),
        (
            "pods_get",
            json!({"namespace": "aiops", "name": ""}),
            "failed to get pod  in namespace aiops: name is required",
        ),
        (
            "pods_log",
            json!({"name": "x", "tail": "five"}),
            "failed to get pod log: tail parameter must be an integer: expected integer, got string",
        ),
        (
            "pods_list_in_namespace",
            json!({"namespace": 7}),
            "failed to list pods in namespace: namespace parameter must be a string",
        ),
        (
            "pods_list",
            json!({"labelSelector": "a b"}),
            "failed to list pods in all namespaces: unable to parse requirement: found 'b', expected: in, notin, =, ==, \
             !=, gt, lt",
        ),
        (
            "pods_list",
            json!({"fieldSelector": "spec.foo=a"}),
            "failed to list pods in all namespaces: field label not supported: spec.foo",
        ),
        ("resources_list", json!({"kind": "Pod"}), "failed to list resources, missing argument apiVersion"),
        ("nodes_top", json!({}), "failed to get nodes top: metrics API is not available"),
    ];
    for (tool, arguments, expected) in cases {
        assert_eq!(session.refusal(tool, arguments).await, expected);
    }
}

#[tokio::test]
async fn a_kind_nearly_right_is_set_right() {
    let session = Session::scenario("30-healthy-flap").await;
    let cases = [
        ("apps/v1", "Deploymnt", "Deployment\" in version \"apps/v1\""),
        ("v1", "pods", "Pod\" in version \"v1\""),
        ("v1", "Deployment", "Deployment\" in version \"apps/v1\""),
        ("extensions/v1beta1", "Ingress", "Ingress\" in version \"networking.k8s.io/v1\""),
        ("v1", "PVC", "PersistentVolumeClaim\" in version \"v1\""),
        ("v1", "hpa", "HorizontalPodAutoscaler\" in version \"autoscaling/v2\""),
        ("v1", "Flarb", ""),
    ];
    for (api_version, kind, meant) in cases {
        let said = session.refusal("resources_list", json!({"apiVersion": api_version, "kind": kind})).await;
        let expected = format!("failed to list resources: no matches for kind \"{kind}\" in version \"{api_version}\"");
        assert!(said.starts_with(&expected) && said.contains(meant), "{said}");
        assert_eq!(said.contains("did you mean"), !meant.is_empty(), "{said}");
    }
}

#[tokio::test]
async fn secrets_are_refused_before_the_cluster_is_asked() {
    let nobody = ClusterSource::Snapshot("127.0.0.1:1".parse().unwrap());
    let session = Session::over(nobody, None).await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "namespace": "web", "name": "db"});
    for tool in ["resources_get", "resources_list"] {
        let said = session.refusal(tool, secret.clone()).await;
        assert!(said.contains("resource not allowed: /v1, Kind=Secret"), "{said}");
    }
}

#[tokio::test]
async fn a_path_cannot_be_smuggled_in_a_name() {
    let session = Session::scenario("30-healthy-flap").await;
    for name in ["../../secrets", "a/log", "x?watch=true"] {
        let said = session.refusal("pods_get", json!({"namespace": "status-page", "name": name})).await;
        assert!(said.contains("cannot be a name in Kubernetes"), "{said}");
        let said = session.refusal("events_list", json!({"namespace": name})).await;
        assert!(said.contains("cannot be a name in Kubernetes"), "{said}");
        let said = session.refusal("resources_list", json!({"apiVersion": name, "kind": "Pod"})).await;
        assert!(said.starts_with("failed to list resources: "), "{said}");
    }
}

#[tokio::test]
async fn an_unreachable_cluster_neither_blocks_the_start_nor_ends_the_session() {
    let started = Instant::now();
    let session = Session::over(ClusterSource::Snapshot("127.0.0.1:1".parse().unwrap()), None).await;
    for _ in 0..2 {
        let said = session.refusal("pods_list_in_namespace", json!({"namespace": "web"})).await;
        assert!(
            said.starts_with(
                "failed to list pods in namespace web: cannot reach the Kubernetes API at http://127.0.0.1:1: "
            ),
            "{said}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn calls_of_one_session_run_side_by_side() {
    let session = Session::scenario("20-hpa-at-max").await;
    let calls = (0..16).map(|_| session.call("pods_list_in_namespace", json!({"namespace": "pricing"})));
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(|said| !said.is_error && said.text == answers[0].text));
}

#[tokio::test]
async fn a_configuration_that_cannot_work_says_what_to_do() {
    let missing = ClusterSource::Kubeconfig { path: Some("/nonexistent/config".into()), context: None };
    let said = Toolset::connect(missing).await.err().unwrap().to_string();
    assert!(said.contains("/nonexistent/config") && said.contains("check the file"), "{said}");
    let said = Toolset::connect(ClusterSource::InCluster).await.err().unwrap().to_string();
    assert!(said.contains("run inside a Pod"), "{said}");
}

#[tokio::test]
async fn a_kubeconfig_leads_to_its_cluster() {
    let served = serve("30-healthy-flap").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    std::fs::write(&path, crate::kube::snapshot::kubeconfig(served.address)).unwrap();
    let toolset = Toolset::connect(ClusterSource::Kubeconfig { path: Some(path), context: None }).await.unwrap();
    assert_eq!(toolset.version().await.unwrap(), "v1.36.2");
}

#[tokio::test]
async fn an_encrypted_cluster_that_is_down_is_said_to_be_down() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    let config = crate::kube::snapshot::kubeconfig("127.0.0.1:1".parse().unwrap());
    std::fs::write(&path, config.replace("http://", "https://name:password@")).unwrap();
    let toolset = Toolset::connect(ClusterSource::Kubeconfig { path: Some(path), context: None }).await.unwrap();
    let said = toolset.version().await.unwrap_err().to_string();
    assert!(said.starts_with("cannot reach the Kubernetes API at https://127.0.0.1:1: "), "{said}");
    assert!(!said.contains("password"));
}

fn crowd(size: usize) -> tempfile::TempDir {
    let item = |number: usize| {
        let metadata = json!({
            "name": format!("c{number:05}"), "namespace": "web", "creationTimestamp": "2026-11-23T00:00:00Z",
        });
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    };
    let list = json!({"items": (0..size).map(item).collect::<Vec<_>>()});
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("objects.json"), list.to_string()).unwrap();
    directory
}

#[tokio::test]
async fn a_long_list_is_read_page_by_page_and_a_longer_one_says_that_it_is_cut() {
    let maps = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    for (size, shown, cut) in [(1200, 1200, false), (2300, 2000, true)] {
        let session = Session::directory(crowd(size).path()).await;
        let said = session.call("resources_list", maps.clone()).await;
        assert_eq!(said.structured["items"].as_array().unwrap().len(), shown);
        assert_eq!(said.text.lines().count(), 1 + shown + usize::from(cut));
        assert_eq!(said.text.contains("# Only the first 2000 are shown; narrow the list"), cut);
        assert!(said.text.contains("c00000") && said.text.contains(&format!("c{:05}", shown - 1)));
    }
}

#[tokio::test]
async fn whatever_a_server_answers_becomes_text() {
    use axum::http::StatusCode;
    use axum::routing::get;

    let pod = axum::Json(json!({"spec": {"containers": [{"name": "c"}]}}));
    let refused =
        (StatusCode::UNAUTHORIZED, axum::Json(json!({"kind": "Status", "code": 401, "message": "Unauthorized"})));
    let router = axum::Router::new()
        .route("/api/v1/namespaces/web/pods/p", get(|| async { pod }))
        .route("/api/v1/namespaces/web/pods/p/log", get(|| async { b"ok\n\xff\xfe broken\n".to_vec() }))
        .route("/api/v1/namespaces/web/events", get(|| async { refused }))
        .route("/api/v1/events", get(|| async { "<html>a login page</html>" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let session = Session::over(ClusterSource::Snapshot(address), None).await;
    let log = session.call("pods_log", json!({"namespace": "web", "name": "p"})).await;
    assert_eq!(log.text, "ok\n\u{fffd}\u{fffd} broken\n");
    let said = session.refusal("events_list", json!({"namespace": "web"})).await;
    assert!(said.ends_with("the server has asked for the client to provide credentials"), "{said}");
    let said = session.refusal("events_list", json!({})).await;
    assert!(said.contains("gave an answer that cannot be read"), "{said}");
    server.abort();
}
