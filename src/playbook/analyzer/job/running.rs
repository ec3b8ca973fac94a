//! Jobs that do not end: a sidecar keeps them alive, somebody suspended them, or they simply still run.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};

use crate::alert::ObjectRef;
use crate::playbook::awaited;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Minutes a sidecar may take to notice that its companion has ended.
const PATIENCE: i64 = 5;

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
    let kept = scene.pods_of(&name).into_iter().find_map(|pod| kept_alive(scene, pod, &name));
    kept.or_else(|| super::retrying(scene, job, &name)).or_else(|| still_running(scene, job, &name))
}

/// One container has done its work, another runs on: the Pod never completes, nor does the Job.
fn kept_alive(scene: &Scene<'_>, pod: &Seen<Pod>, job: &ObjectRef) -> Option<Finding> {
    if pods::phase(&pod.object) != "Running" || pods::is_leaving(&pod.object) {
        return None;
    }
    let views: Vec<ContainerView<'_>> = pods::containers(&pod.object).into_iter().filter(|view| !view.init).collect();
    let (done, end) = views.iter().find_map(|view| Some((view, finished(view)?)))?;
    let minutes = scene.minutes_since(end.finished_at.as_ref()).filter(|minutes| *minutes >= PATIENCE)?;
    let lasted = scene.lasted(minutes);
    let on = views.iter().find(|view| view.running())?;
    let (name, exit) = (named(&pod.object), end.exit_code);
    let headline = scene.text(
        format!("{job} 无法完成：容器 {} 已于 {lasted}前结束（退出码 {exit}），而 sidecar 容器 {} 仍在运行", done.name(), on.name()),
        format!("{job} cannot complete: container {} ended {lasted} ago (exit code {exit}), but sidecar container {} runs on", done.name(), on.name()),
    );
    Some(
        Finding::new("job_sidecar_keeps_running", Depth::Mechanism, &name, job, headline)
            .cite([
                scene.quote(&pod.reference, &format!("exitCode: {exit}")),
                scene.quote(&pod.reference, &format!("name: {}", on.name())),
            ])
            .steps([
                look(
                    scene.text("查看 Pod 中各容器的状态", "See the state of each container"),
                    kubectl(&name.namespace, &format!("describe pod {}", name.name)),
                ),
                change(
                    scene.text(
                        format!("把 {} 改为原生 sidecar（initContainers，restartPolicy: Always）", on.name()),
                        format!("Make {} a native sidecar (initContainers with restartPolicy: Always)", on.name()),
                    ),
                    scene.text(
                        "原生 sidecar 在主容器结束后会被自动终止；或让它在主容器结束时自行退出",
                        "It is then ended after the others; or let it exit when its companion does",
                    ),
                    None,
                ),
                change(
                    scene.text(
                        "确认任务已完成后，删除该 Pod 以结束本次运行",
                        "Once the work is surely done, delete the Pod to end this run",
                    ),
                    "",
                    Some(kubectl(&name.namespace, &format!("delete pod {}", name.name))),
                ),
            ]),
    )
}

fn finished<'a>(view: &ContainerView<'a>) -> Option<&'a ContainerStateTerminated> {
    view.status?.state.as_ref()?.terminated.as_ref()
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

    use crate::playbook::world::{World, patched, pod};

    fn job(patch: serde_json::Value) -> serde_json::Value {
        let base = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "report", "namespace": "shop"},
            "spec": {"template": {}}, "status": {"active": 1, "startTime": "2026-11-23T01:00:00Z"}});
        patched(base, patch)
    }

    fn run(ended: &str, other: serde_json::Value) -> serde_json::Value {
        let status = |name: &str, state: serde_json::Value| json!({"name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state});
        let end = json!({"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": ended}});
        pod(json!({"metadata": {"name": "report-x", "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job",
            "name": "report", "uid": "j", "controller": true}]},
            "spec": {"containers": [{"name": "web"}, {"name": "proxy"}]},
            "status": {"containerStatuses": [status("web", end), status("proxy", other)],
                "conditions": [{"type": "Ready", "status": "False"}]}}))
    }

    #[test]
    fn a_sidecar_that_runs_on_keeps_its_job_from_completing() {
        let running = json!({"running": {"startedAt": "2026-11-23T01:00:00Z"}});
        let world = |ended: &str| World::asking("Job", "report").with(job(json!({}))).with(run(ended, running.clone()));
        assert_eq!(world("2026-11-23T02:00:00Z").cause(), "job_sidecar_keeps_running Job/report");
        assert!(world("2026-11-23T02:00:00Z").diagnosis().headline.contains("sidecar container proxy runs on"));
        assert!(!world("2026-11-23T02:58:00Z").codes().contains(&"job_sidecar_keeps_running"), "it may still notice");
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
