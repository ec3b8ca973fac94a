//! Jobs that gave up or never end, and CronJobs that do not start any.

mod cron;
mod deadline;
mod running;
mod sidecar;
mod suspended;

pub use cron::kept_from_starting;
pub use deadline::is_over;
use k8s_openapi::api::batch::v1::{CronJob, Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
pub use suspended::is_about_runs;

use crate::alert::ObjectRef;
use crate::playbook::alerts;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, counted, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence, Step};

/// Findings about failed and endless Jobs, and CronJobs that cannot start theirs.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let failed = scene.jobs.iter().filter_map(|job| failed(scene, job));
    let cron = scene.facts.all::<CronJob>();
    let unfinished = scene.jobs.iter().filter_map(|job| running::unfinished(scene, job));
    failed.chain(unfinished).chain(cron.iter().filter_map(|cron| cron::not_started(scene, cron))).collect()
}

/// The CronJob of a Job that failed and whose later runs succeeded, as the CronJob itself says; that one run is history.
#[must_use]
pub fn made_up_for(scene: &Scene<'_>, job: &ObjectRef) -> Option<ObjectRef> {
    let job = scene.jobs.iter().find(|seen| named(&seen.object) == *job)?;
    let conditions = job.object.status.as_ref()?.conditions.as_deref().unwrap_or(&[]);
    let failed = conditions.iter().find(|condition| condition.type_ == "Failed" && condition.status == "True")?;
    let owner = scene.owner(&job.object.metadata).filter(|owner| owner.kind == "CronJob")?;
    let cron = scene.facts.get::<CronJob>(&owner.namespace, &owner.name)?;
    let succeeded = cron.object.status.as_ref()?.last_successful_time.as_ref()?;
    (succeeded.0 > failed.last_transition_time.as_ref()?.0).then_some(owner)
}

/// Whether what a Job's Pods said is history: it completed in the end, or it is of a CronJob and later runs succeeded, or
/// nobody could see whether they did.
#[must_use]
pub fn may_be_history(scene: &Scene<'_>, job: &ObjectRef) -> bool {
    let Some(seen) = scene.jobs.iter().find(|seen| named(&seen.object) == *job) else {
        return job.kind == "Job" && !scene.facts.is_missing(job);
    };
    let status = seen.object.status.as_ref();
    let failed = status.and_then(|status| status.failed).is_some_and(|failed| failed > 0);
    let complete = status.and_then(|status| status.conditions.as_deref()).unwrap_or(&[]).iter();
    let mut complete = complete.filter(|condition| condition.type_ == "Complete" && condition.status == "True");
    complete.next().is_some() || made_up_for(scene, job).is_some() || (failed && unread_owner(scene, seen).is_some())
}

/// The CronJob a Job belongs to, where it exists for all that is known and was not read.
fn unread_owner(scene: &Scene<'_>, job: &Seen<Job>) -> Option<ObjectRef> {
    let owner = scene.owner(&job.object.metadata).filter(|owner| owner.kind == "CronJob")?;
    (scene.facts.raw(&owner).is_none() && !scene.facts.is_missing(&owner)).then_some(owner)
}

/// What a failed Pod of a Job says about its end.
struct End {
    exit: i32,
    reason: String,
    container: String,
    pod: ObjectRef,
    said: Option<String>,
    proof: Vec<Option<Citation>>,
}

/// Whether a Job failed a day and more before alerts began that name a Namespace alone and ask for no Job: it is most likely
/// none of their business.
fn long_before(scene: &Scene<'_>, failed: &JobCondition) -> bool {
    const DAY: i64 = 24 * 3_600;
    let asked = scene.question.targets.iter().any(|target| target.kind != "Namespace")
        || scene.question.alert_names.iter().any(|name| alerts::asks(name).contains(&"job"));
    let at = failed.last_transition_time.as_ref().map(|at| at.0.as_second());
    let begun = scene.question.since.map(|since| since.as_second());
    !asked && at.zip(begun).is_some_and(|(at, begun)| begun - at > DAY)
}

