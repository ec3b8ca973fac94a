//! Nodes that are not ready or under pressure, and the Pods that suffer from it.

use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};

use crate::alert::ObjectRef;
use crate::playbook::alerts::{self, Answer};
use crate::playbook::analyzer::{eviction, full_disk};
use crate::playbook::facts::{Seen, SeenEvent};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence};

/// The code of a Node whose kubelet waits for the Pods' network.
const NO_NETWORK: &str = "node_not_ready_network_plugin";

/// The conditions kubelets report; others are add-ons whose meaning only their authors know.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node_memory_pressure"),
    ("DiskPressure", "node_disk_pressure"),
    ("PIDPressure", "node_pid_pressure"),
    ("NetworkUnavailable", "node_network_unavailable"),
];

/// What is wrong with a Node by its standard conditions, the gravest first; empty when it may run Pods.
#[must_use]
pub fn troubles(node: &Node) -> Vec<&NodeCondition> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or(&[]);
    let not_ready = conditions.iter().filter(|condition| condition.type_ == "Ready" && condition.status != "True");
    let mut troubles: Vec<&NodeCondition> = not_ready.collect();
    if troubles.is_empty() {
        troubles.extend(conditions.iter().filter(|condition| {
            condition.status == "True" && PRESSURES.iter().any(|(kind, _)| *kind == condition.type_)
        }));
    }
    troubles
}

/// Whether somebody took the Node out of scheduling.
#[must_use]
pub fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

/// Findings about Nodes.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene
        .nodes
        .iter()
        .flat_map(|node| {
            let troubled = troubles(&node.object);
            if troubled.is_empty() && is_cordoned(&node.object) {
                return vec![cordoned(scene, node)];
            }
            troubled
                .into_iter()
                .filter_map(|condition| match condition.type_.as_str() {
                    "Ready" => Some(not_ready(scene, node, condition)),
                    _ => pressure(scene, node, condition),
                })
                .collect()
        })
        .collect()
}

fn not_ready(scene: &Scene<'_>, node: &Seen<Node>, condition: &NodeCondition) -> Finding {
    let name = named(&node.object);
    let message = condition.message.as_deref().unwrap_or_default().trim_end_matches('.').to_owned();
    let silent = condition.status == "Unknown";
    let code = if silent { "node_not_ready_kubelet_stopped" } else { spoken(&message) };
    let lasted = scene.lasted(scene.minutes_since(condition.last_transition_time.as_ref()).unwrap_or(0));
    let network = if code == NO_NETWORK { without_network(scene, &name) } else { Vec::new() };
    let said = logs::shorten(&message, if network.is_empty() { 200 } else { 90 });
    let why: String = network.iter().map(|(why, _)| format!("{}{why}", scene.lang.pick("；", "; "))).collect();
    let headline = scene.text(
        format!("Node {} 已 NotReady 约 {lasted}：{said}{why}", name.name),
        format!("Node {} has been NotReady for about {lasted}: {said}{why}", name.name),
    );
    let suffering = stranded(scene, &name.name);
    let count = suffering.len();
    let reason = condition.reason.as_deref().unwrap_or_default();
    let summary = scene.text(
        format!(
            "{headline}（Ready={}，reason {reason}），该节点上有 {count} 个已读取到的 Pod 受影响。",
            condition.status
        ),
        format!(
            "{headline} (Ready={}, reason {reason}); {count} of the Pods that were read suffer from it.",
            condition.status
        ),
    );
    Finding::new(code, Depth::Root, &name, &name, headline)
        .summary(summary)
        .cite([
            scene.quote_any(&node.reference, &[&message, &format!("reason: {reason}")]),
            scene.quote_line(&node.reference, &[&name.name, "NotReady"]),
        ])
        .cite(network.into_iter().map(|(_, proof)| proof))
        .touches(suffering)
        .steps(not_ready_steps(scene, &name, silent))
}

/// What a kubelet that still speaks says is wrong.
fn spoken(message: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["cni", "CNI", "network plugin", "NetworkPluginNotReady"]) {
        NO_NETWORK
    } else if has(&["container runtime", "PLEG", "containerd"]) {
        "node_not_ready_container_runtime"
    } else {
        "node_not_ready"
    }
}

