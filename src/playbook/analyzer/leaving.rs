//! Objects that should be gone and are not: Pods stuck Terminating, Namespaces held by finalizers.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, Pod};
use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::{claim, node};
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Minutes past the grace period after which a Terminating Pod is stuck rather than slow.
const PATIENCE: i64 = 5;

/// Findings about Pods and Namespaces that do not go away.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let pods = scene.pods.iter().filter_map(|pod| stuck_pod(scene, pod));
    let namespaces = scene.facts.all::<Namespace>();
    let namespaces = namespaces.iter().filter_map(|namespace| stuck_namespace(scene, namespace));
    let others = scene.facts.raw_objects().filter(|(name, ..)| !matches!(name.kind.as_str(), "Pod" | "Namespace"));
    let others = others.filter_map(|(name, value, reference)| stuck_object(scene, name, value, reference));
    pods.chain(namespaces).chain(others).collect()
}

/// Any other object whose finalizers nobody takes away; a claim that a Pod still uses waits for that Pod.
fn stuck_object(scene: &Scene<'_>, name: &ObjectRef, value: &Value, reference: &str) -> Option<Finding> {
    let since: Timestamp = value.pointer("/metadata/deletionTimestamp")?.as_str()?.parse().ok()?;
    let minutes = (scene.facts.now.as_second() - since.as_second()) / 60;
    let finalizers: Vec<&str> =
        value.pointer("/metadata/finalizers")?.as_array()?.iter().filter_map(Value::as_str).collect();
    if minutes < PATIENCE || finalizers.is_empty() {
        return None;
    }
    let users = if name.kind == "PersistentVolumeClaim" { claim::consumers(scene, name) } else { Vec::new() };
    let held = finalizers.join(", ");
    let why = match users.first() {
        Some(pod) => scene.text(format!("{pod} 仍在使用它（{held}）"), format!("{pod} still uses it ({held})")),
        None => scene.text(format!("finalizer {held} 未被移除"), format!("finalizer {held} was not removed")),
    };
    let headline = scene.text(
        format!("{name} 删除 {minutes} 分钟后仍未消失：{why}"),
        format!("{name} is still there {minutes} minutes after its deletion: {why}"),
    );
    Some(
        Finding::new("object_stuck_deleting", Depth::Mechanism, name, name, headline)
            .cite([scene.quote_line(reference, &["deletionTimestamp"]), scene.quote(reference, finalizers[0])])
            .steps([
                look(
                    scene.text("查看对象的 finalizers 与事件", "Read its finalizers and events"),
                    kubectl(&name.namespace, &format!("get {} -o yaml", slash(name))),
                ),
                change(
                    scene.text(
                        "恢复负责该 finalizer 的控制器，或先移除使用它的 Pod",
                        "Bring back the controller behind the finalizer, or first remove the Pod that uses it",
                    ),
                    scene.text(
                        "手工移除 finalizer 会跳过清理，可能遗留外部资源",
                        "Taking the finalizer away by hand skips the clean-up and may leave things behind outside",
                    ),
                    None,
                ),
            ]),
    )
}

fn stuck_pod(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    // The deletion timestamp already lies the grace period ahead of the request.
    let minutes = scene.minutes_since(Some(pod.object.metadata.deletion_timestamp.as_ref()?))?;
    if minutes < PATIENCE {
        return None;
    }
    let name = named(&pod.object);
    let finalizers = pod.object.metadata.finalizers.clone().unwrap_or_default().join(", ");
    let node_name = pods::node_name(&pod.object).unwrap_or_default();
    let dead_node =
        scene.node(node_name).is_some_and(|node| node::troubles(&node.object).iter().any(|it| it.type_ == "Ready"));
    let (why, blame) = if !finalizers.is_empty() {
        (
            scene.text(format!("finalizer {finalizers} 未被移除"), format!("finalizer {finalizers} was not removed")),
            name.clone(),
        )
    } else if dead_node {
        let node = ObjectRef::new("Node", "", node_name);
        (
            scene.text(
                format!("所在的 Node {node_name} 已 NotReady，kubelet 无法确认删除"),
                format!("its Node {node_name} is NotReady, so no kubelet confirms the deletion"),
            ),
            node,
        )
    } else {
        (
            scene
                .text("kubelet 未能停止容器或卸载卷", "the kubelet did not stop its containers or unmount its volumes"),
            name.clone(),
        )
    };
    let headline = scene.text(
        format!("{name} 卡在 Terminating 已超过宽限期 {minutes} 分钟：{why}"),
        format!("{name} is stuck Terminating, {minutes} minutes past its grace period: {why}"),
    );
    Some(
        Finding::new("pod_stuck_terminating", Depth::Mechanism, &name, &blame, headline)
            .confidence(if finalizers.is_empty() && !dead_node { Confidence::Medium } else { Confidence::High })
            .cite([
                scene.quote_line(&pod.reference, &["deletionTimestamp"]),
                scene.quote(&pod.reference, finalizers.split(", ").next().unwrap_or_default()),
            ])
            .touches([scene.workload(&pod.object)])
            .steps([
                look(
                    scene.text("查看 Pod", "Look at the Pod"),
                    kubectl(&name.namespace, &format!("get pod {} -o yaml", name.name)),
                ),
                change(
                    scene.text(
                        "恢复节点或负责该 finalizer 的控制器",
                        "Bring back the Node, or the controller behind the finalizer",
                    ),
                    scene.text(
                        "确认节点确实已下线后，才可强制删除该 Pod（有状态服务有数据风险）",
                        "Force the deletion only when the Node is surely gone; stateful Pods risk their data",
                    ),
                    None,
                ),
            ]),
    )
}

