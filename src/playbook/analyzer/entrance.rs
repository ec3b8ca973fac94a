//! The way in: NetworkPolicies that keep the ingress controller from the Pods behind an Ingress.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};

use super::ingress;
use super::policy::{self, Way};
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// What the workloads of the usual ingress controllers are called.
const CONTROLLERS: [&str; 7] =
    ["ingress-nginx", "nginx-ingress", "traefik", "haproxy-ingress", "ingress-haproxy", "kong", "contour-envoy"];

/// Whether a workload's name is that of an ingress controller.
#[must_use]
pub fn is_controller(name: &str) -> bool {
    let is_end = |rest: Option<char>| rest.is_none_or(|next| next == '-');
    CONTROLLERS.iter().any(|known| {
        name.match_indices(known)
            .any(|(at, _)| is_end(name[..at].chars().next_back()) && is_end(name[at + known.len()..].chars().next()))
    })
}

/// Findings about Ingresses whose controller may not reach their Pods.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let policies = scene.facts.all::<NetworkPolicy>();
    let serves = |pod: &&Seen<Pod>| is_controller(&scene.workload(&pod.object).name) && pods::is_ready(&pod.object);
    let controllers: Vec<&Seen<Pod>> = scene.pods.iter().filter(serves).collect();
    // What policies mean for the network of a Node is left open by Kubernetes.
    let on_host = controllers.iter().any(|pod| policy::on_host(&pod.object));
    if policies.is_empty() || on_host {
        return Vec::new();
    }
    let ingresses = scene.facts.all::<Ingress>();
    ingresses.iter().filter_map(|ingress| shut(scene, &policies, ingress, &controllers)).collect()
}

fn shut(
    scene: &Scene<'_>,
    policies: &[Seen<NetworkPolicy>],
    ingress: &Seen<Ingress>,
    controllers: &[&Seen<Pod>],
) -> Option<Finding> {
    let name = named(&ingress.object);
    let (service, backend) = ingress::services(&ingress.object).into_iter().find_map(|service| {
        let found = scene.service(&service.namespace, &service.name)?;
        let backend = scene.backends(&found.object).into_iter().find(|pod| pods::is_ready(&pod.object))?;
        Some((found, backend))
    })?;
    let port = policy::target_port(&service.object, &backend.object, None);
    if policy::on_host(&backend.object) {
        return None;
    }
    // Which of several controllers serves it nothing says: all of them have to be kept out.
    let denied =
        |controller: &Seen<Pod>| policy::denying(scene, policies, Way::In, &backend.object, &controller.object, port);
    let controller = controllers.first()?;
    let denying = denied(controller)?;
    if !controllers.iter().all(|controller| denied(controller).is_some()) {
        return None;
    }
    let (denies, from) = (named(&denying.object), named(&controller.object).namespace);
    let allowed = policy::allowed_in_words(&denying.object, Way::In);
    let allowed = if allowed.is_empty() { scene.text("无", "nobody") } else { allowed };
    let headline = scene.text(
        format!("NetworkPolicy {} 阻断了 ingress controller（Namespace {from}）到 {name} 后端的访问：它只放行 {allowed}", denies.name),
        format!("NetworkPolicy {} keeps the ingress controller (in Namespace {from}) from what is behind {name}: it lets in {allowed}", denies.name),
    );
    Some(
        Finding::new("network_policy_blocks_ingress", Depth::Root, &name, &denies, headline)
            .confidence(Confidence::Medium)
            .cite([
                scene.quote_any(&denying.reference, &["namespaceSelector:", "podSelector:", &denies.name]),
                scene.quote_any(&controller.reference, &[&format!("namespace: {from}")]),
            ])
            .touches([named(&service.object), scene.workload(&backend.object)])
            .ruled_out(
                scene.text("后端没有就绪的 Pod", "a backend without ready Pods"),
                scene.text(
                    format!("{} 有 Ready 的 Pod", named(&service.object)),
                    format!("{} has Ready Pods", named(&service.object)),
                ),
            )
            .steps([
                look(
                    scene.text("查看该 NetworkPolicy", "Read the policy"),
                    kubectl(&denies.namespace, &format!("describe networkpolicy {}", denies.name)),
                ),
                look(
                    scene.text("查看 ingress controller 的日志", "Read the ingress controller's log"),
                    kubectl(&from, &format!("logs {} --tail=50", named(&controller.object).name)),
                ),
                change(
                    scene.text(
                        format!("在 {} 中放行 Namespace {from}", denies.name),
                        format!("Let Namespace {from} in by {}", denies.name),
                    ),
                    "",
                    Some(kubectl(&denies.namespace, &format!("edit networkpolicy {}", denies.name))),
                ),
            ]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, deployment, pod, service};

    fn policy(peers: Value) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "web-in", "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": [{"from": peers}]}})
    }

    fn behind(policy: Option<Value>) -> World {
        let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": "a.example.com", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}});
        let controller = json!({"metadata": {"name": "ingress-nginx-controller-1-a", "namespace": "edge", "labels": {}, "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "ingress-nginx-controller", "uid": "c", "controller": true}]}});
        let world = World::asking("Ingress", "web")
            .with(ingress)
            .with(service(json!({"app": "web"})))
            .with(deployment(1, 1))
            .with(pod(json!({})))
            .with(pod(controller));
        match policy {
            Some(policy) => world.with(policy),
            None => world,
        }
    }

    fn namespace(name: &str) -> Value {
        json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}])
    }

    #[test]
    fn a_policy_that_lets_in_where_the_controller_was_before_is_blamed() {
        let world = behind(Some(policy(namespace("ingress-nginx"))));
        assert_eq!(world.cause(), "network_policy_blocks_ingress NetworkPolicy/web-in");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("Namespace edge") && headline.contains("ingress-nginx"), "{headline}");
    }

    #[test]
    fn a_policy_that_lets_the_controller_in_or_none_at_all_is_no_obstacle() {
        behind(Some(policy(namespace("edge")))).is_calm();
        behind(Some(policy(json!([])))).is_calm();
        behind(None).is_calm();
    }

    #[test]
    fn a_name_is_a_controllers_only_as_a_whole() {
        assert!(super::is_controller("ingress-nginx-controller") && super::is_controller("edge-traefik"));
        assert!(!super::is_controller("hongkong-web") && !super::is_controller("mytraefikish"));
    }

    #[test]
    fn a_namespace_whose_labels_nobody_read_may_be_the_one_that_is_let_in() {
        behind(Some(policy(json!([{"namespaceSelector": {"matchLabels": {"role": "ingress"}}}])))).is_calm();
    }
}