fn failed(scene: &Scene<'_>, job: &Seen<Job>) -> Option<Finding> {
    let status = job.object.status.as_ref()?;
    let conditions = status.conditions.as_deref().unwrap_or(&[]);
    let condition = conditions.iter().find(|condition| condition.type_ == "Failed" && condition.status == "True")?;
    let name = named(&job.object);
    if made_up_for(scene, &name).is_some() {
        return None;
    }
    let reason = condition.reason.clone().unwrap_or_default();
    let count = status.failed.unwrap_or(0);
    let code = match reason.as_str() {
        "BackoffLimitExceeded" => "job_backoff_limit_exceeded",
        "DeadlineExceeded" => "job_deadline_exceeded",
        _ => "job_failed",
    };
    let end = scene.pods_of(&name).into_iter().filter_map(|pod| end_of(scene, pod)).next_back();
    let why_zh = end.as_ref().map_or_else(String::new, |end| format!("：{}", end.zh()));
    let why_en = end.as_ref().map_or_else(String::new, |end| format!(": {}", end.en()));
    let (limit_zh, limit_en) = limits(job, &reason);
    let late = deadline::of(scene, job);
    let runs = late.as_ref().map(|late| late.told(scene)).unwrap_or_default();
    let (short_zh, short_en) = if late.is_some() {
        (format!("：{limit_zh}{runs}{why_zh}"), format!(", {limit_en}{runs}{why_en}"))
    } else if end.is_none() && !reason.is_empty() {
        (format!("：{limit_zh}"), format!(", {limit_en}"))
    } else {
        (why_zh.clone(), why_en.clone())
    };
    let headline =
        scene.text(format!("{name} 失败（{reason}）{short_zh}"), format!("{name} failed ({reason}){short_en}"));
    let summary = scene.text(
        format!("{name} 的 Pod 失败 {count} 次，{limit_zh}（{reason}）{runs}，不会再重试{why_zh}。"),
        format!(
            "{name} gave up after {}, {limit_en} ({reason}){runs}; it will not try again{why_en}.",
            counted(count, "failed Pod")
        ),
    );
    let event = scene.events(&name, &[reason.as_str()]).into_iter().next_back();
    let mut finding = Finding::new(code, Depth::Mechanism, &name, &name, headline).summary(summary).cite([
        scene.quote(&job.reference, &format!("reason: {reason}")),
        event.and_then(|event| scene.quote_event(event)),
    ]);
    match end {
        Some(end) => {
            finding = finding.touches([end.pod.clone()]).steps([look(
                scene.text("查看失败 Pod 的日志", "Read the failed Pod's log"),
                kubectl(&name.namespace, &format!("logs {} -c {} --tail=100", end.pod.name, end.container)),
            )]);
            finding = if end.said.is_some() {
                finding
            } else {
                finding.confidence(Confidence::Medium).gap(super::crash::missing_log(scene, &end.pod, &end.container))
            };
            finding = finding.cite(end.proof);
        }
        None => {
            let gone = || {
                scene.text(
                    format!("{name} 的 Pod 已不存在或未能读取"),
                    format!("the Pods of {name} are gone or could not be read"),
                )
            };
            let gap = late.as_ref().filter(|_| scene.pods_of(&name).is_empty()).map(|late| late.gap(scene, &name));
            finding = finding.confidence(Confidence::Medium).gap(gap.unwrap_or_else(gone));
        }
    }
    if long_before(scene, condition) {
        finding = finding.confidence(Confidence::Low);
    }
    if let Some(cron) = unread_owner(scene, job) {
        finding = finding.confidence(Confidence::Low).gap(scene.text(
            format!("未能读取 {cron}，不知道之后的运行是否成功"),
            format!("{cron} could not be read, so it is not known whether later runs succeeded"),
        ));
    }
    finding = finding.steps([look(
        scene.text("查看 Job 状态", "Look at the Job"),
        kubectl(&name.namespace, &format!("describe job {}", name.name)),
    )]);
    let in_time = late.as_ref().and_then(|late| late.steps(scene, &name));
    let proof = late.map(|late| late.proof).unwrap_or_default();
    Some(finding.cite(proof).steps(in_time.unwrap_or_else(|| vec![again(scene, &name)])))
}

