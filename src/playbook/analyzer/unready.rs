//! What is plainly not well, said without a reason: the last word when no other analyzer knows more.

use k8s_openapi::api::core::v1::Pod;

use crate::playbook::describe;
use crate::playbook::finding::{Depth, Finding, kubectl, look, slash};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// The code of a finding that only repeats what the alert says of a Pod.
pub const ECHO: &str = "pod_not_ready";

/// Minutes a new Pod may take to start: a Deployment's `progressDeadlineSeconds` where nobody set another.
const STARTING: i64 = 10;

/// Symptoms: Pods that are not Ready, StatefulSets and DaemonSets that miss replicas.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    workloads(scene).into_iter().chain(lonely_pods(scene)).collect()
}

fn lonely_pods(scene: &Scene<'_>) -> Vec<Finding> {
    let unwell = scene.current_pods().filter(|pod| {
        let known = !pods::phase(&pod.object).is_empty();
        let unready = known && !pods::is_ready(&pod.object) && pods::phase(&pod.object) != "Succeeded";
        let unready = unready && super::job::made_up_for(scene, &scene.workload(&pod.object)).is_none();
        unready && !is_spare(scene, &pod.object) && !is_record(scene, &pod.object)
    });
    unwell
        .map(|pod| {
            let name = named(&pod.object);
            let state = describe::state(scene, &name).unwrap_or_default();
            let headline = scene.text(format!("{name} 未就绪：{state}"), format!("{name} is not Ready: {state}"));
            Finding::new(ECHO, Depth::Symptom, &name, &scene.workload(&pod.object), headline)
                .confidence(Confidence::Low)
                .cite([scene.quote(&pod.reference, &format!("phase: {}", pods::phase(&pod.object)))])
                .steps([look(
                    scene.text("查看 Pod", "Look at the Pod"),
                    kubectl(&name.namespace, &format!("describe {}", slash(&name))),
                )])
        })
        .collect()
}

/// What is left of an evicted Pod, which its controller has replaced by another: it never becomes Ready again.
fn is_record(scene: &Scene<'_>, pod: &Pod) -> bool {
    pods::is_evicted(pod) && scene.workload(pod) != named(pod) && !scene.question.targets.contains(&named(pod))
}

/// A Pod that starts while as many others serve as its workload wants: a rollout under way is no trouble yet.
fn is_spare(scene: &Scene<'_>, pod: &Pod) -> bool {
    let minutes = scene.minutes_since(pod.metadata.creation_timestamp.as_ref());
    let full = scene.replicas(&scene.workload(pod)).is_some_and(|(ready, wanted)| ready >= wanted);
    full && minutes.is_some_and(|minutes| minutes < STARTING)
}

fn workloads(scene: &Scene<'_>) -> Vec<Finding> {
    let stateful = scene.stateful_sets.iter().map(|set| (named(&set.object), set.reference.as_str()));
    let daemons = scene.daemon_sets.iter().map(|set| (named(&set.object), set.reference.as_str()));
    stateful
        .chain(daemons)
        .filter_map(|(name, reference)| {
            let (ready, wanted) = scene.replicas(&name).filter(|(ready, wanted)| ready < wanted)?;
            let headline = scene.text(
                format!("{name} 只有 {ready}/{wanted} 个副本就绪"),
                format!("{name} has only {ready} of {wanted} replicas ready"),
            );
            let field = format!("readyReplicas: {ready}");
            Some(
                Finding::new("workload_unavailable", Depth::Symptom, &name, &name, headline)
                    .confidence(Confidence::Low)
                    .cite([scene.quote_any(reference, &[&field, &format!("numberReady: {ready}")])])
                    .steps([look(
                        scene.text("查看工作负载", "Look at the workload"),
                        kubectl(&name.namespace, &format!("describe {}", slash(&name))),
                    )]),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, patched, pod, unready};

    fn daemons(ready: i32) -> serde_json::Value {
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "shop"},
            "spec": {"selector": {}, "template": {}}, "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 3,
                "numberMisscheduled": 0, "numberReady": ready}})
    }

    #[test]
    fn an_unready_pod_nobody_can_explain_is_undecided_not_healthy() {
        let world = World::asking("Pod", "web-1-a").with(pod(unready(json!({"running": {}}), json!({}), 0)));
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.verdict, crate::report::Verdict::Inconclusive);
        assert_eq!(diagnosis.causes[0].code.as_deref(), Some("pod_not_ready"));
    }

    #[test]
    fn a_pod_that_starts_while_all_that_are_wanted_serve_is_no_trouble_yet() {
        let starting = |made: &str| {
            let young = json!({"metadata": {"name": "web-1-b", "creationTimestamp": made}});
            let starting = pod(patched(unready(json!({"running": {}}), json!({}), 0), young));
            World::asking("Deployment", "web").with(deployment(1, 1)).with(pod(json!({}))).with(starting)
        };
        assert!(!starting("2026-11-23T02:58:00Z").codes().contains(&"pod_not_ready"));
        assert!(starting("2026-11-23T02:30:00Z").codes().contains(&"pod_not_ready"));
    }

    #[test]
    fn daemons_that_miss_pods_are_seen_and_complete_ones_are_not() {
        let missing = World::asking("DaemonSet", "agent").with(daemons(2));
        assert_eq!(missing.codes(), ["workload_unavailable"]);
        World::asking("DaemonSet", "agent").with(daemons(3)).is_calm();
    }
}
