//! CronJobs that start no Jobs: suspended, refused, held up by a run that does not end, or long overdue.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::suspended;
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Reasons of the CronJob controller's warnings (`pkg/controller/cronjob`, Kubernetes 1.21 and later).
const REASONS: [&str; 7] = [
    "FailedNeedsStart",
    "TooManyMissedTimes",
    "UnparseableSchedule",
    "UnknownTimeZone",
    "FailedCreate",
    "InvalidSchedule",
    "MissSchedule",
];

/// Minutes of grace before a schedule counts as missed: the controller and the clock may lag.
const GRACE: i64 = 10;

/// Why a CronJob starts no Jobs, when it should.
pub(super) fn not_started(scene: &Scene<'_>, cron: &Seen<CronJob>) -> Option<Finding> {
    let name = named(&cron.object);
    if cron.object.spec.suspend == Some(true) {
        return suspended::told(scene, cron, &name);
    }
    if let Some(finding) = blocked(scene, cron, &name) {
        return Some(finding);
    }
    let Some(event) = scene.events(&name, &REASONS).into_iter().max_by_key(|event| event.last_seen) else {
        return overdue(scene, cron, &name);
    };
    if started_since(cron, event.last_seen) {
        return None;
    }
    let said = logs::said(&event.message);
    let headline = scene.text(
        format!("{name} 没有按计划创建 Job（{}）：{said}", event.reason),
        format!("{name} does not start its Jobs ({}): {said}", event.reason),
    );
    Some(
        Finding::new("cronjob_not_starting", Depth::Root, &name, &name, headline)
            .cite([scene.quote_event(event)])
            .steps([
                look(
                    scene.text("查看 CronJob", "Look at the CronJob"),
                    kubectl(&name.namespace, &format!("describe cronjob {}", name.name)),
                ),
                change(
                    scene.text(
                        "修正 schedule、startingDeadlineSeconds 或 jobTemplate",
                        "Correct schedule, startingDeadlineSeconds or jobTemplate",
                    ),
                    "",
                    Some(kubectl(&name.namespace, &format!("edit cronjob {}", name.name))),
                ),
            ]),
    )
}

/// Whether a Job was started after a warning: then the warning is history.
fn started_since(cron: &Seen<CronJob>, warned: Option<Timestamp>) -> bool {
    let last = cron.object.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
    warned.zip(last).is_some_and(|(warned, last)| last.0 > warned)
}

/// With `concurrencyPolicy: Forbid` a run that does not end keeps the next ones from starting. The controller's event says
/// so for an hour; after that the run that is still active says it, once the schedule came round without another.
fn blocked(scene: &Scene<'_>, cron: &Seen<CronJob>, name: &ObjectRef) -> Option<Finding> {
    let spec = &cron.object.spec;
    let status = cron.object.status.as_ref()?;
    let active = status.active.as_ref()?.first()?;
    let job = ObjectRef::new("Job", &name.namespace, active.name.clone()?);
    let event = scene.events(name, &["JobAlreadyActive"]).into_iter().next_back();
    let passed = |last: &Time| scene.minutes_since(Some(last)) >= longest_gap(&spec.schedule).map(|gap| gap + GRACE);
    let missed = longest_gap(&spec.schedule).is_some() && status.last_schedule_time.as_ref().is_some_and(passed);
    if spec.concurrency_policy.as_deref() != Some("Forbid") || !(event.is_some() || missed) {
        return None;
    }
    let headline = scene.text(
        format!("{name} 不再启动新的 Job：concurrencyPolicy 为 Forbid，而 Job {} 一直没有结束", job.name),
        format!("{name} starts no further Jobs: its concurrencyPolicy is Forbid and Job {} has not ended", job.name),
    );
    Some(
        Finding::new("cronjob_blocked_by_active_job", Depth::Effect, name, &job, headline)
            .cite(event.map(|event| scene.quote_event(event)))
            .cite([
                scene.quote(&cron.reference, "concurrencyPolicy: Forbid"),
                scene.quote(&cron.reference, &format!("name: {}", job.name)),
            ])
            .touches([name.clone()])
            .steps([
                look(
                    scene.text("查看未结束的 Job", "Look at the Job that does not end"),
                    kubectl(&name.namespace, &format!("describe job {}", job.name)),
                ),
                look(
                    scene.text("查看它在做什么、停在哪里", "Read what it does, or where it stopped"),
                    kubectl(&name.namespace, &format!("logs job/{} --all-containers --tail=50", job.name)),
                ),
                change(
                    scene.text(
                        "如果它已卡死，且中途终止不损坏数据，删除该 Job：下一个计划时间会照常运行",
                        "If it hangs and may be broken off without harm, delete the Job: the next run starts on schedule",
                    ),
                    scene.text("日志会随之消失，先保存", "Its log goes with it: keep that first"),
                    Some(kubectl(&name.namespace, &format!("delete job {}", job.name))),
                ),
                change(
                    scene.text(
                        "让该 Job 能够结束，并设置 activeDeadlineSeconds",
                        "Make that Job able to end, and give it an activeDeadlineSeconds",
                    ),
                    scene.text(
                        "写在 CronJob 的 jobTemplate 中，只对之后的运行生效",
                        "In the CronJob's jobTemplate; it holds for later runs only",
                    ),
                    Some(kubectl(&name.namespace, &format!("edit cronjob {}", name.name))),
                ),
            ]),
    )
}

