//! Pods no Node takes: what they ask for against what the Nodes offer.

mod apart;
mod choices;
mod comeback;
mod cordon;
mod fit;
mod full;
mod labels;
mod nodes;
mod pool;
mod ports;
mod reasons;
mod rules;
mod spread;
mod unheard;

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, PersistentVolume, PersistentVolumeClaim, Pod};

pub use self::full::crowded_node;
use self::reasons::Reasons;
use crate::alert::ObjectRef;
use crate::playbook::analyzer::rollout;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::scene::{Scene, named};
use crate::playbook::{pods, selector};
use crate::report::{Citation, Confidence};

/// A Pod that waits for a Node, and what the scheduler says about it.
struct Waiting<'s> {
    pod: &'s Pod,
    name: ObjectRef,
    workload: ObjectRef,
    message: String,
    proof: Vec<Option<Citation>>,
}

/// Findings about Pods that cannot be scheduled.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let staying = || scene.pods.iter().filter(|pod| !pods::is_leaving(&pod.object));
    let unplaced = staying().filter(|pod| pods::is_unscheduled(&pod.object));
    let astray = staying().filter_map(|pod| bound_to_nothing(scene, pod));
    let unheard = staying().filter_map(|pod| unheard::unheard(scene, pod));
    unplaced.filter_map(|pod| unschedulable(scene, pod)).chain(astray).chain(unheard).collect()
}

/// A Pod whose `nodeName` was written by hand and names no Node: no scheduler and no kubelet ever looks at it.
fn bound_to_nothing(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let node = ObjectRef::new("Node", "", pods::node_name(&pod.object)?);
    let untouched =
        pods::phase(&pod.object) == "Pending" && pods::containers(&pod.object).iter().all(|it| it.status.is_none());
    if !untouched || !scene.facts.is_missing(&node) {
        return None;
    }
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let hint = super::claim::near_hint(scene, &scene.near_misses(&node));
    let headline = scene.text(
        format!("{workload} 的 Pod 无法启动：nodeName 指定的 Node {} 不存在（not found）{hint}", node.name),
        format!("{workload} cannot start: its nodeName {} is no Node of this cluster (not found){hint}", node.name),
    );
    Some(
        Finding::new("node_name_unknown", Depth::Root, &name, &workload, headline)
            .cite([scene.quote(&pod.reference, &format!("nodeName: {}", node.name))])
            .steps([
                look(scene.text("查看现有的 Node", "List the Nodes"), "kubectl get nodes"),
                change(
                    scene.text(
                        "去掉 nodeName 交给调度器，或改为存在的 Node",
                        "Remove nodeName and let the scheduler choose, or name a Node there is",
                    ),
                    "",
                    Some(kubectl(
                        &workload.namespace,
                        &format!("edit {}/{}", workload.kind.to_lowercase(), workload.name),
                    )),
                ),
            ]),
    )
}

fn unschedulable(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let name = named(&pod.object);
    let condition = pods::condition(&pod.object, "PodScheduled").filter(|condition| condition.status == "False");
    let event = scene.events(&name, &["FailedScheduling"]).into_iter().max_by_key(|event| event.last_seen);
    let message = condition
        .and_then(|condition| condition.message.clone())
        .or_else(|| event.map(|event| event.message.clone()))?;
    let decisive = essence(&message).to_owned();
    let proof = vec![
        scene.quote(&pod.reference, &decisive),
        event.and_then(|event| scene.quote(&event.reference, essence(&event.message))),
    ];
    let workload = scene.workload(&pod.object);
    let waiting = Waiting { pod: &pod.object, name, workload, message, proof };
    if condition.and_then(|condition| condition.reason.as_deref()) == Some("SchedulingGated") {
        return Some(gated(scene, &waiting));
    }
    Some(with_surge(scene, &waiting, explain(scene, &waiting)))
}

