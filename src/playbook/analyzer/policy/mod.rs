//! NetworkPolicies that block a path somebody needs: only ever blamed for a call that is seen to fail.

mod by_address;
mod dns;
mod outward;
mod words;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pods;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};
use crate::playbook::selector;
use crate::report::Confidence;

/// What nearly all calls are made over, and what a rule means that names no protocol.
pub(super) const TCP: &str = "TCP";

/// Findings about policies that explain a failing call.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let policies = scene.facts.all::<NetworkPolicy>();
    if policies.is_empty() {
        return Vec::new();
    }
    scene
        .pods
        .iter()
        .flat_map(|caller| reach::failing_calls(scene, &caller.object).into_iter().map(move |call| (caller, call)))
        .filter_map(|(caller, call)| blocked(scene, &policies, caller, &call))
        .collect()
}

/// Whether a policy explains why a call fails.
#[must_use]
pub fn shuts_out(scene: &Scene<'_>, caller: &Seen<Pod>, call: &Call<'_>) -> bool {
    let policies = scene.facts.all::<NetworkPolicy>();
    blocked(scene, &policies, caller, call).is_some()
}

/// Which way a policy looks at the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

fn blocked(
    scene: &Scene<'_>,
    policies: &[Seen<NetworkPolicy>],
    caller: &Seen<Pod>,
    call: &Call<'_>,
) -> Option<Finding> {
    if matches!(call.failure, Failure::ServerError | Failure::Awaited | Failure::Expired) {
        return None;
    }
    if call.failure == Failure::Unresolved {
        return reach::resolver_is_silent(call).then(|| dns::shut(scene, policies, caller, call))?;
    }
    let Some(service) = reach::service_of(scene, &caller.object, call) else {
        return by_address::shut_out(scene, policies, caller, call)
            .or_else(|| outward::shut_in(scene, policies, caller, call));
    };
    let backends = scene.backends(&service.object);
    let backend = backends.iter().find(|pod| pods::may_serve(&pod.object))?;
    let port = target_port(&service.object, &backend.object, reach::port_of(call));
    let (policy, way) = between(scene, policies, &caller.object, &backend.object, port)?;
    Some(finding(scene, policy, way, caller, call, &named(&service.object)))
}

/// The policy that keeps one Pod from another, on whichever side.
fn between<'p>(
    scene: &Scene<'_>,
    policies: &'p [Seen<NetworkPolicy>],
    caller: &Pod,
    backend: &Pod,
    port: Option<i32>,
) -> Option<(&'p Seen<NetworkPolicy>, Way)> {
    let inward = denying(scene, policies, Way::In, backend, caller, port).map(|policy| (policy, Way::In));
    inward.or_else(|| Some((denying(scene, policies, Way::Out, caller, backend, port)?, Way::Out)))
}

fn finding(
    scene: &Scene<'_>,
    policy: &Seen<NetworkPolicy>,
    way: Way,
    caller: &Seen<Pod>,
    call: &Call<'_>,
    service: &ObjectRef,
) -> Finding {
    let name = named(&policy.object);
    let workload = scene.workload(&caller.object);
    let allowed = allowed_in_words(&policy.object, way);
    let allowed = if allowed.is_empty() { scene.text("无", "nobody") } else { allowed };
    let headline = scene.text(
        format!("NetworkPolicy {} 阻断了 {workload} 到 {service} 的访问", name.name),
        format!("NetworkPolicy {} blocks {workload} from reaching {service}", name.name),
    );
    let summary = match way {
        Way::In => words::inward(scene, caller, call, (&name, &workload, &allowed)),
        Way::Out => words::outward(scene, call, (&name, &workload, &allowed), service),
    };
    let confidence = if call.failure == Failure::Timeout { Confidence::High } else { Confidence::Medium };
    let pairs = allowed.split(", ").next().unwrap_or_default().replace('=', ": ");
    Finding::new("network_policy_blocks_traffic", Depth::Root, &named(&caller.object), &name, headline)
        .summary(summary)
        .confidence(confidence)
        .cite([
            scene.quote(&call.log.reference, call.line),
            scene.quote_any(&policy.reference, &[&pairs, "policyTypes", &name.name]),
        ])
        .touches([workload.clone(), service.clone()])
        .related(
            service.clone(),
            scene.text("被访问的 Service", "the Service that is called"),
            crate::playbook::describe::state(scene, service).unwrap_or_default(),
        )
        .ruled_out(
            scene.text("被访问的 Service 没有可用后端", "a called Service without backends"),
            scene.text(format!("{service} 有 Ready 的 Pod"), format!("{service} has Ready Pods")),
        )
        .steps([
            look(
                scene.text("查看该 NetworkPolicy", "Read the policy"),
                kubectl(&name.namespace, &format!("describe networkpolicy {}", name.name)),
            ),
            words::labels_of(scene, way, &workload, service),
            change(
                words::remedy(scene, way, (&name, &workload, service)),
                scene.text("修改后确认日志中的超时消失", "Then see that the time-outs are gone from the log"),
                Some(kubectl(&name.namespace, &format!("edit networkpolicy {}", name.name))),
            ),
        ])
}

