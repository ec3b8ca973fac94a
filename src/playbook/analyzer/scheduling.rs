//! Pods no Node takes: what they ask for against what the Nodes offer.

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::alert::ObjectRef;
use crate::playbook::analyzer::node;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::quantity;
use crate::playbook::scene::{Scene, named};
use crate::playbook::selector;
use crate::report::{Citation, Confidence};

static INSUFFICIENT: Pattern = Pattern::new(r"Insufficient ([\w./-]+\w)");

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
    let unplaced = scene.pods.iter().filter(|pod| pods::is_unscheduled(&pod.object) && !pods::is_leaving(&pod.object));
    unplaced.filter_map(|pod| unschedulable(scene, pod)).collect()
}

fn unschedulable(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let name = named(&pod.object);
    let condition = pods::condition(&pod.object, "PodScheduled").filter(|condition| condition.status == "False");
    let event = scene.events(&name, &["FailedScheduling"]).into_iter().max_by_key(|event| event.last_seen);
    let message = condition
        .and_then(|condition| condition.message.clone())
        .or_else(|| event.map(|event| event.message.clone()))?;
    let essence = message.split(" preemption:").next().unwrap_or(&message).to_owned();
    let proof = vec![
        scene.quote(&pod.reference, &essence),
        event.and_then(|event| {
            scene.quote(&event.reference, event.message.split(" preemption:").next().unwrap_or_default())
        }),
    ];
    let workload = scene.workload(&pod.object);
    let waiting = Waiting { pod: &pod.object, name, workload, message, proof };
    if condition.and_then(|condition| condition.reason.as_deref()) == Some("SchedulingGated") {
        return Some(gated(scene, &waiting));
    }
    Some(explain(scene, &waiting))
}

fn explain(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let message = &waiting.message;
    if message.contains("unbound immediate") || message.contains("persistentvolumeclaim") {
        return waits_for_claim(scene, waiting);
    }
    if message.contains("volume node affinity conflict") {
        return volume_elsewhere(scene, waiting);
    }
    let nodes: Vec<&Node> = scene.nodes.iter().map(|node| &node.object).collect();
    let matching: Vec<&Node> = nodes.iter().copied().filter(|node| selector::node_matches(waiting.pod, node)).collect();
    if !nodes.is_empty() && matching.is_empty() {
        return no_matching_node(scene, waiting);
    }
    if let Some(finding) = too_large(scene, waiting, &matching) {
        return finding;
    }
    if let Some(finding) = keeps_off(scene, waiting, &matching) {
        return finding;
    }
    if let Some(finding) = unusable_nodes(scene, waiting, &matching) {
        return finding;
    }
    if let Some(resource) = scarce(message).first() {
        return cluster_full(scene, waiting, resource);
    }
    other_rule(scene, waiting)
}

/// The resources the scheduler found scarce.
fn scarce(message: &str) -> Vec<String> {
    let mut names: Vec<String> =
        INSUFFICIENT.all(message).into_iter().filter_map(|found| Some(found.get(1)?.as_str().to_owned())).collect();
    names.sort();
    names.dedup();
    names
}

/// What a Pod requests of a resource: the sum of its containers, or its largest init container.
fn requested(pod: &Pod, resource: &str) -> f64 {
    let request = |view: &pods::ContainerView<'_>| {
        quantity::of(view.spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()), resource)
    };
    let views = pods::containers(pod);
    let sum: f64 = views.iter().filter(|view| !view.init).map(request).sum();
    views.iter().filter(|view| view.init).map(request).fold(sum, f64::max)
}

fn offered(node: &Node, resource: &str) -> f64 {
    quantity::of(node.status.as_ref().and_then(|status| status.allocatable.as_ref()), resource)
}

fn code_for(resource: &str) -> &'static str {
    match resource {
        "cpu" => "insufficient_cpu",
        "memory" => "insufficient_memory",
        "ephemeral-storage" => "insufficient_ephemeral_storage",
        _ => "insufficient_extended_resource",
    }
}

fn finding(code: &'static str, depth: Depth, waiting: &Waiting<'_>, blame: &ObjectRef, headline: String) -> Finding {
    Finding::new(code, depth, &waiting.name, blame, headline).cite(waiting.proof.iter().cloned())
}

