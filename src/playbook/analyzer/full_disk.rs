//! A Node whose disk runs full: what the kubelet could not free, how little the Pods it evicted used, and how to find the rest.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::playbook::analyzer::{eviction, node};
use crate::playbook::finding::{change, counted, look};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::quantity::show;
use crate::playbook::scene::{Scene, named};
use crate::quantity;
use crate::report::{Citation, Step};

/// How long before the Node tells of its pressure the kubelet may have begun to evict for it.
const TOLD_LATER: SignedDuration = SignedDuration::from_mins(2);
/// Minutes after which a Pod that was evicted has given its space back.
const GIVEN_BACK: i64 = 10;

/// As the kubelet's image garbage collector writes it.
static FREED: Pattern = Pattern::new(
    r"(?i)(?:attempted|wanted) to free (\d+) bytes, but (?:only )?(?:found (\d+) bytes eligible to free|freed (\d+) bytes( space with errors)?)",
);
/// That a Pod was evicted for the disk's sake.
static FOR_DISK: Pattern = Pattern::new(r"low on resource: (?:ephemeral-storage|inodes)");
/// What an evicted container used, as the kubelet writes it: in the largest unit that leaves no fraction.
static USED: Pattern = Pattern::new(r"was using (\d+[A-Za-z]{0,2}), request is");

/// Facts that narrow down what fills a disk, and where they stand.
#[derive(Default)]
pub struct Told {
    /// Each a clause of its own.
    pub clauses: Vec<String>,
    /// Where they were read.
    pub proof: Vec<Option<Citation>>,
}

/// Whether a Node is Ready and under disk pressure.
#[must_use]
pub fn is_full(node: &Node) -> bool {
    node::troubles(node).iter().any(|condition| condition.type_ == "DiskPressure")
}

/// What is known of what fills a Node's disk.
#[must_use]
pub fn told(scene: &Scene<'_>, node: &Node) -> Told {
    let mut told = Told::default();
    if let Some((clause, proof)) = not_freed(scene, node) {
        told.clauses.push(clause);
        told.proof.push(proof);
    }
    let filled = node.metadata.name.as_deref().and_then(|it| eviction::hog_on(scene, it, eviction::Resource::Disk));
    // Of a disk that one workload fills, the others' share is no news.
    if filled.is_none() {
        told.clauses.extend(evicted_used(scene, node));
    }
    told
}

/// Whether a Node is full though so many minutes ago a Pod was evicted from it, whose space was given back since.
#[must_use]
pub fn stays_full(scene: &Scene<'_>, node: &str, minutes: i64) -> bool {
    minutes >= GIVEN_BACK && scene.node(node).is_some_and(|node| is_full(&node.object))
}

/// That deleting images frees nothing, or not enough.
#[must_use]
pub fn not_freed(scene: &Scene<'_>, node: &Node) -> Option<(String, Option<Citation>)> {
    let events = scene.events(&named(node), &["FreeDiskSpaceFailed", "ImageGCFailed"]);
    let (event, found) = events.iter().rev().find_map(|event| Some((*event, FREED.groups(&event.message)?)))?;
    let bytes = |at: usize| found.get(at).and_then(|it| it.as_str().parse::<f64>().ok());
    let (wanted, freed) = (bytes(1)?, bytes(2).or(bytes(3))?);
    let show = |amount: f64| if amount < 1.0 { "0".to_owned() } else { show("storage", amount) };
    let (wanted, freed) = (show(wanted), show(freed));
    if found.get(4).is_some() {
        let clause = scene.text(
            format!("kubelet 要通过清理镜像释放 {wanted}，只释放了 {freed}，删除镜像时出错（{}）", event.reason),
            format!(
                "the kubelet wants to free {wanted} of images and freed {freed}: deleting them fails ({})",
                event.reason
            ),
        );
        return Some((clause, scene.quote_event(event)));
    }
    let clause = scene.text(
        format!("kubelet 要通过清理镜像释放 {wanted}，却只有 {freed} 可释放（{}），占用磁盘的不是闲置镜像", event.reason),
        format!("the kubelet wants to free {wanted} of images and finds {freed} to free ({}), so unused images are not what fills it", event.reason),
    );
    Some((clause, scene.quote_event(event)))
}

