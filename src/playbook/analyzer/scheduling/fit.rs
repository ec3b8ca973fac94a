//! Whether a Node has a place for a Pod beside what is known to run there: room, host ports, and the terms of others.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm};

use super::{apart, nodes, ports, spread};
use crate::playbook::pods;
use crate::playbook::scene::Scene;

/// Whether nothing that was read keeps the Pod off the Node. What was not read may.
pub(super) fn takes(scene: &Scene<'_>, pod: &Pod, node: &Node) -> bool {
    let name = node.metadata.name.as_deref();
    let there: Vec<&Pod> = staying(scene).filter(|other| pods::node_name(other) == name).collect();
    let wanted = ports::of(pod);
    let is_taken = there.iter().any(|other| ports::of(other).iter().any(|port| wanted.contains(port)));
    has_room(pod, node, &there) && !is_taken && !is_repelled(scene, pod, node)
}

/// Whether all that runs on a Node was read, or a Pod of the workload that it lost shows that there is a place for one.
pub(super) fn is_known(scene: &Scene<'_>, pod: &Pod, node: &Node) -> bool {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let is_lost = |other: &Pod| {
        pods::node_name(other) == Some(name) && (pods::is_leaving(other) || pods::phase(other) == "Failed")
    };
    let workload = scene.workload(pod);
    if scene.pods_of(&workload).iter().any(|other| is_lost(&other.object)) {
        return true;
    }
    scene.facts.crowd(name).is_some() && scene.facts.crowd_on(name).iter().all(|pod| scene.pod(pod).is_some())
}

fn staying<'s>(scene: &'s Scene<'_>) -> impl Iterator<Item = &'s Pod> {
    let pods = scene.pods.iter().map(|pod| &pod.object);
    pods.filter(|pod| !pods::is_finished(pod) && !pods::is_leaving(pod))
}

/// Whether a Node offers what the Pod requests beside what others there do.
fn has_room(pod: &Pod, node: &Node, there: &[&Pod]) -> bool {
    let views = pods::containers(pod);
    let requests = views.iter().filter_map(|view| view.spec.resources.as_ref()?.requests.as_ref());
    let resources: BTreeSet<&str> = requests.flat_map(|requests| requests.keys().map(String::as_str)).collect();
    resources.into_iter().all(|resource| {
        let taken: f64 = there.iter().map(|other| nodes::requested(other, resource)).sum();
        taken + nodes::requested(pod, resource) <= nodes::offered(node, resource)
    })
}

/// Whether a Pod that is placed keeps this one out of the place that the Node is in.
fn is_repelled(scene: &Scene<'_>, pod: &Pod, node: &Node) -> bool {
    staying(scene).any(|other| {
        let at = || scene.node(pods::node_name(other)?).map(|node| &node.object);
        let is_beside = |key: &str, at: &Node| {
            let own = spread::domain(node, key);
            own.is_some() && own == spread::domain(at, key)
        };
        let means = |term: &&PodAffinityTerm| apart::means(term, pod) && may_reach(term, other, pod);
        let mut terms = apart::hard(other).iter().filter(means);
        terms.any(|term| at().is_some_and(|at| is_beside(&term.topology_key, at)))
    })
}

/// Whether a term of one Pod may be about the Namespace of another; what the labels of a Namespace decide is not known.
fn may_reach(term: &PodAffinityTerm, from: &Pod, to: &Pod) -> bool {
    let listed = term.namespaces.as_deref().unwrap_or_default();
    let to_namespace = to.metadata.namespace.as_ref();
    let is_own = listed.is_empty() && from.metadata.namespace.as_ref() == to_namespace;
    term.namespace_selector.is_some() || is_own || to_namespace.is_some_and(|it| listed.contains(it))
}
