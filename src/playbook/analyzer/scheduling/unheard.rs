//! Pods that no scheduler has looked at: theirs does not run, or none bears the name they ask for.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Minutes a Pod may wait before nobody can have looked at it: a scheduler does so within seconds.
const PATIENCE: i64 = 2;
/// The name of the scheduler every cluster has, and of its Pods.
const DEFAULT: &str = "default-scheduler";
const PODS: &str = "kube-scheduler";

/// The finding for a Pending Pod that has neither a Node nor a word about why.
pub(super) fn unheard(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let waits = pods::phase(&pod.object) == "Pending" && pods::node_name(&pod.object).is_none();
    let age = scene.minutes_since(pod.object.metadata.creation_timestamp.as_ref())?;
    if !waits || age < PATIENCE || pods::condition(&pod.object, "PodScheduled").is_some() {
        return None;
    }
    let asked = pod.object.spec.as_ref()?.scheduler_name.as_deref().unwrap_or(DEFAULT);
    Some(if asked == DEFAULT {
        not_answering(scene, pod, &name, &workload, age)
    } else {
        let asked = logs::shorten(asked, 80);
        let headline = scene.text(
            format!("{workload} 的 Pod 已等待 {age} 分钟，没有调度器处理：它指定了 schedulerName {asked}，该调度器可能不存在或未运行"),
            format!("{workload}: no scheduler has looked at its Pod for {age} minutes; it asks for schedulerName {asked}, which may not exist or not run"),
        );
        Finding::new("scheduler_unknown", Depth::Root, &name, &workload, headline)
            .confidence(Confidence::Medium)
            .cite([
                scene.quote(&pod.reference, &format!("schedulerName: {asked}")),
                scene.quote(&pod.reference, "phase: Pending"),
            ])
            .steps([
                look(
                    scene.text("查看是否有这个调度器在运行", "See whether such a scheduler runs"),
                    "kubectl get pods -A -o wide",
                ),
                change(
                    scene.text("启动该调度器，或去掉 schedulerName", "Start that scheduler, or remove schedulerName"),
                    "",
                    edit_template(&workload),
                ),
            ])
    })
}

/// The cluster's own scheduler is silent; where its Pods were read, the one that is not well is blamed.
fn not_answering(scene: &Scene<'_>, pod: &Seen<Pod>, name: &ObjectRef, workload: &ObjectRef, age: i64) -> Finding {
    let schedulers = || scene.pods.iter().filter(|pod| named(&pod.object).name.starts_with(PODS));
    let broken = schedulers().find(|pod| !pods::is_ready(&pod.object));
    let working = schedulers().any(|pod| pods::is_ready(&pod.object));
    let blame = broken.or_else(|| schedulers().next()).map(|pod| named(&pod.object));
    let blame = blame.unwrap_or_else(|| ObjectRef::new("Pod", "kube-system", PODS));
    let said = broken.and_then(|pod| {
        let views = pods::containers(&pod.object);
        scene.culprit(&named(&pod.object), views.first()?.name())
    });
    let why = said.as_ref().map(|(line, _)| scene.colon("", logs::said(line))).unwrap_or_default();
    let headline = scene.text(
        format!("{workload} 的 Pod 已等待 {age} 分钟，没有任何调度结论：集群的调度器（{blame}）没有工作{why}"),
        format!("{workload}: nothing was decided about its Pod for {age} minutes; the cluster's scheduler ({blame}) does not work{why}"),
    );
    let finding = Finding::new("scheduler_not_working", Depth::Root, name, &blame, headline)
        .confidence(match (broken, working) {
            (Some(_), false) => Confidence::High,
            (Some(_), true) => Confidence::Medium,
            (None, _) => Confidence::Low,
        })
        .cite([scene.quote(&pod.reference, "phase: Pending"), said.and_then(|(_, citation)| citation)])
        .cite([broken.and_then(|pod| scene.quote(&pod.reference, "ready: false"))])
        .touches([workload.clone()])
        .steps([
            look(
                scene.text("查看调度器的 Pod", "Look at the scheduler's Pods"),
                "kubectl -n kube-system get pods -l component=kube-scheduler -o wide",
            ),
            look(
                scene.text("查看调度器的日志", "Read the scheduler's log"),
                kubectl(&blame.namespace, &format!("logs {} --tail=50", blame.name)),
            ),
        ]);
    match broken {
        Some(_) => finding,
        None => finding
            .gap(scene.text("没有读到不正常的 kube-scheduler Pod", "no kube-scheduler Pod that is unwell was read")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, crashed, patched, pod};

    fn unheard(scheduler: &str, made: &str) -> Value {
        pod(json!({"metadata": {"creationTimestamp": made}, "spec": {"nodeName": null, "schedulerName": scheduler},
            "status": {"phase": "Pending", "conditions": null, "containerStatuses": null, "podIP": null}}))
    }

    const BEFORE: &str = "2026-11-23T02:40:00Z";

    #[test]
    fn a_scheduler_that_crashes_is_blamed_for_pods_nobody_looked_at() {
        let scheduler = json!({"metadata": {"name": "kube-scheduler-cp-1", "ownerReferences": null, "labels": {}}});
        let world = World::asking("Pod", "web-1-a")
            .with(unheard("default-scheduler", BEFORE))
            .with(pod(patched(crashed(1, "Error"), scheduler)))
            .log(
                "kube-scheduler-cp-1",
                "E1123 02:42:13.123456 1 run.go:74] no kind KubeSchedulerConfiguration v1beta3",
            );
        assert_eq!(world.cause(), "scheduler_not_working Pod/kube-scheduler-cp-1");
        assert!(world.diagnosis().headline.contains("v1beta3"), "{}", world.diagnosis().headline);
    }

    #[test]
    fn a_scheduler_by_another_name_is_the_workloads_wish() {
        let world = World::asking("Pod", "web-1-a").with(unheard("volcano", BEFORE));
        assert_eq!(world.cause(), "scheduler_unknown Deployment/web");
    }

    #[test]
    fn a_pod_that_has_just_been_made_is_not_unheard_yet() {
        let young = World::asking("Pod", "web-1-a").with(unheard("default-scheduler", "2026-11-23T02:59:30Z"));
        assert!(!young.codes().contains(&"scheduler_not_working"));
    }
}
