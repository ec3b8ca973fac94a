//! Topology spread: which rule leaves no Node, and the part of the cluster that would have to take a Pod and cannot.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod, TopologySpreadConstraint};

use super::{apart, nodes};
use crate::playbook::scene::Scene;
use crate::playbook::selector;

/// The Pod's rules that must hold.
pub(super) fn hard(pod: &Pod) -> impl Iterator<Item = &TopologySpreadConstraint> {
    let rules = pod.spec.iter().flat_map(|spec| spec.topology_spread_constraints.iter().flatten());
    rules.filter(|rule| rule.when_unsatisfiable == "DoNotSchedule")
}

/// Whether the Pod's rules are such as can be worked out from labels alone; so are its terms of anti-affinity.
pub(super) fn is_plain(pod: &Pod) -> bool {
    let plain = |rule: &TopologySpreadConstraint| {
        rule.min_domains.is_none()
            && rule.match_label_keys.as_ref().is_none_or(Vec::is_empty)
            && rule.node_taints_policy.as_deref().is_none_or(|policy| policy == "Ignore")
            && rule.node_affinity_policy.as_deref().is_none_or(|policy| policy == "Honor")
    };
    hard(pod).all(plain) && apart::hard(pod).iter().all(apart::is_plain)
}

/// Whether a rule keeps the Pod off a Node beside those that are placed, each with its Node.
pub(super) fn is_barred(scene: &Scene<'_>, pod: &Pod, node: &Node, placed: &[(&Pod, &Node)]) -> bool {
    hard(pod).any(|rule| {
        let Some(own) = domain(node, &rule.topology_key) else { return true };
        let nodes = scene.nodes.iter().map(|node| &node.object).filter(|node| selector::node_matches(pod, node));
        let mut counts: BTreeMap<&str, i32> =
            nodes.filter_map(|node| Some((domain(node, &rule.topology_key)?, 0))).collect();
        let means = |other: &Pod| {
            rule.label_selector.as_ref().is_some_and(|it| selector::selects(it, other.metadata.labels.as_ref()))
        };
        for (_, at) in placed.iter().filter(|(other, _)| means(other)) {
            if let Some(count) = domain(at, &rule.topology_key).and_then(|value| counts.get_mut(value)) {
                *count += 1;
            }
        }
        let fewest = counts.values().min().copied().unwrap_or_default();
        let here = counts.get(own).copied().unwrap_or_default() + i32::from(means(pod));
        here - fewest > rule.max_skew
    })
}

/// The Pod's rules that must hold, and the domains of each in which no Node is in service; `None` without such a rule.
pub(super) fn told(scene: &Scene<'_>, pod: &Pod) -> Option<String> {
    let told: Vec<String> = hard(pod)
        .map(|rule| {
            let rule_told = format!("{}, maxSkew {}", rule.topology_key, rule.max_skew);
            match empty_domains(scene, pod, &rule.topology_key).join(", ") {
                closed if closed.is_empty() => rule_told,
                closed => scene.text(
                    format!("{rule_told}，其中 {closed} 没有可用的 Node"),
                    format!("{rule_told}, and no Node is in service in {closed}"),
                ),
            }
        })
        .collect();
    (!told.is_empty()).then(|| told.join(scene.lang.pick("；", "; ")))
}

/// The values of a topology key all of whose Nodes are out of service for the Pod.
pub(super) fn empty_domains(scene: &Scene<'_>, pod: &Pod, key: &str) -> Vec<String> {
    let mut domains: BTreeMap<&str, bool> = BTreeMap::new();
    for node in scene.nodes.iter().map(|node| &node.object) {
        if let Some(domain) = domain(node, key) {
            *domains.entry(domain).or_default() |= !nodes::out_of_service(pod, node);
        }
    }
    domains.into_iter().filter(|(_, usable)| !usable).map(|(domain, _)| domain.to_owned()).collect()
}

pub(super) fn domain<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    node.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, node, patched, pod, unschedulable};

    const MESSAGE: &str = "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable.";

    fn spread(when: &str) -> Value {
        let rule = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"app": "web"}}});
        patched(pod(unschedulable(MESSAGE)), json!({"spec": {"topologySpreadConstraints": [rule]}}))
    }

    fn with(pod: Value) -> World {
        let other = json!({"metadata": {"name": "n2", "labels": {"zone": "b"}}, "spec": {"unschedulable": true}});
        World::asking("Pod", "web-1-a").with(pod).with(node(json!({}))).with(node(other))
    }

    #[test]
    fn the_rule_and_the_zone_without_a_node_in_service_are_named() {
        let world = with(spread("DoNotSchedule"));
        assert_eq!(world.cause(), "topology_spread_unsatisfied Deployment/web");
        let told = world.diagnosis().causes[0].summary.clone();
        assert!(
            told.contains("zone, maxSkew 1") && told.contains("in service in b") && !told.contains("in a"),
            "{told}"
        );
    }

    #[test]
    fn a_wish_is_no_rule() {
        let told = with(spread("ScheduleAnyway")).diagnosis().causes[0].summary.clone();
        assert!(!told.contains("maxSkew"), "{told}");
    }
}
