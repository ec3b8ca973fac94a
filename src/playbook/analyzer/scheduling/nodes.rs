//! What a Pod asks for against what the Nodes offer: size, labels, taints, and Nodes out of service.

use k8s_openapi::api::core::v1::{Node, Pod};

use super::cordon::{bring_back, cordoned, reason_given};
use super::{Waiting, finding, labels, reasons};
use crate::playbook::analyzer::{full_disk, node};
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::quantity;
use crate::playbook::scene::{Scene, named};
use crate::playbook::selector;
use crate::report::Confidence;

static INSUFFICIENT: Pattern = Pattern::new(r"Insufficient ([\w./-]+\w)");

/// The resources the scheduler found scarce.
pub(super) fn scarce(message: &str) -> Vec<String> {
    let mut names: Vec<String> =
        INSUFFICIENT.all(message).into_iter().filter_map(|found| Some(found.get(1)?.as_str().to_owned())).collect();
    names.sort();
    names.dedup();
    names
}

/// What a Pod requests of a resource: the sum of its containers, or its largest init container.
pub(super) fn requested(pod: &Pod, resource: &str) -> f64 {
    let request = |view: &pods::ContainerView<'_>| {
        quantity::of(view.spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()), resource)
    };
    let views = pods::containers(pod);
    let sum: f64 = views.iter().filter(|view| !view.init).map(request).sum();
    views.iter().filter(|view| view.init).map(request).fold(sum, f64::max)
}