fn too_large(scene: &Scene<'_>, waiting: &Waiting<'_>, nodes: &[&Node]) -> Option<Finding> {
    let resource = scarce(&waiting.message).into_iter().find(|resource| {
        let largest = nodes.iter().map(|node| offered(node, resource)).fold(0.0, f64::max);
        !nodes.is_empty() && requested(waiting.pod, resource) > largest
    })?;
    let wanted = quantity::show(&resource, requested(waiting.pod, &resource));
    let largest = nodes.iter().map(|node| offered(node, &resource)).fold(0.0, f64::max);
    let largest = quantity::show(&resource, largest);
    let workload = &waiting.workload;
    let headline = scene.text(
        format!("{workload} 的 Pod 无法调度：请求 {resource} {wanted}，超过任何节点的可分配量（最大 {largest}）"),
        format!("{workload} cannot be scheduled: its Pod requests {resource} {wanted}, more than any Node can allocate (largest {largest})"),
    );
    let summary = scene.text(
        format!("{} 请求 {resource} {wanted}，而符合条件的节点中最大的 allocatable 只有 {largest}（Insufficient {resource}），等待不会使它被调度。", waiting.name),
        format!("{} requests {resource} {wanted} while the largest eligible Node allocates {largest} (Insufficient {resource}); waiting will not help.", waiting.name),
    );
    let container = pods::containers(waiting.pod).first().map(|view| view.name().to_owned()).unwrap_or_default();
    let largest_node = scene.nodes.iter().find(|node| selector::node_matches(waiting.pod, &node.object));
    let allocatable = largest_node.and_then(|node| scene.quote(&node.reference, &format!("{resource}: {largest}")));
    Some(
        finding(code_for(&resource), Depth::Root, waiting, workload, headline)
            .summary(summary)
            .cite([allocatable])
            .ruled_out(
                scene.text("节点暂时不可用（cordon、污点）导致无法调度", "Nodes that are only out of service for now"),
                scene.text(
                    "即使所有节点都可用，请求量也超过最大的节点",
                    "even with every Node in service the request exceeds the largest one",
                ),
            )
            .steps([
                look(
                    scene.text("对比请求与节点可分配量", "Compare the request with what Nodes allocate"),
                    format!(
                        "kubectl get nodes -o custom-columns=NAME:.metadata.name,ALLOCATABLE:.status.allocatable.{}",
                        resource.replace('.', "\\.")
                    ),
                ),
                change(
                    scene.text(
                        format!("将 {resource} 请求降到 {largest} 以下"),
                        format!("Lower the {resource} request below {largest}"),
                    ),
                    scene.text("或者增加规格更大的节点", "Or add a larger Node"),
                    matches!(resource.as_str(), "cpu" | "memory").then(|| {
                        kubectl(
                            &workload.namespace,
                            &format!("set resources {} -c {container} --requests={resource}=<VALUE>", slash(workload)),
                        )
                    }),
                ),
            ]),
    )
}

fn cluster_full(scene: &Scene<'_>, waiting: &Waiting<'_>, resource: &str) -> Finding {
    let wanted = quantity::show(resource, requested(waiting.pod, resource));
    let workload = &waiting.workload;
    let headline = scene.text(
        format!("{workload} 的 Pod 无法调度：请求 {resource} {wanted}，可用节点剩余的 {resource} 不足（Insufficient {resource}）"),
        format!("{workload} cannot be scheduled: its Pod requests {resource} {wanted} and no usable Node has that much {resource} left (Insufficient {resource})"),
    );
    finding(code_for(resource), Depth::Mechanism, waiting, workload, headline).steps([
        look(
            scene.text("查看各节点已分配的资源", "See what is allocated on the Nodes"),
            "kubectl describe nodes | grep -A 8 'Allocated resources'",
        ),
        change(
            scene.text(
                format!("降低 {resource} 请求、释放资源或增加节点"),
                format!("Lower the {resource} request, free resources or add a Node"),
            ),
            "",
            None,
        ),
    ])
}

fn no_matching_node(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let workload = &waiting.workload;
    let wishes = selector::node_wishes(waiting.pod).join(", ");
    let headline = scene.text(
        format!("{workload} 的 Pod 无法调度：没有节点满足它的 nodeSelector/affinity（{wishes}）"),
        format!("{workload} cannot be scheduled: no Node satisfies its nodeSelector or affinity ({wishes})"),
    );
    finding("node_selector_mismatch", Depth::Root, waiting, workload, headline).steps([
        look(scene.text("查看节点标签", "Read the Nodes' labels"), "kubectl get nodes --show-labels"),
        change(
            scene.text(
                "修正 nodeSelector/affinity，或给合适的节点打上标签",
                "Correct the nodeSelector or affinity, or label a fitting Node",
            ),
            scene.text(format!("要求的标签：{wishes}"), format!("Labels asked for: {wishes}")),
            None,
        ),
    ])
}