/// A Pod that only a rollout adds: where it finds no room, letting an old Pod go first makes some.
fn with_surge(scene: &Scene<'_>, waiting: &Waiting<'_>, found: Finding) -> Finding {
    let workload = &waiting.workload;
    if found.depth < Depth::Mechanism || !rollout::must_surge(scene, workload) {
        return found;
    }
    let summary = scene.text(
        format!(
            "{}；发布必须先多起一个 Pod（maxUnavailable 为 0），旧 Pod 因此不会让出位置",
            found.summary.trim_end_matches('。')
        ),
        format!(
            "{}; the rollout has to add a Pod first (maxUnavailable comes to 0), so no old Pod makes room",
            found.summary.trim_end_matches('.')
        ),
    );
    let found = found.summary(summary);
    // Those that share a claim for one Pod have a step of their own.
    if found.code == "volume_in_use_by_other_pod" {
        return found;
    }
    found.steps([change(
        scene.text(
            "允许发布先停一个旧 Pod（maxUnavailable: 1，maxSurge: 0）",
            "Let the rollout stop an old Pod first (maxUnavailable: 1, maxSurge: 0)",
        ),
        scene.text("期间会少一个副本", "One replica fewer serves meanwhile"),
        Some(kubectl(&workload.namespace, &format!("edit deployment {}", workload.name))),
    )])
}

/// The scheduler's verdict without what it says about preemption.
fn essence(message: &str) -> &str {
    message.split(". no new claims").next().and_then(|head| head.split(" preemption:").next()).unwrap_or(message)
}

/// How schedulers say that a bound volume is tied to other Nodes: before 1.35, and since (`ErrReasonNodeConflict`).
const ELSEWHERE: [&str; 2] = ["volume node affinity conflict", "didn't match PersistentVolume's node affinity"];

/// How schedulers say that a Node does not have the labels a Pod asks for.
const AFFINITY: [&str; 3] = ["node affinity", "node selector", "[NodeAffinity]"];

fn explain(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let message = &waiting.message;
    let volume_words = ["unbound immediate", "persistentvolumeclaim", "didn't find available persistent volumes"];
    if volume_words.iter().any(|words| message.contains(words)) {
        return waits_for_claim(scene, waiting);
    }
    if ELSEWHERE.iter().any(|words| message.contains(words)) {
        return volume_elsewhere(scene, waiting);
    }
    let all: Vec<&Node> = scene.nodes.iter().map(|node| &node.object).collect();
    let matching: Vec<&Node> = all.iter().copied().filter(|node| selector::node_matches(waiting.pod, node)).collect();
    let found = by_nodes(scene, waiting, &all, &matching);
    let Some(gap) = unread(scene, message) else {
        let found = found.unwrap_or_else(|| rules::run(scene, waiting));
        return comeback::beside(scene, waiting, &matching, found);
    };
    // What holds for the Nodes that were read need not hold for the others, unless the scheduler says it of all.
    let reasons = Reasons::of(message);
    let of_all = |words: &str| reasons.as_ref().is_some_and(|reasons| reasons.is_of_all(words));
    let holds = |found: &Finding| match found.code {
        "node_selector_mismatch" => AFFINITY.iter().any(|words| of_all(words)),
        "no_usable_node" => reasons.as_ref().is_some_and(|reasons| reasons.each.len() == 1),
        _ => true,
    };
    let Some(found) = found.filter(holds) else { return rules::run(scene, waiting) };
    let confidence = found.confidence.min(Confidence::Medium);
    found.confidence(confidence).gap(gap)
}

/// What the Nodes themselves say, of those that were read.
fn by_nodes(scene: &Scene<'_>, waiting: &Waiting<'_>, all: &[&Node], matching: &[&Node]) -> Option<Finding> {
    if !all.is_empty() && matching.is_empty() {
        return Some(nodes::no_matching_node(scene, waiting));
    }
    let scarce = nodes::scarce(&waiting.message);
    nodes::too_large(scene, waiting, matching)
        .or_else(|| nodes::keeps_off(scene, waiting, matching))
        .or_else(|| pool::replaced(scene, waiting, matching))
        .or_else(|| nodes::unusable_nodes(scene, waiting, matching))
        .or_else(|| comeback::run(scene, waiting, matching))
        .or_else(|| Some(nodes::cluster_full(scene, waiting, scarce.first()?, matching)))
        .or_else(|| nodes::no_room_beside(scene, waiting, matching))
}

