//! Hog: the workload that uses up the memory or the disk of the Nodes it runs on, by what the kubelet says where it evicts it.
//! Pressure and the evictions of others beside it are what follows.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::resource::{Resource, unbounded};
use super::{RECENT, happened, is_succeeded, node_recovered, recovered, short_of, story};
use crate::alert::ObjectRef;
use crate::playbook::analyzer::full_disk;
use crate::playbook::facts::Seen;
use crate::playbook::finding::Finding;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::quantity::amount;

/// How the kubelet names a container that uses more than it requests (`containerMessageFmt` of its eviction manager).
static USING: Pattern =
    Pattern::new(r"Container (\S+) was using ([\d.]+\w*), request is ([\d.]+\w*), has larger consumption of ([a-z-]+)");
/// How long an eviction counts among those by which one workload empties several Nodes, in minutes.
const REMEMBERED: i64 = 24 * 60;
/// How long before and after a workload was evicted the evictions of others on its Node follow from it, in minutes.
const TOGETHER: i64 = 60;
/// Of what a Node has: more than this is what fills it; on several Nodes, so much is no victim's share.
pub(super) const MOST: f64 = 0.5;
const MUCH: f64 = 0.25;
/// So many times its request is far above it.
const FAR_ABOVE: f64 = 2.0;

/// One eviction of a container's Pod: what it used of which Node.
pub(super) struct Use<'s> {
    pub(super) pod: &'s Seen<Pod>,
    pub(super) container: String,
    resource: Resource,
    pub(super) used: f64,
    pub(super) requested: f64,
    pub(super) node: &'s str,
    pub(super) has: f64,
    at: Timestamp,
}

impl Use<'_> {
    pub(super) fn share(&self) -> f64 {
        if self.has > 0.0 { self.used / self.has } else { 0.0 }
    }

    fn is_unrequested(&self) -> bool {
        self.used > self.requested * FAR_ABOVE
    }
}

/// A workload whose container fills the Nodes it is put on, the latest eviction first.
pub(super) struct Hog<'s> {
    pub(super) workload: ObjectRef,
    pub(super) resource: Resource,
    pub(super) uses: Vec<Use<'s>>,
    /// Its Pods that write, without a bound, to the disk of a Node that is under pressure now.
    pub(super) lies_on: Vec<&'s Seen<Pod>>,
}

/// The workload that used up what a Node has of something.
pub fn on(scene: &Scene<'_>, node: &str, resource: Resource) -> Option<ObjectRef> {
    let hogs = all(scene).into_iter();
    hogs.filter(|hog| hog.resource == resource && hog.nodes().contains(&node)).map(|hog| hog.workload).next()
}

/// Findings about workloads that use up their Nodes.
pub(super) fn run(scene: &Scene<'_>) -> Vec<Finding> {
    all(scene).iter().filter_map(|hog| story::explain(scene, hog)).collect()
}

fn all<'s>(scene: &'s Scene<'_>) -> Vec<Hog<'s>> {
    let uses: Vec<Use<'s>> = scene.pods.iter().flat_map(|pod| told(scene, pod)).collect();
    let largest = |one: &Use<'_>| {
        let own = scene.workload(&one.pod.object);
        let beside = |it: &&Use<'_>| it.node == one.node && it.resource == one.resource;
        let others = uses.iter().filter(beside).filter(|it| scene.workload(&it.pod.object) != own);
        others.filter(|it| together(it.at, one.at)).all(|it| it.used < one.used)
    };
    let fits = |one: &Use<'_>| one.is_unrequested() && one.share() >= MUCH && largest(one);
    let keep: Vec<bool> = uses.iter().map(fits).collect();
    let fitting = uses.into_iter().zip(keep).filter_map(|(one, keep)| keep.then_some(one)).collect();
    grouped(scene, fitting).into_iter().filter(|hog| is_current(scene, hog)).collect()
}