/// That the Pods which were evicted for this pressure have given back what they used, and the pressure stays.
fn evicted_used(scene: &Scene<'_>, node: &Node) -> Option<String> {
    let name = node.metadata.name.as_deref()?;
    let pressure = node::troubles(node).into_iter().find(|condition| condition.type_ == "DiskPressure")?;
    let began = pressure.last_transition_time.as_ref()?.0 - TOLD_LATER;
    let gone = |pod: &Pod| {
        let status = pod.status.as_ref()?;
        (pods::node_name(pod) == Some(name) && pods::is_evicted(pod)).then_some(())?;
        let told = status.message.as_deref().filter(|told| FOR_DISK.hits(told))?;
        let used: Vec<f64> =
            USED.all(told).iter().filter_map(|found| quantity::amount(found.get(1)?.as_str())).collect();
        let at = pods::condition(pod, "DisruptionTarget").and_then(|it| it.last_transition_time.as_ref());
        let at = at.or(status.start_time.as_ref()).filter(|at| at.0 >= began)?;
        // Of a Pod without a figure nobody knows how much it used.
        (!used.is_empty()).then_some((used.iter().sum(), scene.minutes_since(Some(at))?))
    };
    let gone: Vec<(f64, i64)> = scene.pods.iter().filter_map(|pod| gone(&pod.object)).collect();
    let last = gone.iter().map(|(_, minutes)| *minutes).min().filter(|minutes| *minutes >= GIVEN_BACK)?;
    let used = show("storage", gone.iter().map(|(used, _)| used).sum());
    let (count, lasted) = (gone.len(), scene.lasted(last));
    let pods = counted(count, "evicted Pod");
    Some(scene.text(
        format!("已驱逐的 {count} 个 Pod 共只占用 {used}，驱逐 {lasted}后压力仍在，占用磁盘的主要不是它们"),
        format!("the {pods} used {used} and the pressure has stayed for {lasted} since, so what fills it is mostly not theirs"),
    ))
}

/// Where to look for what fills the disk.
#[must_use]
pub fn search(scene: &Scene<'_>, node: &str) -> Step {
    look(
        scene.text(
            "找出占用磁盘的是谁：比较 node.fs、runtime.imageFs 与各 Pod 的 ephemeral-storage",
            "Find what fills the disk: compare node.fs and runtime.imageFs with the ephemeral-storage of each Pod",
        ),
        format!("kubectl get --raw /api/v1/nodes/{node}/proxy/stats/summary"),
    )
}

