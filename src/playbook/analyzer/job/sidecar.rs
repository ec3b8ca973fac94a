//! A Job whose work is done and that does not complete, because a container beside it runs on.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ContainerStateTerminated;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence, Step};

/// Minutes a sidecar may take to notice that its companion has ended.
const PATIENCE: i64 = 5;
/// The longest last line of a log that is repeated, in characters.
const SAID: usize = 120;

/// One container has ended, another runs on: the Pod never completes, nor does the Job.
pub(super) fn kept_alive(
    scene: &Scene<'_>,
    pod: &Seen<k8s_openapi::api::core::v1::Pod>,
    job: &ObjectRef,
) -> Option<Finding> {
    if pods::phase(&pod.object) != "Running" || pods::is_leaving(&pod.object) {
        return None;
    }
    let views: Vec<ContainerView<'_>> = pods::containers(&pod.object).into_iter().filter(|view| !view.init).collect();
    let (done, end) = views.iter().find_map(|view| Some((view, finished(view)?)))?;
    let minutes = scene.minutes_since(end.finished_at.as_ref()).filter(|minutes| *minutes >= PATIENCE)?;
    let lasted = scene.lasted(minutes);
    let on = views.iter().find(|view| view.running())?;
    let (name, exit) = (named(&pod.object), end.exit_code);
    let before = completed_without(scene, job, on.name());
    let helps = is_helper(done, on, before.is_some());
    let (what_zh, what_en) = if helps { ("sidecar 容器", "sidecar container") } else { ("容器", "container") };
    let headline = scene.text(
        format!(
            "{job} 无法完成：容器 {} 已于 {lasted}前结束（退出码 {exit}），而 {what_zh} {} 仍在运行",
            done.name(),
            on.name()
        ),
        format!(
            "{job} cannot complete: container {} ended {lasted} ago (exit code {exit}), but {what_en} {} runs on",
            done.name(),
            on.name()
        ),
    );
    let last = last_line(scene, &name, done);
    let lasts = last_line(scene, &name, on).filter(|_| !helps);
    let mut summary = headline.clone();
    for (said, _) in last.iter().chain(&lasts) {
        summary += said;
    }
    if let Some(before) = before {
        summary += &scene.text(
            format!("。没有 {} 的上一次运行 {} 正常完成", on.name(), before.name),
            format!(". The run before, {}, had no {} and completed", before.name, on.name()),
        );
    }
    let found = Finding::new("job_sidecar_keeps_running", Depth::Mechanism, &name, job, headline)
        .summary(summary)
        .cite([
            scene.quote(&pod.reference, &format!("exitCode: {exit}")),
            scene.quote(&pod.reference, &format!("name: {}", on.name())),
        ])
        .cite([last, lasts].into_iter().map(|last| last.and_then(|(_, citation)| citation)))
        .steps(steps(scene, &name, job, (done.name(), exit), on.name(), helps));
    Some(if helps { found } else { unsure(scene, found, done.name(), on.name()) })
}

/// Whether the container that runs on only serves the one that has ended, as far as that can be seen: it is another program,
/// and it listens, or the run before did its work without it. Two that are of one image may both have work to do.
fn is_helper(done: &ContainerView<'_>, on: &ContainerView<'_>, worked_without: bool) -> bool {
    let is_same = !on.image().is_empty() && on.image() == done.image();
    let listens = on.spec.ports.as_ref().is_some_and(|ports| !ports.is_empty());
    !is_same && (listens || worked_without)
}

/// What is known where either container may be the one that works.
fn unsure(scene: &Scene<'_>, found: Finding, done: &str, on: &str) -> Finding {
    found.confidence(Confidence::Medium).unresolved(scene.text(
        format!("容器 {on} 是仍有工作要做，还是只为 {done} 服务？"),
        format!("Does container {on} still have work of its own, or does it only serve {done}?"),
    ))
}

/// The last line of a container's log as a sentence, and its proof.
fn last_line(scene: &Scene<'_>, pod: &ObjectRef, of: &ContainerView<'_>) -> Option<(String, Option<Citation>)> {
    let (line, citation) = scene.picked(pod, of.name(), logs::last_words)?;
    let line = logs::shorten(line, SAID);
    let said = scene
        .text(format!("。{} 的最后一行日志：{line}", of.name()), format!(". The last line of {}: {line}", of.name()));
    Some((said, citation))
}

fn finished<'a>(view: &ContainerView<'a>) -> Option<&'a ContainerStateTerminated> {
    view.status?.state.as_ref()?.terminated.as_ref()
}

/// The CronJob a Job was made by.
pub(super) fn cron_of(scene: &Scene<'_>, job: &ObjectRef) -> Option<ObjectRef> {
    let found = scene.jobs.iter().find(|found| named(&found.object) == *job)?;
    scene.owner(&found.object.metadata).filter(|owner| owner.kind == "CronJob")
}

