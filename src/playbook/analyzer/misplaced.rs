//! Daemons that run where no new one would be put: the Node was tainted, or relabelled, after they began.

use k8s_openapi::api::core::v1::{Node, Pod, Taint};

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, look};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::playbook::selector::{is_condition_taint, node_matches, node_wishes, untolerated};
use crate::report::{Confidence, Step};

/// Nodes told of one DaemonSet.
const TOLD: usize = 2;

/// Findings about DaemonSets that are asked about and count Pods where none should be.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let counted = scene.daemon_sets.iter().filter(|set| {
        let misplaced = set.object.status.as_ref().map_or(0, |status| status.number_misscheduled);
        misplaced > 0 && scene.question.targets.contains(&named(&set.object))
    });
    counted.flat_map(|set| on_nodes(scene, &named(&set.object))).collect()
}

fn on_nodes(scene: &Scene<'_>, set: &ObjectRef) -> Vec<Finding> {
    let running = scene.pods_of(set).into_iter().filter(|pod| !pods::is_leaving(&pod.object));
    let of_pod = |seen: &Seen<Pod>| {
        let pod = &seen.object;
        let node = scene.node(pods::node_name(pod)?)?;
        let taint = untolerated(pod, &node.object).into_iter().find(|taint| !is_condition_taint(taint));
        match taint {
            Some(taint) => Some(tainted(scene, set, pod, (&node.object, &node.reference), taint)),
            None => (!node_matches(pod, &node.object)).then(|| unlabelled(scene, set, seen, &node.object)),
        }
    };
    running.filter_map(of_pod).take(TOLD).collect()
}

fn tainted(scene: &Scene<'_>, set: &ObjectRef, pod: &Pod, (node, reference): (&Node, &str), taint: &Taint) -> Finding {
    let object = named(node);
    let (given, meant) = (written(taint, taint.value.as_deref()), likely(pod, taint));
    let (zh, en) = match &meant {
        Some(value) => {
            let meant = written(taint, Some(value));
            (format!("；它容忍的是 {meant}"), format!(", while it tolerates {meant}"))
        }
        None => (String::new(), String::new()),
    };
    let headline = scene.text(
        format!("Node {} 的污点 {given} 不为 {set} 所容忍{zh}；其上的 {} 是此前调度的，新 Pod 不会再调度到该节点", object.name, named(pod)),
        format!("Node {} has taint {given}, which {set} does not tolerate{en}: {} was put there before, and no new one will be", object.name, named(pod)),
    );
    let confidence = if meant.is_some() { Confidence::High } else { Confidence::Medium };
    let proof = match taint.value.as_deref().filter(|value| !value.is_empty()) {
        Some(value) => scene.quote(reference, &format!("value: {value}")),
        None => scene.quote(reference, &format!("key: {}", taint.key)),
    };
    Finding::new("daemonset_misscheduled", Depth::Root, set, &object, headline)
        .confidence(confidence)
        .cite([proof])
        .unresolved(scene.text("该污点是有意为之吗？", "Was the taint meant?"))
        .steps(untaint(scene, set, &object, taint, meant.as_deref()))
}

/// `dedicated=gpu:NoSchedule`, as kubectl writes it.
fn written(taint: &Taint, value: Option<&str>) -> String {
    let value = value.filter(|value| !value.is_empty()).map(|value| format!("={value}")).unwrap_or_default();
    format!("{}{value}:{}", taint.key, taint.effect)
}

/// The value that a Pod tolerates of a taint's key, where the taint's own is a slip of the pen for it.
fn likely(pod: &Pod, taint: &Taint) -> Option<String> {
    const SLIP: usize = 2;
    let given = taint.value.as_deref().unwrap_or_default();
    let mut tolerations = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
    tolerations.find_map(|toleration| {
        let value = toleration.value.as_deref().filter(|_| toleration.key.as_deref() == Some(taint.key.as_str()))?;
        (1..=SLIP).contains(&strsim::osa_distance(given, value)).then(|| value.to_owned())
    })
}

