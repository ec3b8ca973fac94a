//! Pods that were thrown out: by a Node short of something, or by a limit of their own.

mod hog;
mod resource;
mod story;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use self::hog::on as hog_on;
pub use self::resource::Resource;
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::{Confidence, Step};

/// Evictions older than this, in minutes, left their Pod behind as a record, not as a fault.
const RECENT: i64 = 120;

/// So many Pods of one ReplicaSet evicted for their own limit are no chance: the next one fills up as they did.
const AGAIN: usize = 2;

static LOW: Pattern = Pattern::new(r"low on resource: ([\w.\[\] -]+?)\.");
static OWN_LIMIT: Pattern = Pattern::new(
    r"(?i)exceeds? (?:the )?(?:total )?(?:local )?(?:ephemeral[ -]storage )?limit|exceeded its local ephemeral storage limit|usage of EmptyDir volume",
);
static EMPTY_DIR: Pattern = Pattern::new(r#"Usage of EmptyDir volume "([^"]+)" exceeds the limit "([^"]+)""#);

/// Findings about recently evicted Pods whose workload has not recovered, and about workloads that use up their Nodes.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let evicted = scene.pods.iter().filter(|pod| pods::is_evicted(&pod.object));
    hog::run(scene).into_iter().chain(evicted.filter_map(|pod| explain(scene, pod))).collect()
}

/// When a Pod was evicted; of one that does not say, when it began.
fn happened(pod: &Pod) -> Option<&Time> {
    let told = pods::condition(pod, "DisruptionTarget").and_then(|condition| condition.last_transition_time.as_ref());
    told.or(pod.status.as_ref()?.start_time.as_ref())
}

/// What its Node ran low on when a Pod was evicted, of what workloads can use up.
fn short_of(pod: &Pod) -> Option<Resource> {
    let said = pod.status.as_ref().and_then(|status| status.message.as_deref()).unwrap_or_default();
    Resource::named(&LOW.group(said, 1)?)
}

fn explain(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let name = named(&pod.object);
    let workload = scene.workload(&pod.object);
    let status = pod.object.status.as_ref()?;
    let minutes = scene.minutes_since(happened(&pod.object)).unwrap_or(0);
    let message = status.message.clone().unwrap_or_default();
    let node = pods::node_name(&pod.object).unwrap_or_default();
    let own = OWN_LIMIT.hits(&message);
    let again = own && evicted_again(scene, &pod.object);
    let past = (!again && recovered(scene, &workload, &name)) || (!own && node_recovered(scene, node, &workload));
    let hog = short_of(&pod.object).and_then(|resource| hog::on(scene, node, resource));
    if past || minutes > RECENT || hog.as_ref() == Some(&workload) {
        return None;
    }
    let blame = if own || node.is_empty() { workload.clone() } else { ObjectRef::new("Node", "", node) };
    let short_of = LOW.group(&message, 1).unwrap_or_default();
    let said = logs::shorten(&message, 160);
    let (code, headline) = if let Some(volume) = EMPTY_DIR.groups(&message) {
        (
            "pod_evicted_own_limit",
            scene.text(
                format!("{name} 被驱逐（Evicted）：emptyDir 卷 {} 超出了自己的上限 {}", &volume[1], &volume[2]),
                format!("{name} was Evicted: its emptyDir volume {} outgrew its limit of {}", &volume[1], &volume[2]),
            ),
        )
    } else if own {
        (
            "pod_evicted_own_limit",
            scene.text(
                format!("{name} 被驱逐（Evicted）：超出自身的 ephemeral-storage 限制"),
                format!("{name} was Evicted: it used more ephemeral storage than its own limit"),
            ),
        )
    } else {
        (
            "pod_evicted_node_pressure",
            scene.text(
                format!("{name} 被 Node {node} 驱逐（Evicted）：节点 {short_of} 不足"),
                format!("{name} was Evicted by Node {node}, which ran low on {short_of}"),
            ),
        )
    };
    let depth = if hog.is_some() { Depth::Effect } else { Depth::Root };
    let headline = match hog {
        Some(hog) => scene.text(format!("{headline}（被 {hog} 用尽）"), format!("{headline} (used up by {hog})")),
        None => headline,
    };
    let summary = scene.colon(&headline, said);
    let found = Finding::new(code, depth, &name, &blame, headline)
        .summary(summary)
        .confidence(sureness(scene, node, &workload, own, &short_of))
        .cite([scene.quote(&pod.reference, &message), scene.quote(&pod.reference, "reason: Evicted")])
        .touches([workload.clone()])
        .steps([look(
            scene.text("查看驱逐原因", "Read why it was evicted"),
            kubectl(&name.namespace, &format!("describe pod {}", name.name)),
        )]);
    let found = if own || node.is_empty() {
        found
    } else {
        found.steps([look(
            scene.text("查看节点条件", "Read the Node's conditions"),
            format!("kubectl describe node {node}"),
        )])
    };
    Some(found.steps([repair(scene, own, node, &short_of, &workload)]))
}

