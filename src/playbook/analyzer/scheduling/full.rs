//! Nodes that run as many Pods as they may: which it is, what sits on it, and why the others do not help.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};

use super::reasons::{Reasons, rest};
use super::{Waiting, finding};
use crate::alert::{ObjectRef, stem};
use crate::playbook::facts::{Facts, Seen};
use crate::playbook::finding::{Depth, Finding, change, look};
use crate::playbook::scene::{Scene, named};
use crate::playbook::selector;

/// What the scheduler says of a Node without room for another Pod.
const FULL: &str = "Too many pods";
/// Applications that are named as sitting on a full Node.
const NAMED: usize = 5;

/// The one Node that a Pod may use and that takes no more Pods: what sits on it is worth a look.
#[must_use]
pub fn crowded_node(facts: &Facts, pod: &Pod, message: &str) -> Option<String> {
    let nodes = facts.all::<Node>();
    let node = only(&nodes, pod, message)?;
    node.object.metadata.name.clone()
}

/// The Node that the scheduler's count of one leaves: of all Nodes the only one the Pod's own terms allow.
fn only<'n>(nodes: &'n [Seen<Node>], pod: &Pod, message: &str) -> Option<&'n Seen<Node>> {
    let reasons = Reasons::of(message).filter(|reasons| reasons.count(FULL) == 1 && nodes.len() >= reasons.total)?;
    let may = |node: &&Seen<Node>| {
        reasons.total == 1
            || (selector::node_matches(pod, &node.object) && selector::untolerated(pod, &node.object).is_empty())
    };
    let mut fitting = nodes.iter().filter(may);
    fitting.next().filter(|_| fitting.next().is_none())
}

/// The finding for a Pod whose only Node is full.
pub(super) fn run(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Option<Finding> {
    let node = only(&scene.nodes, waiting.pod, &waiting.message)?;
    let (name, workload) = (named(&node.object), &waiting.workload);
    let room = node.object.status.as_ref()?.allocatable.as_ref()?.get("pods").map(|room| room.0.clone());
    let (room_zh, room_en) = match &room {
        Some(room) => (format!(" {room} 个"), format!("{room} ")),
        None => Default::default(),
    };
    let others = rest(scene, &waiting.message, FULL);
    let headline = scene.text(
        format!("{workload} 的 Pod 无法调度：它唯一能使用的 Node {} 的 Pod 数量已达上限{room_zh}（{FULL}）{others}", name.name),
        format!("{workload} cannot be scheduled: Node {}, the only one it may use, is at its limit of {room_en}Pods ({FULL}){others}", name.name),
    );
    let sitting = sitting(scene, &name.name);
    let wishes = selector::node_wishes(waiting.pod).join(", ");
    let mut summary = headline.clone();
    if !wishes.is_empty() {
        summary += &scene.text(format!("。该 Pod 要求 {wishes}"), format!(". The Pod asks for {wishes}"));
    }
    if !sitting.is_empty() {
        summary += &scene.text(format!("。该节点上运行着：{sitting}"), format!(". On that Node run: {sitting}"));
    }
    let proof = room.and_then(|room| {
        let said = [format!("pods: \"{room}\""), format!("pods: '{room}'"), format!("pods: {room}")];
        scene.quote_any(&node.reference, &said.each_ref().map(String::as_str))
    });
    Some(
        finding("node_pod_limit", Depth::Root, waiting, &name, headline)
            .summary(summary)
            .cite([proof])
            .touches([workload.clone()])
            .steps([
                look(
                    scene.text("列出该节点上的 Pod", "List the Pods on it"),
                    format!("kubectl get pods -A -o wide --field-selector spec.nodeName={}", name.name),
                ),
                change(
                    scene.text(
                        format!("移走 Node {} 上不必在此运行的 Pod，或提高它的 maxPods", name.name),
                        format!("Move Pods off Node {} that need not run there, or raise its maxPods", name.name),
                    ),
                    scene.text(
                        "或者放宽工作负载的节点约束，让它能使用其他节点",
                        "Or relax the workload's Node constraint, so that others will do",
                    ),
                    None,
                ),
            ]),
    )
}

/// What runs on a Node, by application and how often, the most frequent first.
fn sitting(scene: &Scene<'_>, node: &str) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for pod in scene.facts.crowd_on(node) {
        *counts.entry(application(pod)).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let told = counts.iter().take(NAMED).map(|(name, count)| format!("{name} ×{count}"));
    told.collect::<Vec<_>>().join(", ")
}

/// A Pod's namespace and its name without what its owners made up.
fn application(pod: &ObjectRef) -> String {
    format!("{}/{}", pod.namespace, stem(&pod.name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, node, patched, pod, unschedulable};

    const MESSAGE: &str =
        "0/2 nodes are available: 1 Too many pods, 1 node(s) didn't match Pod's node affinity/selector.";

    fn waits(site: Value) -> World {
        let spec = json!({"spec": {"nodeSelector": site}});
        let small =
            json!({"metadata": {"name": "edge", "labels": {"site": "a"}}, "status": {"allocatable": {"pods": "3"}}});
        World::asking("Pod", "web-1-a")
            .with(pod(patched(unschedulable(MESSAGE), spec)))
            .with(node(json!({})))
            .with(node(small))
            .crowd("edge", &["debug-5c9b77df68-2rk9c", "debug-5c9b77df68-fw7dm", "agent-2bjh6"])
    }

    #[test]
    fn the_full_node_is_named_with_what_sits_on_it() {
        let world = waits(json!({"site": "a"}));
        assert_eq!(world.cause(), "node_pod_limit Node/edge");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("Node edge, the only one it may use"), "{}", diagnosis.headline);
        assert!(diagnosis.headline.contains("ruled out otherwise: 1 node(s) didn't match"), "{}", diagnosis.headline);
        let summary = &diagnosis.causes[0].summary;
        assert!(summary.contains("shop/debug ×2, shop/agent ×1"), "{summary}");
    }

    #[test]
    fn where_several_nodes_would_do_none_is_blamed() {
        let world = waits(json!({}));
        assert_eq!(world.cause(), "node_pod_limit Deployment/web");
        assert!(!world.diagnosis().headline.contains("every Node"), "{}", world.diagnosis().headline);
    }

    #[test]
    fn a_full_cluster_is_said_to_be_one() {
        let world = World::asking("Pod", "web-1-a")
            .with(pod(unschedulable("0/2 nodes are available: 2 Too many pods.")))
            .with(node(json!({})))
            .with(node(json!({"metadata": {"name": "n2"}})));
        assert_eq!(world.cause(), "node_pod_limit Deployment/web");
        assert!(world.diagnosis().headline.contains("the limit of Pods is reached on every Node"));
    }

    #[test]
    fn pods_are_told_by_their_application() {
        let of = |name: &str| application(&ObjectRef::new("Pod", "a", name));
        assert_eq!(of("camera-ingest-6bf8d5c9c7-8hv4k"), "a/camera-ingest");
        assert_eq!(of("node-exporter-2bjh6"), "a/node-exporter");
        assert_eq!((of("db-0"), of("static-pod")), ("a/db".to_owned(), "a/static-pod".to_owned()));
    }
}
