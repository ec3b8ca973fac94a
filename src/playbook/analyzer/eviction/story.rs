//! How a workload that uses up its Nodes is told, and what can be done about it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use super::hog::{Hog, MOST, Use};
use super::resource::Resource;
use crate::alert::ObjectRef;
use crate::playbook::analyzer::full_disk;
use crate::playbook::back;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::pods;
use crate::playbook::quantity;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence, Step};

/// Nodes, and others that were evicted, that are named.
const NAMED: usize = 3;

pub(super) fn explain(scene: &Scene<'_>, hog: &Hog<'_>) -> Option<Finding> {
    let (workload, last, nodes) = (&hog.workload, hog.uses.first()?, hog.nodes());
    let headline = headline(scene, hog, last, &nodes);
    let victims = hog.victims(scene);
    let pod = named(&last.pod.object);
    let sure = if last.share() > MOST { Confidence::High } else { Confidence::Medium };
    let proof = hog.uses.iter().map(|one| proof(scene, one));
    let images = images(scene, hog, &nodes);
    let lies = hog.lies_on.iter().map(|pod| scene.quote(&pod.reference, "emptyDir"));
    Some(
        Finding::new(hog.resource.code(), Depth::Root, &pod, workload, &headline)
            .summary(summary(scene, hog, headline, &victims, images.as_ref().map(|(told, _)| told.as_str())))
            .confidence(sure)
            .cite(proof.take(NAMED))
            .cite(lies)
            .cite([images.and_then(|(_, proof)| proof)])
            .touches(nodes.iter().map(|node| ObjectRef::new("Node", "", *node)))
            .touches(victims.iter().flat_map(|pod| [named(*pod), scene.workload(pod)]))
            .unresolved(why(scene, hog.resource))
            .steps(steps(scene, hog)),
    )
}

fn why(scene: &Scene<'_>, resource: Resource) -> String {
    match resource {
        Resource::Memory => scene.text(
            "为什么用这么多内存：泄漏、负载，还是本来就需要这么多？",
            "Why does it use so much: a leak, load, or does it need that much by nature?",
        ),
        Resource::Disk => {
            scene.text("它写的是什么，为什么没有清理？", "What does it write, and why is that not taken away again?")
        }
    }
}

fn headline(scene: &Scene<'_>, hog: &Hog<'_>, last: &Use<'_>, nodes: &[&str]) -> String {
    let (workload, container, node) = (&hog.workload, &last.container, last.node);
    let (used, has, requested) = (show(hog, last.used), show(hog, last.has), show(hog, last.requested));
    let (word, named_nodes, bounds) = (hog.resource.word(scene), first(nodes), bounds(scene, hog, last));
    if nodes.len() > 1 {
        scene.text(
            format!("{workload} 接连耗尽多个 Node 的{word}（{named_nodes}）：容器 {container} 被驱逐时在 {node} 上用了 {used}（节点共 {has}，request {requested}，{bounds}）"),
            format!("{workload} uses up the {word} of one Node after another ({named_nodes}): its container {container} was using {used} of the {has} of {node} when it was evicted (request {requested}, {bounds})"),
        )
    } else {
        scene.text(
            format!("{workload} 耗尽了 Node {node} 的{word}：容器 {container} 被驱逐时用了 {used}（节点共 {has}，request {requested}，{bounds}）"),
            format!("{workload} uses up the {word} of Node {node}: its container {container} was using {used} of {has} when it was evicted (request {requested}, {bounds})"),
        )
    }
}

/// What keeps the container from using more: its limit, and of a disk which volumes have none.
fn bounds(scene: &Scene<'_>, hog: &Hog<'_>, last: &Use<'_>) -> String {
    let limit = match hog.resource.limit(&last.pod.object, &last.container) {
        Some(limit) => format!("limit {limit}"),
        None => scene.text("没有 limit", "no limit"),
    };
    let volumes = hog.volumes().join(", ");
    if volumes.is_empty() {
        return limit;
    }
    scene.text(
        format!("{limit}，emptyDir 卷 {volumes} 没有 sizeLimit"),
        format!("{limit}, emptyDir volume {volumes} without a sizeLimit"),
    )
}

fn show(hog: &Hog<'_>, bytes: f64) -> String {
    if bytes > 0.0 { quantity::show(hog.resource.name(), bytes) } else { "0".to_owned() }
}

/// That no unused image fills one of the disks, where the kubelet looked for some.
fn images(scene: &Scene<'_>, hog: &Hog<'_>, nodes: &[&str]) -> Option<(String, Option<Citation>)> {
    let read = nodes.iter().filter(|_| hog.resource == Resource::Disk).filter_map(|node| scene.node(node));
    read.into_iter().find_map(|node| full_disk::not_freed(scene, &node.object))
}

/// Where the kubelet says it: at the Pod, or in its event.
fn proof(scene: &Scene<'_>, one: &Use<'_>) -> Option<Citation> {
    let said = one.pod.object.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default();
    let event =
        || scene.events(&named(&one.pod.object), &["Evicted"]).first().and_then(|event| scene.quote_event(event));
    scene.quote(&one.pod.reference, said).or_else(event)
}