/// How many of the Nodes that the scheduler counts were read, where some were not.
fn unread(scene: &Scene<'_>, message: &str) -> Option<String> {
    let (read, total) = (scene.nodes.len(), Reasons::of(message)?.total);
    let all = scene.text(
        format!("调度器统计了 {total} 个 Node，其中读取了 {read} 个"),
        format!("the scheduler counts {total} Nodes, of which {read} were read"),
    );
    (0 < read && read < total).then_some(all)
}

fn finding(code: &'static str, depth: Depth, waiting: &Waiting<'_>, blame: &ObjectRef, headline: String) -> Finding {
    Finding::new(code, depth, &waiting.name, blame, headline).cite(waiting.proof.iter().cloned())
}

fn volume_elsewhere(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let claims = pods::claims(waiting.pod);
    let tied = claims.iter().find_map(|claim| tied_volume(scene, &waiting.name.namespace, claim));
    if let Some(found) = tied.as_ref().and_then(|tied| out_of_service_there(scene, waiting, tied)) {
        return found;
    }
    let claim = tied.as_ref().map(|tied| tied.claim.clone()).or_else(|| claims.first().cloned()).unwrap_or_default();
    let blame = ObjectRef::new("PersistentVolumeClaim", &waiting.name.namespace, &claim);
    let place = tied.as_ref().map(|tied| format!(" ({}: {})", tied.volume, tied.place)).unwrap_or_default();
    // Where the Pod itself asks for another place, that is half of the conflict.
    let wishes = selector::node_wishes(waiting.pod).join(", ");
    let (own_zh, own_en) = if wishes.is_empty() {
        (String::new(), String::new())
    } else {
        (format!("，Pod 自身要求 {wishes}"), format!(" for a Pod that asks for {wishes}"))
    };
    let headline = scene.text(
        format!("{} 无法调度：PVC {claim} 的卷{place}只能在特定节点或可用区使用{own_zh}，而那里没有可用节点（volume node affinity conflict）", waiting.name),
        format!("{} cannot be scheduled: the volume of claim {claim}{place} is tied to Nodes or a zone where none is usable{own_en} (volume node affinity conflict)", waiting.name),
    );
    let mut found = finding("volume_node_affinity_conflict", Depth::Root, waiting, &blame, headline);
    if let Some(tied) = tied {
        let volume = ObjectRef::new("PersistentVolume", "", &tied.volume);
        found = found.cite([scene.quote(&tied.reference, "nodeAffinity:")]).touches([volume.clone()]).related(
            volume,
            scene.text("PVC 绑定的卷", "the volume the claim is bound to"),
            scene.text(
                format!("只能用于满足 {} 的节点", tied.place),
                format!("usable only on Nodes with {}", tied.place),
            ),
        );
    }
    found.touches([waiting.workload.clone()]).steps([
        look(
            scene.text("查看卷的节点亲和性", "Read the volume's node affinity"),
            "kubectl get pv -o custom-columns=NAME:.metadata.name,CLAIM:.spec.claimRef.name,AFFINITY:.spec.nodeAffinity",
        ),
        change(scene.text("在卷所在的可用区恢复或增加节点", "Bring back or add a Node in the volume's zone"), "", None),
    ])
}

/// A claim's volume that only some Nodes can reach.
struct Tied {
    claim: String,
    volume: String,
    place: String,
    terms: Vec<NodeSelectorTerm>,
    reference: String,
}

/// The Nodes that can reach a volume are all out of service: what stands where the volume is has to come back.
fn out_of_service_there(scene: &Scene<'_>, waiting: &Waiting<'_>, tied: &Tied) -> Option<Finding> {
    let there = scene
        .nodes
        .iter()
        .map(|node| &node.object)
        .filter(|node| selector::any_term(&tied.terms, node) && selector::node_matches(waiting.pod, node));
    let found = nodes::unusable_nodes(scene, waiting, &there.collect::<Vec<_>>())?;
    let claim = ObjectRef::new("PersistentVolumeClaim", &waiting.name.namespace, &tied.claim);
    Some(found.cite([scene.quote(&tied.reference, "nodeAffinity:")]).related(
        claim,
        scene.text("它的卷决定了可用的节点", "its volume decides which Nodes will do"),
        scene.text(
            format!("卷 {} 只能用于满足 {} 的节点", tied.volume, tied.place),
            format!("its volume {} is usable only on Nodes with {}", tied.volume, tied.place),
        ),
    ))
}

