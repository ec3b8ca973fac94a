//! A ReadWriteOnce volume that a Pod waits for while another Pod has it on another Node: who holds it decides what helps.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::{node, rollout};
use crate::playbook::back;
use crate::playbook::facts::{Seen, SeenEvent};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, controller, named};
use crate::report::{Confidence, Step};

/// The PersistentVolume an event of the attach/detach controller speaks of.
static VOLUME: Pattern = Pattern::new(r#"for volume "([^"]+)""#);

/// Whether an event says that a volume is attached elsewhere.
#[must_use]
pub fn is_told(event: &SeenEvent) -> bool {
    event.message.contains("Multi-Attach")
}

/// Why the other Pod has the volume still.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Its Node does not answer: nobody can say that it has let go.
    NodeDown,
    /// It is on its way out.
    Leaving,
    /// It is of the version before, and the rollout may not end it before the new one is Ready: neither gives way.
    Deadlock,
    /// It is of the same version: more replicas than the volume takes Nodes.
    Replicas,
    /// It is another workload's.
    Other,
    /// Not known, or about to be replaced.
    Unknown,
}

/// The Pod that has the volume.
struct Holder<'s> {
    pod: &'s Seen<Pod>,
    name: ObjectRef,
    node: &'s str,
    hold: Hold,
}

/// The finding about a Pod that waits for a volume which is attached to another Node.
#[must_use]
pub fn finding(scene: &Scene<'_>, pod: &Seen<Pod>, name: &ObjectRef, event: &SeenEvent) -> Finding {
    let workload = scene.workload(&pod.object);
    let claimed = meant(scene, pods::claims(&pod.object), &name.namespace, event);
    let holder = holder(scene, pod, &claimed, event);
    let shared = holder.as_ref().and_then(|it| {
        let theirs = pods::claims(&it.pod.object);
        claimed.iter().find(|claim| theirs.contains(claim))
    });
    let claim = shared.or(claimed.first()).map(|claim| ObjectRef::new("PersistentVolumeClaim", &name.namespace, claim));
    let headline = headline(scene, name, claim.as_ref(), holder.as_ref());
    let said = logs::said(&event.message);
    let summary =
        scene.text(format!("{headline}（{}）：{said}", event.reason), format!("{headline} ({}): {said}", event.reason));
    // How the workload is rolled out is what keeps both from going on; otherwise it is the volume's.
    let is_deadlock = holder.as_ref().is_some_and(|it| it.hold == Hold::Deadlock);
    let blame = claim.filter(|_| !is_deadlock).unwrap_or_else(|| workload.clone());
    let written = scene.deployments.iter().find(|it| named(&it.object) == workload);
    let strategy = written.and_then(|it| scene.quote(&it.reference, "type: RollingUpdate"));
    // Of several claims that may be meant, none is sure.
    let sure = if claimed.len() > 1 { Confidence::Medium } else { Confidence::High };
    let found = Finding::new("volume_multi_attach", Depth::Mechanism, name, &blame, headline)
        .confidence(sure)
        .summary(summary)
        .steps([look(
            scene.text("查看卷挂载在哪个节点上", "See which Node the volume is attached to"),
            "kubectl get volumeattachments",
        )])
        .steps(remedies(scene, &workload, holder.as_ref()))
        .cite([strategy.filter(|_| is_deadlock)]);
    match holder {
        Some(holder) => found.touches([holder.name]),
        None => found,
    }
}

/// The claims of a Pod that an event may mean: the one bound to the volume it names, or else those that may be, for all that
/// was read of them.
fn meant(scene: &Scene<'_>, claimed: Vec<String>, namespace: &str, event: &SeenEvent) -> Vec<String> {
    let Some(volume) = VOLUME.group(&event.message, 1) else { return claimed };
    let bound = |claim: &String| {
        let wanted = ObjectRef::new("PersistentVolumeClaim", namespace, claim);
        let found = scene.claims.iter().find(|it| named(&it.object) == wanted)?;
        found.object.spec.as_ref()?.volume_name.as_deref()
    };
    match claimed.iter().find(|claim| bound(claim) == Some(volume.as_str())) {
        Some(claim) => vec![claim.clone()],
        None => claimed.into_iter().filter(|claim| bound(claim).is_none()).collect(),
    }
}