/// The latest run of the same CronJob that completed, and had no such container.
fn completed_without(scene: &Scene<'_>, job: &ObjectRef, container: &str) -> Option<ObjectRef> {
    let cron = cron_of(scene, job)?;
    let completed = |found: &&Seen<Job>| found.object.status.as_ref().is_some_and(|it| it.completion_time.is_some());
    let without = |found: &&Seen<Job>| {
        let spec = found.object.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        spec.is_some_and(|spec| !spec.containers.iter().any(|it| it.name == container))
    };
    let runs = scene.jobs.iter().filter(|found| scene.owner(&found.object.metadata).as_ref() == Some(&cron));
    let last = runs
        .filter(completed)
        .max_by_key(|found| found.object.status.as_ref().and_then(|it| it.completion_time.as_ref()).map(|time| time.0));
    last.filter(without).map(|found| named(&found.object))
}

fn steps(
    scene: &Scene<'_>,
    pod: &ObjectRef,
    job: &ObjectRef,
    (done, exit): (&str, i32),
    on: &str,
    helps: bool,
) -> Vec<Step> {
    let (zh, en) = if exit == 0 {
        (
            format!("确认 {done} 的工作已做完（它以 0 退出）"),
            format!("See that {done} has done its work (it exited with 0)"),
        )
    } else {
        (format!("查看 {done} 为何以 {exit} 退出"), format!("See why {done} exited with {exit}"))
    };
    let read = |container: &str| kubectl(&pod.namespace, &format!("logs {} -c {container} --tail=20", pod.name));
    let mut steps = vec![look(scene.text(zh, en), read(done))];
    if !helps {
        steps.push(look(
            scene.text(format!("查看 {on} 是否仍在工作"), format!("See whether {on} is still at work")),
            read(on),
        ));
    }
    steps.push(native(scene, job, done, on, helps));
    // A run whose work may still be under way is nobody's to delete.
    if helps {
        steps.push(end_run(scene, job));
    }
    steps
}

fn native(scene: &Scene<'_>, job: &ObjectRef, done: &str, on: &str, helps: bool) -> Step {
    let template = cron_of(scene, job).unwrap_or_else(|| job.clone());
    let (if_zh, if_en) = if helps {
        (String::new(), "Make".to_owned())
    } else {
        (format!("若 {on} 只为 {done} 服务，"), format!("If {on} only serves {done}, make"))
    };
    change(
        scene.text(
            format!("{if_zh}把 {on} 改为原生 sidecar（initContainers，restartPolicy: Always）"),
            format!("{if_en} {on} a native sidecar (initContainers with restartPolicy: Always)"),
        ),
        scene.text(
            "原生 sidecar 在主容器结束后会被自动终止（Kubernetes 1.29 及以上）；或让主容器结束时通知它退出。不改的话，下次运行同样会卡住",
            "It is then ended after the others (Kubernetes 1.29 and later); or have the main container tell it to quit. Left as it is, the next run hangs alike",
        ),
        edit_template(&template),
    )
}

