//! Nodes that are back: since when, from what, what was started again with them, and that nobody knows why they were rebooted.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::alert::ObjectRef;
use crate::playbook::facts::SeenEvent;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::recently::{LATELY, clock, lately};
use crate::playbook::scene::{Scene, named};

/// How long after a Node is Ready its Pods may still be noted as ended by its absence.
const SETTLED: SignedDuration = SignedDuration::from_mins(10);
/// How long before a Node was lost its own events may say why.
const BEFORE: SignedDuration = SignedDuration::from_mins(30);
/// Events of a Node's usual coming and going, which say that it was rebooted and not why.
static USUAL: Pattern = Pattern::new(
    r"^(?:Rebooted|Starting|Registered|Removing|Synced|CIDR|Node(?:Ready|NotReady|Has|Allocatable|Schedulable|NotSchedulable)|InvalidDiskCapacity|OwnerRefInvalidNamespace)",
);
/// Pods that are named as started again with a Node.
const NAMED: usize = 3;

/// A Node that was not ready, or was rebooted, and is Ready again.
struct Return {
    node: ObjectRef,
    lost: Option<Timestamp>,
    rebooted: Option<Timestamp>,
    since: Timestamp,
}

/// When a Node came back, and from what, as its own events and its condition tell it.
fn of(scene: &Scene<'_>, node: &Node) -> Option<Return> {
    let name = named(node);
    let conditions = node.status.as_ref()?.conditions.as_deref()?;
    let ready = conditions.iter().find(|it| it.type_ == "Ready" && it.status == "True")?;
    let since = ready.last_transition_time.as_ref()?.0;
    if since + LATELY <= scene.facts.now {
        return None;
    }
    let is_its = |event: &SeenEvent| event.about.kind == "Node" && event.about.name == name.name;
    let lost = lately(scene, "NodeNotReady").filter(|(at, event)| is_its(event) && *at < since);
    let lost = lost.map(|(at, _)| at).max();
    let rebooted = lately(scene, "Rebooted").filter(|(_, event)| is_its(event)).map(|(at, _)| at).max();
    (lost.is_some() || rebooted.is_some()).then_some(Return { node: name, lost, rebooted, since })
}

/// What is told of the Node in question that came back last.
pub(super) fn told(scene: &Scene<'_>) -> Option<(Timestamp, String)> {
    let asked = scene.nodes.iter().filter(|node| scene.question.targets.contains(&named(&node.object)));
    asked.filter_map(|node| of(scene, &node.object)).max_by_key(|back| back.since).map(|back| sentence(scene, &back))
}

fn sentence(scene: &Scene<'_>, back: &Return) -> (Timestamp, String) {
    let (name, ready) = (&back.node, clock(back.since));
    let (reboot_zh, reboot_en) = if back.rebooted.is_some() {
        ("，期间重启过（Rebooted）", ", and was rebooted meanwhile")
    } else {
        ("", "")
    };
    let again = again(scene, back);
    let said = match back.lost.map(clock) {
        Some(lost) => scene.text(
            format!("{name} 在 {lost} 至 {ready} 之间 NotReady{reboot_zh}；自 {ready} 起 Ready{again}"),
            format!("{name} was NotReady from {lost} to {ready}{reboot_en}; it is Ready since {ready}{again}"),
        ),
        None => scene.text(
            format!("{name} 重启过（Rebooted）；自 {ready} 起 Ready{again}"),
            format!("{name} was rebooted; it is Ready since {ready}{again}"),
        ),
    };
    (back.since, said)
}

/// The Pods of a Node whose containers ended while it was away, or right after: they were started again with it.
fn again(scene: &Scene<'_>, back: &Return) -> String {
    let from = back.lost.or(back.rebooted).unwrap_or(back.since);
    let ended_then = |pod: &Pod| {
        pods::containers(pod).iter().any(|view| {
            let last = view.status.and_then(|status| status.last_state.as_ref()?.terminated.as_ref());
            let at = last.and_then(|last| Some(last.finished_at.as_ref()?.0));
            at.is_some_and(|at| from <= at && at <= back.since + SETTLED)
        })
    };
    let there = scene.pods.iter().map(|pod| &pod.object);
    let there = there.filter(|pod| pods::node_name(pod) == Some(&back.node.name) && ended_then(pod));
    let mut names: Vec<String> = there.map(named).map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
    names.sort();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if names.is_empty() {
        return String::new();
    }
    let more = if more > 0 {
        scene.text(format!(" 等（另有 {more} 个）"), format!(" and {more} more"))
    } else {
        String::new()
    };
    let names = names.join(", ");
    scene.text(format!("；随它重启的 Pod：{names}{more}"), format!("; Pods started again with it: {names}{more}"))
}

/// When a Node was rebooted, since when it is Ready, and what was noted of it just before.
fn rebooted(scene: &Scene<'_>, object: &ObjectRef) -> Option<(Timestamp, Timestamp, Option<String>)> {
    let back = of(scene, &scene.node(&object.name).filter(|_| object.kind == "Node")?.object)?;
    let at = back.rebooted?;
    let from = back.lost.map_or(at, |lost| lost.min(at)) - BEFORE;
    Some((at, back.since, noted(scene, object, from, back.since)))
}