/// Another Pod with the same claim on another Node; one that the event names first.
fn holder<'s>(scene: &'s Scene<'_>, waits: &Seen<Pod>, claimed: &[String], event: &SeenEvent) -> Option<Holder<'s>> {
    let own_node = pods::node_name(&waits.object);
    let namespace = &waits.object.metadata.namespace;
    let holds = |pod: &&Seen<Pod>| {
        pod.object.metadata.namespace == *namespace
            && pod.object.metadata.name != waits.object.metadata.name
            && !pods::is_finished(&pod.object)
            && pods::node_name(&pod.object).is_some_and(|node| Some(node) != own_node)
            && pods::claims(&pod.object).iter().any(|claim| claimed.contains(claim))
    };
    let is_named = |pod: &Seen<Pod>| pod.object.metadata.name.as_deref().is_some_and(|it| event.message.contains(it));
    let pod = scene.pods.iter().filter(holds).max_by_key(|pod| (is_named(pod), pods::is_ready(&pod.object)))?;
    let node = pods::node_name(&pod.object)?;
    Some(Holder { pod, name: named(&pod.object), node, hold: hold(scene, waits, pod, node) })
}

fn hold(scene: &Scene<'_>, waits: &Seen<Pod>, holder: &Seen<Pod>, on: &str) -> Hold {
    let workload = scene.workload(&waits.object);
    let version = |pod: &Seen<Pod>| controller(&pod.object.metadata).map(|owner| owner.name.clone());
    let down = |it: &Seen<k8s_openapi::api::core::v1::Node>| {
        node::troubles(&it.object).iter().any(|condition| condition.type_ == "Ready")
    };
    if scene.node(on).is_some_and(down) {
        Hold::NodeDown
    } else if pods::is_leaving(&holder.object) {
        Hold::Leaving
    } else if scene.workload(&holder.object) != workload {
        Hold::Other
    } else if version(waits) == version(holder) {
        Hold::Replicas
    } else if pods::is_ready(&holder.object) && rollout::must_surge(scene, &workload) {
        Hold::Deadlock
    } else {
        Hold::Unknown
    }
}

fn headline(scene: &Scene<'_>, name: &ObjectRef, claim: Option<&ObjectRef>, holder: Option<&Holder<'_>>) -> String {
    let (zh, en) = claim.map_or_else(
        || ("卷".to_owned(), "volume".to_owned()),
        |claim| (format!("卷 {}", claim.name), format!("volume {}", claim.name)),
    );
    let Some(holder) = holder else {
        return scene.text(
            format!("{name} 无法启动：它的 ReadWriteOnce {zh} 仍挂载在另一个节点上，而这种卷一次只能挂到一个节点（Multi-Attach）"),
            format!("{name} cannot start: its ReadWriteOnce {en} is still attached to another Node, and goes to one at a time (Multi-Attach)"),
        );
    };
    let (how_zh, how_en) = held(scene, holder);
    let node = holder.node;
    scene.text(
        format!("{name} 无法启动：它的 ReadWriteOnce {zh} 在节点 {node} 上被{how_zh}（Multi-Attach）"),
        format!("{name} cannot start: its ReadWriteOnce {en} is held on Node {node} by {how_en} (Multi-Attach)"),
    )
}