/// What a run that does not end keeps from happening, when its CronJob forbids another beside it: the runs that were skipped,
/// and since when none succeeded.
#[must_use]
pub fn kept_from_starting(scene: &Scene<'_>, job: &ObjectRef) -> Option<String> {
    let name = super::sidecar::cron_of(scene, job)?;
    let cron = scene.facts.get::<CronJob>(&name.namespace, &name.name)?.object;
    let status = cron.status.as_ref()?;
    let is_active = status.active.iter().flatten().any(|it| it.name.as_deref() == Some(&job.name));
    if !is_active || cron.spec.concurrency_policy.as_deref() != Some("Forbid") {
        return None;
    }
    // What somebody suspended skips no run for that Job's sake.
    let is_off = cron.spec.suspend == Some(true);
    let since = scene.minutes_since(status.last_schedule_time.as_ref()).filter(|_| !is_off);
    let skipped = since.zip(period(&cron.spec.schedule)).map_or(0, |(minutes, period)| minutes / period);
    let mut told = if is_off {
        scene.text(
            format!("{name} 已被暂停（spec.suspend=true），{} 结束后也不会再运行", job.name),
            format!("{name} is suspended (spec.suspend=true) and has no further run even when {} ends", job.name),
        )
    } else {
        scene.text(
            format!("{name} 在 {} 结束之前不会再运行（concurrencyPolicy 为 Forbid）", job.name),
            format!("{name} has no further run before {} ends (its concurrencyPolicy is Forbid)", job.name),
        )
    };
    if skipped > 0 {
        let runs = if skipped == 1 { "1 run was".to_owned() } else { format!("{skipped} runs were") };
        told += &scene.text(format!("，已错过 {skipped} 次"), format!("; {runs} skipped"));
    }
    told += &match status.last_successful_time.as_ref().map(|last| last.0.strftime("%Y-%m-%d %H:%M:%S UTC")) {
        Some(at) => scene.text(format!("，上次成功是 {at}"), format!("; the last success was at {at}")),
        None => scene.text("，至今没有成功过", "; no run of it has succeeded yet"),
    };
    Some(told)
}

/// The time between two runs in minutes, of a schedule that comes round once an hour or once a day.
fn period(schedule: &str) -> Option<i64> {
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let is_number = |field: &str| field.parse::<u8>().is_ok();
    match fields.as_slice() {
        [minute, "*", "*", "*", "*"] if is_number(minute) => Some(60),
        [minute, hour, "*", "*", "*"] if is_number(minute) && is_number(hour) => Some(24 * 60),
        _ => (schedule.trim() == "@hourly").then_some(60),
    }
}

