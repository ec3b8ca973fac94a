//! Hog: the workload that uses up the memory of the Nodes it runs on, by what the kubelet says where it evicts it. Pressure and
//! the evictions of others beside it are what follows.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};

use super::{RECENT, happened, is_succeeded, node_recovered, recovered};
use crate::alert::ObjectRef;
use crate::playbook::back;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::quantity;
use crate::playbook::scene::{Scene, named};
use crate::quantity::amount;
use crate::report::{Citation, Confidence, Step};

/// How the kubelet names a container that uses more memory than it requests (`containerMessageFmt` of its eviction manager).
static USING: Pattern =
    Pattern::new(r"Container (\S+) was using ([\d.]+\w*), request is ([\d.]+\w*), has larger consumption of memory");
/// How long an eviction counts among those by which one workload empties several Nodes, in minutes.
const REMEMBERED: i64 = 24 * 60;
/// How long before and after a workload was evicted the evictions of others on its Node follow from it, in minutes.
const TOGETHER: i64 = 60;
/// Of a Node's memory: more than this is what fills it; on several Nodes, so much is no victim's share.
const MOST: f64 = 0.5;
const MUCH: f64 = 0.25;
/// So many times its request is far above it.
const FAR_ABOVE: f64 = 2.0;
/// Nodes, and others that were evicted, that are named.
const NAMED: usize = 3;

/// One eviction of a container's Pod: what it used of which Node.
struct Use<'s> {
    pod: &'s Seen<Pod>,
    container: String,
    used: f64,
    requested: f64,
    node: &'s str,
    memory: f64,
    at: Timestamp,
}

impl Use<'_> {
    fn share(&self) -> f64 {
        if self.memory > 0.0 { self.used / self.memory } else { 0.0 }
    }

    fn is_unrequested(&self) -> bool {
        self.used > self.requested * FAR_ABOVE
    }
}

/// A workload whose container fills the Nodes it is put on, the latest eviction first.
struct Hog<'s> {
    workload: ObjectRef,
    uses: Vec<Use<'s>>,
}

/// The workload that used up the memory of a Node.
pub fn on(scene: &Scene<'_>, node: &str) -> Option<ObjectRef> {
    let hogs = all(scene).into_iter();
    hogs.filter(|hog| hog.uses.iter().any(|it| it.node == node)).map(|hog| hog.workload).next()
}

/// Findings about workloads that use up the memory of their Nodes.
pub(super) fn run(scene: &Scene<'_>) -> Vec<Finding> {
    all(scene).iter().filter_map(|hog| explain(scene, hog)).collect()
}

fn all<'s>(scene: &'s Scene<'_>) -> Vec<Hog<'s>> {
    let uses: Vec<Use<'s>> = scene.pods.iter().flat_map(|pod| told(scene, pod)).collect();
    let largest = |one: &Use<'_>| {
        let own = scene.workload(&one.pod.object);
        let others = uses.iter().filter(|it| it.node == one.node && scene.workload(&it.pod.object) != own);
        others.filter(|it| together(it.at, one.at)).all(|it| it.used < one.used)
    };
    let fits = |one: &Use<'_>| one.is_unrequested() && one.share() >= MUCH && largest(one);
    let keep: Vec<bool> = uses.iter().map(fits).collect();
    let fitting = uses.into_iter().zip(keep).filter_map(|(one, keep)| keep.then_some(one)).collect();
    grouped(scene, fitting).into_iter().filter(|hog| is_current(scene, hog)).collect()
}

/// Evictions by the workload and container they name, the latest of each first.
fn grouped<'s>(scene: &Scene<'_>, uses: Vec<Use<'s>>) -> Vec<Hog<'s>> {
    let mut hogs: Vec<Hog<'s>> = Vec::new();
    for one in uses {
        let workload = scene.workload(&one.pod.object);
        let same = |hog: &&mut Hog<'_>| hog.workload == workload && hog.uses[0].container == one.container;
        match hogs.iter_mut().find(same) {
            Some(hog) => hog.uses.push(one),
            None => hogs.push(Hog { workload, uses: vec![one] }),
        }
    }
    for hog in &mut hogs {
        hog.uses.sort_by_key(|it| std::cmp::Reverse(it.at));
    }
    hogs
}

