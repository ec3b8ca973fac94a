//! Calls out of the cluster that no egress policy lets out.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer};

use super::{Rule, TCP, Way, applies, in_block, peers, port_allowed};
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Ends of names of two labels that are public ones.
const PUBLIC: [&str; 6] = ["com", "net", "org", "io", "cn", "dev"];
/// Ends of names that mean something inside the cluster.
const INSIDE: [&str; 3] = ["svc", "local", "cluster"];

/// A place outside the cluster.
struct Place<'c> {
    host: &'c str,
    address: Option<IpAddr>,
    port: Option<i32>,
}

/// The policy whose rules name no way to where a call that timed out was meant to go.
pub(super) fn shut_in(
    scene: &Scene<'_>,
    policies: &[Seen<NetworkPolicy>],
    caller: &Seen<Pod>,
    call: &Call<'_>,
) -> Option<Finding> {
    let place = place(scene, call).filter(|_| call.failure == Failure::Timeout)?;
    let applying: Vec<&Seen<NetworkPolicy>> =
        policies.iter().filter(|policy| applies(&policy.object, Way::Out, &caller.object)).collect();
    let opens = |policy: &NetworkPolicy| peers(policy, Way::Out).iter().any(|rule| opens(rule, &place));
    if applying.iter().any(|policy| opens(&policy.object)) {
        return None;
    }
    // Of several, one that opens something was meant to open this too.
    let policy = applying.into_iter().max_by_key(|policy| !peers(&policy.object, Way::Out).is_empty())?;
    Some(finding(scene, policy, caller, call, &place))
}

/// Where a call was meant to go, when that can only be outside: an address of the Internet, or a name that is none of the
/// cluster's.
fn place<'c>(scene: &Scene<'_>, call: &'c Call<'_>) -> Option<Place<'c>> {
    let address = call.hosts.iter().find_map(|host| host.parse().ok());
    let name = call.hosts.iter().find(|host| host.parse::<IpAddr>().is_err());
    let port = reach::port_of(call).or_else(|| scheme_port(call.line));
    match (name, address) {
        (Some(name), address) if is_outside(scene, name) => {
            Some(Place { host: name, address: address.filter(is_public), port })
        }
        (None, Some(address)) if is_public(&address) => {
            Some(Place { host: call.hosts.first()?, address: Some(address), port })
        }
        _ => None,
    }
}

fn scheme_port(line: &str) -> Option<i32> {
    let has = |scheme: &str| line.contains(scheme);
    if has("https://") { Some(443) } else { has("http://").then_some(80) }
}

fn is_outside(scene: &Scene<'_>, host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let Some(last) = labels.last() else { return false };
    let is_namespace = || scene.facts.names().iter().any(|known| known.namespace == **last);
    let ends = !INSIDE.iter().any(|word| labels.contains(word)) && !is_namespace();
    ends && (labels.len() > 2 || (labels.len() == 2 && PUBLIC.contains(last)))
}

/// Whether an address can be nobody's inside: what is private may be a Service's, a Pod's or a Node's.
fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => {
            let shared = it.octets()[0] == 100 && (64..128).contains(&it.octets()[1]);
            !(it.is_private() || it.is_loopback() || it.is_link_local() || it.is_unspecified() || shared)
        }
        IpAddr::V6(it) => (it.segments()[0] & 0xe000) == 0x2000,
    }
}

fn opens((to, ports): &Rule<'_>, place: &Place<'_>) -> bool {
    let means = |peer: &NetworkPolicyPeer| {
        let Some(block) = &peer.ip_block else { return false };
        // Where a name leads nobody can say: any block may be meant for it.
        let Some(address) = place.address.map(|address| address.to_string()) else { return true };
        in_block(&block.cidr, &address) && !block.except.iter().flatten().any(|except| in_block(except, &address))
    };
    let open = to.is_none_or(|peers| peers.is_empty() || peers.iter().any(means));
    open && port_allowed(*ports, (place.port, TCP), &Pod::default())
}