/// Why a Node has no network, in the words of the control plane and of the Pod that should make it.
fn without_network(scene: &Scene<'_>, node: &ObjectRef) -> Vec<(String, Option<Citation>)> {
    let mut reasons = Vec::new();
    if let Some(event) = scene.events(node, &["CIDRNotAvailable"]).first() {
        let why = scene.text(
            "控制面没有给它分配 podCIDR（CIDRNotAvailable）",
            "the control plane gave it no podCIDR (CIDRNotAvailable)",
        );
        reasons.push((why, scene.quote_event(event)));
    }
    let makes_it = |pod: &&Seen<Pod>| {
        pods::node_name(&pod.object) == Some(node.name.as_str())
            && reach::is_network(&named(&pod.object))
            && !pods::is_ready(&pod.object)
    };
    let told = scene.pods.iter().filter(makes_it).find_map(|pod| {
        let name = named(&pod.object);
        let views = pods::containers(&pod.object);
        let (line, proof) = views.iter().find_map(|view| scene.culprit(&name, view.name()))?;
        Some((scene.colon(&name, logs::said(line)), proof))
    });
    reasons.extend(told);
    reasons
}

fn not_ready_steps(scene: &Scene<'_>, name: &ObjectRef, silent: bool) -> Vec<crate::report::Step> {
    let what = if silent {
        change(
            scene.text("登录该节点，检查主机与 kubelet，必要时重启 kubelet", "Log in to the Node, check the host and the kubelet, restart the kubelet if needed"),
            scene.text(
                "先确认主机是否存活、网络是否可达，再看 systemctl status kubelet 与 journalctl -u kubelet",
                "First see whether the host lives and is reachable, then systemctl status kubelet and journalctl -u kubelet",
            ),
            None,
        )
    } else {
        change(
            scene.text(
                "按 Ready 条件中的原因修复容器运行时或网络插件",
                "Repair the container runtime or network plugin the Ready condition names",
            ),
            scene.text("在节点上查看 journalctl -u kubelet", "Read journalctl -u kubelet on the Node"),
            None,
        )
    };
    vec![
        look(
            scene.text("查看节点条件与事件", "Read the Node's conditions and events"),
            format!("kubectl describe node {}", name.name),
        ),
        look(
            scene.text("列出该节点上的 Pod", "List the Pods on it"),
            format!("kubectl get pods -A -o wide --field-selector spec.nodeName={}", name.name),
        ),
        what,
        move_away(scene, name, silent),
    ]
}

/// A Node that answers can be drained; one that does not has to be declared gone before its Pods start elsewhere.
fn move_away(scene: &Scene<'_>, name: &ObjectRef, silent: bool) -> crate::report::Step {
    if silent {
        return change(
            scene.text(
                "确认主机已关机且短时间无法恢复时，声明该节点退出服务",
                "If the host is surely off and stays off, declare the Node out of service",
            ),
            scene.text(
                "有状态 Pod 与卷随后才能在其他节点启动；主机可能仍在运行时不要执行",
                "Only then do stateful Pods and volumes start elsewhere; never while the host may still run",
            ),
            Some(format!("kubectl taint nodes {} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute", name.name)),
        );
    }
    change(
        scene.text("短时间无法恢复时，将工作负载迁走", "If it does not come back soon, move its workloads"),
        scene.text(
            "绑定在该节点上的工作负载（nodeSelector、本地卷）无法迁移",
            "Workloads pinned to it by nodeSelector or local volumes cannot move",
        ),
        Some(format!("kubectl drain {} --ignore-daemonsets --delete-emptydir-data", name.name)),
    )
}

fn relief(scene: &Scene<'_>) -> String {
    scene.text(
        "找出占用最多的 Pod 并迁移、限制或扩容节点",
        "Find the Pods that use most, move or limit them, or enlarge the Node",
    )
}