/// What the kubelet says of the containers of a Pod that it evicted for want of memory.
fn told<'s>(scene: &Scene<'_>, pod: &'s Seen<Pod>) -> Vec<Use<'s>> {
    let said = pod.object.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default();
    let (Some(node), Some(at)) = (pods::node_name(&pod.object), happened(&pod.object)) else { return Vec::new() };
    let is_old = scene.minutes_since(Some(at)).is_some_and(|minutes| minutes > REMEMBERED);
    if !pods::is_evicted(&pod.object) || is_old {
        return Vec::new();
    }
    let memory = memory_of(scene, node);
    let uses = USING.all(said).into_iter().filter_map(|found| {
        let (used, requested) = (amount(found.get(2)?.as_str())?, amount(found.get(3)?.as_str())?);
        let container = found.get(1)?.as_str().to_owned();
        Some(Use { pod, container, used, requested, node, memory, at: at.0 })
    });
    uses.collect()
}

/// What a Node has of memory; of one that was not read, what the largest has that was.
fn memory_of(scene: &Scene<'_>, node: &str) -> f64 {
    let of = |node: &Node| {
        let status = node.status.as_ref();
        let has = quantity::of(status.and_then(|status| status.capacity.as_ref()), "memory");
        if has > 0.0 { has } else { quantity::of(status.and_then(|status| status.allocatable.as_ref()), "memory") }
    };
    let largest = || scene.nodes.iter().map(|node| of(&node.object)).fold(0.0, f64::max);
    scene.node(node).map_or_else(largest, |node| of(&node.object))
}

fn together(one: Timestamp, other: Timestamp) -> bool {
    (one.as_second() - other.as_second()).abs() <= TOGETHER * 60
}

/// Whether it fills Nodes now: several of them and nothing was changed since, or one that still suffers.
fn is_current(scene: &Scene<'_>, hog: &Hog<'_>) -> bool {
    let last = &hog.uses[0];
    let minutes = (scene.facts.now.as_second() - last.at.as_second()) / 60;
    if minutes > RECENT || is_succeeded(scene, &last.pod.object) {
        return false;
    }
    let mended =
        recovered(scene, &hog.workload, &named(&last.pod.object)) || node_recovered(scene, last.node, &hog.workload);
    hog.nodes().len() > 1 || (last.share() > MOST && !mended)
}

impl Hog<'_> {
    /// The Nodes it filled, the latest first.
    fn nodes(&self) -> Vec<&str> {
        let mut nodes: Vec<&str> = Vec::new();
        for one in &self.uses {
            if !nodes.contains(&one.node) {
                nodes.push(one.node);
            }
        }
        nodes
    }

    /// What others the kubelet threw out of these Nodes at about the same time.
    fn victims<'s>(&self, scene: &'s Scene<'_>) -> Vec<&'s Pod> {
        let beside = |pod: &Pod| {
            let at = happened(pod).map(|at| at.0);
            let near =
                |one: &Use<'_>| pods::node_name(pod) == Some(one.node) && at.is_some_and(|at| together(at, one.at));
            pods::is_evicted(pod) && super::is_short_of_memory(pod) && self.uses.iter().any(near)
        };
        let pods = scene.pods.iter().map(|pod| &pod.object);
        pods.filter(|pod| beside(pod) && scene.workload(pod) != self.workload).collect()
    }
}

