//! DaemonSets whose new version does not go out because their own strategy waits for somebody.

use k8s_openapi::api::apps::v1::DaemonSet;

use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Findings about DaemonSets that are asked about.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.daemon_sets.iter().filter_map(|set| held_back(scene, set)).collect()
}

fn held_back(scene: &Scene<'_>, set: &Seen<DaemonSet>) -> Option<Finding> {
    let name = named(&set.object);
    let status = set.object.status.as_ref()?;
    let strategy = set.object.spec.as_ref()?.update_strategy.as_ref()?;
    let wanted = status.desired_number_scheduled;
    let updated = status.updated_number_scheduled.unwrap_or(0);
    let waits = strategy.type_.as_deref() == Some("OnDelete") && updated < wanted;
    if !waits || !scene.question.targets.contains(&name) {
        return None;
    }
    let headline = scene.text(
        format!("{name} 的新版本只更新了 {updated}/{wanted} 个 Pod：updateStrategy 为 OnDelete，旧 Pod 被删除之前不会更新"),
        format!("{name}: the new version is on {updated} of {wanted} Pods: its updateStrategy is OnDelete, so a Pod is updated only once somebody deletes it"),
    );
    let old = scene.pods_of(&name).into_iter().find(|pod| is_old(set, &pod.object));
    let command = old.map(|pod| kubectl(&name.namespace, &format!("delete pod {}", named(&pod.object).name)));
    Some(
        Finding::new("daemonset_update_on_delete", Depth::Effect, &name, &name, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&set.reference, "type: OnDelete")])
            .unresolved(scene.text("更新是否被有意推迟？", "Is the update put off on purpose?"))
            .steps([
                look(
                    scene.text("查看各 Pod 的版本", "See each Pod's revision"),
                    kubectl(&name.namespace, "get pods -o wide -L controller-revision-hash"),
                ),
                change(
                    scene.text(
                        "逐个节点删除旧 Pod（delete），或把 updateStrategy 改为 RollingUpdate",
                        "Delete the old Pods Node by Node, or set the updateStrategy to RollingUpdate",
                    ),
                    "",
                    command,
                ),
            ]),
    )
}

/// Whether a Pod was made of an earlier template, by the generation both carry.
fn is_old(set: &Seen<DaemonSet>, pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    let made = pod.metadata.labels.as_ref().and_then(|labels| labels.get("pod-template-generation"));
    let now = set.object.metadata.annotations.as_ref();
    let now = now.and_then(|all| all.get("deprecated.daemonset.template.generation"));
    made.zip(now).is_some_and(|(made, now)| made != now)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::World;

    fn agent(strategy: &str, updated: i32) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "shop"},
            "spec": {"selector": {}, "template": {}, "updateStrategy": {"type": strategy}},
            "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": 3, "numberMisscheduled": 0,
                "updatedNumberScheduled": updated}})
    }

    #[test]
    fn an_update_that_waits_for_deletions_is_the_answer_to_a_stuck_rollout() {
        let world = World::asking("DaemonSet", "agent").with(agent("OnDelete", 0));
        assert_eq!(world.cause(), "daemonset_update_on_delete DaemonSet/agent");
    }

    #[test]
    fn updated_daemons_and_rolling_ones_stay_quiet() {
        World::asking("DaemonSet", "agent").with(agent("OnDelete", 3)).is_calm();
        World::asking("DaemonSet", "agent").with(agent("RollingUpdate", 1)).is_calm();
    }

    #[test]
    fn nobody_is_told_who_did_not_ask() {
        let codes = World::asking("Service", "web").with(agent("OnDelete", 0)).codes();
        assert!(codes.is_empty(), "{codes:?}");
    }
}
