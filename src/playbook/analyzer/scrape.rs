//! Targets that Prometheus cannot scrape though they are well: a NetworkPolicy keeps its Namespace out.

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::policy::{TCP, Way, applies, only_by_name, peers, port_allowed};
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::playbook::selector;
use crate::report::Confidence;

/// Findings about Services that are asked about because Prometheus does not reach them.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let Some(from) = scene.question.scraped_from.as_deref() else { return Vec::new() };
    let policies = scene.facts.all::<NetworkPolicy>();
    let asked = scene.services.iter().filter(|service| scene.question.targets.contains(&named(&service.object)));
    asked.filter_map(|service| kept_out(scene, &policies, service, from)).collect()
}

/// Whether nobody can say that Prometheus is let in: not all policies of the target's Namespace were read.
#[must_use]
pub fn is_undecided(scene: &Scene<'_>) -> bool {
    let unread = |target: &ObjectRef| {
        let names = scene.facts.names().into_iter();
        let mut policies = names.filter(|it| it.kind == "NetworkPolicy" && it.namespace == target.namespace);
        scene.facts.listing("NetworkPolicy", &target.namespace).is_none()
            || policies.any(|policy| scene.facts.raw(&policy).is_none())
    };
    scene.question.scraped_from.is_some() && scene.question.targets.iter().filter(|it| it.kind == "Service").any(unread)
}

fn kept_out(
    scene: &Scene<'_>,
    policies: &[Seen<NetworkPolicy>],
    service: &Seen<Service>,
    from: &str,
) -> Option<Finding> {
    let backend = scene.backends(&service.object).into_iter().find(|pod| pods::is_ready(&pod.object))?;
    let applying: Vec<&Seen<NetworkPolicy>> =
        policies.iter().filter(|policy| applies(&policy.object, Way::In, &backend.object)).collect();
    let ports = metrics_ports(&service.object, &backend.object);
    let lets_in = |policy: &&Seen<NetworkPolicy>| {
        let open = |port: &Option<i32>| may_enter(scene, &policy.object, from, *port, &backend.object);
        if ports.is_empty() { open(&None) } else { ports.iter().any(|port| open(&Some(*port))) }
    };
    if applying.iter().any(lets_in) {
        return None;
    }
    let policy = applying.into_iter().max_by_key(|policy| !peers(&policy.object, Way::In).is_empty())?;
    Some(finding(scene, policy, &named(&service.object), from, &ports))
}

/// The ports that are scraped: those named after metrics, else all the Service has, as the Pod listens on them.
fn metrics_ports(service: &Service, backend: &Pod) -> Vec<i32> {
    let all = || service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let named = all().filter(|port| port.name.as_deref().is_some_and(|name| name.contains("metrics")));
    let chosen: Vec<_> = named.collect();
    let chosen = if chosen.is_empty() { all().collect() } else { chosen };
    let views = pods::containers(backend);
    let of_name = |name: &str| {
        let mut ports = views.iter().flat_map(|view| view.spec.ports.iter().flatten());
        ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
    };
    let target = |port: &k8s_openapi::api::core::v1::ServicePort| match &port.target_port {
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => of_name(name),
        None => Some(port.port),
    };
    chosen.into_iter().filter_map(target).collect()
}

/// Whether a policy may let in some Pod of a Namespace whose Pods' labels nobody read: only what surely does not is held
/// against it.
fn may_enter(scene: &Scene<'_>, policy: &NetworkPolicy, from: &str, port: Option<i32>, backend: &Pod) -> bool {
    peers(policy, Way::In).into_iter().any(|(peers, ports)| {
        let everybody = peers.is_none_or(<[NetworkPolicyPeer]>::is_empty);
        (everybody || peers.into_iter().flatten().any(|peer| may_mean(scene, policy, peer, from)))
            && port_allowed(ports, (port, TCP), backend)
    })
}

