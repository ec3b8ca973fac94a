//! Services of type ExternalName that stand for a Service of the cluster which does not exist.

use k8s_openapi::api::core::v1::Service;

use super::claim;
use crate::alert::ObjectRef;
use crate::playbook::alias;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence};

/// Findings about names that lead nowhere.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.services.iter().filter_map(|service| leads_nowhere(scene, service)).collect()
}

fn leads_nowhere(scene: &Scene<'_>, service: &Seen<Service>) -> Option<Finding> {
    let external = alias::name(&service.object)?;
    let missing = alias::target(external).filter(|target| scene.facts.is_missing(target))?;
    let name = named(&service.object);
    let hint = claim::near_hint(scene, &scene.near_misses(&missing));
    let headline = scene.text(
        format!("{name} 是 ExternalName，指向 {external}，而 {missing} 不存在{hint}"),
        format!("{name} only stands for {external} (ExternalName), and {missing} does not exist{hint}"),
    );
    let (callers, lines): (Vec<ObjectRef>, Vec<Option<Citation>>) = callers(scene, &name).into_iter().unzip();
    // A name that nobody is seen to call may long be forgotten.
    let is_missed = !callers.is_empty() || scene.question.targets.contains(&name);
    let (depth, confidence) =
        if is_missed { (Depth::Root, Confidence::High) } else { (Depth::Effect, Confidence::Medium) };
    Some(
        Finding::new("external_name_missing", depth, &name, &name, headline)
            .confidence(confidence)
            .cite([scene.quote(&service.reference, &format!("externalName: {external}"))])
            .cite([scene.facts.absent(&missing).cloned()])
            .cite(lines)
            .touches(callers)
            .steps([
                look(
                    scene.text("查看该 Namespace 中的 Service", "List the Services of that namespace"),
                    kubectl(&missing.namespace, "get services"),
                ),
                change(
                    scene.text(
                        format!("修正 {name} 的 externalName，或创建 {missing}"),
                        format!("Correct the externalName of {name}, or create {missing}"),
                    ),
                    "",
                    Some(kubectl(&name.namespace, &format!("edit service {}", name.name))),
                ),
            ]),
    )
}

/// The workloads whose calls to a Service fail, with a line of each that says so.
fn callers(scene: &Scene<'_>, service: &ObjectRef) -> Vec<(ObjectRef, Option<Citation>)> {
    let mut found: Vec<(ObjectRef, Option<Citation>)> = Vec::new();
    for pod in scene.current_pods() {
        let calls = reach::failing_calls(scene, &pod.object);
        let meant = |call: &&reach::Call<'_>| {
            reach::service_of(scene, &pod.object, call).is_some_and(|it| named(&it.object) == *service)
        };
        let workload = scene.workload(&pod.object);
        if let Some(call) = calls.iter().find(meant)
            && !found.iter().any(|(known, _)| *known == workload)
        {
            found.push((workload, scene.quote(&call.log.reference, call.line)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, crashed, pod};
    use crate::report::Confidence;

    const REFUSED: &str = "FATAL dial tcp: lookup db on 10.96.0.10:53: no such host";

    fn alias(external: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "shop"},
            "spec": {"type": "ExternalName", "externalName": external}})
    }

    fn calling(external: &str) -> World {
        World::asking("Pod", "web-1-a")
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", REFUSED)
            .with(alias(external))
            .listed("Service")
    }

    #[test]
    fn a_name_for_a_service_that_does_not_exist_is_the_cause() {
        let world = calling("postgres.data.svc.cluster.local");
        assert_eq!(world.cause(), "external_name_missing Service/db");
        let cause = world.diagnosis().causes.remove(0);
        assert_eq!(cause.confidence, Confidence::High);
        assert!(cause.evidence.iter().any(|it| it.quote.contains("externalName: postgres.data.svc.cluster.local")));
    }

    #[test]
    fn a_name_for_a_service_there_is_stands_for_that() {
        let there = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "postgres", "namespace": "data"},
            "spec": {"clusterIP": "10.96.3.4", "selector": {"app": "postgres"}, "ports": [{"port": 5432}]}});
        let broken = json!({"metadata": {"name": "postgres-0", "namespace": "data", "labels": {"app": "postgres"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "postgres", "uid": "p", "controller": true}]}});
        let world = calling("postgres.data.svc.cluster.local").with(there);
        assert!(!world.codes().contains(&"external_name_missing"));
        let world = world.with(pod(crate::playbook::world::patched(crashed(137, "OOMKilled"), broken)));
        assert_eq!(world.cause(), "oom_killed_no_limit StatefulSet/postgres");
    }

    #[test]
    fn a_name_outside_the_cluster_is_not_looked_up_here() {
        let world = calling("shop.eu-1.rds.example.com");
        assert!(!world.codes().contains(&"external_name_missing"));
        let diagnosis = world.diagnosis();
        assert!(diagnosis.causes.iter().all(|cause| cause.confidence < Confidence::High));
        assert!(diagnosis.data_gaps.join("\n").contains("shop.eu-1.rds.example.com"), "{:?}", diagnosis.data_gaps);
    }
}