/// How the work of a failed Job is done after all: a CronJob makes another of its template, any other Job is created again.
fn again(scene: &Scene<'_>, name: &ObjectRef) -> Step {
    if let Some(cron) = sidecar::cron_of(scene, name).filter(|cron| !scene.facts.is_missing(cron)) {
        return change(
            scene.text("修复报错的原因后补跑一次", "Repair what failed, then run it once more"),
            scene.text(
                format!("若要改的是模板，改 {cron}；失败的 Job 不必删除，下一个计划时间也会按新模板运行"),
                format!("What is wrong in the template is corrected in {cron}; the failed Job may stay, and the next run on schedule takes the new template too"),
            ),
            Some(suspended::run_once(scene, &cron)),
        );
    }
    change(
        scene.text("修复报错的原因后重新创建该 Job", "Repair what failed, then create the Job again"),
        scene.text(
            "Job 不能重启：保留其定义，删除后重新创建",
            "A Job cannot be restarted: keep its definition, delete it and create it again",
        ),
        Some(kubectl(&name.namespace, &format!("delete job {}", name.name))),
    )
}

/// Pods failed and the Job goes on trying: what ended them will most likely end the next ones.
fn retrying(scene: &Scene<'_>, job: &Seen<Job>, name: &ObjectRef) -> Option<Finding> {
    let count = job.object.status.as_ref()?.failed.filter(|count| *count > 0)?;
    let end = scene.pods_of(name).into_iter().filter_map(|pod| end_of(scene, pod)).next_back()?;
    let limit = job.object.spec.as_ref().and_then(|spec| spec.backoff_limit).unwrap_or(6);
    let headline = scene.text(
        format!("{name} 的 Pod 已失败 {count} 次，Job 仍在重试：{}", end.zh()),
        format!("{name} has {} and tries again: {}", counted(count, "failed Pod"), end.en()),
    );
    let summary = scene.text(
        format!("{name} 的 Pod 已失败 {count} 次（backoffLimit {limit}），控制器会继续重试：{}。", end.zh()),
        format!(
            "{} of {name} failed (backoffLimit {limit}) and its controller goes on trying: {}.",
            counted(count, "Pod"),
            end.en()
        ),
    );
    let finding = Finding::new("job_pods_failing", Depth::Mechanism, name, name, headline)
        .summary(summary)
        .cite([scene.quote(&job.reference, &format!("failed: {count}"))])
        .touches([end.pod.clone()])
        .steps([
            look(
                scene.text("查看失败 Pod 的日志", "Read the failed Pod's log"),
                kubectl(&name.namespace, &format!("logs {} -c {} --tail=100", end.pod.name, end.container)),
            ),
            look(
                scene.text("查看 Job 状态", "Look at the Job"),
                kubectl(&name.namespace, &format!("describe job {}", name.name)),
            ),
        ]);
    let finding = match &end.said {
        Some(_) => finding,
        None => finding.confidence(Confidence::Medium).gap(super::crash::missing_log(scene, &end.pod, &end.container)),
    };
    Some(finding.cite(end.proof))
}

