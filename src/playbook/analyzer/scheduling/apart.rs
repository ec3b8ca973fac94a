//! Anti-affinity: over what a Pod must stand apart from which others, and how many replicas that leaves without a place.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm};

use super::{Waiting, nodes, spread};
use crate::playbook::finding::counted;
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::Scene;
use crate::playbook::selector;
use crate::times;

/// The Deployment controller's word for more replicas, as it is written since 1.30 and before.
static GROWN: Pattern = Pattern::new(r"^Scaled up replica set \S+ (?:from (\d+) to (\d+)|to (\d+) from (\d+))");

/// The terms that must hold.
pub(super) fn hard(pod: &Pod) -> &[PodAffinityTerm] {
    let rules = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()?.pod_anti_affinity.as_ref());
    rules.and_then(|rules| rules.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default()
}

/// Whether a term means Pods by their labels alone and in the Pod's own Namespace: others cannot be worked out from what is read.
pub(super) fn is_plain(term: &PodAffinityTerm) -> bool {
    let keys = |keys: &Option<Vec<String>>| keys.as_ref().is_none_or(Vec::is_empty);
    term.namespace_selector.is_none()
        && keys(&term.namespaces)
        && keys(&term.match_label_keys)
        && keys(&term.mismatch_label_keys)
}

/// Whether a term means a Pod.
pub(super) fn means(term: &PodAffinityTerm, pod: &Pod) -> bool {
    term.label_selector.as_ref().is_some_and(|wanted| selector::selects(wanted, pod.metadata.labels.as_ref()))
}

/// Over what the Pod must stand apart: the topology keys of its hard terms, and of replicas that keep apart from each other
/// how many want a place, how many places there are, and when somebody asked for more.
pub(super) fn told(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Option<String> {
    let told: Vec<String> = hard(waiting.pod)
        .iter()
        .map(|term| {
            let key = format!("topologyKey {}", term.topology_key);
            match places(scene, waiting, term) {
                Some(places) => format!("{key}{}{places}", scene.lang.pick("：", ": ")),
                None => key,
            }
        })
        .collect();
    let grown = grown(scene, waiting);
    (!told.is_empty()).then(|| told.into_iter().chain(grown).collect::<Vec<_>>().join(scene.lang.pick("；", "; ")))
}

/// The replicas that a term keeps apart from each other and the places it tells apart; `None` where it does not, or where not
/// all Nodes were read.
pub(super) fn counts(scene: &Scene<'_>, waiting: &Waiting<'_>, term: &PodAffinityTerm) -> Option<(i32, usize)> {
    let (_, wanted) = scene.replicas(&waiting.workload)?;
    if !means(term, waiting.pod) || super::unread(scene, &waiting.message).is_some() || scene.nodes.is_empty() {
        return None;
    }
    let places: BTreeSet<&str> =
        usable(scene, waiting).filter_map(|node| spread::domain(node, &term.topology_key)).collect();
    Some((wanted, places.len()))
}

/// The Nodes in service whose labels and taints a Pod can bear.
pub(super) fn usable<'s>(scene: &'s Scene<'_>, waiting: &'s Waiting<'_>) -> impl Iterator<Item = &'s Node> {
    let fits = |node: &&Node| {
        selector::node_matches(waiting.pod, node)
            && selector::untolerated(waiting.pod, node).is_empty()
            && !nodes::out_of_service(waiting.pod, node)
    };
    scene.nodes.iter().map(|node| &node.object).filter(fits)
}

/// These counts in words.
fn places(scene: &Scene<'_>, waiting: &Waiting<'_>, term: &PodAffinityTerm) -> Option<String> {
    let (wanted, places) = counts(scene, waiting, term)?;
    let is_host = term.topology_key == "kubernetes.io/hostname";
    let replicas = counted(wanted, "replica");
    Some(if is_host {
        scene.text(
            format!("{wanted} 个副本，{places} 个可用的 Node"),
            format!("{replicas}, {}", counted(places, "usable Node")),
        )
    } else {
        scene.text(
            format!("{wanted} 个副本，{places} 个取值有可用的 Node"),
            format!("{replicas}, usable Nodes in {}", counted(places, "place")),
        )
    })
}

/// When the workload was last asked for more replicas, where an event says so.
fn grown(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Option<String> {
    let events = scene.events(&waiting.workload, &["ScalingReplicaSet"]).into_iter();
    let last = events.filter(|event| GROWN.hits(&event.message)).max_by_key(|event| event.last_seen)?;
    let groups = GROWN.groups(&last.message)?;
    let number = |left: usize, right: usize| groups.get(left).or_else(|| groups.get(right)).map(|found| found.as_str());
    let (from, to, at) = (number(1, 4)?, number(2, 3)?, times::moment(last.last_seen?, "UTC")?);
    Some(scene.text(format!("{at} 从 {from} 扩到 {to} 个副本"), format!("scaled up from {from} to {to} at {at}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, deployment, node, patched, pod, unschedulable};

    fn apart(key: &str) -> Value {
        let term = json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": "web"}}});
        json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}})
    }

    fn told(key: &str, message: &str) -> String {
        let placed = json!({"metadata": {"name": "web-1-b"}, "spec": {"nodeName": "n1"}});
        let world = World::asking("Pod", "web-1-a")
            .with(pod(patched(unschedulable(message), apart(key))))
            .with(pod(patched(placed, apart(key))))
            .with(deployment(2, 1))
            .with(node(json!({})))
            .event("Deployment", "web", "ScalingReplicaSet", "Scaled up replica set web-1 from 1 to 2");
        world.diagnosis().causes[0].summary.clone()
    }

    #[test]
    fn replicas_are_counted_against_the_places_there_are() {
        let message = "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.";
        let host = told("kubernetes.io/hostname", message);
        assert!(host.contains("2 replicas, 1 usable Node;"), "{host}");
        let zone = told("zone", message);
        assert!(zone.contains("2 replicas, usable Nodes in 1 place;"), "{zone}");
        let unread = told("zone", &message.replace("0/1", "0/9"));
        assert!(unread.contains("topologyKey zone") && !unread.contains("replicas,"), "{unread}");
    }
}
