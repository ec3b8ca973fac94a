//! Pods that the scheduler removed to make room for one of a higher priority, and that find no place since.

use crate::alert::ObjectRef;
use crate::playbook::facts::SeenEvent;
use crate::playbook::finding::{Depth, Finding, change, edit_template, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};

/// Preemptions older than this, in minutes, are no answer to what happens now.
const RECENT: i64 = 24 * 60;

/// What the scheduler says: the preemptor's uid since 1.27, its name before.
static PREEMPTED: Pattern = Pattern::new(r"^Preempted by (?:a )?(?:pod )?(\S+) on node (\S+)");

/// Findings about workloads that lost Pods to preemption and have Pods that wait for a Node.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let waiting: Vec<ObjectRef> = scene
        .pods
        .iter()
        .filter(|pod| pods::is_unscheduled(&pod.object) && !pods::is_leaving(&pod.object))
        .map(|pod| scene.workload(&pod.object))
        .collect();
    let events = scene.facts.events().iter().filter(|event| event.reason == "Preempted" && is_recent(scene, event));
    events
        .filter_map(|event| {
            let owner = waiting.iter().find(|workload| owns(scene, workload, &event.about))?;
            lost(scene, event, owner)
        })
        .collect()
}

fn is_recent(scene: &Scene<'_>, event: &SeenEvent) -> bool {
    event.last_seen.is_none_or(|at| (scene.facts.now.as_second() - at.as_second()) / 60 < RECENT)
}

/// Whether a Pod, most likely gone, was one of a workload's: by its name, which begins with the workload's.
fn owns(scene: &Scene<'_>, workload: &ObjectRef, pod: &ObjectRef) -> bool {
    let known = scene.pod(pod);
    known.map_or_else(
        || pod.namespace == workload.namespace && pod.name.starts_with(&format!("{}-", workload.name)),
        |known| scene.workload(&known.object) == *workload,
    )
}

fn lost(scene: &Scene<'_>, event: &SeenEvent, workload: &ObjectRef) -> Option<Finding> {
    let found = PREEMPTED.groups(&event.message)?;
    let (by, node) = (found.get(1)?.as_str(), logs::shorten(found.get(2)?.as_str(), 80));
    let winner = scene.pods.iter().find(|pod| pod.object.metadata.uid.as_deref() == Some(by));
    let winner = winner.map_or_else(|| logs::shorten(by, 80), |pod| named(&pod.object).to_string());
    let waiting = scene.pods_of(workload).into_iter().find(|pod| pods::is_unscheduled(&pod.object))?;
    let priority = waiting.object.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0);
    let headline = scene.text(
        format!("{workload} 的 Pod 在 Node {node} 上被更高优先级的 Pod（{winner}）抢占（preempted），替代它的 Pod 没有节点可去（priority {priority}）"),
        format!("{workload}: a Pod was preempted on Node {node} by one of higher priority ({winner}), and its replacement finds no Node (priority {priority})"),
    );
    Some(
        Finding::new("pod_preempted", Depth::Root, &named(&waiting.object), workload, headline)
            .cite([scene.quote_event(event)])
            .touches([event.about.clone()])
            .unresolved(scene.text("该优先级差异是否有意为之？", "Is the difference in priority meant?"))
            .steps([
                look(
                    scene.text("查看该节点上各 Pod 的优先级", "See the priorities of the Pods on that Node"),
                    format!("kubectl get pods -A --field-selector spec.nodeName={node} -o custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,PRIORITY:.spec.priority"),
                ),
                look(scene.text("查看 PriorityClass", "List the PriorityClasses"), "kubectl get priorityclass"),
                change(
                    scene.text(
                        "增加节点或释放资源；若该工作负载同样重要，为它设置 priorityClassName",
                        "Add a Node or free resources; if the workload matters as much, give it a priorityClassName",
                    ),
                    "",
                    edit_template(workload),
                ),
            ]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, node, patched, pod, unschedulable};

    const SAID: &str = "Preempted by pod 5b1c on node n1";
    const FULL: &str = "0/1 nodes are available: 1 Insufficient cpu.";

    fn lost() -> World {
        World::asking("Deployment", "web").with(deployment(1, 0)).event("Pod", "web-1-gone", "Preempted", SAID)
    }

    #[test]
    fn a_replacement_that_waits_was_preempted_first() {
        let world = lost().with(pod(unschedulable(FULL))).with(node(json!({})));
        assert_eq!(world.cause(), "pod_preempted Deployment/web");
        assert!(world.diagnosis().headline.contains("preempted on Node n1"));
    }

    #[test]
    fn the_pod_that_took_the_place_is_named_where_it_was_read() {
        let winner = pod(json!({"metadata": {"name": "search-0", "uid": "5b1c", "ownerReferences": null}}));
        let world = lost().with(pod(unschedulable(FULL))).with(winner);
        assert!(world.diagnosis().headline.contains("search-0"), "{}", world.diagnosis().headline);
    }

    #[test]
    fn a_pod_that_waits_and_lost_nobody_to_another_was_not_preempted() {
        let other = lost().with(pod(json!({}))).with(pod(patched(
            unschedulable(FULL),
            json!({"metadata": {"name": "cart-2-a", "ownerReferences": null, "labels": {"app": "cart"}}}),
        )));
        assert!(!other.codes().contains(&"pod_preempted"), "{:?}", other.codes());
    }

    #[test]
    fn a_workload_that_found_another_place_stays_quiet() {
        World::asking("Deployment", "web")
            .with(deployment(1, 1))
            .with(pod(json!({})))
            .event("Pod", "web-1-gone", "Preempted", SAID)
            .is_calm();
    }

    #[test]
    fn another_workloads_loss_does_not_explain_this_ones_wait() {
        let world = World::asking("Deployment", "web")
            .with(deployment(1, 0))
            .with(pod(unschedulable(FULL)))
            .with(node(json!({})))
            .event("Pod", "batch-1-gone", "Preempted", SAID);
        assert!(world.cause().starts_with("insufficient_cpu"), "{}", world.cause());
    }
}