/// Taints somebody put there on purpose keep the Pod off every Node it could run on.
fn keeps_off(scene: &Scene<'_>, waiting: &Waiting<'_>, matching: &[&Node]) -> Option<Finding> {
    let own = |node: &&Node| -> Vec<String> {
        let taints = selector::untolerated(waiting.pod, node).into_iter();
        let taints = taints.filter(|taint| !selector::is_condition_taint(taint));
        taints.map(|taint| format!("{}={}:{}", taint.key, taint.value.as_deref().unwrap_or(""), taint.effect)).collect()
    };
    if matching.is_empty() || matching.iter().any(|node| own(node).is_empty()) {
        return None;
    }
    let mut taints: Vec<String> = matching.iter().flat_map(own).collect();
    taints.sort();
    taints.dedup();
    let taints = taints.join(", ");
    let workload = &waiting.workload;
    let headline = scene.text(
        format!("{workload} 的 Pod 无法调度：它没有容忍（toleration）可选节点上的污点（taint）{taints}"),
        format!("{workload} cannot be scheduled: it has no toleration for the taint {taints} of the Nodes it may use"),
    );
    let cited = scene.nodes.iter().find(|node| !own(&&node.object).is_empty());
    let key = taints.split('=').next().unwrap_or_default().to_owned();
    Some(
        finding("taint_not_tolerated", Depth::Root, waiting, workload, headline)
            .cite([cited.and_then(|node| scene.quote(&node.reference, &format!("key: {key}")))])
            .steps([
                look(
                    scene.text("查看节点污点", "Read the Nodes' taints"),
                    "kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints",
                ),
                change(
                    scene.text(
                        "为工作负载添加对应的 toleration，或移除不再需要的 taint",
                        "Give the workload that toleration, or remove a taint that is no longer needed",
                    ),
                    scene.text(format!("涉及的 taint：{taints}"), format!("Taints concerned: {taints}")),
                    None,
                ),
            ]),
    )
}

/// Every Node the Pod could run on is out of service: not ready, under pressure or cordoned.
fn unusable_nodes(scene: &Scene<'_>, waiting: &Waiting<'_>, matching: &[&Node]) -> Option<Finding> {
    let unusable = |node: &&&Node| {
        !node::troubles(node).is_empty()
            || node::is_cordoned(node)
            || selector::untolerated(waiting.pod, node).iter().any(|taint| selector::is_condition_taint(taint))
    };
    let out: Vec<&&Node> = matching.iter().filter(unusable).collect();
    let free_of_own_taints = |node: &&&Node| {
        selector::untolerated(waiting.pod, node).iter().all(|taint| selector::is_condition_taint(taint))
    };
    let usable = matching.iter().filter(free_of_own_taints).any(|node| !unusable(&node));
    if matching.is_empty() || usable {
        return None;
    }
    let worst = out.iter().max_by_key(|node| {
        let not_ready = node::troubles(node).iter().any(|condition| condition.type_ == "Ready");
        (not_ready, !node::troubles(node).is_empty())
    })?;
    let blame = named(**worst);
    let names: Vec<&str> = out.iter().filter_map(|node| node.metadata.name.as_deref()).collect();
    let names = names.join(", ");
    let why = node::troubles(worst).first().map_or_else(
        || scene.text("已被 cordon", "cordoned"),
        |condition| crate::playbook::logs::shorten(condition.message.as_deref().unwrap_or(&condition.type_), 120),
    );
    let headline = scene.text(
        format!("{} 无法调度：它能使用的节点 {names} 都不可用，其中 {}：{why}", waiting.name, blame.name),
        format!(
            "{} cannot be scheduled: every Node it may use is out of service ({names}); {}: {why}",
            waiting.name, blame.name
        ),
    );
    let reference = scene.node(&blame.name).map(|node| node.reference.clone()).unwrap_or_default();
    Some(
        finding("no_usable_node", Depth::Root, waiting, &blame, headline)
            .confidence(if matching.len() == 1 { Confidence::High } else { Confidence::Medium })
            .cite([scene.quote_any(&reference, &[&why, "unschedulable: true"])])
            .touches([waiting.workload.clone()])
            .steps([
                look(
                    scene.text("查看节点状态", "Read the Node's state"),
                    format!("kubectl describe node {}", blame.name),
                ),
                change(
                    scene.text(
                        format!("恢复 Node {}，或放宽工作负载的节点约束", blame.name),
                        format!("Bring Node {} back, or relax the workload's node constraint", blame.name),
                    ),
                    "",
                    None,
                ),
            ]),
    )
}