/// What a Node allocates of a resource.
pub(super) fn offered(node: &Node, resource: &str) -> f64 {
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

pub(super) fn too_large(scene: &Scene<'_>, waiting: &Waiting<'_>, nodes: &[&Node]) -> Option<Finding> {
    let resource = scarce(&waiting.message).into_iter().find(|resource| {
        let largest = nodes.iter().map(|node| offered(node, resource)).fold(0.0, f64::max);
        !nodes.is_empty() && requested(waiting.pod, resource) > largest
    })?;
    let wanted = quantity::show(&resource, requested(waiting.pod, &resource));
    let largest = nodes.iter().map(|node| offered(node, &resource)).fold(0.0, f64::max);
    let none = largest <= 0.0;
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
                        "kubectl get nodes -o 'custom-columns=NAME:.metadata.name,ALLOCATABLE:.status.allocatable.{}'",
                        resource.replace('.', "\\.")
                    ),
                ),
                change(
                    if none {
                        scene.text(
                            format!("增加提供 {resource} 的节点，或恢复其设备插件；不需要它时去掉该请求"),
                            format!("Add a Node that has {resource}, or bring its device plugin back; take the request away if it is not needed"),
                        )
                    } else {
                        scene.text(
                            format!("将 {resource} 请求降到至多 {largest}"),
                            format!("Lower the {resource} request to {largest} at most"),
                        )
                    },
                    if none { String::new() } else { scene.text("或者增加规格更大的节点", "Or add a larger Node") },
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

pub(super) fn cluster_full(scene: &Scene<'_>, waiting: &Waiting<'_>, resource: &str, matching: &[&Node]) -> Finding {
    let wanted = quantity::show(resource, requested(waiting.pod, resource));
    let workload = &waiting.workload;
    // A Pod that may use one Node only, as a daemon's may, waits for that one.
    let (node_zh, node_en) = match matching {
        [only] if scene.nodes.len() > 1 => {
            let name = only.metadata.name.as_deref().unwrap_or_default();
            (format!("它唯一能使用的 Node {name}"), format!("{name}, the only Node it may use, has not"))
        }
        _ => ("可用节点".to_owned(), "no usable Node has".to_owned()),
    };
    let headline = scene.text(
        format!("{workload} 的 Pod 无法调度：请求 {resource} {wanted}，{node_zh}剩余的 {resource} 不足（Insufficient {resource}）"),
        format!("{workload} cannot be scheduled: its Pod requests {resource} {wanted} and {node_en} that much {resource} left (Insufficient {resource})"),
    );
    let others = reasons::rest(scene, &waiting.message, &format!("Insufficient {resource}"));
    let summary = format!("{headline}{others}");
    finding(code_for(resource), Depth::Mechanism, waiting, workload, headline).summary(summary).steps([
        look(scene.text("查看各节点已分配的资源", "See what is allocated on the Nodes"), "kubectl describe nodes"),
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

pub(super) fn no_matching_node(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let workload = &waiting.workload;
    let wishes = selector::node_wishes(waiting.pod).join(", ");
    let instead = labels::instead(scene, waiting).map(|told| scene.text(format!("；{told}"), format!("; {told}")));
    let instead = instead.unwrap_or_default();
    let headline = scene.text(
        format!("{workload} 的 Pod 无法调度：没有节点满足它的 nodeSelector/affinity（{wishes}）{instead}"),
        format!("{workload} cannot be scheduled: no Node satisfies its nodeSelector or affinity ({wishes}){instead}"),
    );
    let keys: Vec<String> = selector::wanted_labels(waiting.pod).into_iter().map(|(key, _)| key).collect();
    let columns = if keys.is_empty() { "--show-labels".to_owned() } else { format!("-L {}", keys.join(",")) };
    finding("node_selector_mismatch", Depth::Root, waiting, workload, headline).steps([
        look(scene.text("查看节点标签", "Read the Nodes' labels"), format!("kubectl get nodes {columns}")),
        change(
            scene.text(
                "修正 nodeSelector/affinity，或给合适的节点打上标签",
                "Correct the nodeSelector or affinity, or label a fitting Node",
            ),
            scene.text(format!("要求的标签：{wishes}{instead}"), format!("Labels asked for: {wishes}{instead}")),
            edit_template(workload),
        ),
    ])
}

/// The tolerations of the same keys with other values: one is likely a slip of the pen.
fn tolerated_instead(pod: &Pod, taints: &str) -> String {
    let own = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or(&[]);
    let of_key = |key: &str| taints.split(", ").any(|taint| taint.split('=').next() == Some(key));
    let near = own.iter().filter_map(|it| {
        let key = it.key.as_deref().filter(|key| of_key(key))?;
        Some(format!("{key}={}:{}", it.value.as_deref().unwrap_or("*"), it.effect.as_deref().unwrap_or("*")))
    });
    near.collect::<Vec<_>>().join(", ")
}

/// Taints somebody put there on purpose keep the Pod off every Node it could run on.
pub(super) fn keeps_off(scene: &Scene<'_>, waiting: &Waiting<'_>, matching: &[&Node]) -> Option<Finding> {
    let own = |node: &&Node| -> Vec<String> {
        let taints = selector::untolerated(waiting.pod, node).into_iter();
        let taints = taints.filter(|taint| !selector::is_condition_taint(taint));
        taints.map(|taint| format!("{}={}:{}", taint.key, taint.value.as_deref().unwrap_or(""), taint.effect)).collect()
    };
    // Nodes in service decide, not those that would be kept for others anyway; a control plane's taint is no one's mistake.
    let reserved = |node: &&Node| own(node).iter().any(|taint| taint.starts_with("node-role.kubernetes.io/"));
    let in_service = |node: &&Node| !out_of_service(waiting.pod, node);
    let serving: Vec<&Node> = matching.iter().copied().filter(|node| in_service(node) && !reserved(node)).collect();
    let decisive = if serving.is_empty() { matching } else { &serving };
    if decisive.is_empty() || decisive.iter().any(|node| own(node).is_empty()) {
        return None;
    }
    let sure = if decisive.len() == matching.len() { Confidence::High } else { Confidence::Medium };
    let mut taints: Vec<String> = decisive.iter().flat_map(own).collect();
    taints.sort();
    taints.dedup();
    let taints = taints.join(", ");
    let workload = &waiting.workload;
    let near = tolerated_instead(waiting.pod, &taints);
    let (near_zh, near_en) = if near.is_empty() {
        (String::new(), String::new())
    } else {
        (format!("（它容忍的是 {near}）"), format!(" (what it tolerates is {near})"))
    };
    let headline = scene.text(
        format!("{workload} 的 Pod 无法调度：它没有容忍（toleration）可选节点上的污点（taint）{taints}{near_zh}"),
        format!("{workload} cannot be scheduled: it has no toleration for the taint {taints} of the Nodes it may use{near_en}"),
    );
    let cited = scene.nodes.iter().find(|node| !own(&&node.object).is_empty());
    let key = taints.split('=').next().unwrap_or_default().to_owned();
    Some(
        finding("taint_not_tolerated", Depth::Root, waiting, workload, headline)
            .confidence(sure)
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

/// Whether a Node takes no Pods for now: unwell, cordoned, or tainted for a condition the Pod does not bear.
pub(super) fn out_of_service(pod: &Pod, node: &Node) -> bool {
    !node::troubles(node).is_empty()
        || node::is_cordoned(node)
        || selector::untolerated(pod, node).iter().any(|taint| selector::is_condition_taint(taint))
}

/// Every Node the Pod could run on is out of service: not ready, under pressure or cordoned.
pub(super) fn unusable_nodes(scene: &Scene<'_>, waiting: &Waiting<'_>, matching: &[&Node]) -> Option<Finding> {
    let unusable = |node: &&Node| out_of_service(waiting.pod, node);
    let out: Vec<&Node> = matching.iter().copied().filter(unusable).collect();
    let free_of_own_taints =
        |node: &&Node| selector::untolerated(waiting.pod, node).iter().all(|taint| selector::is_condition_taint(taint));
    let usable = matching.iter().copied().filter(free_of_own_taints).any(|node| !unusable(&node));
    if matching.is_empty() || usable {
        return None;
    }
    let names: Vec<&str> = out.iter().filter_map(|node| node.metadata.name.as_deref()).collect();
    let (names, blamed) = (names.join(", "), worst(&out)?.metadata.name.clone().unwrap_or_default());
    let which = if out.len() == 1 {
        (format!("唯一能使用的 Node {names} 不可用"), format!("the only Node it may use, {names}, is out of service"))
    } else {
        (
            format!("能使用的 Node {names} 都不可用，其中 {blamed}"),
            format!("every Node it may use is out of service ({names}); {blamed}"),
        )
    };
    let sure = if matching.len() == 1 { Confidence::High } else { Confidence::Medium };
    Some(out_of(scene, waiting, worst(&out)?, which).confidence(sure))
}

/// Anti-affinity keeps the Pod off every Node that is well, and the one that its workload lost a Pod on is out of service:
/// what that Node lost is what the Pod waits for.
pub(super) fn no_room_beside(scene: &Scene<'_>, waiting: &Waiting<'_>, matching: &[&Node]) -> Option<Finding> {
    let lost = |node: &Node| {
        let there = scene
            .pods
            .iter()
            .map(|pod| &pod.object)
            .filter(|pod| pods::node_name(pod) == node.metadata.name.as_deref());
        let gone = |pod: &Pod| pods::is_leaving(pod) || pods::phase(pod) == "Failed";
        there.filter(|pod| gone(pod)).any(|pod| scene.workload(pod) == waiting.workload)
    };
    let ill = |node: &&Node| out_of_service(waiting.pod, node) && lost(node);
    let out: Vec<&Node> = matching.iter().copied().filter(ill).collect();
    let worst = worst(&out).filter(|_| waiting.message.contains("anti-affinity"))?;
    let name = worst.metadata.name.as_deref().unwrap_or_default();
    let which = (
        format!("反亲和性使它不能与其他副本同在一处，而原先运行它的 Node {name} 不可用"),
        format!("anti-affinity keeps it away from the others, and Node {name}, where one ran, is out of service"),
    );
    let sure = if out.len() == 1 { Confidence::High } else { Confidence::Medium };
    Some(out_of(scene, waiting, worst, which).confidence(sure))
}

/// Of Nodes out of service the one that is worst off: silent before under pressure before cordoned.
fn worst<'n>(out: &[&'n Node]) -> Option<&'n Node> {
    out.iter().copied().max_by_key(|node| {
        let not_ready = node::troubles(node).iter().any(|condition| condition.type_ == "Ready");
        (not_ready, !node::troubles(node).is_empty())
    })
}

/// Why a Node is out of service: what its kubelet says, or that it is cordoned.
pub(super) fn why_out(scene: &Scene<'_>, node: &Node) -> String {
    node::troubles(node).first().map_or_else(
        || cordoned(scene, node),
        |condition| crate::playbook::logs::shorten(condition.message.as_deref().unwrap_or(&condition.type_), 120),
    )
}

/// The Pod waits for a Node that is out of service; `which` says in Chinese and English what that Node is to it.
pub(super) fn out_of(scene: &Scene<'_>, waiting: &Waiting<'_>, node: &Node, (zh, en): (String, String)) -> Finding {
    let blame = named(node);
    let why = why_out(scene, node);
    let headline = scene.text(
        format!("{} 无法调度：{zh}：{why}", waiting.name),
        format!("{} cannot be scheduled: {en}: {why}", waiting.name),
    );
    let reference = scene.node(&blame.name).map(|node| node.reference.clone()).unwrap_or_default();
    let told = if full_disk::is_full(node) { full_disk::told(scene, node) } else { full_disk::Told::default() };
    let summary = std::iter::once(headline.clone()).chain(told.clauses).collect::<Vec<_>>();
    finding("no_usable_node", Depth::Root, waiting, &blame, headline)
        .summary(summary.join(scene.lang.pick("；", "; ")))
        .cite([scene.quote_any(&reference, &[&why, "unschedulable: true", "cordoned"])])
        .cite([reason_given(node).and_then(|(_, words)| scene.quote(&reference, words))])
        .cite(told.proof)
        .touches([waiting.workload.clone()])
        .steps([look(
            scene.text("查看节点状态", "Read the Node's state"),
            format!("kubectl describe node {}", blame.name),
        )])
        .steps(bring_back(scene, node))
}
