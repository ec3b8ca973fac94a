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
    let lasted = scene.lasted(minutes);
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
        format!("{name} 删除 {lasted}后仍未消失：{why}"),
        format!("{name} is still there {lasted} after its deletion: {why}"),
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
    let lasted = scene.lasted(minutes);
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
        format!("{name} 卡在 Terminating 已超过宽限期 {lasted}：{why}"),
        format!("{name} is stuck Terminating, {lasted} past its grace period: {why}"),
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

/// Words in a finalizer's domain that do not tell whose it is.
const COMMON: [&str; 10] = ["k8s", "kubernetes", "io", "com", "org", "net", "dev", "sigs", "x-k8s", "cluster"];

/// The finalizers of others than Kubernetes that a condition names: `db.example.com/release in 1 resource instances`.
#[must_use]
pub fn finalizers_named(message: &str) -> Vec<&str> {
    let words = message.split(|char: char| char.is_whitespace() || char == ',');
    let domain = |word: &&str| word.split_once('/').is_some_and(|(domain, _)| domain.contains('.'));
    words.filter(domain).filter(|word| !word.starts_with("kubernetes.io/")).collect()
}

/// Whether a workload is named as the controller behind a finalizer is: with a word of its domain as a part of its own,
/// and for what it does (`db-operator` for `db.example.com/release`).
#[must_use]
pub fn is_keeper(workload: &str, finalizer: &str) -> bool {
    const ROLES: [&str; 5] = ["operator", "controller", "manager", "provisioner", "webhook"];
    let domain = finalizer.split('/').next().unwrap_or_default();
    let labels: Vec<&str> = domain.split('.').collect();
    // The last label is the top of a domain; of a longer one the one before it is the owner's.
    let own = labels.len().saturating_sub(if labels.len() > 2 { 2 } else { 1 });
    let mut telling = labels[..own].iter().filter(|label| !COMMON.contains(label) && !label.contains("finalizer"));
    let parts: Vec<&str> = workload.split('-').collect();
    let bears = |label: &&&str| {
        let label: Vec<&str> = label.split('-').collect();
        parts.windows(label.len()).any(|window| window == label)
    };
    ROLES.iter().any(|role| parts.contains(role)) && telling.any(|label| bears(&label))
}

/// The one workload that looks like the controller behind a finalizer a Namespace waits for and that wants no Pods, with its
/// evidence.
fn idle_keeper<'s>(scene: &'s Scene<'_>, message: &str) -> Option<(ObjectRef, &'s str)> {
    let finalizers = finalizers_named(message);
    let keeps = |name: &ObjectRef| finalizers.iter().any(|finalizer| is_keeper(&name.name, finalizer));
    let deployments = scene.deployments.iter().map(|seen| (named(&seen.object), seen.reference.as_str()));
    let sets = scene.stateful_sets.iter().map(|seen| (named(&seen.object), seen.reference.as_str()));
    let idle = |name: &ObjectRef| scene.replicas(name).is_some_and(|(_, wanted)| wanted == 0);
    let mut found = deployments.chain(sets).filter(|(name, _)| keeps(name) && idle(name));
    found.next().filter(|_| found.next().is_none())
}

fn stuck_namespace(scene: &Scene<'_>, namespace: &Seen<Namespace>) -> Option<Finding> {
    let minutes = scene.minutes_since(Some(namespace.object.metadata.deletion_timestamp.as_ref()?))?;
    let lasted = scene.lasted(minutes);
    let holding = held_by(&namespace.object)?;
    if minutes < PATIENCE {
        return None;
    }
    let name = named(&namespace.object);
    let message = holding.message.as_deref().unwrap_or_default();
    let said = logs::shorten(holding.message.as_deref().unwrap_or(&holding.type_), 160);
    let keeper = idle_keeper(scene, message);
    let of_keeper = keeper.as_ref().map_or_else(String::new, |(keeper, _)| {
        scene.text(
            format!("；看起来负责该 finalizer 的 {keeper} 没有运行（副本数为 0）"),
            format!("; {keeper}, which looks like the controller of that finalizer, does not run (0 replicas)"),
        )
    });
    let headline = scene.text(
        format!("Namespace {} 卡在 Terminating 已 {lasted}：{said}{of_keeper}", name.name),
        format!("Namespace {} has been Terminating for {lasted}: {said}{of_keeper}", name.name),
    );
    let look_at_keeper = keeper.as_ref().map(|(keeper, _)| {
        look(
            scene.text("查看该控制器及其被缩容的原因", "Look at that controller, and why it does not run"),
            kubectl(&keeper.namespace, &format!("describe {}", slash(keeper))),
        )
    });
    Some(
        Finding::new("namespace_stuck_terminating", Depth::Root, &name, &name, headline)
            .cite([scene.quote(&namespace.reference, message)])
            .cite([keeper.as_ref().and_then(|(_, reference)| scene.quote(reference, "replicas: 0"))])
            .touches(keeper.map(|(keeper, _)| keeper))
            .steps(look_at_keeper)
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

    use crate::playbook::world::{World, deployment, node, patched, pod};

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
    fn the_controller_behind_a_finalizer_is_named_where_it_wants_no_pods() {
        let held = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old", "deletionTimestamp": "2026-11-23T02:00:00Z"},
            "status": {"phase": "Terminating", "conditions": [{"type": "NamespaceFinalizersRemaining", "status": "True",
                "message": "Some content in the namespace has finalizers remaining: db.example.com/release in 1 resource instances"}]}});
        let beside = |name: &str, wanted: i32| {
            let maker = json!({"metadata": {"name": name, "namespace": "platform"}, "spec": {"replicas": wanted}});
            let world =
                World::asking("Namespace", "old").with(held.clone()).with(patched(deployment(wanted, wanted), maker));
            assert_eq!(world.cause(), "namespace_stuck_terminating Namespace/old");
            world.diagnosis().headline
        };
        assert!(beside("db-operator", 0).contains("Deployment platform/db-operator, which looks like the controller"));
        assert!(!beside("db-operator", 1).contains("db-operator"), "that one runs");
        assert!(!beside("mongodb-operator", 0).contains("operator") && !beside("db", 0).contains("platform/db"));
    }

    #[test]
    fn a_controller_bears_a_word_of_its_finalizers_domain() {
        use super::{finalizers_named, is_keeper};
        assert!(
            is_keeper("cert-manager", "cert-manager.io/finalizer") && is_keeper("db-operator", "db.lab.internal/x")
        );
        assert!(is_keeper("argocd-application-controller", "resources-finalizer.argocd.argoproj.io"));
        assert!(!is_keeper("io-controller", "widgets.io/x") && !is_keeper("lab-operator", "db.lab.internal/x"));
        let said = "Some content in the namespace has finalizers remaining: db.a.com/x in 1 resource instances, kubernetes.io/pvc-protection in 2";
        assert_eq!(finalizers_named(said), ["db.a.com/x"]);
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