/// Nobody warns of it, but no Job was started for two whole periods of the schedule.
fn overdue(scene: &Scene<'_>, cron: &Seen<CronJob>, name: &ObjectRef) -> Option<Finding> {
    let schedule = cron.object.spec.schedule.as_str();
    let status = cron.object.status.as_ref()?;
    let since = status.last_schedule_time.as_ref().or(cron.object.metadata.creation_timestamp.as_ref())?;
    let (minutes, period) = (scene.minutes_since(Some(since))?, longest_gap(schedule)?);
    if minutes < 2 * period + GRACE {
        return None;
    }
    let never = status.last_schedule_time.is_none();
    let since = since.0.to_string();
    let (zh, en) = if never {
        (format!("自 {since} 创建以来从未启动过 Job"), format!("has started no Job since it was made at {since}"))
    } else {
        (format!("自 {since} 以来没有启动过 Job"), format!("has started no Job since {since}"))
    };
    let headline = scene.text(
        format!("{name} 未按计划运行（schedule \"{schedule}\"）：{zh}"),
        format!("{name} misses its schedule (\"{schedule}\"): it {en}"),
    );
    Some(
        Finding::new("cronjob_overdue", Depth::Mechanism, name, name, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote_any(&cron.reference, &[&format!("schedule: '{schedule}'"), "schedule:"])])
            .unresolved(scene.text(
                "kube-controller-manager 是否正常运行？控制平面时钟是否正确？",
                "Does kube-controller-manager run, and is its clock right?",
            ))
            .steps([
                look(
                    scene.text("查看 CronJob 与最近的事件", "Look at the CronJob and its events"),
                    kubectl(&name.namespace, &format!("describe cronjob {}", name.name)),
                ),
                change(
                    scene.text("核对 schedule 与 timeZone", "Check schedule and timeZone"),
                    "",
                    Some(kubectl(&name.namespace, &format!("edit cronjob {}", name.name))),
                ),
            ]),
    )
}