fn explain(scene: &Scene<'_>, hog: &Hog<'_>) -> Option<Finding> {
    let (workload, last, nodes) = (&hog.workload, hog.uses.first()?, hog.nodes());
    let show = |bytes: f64| if bytes > 0.0 { quantity::show("memory", bytes) } else { "0".to_owned() };
    let (used, has, requested) = (show(last.used), show(last.memory), show(last.requested));
    let (container, node, named_nodes) = (&last.container, last.node, first(&nodes));
    let limit = limit(&last.pod.object, container);
    let (limit_zh, limit_en) = match &limit {
        Some(limit) => (format!("limit {limit}"), format!("limit {limit}")),
        None => ("没有 limit".to_owned(), "no limit".to_owned()),
    };
    let headline = if nodes.len() > 1 {
        scene.text(
            format!("{workload} 接连耗尽多个 Node 的内存（{named_nodes}）：容器 {container} 被驱逐时在 {node} 上用了 {used}（节点共 {has}，request {requested}，{limit_zh}）"),
            format!("{workload} uses up the memory of one Node after another ({named_nodes}): its container {container} was using {used} of the {has} of {node} when it was evicted (request {requested}, {limit_en})"),
        )
    } else {
        scene.text(
            format!("{workload} 耗尽了 Node {node} 的内存：容器 {container} 被驱逐时用了 {used}（节点共 {has}，request {requested}，{limit_zh}）"),
            format!("{workload} uses up the memory of Node {node}: its container {container} was using {used} of {has} when it was evicted (request {requested}, {limit_en})"),
        )
    };
    let victims = hog.victims(scene);
    let pod = named(&last.pod.object);
    let sure = if last.share() > MOST { Confidence::High } else { Confidence::Medium };
    let proof = hog.uses.iter().map(|one| proof(scene, one));
    let why = scene.text(
        "为什么用这么多内存：泄漏、负载，还是本来就需要这么多？",
        "Why does it use so much: a leak, load, or does it need that much by nature?",
    );
    Some(
        Finding::new("node_memory_used_up", Depth::Root, &pod, workload, &headline)
            .summary(summary(scene, headline, &victims))
            .confidence(sure)
            .cite(proof.take(NAMED))
            .touches(nodes.iter().map(|node| ObjectRef::new("Node", "", *node)))
            .touches(victims.iter().flat_map(|pod| [named(*pod), scene.workload(pod)]))
            .unresolved(why)
            .steps(steps(scene, hog, limit.is_some())),
    )
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

/// The limit that was set for a container's memory.
fn limit(pod: &Pod, container: &str) -> Option<String> {
    let views = pods::containers(pod);
    let view = views.iter().find(|view| view.name() == container)?;
    Some(view.spec.resources.as_ref()?.limits.as_ref()?.get("memory")?.0.clone())
}

fn summary(scene: &Scene<'_>, headline: String, victims: &[&Pod]) -> String {
    let workloads: BTreeSet<String> = victims.iter().map(|pod| scene.workload(pod).to_string()).collect();
    if workloads.is_empty() {
        return headline;
    }
    let named = first(&workloads.iter().map(String::as_str).collect::<Vec<_>>());
    scene.text(
        format!("{headline}；同时被驱逐的 {named} 是受害者，不是原因"),
        format!("{headline}; {named}, evicted beside it, suffers from that and is not the cause"),
    )
}

fn steps(scene: &Scene<'_>, hog: &Hog<'_>, is_limited: bool) -> Vec<Step> {
    let (workload, last) = (&hog.workload, &hog.uses[0]);
    let (namespace, pod, container) = (&workload.namespace, named(&last.pod.object).name, &last.container);
    let used = quantity::show("memory", last.used);
    let command =
        format!("set resources {} -c {container} --requests=memory=<VALUE> --limits=memory=<VALUE>", slash(workload));
    let settable = matches!(workload.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet");
    let scalable = matches!(workload.kind.as_str(), "Deployment" | "StatefulSet");
    let mut steps = vec![
        look(
            scene.text("查看驱逐时的用量", "Read what it was using when it was evicted"),
            kubectl(namespace, &format!("describe pod {pod}")),
        ),
        look(
            scene.text("查看它的 Pod 现在用了多少内存", "See how much memory its Pods use now"),
            kubectl(namespace, "top pod --containers"),
        ),
        look(scene.text("查看哪个 Node 会是下一个", "See which Node is next"), "kubectl top node"),
        change(
            if is_limited {
                scene.text(
                    format!("把容器 {container} 的内存 limit 降到 Node 承受得起的值，request 设为真实用量"),
                    format!("Lower the memory limit of container {container} to what a Node can bear, and let its request be what it needs"),
                )
            } else {
                scene.text(
                    format!("为容器 {container} 设置内存 limit，request 设为真实用量"),
                    format!("Give container {container} a memory limit, and a request of what it really needs"),
                )
            },
            scene.text(
                format!("它用到过 {used}；有了 limit，超出时只有它自己被 OOMKilled，不再殃及 Node 上的其他 Pod"),
                format!("It was seen using {used}; with a limit it alone is OOMKilled for more, and no longer the Pods beside it"),
            ),
            settable.then(|| kubectl(namespace, &command)).or_else(|| edit_template(workload)),
        ),
    ];
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, deployment, node, patched, pod};

    const CODE: &str = "node_memory_used_up";

    fn using(container: &str, used: &str, request: &str) -> String {
        format!(
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi. Container {container} was using {used}, request is {request}, has larger consumption of memory. "
        )
    }

    /// A Pod of a Deployment that a Node threw out.
    fn evicted(name: &str, deployment: &str, node: &str, message: &str) -> Value {
        pod(
            json!({"metadata": {"name": name, "labels": {"pod-template-hash": "1"}, "ownerReferences": [{"apiVersion": "apps/v1",
                "kind": "ReplicaSet", "name": format!("{deployment}-1"), "uid": "u", "controller": true}]},
            "spec": {"nodeName": node},
            "status": {"phase": "Failed", "reason": "Evicted", "message": message, "startTime": "2026-11-23T02:30:00Z",
                "containerStatuses": null, "conditions": [{"type": "Ready", "status": "False"}]}}),
        )
    }

    fn of_node(name: &str, pressed: bool) -> Value {
        let status = if pressed { "True" } else { "False" };
        node(json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "True"},
            {"type": "MemoryPressure", "status": status, "reason": "KubeletHasInsufficientMemory", "message": "kubelet has insufficient memory available",
                "lastTransitionTime": "2026-11-23T02:30:00Z"}]}}))
    }

    /// The Deployment `web` evicted from two Nodes by what it used, and another beside it.
    fn two(used: &str, request: &str, asking: (&str, &str)) -> World {
        World::asking(asking.0, asking.1)
            .with(deployment(1, 0))
            .with(of_node("n1", false))
            .with(of_node("n2", true))
            .with(evicted("web-1-a", "web", "n1", &using("web", used, request)))
            .with(evicted("web-1-b", "web", "n2", &using("web", used, request)))
            .with(evicted("cart-1-x", "cart", "n2", &using("web", "300Mi", "0")))
    }

    #[test]
    fn who_empties_one_node_after_another_is_the_cause_whoever_is_asked_about() {
        for asking in [("Node", "n2"), ("Deployment", "web"), ("Pod", "web-1-b"), ("Deployment", "cart")] {
            let world = two("3Gi", "0", asking);
            assert_eq!(world.cause(), format!("{CODE} Deployment/web"), "{asking:?}");
        }
        let told = two("6Gi", "0", ("Node", "n2")).diagnosis();
        let headline = &told.headline;
        assert!(
            headline.contains("6Gi of the 8Gi") && headline.contains("n1") && headline.contains("n2"),
            "{headline}"
        );
        let steps: Vec<&str> = told.steps.iter().filter_map(|step| step.command.as_deref()).collect();
        assert!(steps.iter().any(|step| step.contains("--limits=memory=")), "{steps:?}");
    }

    #[test]
    fn over_half_of_one_node_without_a_request_is_enough_and_a_victims_share_is_not() {
        let one = |used: &str, request: &str| {
            World::asking("Node", "n1").with(deployment(1, 0)).with(of_node("n1", true)).with(evicted(
                "web-1-a",
                "web",
                "n1",
                &using("web", used, request),
            ))
        };
        assert_eq!(one("5Gi", "0").cause(), format!("{CODE} Deployment/web"));
        assert_eq!(one("5Gi", "4Gi").cause(), "node_memory_pressure Node/n1", "near its request");
        assert_eq!(one("400Mi", "0").cause(), "node_memory_pressure Node/n1", "a small share");
        assert_eq!(one("3Gi", "0").cause(), "node_memory_pressure Node/n1", "much, and on one Node alone");
    }

    #[test]
    fn moderate_use_near_its_request_blames_the_nodes_as_before() {
        let world = two("3Gi", "2Gi", ("Node", "n2"));
        assert_eq!(world.cause(), "node_memory_pressure Node/n2");
        assert!(!world.codes().contains(&CODE));
    }

    #[test]
    fn who_was_evicted_beside_a_larger_one_is_a_victim_on_every_node() {
        let world = two("2500Mi", "0", ("Node", "n2"))
            .with(evicted("etl-1-a", "etl", "n1", &using("etl", "4Gi", "0")))
            .with(evicted("etl-1-b", "etl", "n2", &using("etl", "4Gi", "0")));
        assert_eq!(world.cause(), format!("{CODE} Deployment/etl"));
        let told = world.diagnosis();
        assert!(told.causes.iter().all(|cause| cause.resource.name != "web"), "{:?}", told.causes);
    }

    #[test]
    fn a_version_that_took_over_and_fills_nothing_makes_it_history() {
        let new = pod(
            json!({"metadata": {"name": "web-2-a", "labels": {"pod-template-hash": "2"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "web-2", "uid": "v", "controller": true}]}}),
        );
        let world = two("6Gi", "0", ("Deployment", "web")).with(new);
        assert!(!world.codes().contains(&CODE), "{:?}", world.codes());
    }

    #[test]
    fn of_evictions_of_long_ago_nothing_is_made() {
        let old = json!({"status": {"startTime": "2026-11-22T20:00:00Z"}});
        let world = World::asking("Node", "n1")
            .with(of_node("n1", true))
            .with(patched(evicted("web-1-a", "web", "n1", &using("web", "6Gi", "0")), old));
        assert!(!world.codes().contains(&CODE));
    }
}
