//! A Node whose disk runs full: what the kubelet could not free, how little the Pods it evicted used, and how to find the rest.

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::playbook::analyzer::node;
use crate::playbook::finding::{change, counted, look};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::quantity;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Step};

/// Minutes after which a Pod that was evicted has given its space back.
const GIVEN_BACK: i64 = 10;

/// As the kubelet's image garbage collector writes it.
static FREED: Pattern = Pattern::new(
    r"(?i)(?:attempted|wanted) to free (\d+) bytes, but (?:only )?(?:found (\d+) bytes eligible to free|freed (\d+) bytes)",
);
/// What an evicted container used, as the kubelet writes it.
static USED: Pattern = Pattern::new(r"was using (\d+)Ki, request is");

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
    told.clauses.extend(evicted_used(scene, node));
    told
}

/// That deleting images frees nothing, or not enough.
fn not_freed(scene: &Scene<'_>, node: &Node) -> Option<(String, Option<Citation>)> {
    let events = scene.events(&named(node), &["FreeDiskSpaceFailed", "ImageGCFailed"]);
    let (event, found) = events.iter().rev().find_map(|event| Some((*event, FREED.groups(&event.message)?)))?;
    let bytes = |at: usize| found.get(at).and_then(|it| it.as_str().parse::<f64>().ok());
    let (wanted, freed) = (bytes(1)?, bytes(2).or(bytes(3))?);
    let show = |amount: f64| if amount < 1.0 { "0".to_owned() } else { quantity::show("storage", amount) };
    let (wanted, freed) = (show(wanted), show(freed));
    let clause = scene.text(
        format!("kubelet 要通过清理镜像释放 {wanted}，却只有 {freed} 可释放（{}），占用磁盘的不是闲置镜像", event.reason),
        format!("the kubelet wants to free {wanted} of images and finds {freed} to free ({}), so unused images are not what fills it", event.reason),
    );
    Some((clause, scene.quote_event(event)))
}

/// That the Pods which were evicted have given back what they used, and the pressure stays.
fn evicted_used(scene: &Scene<'_>, node: &Node) -> Option<String> {
    let name = node.metadata.name.as_deref()?;
    let gone = |pod: &Pod| {
        let status = pod.status.as_ref()?;
        (pods::node_name(pod) == Some(name) && status.reason.as_deref() == Some("Evicted")).then_some(())?;
        let told = status.message.as_deref()?;
        let used: f64 = USED.all(told).iter().filter_map(|found| found.get(1)?.as_str().parse::<f64>().ok()).sum();
        let at = pods::condition(pod, "DisruptionTarget").and_then(|it| it.last_transition_time.as_ref());
        Some((used * 1024.0, scene.minutes_since(at.or(status.start_time.as_ref()))?))
    };
    let gone: Vec<(f64, i64)> = scene.pods.iter().filter_map(|pod| gone(&pod.object)).collect();
    let last = gone.iter().map(|(_, minutes)| *minutes).min().filter(|minutes| *minutes >= GIVEN_BACK)?;
    let used = quantity::show("storage", gone.iter().map(|(used, _)| used).sum());
    let (count, lasted) = (gone.len(), scene.lasted(last));
    let pods = counted(count, "evicted Pod");
    Some(scene.text(
        format!("已驱逐的 {count} 个 Pod 共只占用 {used}，驱逐 {lasted}后压力仍在，占用磁盘的主要不是它们"),
        format!("the {pods} used {used} and the pressure has stayed for {lasted} since, so what fills it is mostly not theirs"),
    ))
}

/// Where to look for what fills the disk, then how to make room.
#[must_use]
pub fn steps(scene: &Scene<'_>, node: &str) -> Vec<Step> {
    vec![
        look(
            scene.text(
                "找出占用磁盘的是谁：比较 node.fs、runtime.imageFs 与各 Pod 的 ephemeral-storage",
                "Find what fills the disk: compare node.fs and runtime.imageFs with the ephemeral-storage of each Pod",
            ),
            format!("kubectl get --raw /api/v1/nodes/{node}/proxy/stats/summary"),
        ),
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
            {"type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure", "message": "kubelet has disk pressure"}]},
            "spec": {"taints": [{"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]}}))
    }

    fn evicted(name: &str, used: &str, at: &str) -> Value {
        let message = format!(
            "The node was low on resource: ephemeral-storage. Threshold quantity: 10737418240, available: 6289408Ki. Container web was using {used}Ki, request is 0, has larger consumption of ephemeral-storage. "
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
            .with(evicted("web-1-b", "1324", "2026-11-23T02:30:00Z"))
            .with(evicted("web-1-c", "88", "2026-11-23T02:31:00Z"))
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
        let told = world().with(evicted("web-1-b", "1324", "2026-11-23T02:55:00Z")).diagnosis();
        assert!(!told.causes[0].summary.contains("mostly not theirs"), "{}", told.causes[0].summary);
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
