//! Topology spread: which rule leaves no Node, and the part of the cluster that would have to take a Pod and cannot.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};

use super::nodes;
use crate::playbook::scene::Scene;

/// The Pod's rules that must hold, and the domains of each in which no Node is in service; `None` without such a rule.
pub(super) fn told(scene: &Scene<'_>, pod: &Pod) -> Option<String> {
    let rules = pod.spec.as_ref()?.topology_spread_constraints.as_deref().unwrap_or(&[]);
    let hard = rules.iter().filter(|rule| rule.when_unsatisfiable == "DoNotSchedule");
    let told: Vec<String> = hard
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
fn empty_domains(scene: &Scene<'_>, pod: &Pod, key: &str) -> Vec<String> {
    let mut domains: BTreeMap<&str, bool> = BTreeMap::new();
    for node in scene.nodes.iter().map(|node| &node.object) {
        if let Some(domain) = domain(node, key) {
            *domains.entry(domain).or_default() |= !nodes::out_of_service(pod, node);
        }
    }
    domains.into_iter().filter(|(_, usable)| !usable).map(|(domain, _)| domain.to_owned()).collect()
}

fn domain<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
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
