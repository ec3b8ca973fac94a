//! Nodes whose return would end a Pod's wait: nothing but being out of service keeps it off them, and its own rules or want of
//! room keep it off the others.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};

use super::reasons::Reasons;
use super::{Waiting, apart, fit, nodes, spread};
use crate::alert::ObjectRef;
use crate::playbook::analyzer::node;
use crate::playbook::finding::Finding;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::playbook::selector;
use crate::report::Confidence;

/// What the scheduler says of Nodes that is worked out here from the Nodes and Pods themselves.
const KNOWN: [&str; 7] = [
    "anti-affinity",
    "topology spread",
    "Insufficient ",
    "unschedulable",
    "untolerated taint",
    "node affinity",
    "node selector",
];
/// Nodes out of service that are named beside another cause.
const NAMED: usize = 2;
/// How soon after a Node was cordoned the Pods that were sent away from it are made anew.
const DRAINED: SignedDuration = SignedDuration::from_mins(10);

/// The Node that the Pod waits for, where that is certain enough to be said.
pub(super) fn run(scene: &Scene<'_>, waiting: &Waiting<'_>, matching: &[&Node]) -> Option<Finding> {
    let elsewhere = elsewhere(scene, waiting, matching)?;
    let back = back(scene, waiting, matching);
    let only_cordoned = |node: &&Node| node::is_cordoned(node) && node::troubles(node).is_empty();
    // Of several that are ill nobody can say which is to come back; of several that are cordoned any will do.
    if back.is_empty() || (back.len() > 1 && !back.iter().all(only_cordoned)) {
        return None;
    }
    if places(waiting, &back) < waiting_beside(scene, waiting) {
        return None;
    }
    let names = back.iter().map(|node| name(node)).collect::<Vec<_>>().join(", ");
    let which = (
        format!("它{}；能容纳它的 Node {names} 不可用", elsewhere.zh),
        format!("it {}, and Node {names}, which has a place for it, is out of service", elsewhere.en),
    );
    // The scheduler tries neither room nor ports nor the terms of others on a Node that is out of service.
    let is_sure = back.len() == 1 && !elsewhere.wants_room && fit::is_known(scene, waiting.pod, back.first()?);
    let sure = if is_sure { Confidence::High } else { Confidence::Medium };
    Some(nodes::out_of(scene, waiting, back.first()?, which).confidence(sure))
}

/// What is said of the Nodes in service, beside the Nodes that are not and might take the Pod: while one of them is out nobody
/// knows whether the rule alone keeps the Pod waiting.
pub(super) fn beside(scene: &Scene<'_>, waiting: &Waiting<'_>, matching: &[&Node], found: Finding) -> Finding {
    let might = |node: &&Node| {
        nodes::out_of_service(waiting.pod, node)
            && !has_own_taint(waiting.pod, node)
            && fit::takes(scene, waiting.pod, node)
            && reaches_volumes(scene, waiting.pod, node)
            && !is_barred(scene, waiting.pod, node, false)
    };
    let about_nodes =
        ["anti_affinity_unsatisfied", "topology_spread_unsatisfied", "insufficient_cpu", "insufficient_memory"];
    if !about_nodes.contains(&found.code) {
        return found;
    }
    let out: Vec<&Node> = matching.iter().copied().filter(might).collect();
    let Some(first) = out.first() else { return found };
    let confidence = found.confidence.min(Confidence::Medium);
    let why = scene.text("不可用，恢复后可能容纳该 Pod", "out of service; it might take the Pod once it is back");
    let told = out.iter().take(NAMED).fold(found.confidence(confidence), |found, node| {
        found.related(named(*node), why.clone(), nodes::why_out(scene, node))
    });
    told.steps(super::cordon::bring_back(scene, first))
}

/// What keeps the Pod off the Nodes in service, in Chinese and English.
struct Elsewhere {
    zh: String,
    en: String,
    wants_room: bool,
}