/// The limit that ended a Job, in both languages.
fn limits(job: &Seen<Job>, reason: &str) -> (String, String) {
    let spec = job.object.spec.as_ref();
    match spec.and_then(|spec| spec.active_deadline_seconds).filter(|_| reason == "DeadlineExceeded") {
        Some(seconds) => (
            format!("运行时间超过 activeDeadlineSeconds {seconds} 秒"),
            format!("having run longer than its activeDeadlineSeconds of {seconds}"),
        ),
        None => {
            let limit = spec.and_then(|spec| spec.backoff_limit).unwrap_or(6);
            (format!("backoffLimit 为 {limit}"), format!("with a backoffLimit of {limit}"))
        }
    }
}

impl End {
    fn zh(&self) -> String {
        let said = self.said.as_ref().map_or_else(String::new, |said| format!("：{said}"));
        format!("容器 {} 以退出码 {} 结束（{}）{said}", self.container, self.exit, self.reason)
    }

    fn en(&self) -> String {
        let said = self.said.as_ref().map_or_else(String::new, |said| format!(": {said}"));
        format!("container {} ended with exit code {} ({}){said}", self.container, self.exit, self.reason)
    }
}

fn end_of(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<End> {
    let name = named(&pod.object);
    let views = pods::containers(&pod.object);
    let (view, ended) =
        views.iter().find_map(|view| Some((view, view.ended().filter(|ended| ended.exit_code != 0)?)))?;
    let culprit = scene.culprit(&name, view.name());
    let (line, citation) = culprit.map_or((None, None), |(line, citation)| (Some(line), citation));
    // What could not be started has no log; the runtime says why.
    let told = ended.message.as_deref().map(super::crash::essence).filter(|told| !told.is_empty());
    let told = told.filter(|told| line.is_none() && !logs::instructs(told));
    Some(End {
        exit: ended.exit_code,
        reason: ended.reason.clone().unwrap_or_default(),
        container: view.name().to_owned(),
        said: line.or(told).map(logs::said),
        proof: vec![
            citation,
            told.and_then(|told| scene.quote(&pod.reference, told)),
            scene.quote(&pod.reference, &format!("exitCode: {}", ended.exit_code)),
        ],
        pod: name,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, ended, patched, pod};

    fn job(condition: &str, reason: &str, failed: i32) -> serde_json::Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "namespace": "shop"},
            "spec": {"backoffLimit": 2, "template": {}},
            "status": {"failed": failed, "conditions": [{"type": condition, "status": "True", "reason": reason}]}})
    }

    #[test]
    fn what_the_runtime_could_not_start_is_told_without_a_log() {
        let mut run = of_job(128);
        let told = "unable to start container process: exec: \"/bin/migrat\": stat /bin/migrat: no such file or directory: unknown";
        for state in ["state", "lastState"] {
            if let Some(ended) = run.pointer_mut(&format!("/status/containerStatuses/0/{state}/terminated")) {
                (ended["reason"], ended["message"]) = (json!("StartError"), json!(told));
            }
        }
        let world = World::asking("Job", "migrate").with(job("Failed", "BackoffLimitExceeded", 3)).with(run);
        assert!(world.cause().starts_with("job_backoff_limit_exceeded"), "{}", world.cause());
        assert!(world.diagnosis().headline.contains("/bin/migrat"), "{}", world.diagnosis().headline);
    }

    fn of_job(exit: i32) -> serde_json::Value {
        let run = json!({"metadata": {"name": "migrate-x", "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job",
            "name": "migrate", "uid": "j", "controller": true}]}, "status": {"phase": "Failed"}});
        pod(patched(crate::playbook::world::unready(ended(exit, "Error", "2026-11-23T02:59:00Z"), json!({}), 0), run))
    }

    #[test]
    fn a_run_whose_successors_succeeded_is_history() {
        let failed = patched(
            job("Failed", "BackoffLimitExceeded", 3),
            json!({"metadata": {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "n", "controller": true}]},
                "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
                    "lastTransitionTime": "2026-11-23T01:00:00Z"}]}}),
        );
        let cron = |succeeded: &str| {
            json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "shop"},
                "spec": {"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": {}}}},
                "status": {"lastSuccessfulTime": succeeded, "lastScheduleTime": succeeded}})
        };
        let later = World::asking("Job", "migrate").with(failed.clone()).with(cron("2026-11-23T02:05:00Z"));
        later.is_calm();
        let headline = later.diagnosis().headline;
        assert!(headline.contains("later runs of CronJob shop/nightly succeeded"), "{headline}");
        let before = World::asking("Job", "migrate").with(failed).with(cron("2026-11-22T23:05:00Z"));
        assert_eq!(before.cause(), "job_backoff_limit_exceeded Job/migrate");
        let commands: Vec<_> = before.diagnosis().steps.into_iter().filter_map(|step| step.command).collect();
        let again = "kubectl -n shop create job nightly-manual --from=cronjob/nightly";
        assert!(commands.iter().any(|it| it == again), "{commands:?}");
        assert!(!commands.iter().any(|it| it.contains("delete job")), "its CronJob makes others: {commands:?}");
        let alone = World::asking("Job", "migrate").with(job("Failed", "BackoffLimitExceeded", 3)).diagnosis();
        assert!(alone.steps.iter().any(|step| step.command.as_deref() == Some("kubectl -n shop delete job migrate")));
    }

    #[test]
    fn a_run_by_hand_that_failed_is_done_again_under_another_name() {
        let of_cron = |name: &str| {
            patched(
                job("Failed", "BackoffLimitExceeded", 3),
                json!({"metadata": {"name": name, "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob",
                    "name": "nightly", "uid": "n", "controller": true}]}}),
            )
        };
        let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "shop"},
            "spec": {"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": {}}}}, "status": {}});
        let again = |job: &str, other: &str| {
            let world = World::asking("Job", job).with(of_cron(job)).with(of_cron(other)).with(cron.clone());
            let steps = world.diagnosis().steps.into_iter().filter_map(|step| step.command);
            steps.filter(|it| it.contains("create job")).collect::<Vec<_>>().join(" ")
        };
        let by_hand = again("nightly-manual", "nightly-1");
        assert!(by_hand.contains("create job nightly-manual-2 --from"), "{by_hand}");
        let twice = again("nightly-manual", "nightly-manual-2");
        assert!(twice.contains("create job nightly-manual-3 --from"), "{twice}");
        let on_schedule = again("nightly-1", "nightly-2");
        assert!(on_schedule.contains("create job nightly-manual --from"), "{on_schedule}");
    }

    #[test]
    fn a_job_that_gave_up_quotes_its_pods_error() {
        let world = World::asking("Job", "migrate").with(job("Failed", "BackoffLimitExceeded", 3)).with(of_job(3)).log(
            "migrate-x",
            "migrate: applying 42\nERROR: could not create unique index \"email_key\"\nrolled back, exit 3",
        );
        assert_eq!(world.cause(), "job_backoff_limit_exceeded Job/migrate");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("BackoffLimitExceeded") && headline.contains("email_key"), "{headline}");
    }

    #[test]
    fn a_job_that_failed_days_before_an_alert_about_its_namespace_is_hardly_the_cause() {
        let failed = |at: &str| {
            let when = json!({"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
                "lastTransitionTime": at}]}});
            let world = World::asking("Namespace", "shop").alert("BackupTooOld").fired("2026-11-23T02:00:00Z");
            world
                .with(patched(job("Failed", "BackoffLimitExceeded", 1), when))
                .with(of_job(1))
                .log("migrate-x", "ERROR: no such table")
        };
        let confidence = |world: World| world.diagnosis().causes.first().map(|cause| cause.confidence);
        assert_eq!(confidence(failed("2026-11-17T02:00:00Z")), Some(crate::report::Confidence::Low));
        assert_eq!(confidence(failed("2026-11-23T01:30:00Z")), Some(crate::report::Confidence::High));
        let asked = failed("2026-11-17T02:00:00Z").alert("KubeJobFailed");
        assert_eq!(confidence(asked), Some(crate::report::Confidence::High), "that alert is about Jobs");
    }

    #[test]
    fn a_job_that_still_tries_tells_what_ended_its_pods() {
        let trying = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "namespace": "shop"},
            "spec": {"backoffLimit": 6, "template": {}}, "status": {"failed": 3, "active": 1, "startTime": "2026-11-23T02:00:00Z"}});
        let world = World::asking("Job", "migrate").alert("KubeJobNotCompleted").with(trying.clone()).with(of_job(3));
        let world = world.log("migrate-x", "ERROR: could not create unique index \"email_key\"");
        assert_eq!(world.cause(), "job_pods_failing Job/migrate");
        assert!(!world.codes().contains(&"job_still_running"), "that none of its Pods failed would be false");
        let calm = patched(trying, json!({"status": {"failed": 0}}));
        assert_eq!(
            World::asking("Job", "migrate").alert("KubeJobNotCompleted").with(calm).codes(),
            ["job_still_running"]
        );
    }

    #[test]
    fn a_jobs_pod_that_is_restarted_in_place_crashes_as_any_other() {
        let trying = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "namespace": "shop"},
            "spec": {"template": {}}, "status": {"active": 1, "startTime": "2026-11-23T02:00:00Z"}});
        let owned = json!({"metadata": {"name": "migrate-x", "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job",
            "name": "migrate", "uid": "j", "controller": true}]}});
        let world = World::asking("Pod", "migrate-x")
            .with(trying)
            .with(pod(patched(crate::playbook::world::crashed(1, "Error"), owned)))
            .log("migrate-x", "FATAL: environment variable DSN is not set");
        assert_eq!(world.cause(), "crashloop_app_config_error Job/migrate");
    }

    #[test]
    fn a_job_that_succeeded_at_its_second_try_is_fine() {
        let world = World::asking("Job", "migrate").with(job("Complete", "", 1)).with(of_job(3));
        world.is_calm();
    }

    #[test]
    fn a_cronjob_that_cannot_start_says_so() {
        let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "shop"},
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {}}});
        let calm = World::asking("CronJob", "nightly").with(cron.clone());
        assert!(calm.codes().is_empty());
        let late = World::asking("CronJob", "nightly").with(cron).event(
            "CronJob",
            "nightly",
            "TooManyMissedTimes",
            "too many missed start times: 101. Set or decrease startingDeadlineSeconds or check clock skew",
        );
        assert_eq!(late.cause(), "cronjob_not_starting CronJob/nightly");
    }

    #[test]
    fn a_suspended_cronjob_is_an_answer_only_where_it_is_asked_about() {
        let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "shop"},
            "spec": {"schedule": "0 3 * * *", "suspend": true, "jobTemplate": {}}});
        let asked = World::asking("CronJob", "nightly").with(cron.clone());
        assert_eq!(asked.cause(), "cronjob_suspended CronJob/nightly");
        assert!(World::asking("Pod", "web-1-a").with(pod(json!({}))).with(cron).codes().is_empty());
    }

    #[test]
    fn a_job_out_of_time_and_one_whose_policy_ends_it_are_told_apart() {
        let late = patched(job("Failed", "DeadlineExceeded", 0), json!({"spec": {"activeDeadlineSeconds": 600}}));
        let world = World::asking("Job", "migrate").with(late);
        assert_eq!(world.cause(), "job_deadline_exceeded Job/migrate");
        assert!(world.diagnosis().headline.contains("600"), "{}", world.diagnosis().headline);
        let ended_by_policy =
            World::asking("Job", "migrate").with(job("Failed", "PodFailurePolicy", 1)).with(of_job(42));
        assert_eq!(ended_by_policy.cause(), "job_failed Job/migrate");
        World::asking("Job", "migrate").with(job("Complete", "CompletionsReached", 0)).is_calm();
    }
}