/// Where to look for what fills the disk, then how to make room.
#[must_use]
pub fn steps(scene: &Scene<'_>, node: &str) -> Vec<Step> {
    vec![
        search(scene, node),
        change(
            scene.text(
                format!("在 Node {node} 上清理找到的大文件，或扩容磁盘"),
                format!("Make room on Node {node}: remove what fills it, or enlarge its disk"),
            ),
            scene.text(
                "若各 Pod 之和远小于已用空间，占用来自 Kubernetes 之外：登录节点用 du 查看 /var/log、/var/lib 与 hostPath、本地卷目录",
                "If the Pods add up to far less than is used, it lies outside of Kubernetes: log in and look with du at /var/log, /var/lib and the directories of hostPath and local volumes",
            ),
            None,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, node, patched, pod, unschedulable};

    fn full() -> Value {
        node(json!({"status": {"conditions": [{"type": "Ready", "status": "True"},
            {"type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure", "message": "kubelet has disk pressure", "lastTransitionTime": "2026-11-23T02:29:00Z"}]},
            "spec": {"taints": [{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]}}))
    }

    fn evicted(name: &str, used: &str, at: &str) -> Value {
        let message = format!(
            "The node was low on resource: ephemeral-storage. Threshold quantity: 10737418240, available: 6289408Ki. Container web was using {used}, request is 0, has larger consumption of ephemeral-storage. "
        );
        pod(patched(
            json!({"metadata": {"name": name}}),
            json!({"status": {"phase": "Failed", "reason": "Evicted", "message": message, "startTime": at,
                "containerStatuses": null, "conditions": [{"type": "Ready", "status": "False"}]}}),
        ))
    }

    fn world() -> World {
        World::asking("Node", "n1").with(full())
    }

    #[test]
    fn what_the_kubelet_could_not_free_and_the_evicted_did_not_use_is_told() {
        let told = world()
            .with(evicted("web-1-b", "1324Ki", "2026-11-23T02:30:00Z"))
            .with(evicted("web-1-c", "88Ki", "2026-11-23T02:31:00Z"))
            .event("Node", "n1", "FreeDiskSpaceFailed", "Failed to garbage collect required amount of images. Attempted to free 9126805504 bytes, but only found 0 bytes eligible to free.");
        assert_eq!(told.cause(), "node_disk_pressure Node/n1");
        let told = told.diagnosis();
        let summary = &told.causes[0].summary;
        assert!(summary.contains("8.5Gi of images and finds 0 to free"), "{summary}");
        assert!(summary.contains("2 evicted Pods used 1.4Mi"), "{summary}");
        assert!(
            told.steps
                .iter()
                .any(|step| step.command.as_deref() == Some("kubectl get --raw /api/v1/nodes/n1/proxy/stats/summary"))
        );
    }

    #[test]
    fn nothing_is_made_of_an_eviction_that_has_only_begun_to_help() {
        let told = world().with(evicted("web-1-b", "1324Ki", "2026-11-23T02:55:00Z")).diagnosis();
        assert!(!told.causes[0].summary.contains("mostly not theirs"), "{}", told.causes[0].summary);
    }

    #[test]
    fn only_what_was_evicted_for_this_pressure_counts_in_whatever_unit() {
        let of =
            |used: &str, at: &str| world().with(evicted("web-1-b", used, at)).diagnosis().causes[0].summary.clone();
        let large = of("40Gi", "2026-11-23T02:30:00Z");
        assert!(large.contains("1 evicted Pod used 40Gi"), "{large}");
        let earlier = of("1324Ki", "2026-11-20T02:30:00Z");
        assert!(!earlier.contains("evicted Pod"), "{earlier}");
        let memory = evicted("web-1-b", "1324Ki", "2026-11-23T02:30:00Z");
        let message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 6289Ki. Container web was using 1324Ki, request is 0, has larger consumption of memory. ";
        let memory = world().with(patched(memory, json!({"status": {"message": message}}))).diagnosis();
        assert!(!memory.causes[0].summary.contains("evicted Pod"), "{}", memory.causes[0].summary);
    }

    #[test]
    fn images_that_cannot_be_deleted_are_not_said_to_be_in_use() {
        let told = world().event("Node", "n1", "ImageGCFailed", "wanted to free 9126805504 bytes, but freed 1048576 bytes space with errors in image deletion: rpc error: code = DeadlineExceeded").diagnosis();
        let summary = &told.causes[0].summary;
        assert!(summary.contains("freed 1Mi: deleting them fails") && !summary.contains("unused images"), "{summary}");
    }

    #[test]
    fn a_pod_that_waits_for_a_full_node_is_told_how_to_find_what_fills_it() {
        let waits = pod(patched(
            unschedulable(
                "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }.",
            ),
            json!({}),
        ));
        let told = World::asking("Pod", "web-1-a").with(full()).listed("Node").with(waits).diagnosis();
        let steps: Vec<_> = told.steps.iter().map(|step| step.title.clone()).collect();
        assert!(steps.iter().any(|title| title.starts_with("Find what fills the disk")), "{steps:?}");
        assert!(!steps.iter().any(|title| title.contains("or relax")), "{steps:?}");
    }
}