/// What keeps the Pod off every Node in service; `None` where what was read does not say so of each, or not all was read.
fn elsewhere(scene: &Scene<'_>, waiting: &Waiting<'_>, matching: &[&Node]) -> Option<Elsewhere> {
    let reasons = Reasons::of(&waiting.message)?;
    let known = |said: &str| KNOWN.iter().any(|words| said.contains(words));
    let all_read = scene.nodes.len() >= reasons.total && siblings_read(scene, waiting);
    if !all_read || !reasons.each.iter().all(|(_, said)| known(said)) || !spread::is_plain(waiting.pod) {
        return None;
    }
    let serving: Vec<&Node> = matching
        .iter()
        .copied()
        .filter(|node| selector::untolerated(waiting.pod, node).is_empty() && !nodes::out_of_service(waiting.pod, node))
        .collect();
    let (barred, open): (Vec<&Node>, Vec<&Node>) =
        serving.iter().copied().partition(|node| is_barred(scene, waiting.pod, node, true));
    let scarce = nodes::scarce(&waiting.message);
    let short: usize = scarce.iter().map(|resource| reasons.count(&format!("Insufficient {resource}"))).sum();
    if open.len() > short || serving.is_empty() {
        return None;
    }
    let names = |nodes: &[&Node]| nodes.iter().map(|node| name(node)).collect::<Vec<_>>().join(", ");
    let rule = rule(waiting);
    let mut told = (Vec::new(), Vec::new());
    if !barred.is_empty() {
        told.0.push(format!("因{}不能放在 {}", rule.0, names(&barred)));
        told.1.push(format!("is kept off {} by its {}", names(&barred), rule.1));
    }
    if !open.is_empty() {
        let scarce = scarce.join(", ");
        told.0.push(format!("在 {} 上缺少 {scarce}（Insufficient {scarce}）", names(&open)));
        told.1.push(format!("lacks {scarce} on {} (Insufficient {scarce})", names(&open)));
    }
    Some(Elsewhere { zh: told.0.join("，"), en: told.1.join(" and "), wants_room: !open.is_empty() })
}

/// The rules of the Pod that the scheduler names.
fn rule(waiting: &Waiting<'_>) -> (&'static str, &'static str) {
    match (waiting.message.contains("anti-affinity"), waiting.message.contains("topology spread")) {
        (true, true) => {
            ("反亲和性（anti-affinity）与拓扑分布（topology spread）规则", "anti-affinity and topology spread")
        }
        (false, true) => ("拓扑分布（topology spread）约束", "topology spread constraints"),
        _ => ("反亲和性（anti-affinity）规则", "anti-affinity rules"),
    }
}

/// Whether every Pod of the workload was read: one that was not may stand anywhere, and one of an older version that a list
/// names may too.
fn siblings_read(scene: &Scene<'_>, waiting: &Waiting<'_>) -> bool {
    let prefix = format!("{}-", waiting.workload.name);
    let is_unread = |other: &ObjectRef| {
        other.kind == "Pod"
            && other.namespace == waiting.name.namespace
            && other.name.starts_with(&prefix)
            && scene.pod(other).is_none()
    };
    if scene.facts.names().iter().any(is_unread) {
        return false;
    }
    let read = scene.pods_of(&waiting.workload).len();
    scene.replicas(&waiting.workload).is_some_and(|(_, wanted)| usize::try_from(wanted).is_ok_and(|all| read >= all))
}

/// The Nodes that are out of service and would take the Pod otherwise.
fn back<'n>(scene: &Scene<'_>, waiting: &Waiting<'_>, matching: &[&'n Node]) -> Vec<&'n Node> {
    let is_scarce = !nodes::scarce(&waiting.message).is_empty();
    let has_room = |node: &Node| fit::takes(scene, waiting.pod, node) && (!is_scarce || was_drained(waiting.pod, node));
    let out = matching
        .iter()
        .copied()
        .filter(|node| nodes::out_of_service(waiting.pod, node) && !has_own_taint(waiting.pod, node));
    let fits = |node: &&Node| {
        has_room(node) && reaches_volumes(scene, waiting.pod, node) && !is_barred(scene, waiting.pod, node, false)
    };
    out.filter(fits).collect()
}

