//! The snapshot server seen through the real `kube` client.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::kube::api::{Api, ListParams, LogParams, PostParams};
use ::kube::core::DynamicObject;
use ::kube::{Client, Config, Discovery};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod, Secret};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Snapshot;

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name)
}

/// A served scenario; dropping it stops the server.
pub(crate) struct Served {
    pub address: SocketAddr,
    _stop: DropGuard,
}

pub(crate) async fn serve_directory(directory: &Path) -> Served {
    let snapshot = Arc::new(Snapshot::load(directory).unwrap());
    let stop = CancellationToken::new();
    let address = snapshot.spawn(stop.clone()).await.unwrap();
    Served { address, _stop: stop.drop_guard() }
}

pub(crate) async fn serve(name: &str) -> Served {
    serve_directory(&scenario(name)).await
}

fn client(served: &Served) -> Client {
    Client::try_from(Config::new(format!("http://{}", served.address).parse().unwrap())).unwrap()
}

fn said(error: ::kube::Error) -> (u16, String) {
    match error {
        ::kube::Error::Api(status) => (status.code, status.message),
        other => panic!("not a Status: {other}"),
    }
}

#[tokio::test]
async fn typed_clients_read_objects_and_select_them() {
    let served = serve("02-crashloop-app-error").await;
    let client = client(&served);
    let pods: Api<Pod> = Api::namespaced(client.clone(), "payments");
    let list =
        pods.list(&ListParams::default().labels("app=checkout-api").fields("spec.nodeName=worker-1")).await.unwrap();
    assert_eq!(list.items.len(), 1);
    assert!(pods.list(&ListParams::default().labels("app!=checkout-api")).await.unwrap().items.is_empty());
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "payments");
    let deployment = deployments.get("checkout-api").await.unwrap();
    assert_eq!(deployment.metadata.name.as_deref(), Some("checkout-api"));
    assert_eq!(Api::<Node>::all(client.clone()).list(&ListParams::default()).await.unwrap().items.len(), 5);
    let events: Api<Event> = Api::all(client.clone());
    let about = "involvedObject.kind=Pod,type=Warning,involvedObject.name=checkout-api-5458d84d84-r2hw5";
    let events = events.list(&ListParams::default().fields(about)).await.unwrap();
    assert!(events.items.iter().all(|event| event.type_.as_deref() == Some("Warning")) && !events.items.is_empty());
    assert!(Api::<Namespace>::all(client).get("payments").await.is_ok());
}