fn volume_elsewhere(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let claims = pods::claims(waiting.pod);
    let claim = claims.first().cloned().unwrap_or_default();
    let blame = ObjectRef::new("PersistentVolumeClaim", &waiting.name.namespace, &claim);
    let headline = scene.text(
        format!("{} 无法调度：PVC {claim} 的卷只能在特定节点或可用区使用，而那里没有可用节点（volume node affinity conflict）", waiting.name),
        format!("{} cannot be scheduled: the volume of claim {claim} is tied to Nodes or a zone where none is usable (volume node affinity conflict)", waiting.name),
    );
    finding("volume_node_affinity_conflict", Depth::Root, waiting, &blame, headline)
        .touches([waiting.workload.clone()])
        .steps([
            look(scene.text("查看卷的节点亲和性", "Read the volume's node affinity"), "kubectl get pv -o custom-columns=NAME:.metadata.name,CLAIM:.spec.claimRef.name,AFFINITY:.spec.nodeAffinity"),
            change(scene.text("在卷所在的可用区恢复或增加节点", "Bring back or add a Node in the volume's zone"), "", None),
        ])
}

/// The claim's own analyzer says why it is unbound; here only that the Pod waits, and what would fail next.
fn waits_for_claim(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let headline = scene.text(
        format!("{} 无法调度：等待 PVC {} 绑定", waiting.name, pods::claims(waiting.pod).join(", ")),
        format!(
            "{} cannot be scheduled: it waits for claim {} to bind",
            waiting.name,
            pods::claims(waiting.pod).join(", ")
        ),
    );
    let mut found = finding("pod_waits_for_volume", Depth::Effect, waiting, &waiting.workload, headline);
    for image in unqualified_images(waiting.pod) {
        found = found.unresolved(scene.text(
            format!("调度成功之后的潜在问题：镜像 \"{image}\" 没有标明仓库和 tag，会按 docker.io/library/{image}:latest 拉取，请确认它存在"),
            format!("What may fail next, once scheduled: image \"{image}\" names neither registry nor tag and would be pulled as docker.io/library/{image}:latest; make sure it exists"),
        ));
    }
    found.steps([look(
        scene.text("查看 Pod 的调度事件", "Read the Pod's scheduling events"),
        kubectl(&waiting.name.namespace, &format!("describe pod {}", waiting.name.name)),
    )])
}

fn unqualified_images(pod: &Pod) -> Vec<String> {
    let plain = |image: &&str| !image.is_empty() && !image.contains(['/', ':', '@']);
    pods::containers(pod).iter().map(pods::ContainerView::image).filter(plain).map(str::to_owned).collect()
}

fn gated(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let headline = scene.text(
        format!("{} 尚未进入调度：schedulingGates 未被移除", waiting.name),
        format!("{} is not scheduled yet: its schedulingGates have not been removed", waiting.name),
    );
    finding("scheduling_gated", Depth::Mechanism, waiting, &waiting.workload, headline)
}

fn other_rule(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    const RULES: [(&str, &str, &str, &str); 5] = [
        (
            "anti-affinity",
            "anti_affinity_unsatisfied",
            "Pod 反亲和性（anti-affinity）规则无法满足",
            "its anti-affinity rules leave no Node",
        ),
        (
            "topology spread",
            "topology_spread_unsatisfied",
            "拓扑分布（topology spread）约束无法满足",
            "its topology spread constraints leave no Node",
        ),
        ("free ports", "host_port_conflict", "hostPort 在所有节点上已被占用", "its hostPort is taken on every Node"),
        (
            "Too many pods",
            "node_pod_limit",
            "节点的 Pod 数量已达上限（Too many pods）",
            "every Node is at its Pod limit (Too many pods)",
        ),
        (
            "pod affinity",
            "pod_affinity_unsatisfied",
            "Pod 亲和性（affinity）规则无法满足",
            "its affinity rules leave no Node",
        ),
    ];
    let rule = RULES.iter().find(|(words, ..)| waiting.message.contains(words));
    let said = crate::playbook::logs::shorten(waiting.message.split(" preemption:").next().unwrap_or_default(), 160);
    let workload = &waiting.workload;
    let (code, why) =
        rule.map_or_else(|| ("pod_unschedulable", said.clone()), |(_, code, zh, en)| (*code, scene.text(*zh, *en)));
    let headline =
        scene.text(format!("{workload} 的 Pod 无法调度：{why}"), format!("{workload} cannot be scheduled: {why}"));
    finding(code, if rule.is_some() { Depth::Root } else { Depth::Effect }, waiting, workload, headline)
        .confidence(if rule.is_some() { Confidence::High } else { Confidence::Medium })
        .steps([
            look(
                scene.text("查看 Pod 的调度事件", "Read the Pod's scheduling events"),
                kubectl(&waiting.name.namespace, &format!("describe pod {}", waiting.name.name)),
            ),
            change(
                scene.text("调整工作负载的调度约束或增加节点", "Adjust the workload's constraints or add Nodes"),
                "",
                None,
            ),
        ])
}