/// Whether a Node can reach the volumes a Pod's claims are bound to; of one that was not read nobody knows.
fn reaches_volumes(scene: &Scene<'_>, pod: &Pod, node: &Node) -> bool {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let reaches = |volume: &str| {
        scene.facts.get::<PersistentVolume>("", volume).is_some_and(|volume| {
            let required = volume.object.spec.and_then(|spec| spec.node_affinity?.required);
            required.is_none_or(|required| selector::any_term(&required.node_selector_terms, node))
        })
    };
    pods::claims(pod).iter().all(|claim| {
        let claim = scene.facts.get::<PersistentVolumeClaim>(namespace, claim);
        claim.is_some_and(|claim| {
            claim.object.spec.and_then(|spec| spec.volume_name).is_none_or(|volume| reaches(&volume))
        })
    })
}

/// Whether somebody put a taint on a Node that the Pod does not bear: that stays when the Node is back.
fn has_own_taint(pod: &Pod, node: &Node) -> bool {
    selector::untolerated(pod, node).iter().any(|taint| !selector::is_condition_taint(taint))
}

/// Whether the Pod was made right after the Node was cordoned, as one that was sent away from there is: how much room a Node has
/// left is not read.
fn was_drained(pod: &Pod, node: &Node) -> bool {
    let since = super::cordon::since(node);
    let made = pod.metadata.creation_timestamp.as_ref().map(|made| made.0);
    since.zip(made).is_some_and(|(since, made)| since <= made && made.duration_since(since) <= DRAINED)
}

/// Whether anti-affinity or topology spread keeps a Pod off a Node. What leaves a Node stands there until it is gone
/// (`with_leaving`), and is gone once a Node that was silent is back.
fn is_barred(scene: &Scene<'_>, pod: &Pod, node: &Node, with_leaving: bool) -> bool {
    let placed: Vec<(&Pod, &Node)> = scene
        .pods
        .iter()
        .map(|other| &other.object)
        .filter(|other| other.metadata.namespace == pod.metadata.namespace && !pods::is_finished(other))
        .filter(|other| with_leaving || !pods::is_leaving(other))
        .filter_map(|other| Some((other, &scene.node(pods::node_name(other)?)?.object)))
        .collect();
    // Spread never counts what leaves, as anti-affinity does.
    let staying: Vec<(&Pod, &Node)> = placed.iter().copied().filter(|(other, _)| !pods::is_leaving(other)).collect();
    let beside =
        |key: &str, at: &Node| spread::domain(node, key).is_some_and(|own| spread::domain(at, key) == Some(own));
    apart::hard(pod)
        .iter()
        .any(|term| placed.iter().any(|(other, at)| apart::means(term, other) && beside(&term.topology_key, at)))
        || spread::is_barred(scene, pod, node, &staying)
}

/// How many of the workload's Pods wait for a Node.
fn waiting_beside(scene: &Scene<'_>, waiting: &Waiting<'_>) -> usize {
    let pods = scene.pods_of(&waiting.workload).into_iter();
    pods.filter(|pod| pods::is_unscheduled(&pod.object) && !pods::is_leaving(&pod.object)).count()
}

/// How many Pods that stand apart from each other find a place on these Nodes.
fn places(waiting: &Waiting<'_>, back: &[&Node]) -> usize {
    let own = apart::hard(waiting.pod).iter().filter(|term| apart::means(term, waiting.pod));
    let domains = own.map(|term| {
        let values: BTreeSet<_> = back.iter().filter_map(|node| spread::domain(node, &term.topology_key)).collect();
        values.len()
    });
    domains.min().unwrap_or(usize::MAX)
}

fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, deployment, node, patched, pod, unschedulable};
    use crate::report::Confidence;

    const APART: &str =
        "0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) didn't match pod anti-affinity rules.";
    const SPREAD: &str = "0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) didn't match pod topology spread constraints.";
    const FULL: &str = "0/2 nodes are available: 1 node(s) were unschedulable, 1 Insufficient cpu.";

    fn apart() -> Value {
        let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}});
        json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}})
    }

    fn spread() -> Value {
        let rule = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}});
        json!({"spec": {"topologySpreadConstraints": [rule]}})
    }

    fn asks_for_two_cores() -> Value {
        json!({"spec": {"containers": [{"name": "web", "image": "reg/web:1", "resources": {"requests": {"cpu": "2"}}}]}})
    }

    /// Two replicas, one on Node n1 and one that waits; Node n2 is cordoned.
    fn world(message: &str, rules: &Value, second: Value) -> World {
        let placed = json!({"metadata": {"name": "web-1-b"}});
        World::asking("Pod", "web-1-a")
            .with(patched(
                pod(patched(unschedulable(message), rules.clone())),
                json!({"metadata": {"creationTimestamp": "2026-11-23T01:05:00Z"}}),
            ))
            .with(pod(patched(placed, rules.clone())))
            .with(deployment(2, 1))
            .with(node(json!({})))
            .with(node(patched(cordoned(), second)))
    }

    fn cordoned() -> Value {
        let taint = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2026-11-23T01:00:00Z"});
        json!({"metadata": {"name": "n2", "labels": {"kubernetes.io/hostname": "n2", "zone": "b"}}, "spec": {"unschedulable": true, "taints": [taint]}})
    }

    #[test]
    fn the_cordoned_node_with_a_place_is_what_the_pod_waits_for() {
        for (message, rules) in [(APART, apart()), (SPREAD, spread())] {
            let world = world(message, &rules, json!({}));
            assert_eq!(world.cause(), "no_usable_node Node/n2", "{message}");
            let sure = world.diagnosis().causes[0].confidence;
            assert_eq!(sure, Confidence::Medium, "what else runs on n2 was not read");
            let world = world.crowd("n2", &[]);
            let diagnosis = world.diagnosis();
            assert_eq!(diagnosis.causes[0].confidence, Confidence::High);
            assert!(diagnosis.headline.contains("kept off n1 by its"), "{}", diagnosis.headline);
            let commands: Vec<_> = diagnosis.steps.into_iter().filter_map(|step| step.command).collect();
            assert!(commands.contains(&"kubectl uncordon n2".to_owned()), "{commands:?}");
        }
    }

    #[test]
    fn a_node_that_would_not_take_the_pod_is_not_waited_for() {
        let blamed = |second: Value| world(APART, &apart(), second).cause();
        let rule = "anti_affinity_unsatisfied Deployment/web";
        assert_eq!(blamed(json!({"spec": {"taints": [{"key": "dedicated", "effect": "NoSchedule"}]}})), rule);
        let there = json!({"metadata": {"name": "web-1-c"}, "spec": {"nodeName": "n2"}});
        let taken = world(APART, &apart(), json!({})).with(pod(patched(there, apart())));
        assert_eq!(taken.cause(), rule);
        let second = json!({"metadata": {"name": "web-1-d"}});
        let volumes = json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}});
        let bound = world(APART, &patched(apart(), volumes), json!({}))
            .with(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
                "spec": {"volumeName": "pv-1"}, "status": {"phase": "Bound"}}))
            .with(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-1"},
                "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "zone", "operator": "In", "values": ["a"]}]}]}}}}));
        assert_eq!(bound.cause(), rule, "its volume is elsewhere");
        let two_wait =
            world(APART, &apart(), json!({})).with(patched(pod(patched(unschedulable(APART), apart())), second));
        assert_eq!(two_wait.cause(), rule, "there is a place for one of them");
        let unread = world(APART, &apart(), json!({})).with(deployment(3, 1));
        assert_eq!(unread.cause(), rule, "a replica that was not read may stand there");
        assert_eq!(unread.diagnosis().causes[0].confidence, Confidence::Medium);
    }

    #[test]
    fn room_ports_and_the_terms_of_others_are_tried_on_the_cordoned_node_as_well() {
        let rule = "anti_affinity_unsatisfied Deployment/web";
        let there = |patch: Value| {
            let agent = json!({"metadata": {"name": "agent-x", "labels": {"app": "agent"}, "ownerReferences": null}, "spec": {"nodeName": "n2"}});
            pod(patched(agent, patch))
        };
        let asks = |cpu: &str, port: Value| {
            json!({"spec": {"containers": [{"name": "web", "image": "reg/web:1", "resources": {"requests": {"cpu": cpu}},
                "ports": [{"containerPort": 80, "hostPort": port}]}]}})
        };
        let large = patched(apart(), asks("2", Value::Null));
        let small = json!({"status": {"allocatable": {"cpu": "940m", "memory": "1Gi"}}});
        assert_eq!(world(APART, &large, small).cause(), rule, "it is too small");
        let beside = |cpu: &str| world(APART, &large, json!({})).with(there(asks(cpu, Value::Null))).cause();
        assert_eq!(beside("3"), rule, "what runs there leaves too little");
        assert_eq!(beside("1"), "no_usable_node Node/n2");
        let wants_port = patched(apart(), asks("1", json!(8080)));
        let port = |port: i32| world(APART, &wants_port, json!({})).with(there(asks("1", json!(port)))).cause();
        assert_eq!(port(8080), rule, "the port is taken");
        assert_eq!(port(9090), "no_usable_node Node/n2");
        let repels = |app: &str| {
            let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": app}}});
            let terms = json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}});
            world(APART, &apart(), json!({})).with(there(terms)).cause()
        };
        assert_eq!(repels("web"), rule, "what runs there keeps it off");
        assert_eq!(repels("api"), "no_usable_node Node/n2");
    }

    #[test]
    fn what_leaves_a_node_counts_for_anti_affinity_and_not_for_spread() {
        let leaves = json!({"metadata": {"name": "web-1-b", "deletionTimestamp": "2026-11-23T02:59:00Z"}});
        let of = |message: &str, rules: Value| {
            world(message, &rules, json!({})).with(pod(patched(leaves.clone(), rules.clone()))).cause()
        };
        assert_eq!(of(APART, apart()), "no_usable_node Node/n2");
        assert_ne!(of(SPREAD, spread()), "no_usable_node Node/n2", "then n1 is not what it is kept off");
    }

    #[test]
    fn a_node_that_had_one_of_them_is_known_to_have_a_place() {
        let lost = |phase: &str, node: &str| {
            let lost = json!({"metadata": {"name": "web-1-c"}, "spec": {"nodeName": node}, "status": {"phase": phase}});
            let diagnosis = world(APART, &apart(), json!({})).with(pod(patched(lost, apart()))).diagnosis();
            diagnosis.causes[0].confidence
        };
        assert_eq!(lost("Failed", "n2"), Confidence::High);
        assert_eq!(lost("Failed", "n1"), Confidence::Medium);
    }

    #[test]
    fn want_of_room_is_the_cordons_only_where_the_pod_was_sent_away_from_there() {
        let of = |made: &str| {
            let made = json!({"metadata": {"name": "web-1-a", "creationTimestamp": made}});
            let waits = patched(pod(patched(unschedulable(FULL), asks_for_two_cores())), made);
            world(FULL, &asks_for_two_cores(), json!({})).with(waits)
        };
        let drained = of("2026-11-23T01:01:00Z");
        assert_eq!(drained.cause(), "no_usable_node Node/n2");
        assert_eq!(drained.diagnosis().causes[0].confidence, Confidence::Medium);
        let later = of("2026-11-23T02:30:00Z");
        assert_eq!(later.cause(), "insufficient_cpu Deployment/web");
        let diagnosis = later.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::Medium);
        assert!(diagnosis.related.iter().any(|related| related.resource.name == "n2"), "{:?}", diagnosis.related);
    }

    #[test]
    fn a_cluster_in_service_leaves_the_rule_as_it_was() {
        let well = world(APART, &apart(), json!({"spec": {"unschedulable": false, "taints": []}}));
        assert_ne!(well.cause(), "no_usable_node Node/n2");
    }
}