#[tokio::test]
async fn every_group_is_discovered_even_when_it_is_empty() {
    let served = serve("30-healthy-flap").await;
    let client = client(&served);
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let groups: Vec<&str> = discovery.groups().map(|group| group.name()).collect();
    assert!(groups.contains(&"storage.k8s.io") && groups.contains(&"resource.k8s.io"), "{groups:?}");
    let ingress = ::kube::core::GroupVersionKind::gvk("networking.k8s.io", "v1", "Ingress");
    let (resource, _) = discovery.resolve_gvk(&ingress).unwrap();
    let ingresses: Api<DynamicObject> = Api::all_with(client, &resource);
    assert!(ingresses.list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn refusals_read_as_the_api_servers() {
    let served = serve("02-crashloop-app-error").await;
    let client = client(&served);
    let pods: Api<Pod> = Api::namespaced(client.clone(), "payments");
    assert_eq!(said(pods.get("x").await.unwrap_err()), (404, "pods \"x\" not found".to_owned()));
    let selector = ListParams::default().fields("spec.foo=x");
    assert_eq!(said(pods.list(&selector).await.unwrap_err()), (400, "field label not supported: spec.foo".to_owned()));
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "payments");
    let (code, message) = said(secrets.list(&ListParams::default()).await.unwrap_err());
    assert_eq!(code, 403);
    assert!(message.ends_with("cannot list resource \"secrets\" in API group \"\" in the namespace \"payments\""));
    let deployments: Api<Deployment> = Api::namespaced(client, "payments");
    let (code, message) = said(deployments.delete("checkout-api", &Default::default()).await.unwrap_err());
    assert_eq!(code, 403);
    assert!(message.contains("cannot delete resource \"deployments\""), "{message}");
    assert!(deployments.get("checkout-api").await.is_ok(), "nothing was deleted");
}

#[tokio::test]
async fn logs_come_from_their_files_and_refusals_from_theirs() {
    let served = serve("02-crashloop-app-error").await;
    let pods: Api<Pod> = Api::namespaced(client(&served), "payments");
    let pod = "checkout-api-5458d84d84-r2hw5";
    let log = pods.logs(pod, &LogParams { tail_lines: Some(1), ..LogParams::default() }).await.unwrap();
    assert!(log.ends_with("FATAL startup aborted: invalid configuration (1 error)\n"), "{log}");
    assert_eq!(log.lines().count(), 1);
    let previous = pods.logs(pod, &LogParams { previous: true, ..LogParams::default() }).await.unwrap();
    assert!(previous.contains("PAYMENT_GATEWAY_URL"), "{previous}");
    let wrong = LogParams { container: Some("nope".into()), ..LogParams::default() };
    let refused = said(pods.logs(pod, &wrong).await.unwrap_err());
    assert_eq!(refused, (400, format!("container nope is not valid for pod {pod}")));

    let served = serve("04-imagepull-bad-tag").await;
    let pods: Api<Pod> = Api::namespaced(client(&served), "web");
    let (code, message) = said(pods.logs("storefront-78bb7ddb9-wfmnn", &LogParams::default()).await.unwrap_err());
    assert_eq!(code, 400);
    assert!(message.ends_with("is waiting to start: trying and failing to pull image"), "{message}");
}

#[tokio::test]
async fn the_identity_may_read_everything_but_secrets() {
    let served = serve("30-healthy-flap").await;
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client(&served));
    for (verb, resource, allowed) in [("list", "pods", true), ("list", "secrets", false), ("delete", "pods", false)] {
        let asked = ResourceAttributes {
            verb: Some(verb.to_owned()),
            resource: Some(resource.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(asked), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
        assert_eq!(answer.status.unwrap().allowed, allowed, "{verb} {resource}");
    }
}

#[tokio::test]
async fn scenarios_load_and_their_pods_can_be_read() {
    // `firstlook eval` loads them all.
    for entry in std::fs::read_dir(scenario("")).unwrap().step_by(6) {
        let directory = entry.unwrap().path();
        let served = serve_directory(&directory).await;
        let pods: Api<Pod> = Api::all(client(&served));
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            let namespaced: Api<Pod> = Api::namespaced(client(&served), pod.metadata.namespace.as_deref().unwrap());
            let name = pod.metadata.name.as_deref().unwrap();
            assert_eq!(namespaced.get(name).await.unwrap().metadata.uid, pod.metadata.uid, "{}", directory.display());
        }
    }
}

#[tokio::test]
async fn events_are_served_in_both_of_their_groups() {
    let served = serve("02-crashloop-app-error").await;
    let kind = ::kube::core::GroupVersionKind::gvk("events.k8s.io", "v1", "Event");
    let resource = ::kube::core::ApiResource::from_gvk(&kind);
    let events: Api<DynamicObject> = Api::namespaced_with(client(&served), "payments", &resource);
    let events = events.list(&ListParams::default().fields("type=Warning")).await.unwrap();
    let event = &events.items[0].data;
    assert!(event["note"].as_str().unwrap().starts_with("Back-off restarting failed container"), "{event}");
    assert_eq!(event["regarding"]["kind"], "Pod");
    assert!(event.get("involvedObject").is_none());
}

#[tokio::test]
async fn an_open_watch_does_not_keep_the_server_from_ending() {
    crate::trust::cryptography();
    let snapshot = Arc::new(Snapshot::load(scenario("30-healthy-flap")).unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/pods?watch=true", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let server = tokio::spawn(snapshot.serve(listener, stop.clone()));
    let mut watch = reqwest::Client::builder().build().unwrap().get(url).send().await.unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(50), watch.chunk()).await;
    assert!(silent.is_err(), "nothing ever happens in a snapshot");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap().unwrap();
    assert_eq!(watch.chunk().await.unwrap(), None);
}
