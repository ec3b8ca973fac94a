//! Jobs that do not end: a sidecar keeps them alive, somebody suspended them, or they simply still run.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::sidecar;
use crate::alert::ObjectRef;
use crate::playbook::awaited;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// What is to say about a Job that is neither complete nor failed.
pub(super) fn unfinished(scene: &Scene<'_>, job: &Seen<Job>) -> Option<Finding> {
    let status = job.object.status.as_ref()?;
    let over = |kind: &str| kind == "Complete" || kind == "Failed";
    if status.conditions.iter().flatten().any(|it| over(&it.type_) && it.status == "True") {
        return None;
    }
    let name = named(&job.object);
    if job.object.spec.as_ref()?.suspend == Some(true) {
        let matters = scene.question.targets.contains(&name) || awaited::by_someone(scene, &name);
        return matters.then(|| suspended(scene, job, &name));
    }
    let kept = scene.pods_of(&name).into_iter().find_map(|pod| sidecar::kept_alive(scene, pod, &name));
    kept.or_else(|| super::retrying(scene, job, &name)).or_else(|| still_running(scene, job, &name))
}

fn suspended(scene: &Scene<'_>, job: &Seen<Job>, name: &ObjectRef) -> Finding {
    let headline = scene.text(
        format!("{name} 已被暂停（spec.suspend=true），不会运行"),
        format!("{name} is suspended (spec.suspend=true), so it does not run"),
    );
    Finding::new("job_suspended", Depth::Effect, name, name, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&job.reference, "suspend: true")])
        .unresolved(scene.text(format!("{name} 是否被有意暂停？"), "Was it suspended on purpose?"))
        .steps([
            look(
                scene.text("查看 Job", "Look at the Job"),
                kubectl(&name.namespace, &format!("describe job {}", name.name)),
            ),
            change(
                scene.text("如果不是有意为之，恢复运行", "If not on purpose, let it run"),
                "",
                Some(kubectl(
                    &name.namespace,
                    &format!("patch job {} -p '{{\"spec\":{{\"suspend\":false}}}}'", name.name),
                )),
            ),
        ])
}

/// An alert that a Job takes long is true of a Job that runs well: nothing is broken, but nothing proves it will end.
fn still_running(scene: &Scene<'_>, job: &Seen<Job>, name: &ObjectRef) -> Option<Finding> {
    const ALERTS: [&str; 2] = ["KubeJobNotCompleted", "KubeJobCompletion"];
    let status = job.object.status.as_ref()?;
    let asked = scene.question.alert_names.iter().any(|alert| ALERTS.contains(&alert.as_str()));
    let restarts = |pod: &Seen<Pod>| pods::containers(&pod.object).iter().any(|view| view.failing(scene.facts.now));
    let fails = status.failed.unwrap_or(0) > 0 || scene.pods_of(name).into_iter().any(restarts);
    let minutes = scene
        .minutes_since(status.start_time.as_ref())
        .filter(|_| asked && !fails && status.active.unwrap_or(0) > 0)?;
    let lasted = scene.lasted(minutes);
    let headline = scene.text(
        format!("{name} 已运行 {lasted}仍未结束，没有失败的 Pod"),
        format!("{name} has run for {lasted} and has not ended; none of its Pods failed"),
    );
    Some(
        Finding::new("job_still_running", Depth::Symptom, name, name, headline)
            .confidence(Confidence::Low)
            .cite([scene.quote(&job.reference, &format!("active: {}", status.active.unwrap_or(0)))])
            .unresolved(scene.text("这个 Job 正常需要多长时间？", "How long does this Job usually take?"))
            .steps([look(
                scene.text("查看 Job 的最新日志", "Read the Job's latest log"),
                kubectl(&name.namespace, &format!("logs job/{} --tail=50", name.name)),
            )]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, patched};

    fn job(patch: serde_json::Value) -> serde_json::Value {
        let base = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "report", "namespace": "shop"},
            "spec": {"template": {}}, "status": {"active": 1, "startTime": "2026-11-23T01:00:00Z"}});
        patched(base, patch)
    }

    #[test]
    fn a_job_that_was_suspended_or_still_runs_is_no_failure() {
        let asked = |patch| World::asking("Job", "report").with(job(patch));
        assert_eq!(asked(json!({"spec": {"suspend": true}})).cause(), "job_suspended Job/report");
        let long = asked(json!({})).alert("KubeJobNotCompleted");
        assert_eq!(long.codes(), ["job_still_running"]);
        assert_eq!(long.diagnosis().verdict, crate::report::Verdict::Inconclusive);
        assert!(asked(json!({})).codes().is_empty());
    }
}