/// Where the workload has all its replicas again, only a Node that is still unwell makes the record of an eviction a fault.
fn sureness(scene: &Scene<'_>, node: &str, workload: &ObjectRef, own: bool, short_of: &str) -> Confidence {
    let whole = scene.replicas(workload).is_some_and(|(ready, wanted)| ready >= wanted && wanted > 0);
    match (own, whole && scene.node(node).is_none()) {
        (true, _) => Confidence::High,
        (false, true) => Confidence::Low,
        (false, false) if short_of.is_empty() => Confidence::Medium,
        (false, false) => Confidence::High,
    }
}

fn repair(scene: &Scene<'_>, own: bool, node: &str, short_of: &str, workload: &ObjectRef) -> Step {
    if own {
        change(
            scene.text(
                "提高 ephemeral-storage limit（emptyDir 则提高 sizeLimit），或减少容器写入的日志与临时文件",
                "Raise the ephemeral-storage limit (of an emptyDir its sizeLimit), or write fewer logs and temporary files",
            ),
            "",
            edit_template(workload),
        )
    } else {
        change(
            scene.text(
                format!("释放 Node {node} 的 {short_of}，并为占用多的 Pod 设置 requests/limits"),
                format!("Free {short_of} on Node {node}, and set requests and limits for what uses most"),
            ),
            scene.text(
                "被驱逐的 Pod 由控制器在其他节点重建，残留记录可以删除",
                "Controllers create the Pod again elsewhere; the evicted record may be deleted",
            ),
            None,
        )
    }
}

/// Whether the Node is well again and nobody is known to miss the Pod: the record of it is history, though an alert still
/// counts it.
fn node_recovered(scene: &Scene<'_>, node: &str, workload: &ObjectRef) -> bool {
    let well = scene.node(node).is_some_and(|node| super::node::troubles(&node.object).is_empty());
    let missed = scene.replicas(workload).is_some_and(|(ready, wanted)| ready < wanted);
    well && !missed
}

/// Whether Pods of one ReplicaSet were evicted for their own limit again and again, and no other ReplicaSet took over.
fn evicted_again(scene: &Scene<'_>, pod: &Pod) -> bool {
    let said = |pod: &Pod| pod.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default();
    let own = versions(scene, pod).0;
    let times = own.iter().filter(|pod| pods::is_evicted(pod) && OWN_LIMIT.hits(&said(pod))).count();
    times >= AGAIN && !is_succeeded(scene, pod)
}

/// Whether a version of its workload runs that is not the Pod's own, and none of its own does.
fn is_succeeded(scene: &Scene<'_>, pod: &Pod) -> bool {
    let runs = |pods: &[&Pod]| pods.iter().any(|pod| !pods::is_finished(pod));
    let (own, others) = versions(scene, pod);
    runs(&others) && !runs(&own)
}

/// The Pods of its workload that are of a Pod's own version, and the others. ReplicaSets are versions; the Pods of other
/// controllers say theirs by a label.
fn versions<'s>(scene: &'s Scene<'_>, pod: &Pod) -> (Vec<&'s Pod>, Vec<&'s Pod>) {
    let version = |pod: &Pod| {
        let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get("controller-revision-hash").cloned());
        let owner = pod.metadata.owner_references.as_ref().and_then(|owners| Some(owners.first()?.name.clone()));
        (owner, label)
    };
    let of_workload = scene.pods_of(&scene.workload(pod));
    of_workload.iter().map(|seen| &seen.object).partition(|other| version(other) == version(pod))
}