fn end_run(scene: &Scene<'_>, job: &ObjectRef) -> Step {
    change(
        scene.text(
            "确认工作已做完后，删除这个 Job 以结束本次运行",
            "Once the work is surely done, delete the Job to end this run",
        ),
        scene.text(
            "不要只删 Pod：Job 会新建一个，把工作再做一遍。日志会随之消失，需要时先保存",
            "Not its Pod alone: the Job makes a new one, which does the work a second time. Its logs go too; keep them first if they are needed",
        ),
        Some(kubectl(&job.namespace, &format!("delete job {}", job.name))),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, patched, pod};

    fn job(name: &str, containers: &[&str], status: Value) -> Value {
        let containers: Vec<Value> = containers.iter().map(|name| json!({"name": name})).collect();
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "shop",
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "c", "controller": true}]},
            "spec": {"template": {"spec": {"containers": containers}}}, "status": status})
    }

    fn run(ended: &str, exit: i32) -> Value {
        let status = |name: &str, state: Value| json!({"name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state});
        let end = json!({"terminated": {"exitCode": exit, "reason": "Completed", "finishedAt": ended}});
        let running = json!({"running": {"startedAt": "2026-11-23T01:00:00Z"}});
        let owner =
            json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "report", "uid": "j", "controller": true}]);
        pod(json!({"metadata": {"name": "report-x", "ownerReferences": owner},
            "spec": {"containers": [{"name": "web"}, {"name": "proxy"}]},
            "status": {"containerStatuses": [status("web", end), status("proxy", running)],
                "conditions": [{"type": "Ready", "status": "False"}]}}))
    }

    fn cron(last: &str) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "shop"},
            "spec": {"schedule": "0 * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {}},
            "status": {"active": [{"name": "report"}], "lastScheduleTime": last, "lastSuccessfulTime": "2026-11-22T20:03:00Z"}})
    }

    fn hanging(ended: &str, exit: i32) -> World {
        let active = json!({"active": 1, "startTime": "2026-11-22T21:00:00Z"});
        World::asking("Job", "report")
            .with(job("report", &["web", "proxy"], active))
            .with(job("before", &["web"], json!({"succeeded": 1, "completionTime": "2026-11-22T20:03:00Z"})))
            .with(run(ended, exit))
            .log_of("report-x", "web", "INFO connected\nINFO upload complete, done\n")
    }

    #[test]
    fn a_sidecar_that_runs_on_keeps_its_job_from_completing() {
        assert_eq!(hanging("2026-11-23T02:00:00Z", 0).cause(), "job_sidecar_keeps_running Job/report");
        let told = hanging("2026-11-23T02:00:00Z", 0).diagnosis();
        assert!(told.headline.contains("sidecar container proxy runs on"));
        let summary = &told.causes[0].summary;
        assert!(summary.contains("upload complete") && summary.contains("before, had no proxy"), "{summary}");
        let early = hanging("2026-11-23T02:58:00Z", 0);
        assert!(!early.codes().contains(&"job_sidecar_keeps_running"), "it may still notice");
    }

    #[test]
    fn the_job_is_deleted_and_not_the_pod_that_it_would_replace() {
        for exit in [0, 1] {
            let told = hanging("2026-11-23T02:00:00Z", exit).diagnosis();
            let commands: Vec<_> = told.steps.iter().filter_map(|step| step.command.as_deref()).collect();
            assert!(commands.contains(&"kubectl -n shop delete job report"), "{commands:?}");
            assert!(commands.contains(&"kubectl -n shop edit cronjob/nightly"), "{commands:?}");
            assert!(!commands.iter().any(|command| command.contains("delete pod")), "{commands:?}");
        }
    }

    #[test]
    fn which_of_two_containers_only_serves_the_other_is_not_guessed() {
        let two = |image: &str, ports: Value| {
            let second = json!({"name": "proxy", "image": image, "ports": ports});
            World::asking("Job", "report")
                .with(job("report", &["web", "proxy"], json!({"active": 1, "startTime": "2026-11-22T21:00:00Z"})))
                .with(patched(
                    run("2026-11-23T02:00:00Z", 0),
                    json!({"spec": {"containers": [{"name": "web", "image": "reg/web:1"}, second]}}),
                ))
                .log_of("report-x", "proxy", "INFO 420 of 900 parts archived\n")
                .diagnosis()
        };
        let listens = json!([{"containerPort": 5432}]);
        for unsure in [two("reg/web:1", listens.clone()), two("reg/archive:1", json!([]))] {
            assert_eq!(unsure.causes[0].code.as_deref(), Some("job_sidecar_keeps_running"));
            assert_eq!(unsure.causes[0].confidence, crate::report::Confidence::Medium);
            assert!(!unsure.headline.contains("sidecar"), "{}", unsure.headline);
            assert!(unsure.causes[0].summary.contains("420 of 900 parts"), "{}", unsure.causes[0].summary);
            let deletes = |it: &crate::report::Step| it.command.as_deref().is_some_and(|it| it.contains("delete"));
            assert!(!unsure.steps.iter().any(deletes), "{:?}", unsure.steps);
        }
        let helper = two("reg/proxy:1", listens);
        assert!(helper.headline.contains("sidecar container proxy"), "{}", helper.headline);
        assert_eq!(helper.causes[0].confidence, crate::report::Confidence::High);
    }

    #[test]
    fn a_suspended_cron_job_skips_no_run_for_a_hanging_one() {
        let off = patched(cron("2026-11-22T21:00:00Z"), json!({"spec": {"suspend": true}}));
        let impact = hanging("2026-11-22T22:00:00Z", 0).with(off).diagnosis().impact;
        assert!(impact.contains("is suspended") && !impact.contains("skipped"), "{impact}");
    }

    #[test]
    fn the_runs_that_a_hanging_one_keeps_from_starting_are_its_impact() {
        let hangs = |last: &str| hanging("2026-11-22T22:00:00Z", 0).with(cron(last)).diagnosis().impact;
        let impact = hangs("2026-11-22T21:00:00Z");
        assert!(impact.contains("6 runs were skipped") && impact.contains("2026-11-22 20:03:00 UTC"), "{impact}");
        let impact = hangs("2026-11-23T02:30:00Z");
        assert!(impact.contains("no further run") && !impact.contains("skipped"), "{impact}");
    }
}