/// Who holds the volume, and why that does not end.
fn held(scene: &Scene<'_>, Holder { pod, name, node, hold }: &Holder<'_>) -> (String, String) {
    let pod_name = &name.name;
    match hold {
        Hold::NodeDown => (
            format!("Pod {pod_name} 占用，而 {node} 未就绪，卷因此不会被卸下"),
            format!("Pod {pod_name}; {node} is not Ready, so it is not detached"),
        ),
        Hold::Leaving => (format!("正在退出的 Pod {pod_name} 占用"), format!("Pod {pod_name}, which is terminating")),
        Hold::Deadlock => (
            format!(
                "旧版本的 Pod {pod_name} 占用，而滚动发布（maxUnavailable 折合为 0）要等新 Pod 就绪才停它：互相等待，不会自行恢复"
            ),
            format!(
                "Pod {pod_name} of the version before, which the rolling update (maxUnavailable comes to 0) ends only once the new Pod is Ready: a deadlock"
            ),
        ),
        Hold::Replicas => (
            format!("同一版本的另一个副本 {pod_name} 占用，不同节点上的副本不能共用它"),
            format!("{pod_name}, another replica of the same version, and replicas on several Nodes cannot share it"),
        ),
        Hold::Other => {
            let theirs = scene.workload(&pod.object);
            (format!("{theirs} 的 Pod {pod_name} 使用"), format!("Pod {pod_name} of {theirs}"))
        }
        Hold::Unknown => (format!("Pod {pod_name} 占用"), format!("Pod {pod_name}")),
    }
}

fn remedies(scene: &Scene<'_>, workload: &ObjectRef, holder: Option<&Holder<'_>>) -> Vec<Step> {
    let Some(Holder { name, node, hold, .. }) = holder else { return vec![unknown(scene)] };
    let pod = kubectl(&name.namespace, &format!("describe pod {}", name.name));
    let inspect = look(scene.text("查看占用该卷的 Pod", "Look at the Pod that has the volume"), pod);
    match hold {
        Hold::NodeDown => node_down(scene, node),
        Hold::Leaving => vec![
            inspect,
            change(
                scene.text("等它退出，卷随后自动卸下", "Let it end; the volume is detached after that"),
                scene.text(
                    "若超过宽限期仍未退出，先查清原因（finalizer、preStop、卡住的卸载）；节点正常时不要手工删除 VolumeAttachment，以免损坏数据",
                    "If it outlasts its grace period, find out why first (finalizer, preStop, an unmount that hangs); delete no VolumeAttachment while the Node is well: that can corrupt the data",
                ),
                None,
            ),
        ],
        Hold::Deadlock => deadlock(scene, workload),
        Hold::Replicas => vec![change(
            scene.text(
                "只留一个副本，或让每个副本有自己的卷（StatefulSet 的 volumeClaimTemplates），或改用 ReadWriteMany 存储",
                "Run one replica, or give each its own volume (volumeClaimTemplates of a StatefulSet), or use ReadWriteMany storage",
            ),
            scene.text(
                "占用者在正常节点上使用该卷，不要手工卸载",
                "Detach nothing by hand: the volume is in use on a healthy Node",
            ),
            matches!(workload.kind.as_str(), "Deployment" | "StatefulSet" | "ReplicaSet")
                .then(|| kubectl(&workload.namespace, &format!("scale {} --replicas=1", slash(workload)))),
        )],
        Hold::Other => vec![
            inspect,
            change(
                scene.text(
                    "两个工作负载共用一个 ReadWriteOnce 卷：停掉其中一个，或让两者调度到同一节点，或改用 ReadWriteMany 存储",
                    "Two workloads share a ReadWriteOnce volume: stop one, or place both on one Node, or use ReadWriteMany storage",
                ),
                scene.text(
                    "占用者正在使用该卷，不要手工卸载",
                    "Detach nothing by hand: the volume is in use",
                ),
                None,
            ),
        ],
        Hold::Unknown => vec![inspect, unknown(scene)],
    }
}

fn unknown(scene: &Scene<'_>) -> Step {
    change(
        scene.text(
            "让占用该卷的 Pod 退出，卷随后自动卸下",
            "End the Pod that has the volume; it is detached after that",
        ),
        scene.text(
            "节点正常时不要手工删除 VolumeAttachment；只有确认旧节点已关机才可以",
            "Delete no VolumeAttachment by hand while its Node is well: only once that Node is surely off",
        ),
        None,
    )
}