/// The condition that says what keeps a Namespace from going.
#[must_use]
pub fn held_by(namespace: &Namespace) -> Option<&NamespaceCondition> {
    let conditions = namespace.status.as_ref()?.conditions.as_deref().unwrap_or(&[]);
    let mut held = conditions.iter().filter(|condition| condition.status == "True");
    // A finalizer says more than that something remains, and that more than that deleting failed.
    let rank = |kind: &str| {
        ["NamespaceFinalizersRemaining", "NamespaceContentRemaining"].iter().position(|known| *known == kind)
    };
    held.clone()
        .filter(|condition| rank(&condition.type_).is_some())
        .min_by_key(|condition| rank(&condition.type_))
        .or_else(|| held.next())
}

fn stuck_namespace(scene: &Scene<'_>, namespace: &Seen<Namespace>) -> Option<Finding> {
    let minutes = scene.minutes_since(Some(namespace.object.metadata.deletion_timestamp.as_ref()?))?;
    let holding = held_by(&namespace.object)?;
    if minutes < PATIENCE {
        return None;
    }
    let name = named(&namespace.object);
    let said = logs::shorten(holding.message.as_deref().unwrap_or(&holding.type_), 160);
    let headline = scene.text(
        format!("Namespace {} 卡在 Terminating 已 {minutes} 分钟：{said}", name.name),
        format!("Namespace {} has been Terminating for {minutes} minutes: {said}", name.name),
    );
    Some(
        Finding::new("namespace_stuck_terminating", Depth::Root, &name, &name, headline)
            .cite([scene.quote(&namespace.reference, holding.message.as_deref().unwrap_or_default())])
            .steps([
                look(
                    scene.text("查看 Namespace 的条件", "Read the Namespace's conditions"),
                    format!("kubectl get namespace {} -o yaml", name.name),
                ),
                change(
                    scene.text(
                        "清理残留对象，或恢复负责其 finalizer 的控制器",
                        "Clear what remains, or bring back the controller behind its finalizers",
                    ),
                    said.clone(),
                    None,
                ),
            ]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, node, pod};

    fn leaving(since: &str, finalizers: serde_json::Value) -> serde_json::Value {
        pod(json!({"metadata": {"deletionTimestamp": since, "finalizers": finalizers},
            "status": {"conditions": [{"type": "Ready", "status": "False"}]}}))
    }

    #[test]
    fn a_finalizer_nobody_removes_is_named() {
        let world =
            World::asking("Pod", "web-1-a").with(leaving("2026-11-23T02:20:00Z", json!(["example.com/backup"])));
        assert_eq!(world.cause(), "pod_stuck_terminating Pod/web-1-a");
        assert!(world.diagnosis().headline.contains("example.com/backup"));
    }

    #[test]
    fn a_pod_on_a_dead_node_waits_for_the_node() {
        let dead = node(
            json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}]}}),
        );
        let world = World::asking("Pod", "web-1-a").with(leaving("2026-11-23T02:20:00Z", json!(null))).with(dead);
        assert!(world.codes().contains(&"pod_stuck_terminating"));
        assert!(world.cause().ends_with("Node/n1"), "{}", world.cause());
    }

    #[test]
    fn a_pod_within_its_grace_period_stays_quiet() {
        let world = World::asking("Pod", "web-1-a").with(leaving("2026-11-23T03:00:20Z", json!(null)));
        assert!(world.codes().is_empty());
    }

    #[test]
    fn a_namespace_held_by_finalizers_is_reported() {
        let held = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old", "deletionTimestamp": "2026-11-23T02:00:00Z"},
            "status": {"phase": "Terminating", "conditions": [{"type": "NamespaceFinalizersRemaining", "status": "True",
                "message": "Some content in the namespace has finalizers remaining: example.com/backup in 1 resource instances"}]}});
        assert_eq!(World::asking("Namespace", "old").with(held).cause(), "namespace_stuck_terminating Namespace/old");
    }

    #[test]
    fn a_claim_that_a_pod_still_uses_waits_for_it() {
        let claim = |since: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop",
                "deletionTimestamp": since, "finalizers": ["kubernetes.io/pvc-protection"]}, "status": {"phase": "Bound"}})
        };
        let user = pod(json!({"spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}));
        let world = World::asking("PersistentVolumeClaim", "data").with(claim("2026-11-23T02:00:00Z")).with(user);
        assert_eq!(world.cause(), "object_stuck_deleting PersistentVolumeClaim/data");
        assert!(world.diagnosis().headline.contains("Pod shop/web-1-a still uses it"));
        let fresh = World::asking("PersistentVolumeClaim", "data").with(claim("2026-11-23T02:58:00Z"));
        assert!(fresh.codes().is_empty());
    }
}