fn untaint(scene: &Scene<'_>, set: &ObjectRef, node: &ObjectRef, taint: &Taint, meant: Option<&str>) -> Vec<Step> {
    let read =
        look(scene.text("查看节点的污点", "Read the Node's taints"), format!("kubectl describe node {}", node.name));
    let correct = match meant {
        Some(value) => change(
            scene.text("更正污点：加上原本要写的", "Correct the taint: add the one that was meant"),
            scene.text(
                format!("之后去掉写错的：kubectl taint node {} {}-", node.name, written(taint, taint.value.as_deref())),
                format!(
                    "Then take the wrong one off: kubectl taint node {} {}-",
                    node.name,
                    written(taint, taint.value.as_deref())
                ),
            ),
            Some(format!("kubectl taint node {} {} --overwrite", node.name, written(taint, Some(value)))),
        ),
        None => change(
            scene.text(
                "若污点有意为之：让它容忍，或删除该节点上的 Pod",
                "If the taint is meant: let it be tolerated, or delete the Pod there",
            ),
            "",
            edit_template(set),
        ),
    };
    vec![read, correct]
}

fn unlabelled(scene: &Scene<'_>, set: &ObjectRef, seen: &Seen<Pod>, node: &Node) -> Finding {
    let pod = &seen.object;
    let object = named(node);
    let wishes = node_wishes(pod).join(", ");
    let headline = scene.text(
        format!("Node {} 不再符合 {set} 的节点选择（{wishes}）；其上的 {} 是此前调度的", object.name, named(pod)),
        format!(
            "Node {} no longer is one that {set} asks for ({wishes}): {} was put there before",
            object.name,
            named(pod)
        ),
    );
    let read = look(
        scene.text("查看节点的标签", "Read the Node's labels"),
        format!("kubectl get node {} --show-labels", object.name),
    );
    Finding::new("daemonset_misscheduled", Depth::Root, set, &object, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote_any(&seen.reference, &["nodeSelector:", "nodeAffinity:"])])
        .unresolved(scene.text("标签是有意修改的吗？", "Were the labels changed on purpose?"))
        .steps([read])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, node, patched, pod};

    fn set(misplaced: i32) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {}},
            "status": {"desiredNumberScheduled": 0, "currentNumberScheduled": 0, "numberReady": 0, "numberMisscheduled": misplaced}})
    }

    fn world(misplaced: i32, taint: &Value, spec: Value) -> World {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "d", "controller": true}]);
        let daemon = pod(patched(json!({"metadata": {"ownerReferences": owner}}), json!({ "spec": spec })));
        let tainted = node(json!({"spec": {"taints": [taint]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
        World::asking("DaemonSet", "web")
            .alert("KubeDaemonSetMisScheduled")
            .with(set(misplaced))
            .with(daemon)
            .with(tainted)
    }

    fn tolerating(value: &str) -> Value {
        json!({"tolerations": [{"key": "dedicated", "operator": "Equal", "value": value, "effect": "NoSchedule"}]})
    }

    #[test]
    fn a_taint_with_a_slip_of_the_pen_is_the_nodes() {
        let taint = json!({"key": "dedicated", "value": "gup", "effect": "NoSchedule"});
        let told = world(1, &taint, tolerating("gpu"));
        assert_eq!(told.cause(), "daemonset_misscheduled Node/n1");
        let diagnosis = told.diagnosis();
        assert!(diagnosis.headline.contains("dedicated=gup:NoSchedule"), "{}", diagnosis.headline);
        let commands: Vec<&str> = diagnosis.steps.iter().filter_map(|step| step.command.as_deref()).collect();
        assert!(commands.contains(&"kubectl taint node n1 dedicated=gpu:NoSchedule --overwrite"), "{commands:?}");
    }

    #[test]
    fn a_node_that_lost_its_label_is_told() {
        let taint = json!({"key": "x", "effect": "PreferNoSchedule"});
        let told = world(1, &taint, json!({"nodeSelector": {"disk": "ssd"}}));
        assert_eq!(told.cause(), "daemonset_misscheduled Node/n1");
    }

    #[test]
    fn a_set_that_counts_none_and_a_taint_that_is_tolerated_are_quiet() {
        let taint = json!({"key": "dedicated", "value": "gpu", "effect": "NoSchedule"});
        let slip = json!({"key": "dedicated", "value": "gup", "effect": "NoSchedule"});
        assert!(!world(0, &slip, tolerating("gpu")).codes().contains(&"daemonset_misscheduled"), "it counts none");
        assert!(!world(1, &taint, tolerating("gpu")).codes().contains(&"daemonset_misscheduled"), "it is tolerated");
    }
}