fn tied_volume(scene: &Scene<'_>, namespace: &str, claim: &str) -> Option<Tied> {
    let bound = scene.facts.get::<PersistentVolumeClaim>(namespace, claim)?.object.spec?.volume_name?;
    let volume = scene.facts.get::<PersistentVolume>("", &bound)?;
    let required = volume.object.spec?.node_affinity?.required?;
    let terms = required.node_selector_terms;
    let place = selector::terms_in_words(&terms).join(", ");
    Some(Tied { claim: claim.to_owned(), volume: bound, place, terms, reference: volume.reference })
}

/// The claim's own analyzer says why it is unbound; here only that the Pod waits.
fn waits_for_claim(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let headline = scene.text(
        format!("{} 无法调度：等待 PVC {} 绑定", waiting.name, pods::claims(waiting.pod).join(", ")),
        format!(
            "{} cannot be scheduled: it waits for claim {} to bind",
            waiting.name,
            pods::claims(waiting.pod).join(", ")
        ),
    );
    let found = finding("pod_waits_for_volume", Depth::Effect, waiting, &waiting.workload, headline);
    found.steps([look(
        scene.text("查看 Pod 的调度事件", "Read the Pod's scheduling events"),
        kubectl(&waiting.name.namespace, &format!("describe pod {}", waiting.name.name)),
    )])
}

