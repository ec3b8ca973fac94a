//! A pool of Nodes that another took the place of, while a workload still asks for the old one.

use k8s_openapi::api::core::v1::Node;

use super::{Waiting, finding, nodes};
use crate::playbook::analyzer::node;
use crate::playbook::finding::{Depth, Finding, change, edit_template, look};
use crate::playbook::scene::{Scene, named};
use crate::playbook::selector;
use crate::report::Confidence;

/// Parts of labels that say where or what a Node is: such a value is no pool that another takes the place of.
const PLACES: [&str; 8] =
    ["topology.", "zone", "region", "hostname", "failure-domain", "instance-type", "/arch", "/os"];

/// Every Node with the label that a Pod asks for is cordoned and well, two or more of them, and younger Nodes in service carry
/// the label with another value: somebody drained the old ones for good.
pub(super) fn replaced(scene: &Scene<'_>, waiting: &Waiting<'_>, matching: &[&Node]) -> Option<Finding> {
    let retired = |node: &&Node| node::is_cordoned(node) && node::troubles(node).is_empty();
    if matching.len() < 2 || !matching.iter().all(retired) {
        return None;
    }
    let made = |node: &Node| node.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let newest = matching.iter().filter_map(|node| made(node)).max()?;
    let younger: Vec<&Node> = scene
        .nodes
        .iter()
        .map(|seen| &seen.object)
        .filter(|node| made(node).is_some_and(|at| at > newest) && !nodes::out_of_service(waiting.pod, node))
        .collect();
    let (key, old, new) = selector::wanted_labels(waiting.pod).into_iter().find_map(|(key, values)| {
        if PLACES.iter().any(|place| key.contains(place)) {
            return None;
        }
        let label = |node: &Node| node.metadata.labels.as_ref()?.get(&key).cloned();
        let mut new: Vec<String> = younger.iter().filter_map(|node| label(node)).collect();
        new.retain(|value| !values.contains(value));
        new.sort();
        new.dedup();
        let old = values.first().cloned()?;
        new.pop().filter(|_| new.is_empty()).map(|new| (key, old, new))
    })?;
    let count = matching.len();
    let headline = scene.text(
        format!("{} 无法调度：它要求 {key}={old}，而带有该标签的 {count} 个 Node 都已 cordon；更新的 Node 是 {key}={new}，节点池看来已被替换", waiting.name),
        format!("{} cannot be scheduled: it asks for {key}={old}, and the {count} Nodes with that label are cordoned; younger Nodes carry {key}={new}, so their pool seems to have been replaced", waiting.name),
    );
    let proof = matching.first().and_then(|node| scene.node(&named(*node).name));
    Some(
        finding("node_selector_mismatch", Depth::Root, waiting, &waiting.workload, headline)
            .confidence(Confidence::Medium)
            .cite([proof.and_then(|node| scene.quote(&node.reference, "unschedulable: true"))])
            .touches(matching.iter().map(|node| named(*node)))
            .steps([
                look(
                    scene.text("查看 Node 及该标签", "List the Nodes with that label"),
                    format!("kubectl get nodes -L {key}"),
                ),
                change(
                    scene.text(
                        format!("把 {} 的 {key} 改为 {new}", waiting.workload),
                        format!("Ask for {key}={new} in {}", waiting.workload),
                    ),
                    scene.text(
                        "若其 Pod 的卷只能在旧 Node 或旧可用区使用，先确认卷能随之移动；旧 Node 若只是临时维护，则 uncordon 即可",
                        "Where a volume is tied to an old Node or its zone, see first that it can follow; were the old Nodes only in maintenance, uncordon them instead",
                    ),
                    edit_template(&waiting.workload),
                ),
            ]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, node, patched, pod, unschedulable};

    const MESSAGE: &str =
        "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 node(s) were unschedulable.";

    fn of(name: &str, pool: &str, made: &str, cordoned: bool) -> Value {
        node(
            json!({"metadata": {"name": name, "labels": {"pool": pool}, "creationTimestamp": made}, "spec": {"unschedulable": cordoned}}),
        )
    }

    fn asked(second: Value, third: Value) -> World {
        World::asking("Pod", "web-1-a")
            .with(pod(patched(unschedulable(MESSAGE), json!({"spec": {"nodeSelector": {"pool": "v1"}}}))))
            .with(of("n1", "v1", "2026-01-01T00:00:00Z", true))
            .with(second)
            .with(third)
    }

    #[test]
    fn a_workload_that_asks_for_a_pool_which_was_replaced_is_at_fault() {
        let old = || of("n2", "v1", "2026-01-02T00:00:00Z", true);
        let world = asked(old(), of("n3", "v2", "2026-11-20T00:00:00Z", false));
        assert_eq!(world.cause(), "node_selector_mismatch Deployment/web");
        let told = world.diagnosis().headline;
        assert!(told.contains("pool=v1") && told.contains("pool=v2"), "{told}");
    }

    #[test]
    fn nodes_in_maintenance_beside_older_or_other_ones_are_no_replaced_pool() {
        let old = || of("n2", "v1", "2026-01-02T00:00:00Z", true);
        let no_younger = asked(old(), of("n3", "v2", "2025-11-20T00:00:00Z", false));
        assert!(no_younger.cause().starts_with("no_usable_node"), "{}", no_younger.cause());
        let one = asked(of("n2", "v3", "2026-01-02T00:00:00Z", true), of("n3", "v2", "2026-11-20T00:00:00Z", false));
        assert!(one.cause().starts_with("no_usable_node"), "{}", one.cause());
    }

    #[test]
    fn a_zone_in_maintenance_is_no_pool_that_another_took_the_place_of() {
        let asked = |key: &str| {
            let of = |name: &str, value: &str, made: &str, cordoned: bool| {
                patched(of(name, "x", made, cordoned), json!({"metadata": {"labels": {key: value}}}))
            };
            World::asking("Pod", "web-1-a")
                .with(pod(patched(unschedulable(MESSAGE), json!({"spec": {"nodeSelector": {key: "v1"}}}))))
                .with(of("n1", "v1", "2026-01-01T00:00:00Z", true))
                .with(of("n2", "v1", "2026-01-02T00:00:00Z", true))
                .with(of("n3", "v2", "2026-11-20T00:00:00Z", false))
                .cause()
        };
        assert_eq!(asked("example.com/pool"), "node_selector_mismatch Deployment/web");
        for place in
            ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region", "kubernetes.io/arch", "zone"]
        {
            assert!(asked(place).starts_with("no_usable_node"), "{place}: {}", asked(place));
        }
    }

    #[test]
    fn of_two_younger_pools_it_is_not_known_which_took_the_place() {
        let told = asked(of("n2", "v1", "2026-01-02T00:00:00Z", true), of("n3", "v2", "2026-11-20T00:00:00Z", false))
            .with(of("n4", "v3", "2026-11-21T00:00:00Z", false));
        assert!(told.cause().starts_with("no_usable_node"), "{}", told.cause());
    }
}