fn pressure(scene: &Scene<'_>, node: &Seen<Node>, condition: &NodeCondition) -> Option<Finding> {
    let name = named(&node.object);
    let (_, code) = PRESSURES.iter().find(|(kind, _)| *kind == condition.type_)?;
    let lasted = scene.lasted(scene.minutes_since(condition.last_transition_time.as_ref()).unwrap_or(0));
    let message = condition.message.as_deref().unwrap_or_default();
    let (name_of, kind) = (&name.name, &condition.type_);
    let (headline, remedy) = match kind.as_str() {
        "NetworkUnavailable" => (
            scene.text(
                format!("Node {name_of} 的网络约 {lasted}来没有配置好（{kind}），不接收新的 Pod"),
                format!("The network of Node {name_of} has not been set up for about {lasted} ({kind}), so it takes no new Pods"),
            ),
            scene.text(
                "检查该节点的网络插件，以及云厂商的路由控制器",
                "Check the network plugin on that Node, and the cloud's route controller",
            ),
        ),
        _ => (
            scene.text(
                format!("Node {name_of} 处于 {kind} 已约 {lasted}，会驱逐 Pod 并拒绝新的 Pod"),
                format!("Node {name_of} has been under {kind} for about {lasted}: it evicts Pods and takes no new ones"),
            ),
            relief(scene),
        ),
    };
    // A workload that fills the Node is the cause: the Node only suffers from it.
    let resource = eviction::Resource::ALL.into_iter().find(|it| it.pressure() == kind);
    let hog = resource.and_then(|it| Some((eviction::hog_on(scene, name_of, it)?, it.word(scene))));
    let headline = match &hog {
        Some((hog, word)) => {
            scene.text(format!("{headline}；其{word}被 {hog} 用尽"), format!("{headline}; {hog} uses up its {word}"))
        }
        None => headline,
    };
    let depth = if hog.is_some() { Depth::Effect } else { Depth::Root };
    let is_disk = kind == "DiskPressure";
    let told = if is_disk { full_disk::told(scene, &node.object) } else { full_disk::Told::default() };
    let summary = std::iter::once(headline.clone()).chain(told.clauses).collect::<Vec<_>>();
    let mend = if is_disk { full_disk::steps(scene, name_of) } else { vec![change(remedy, "", None)] };
    Some(
        Finding::new(code, depth, &name, &name, headline)
            .summary(summary.join(scene.lang.pick("；", "; ")))
            .cite([
                scene.quote(&node.reference, message),
                scene.quote_any(
                    &node.reference,
                    &[&format!("reason: {}", condition.reason.as_deref().unwrap_or_default())],
                ),
            ])
            .cite(told.proof)
            .cite([eviction_event(scene, &name.name).and_then(|event| scene.quote_event(event))])
            .touches(evicted(scene, &name.name))
            .steps([look(
                scene.text("查看节点条件与占用", "Read the Node's conditions and usage"),
                format!("kubectl describe node {}", name.name),
            )])
            .steps((kind == "MemoryPressure").then(|| {
                look(scene.text("查看节点用量", "See what the Node uses"), format!("kubectl top node {}", name.name))
            }))
            .steps(mend),
    )
}

/// A cordon is somebody's decision: worth a word when the alert is about that Node, never a fault elsewhere.
fn cordoned(scene: &Scene<'_>, node: &Seen<Node>) -> Finding {
    let name = named(&node.object);
    let headline = match ready_again(scene, node) {
        Some(lasted) => scene.text(
            format!("Node {} 已恢复 Ready（约 {lasted}），触发告警的 NotReady 已经过去；但它仍被 cordon（unschedulable），不接收新的 Pod", name.name),
            format!("Node {} is Ready again (for about {lasted}), so what set the alert off has passed; it is still cordoned (unschedulable) and takes no new Pods", name.name),
        ),
        None => scene.text(
            format!("Node {} 已被 cordon（unschedulable），不接收新的 Pod；节点本身 Ready", name.name),
            format!("Node {} is cordoned (unschedulable) and takes no new Pods; the Node itself is Ready", name.name),
        ),
    };
    // A measurement of the Node is not explained by its cordon.
    let measured = |alert: &String| alerts::answer(alert) == Answer::Measurement;
    let asked = scene.question.alert_names.as_slice();
    let aside = !asked.is_empty() && asked.iter().all(measured);
    Finding::new("node_cordoned", if aside { Depth::Symptom } else { Depth::Effect }, &name, &name, headline)
        .confidence(Confidence::Medium)
        .cite([
            scene.quote(&node.reference, "unschedulable: true"),
            scene.quote_line(&node.reference, &[&name.name, "SchedulingDisabled"]),
            ready_again(scene, node).and_then(|_| scene.quote(&node.reference, "reason: KubeletReady")),
        ])
        .unresolved(scene.text(
            format!("Node {} 是否因维护被有意 cordon？", name.name),
            format!("Was Node {} cordoned on purpose, for maintenance?", name.name),
        ))
        .steps([
            look(scene.text("查看节点", "Look at the Node"), format!("kubectl describe node {}", name.name)),
            change(
                scene.text("维护结束后恢复调度", "After the maintenance, let it take Pods again"),
                "",
                Some(kubectl("", &format!("uncordon {}", name.name))),
            ),
        ])
}