fn gated(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let headline = scene.text(
        format!("{} 尚未进入调度：schedulingGates 未被移除", waiting.name),
        format!("{} is not scheduled yet: its schedulingGates have not been removed", waiting.name),
    );
    finding("scheduling_gated", Depth::Mechanism, waiting, &waiting.workload, headline)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Confidence;

    use crate::playbook::world::{World, deployment, node, patched, pod, replica_set, unschedulable};

    fn wants(spec: serde_json::Value, message: &str) -> World {
        World::asking("Pod", "web-1-a").with(pod(patched(unschedulable(message), json!({"spec": spec}))))
    }

    fn requests(cpu: &str) -> serde_json::Value {
        json!({"containers": [{"name": "web", "image": "reg/web:1", "resources": {"requests": {"cpu": cpu}}}]})
    }

    #[test]
    fn a_node_name_that_names_no_node_is_the_workloads_fault() {
        let astray = json!({"spec": {"nodeName": "wroker-1"}, "status": {"phase": "Pending", "conditions": null, "containerStatuses": null}});
        let world = World::asking("Pod", "web-1-a").with(pod(astray)).listed("Node");
        assert_eq!(world.cause(), "node_name_unknown Deployment/web");
    }

    #[test]
    fn a_request_larger_than_any_node_is_the_workloads_fault() {
        let world = wants(requests("12"), "0/1 nodes are available: 1 Insufficient cpu.").with(node(json!({})));
        assert_eq!(world.cause(), "insufficient_cpu Deployment/web");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("cpu 12") && headline.contains("largest 4"), "{headline}");
    }

    #[test]
    fn a_full_cluster_is_told_from_a_request_too_large() {
        let world = wants(requests("2"), "0/1 nodes are available: 1 Insufficient cpu.").with(node(json!({})));
        assert_eq!(world.cause(), "insufficient_cpu Deployment/web");
        assert!(world.diagnosis().headline.contains("no usable Node has that much cpu left"));
    }

    #[test]
    fn a_selector_no_node_satisfies_is_named() {
        let world = wants(
            json!({"nodeSelector": {"disk": "nvme"}}),
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        )
        .with(node(json!({})));
        assert_eq!(world.cause(), "node_selector_mismatch Deployment/web");
        assert!(world.diagnosis().headline.contains("disk=nvme"));
    }

    #[test]
    fn what_some_nodes_show_is_not_said_of_all() {
        let wanted = || json!({"nodeSelector": {"disk": "nvme"}});
        let told = |total: usize| {
            let message = format!("0/{total} nodes are available: {total} node(s) were out of luck.");
            wants(wanted(), &message).with(node(json!({}))).cause()
        };
        assert_eq!(told(1), "node_selector_mismatch Deployment/web");
        assert_eq!(told(40), "pod_unschedulable Deployment/web", "one of forty was read");
        let all = "0/40 nodes are available: 40 node(s) didn't match Pod's node affinity/selector.";
        assert_eq!(wants(wanted(), all).with(node(json!({}))).cause(), "node_selector_mismatch Deployment/web");
        let busy = wants(requests("2"), "0/40 nodes are available: 40 Insufficient cpu.").with(node(json!({})));
        let diagnosis = busy.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::Medium);
        assert!(diagnosis.data_gaps.iter().any(|gap| gap.contains("counts 40 Nodes, of which 1")));
    }

    #[test]
    fn a_taint_without_toleration_is_named() {
        let tainted = node(json!({"spec": {"taints": [{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}]}}));
        let world = wants(json!({}), "0/1 nodes are available: 1 node(s) had untolerated taint(s).").with(tainted);
        assert_eq!(world.cause(), "taint_not_tolerated Deployment/web");
        assert!(world.diagnosis().headline.contains("dedicated=gpu:NoSchedule"));
    }

    #[test]
    fn the_taint_of_the_only_node_in_service_comes_before_nodes_that_are_out() {
        let message = "0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.";
        let cordoned = || node(json!({"metadata": {"name": "n2"}, "spec": {"unschedulable": true}}));
        let tainted = |key: &str| node(json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}}));
        let dedicated = wants(json!({}), message).with(cordoned()).with(tainted("dedicated"));
        assert_eq!(dedicated.cause(), "taint_not_tolerated Deployment/web");
        assert_eq!(dedicated.diagnosis().causes[0].confidence, Confidence::Medium);
        let control_plane =
            wants(json!({}), message).with(cordoned()).with(tainted("node-role.kubernetes.io/control-plane"));
        assert_eq!(control_plane.cause(), "no_usable_node Node/n2");
    }

    #[test]
    fn the_node_that_is_ill_explains_what_anti_affinity_alone_does_not() {
        let message = "0/2 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 1 node(s) had untolerated taint(s).";
        let world = |lost_on: &str| {
            let pressed = json!([{"type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure", "message": "kubelet has disk pressure"},
                {"type": "Ready", "status": "True", "reason": "KubeletReady"}]);
            let taints = json!([{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]);
            let ill =
                json!({"metadata": {"name": "n2"}, "spec": {"taints": taints}, "status": {"conditions": pressed}});
            let evicted = json!({"metadata": {"name": "web-1-b"}, "spec": {"nodeName": lost_on},
                "status": {"phase": "Failed", "reason": "Evicted", "conditions": null, "containerStatuses": null}});
            wants(json!({}), message).with(node(json!({}))).with(node(ill)).with(pod(evicted))
        };
        assert_eq!(world("n2").cause(), "no_usable_node Node/n2");
        assert_eq!(world("n1").cause(), "anti_affinity_unsatisfied Deployment/web", "nothing of it ever ran there");
    }

    #[test]
    fn a_pod_pinned_to_a_dead_node_is_the_nodes_story() {
        let dead = node(
            json!({"spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}]}}),
        );
        let world = wants(
            json!({"nodeSelector": {"kubernetes.io/hostname": "n1"}}),
            "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
        )
        .with(dead);
        assert_eq!(world.cause(), "no_usable_node Node/n1");
    }

    #[test]
    fn spreading_rules_are_told_apart() {
        let told = |message: &str| wants(json!({}), message).with(node(json!({}))).cause();
        assert!(
            told("0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.")
                .starts_with("anti_affinity_unsatisfied")
        );
        assert!(
            told("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.")
                .starts_with("host_port_conflict")
        );
        assert!(told("0/1 nodes are available: 1 Too many pods.").starts_with("node_pod_limit"));
        assert!(told("0/1 nodes are available: 1 node(s) exceed max volume count.").starts_with("node_volume_limit"));
        assert!(
            told("0/1 nodes are available: 1 node(s) did not have enough free storage.")
                .starts_with("storage_capacity_exhausted")
        );
    }

    #[test]
    fn a_rollout_that_must_add_before_it_removes_is_told_where_its_pod_finds_no_room() {
        let rolling = |spared: serde_json::Value| {
            let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": spared, "maxSurge": 1}});
            let told = wants(json!({}), "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.")
                .with(node(json!({})))
                .with(patched(deployment(3, 3), json!({"spec": {"strategy": strategy}})))
                .with(replica_set(2, "reg/web:2", 1, 0))
                .with(replica_set(1, "reg/web:1", 3, 3));
            told.diagnosis().causes[0].summary.contains("maxUnavailable")
        };
        assert!(rolling(json!(0)) && rolling(json!("25%")), "a quarter of three is none");
        assert!(!rolling(json!(1)) && !rolling(json!("50%")));
    }

    #[test]
    fn a_pod_of_one_node_waits_for_that_node() {
        let message =
            "0/2 nodes are available: 1 Insufficient memory, 1 node(s) didn't satisfy plugin(s) [NodeAffinity].";
        let terms = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]);
        let affinity = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
        let world = wants(affinity, message).with(node(json!({}))).with(node(json!({"metadata": {"name": "n2"}})));
        let headline = world.diagnosis().headline;
        assert!(headline.contains("n1, the only Node it may use"), "{headline}");
    }

    #[test]
    fn a_volume_in_another_zone_is_blamed_on_its_claim() {
        let volumes = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]});
        for words in ["had volume node affinity conflict", "didn't match PersistentVolume's node affinity"] {
            let message = format!("0/1 nodes are available: 1 node(s) {words}. no new claims to deallocate.");
            let world = wants(volumes.clone(), &message).with(node(json!({})));
            assert_eq!(world.cause(), "volume_node_affinity_conflict PersistentVolumeClaim/data");
        }
    }

    #[test]
    fn placed_pods_stay_quiet_whatever_was_said_before() {
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).event(
            "Pod",
            "web-1-a",
            "FailedScheduling",
            "0/1 nodes are available: 1 Insufficient cpu.",
        );
        world.is_calm();
    }

    #[test]
    fn the_volume_and_its_zone_are_named() {
        let volumes = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]});
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
            "spec": {"volumeName": "pv-7"}, "status": {"phase": "Bound"}});
        let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-7"},
            "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["c"]}]}]}}}});
        let world = wants(volumes, "0/1 nodes are available: 1 node(s) had volume node affinity conflict.")
            .with(node(json!({})))
            .with(claim)
            .with(volume);
        let headline = world.diagnosis().headline;
        assert!(headline.contains("pv-7") && headline.contains("zone=c"), "{headline}");
    }

    #[test]
    fn the_only_node_in_the_volumes_zone_is_blamed_where_it_is_cordoned() {
        let zoned = |cordoned: bool| {
            let volumes = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]});
            let there =
                json!({"metadata": {"name": "n6", "labels": {"zone": "b"}}, "spec": {"unschedulable": cordoned}});
            wants(volumes, "0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) didn't match PersistentVolume's node affinity.")
                .with(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
                    "spec": {"volumeName": "pv-1"}, "status": {"phase": "Bound"}}))
                .with(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-1"},
                    "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                        {"key": "zone", "operator": "In", "values": ["b"]}]}]}}}}))
                .with(node(json!({})))
                .with(node(there))
        };
        let world = zoned(true);
        assert_eq!(world.cause(), "no_usable_node Node/n6");
        assert!(world.diagnosis().headline.contains("cordoned"), "{}", world.diagnosis().headline);
        let commands: Vec<_> = world.diagnosis().steps.into_iter().filter_map(|step| step.command).collect();
        assert!(commands.contains(&"kubectl uncordon n6".to_owned()), "{commands:?}");
        assert_eq!(zoned(false).cause(), "volume_node_affinity_conflict PersistentVolumeClaim/data");
    }

    #[test]
    fn of_a_cordoned_node_it_is_told_since_when_and_why() {
        let told = |annotations: serde_json::Value| {
            let taint = json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2026-11-23T01:33:09Z"}]);
            let there =
                json!({"metadata": {"annotations": annotations}, "spec": {"unschedulable": true, "taints": taint}});
            let world = wants(json!({}), "0/1 nodes are available: 1 node(s) were unschedulable.").with(node(there));
            world.diagnosis().headline
        };
        let why = told(json!({"lab/maintenance": "firmware, uncordon when done"}));
        assert!(why.contains("cordoned since 2026-11-23 01:33:09 UTC; annotation lab/maintenance: firmware"), "{why}");
        let silent = told(json!({"node.alpha.kubernetes.io/ttl": "0"}));
        assert!(silent.contains("cordoned since") && !silent.contains("annotation"), "{silent}");
    }

    #[test]
    fn the_schedulers_rarer_words_are_told_apart() {
        let told = |message: &str| wants(json!({}), message).with(node(json!({}))).cause();
        let in_use = "0/1 nodes are available: 1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod.";
        assert_eq!(told(in_use), "volume_in_use_by_other_pod Deployment/web");
        let apart = "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.";
        assert_eq!(told(apart), "pod_affinity_unsatisfied Deployment/web");
        let unknown = "0/1 nodes are available: 1 node(s) were out of luck.";
        assert_eq!(told(unknown), "pod_unschedulable Deployment/web");
    }

    #[test]
    fn scratch_space_that_no_node_has_is_named() {
        let asks = |storage: &str| json!({"containers": [{"name": "web", "image": "reg/web:1", "resources": {"requests": {"ephemeral-storage": storage}}}]});
        let offers = || node(json!({"status": {"allocatable": {"ephemeral-storage": "90Gi"}}}));
        let message = "0/1 nodes are available: 1 Insufficient ephemeral-storage.";
        let too_large = wants(asks("200Gi"), message).with(offers());
        assert_eq!(too_large.cause(), "insufficient_ephemeral_storage Deployment/web");
        assert!(too_large.diagnosis().headline.contains("largest 90Gi"), "{}", too_large.diagnosis().headline);
        let full = wants(asks("20Gi"), message).with(offers());
        assert_eq!(full.cause(), "insufficient_ephemeral_storage Deployment/web");
        assert!(full.diagnosis().headline.contains("no usable Node"));
    }

    #[test]
    fn a_gate_that_holds_a_pod_is_named_and_a_gate_that_was_lifted_is_not() {
        let gated = |reason: &str, message: &str| {
            let condition = json!([{"type": "PodScheduled", "status": "False", "reason": reason, "message": message}]);
            let held = json!({"status": {"conditions": condition}});
            World::asking("Pod", "web-1-a").with(pod(patched(unschedulable(""), held))).with(node(json!({})))
        };
        let world = gated("SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates");
        assert_eq!(world.cause(), "scheduling_gated Deployment/web");
        let lifted = gated("Unschedulable", "0/1 nodes are available: 1 Too many pods.");
        assert!(!lifted.codes().contains(&"scheduling_gated"));
    }

    #[test]
    fn a_pod_that_waits_for_its_claim_says_so_and_the_claim_says_why() {
        let volumes = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]});
        let unbound = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
        let waits = || wants(volumes.clone(), unbound).with(node(json!({})));
        assert_eq!(waits().cause(), "pod_waits_for_volume Deployment/web");
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
            "spec": {"volumeName": "pv-7"}, "status": {"phase": "Lost"}});
        assert_eq!(waits().with(claim).cause(), "pvc_lost PersistentVolumeClaim/data");
        let bound = wants(volumes.clone(), "0/1 nodes are available: 1 Too many pods.").with(node(json!({})));
        assert!(!bound.codes().contains(&"pod_waits_for_volume"));
    }
}