/// Evictions by the workload and container they name, the latest of each first.
fn grouped<'s>(scene: &'s Scene<'_>, uses: Vec<Use<'s>>) -> Vec<Hog<'s>> {
    let mut hogs: Vec<Hog<'s>> = Vec::new();
    for one in uses {
        let workload = scene.workload(&one.pod.object);
        let resource = one.resource;
        let same = |hog: &&mut Hog<'_>| {
            hog.workload == workload && hog.resource == resource && hog.uses[0].container == one.container
        };
        match hogs.iter_mut().find(same) {
            Some(hog) => hog.uses.push(one),
            None => hogs.push(Hog { workload, resource, uses: vec![one], lies_on: Vec::new() }),
        }
    }
    for hog in &mut hogs {
        hog.uses.sort_by_key(|it| std::cmp::Reverse(it.at));
        hog.lies_on = lying(scene, hog);
    }
    hogs
}

/// The Pods of a workload on full disks whose container writes there without a bound, as those did that were evicted elsewhere.
fn lying<'s>(scene: &'s Scene<'_>, hog: &Hog<'_>) -> Vec<&'s Seen<Pod>> {
    if hog.resource != Resource::Disk {
        return Vec::new();
    }
    let lies = |pod: &&&Seen<Pod>| {
        let node = pods::node_name(&pod.object).and_then(|node| scene.node(node));
        !pods::is_finished(&pod.object)
            && node.is_some_and(|node| full_disk::is_full(&node.object))
            && !unbounded(&pod.object, &hog.uses[0].container).is_empty()
    };
    scene.pods_of(&hog.workload).iter().filter(lies).copied().collect()
}

/// What the kubelet says of the containers of a Pod that it evicted for want of something.
fn told<'s>(scene: &Scene<'_>, pod: &'s Seen<Pod>) -> Vec<Use<'s>> {
    let said = pod.object.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default();
    let (Some(node), Some(at)) = (pods::node_name(&pod.object), happened(&pod.object)) else { return Vec::new() };
    let is_old = scene.minutes_since(Some(at)).is_some_and(|minutes| minutes > REMEMBERED);
    if !pods::is_evicted(&pod.object) || is_old {
        return Vec::new();
    }
    let uses = USING.all(said).into_iter().filter_map(|found| {
        let (used, requested) = (amount(found.get(2)?.as_str())?, amount(found.get(3)?.as_str())?);
        let (container, resource) = (found.get(1)?.as_str().to_owned(), Resource::named(found.get(4)?.as_str())?);
        let has = resource.of_node(scene, node);
        Some(Use { pod, container, resource, used, requested, node, has, at: at.0 })
    });
    uses.collect()
}

fn together(one: Timestamp, other: Timestamp) -> bool {
    (one.as_second() - other.as_second()).abs() <= TOGETHER * 60
}

/// Whether it fills Nodes now: several of them and nothing was changed since, or one that still suffers.
fn is_current(scene: &Scene<'_>, hog: &Hog<'_>) -> bool {
    let last = &hog.uses[0];
    let minutes = (scene.facts.now.as_second() - last.at.as_second()) / 60;
    if (minutes > RECENT && hog.lies_on.is_empty()) || is_succeeded(scene, &last.pod.object) {
        return false;
    }
    let mended = !is_asked(scene, last)
        && (recovered(scene, &hog.workload, &named(&last.pod.object))
            || node_recovered(scene, last.node, &hog.workload));
    let lasts = hog.resource == Resource::Disk && full_disk::stays_full(scene, last.node, minutes);
    hog.nodes().len() > 1 || (last.share() > MOST && !mended && !(lasts && hog.lies_on.is_empty()))
}

/// Whether an alert names a Pod that was thrown out then and there: whoever asks why is told who used the Node up, though the
/// Node is well again.
fn is_asked(scene: &Scene<'_>, one: &Use<'_>) -> bool {
    let mut asked = scene.question.targets.iter().filter_map(|target| scene.pod(target));
    asked.any(|pod| {
        let here = pods::node_name(&pod.object) == Some(one.node) && short_of(&pod.object) == Some(one.resource);
        here && happened(&pod.object).is_some_and(|at| together(at.0, one.at))
    })
}