/// For how long a Node has been Ready that an alert called not ready.
fn ready_again(scene: &Scene<'_>, node: &Seen<Node>) -> Option<String> {
    let unready = |alert: &String| {
        let alert = alert.to_ascii_lowercase();
        ["notready", "unreachable", "nodedown", "未就绪"].iter().any(|word| alert.contains(word))
    };
    let conditions = node.object.status.as_ref()?.conditions.as_deref().unwrap_or(&[]);
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    let asked = scene.question.alert_names.iter().any(unready);
    asked.then(|| scene.minutes_since(ready.last_transition_time.as_ref()))?.map(|minutes| scene.lasted(minutes))
}

/// Pods whose trouble a silent Node explains: their containers ran well when it was last heard of.
fn stranded(scene: &Scene<'_>, node: &str) -> Vec<ObjectRef> {
    let by_node = |pod: &Pod| {
        let calm = pods::containers(pod)
            .iter()
            .all(|view| matches!(view.waiting_reason(), "" | "ContainerCreating" | "PodInitializing"));
        pods::node_name(pod) == Some(node) && !pods::is_finished(pod) && !pods::is_ready(pod) && calm
    };
    scene.pods.iter().filter(|pod| by_node(&pod.object)).map(|pod| named(&pod.object)).collect()
}

/// What the kubelet says of a Pod it evicted from there: which resource was low, and who used how much of it.
fn eviction_event<'s>(scene: &'s Scene<'_>, node: &str) -> Option<&'s SeenEvent> {
    let gone = evicted(scene, node);
    let told = scene.facts.events().iter().filter(|event| event.reason == "Evicted" && gone.contains(&event.about));
    told.max_by_key(|event| event.last_seen)
}