/// The last that was noted of a Node while it went away, beside its usual coming and going.
fn noted(scene: &Scene<'_>, node: &ObjectRef, from: Timestamp, until: Timestamp) -> Option<String> {
    let events = scene.facts.events().iter();
    let its = events.filter(|event| event.about.kind == "Node" && event.about.name == node.name);
    let within = its.filter(|event| event.last_seen.is_some_and(|at| from <= at && at <= until));
    let last = within.filter(|event| !USUAL.hits(&event.reason)).max_by_key(|event| event.last_seen)?;
    Some(format!("{}: {}", last.reason, logs::shorten(&last.message, 160)))
}

/// The headline for a Node that was rebooted: nothing is broken now, and that is not all there is to say.
pub(super) fn headline(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let (at, since, noted) = rebooted(scene, object)?;
    let (at, since) = (clock(at), clock(since));
    if let Some(noted) = noted {
        return Some(scene.text(
            format!("未发现当前故障：{object} 在 {at} 重启过（Rebooted），自 {since} 起恢复健康（healthy）；重启前后它的事件：{noted}"),
            format!("No fault found now: {object} was rebooted at {at} and is healthy again, Ready since {since}; its events around that: {noted}"),
        ));
    }
    Some(scene.text(
        format!("未发现当前故障：{object} 在 {at} 重启过（Rebooted），自 {since} 起恢复健康（healthy）；为何重启，读到的内容没有说明"),
        format!("No fault found now: {object} was rebooted at {at} and is healthy again, Ready since {since}; nothing that was read says why it rebooted"),
    ))
}

/// What a person has to find out about a reboot.
pub(super) fn question(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let (at, _, noted) = rebooted(scene, object)?;
    let at = clock(at);
    if let Some(noted) = noted {
        return Some(scene.text(
            format!("{object} 在 {at} 重启是否因为 {noted}：请看节点上一次启动的内核日志"),
            format!("Did {object} reboot at {at} because of {noted}? The kernel's log of the boot before may say"),
        ));
    }
    Some(scene.text(
        format!("{object} 为何在 {at} 重启？是计划内的维护，还是内核崩溃、断电或云厂商的操作：请看节点上一次启动的内核日志与云平台的事件"),
        format!("Why did {object} reboot at {at}: maintenance, a kernel panic, power, or its provider? The kernel's log of the boot before and the provider's events may say"),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, ended, node, pod};
    use crate::report::Verdict;

    fn back(reboot: bool) -> crate::report::Diagnosis {
        world(reboot).diagnosis()
    }

    fn world(reboot: bool) -> World {
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T02:59:30Z"}]}});
        let again = json!({"status": {"containerStatuses": [{"name": "web", "image": "reg/web:1", "imageID": "", "ready": true, "restartCount": 1,
            "state": {"running": {"startedAt": "2026-11-23T02:59:40Z"}}, "lastState": ended(255, "Unknown", "2026-11-23T02:59:20Z")}]}});
        let world = World::asking("Node", "n1").with(node(ready)).with(pod(again)).event(
            "Node",
            "n1",
            "NodeNotReady",
            "Node n1 status is now: NodeNotReady",
        );
        if reboot { world.event("Node", "n1", "Rebooted", "Node n1 has been rebooted, boot id: 7") } else { world }
    }

    #[test]
    fn a_reboot_is_told_and_that_nobody_knows_why() {
        let diagnosis = back(true);
        assert_eq!(diagnosis.verdict, Verdict::NoFault);
        assert!(diagnosis.headline.contains("was rebooted at"), "{}", diagnosis.headline);
        let told = diagnosis.primary.findings.join("\n");
        assert!(told.contains("Pods started again with it: shop/web-1-a"), "{told}");
        assert!(
            diagnosis.unresolved.iter().any(|it| it.starts_with("Why did Node/n1 reboot")),
            "{:?}",
            diagnosis.unresolved
        );
    }

    #[test]
    fn what_was_noted_of_the_node_before_its_reboot_is_told() {
        let panic = "kernel: BUG: unable to handle page fault, Kernel panic - not syncing: Fatal exception";
        let told = world(true).event("Node", "n1", "KernelOops", panic).diagnosis();
        assert!(told.headline.contains("KernelOops: kernel: BUG"), "{}", told.headline);
        assert!(!told.headline.contains("nothing that was read"), "{}", told.headline);
        assert!(told.unresolved.iter().any(|it| it.contains("because of KernelOops")), "{:?}", told.unresolved);
        let usual = world(true).event("Node", "n1", "Starting", "Starting kubelet.").diagnosis();
        assert!(usual.headline.contains("nothing that was read"), "{}", usual.headline);
        let other = world(true).event("Node", "n2", "KernelOops", panic).diagnosis();
        assert!(!other.headline.contains("KernelOops"), "{}", other.headline);
    }

    #[test]
    fn a_node_that_was_only_silent_was_not_rebooted() {
        let diagnosis = back(false);
        assert!(
            diagnosis.headline.contains("is healthy now") && !diagnosis.headline.contains("reboot"),
            "{}",
            diagnosis.headline
        );
        assert!(!diagnosis.unresolved.iter().any(|it| it.contains("reboot")));
    }
}