/// The first of some names, and how many there are.
fn first(names: &[&str]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} +{more}") } else { named }
}

fn summary(scene: &Scene<'_>, hog: &Hog<'_>, headline: String, victims: &[&Pod], images: Option<&str>) -> String {
    let mut clauses = vec![headline];
    for pod in &hog.lies_on {
        let (name, node) = (&named(&pod.object).name, pods::node_name(&pod.object).unwrap_or_default());
        clauses.push(scene.text(
            format!("它的 Pod {name} 现在就在处于压力下的 Node {node} 上写入"),
            format!("its Pod {name} is writing on Node {node} now, which is under pressure"),
        ));
    }
    clauses.extend(images.map(str::to_owned));
    let workloads: BTreeSet<String> = victims.iter().map(|pod| scene.workload(pod).to_string()).collect();
    if !workloads.is_empty() {
        let named = first(&workloads.iter().map(String::as_str).collect::<Vec<_>>());
        clauses.push(scene.text(
            format!("同时被驱逐的 {named} 是受害者，不是原因"),
            format!("{named}, evicted beside it, suffers from that and is not the cause"),
        ));
    }
    clauses.join(scene.lang.pick("；", "; "))
}

fn steps(scene: &Scene<'_>, hog: &Hog<'_>) -> Vec<Step> {
    let (workload, last) = (&hog.workload, &hog.uses[0]);
    let (namespace, pod) = (&workload.namespace, named(&last.pod.object).name);
    let scalable = matches!(workload.kind.as_str(), "Deployment" | "StatefulSet");
    let mut steps = vec![look(
        scene.text("查看驱逐时的用量", "Read what it was using when it was evicted"),
        kubectl(namespace, &format!("describe pod {pod}")),
    )];
    steps.extend(measure(scene, hog));
    steps.push(bound(scene, hog));
    if scalable {
        steps.push(change(
            scene.text("若它仍在耗尽 Node，先停下它止损", "Stop it meanwhile if it goes on to fill Nodes"),
            scene.text("期间该服务不可用", "Nobody is served by it then"),
            Some(kubectl(namespace, &format!("scale {} --replicas=0", slash(workload)))),
        ));
    }
    steps.extend(back::step(scene, workload));
    steps
}

/// How much it uses now, and of which Node.
fn measure(scene: &Scene<'_>, hog: &Hog<'_>) -> Vec<Step> {
    match hog.resource {
        Resource::Memory => vec![
            look(
                scene.text("查看它的 Pod 现在用了多少内存", "See how much memory its Pods use now"),
                kubectl(&hog.workload.namespace, "top pod --containers"),
            ),
            look(scene.text("查看哪个 Node 会是下一个", "See which Node is next"), "kubectl top node"),
        ],
        Resource::Disk => hog.nodes().first().map(|node| full_disk::search(scene, node)).into_iter().collect(),
    }
}

/// What keeps it from filling the next Node.
fn bound(scene: &Scene<'_>, hog: &Hog<'_>) -> Step {
    let (workload, last) = (&hog.workload, &hog.uses[0]);
    let (container, name, word) = (&last.container, hog.resource.name(), hog.resource.word(scene));
    let (used, volumes) = (show(hog, last.used), hog.volumes().join(", "));
    let set =
        format!("set resources {} -c {container} --requests={name}=<VALUE> --limits={name}=<VALUE>", slash(workload));
    let settable = matches!(workload.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet");
    let set = settable.then(|| kubectl(&workload.namespace, &set)).or_else(|| edit_template(workload));
    let is_limited = hog.resource.limit(&last.pod.object, container).is_some();
    let (title, command) = if !volumes.is_empty() {
        let title = scene.text(
            format!("给 emptyDir 卷 {volumes} 设置 sizeLimit、给容器 {container} 设置 {name} limit，并让它清理不再需要的文件"),
            format!("Give emptyDir volume {volumes} a sizeLimit and container {container} a limit of {name}, and let it remove what it no longer needs"),
        );
        (title, edit_template(workload))
    } else if is_limited {
        let title = scene.text(
            format!("把容器 {container} 的{word} limit 降到 Node 承受得起的值，request 设为真实用量"),
            format!("Lower the {word} limit of container {container} to what a Node can bear, and let its request be what it needs"),
        );
        (title, set)
    } else {
        let title = scene.text(
            format!("为容器 {container} 设置{word} limit，request 设为真实用量"),
            format!("Give container {container} a {word} limit, and a request of what it really needs"),
        );
        (title, set)
    };
    let end = match hog.resource {
        Resource::Memory => scene.lang.pick("OOMKilled", "OOMKilled"),
        Resource::Disk => scene.lang.pick("驱逐", "evicted"),
    };
    let risk = scene.text(
        format!("它用到过 {used}；有了 limit，超出时只有它自己被 {end}，不再殃及 Node 上的其他 Pod"),
        format!("It was seen using {used}; with a limit it alone is {end} for more, and no longer the Pods beside it"),
    );
    change(title, risk, command)
}