fn evicted(scene: &Scene<'_>, node: &str) -> Vec<ObjectRef> {
    let gone = |pod: &Pod| pods::node_name(pod) == Some(node) && pods::is_evicted(pod);
    scene.pods.iter().filter(|pod| gone(&pod.object)).map(|pod| named(&pod.object)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, node, pod};

    fn silent() -> serde_json::Value {
        node(json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.", "lastTransitionTime": "2026-11-23T02:40:00Z"}]}}))
    }

    fn lost_pod() -> serde_json::Value {
        pod(json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}))
    }

    #[test]
    fn a_silent_kubelet_explains_the_pods_on_its_node() {
        let world = World::asking("Pod", "web-1-a").with(silent()).with(lost_pod());
        assert_eq!(world.cause(), "node_not_ready_kubelet_stopped Node/n1");
        assert!(world.diagnosis().headline.contains("20 minutes"));
    }

    #[test]
    fn a_silent_kubelet_does_not_explain_a_crash() {
        let world = World::asking("Pod", "web-1-a")
            .with(silent())
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", "ERROR cannot parse rules.yaml");
        assert!(world.cause().starts_with("crashloop_app_error Deployment/web"), "{}", world.cause());
    }

    #[test]
    fn pressure_is_reported_for_the_node_that_is_asked_about() {
        let full = node(json!({"status": {"conditions": [{"type": "Ready", "status": "True"},
            {"type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure", "message": "kubelet has disk pressure"}]}}));
        assert_eq!(World::asking("Node", "n1").with(full.clone()).cause(), "node_disk_pressure Node/n1");
        World::asking("Pod", "web-1-a").with(full).with(pod(json!({}))).is_calm();
    }

    #[test]
    fn the_last_eviction_from_a_node_under_pressure_is_quoted() {
        let full = node(json!({"status": {"conditions": [{"type": "Ready", "status": "True"},
            {"type": "MemoryPressure", "status": "True", "reason": "KubeletHasInsufficientMemory", "message": "kubelet has insufficient memory available"}]}}));
        let said = "The node was low on resource: memory. Container web was using 3Gi, request is 256Mi.";
        let quoted = |node: &str| {
            let gone = pod(json!({"spec": {"nodeName": node}, "status": {"phase": "Failed", "reason": "Evicted"}}));
            let world = World::asking("Node", "n1").also("Pod", "web-1-a").with(full.clone()).with(gone);
            let diagnosis = world.event("Pod", "web-1-a", "Evicted", said).diagnosis();
            let cause = diagnosis
                .causes
                .into_iter()
                .find(|cause| cause.code.as_deref() == Some("node_memory_pressure"))
                .expect("the Node");
            cause.evidence.iter().any(|it| it.quote.contains("was using 3Gi"))
        };
        assert!(quoted("n1"));
        assert!(!quoted("n2"), "evicted from another Node");
    }

    #[test]
    fn healthy_nodes_and_conditions_of_add_ons_stay_quiet() {
        World::asking("Node", "n1").with(node(json!({}))).is_calm();
        let custom = node(json!({"status": {"conditions": [{"type": "Ready", "status": "True"},
            {"type": "FrequentUnregisterNetDevice", "status": "True"}, {"type": "EtcdIsVoter", "status": "True"}]}}));
        World::asking("Node", "n1").with(custom).is_calm();
    }

    #[test]
    fn a_cordon_matters_only_where_it_is_asked_about() {
        let cordoned = node(json!({"spec": {"unschedulable": true}}));
        assert_eq!(World::asking("Node", "n1").with(cordoned.clone()).cause(), "node_cordoned Node/n1");
        let measured = World::asking("Node", "n1").alert("NodeCPUHighUsage").with(cordoned.clone()).diagnosis();
        assert_eq!(measured.verdict, crate::report::Verdict::Inconclusive, "a cordon makes no load");
        World::asking("Pod", "web-1-a").with(cordoned).with(pod(json!({}))).is_calm();
    }

    #[test]
    fn a_node_that_is_ready_again_and_cordoned_is_told_as_both() {
        let back = json!([{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": "2026-11-23T02:48:00Z"}]);
        let cordoned = node(json!({"spec": {"unschedulable": true}, "status": {"conditions": back}}));
        let told = World::asking("Node", "n1").alert("KubeNodeNotReady").with(cordoned.clone());
        assert_eq!(told.cause(), "node_cordoned Node/n1");
        let headline = told.diagnosis().headline;
        assert!(
            headline.contains("is Ready again (for about 12 minutes)") && headline.contains("cordoned"),
            "{headline}"
        );
        let other = World::asking("Node", "n1").alert("KubeNodeUnschedulable").with(cordoned).diagnosis();
        assert!(!other.headline.contains("again"), "{}", other.headline);
        let away = json!([{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}]);
        let silent = node(json!({"spec": {"unschedulable": true}, "status": {"conditions": away}}));
        let gone = World::asking("Node", "n1").alert("KubeNodeNotReady").with(silent);
        assert_eq!(gone.cause(), "node_not_ready_kubelet_stopped Node/n1");
    }

    #[test]
    fn a_kubelet_that_speaks_says_what_is_wrong() {
        let told = |message: &str| {
            let broken = node(
                json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": message}]}}),
            );
            World::asking("Node", "n1").with(broken).cause()
        };
        let network = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
        assert_eq!(told(network), "node_not_ready_network_plugin Node/n1");
        assert_eq!(
            told("PLEG is not healthy: pleg was last seen active 4m0s ago"),
            "node_not_ready_container_runtime Node/n1"
        );
        assert_eq!(told("kubelet is starting"), "node_not_ready Node/n1");
    }

    #[test]
    fn each_pressure_has_a_code_of_its_own() {
        let pressed = |kind: &str, status: &str| {
            World::asking("Node", "n1")
                .with(node(json!({"status": {"conditions": [{"type": "Ready", "status": "True"},
                {"type": kind, "status": status, "reason": "Because", "message": "said by its owner"}]}})))
        };
        for (kind, code) in super::PRESSURES {
            assert_eq!(pressed(kind, "True").cause(), format!("{code} Node/n1"));
            pressed(kind, "False").is_calm();
        }
        let cut_off = pressed("NetworkUnavailable", "True").diagnosis().headline;
        assert!(cut_off.contains("has not been set up") && !cut_off.contains("evicts"), "{cut_off}");
        assert_eq!(
            super::PRESSURES.map(|(_, code)| code),
            ["node_memory_pressure", "node_disk_pressure", "node_pid_pressure", "node_network_unavailable"]
        );
    }
}