fn node_down(scene: &Scene<'_>, node: &str) -> Vec<Step> {
    vec![
        look(
            scene.text("查看占用该卷的节点", "Look at the Node that has the volume"),
            kubectl("", &format!("describe node {node}")),
        ),
        change(
            scene.text(
                "先恢复该节点；确认它确已关机后，标记为停用，卷随即卸下",
                "Bring the Node back; or, once it is surely off, mark it out of service, and the volume is detached",
            ),
            scene.text(
                "节点若只是失联而仍在运行，强行卸载会损坏数据；节点回来后移除该污点",
                "If it only lost contact and runs on, a forced detach corrupts the data; take the taint away when the Node is back",
            ),
            Some(kubectl("", &format!("taint nodes {node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"))),
        ),
    ]
}

fn deadlock(scene: &Scene<'_>, workload: &ObjectRef) -> Vec<Step> {
    let target = slash(workload);
    vec![
        change(
            scene.text(
                "把发布策略改为 Recreate：先停旧 Pod，再起新 Pod",
                "Set the strategy to Recreate: the old Pod is ended before the new one begins",
            ),
            scene.text(
                "每次发布会有短暂中断；只放行这一次时，先缩到 0，旧 Pod 退出后再扩回。旧 Pod 在正常节点上使用该卷，不要手工卸载或删除 VolumeAttachment",
                "Each release then has a short outage; for this once, scale to 0 and back when the old Pod is gone. Never detach the volume or delete its VolumeAttachment: a healthy Node uses it",
            ),
            Some(kubectl(
                &workload.namespace,
                &format!("patch {target} --type=merge -p '{{\"spec\":{{\"strategy\":{{\"type\":\"Recreate\",\"rollingUpdate\":null}}}}}}'"),
            )),
        ),
        change(
            scene.text(
                "或先撤回这次发布：旧版本仍在服务，不会中断",
                "Or take this release back: the version before still serves, nothing is interrupted",
            ),
            "",
            Some(back::undo(workload)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, deployment, node, patched, pod, replica_set, waiting};

    const TOLD: &str = "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) web-1-a";

    fn data() -> Value {
        json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}})
    }

    fn of_set(name: &str, set: &str) -> Value {
        json!({"metadata": {"name": name, "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": "u", "controller": true}]}})
    }

    /// A Pod `web-2-b` on Node `n2` that waits for the volume which the Pod `web-1-a` has on `n1`.
    fn held(strategy: Value, holder: Value, waits: &str) -> World {
        let new = patched(patched(waiting("ContainerCreating", ""), data()), of_set("web-2-b", waits));
        let new =
            patched(pod(new), json!({"spec": {"nodeName": "n2"}, "metadata": {"labels": {"pod-template-hash": "2"}}}));
        World::asking("Pod", "web-2-b")
            .with(patched(deployment(1, 1), json!({"spec": {"strategy": strategy}})))
            .with(replica_set(1, "reg/web:1", 1, 1))
            .with(replica_set(2, "reg/web:2", 1, 0))
            .with(pod(patched(data(), holder)))
            .with(new)
            .event("Pod", "web-2-b", "FailedAttachVolume", TOLD)
    }

    fn rolling(spared: Value) -> Value {
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": spared, "maxSurge": "25%"}})
    }

    fn told(world: &World) -> (String, String) {
        let told = world.diagnosis();
        let is_deadlock = told.headline.contains("a deadlock");
        let blamed = if is_deadlock { "Deployment/web" } else { "PersistentVolumeClaim/data" };
        assert_eq!(world.cause(), format!("volume_multi_attach {blamed}"));
        let steps = told
            .steps
            .iter()
            .map(|step| format!("{} {} {}", step.title, step.detail, step.command.clone().unwrap_or_default()));
        (told.headline.clone(), steps.collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_rollout_that_ends_nothing_first_waits_for_ever() {
        let (headline, steps) = told(&held(rolling(json!("25%")), json!({}), "web-2"));
        assert!(headline.contains("a deadlock"), "{headline}");
        assert!(steps.contains("Recreate") && steps.contains("rollout undo deployment/web"), "{steps}");
        assert!(!steps.contains("Wait until"), "{steps}");
    }

    #[test]
    fn a_rollout_that_may_end_the_old_pod_is_no_deadlock() {
        let (headline, steps) = told(&held(rolling(json!(1)), json!({}), "web-2"));
        assert!(!headline.contains("deadlock") && !steps.contains("Recreate"), "{headline} {steps}");
        let (headline, _) = told(&held(json!({"type": "Recreate"}), json!({}), "web-2"));
        assert!(!headline.contains("deadlock"), "{headline}");
    }

    #[test]
    fn a_pod_on_its_way_out_lets_go_by_itself() {
        let leaving = json!({"metadata": {"deletionTimestamp": "2026-11-23T02:58:00Z"}});
        let (headline, steps) = told(&held(rolling(json!("25%")), leaving, "web-2"));
        assert!(headline.contains("terminating") && steps.contains("Let it end"), "{headline} {steps}");
    }

    #[test]
    fn what_a_dead_node_holds_is_let_go_once_it_is_off() {
        let dead =
            json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}});
        let world = held(rolling(json!("25%")), json!({}), "web-2").with(node(dead));
        let (headline, steps) = told(&world);
        assert!(headline.contains("not Ready") && steps.contains("out-of-service"), "{headline} {steps}");
        assert!(!steps.contains("Recreate"), "{steps}");
    }

    #[test]
    fn replicas_of_one_version_need_volumes_of_their_own() {
        let (headline, steps) = told(&held(rolling(json!("25%")), json!({}), "web-1"));
        assert!(headline.contains("another replica of the same version"), "{headline}");
        assert!(steps.contains("volumeClaimTemplates"), "{steps}");
    }

    #[test]
    fn only_the_claim_of_the_volume_that_the_event_names_is_meant() {
        let claim = |name: &str, volume: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "shop"},
                "spec": {"volumeName": volume}, "status": {"phase": "Bound"}})
        };
        let volumes = |claims: &[&str]| {
            let all = claims.iter().map(|it| json!({"name": it, "persistentVolumeClaim": {"claimName": it}}));
            json!({"spec": {"volumes": all.collect::<Vec<_>>()}})
        };
        let asked = |read: &[Value]| {
            let waits = patched(waiting("ContainerCreating", ""), volumes(&["assets", "data"]));
            let waits = patched(waits, json!({"spec": {"nodeName": "n2"}, "metadata": {"name": "web-2-b"}}));
            let elsewhere = json!({"metadata": {"name": "other-0", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "other", "uid": "o", "controller": true}]}});
            let world =
                World::asking("Pod", "web-2-b").with(pod(waits)).with(pod(patched(volumes(&["assets"]), elsewhere)));
            let world = read.iter().cloned().fold(world, World::with);
            world.event("Pod", "web-2-b", "FailedAttachVolume", "Multi-Attach error for volume \"pvc-1\" Volume is already exclusively attached to one node and can't be attached to another")
        };
        let both = asked(&[claim("assets", "pv-nfs"), claim("data", "pvc-1")]);
        assert_eq!(both.cause(), "volume_multi_attach PersistentVolumeClaim/data");
        let told = both.diagnosis().headline;
        assert!(!told.contains("other-0") && !told.contains("assets"), "{told}");
        let by_what_is_left = asked(&[claim("assets", "pv-nfs")]);
        assert_eq!(by_what_is_left.cause(), "volume_multi_attach PersistentVolumeClaim/data");
        let meant = asked(&[claim("assets", "pvc-1"), claim("data", "pvc-2")]);
        assert!(meant.diagnosis().headline.contains("Pod other-0"), "{}", meant.diagnosis().headline);
        let unread = asked(&[]).diagnosis();
        assert_eq!(unread.causes[0].confidence, crate::report::Confidence::Medium);
    }

    #[test]
    fn another_workload_that_uses_the_volume_is_named() {
        let owner = json!({"metadata": {"name": "job-x", "ownerReferences": [
            {"apiVersion": "batch/v1", "kind": "Job", "name": "backup", "uid": "j", "controller": true}]}});
        let (headline, steps) = told(&held(rolling(json!("25%")), owner, "web-2"));
        assert!(headline.contains("Job shop/backup") && steps.contains("Two workloads"), "{headline} {steps}");
    }
}
