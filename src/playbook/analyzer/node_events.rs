//! What a Node's events tell although its conditions are well: memory ran out, the disk is not freed, no room for Pods.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::node;
use crate::playbook::facts::{Seen, SeenEvent};
use crate::playbook::finding::{Depth, Finding, change, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::quantity;
use crate::report::Confidence;

/// Events older than this, in minutes, are history.
const RECENT: i64 = 60;
/// The share of a Node's Pods from which on it is nearly full, as KubeletTooManyPods has it.
const NEARLY: f64 = 0.95;

/// Reasons of a Node's warnings that mean a fault, their codes, and what they say.
const REASONS: [(&str, &str, &str, &str); 3] = [
    (
        "SystemOOM",
        "node_system_oom",
        "节点内存耗尽，内核杀死了进程（SystemOOM）",
        "ran out of memory and the kernel killed a process (SystemOOM)",
    ),
    (
        "ImageGCFailed",
        "node_disk_not_freed",
        "镜像清理失败，磁盘无法释放（ImageGCFailed）",
        "cannot free its disk by removing images (ImageGCFailed)",
    ),
    (
        "FreeDiskSpaceFailed",
        "node_disk_not_freed",
        "磁盘空间清理失败（FreeDiskSpaceFailed）",
        "cannot free its disk (FreeDiskSpaceFailed)",
    ),
];

/// Findings about Nodes that are asked about.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let asked = scene.nodes.iter().map(|node| named(&node.object)).filter(|name| scene.question.targets.contains(name));
    asked.flat_map(|name| told(scene, &name).into_iter().chain(crowded(scene, &name))).collect()
}

fn told(scene: &Scene<'_>, name: &ObjectRef) -> Option<Finding> {
    // Conditions that are not well say more than what came before them.
    if !node::troubles(&scene.node(&name.name)?.object).is_empty() {
        return None;
    }
    let recent = |event: &&SeenEvent| {
        event.last_seen.is_none_or(|at| (scene.facts.now.as_second() - at.as_second()) / 60 < RECENT)
    };
    let mut events = scene.facts.events_about(name).filter(|event| event.kind == "Warning").filter(recent);
    let (event, (_, code, zh, en)) = events.find_map(|event| {
        let known = REASONS.iter().find(|(reason, ..)| *reason == event.reason)?;
        Some((event, known))
    })?;
    let said = logs::shorten(&event.message, 160);
    let headline = scene.text(format!("Node {} {zh}：{said}", name.name), format!("Node {} {en}: {said}", name.name));
    Some(
        Finding::new(code, Depth::Mechanism, name, name, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote_event(event)])
            .steps([
                look(
                    scene.text("查看节点条件与事件", "Read the Node's conditions and events"),
                    format!("kubectl describe node {}", name.name),
                ),
                look(scene.text("查看节点用量", "See what the Node uses"), format!("kubectl top node {}", name.name)),
                change(
                    scene
                        .text("在节点上查看内核与 kubelet 日志", "Read the kernel's and the kubelet's log on the Node"),
                    "journalctl -k; journalctl -u kubelet",
                    None,
                ),
            ]),
    )
}

/// A Node with no room for another Pod.
fn crowded(scene: &Scene<'_>, name: &ObjectRef) -> Option<Finding> {
    let found = scene.node(&name.name)?;
    let room = found.object.status.as_ref()?.allocatable.as_ref()?.get("pods")?;
    let limit = quantity::amount(&room.0).filter(|limit| *limit > 0.0)?;
    let here =
        |pod: &&Seen<Pod>| pods::node_name(&pod.object) == Some(name.name.as_str()) && !pods::is_finished(&pod.object);
    let count = scene.facts.crowd(&name.name).unwrap_or_else(|| scene.pods.iter().filter(here).count());
    if (count as f64) < limit * NEARLY {
        return None;
    }
    let headline = scene.text(
        format!("Node {} 上有 {count} 个 Pod，接近或达到上限 {limit}，无法再接收新的 Pod", name.name),
        format!("Node {} runs {count} Pods, at or near its limit of {limit}, and takes hardly any more", name.name),
    );
    Some(
        Finding::new("node_pod_limit", Depth::Mechanism, name, name, headline)
            .cite([scene.quote_any(
                &found.reference,
                &[&format!("pods: \"{}\"", room.0), &format!("pods: '{}'", room.0), &format!("pods: {}", room.0)],
            )])
            .steps([
                look(
                    scene.text("列出该节点上的 Pod", "List the Pods on it"),
                    format!("kubectl get pods -A -o wide --field-selector spec.nodeName={}", name.name),
                ),
                change(
                    scene.text("增加节点，或调高 kubelet 的 maxPods", "Add Nodes, or raise the kubelet's maxPods"),
                    scene.text(
                        "maxPods 受 Pod 网段大小限制",
                        "maxPods is bounded by the size of the Node's Pod network",
                    ),
                    None,
                ),
            ]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, node, pod};

    #[test]
    fn memory_that_ran_out_is_told_though_the_node_is_ready_again() {
        let asked = || World::asking("Node", "n1").with(node(json!({})));
        let world = asked().event("Node", "n1", "SystemOOM", "System OOM encountered, victim process: java, pid: 4711");
        assert_eq!(world.cause(), "node_system_oom Node/n1");
        asked().event("Node", "n1", "InvalidDiskCapacity", "invalid capacity 0 on image filesystem").is_calm();
    }

    #[test]
    fn a_node_full_of_pods_says_its_limit() {
        let room = |pods: &str| node(json!({"status": {"allocatable": {"pods": pods}}}));
        let world = World::asking("Node", "n1").with(room("1")).with(pod(json!({})));
        assert_eq!(world.cause(), "node_pod_limit Node/n1");
        World::asking("Node", "n1").with(room("110")).with(pod(json!({}))).is_calm();
    }

    #[test]
    fn a_disk_that_cannot_be_freed_is_told_while_its_condition_is_still_well() {
        let asked = || World::asking("Node", "n1").with(node(json!({})));
        let full = "failed to garbage collect required amount of images. Attempted to free 5 bytes, but only found 0";
        let world = asked().event("Node", "n1", "FreeDiskSpaceFailed", full);
        assert_eq!(world.cause(), "node_disk_not_freed Node/n1");
        assert_eq!(asked().event("Node", "n1", "ImageGCFailed", full).cause(), "node_disk_not_freed Node/n1");
        World::asking("Pod", "web-1-a")
            .with(pod(json!({})))
            .with(node(json!({})))
            .event("Node", "n1", "ImageGCFailed", full)
            .is_calm();
    }
}