/// Whether the workload runs again with all its replicas, so that the evicted Pod is history.
fn recovered(scene: &Scene<'_>, workload: &ObjectRef, evicted: &ObjectRef) -> bool {
    let by_status = scene.replicas(workload).is_some_and(|(ready, wanted)| ready >= wanted && wanted > 0);
    // An alert that names the evicted Pod asks just this, whatever the alert is called.
    by_status && !scene.question.targets.contains(evicted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, patched, pod};

    fn evicted(message: &str, at: &str) -> serde_json::Value {
        pod(patched(
            json!({"metadata": {"name": "web-1-b"}}),
            json!({"status": {"phase": "Failed", "reason": "Evicted", "message": message, "startTime": at,
                "containerStatuses": null, "conditions": [{"type": "Ready", "status": "False"}]}}),
        ))
    }

    const NODE_LOW: &str =
        "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 1Gi. ";

    #[test]
    fn a_node_short_of_disk_is_blamed_while_replicas_are_missing() {
        let world =
            World::asking("Deployment", "web").with(deployment(2, 1)).with(evicted(NODE_LOW, "2026-11-23T02:30:00Z"));
        assert_eq!(world.cause(), "pod_evicted_node_pressure Node/n1");
        assert!(world.diagnosis().headline.contains("ephemeral-storage"));
    }

    #[test]
    fn a_pod_over_its_own_limit_is_the_workloads_fault() {
        let own = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ";
        let world =
            World::asking("Deployment", "web").with(deployment(2, 1)).with(evicted(own, "2026-11-23T02:30:00Z"));
        assert_eq!(world.cause(), "pod_evicted_own_limit Deployment/web");
    }

    #[test]
    fn pods_of_one_version_that_fill_up_again_and_again_are_no_history() {
        let message = "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Gi\". ";
        let own = |name: &str| patched(evicted(message, "2026-11-23T02:30:00Z"), json!({"metadata": {"name": name}}));
        let running = || pod(patched(json!({}), json!({"metadata": {"name": "web-1-z"}})));
        let world = || World::asking("Deployment", "web").with(deployment(1, 1)).with(running());
        let again = world().with(own("web-1-b")).with(own("web-1-c"));
        assert_eq!(again.cause(), "pod_evicted_own_limit Deployment/web");
        assert!(again.diagnosis().headline.contains("scratch outgrew its limit of 1Gi"));
        world().with(own("web-1-b")).is_calm();
        let former = |name: &str| {
            let set = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-0", "uid": "o", "controller": true}]);
            patched(
                own(name),
                json!({"metadata": {"ownerReferences": set, "labels": {"app": "web", "pod-template-hash": "0"}}}),
            )
        };
        let mended = world().with(former("web-0-b")).with(former("web-0-c"));
        assert!(!mended.codes().contains(&"pod_evicted_own_limit"), "the version that runs now fills nothing");
    }

    #[test]
    fn an_alert_that_names_the_evicted_pod_is_answered_though_its_workload_recovered() {
        let world = World::asking("Pod", "web-1-b")
            .with(deployment(1, 1))
            .with(pod(json!({})))
            .with(evicted(NODE_LOW, "2026-11-23T02:30:00Z"));
        assert_eq!(world.cause(), "pod_evicted_node_pressure Node/n1");
        let well =
            crate::playbook::world::node(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
        assert!(!world.with(well).codes().contains(&"pod_evicted_node_pressure"), "nothing of it is left");
    }

    #[test]
    fn a_pod_that_failed_by_itself_was_not_evicted() {
        let failed = patched(evicted("", "2026-11-23T02:30:00Z"), json!({"status": {"reason": null}}));
        let world = World::asking("Deployment", "web").with(deployment(2, 1)).with(failed);
        assert!(!world.codes().iter().any(|code| code.starts_with("pod_evicted")), "{:?}", world.codes());
    }

    #[test]
    fn what_a_node_threw_out_before_it_was_well_again_is_history() {
        let asked = |status: &str| {
            let pressure = json!({"status": {"conditions": [{"type": "Ready", "status": "True"},
                {"type": "DiskPressure", "status": status, "reason": "KubeletHasDiskPressure"}]}});
            let record =
                patched(evicted(NODE_LOW, "2026-11-23T02:30:00Z"), json!({"metadata": {"ownerReferences": null}}));
            World::asking("Node", "n1").with(crate::playbook::world::node(pressure)).with(record)
        };
        assert!(!asked("False").codes().contains(&"pod_evicted_node_pressure"));
        assert!(asked("True").codes().contains(&"pod_evicted_node_pressure"));
    }

    #[test]
    fn records_of_old_evictions_stay_quiet() {
        let world = World::asking("Deployment", "web")
            .with(deployment(1, 1))
            .with(pod(json!({})))
            .with(evicted(NODE_LOW, "2026-11-23T02:30:00Z"));
        world.is_calm();
    }
}
