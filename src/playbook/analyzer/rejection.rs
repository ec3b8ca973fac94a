//! Pods that the kubelet turns away although a Node was chosen for them: it counts again, and by stricter rules.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::Step;

/// Rejections older than this, in minutes, left their Pod behind as a record, not as a fault.
const RECENT: i64 = 120;

/// Findings about rejected Pods whose workload has not recovered.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| explain(scene, pod)).collect()
}

/// The code of a reason by which the kubelet's admission fails a Pod; `OutOf` stands before the resource.
fn code_of(reason: &str) -> Option<&'static str> {
    match reason {
        "NodeAffinity" | "PodOSSelectorNodeLabelDoesNotMatch" | "PodOSNotSupported" => Some("kubelet_node_mismatch"),
        "NodePorts" => Some("kubelet_host_port_taken"),
        "UnexpectedAdmissionError" | "TopologyAffinityError" | "SysctlForbidden" | "AppArmor" => {
            Some("kubelet_admission_error")
        }
        _ => reason.strip_prefix("OutOf").map(|_| "kubelet_out_of_resource"),
    }
}

fn explain(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let status = pod.object.status.as_ref().filter(|_| pods::phase(&pod.object) == "Failed")?;
    let reason = status.reason.as_deref()?;
    let code = code_of(reason)?;
    if scene.minutes_since(pod.object.metadata.creation_timestamp.as_ref()).unwrap_or(0) > RECENT {
        return None;
    }
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let node = pods::node_name(&pod.object).unwrap_or_default();
    let message = status.message.clone().unwrap_or_default();
    let said = logs::shorten(message.trim_start_matches("Pod was rejected: "), 160);
    let by_hand = chosen_by_hand(scene, &workload, node);
    let (hand_zh, hand_en) = if by_hand {
        ("；nodeName 由模板写死，调度器没有参与", "; nodeName in its template chose the Node, not the scheduler")
    } else {
        ("", "")
    };
    let headline = scene.text(
        format!("{workload} 的 Pod 被 Node {node} 的 kubelet 拒绝（{reason}）：{said}{hand_zh}"),
        format!("{workload}: the kubelet of Node {node} rejects its Pods ({reason}): {said}{hand_en}"),
    );
    Some(
        Finding::new(code, Depth::Root, &name, &workload, headline)
            .cite([scene.quote(&pod.reference, &format!("reason: {reason}")), scene.quote(&pod.reference, &message)])
            .touches([workload.clone()])
            .steps(steps(scene, code, &workload, node, by_hand)),
    )
}

/// Whether the workload's own template names the Node.
fn chosen_by_hand(scene: &Scene<'_>, workload: &ObjectRef, node: &str) -> bool {
    let template = scene.facts.raw(workload).and_then(|(value, _)| value.pointer("/spec/template/spec/nodeName"));
    !node.is_empty() && template.and_then(serde_json::Value::as_str) == Some(node)
}

fn steps(scene: &Scene<'_>, code: &str, workload: &ObjectRef, node: &str, by_hand: bool) -> Vec<Step> {
    let mut steps = vec![look(
        scene.text("查看该节点已分配的资源与标签", "See what is allocated on the Node, and its labels"),
        format!("kubectl describe node {node}"),
    )];
    if by_hand {
        steps.push(change(
            scene.text(
                "去掉模板中的 nodeName，交给调度器选择节点",
                "Remove nodeName from the template and let the scheduler choose",
            ),
            "",
            edit_template(workload),
        ));
        return steps;
    }
    steps.push(match code {
        "kubelet_out_of_resource" => change(
            scene.text(
                format!("释放 Node {node} 上的资源（含不经调度器的静态 Pod），或降低请求"),
                format!("Free resources on Node {node} (static Pods count too), or lower the request"),
            ),
            "",
            None,
        ),
        "kubelet_admission_error" => change(
            scene.text(
                "检查该节点的设备插件与 kubelet 的资源管理策略，然后重建 Pod",
                "Check the Node's device plugin and the kubelet's resource managers, then replace the Pod",
            ),
            "",
            None,
        ),
        _ => change(
            scene.text(
                "让节点的标签、系统或端口与 Pod 的要求一致，或改用其他节点",
                "Make the Node's labels, system or ports fit the Pod, or use another Node",
            ),
            "",
            None,
        ),
    });
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, deployment, patched, pod};

    fn rejected(reason: &str, message: &str) -> Value {
        pod(json!({"metadata": {"creationTimestamp": "2026-11-23T02:50:00Z"}, "status": {"phase": "Failed",
            "reason": reason, "message": message, "conditions": null, "containerStatuses": null}}))
    }

    const CPU: &str =
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 2900, capacity: 3900";

    #[test]
    fn each_reason_of_the_kubelet_has_its_code() {
        for (reason, message, code) in [
            ("OutOfcpu", CPU, "kubelet_out_of_resource"),
            ("OutOfmemory", "Pod was rejected: Node didn't have enough resource: memory", "kubelet_out_of_resource"),
            ("NodeAffinity", "Pod was rejected: Predicate NodeAffinity failed", "kubelet_node_mismatch"),
            ("NodePorts", "Pod was rejected: Predicate NodePorts failed", "kubelet_host_port_taken"),
            (
                "UnexpectedAdmissionError",
                "Pod was rejected: Allocate failed due to no healthy devices present",
                "kubelet_admission_error",
            ),
        ] {
            let world = World::asking("Deployment", "web").with(deployment(1, 0)).with(rejected(reason, message));
            assert_eq!(world.cause(), format!("{code} Deployment/web"));
            assert!(world.diagnosis().headline.contains(reason));
        }
    }

    #[test]
    fn a_node_named_in_the_template_is_told() {
        let pinned = patched(deployment(1, 0), json!({"spec": {"template": {"spec": {"nodeName": "n1"}}}}));
        let told = World::asking("Deployment", "web").with(pinned).with(rejected("OutOfcpu", CPU)).diagnosis();
        assert!(told.headline.contains("nodeName in its template"), "{}", told.headline);
        let free =
            World::asking("Deployment", "web").with(deployment(1, 0)).with(rejected("OutOfcpu", CPU)).diagnosis();
        assert!(!free.headline.contains("nodeName"), "{}", free.headline);
    }

    #[test]
    fn a_workload_that_has_all_its_pods_again_stays_quiet() {
        World::asking("Deployment", "web").with(deployment(1, 1)).with(rejected("OutOfcpu", CPU)).is_calm();
    }

    #[test]
    fn an_application_that_ended_badly_was_not_rejected() {
        let failed =
            pod(json!({"metadata": {"creationTimestamp": "2026-11-23T02:50:00Z"}, "status": {"phase": "Failed"}}));
        let codes = World::asking("Deployment", "web").with(deployment(1, 0)).with(failed).codes();
        assert!(codes.iter().all(|code| !code.starts_with("kubelet_")), "{codes:?}");
    }
}