fn finding(
    scene: &Scene<'_>,
    policy: &Seen<NetworkPolicy>,
    caller: &Seen<Pod>,
    call: &Call<'_>,
    place: &Place<'_>,
) -> Finding {
    let (name, workload) = (named(&policy.object), scene.workload(&caller.object));
    let port = place.port.map(|port| format!(":{port}")).unwrap_or_default();
    let there = format!("{}{port}", place.host);
    let headline = scene.text(
        format!("NetworkPolicy {} 的 egress 规则没有放行集群外的 {there}，{workload} 的访问超时", name.name),
        format!("NetworkPolicy {} lets {workload} not out to {there}, which lies outside the cluster", name.name),
    );
    let said = logs::said(call.line);
    let summary = scene.text(
        format!("{headline}；日志：{said}。"),
        format!("{headline}: none of its egress rules covers that; its log: {said}."),
    );
    let confidence = if place.address.is_some() { Confidence::High } else { Confidence::Medium };
    Finding::new("network_policy_blocks_traffic", Depth::Root, &named(&caller.object), &name, headline)
        .summary(summary)
        .confidence(confidence)
        .cite([
            scene.quote(&call.log.reference, call.line),
            scene.quote_any(&policy.reference, &["- Egress", &name.name]),
        ])
        .touches([workload.clone()])
        .steps(steps(scene, &name, &there, &workload))
}

fn steps(scene: &Scene<'_>, policy: &ObjectRef, there: &str, workload: &ObjectRef) -> [crate::report::Step; 2] {
    [
        look(
            scene.text("查看该 NetworkPolicy", "Read the policy"),
            kubectl(&policy.namespace, &format!("describe networkpolicy {}", policy.name)),
        ),
        change(
            scene.text(
                format!("在 {} 的 egress 中用 ipBlock 放行 {workload} 到 {there}", policy.name),
                format!("Let {workload} out to {there} by an ipBlock in {}", policy.name),
            ),
            scene.text("修改后确认日志中的超时消失", "Then see that the time-outs are gone from the log"),
            Some(kubectl(&policy.namespace, &format!("edit networkpolicy {}", policy.name))),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, pod};

    fn calling(line: &str, rules: Value) -> World {
        let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "out", "namespace": "shop"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": rules}});
        World::asking("Pod", "web-1-a").with(pod(json!({}))).with(policy).log("web-1-a", line)
    }

    const BLOCKS: &str = "network_policy_blocks_traffic";
    const ADDRESS: &str = "ERROR Post \"https://api.bank.example.com/pay\": dial tcp 203.0.113.9:443: i/o timeout";
    const NAME: &str = "ERROR Post \"https://api.bank.example.com/pay\": context deadline exceeded";

    fn blocked(line: &str, rules: Value) -> bool {
        calling(line, rules).codes().contains(&BLOCKS)
    }

    fn to_block(block: &str, port: i32) -> Value {
        json!([{"to": [{"ipBlock": {"cidr": block}}], "ports": [{"port": port}]}])
    }

    #[test]
    fn a_call_out_of_the_cluster_that_no_rule_covers_is_the_policys_fault() {
        assert_eq!(
            calling(ADDRESS, json!([{"to": [{"namespaceSelector": {}}]}])).cause(),
            format!("{BLOCKS} NetworkPolicy/out")
        );
        assert!(blocked(ADDRESS, to_block("198.51.100.0/24", 443)) && blocked(ADDRESS, to_block("0.0.0.0/0", 80)));
        assert!(blocked(NAME, json!([{"to": [{"podSelector": {}}]}])), "a name alone, and only Pods are let out to");
        let except = json!([{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["203.0.113.0/24"]}}]}]);
        assert!(blocked(ADDRESS, except));
    }

    #[test]
    fn a_call_that_some_rule_covers_is_not() {
        for rules in [
            json!([{}]),
            to_block("0.0.0.0/0", 443),
            to_block("203.0.113.0/24", 443),
            json!([{"ports": [{"port": 443}]}]),
        ] {
            assert!(!blocked(ADDRESS, rules.clone()) && !blocked(NAME, rules.clone()), "{rules}");
        }
        assert!(!blocked(NAME, to_block("198.51.100.0/24", 443)), "it may lie there");
    }

    #[test]
    fn what_may_lie_inside_or_fails_otherwise_says_nothing() {
        let shut = || json!([{"to": [{"podSelector": {}}]}]);
        assert!(!blocked("ERROR dial tcp 10.20.0.9:3306: i/o timeout", shut()), "a private address");
        assert!(!blocked("ERROR GET http://cart.pay.svc.cluster.local/: i/o timeout", shut()));
        assert!(!blocked("ERROR GET http://web-0.web.shop:80/: i/o timeout", shut()), "a Namespace ends it");
        assert!(!blocked(&ADDRESS.replace("i/o timeout", "connect: connection refused"), shut()));
    }
}