/// The policy that keeps `peer` from `pod`: policies add up, so only when none of those that apply allows it.
///
/// Of several, one with rules is named before one that denies everything: somebody meant to allow, and forgot.
pub(super) fn denying<'p>(
    scene: &Scene<'_>,
    policies: &'p [Seen<NetworkPolicy>],
    way: Way,
    pod: &Pod,
    peer: &Pod,
    port: Option<i32>,
) -> Option<&'p Seen<NetworkPolicy>> {
    denying_over(scene, policies, way, pod, peer, (port, TCP))
}

fn denying_over<'p>(
    scene: &Scene<'_>,
    policies: &'p [Seen<NetworkPolicy>],
    way: Way,
    pod: &Pod,
    peer: &Pod,
    port: Port,
) -> Option<&'p Seen<NetworkPolicy>> {
    let applying: Vec<&Seen<NetworkPolicy>> =
        policies.iter().filter(|policy| applies(&policy.object, way, pod)).collect();
    let backend = if way == Way::In { pod } else { peer };
    if applying.iter().any(|policy| allows(scene, &policy.object, way, peer, port, backend)) {
        return None;
    }
    // One that selects these very Pods was written for them.
    let selects = |policy: &NetworkPolicy| {
        let selector = policy.spec.as_ref().and_then(|spec| spec.pod_selector.as_ref());
        selector.is_some_and(|it| it.match_labels.is_some() || it.match_expressions.is_some())
    };
    applying.into_iter().max_by_key(|policy| (!peers(&policy.object, way).is_empty(), selects(&policy.object)))
}

/// Whether a Pod has its Node's network: what policies mean for it is left to the network plugin.
pub(super) fn on_host(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true))
}

pub(super) fn applies(policy: &NetworkPolicy, way: Way, pod: &Pod) -> bool {
    let Some(spec) = &policy.spec else { return false };
    let types = spec.policy_types.as_deref().unwrap_or(&[]);
    let looks = match way {
        Way::In => types.is_empty() || types.iter().any(|kind| kind == "Ingress"),
        Way::Out => types.iter().any(|kind| kind == "Egress") || (types.is_empty() && spec.egress.is_some()),
    };
    let selects =
        spec.pod_selector.as_ref().is_none_or(|wanted| selector::selects(wanted, pod.metadata.labels.as_ref()));
    looks && selects && policy.metadata.namespace == pod.metadata.namespace
}

/// The peers and ports of one rule; no peers at all means everybody.
pub(super) type Rule<'p> = (Option<&'p [NetworkPolicyPeer]>, Option<&'p [NetworkPolicyPort]>);

pub(super) fn peers(policy: &NetworkPolicy, way: Way) -> Vec<Rule<'_>> {
    let Some(spec) = &policy.spec else { return Vec::new() };
    match way {
        Way::In => spec.ingress.iter().flatten().map(|rule| (rule.from.as_deref(), rule.ports.as_deref())).collect(),
        Way::Out => spec.egress.iter().flatten().map(|rule| (rule.to.as_deref(), rule.ports.as_deref())).collect(),
    }
}