/// The longest time between two runs of a schedule, in minutes, rounded up to an hour, a day, a week, a month or a year;
/// `None` for what is no schedule.
pub(super) fn longest_gap(schedule: &str) -> Option<i64> {
    const HOUR: i64 = 60;
    const DAY: i64 = 24 * HOUR;
    match schedule.trim() {
        "@hourly" => return Some(HOUR),
        "@daily" | "@midnight" => return Some(DAY),
        "@weekly" => return Some(7 * DAY),
        "@monthly" => return Some(31 * DAY),
        "@yearly" | "@annually" => return Some(366 * DAY),
        _ => {}
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let [_, hour, day, month, weekday] = fields.as_slice() else { return None };
    let any = |field: &str| field == "*" || field == "?";
    Some(if !any(month) {
        366 * DAY
    } else if !any(day) {
        31 * DAY
    } else if !any(weekday) {
        7 * DAY
    } else if any(hour) {
        HOUR
    } else {
        DAY
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::longest_gap;
    use crate::playbook::world::{World, patched};
    use crate::report::Verdict;

    fn cron(patch: serde_json::Value) -> serde_json::Value {
        let base = json!({"apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": "nightly", "namespace": "shop", "creationTimestamp": "2026-11-01T00:00:00Z"},
            "spec": {"schedule": "*/5 * * * *", "jobTemplate": {}}, "status": {}});
        patched(base, patch)
    }

    #[test]
    fn the_longest_gap_of_a_schedule_is_never_underestimated() {
        assert_eq!(longest_gap("*/5 * * * *"), Some(60));
        assert_eq!(longest_gap("0 3 * * *"), Some(1440));
        assert_eq!(longest_gap("0 3 * * 1-5"), Some(7 * 1440));
        assert_eq!(longest_gap("0 0 1 * *"), Some(31 * 1440));
        assert_eq!(longest_gap("@daily"), Some(1440));
        assert_eq!(longest_gap("every day"), None);
    }

    #[test]
    fn a_schedule_that_was_never_kept_is_overdue_and_one_that_is_kept_is_not() {
        let asked = |status| World::asking("CronJob", "nightly").with(cron(json!({"status": status})));
        assert_eq!(asked(json!({})).cause(), "cronjob_overdue CronJob/nightly");
        assert!(asked(json!({"lastScheduleTime": "2026-11-23T02:00:00Z"})).codes().is_empty());
        let suspended = World::asking("Pod", "web-1-a").with(cron(json!({"spec": {"suspend": true}})));
        assert!(suspended.codes().is_empty());
    }

    #[test]
    fn a_run_that_does_not_end_holds_up_the_next() {
        let world = World::asking("CronJob", "nightly").with(running("Forbid", "2026-11-23T02:50:00Z")).event(
            "CronJob",
            "nightly",
            "JobAlreadyActive",
            "Not starting job because prior execution is running and concurrency policy is Forbid",
        );
        assert_eq!(world.cause(), "cronjob_blocked_by_active_job Job/nightly-1");
        let commands: Vec<_> = world.diagnosis().steps.into_iter().filter_map(|step| step.command).collect();
        let at = |words: &str| commands.iter().position(|command| command.contains(words)).unwrap();
        assert!(at("logs job/nightly-1") < at("delete job nightly-1"), "{commands:?}");
    }

    /// The CronJob with a run that has not ended, started at a time.
    fn running(policy: &str, last: &str) -> serde_json::Value {
        cron(json!({"spec": {"concurrencyPolicy": policy}, "status": {"lastScheduleTime": last,
            "active": [{"kind": "Job", "name": "nightly-1", "namespace": "shop"}]}}))
    }

    #[test]
    fn a_run_that_outlasts_the_schedule_holds_it_up_whether_or_not_an_event_still_says_so() {
        let asked = |cron| World::asking("CronJob", "nightly").with(cron);
        let late = "2026-11-22T22:00:00Z";
        assert_eq!(asked(running("Forbid", late)).cause(), "cronjob_blocked_by_active_job Job/nightly-1");
        assert!(!asked(running("Allow", late)).codes().contains(&"cronjob_blocked_by_active_job"));
        assert!(asked(running("Forbid", "2026-11-23T02:55:00Z")).codes().is_empty(), "the next run is not due");
    }

    #[test]
    fn one_that_ran_well_when_it_was_due_last_is_well() {
        let monthly = |status| {
            let spec = json!({"schedule": "0 3 1 * *"});
            World::asking("CronJob", "nightly")
                .alert("KubeCronJobRunning")
                .with(cron(json!({"spec": spec, "status": status})))
        };
        monthly(json!({"lastScheduleTime": "2026-11-01T03:00:00Z", "lastSuccessfulTime": "2026-11-01T03:05:00Z"}))
            .is_calm();
        let unknown =
            monthly(json!({"lastScheduleTime": "2026-11-01T03:00:00Z", "lastSuccessfulTime": "2026-10-01T03:05:00Z"}));
        assert_eq!(unknown.diagnosis().verdict, Verdict::Inconclusive, "what became of the last run nobody says");
    }

    #[test]
    fn a_warning_before_the_last_start_is_history() {
        let late = |last: &str| {
            World::asking("CronJob", "nightly").with(cron(json!({"status": {"lastScheduleTime": last}}))).event(
                "CronJob",
                "nightly",
                "MissSchedule",
                "Missed scheduled time to start a job: Mon, 23 Nov 2026 02:55:00 +0000",
            )
        };
        assert_eq!(late("2026-11-23T02:00:00Z").cause(), "cronjob_not_starting CronJob/nightly");
        assert!(late("2026-11-23T02:59:30Z").codes().is_empty());
    }
}