impl Hog<'_> {
    /// The Nodes it filled, the latest first.
    pub(super) fn nodes(&self) -> Vec<&str> {
        let mut nodes: Vec<&str> = Vec::new();
        let lies_on = self.lies_on.iter().filter_map(|pod| pods::node_name(&pod.object));
        for node in lies_on.chain(self.uses.iter().map(|one| one.node)) {
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        nodes
    }

    /// The volumes through which it fills a disk without a bound.
    pub(super) fn volumes(&self) -> Vec<String> {
        let last = &self.uses[0];
        let is_disk = self.resource == Resource::Disk;
        if is_disk { unbounded(&last.pod.object, &last.container) } else { Vec::new() }
    }

    /// What others the kubelet threw out of these Nodes at about the same time.
    pub(super) fn victims<'s>(&self, scene: &'s Scene<'_>) -> Vec<&'s Pod> {
        let beside = |pod: &Pod| {
            let at = happened(pod).map(|at| at.0);
            let near =
                |one: &Use<'_>| pods::node_name(pod) == Some(one.node) && at.is_some_and(|at| together(at, one.at));
            pods::is_evicted(pod) && short_of(pod) == Some(self.resource) && self.uses.iter().any(near)
        };
        let pods = scene.pods.iter().map(|pod| &pod.object);
        pods.filter(|pod| beside(pod) && scene.workload(pod) != self.workload).collect()
    }
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
    fn who_asks_why_a_pod_was_thrown_out_hears_who_used_the_node_up_though_it_is_well_again() {
        let told = |asking: (&str, &str), used: &str| {
            World::asking(asking.0, asking.1)
                .with(deployment(1, 1))
                .with(of_node("n1", false))
                .with(evicted("web-1-a", "web", "n1", &using("web", used, "0")))
                .with(evicted("cart-1-x", "cart", "n1", &using("web", "300Mi", "0")))
        };
        let code = format!("{CODE} Deployment/web");
        assert_eq!(told(("Pod", "cart-1-x"), "5Gi").cause(), code, "the victim is asked about");
        assert_eq!(told(("Pod", "web-1-a"), "5Gi").cause(), code);
        assert!(!told(("Pod", "cart-1-x"), "3Gi").codes().contains(&CODE), "no great part of the Node");
        told(("Deployment", "web"), "5Gi").is_calm();
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

    const DISK: &str = "node_disk_used_up";

    fn writing(used: &str) -> String {
        using("web", used, "0").replace("memory", "ephemeral-storage")
    }

    /// A Node with a disk of 100 GiB, full or not.
    fn with_disk(name: &str, full: bool) -> Value {
        let status = if full { "True" } else { "False" };
        node(json!({"metadata": {"name": name}, "status": {"capacity": {"ephemeral-storage": "100Gi"},
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": status,
                "reason": "KubeletHasDiskPressure", "message": "kubelet has disk pressure", "lastTransitionTime": "2026-11-23T02:30:00Z"}]}}))
    }

    /// What makes a Pod write to an emptyDir, with a bound or without.
    fn scratch(bound: Value) -> Value {
        let container =
            crate::playbook::world::container(json!({"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}));
        json!({"spec": {"containers": [container], "volumes": [{"name": "scratch", "emptyDir": bound}]}})
    }

    fn wrote(name: &str, deployment: &str, node: &str, used: &str) -> Value {
        patched(evicted(name, deployment, node, &writing(used)), scratch(json!({})))
    }

    fn disks(asking: (&str, &str)) -> World {
        World::asking(asking.0, asking.1)
            .with(deployment(1, 0))
            .with(with_disk("n1", false))
            .with(with_disk("n2", true))
    }

    #[test]
    fn who_fills_one_disk_after_another_is_the_cause_whoever_is_asked_about() {
        for (asking, alert) in [
            (("Node", "n2"), "KubeNodePressure"),
            (("Node", "n2"), "NodeFilesystemAlmostOutOfSpace"),
            (("Node", "n1"), "KubeNodeEviction"),
            (("Deployment", "web"), "KubeDeploymentReplicasMismatch"),
            (("Deployment", "cart"), "KubeDeploymentReplicasMismatch"),
        ] {
            let world = disks(asking)
                .alert(alert)
                .with(wrote("web-1-a", "web", "n1", "58Gi"))
                .with(wrote("web-1-b", "web", "n2", "61Gi"))
                .with(evicted("cart-1-x", "cart", "n2", &writing("50Mi")))
                .event("Node", "n2", "FreeDiskSpaceFailed", "Failed to garbage collect required amount of images. Attempted to free 9126805504 bytes, but only found 0 bytes eligible to free.");
            assert_eq!(world.cause(), format!("{DISK} Deployment/web"), "{asking:?} {alert}");
            let told = world.diagnosis();
            let summary = &told.causes[0].summary;
            for part in
                ["of the 100Gi of n", "(n1, n2)", "volume scratch without a sizeLimit", "unused images are not what"]
            {
                assert!(summary.contains(part), "{summary}");
            }
            assert!(told.steps.iter().any(|step| step.title.contains("scratch a sizeLimit")), "{:?}", told.steps);
            assert!(told.causes.iter().all(|cause| cause.resource.name != "cart"), "{:?}", told.causes);
        }
    }

    #[test]
    fn who_filled_another_disk_and_writes_to_this_one_without_a_bound_is_the_cause() {
        let world = |bound: Value| {
            let writes =
                patched(pod(json!({"metadata": {"name": "web-1-z"}, "spec": {"nodeName": "n2"}})), scratch(bound));
            disks(("Node", "n2")).with(wrote("web-1-a", "web", "n1", "58Gi")).with(writes)
        };
        let unbounded = world(json!({}));
        assert_eq!(unbounded.cause(), format!("{DISK} Deployment/web"));
        let summary = unbounded.diagnosis().causes.remove(0).summary;
        assert!(summary.contains("web-1-z is writing on Node n2"), "{summary}");
        for bound in [json!({"sizeLimit": "1Gi"}), json!({"medium": "Memory"})] {
            assert_eq!(world(bound).cause(), "node_disk_pressure Node/n2", "it cannot fill it");
        }
    }

    #[test]
    fn who_used_little_of_a_disk_or_gave_it_back_long_ago_does_not_fill_it() {
        let small = disks(("Node", "n2"))
            .with(wrote("web-1-a", "web", "n1", "50Mi"))
            .with(wrote("web-1-b", "web", "n2", "50Mi"));
        assert_eq!(small.cause(), "node_disk_pressure Node/n2");
        let once = disks(("Node", "n2")).with(wrote("web-1-b", "web", "n2", "61Gi"));
        assert_eq!(once.cause(), "node_disk_pressure Node/n2", "it stays full without it");
        let just =
            patched(wrote("web-1-b", "web", "n2", "61Gi"), json!({"status": {"startTime": "2026-11-23T02:55:00Z"}}));
        assert_eq!(disks(("Node", "n2")).with(just).cause(), format!("{DISK} Deployment/web"));
    }

    #[test]
    fn a_version_with_a_bound_that_took_over_makes_a_full_disk_history() {
        let new = patched(
            pod(
                json!({"metadata": {"name": "web-2-a", "labels": {"pod-template-hash": "2"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "web-2", "uid": "v", "controller": true}]}}),
            ),
            scratch(json!({"sizeLimit": "5Gi"})),
        );
        let world = World::asking("Deployment", "web")
            .with(deployment(1, 1))
            .with(with_disk("n1", false))
            .with(with_disk("n2", false))
            .with(wrote("web-1-a", "web", "n1", "58Gi"))
            .with(wrote("web-1-b", "web", "n2", "61Gi"))
            .with(new);
        assert!(!world.codes().contains(&DISK), "{:?}", world.codes());
    }
}