/// A port, where it is known, and its protocol.
pub(super) type Port = (Option<i32>, &'static str);

fn allows(scene: &Scene<'_>, policy: &NetworkPolicy, way: Way, peer: &Pod, port: Port, backend: &Pod) -> bool {
    peers(policy, way).into_iter().any(|(from, ports)| {
        let everybody = from.is_none_or(<[NetworkPolicyPeer]>::is_empty);
        let means = |rule: &NetworkPolicyPeer| means_pod(scene, policy, rule, peer);
        (everybody || from.into_iter().flatten().any(means)) && port_allowed(ports, port, backend)
    })
}

fn means_pod(scene: &Scene<'_>, policy: &NetworkPolicy, rule: &NetworkPolicyPeer, pod: &Pod) -> bool {
    if let Some(block) = &rule.ip_block {
        let meant = |address: &str| {
            in_block(&block.cidr, address) && !block.except.iter().flatten().any(|except| in_block(except, address))
        };
        return addresses(pod).any(meant);
    }
    let namespace = match &rule.namespace_selector {
        None => policy.metadata.namespace == pod.metadata.namespace,
        Some(wanted) => {
            let name = pod.metadata.namespace.clone().unwrap_or_default();
            let found = scene.facts.get::<Namespace>("", &name);
            // Labels nobody read may well be the ones that are asked for: no policy is blamed on that ground.
            if found.is_none() && !only_by_name(wanted) {
                return true;
            }
            let mut labels = found.and_then(|found| found.object.metadata.labels).unwrap_or_default();
            labels.insert("kubernetes.io/metadata.name".to_owned(), name);
            selector::selects(wanted, Some(&labels))
        }
    };
    let labels = pod.metadata.labels.as_ref();
    namespace && rule.pod_selector.as_ref().is_none_or(|wanted| selector::selects(wanted, labels))
}

/// Whether a selector asks for nothing but the label every Namespace has, its name.
pub(super) fn only_by_name(wanted: &LabelSelector) -> bool {
    let by_name = |key: &str| key == "kubernetes.io/metadata.name";
    wanted.match_labels.iter().flatten().all(|(key, _)| by_name(key))
        && wanted.match_expressions.iter().flatten().all(|rule| by_name(&rule.key))
}

/// All addresses of a Pod: two in a cluster of both families.
fn addresses(pod: &Pod) -> impl Iterator<Item = &str> {
    let status = pod.status.as_ref();
    let all = status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten().map(|one| one.ip.as_str());
    all.chain(status.and_then(|status| status.pod_ip.as_deref()))
}

/// Whether an address lies in a block such as `10.0.0.0/8` or `fd00::/8`; what is neither is taken as outside.
fn in_block(block: &str, address: &str) -> bool {
    let parsed = (block.parse::<ipnet::IpNet>(), address.parse::<std::net::IpAddr>());
    matches!(parsed, (Ok(block), Ok(address)) if block.contains(&address))
}

pub(super) fn port_allowed(ports: Option<&[NetworkPolicyPort]>, (port, protocol): Port, pod: &Pod) -> bool {
    let Some(ports) = ports.filter(|ports| !ports.is_empty()) else { return true };
    let mut spoken = ports.iter().filter(|rule| rule.protocol.as_deref().unwrap_or(TCP) == protocol);
    let Some(port) = port else { return spoken.next().is_some() };
    spoken.any(|rule| match &rule.port {
        None => true,
        Some(IntOrString::Int(first)) => (*first..=rule.end_port.unwrap_or(*first)).contains(&port),
        Some(IntOrString::String(name)) => named_port(pod, name) == Some(port),
    })
}

/// The port of a backend that a call comes to. Where a Service has several and the line names none, nobody can say.
pub(super) fn target_port(service: &Service, backend: &Pod, called: Option<i32>) -> Option<i32> {
    let ports = service.spec.as_ref()?.ports.as_deref()?;
    let port = match (ports, called) {
        ([only], _) => only,
        (several, called) => several.iter().find(|port| Some(port.port) == called)?,
    };
    match &port.target_port {
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => named_port(backend, name),
        None => Some(port.port),
    }
}

fn named_port(pod: &Pod, name: &str) -> Option<i32> {
    let views = pods::containers(pod);
    let mut ports = views.iter().flat_map(|view| view.spec.ports.iter().flatten());
    ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
}

pub(super) fn allowed_in_words(policy: &NetworkPolicy, way: Way) -> String {
    let mut words: Vec<String> = Vec::new();
    for peer in peers(policy, way).into_iter().flat_map(|(from, _)| from.unwrap_or(&[])) {
        let pairs = [&peer.pod_selector, &peer.namespace_selector].into_iter().flatten();
        words.extend(
            pairs.flat_map(|wanted| wanted.match_labels.iter().flatten()).map(|(key, value)| format!("{key}={value}")),
        );
        words.extend(peer.ip_block.as_ref().map(|block| block.cidr.clone()));
    }
    words.dedup();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, patched, pod, service};

    fn policy(ingress: serde_json::Value) -> serde_json::Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "guard", "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": ingress}})
    }

    fn caller() -> serde_json::Value {
        pod(
            json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}}),
        )
    }

    #[test]
    fn of_several_ports_the_one_that_is_called_counts() {
        let two = patched(
            service(json!({"app": "web"})),
            json!({"spec": {"ports": [{"name": "metrics", "port": 9090, "targetPort": 9090}, {"name": "http", "port": 80, "targetPort": 8080}]}}),
        );
        let only = |port: i32| policy(json!([{"ports": [{"port": port}]}]));
        let world = |log: &str, port: i32| {
            World::asking("Pod", "cart-1-a")
                .with(caller())
                .with(pod(json!({"spec": {"containers": [
                    {"name": "web", "image": "reg/web:1", "ports": [{"containerPort": 8080}, {"containerPort": 9090}]}]}})))
                .with(two.clone())
                .with(only(port))
                .log("cart-1-a", log)
        };
        let blocked = world("ERROR Get http://web:80/: i/o timeout", 9090);
        assert_eq!(blocked.cause(), "network_policy_blocks_traffic NetworkPolicy/guard");
        let open = world("ERROR Get http://web:80/: i/o timeout", 8080);
        assert!(!open.codes().contains(&"network_policy_blocks_traffic"));
        let unknown = world("ERROR Get http://web/: i/o timeout", 9090);
        assert!(!unknown.codes().contains(&"network_policy_blocks_traffic"), "the line names no port");
    }

    fn calling(log: &str) -> World {
        World::asking("Pod", "cart-1-a")
            .with(caller())
            .with(pod(json!({})))
            .with(service(json!({"app": "web"})))
            .log("cart-1-a", log)
    }

    const TIMEOUT: &str = "ERROR GET http://web/api: dial tcp 10.96.0.7:80: i/o timeout";

    #[test]
    fn a_policy_that_leaves_out_the_caller_is_blamed() {
        let only_front = json!([{"from": [{"podSelector": {"matchLabels": {"role": "front"}}}]}]);
        let world = calling(TIMEOUT).with(policy(only_front));
        assert_eq!(world.cause(), "network_policy_blocks_traffic NetworkPolicy/guard");
        assert!(world.diagnosis().causes[0].summary.contains("role=front"));
    }

    #[test]
    fn a_policy_that_allows_the_caller_is_not() {
        let allows = json!([{"from": [{"podSelector": {"matchLabels": {"app": "cart"}}}], "ports": [{"port": 8080}]}]);
        let world = calling(TIMEOUT).with(policy(allows));
        assert_eq!(world.cause(), "dependency_unreachable Service/web");
        let wrong_port =
            json!([{"from": [{"podSelector": {"matchLabels": {"app": "cart"}}}], "ports": [{"port": 9090}]}]);
        assert!(calling(TIMEOUT).with(policy(wrong_port)).cause().starts_with("network_policy_blocks_traffic"));
    }

    #[test]
    fn policies_add_up_and_namespaces_are_told_by_their_labels() {
        let from_namespace =
            json!([{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}]}]);
        let second = patched(policy(from_namespace), json!({"metadata": {"name": "open"}}));
        let world = calling(TIMEOUT).with(policy(json!([]))).with(second);
        assert!(!world.cause().starts_with("network_policy"));
    }

    #[test]
    fn a_namespaces_labels_that_were_not_read_put_no_blame_on_a_policy() {
        let by_team = json!([{"from": [{"namespaceSelector": {"matchLabels": {"team": "shop"}}}]}]);
        assert!(!calling(TIMEOUT).with(policy(by_team.clone())).cause().starts_with("network_policy"));
        let namespace = |team: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": team}}});
        let other = calling(TIMEOUT).with(policy(by_team.clone())).with(namespace("cart"));
        assert_eq!(other.cause(), "network_policy_blocks_traffic NetworkPolicy/guard");
        assert!(!calling(TIMEOUT).with(policy(by_team)).with(namespace("shop")).cause().starts_with("network_policy"));
    }

    #[test]
    fn addresses_lie_in_blocks() {
        assert!(super::in_block("10.244.0.0/16", "10.244.1.5"));
        assert!(!super::in_block("10.245.0.0/16", "10.244.1.5"));
        assert!(super::in_block("0.0.0.0/0", "10.244.1.5"));
        assert!(super::in_block("fd00:10:244::/56", "fd00:10:244:1::5") && !super::in_block("::/0", "10.244.1.5"));
    }

    #[test]
    fn a_default_deny_without_a_failing_call_stays_quiet() {
        let world =
            World::asking("Deployment", "web").with(deployment(1, 1)).with(pod(json!({}))).with(policy(json!([])));
        world.is_calm();
    }
}