fn may_mean(scene: &Scene<'_>, policy: &NetworkPolicy, peer: &NetworkPolicyPeer, from: &str) -> bool {
    let Some(wanted) = &peer.namespace_selector else {
        return peer.ip_block.is_some() || policy.metadata.namespace.as_deref() == Some(from);
    };
    let found = scene.facts.get::<Namespace>("", from);
    if found.is_none() && !only_by_name(wanted) {
        return true;
    }
    let mut labels = found.and_then(|found| found.object.metadata.labels).unwrap_or_default();
    labels.insert("kubernetes.io/metadata.name".to_owned(), from.to_owned());
    selector::selects(wanted, Some(&labels))
}

fn finding(scene: &Scene<'_>, policy: &Seen<NetworkPolicy>, service: &ObjectRef, from: &str, ports: &[i32]) -> Finding {
    let name = named(&policy.object);
    let ports = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let headline = scene.text(
        format!("NetworkPolicy {} 未放行来自 Namespace {from} 的抓取：Prometheus 连不上 {service}（端口 {ports}），而它的 Pod 是 Ready 的", name.name),
        format!("NetworkPolicy {} lets nothing of Namespace {from} in, so Prometheus cannot scrape {service} (port {ports}) although its Pods are Ready", name.name),
    );
    Finding::new("network_policy_blocks_scrape", Depth::Root, service, &name, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote_any(&policy.reference, &["policyTypes", &name.name])])
        .unresolved(scene.text(
            format!("Prometheus 是否确实运行在 Namespace {from}？"),
            format!("Does Prometheus really run in Namespace {from}?"),
        ))
        .steps([
            look(
                scene.text("查看该 NetworkPolicy", "Read the policy"),
                kubectl(&name.namespace, &format!("describe networkpolicy {}", name.name)),
            ),
            change(
                scene.text(
                    format!("在 ingress 中放行 namespaceSelector kubernetes.io/metadata.name={from} 到端口 {ports}"),
                    format!(
                        "Allow namespaceSelector kubernetes.io/metadata.name={from} to port {ports} in its ingress"
                    ),
                ),
                "",
                Some(kubectl(&name.namespace, &format!("edit networkpolicy {}", name.name))),
            ),
        ])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, deployment, pod, service};
    use crate::report::Verdict;

    fn guarded(from: Value) -> World {
        let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "guard", "namespace": "shop"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": from}});
        World::asking("Service", "web")
            .scraped_from("monitoring")
            .with(service(json!({"app": "web"})))
            .with(deployment(1, 1))
            .with(pod(json!({})))
            .with(policy)
            .listed("NetworkPolicy")
    }

    #[test]
    fn a_target_that_is_down_is_not_well_while_its_policies_are_unread() {
        let world = World::asking("Service", "web").with(service(json!({"app": "web"}))).with(deployment(1, 1));
        let world = world.with(pod(json!({}))).scraped_from("monitoring");
        assert_eq!(world.diagnosis().verdict, Verdict::Inconclusive);
        world.listed("NetworkPolicy").is_calm();
    }

    #[test]
    fn a_policy_without_the_scrapers_namespace_explains_a_target_that_is_down() {
        let world = guarded(json!([{"from": [{"podSelector": {}}]}]));
        assert_eq!(world.cause(), "network_policy_blocks_scrape NetworkPolicy/guard");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("monitoring") && headline.contains("8080"), "{headline}");
    }

    #[test]
    fn a_policy_that_lets_the_scraper_in_stays_quiet() {
        let by_name =
            json!([{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]}]);
        guarded(by_name).is_calm();
        guarded(json!([{"ports": [{"port": 8080}]}])).is_calm();
    }

    #[test]
    fn what_may_let_it_in_is_not_blamed() {
        guarded(json!([{"from": [{"namespaceSelector": {"matchLabels": {"team": "sre"}}}]}])).is_calm();
        guarded(json!([{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}])).is_calm();
    }

    #[test]
    fn another_port_alone_is_not_enough() {
        let other = json!([{"ports": [{"port": 9999}]}]);
        assert_eq!(guarded(other).cause(), "network_policy_blocks_scrape NetworkPolicy/guard");
    }
}
