//! CronJobs that somebody suspended: an answer where an alert is about them or misses what they make, no fault elsewhere.

use k8s_openapi::api::batch::v1::CronJob;

use super::cron::longest_gap;
use crate::alert::ObjectRef;
use crate::playbook::drift;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, counted, kubectl, look};
use crate::playbook::scene::Scene;
use crate::report::{Confidence, Step};

/// Words of alerts that something did not run; what a run makes may be what they miss.
const MISSED: [&str; 14] = [
    "backup",
    "snapshot",
    "dump",
    "archive",
    "age",
    "missed",
    "missing",
    "notrun",
    "norun",
    "cronjob",
    "scheduled",
    "备份",
    "未执行",
    "未运行",
];
/// Words of alerts that something is old.
const OLD: [&str; 10] = [
    "tooold",
    "stale",
    "outdated",
    "notupdated",
    "notrefreshed",
    "freshness",
    "lastsuccess",
    "overdue",
    "过旧",
    "未更新",
];
/// What runs do or make: these tell of one run; a database, of which others speak too, does not.
const RUNS: [&str; 28] = [
    "backup",
    "snapshot",
    "dump",
    "archive",
    "export",
    "import",
    "report",
    "sync",
    "vacuum",
    "cleanup",
    "purge",
    "prune",
    "rotation",
    "rotate",
    "reindex",
    "compaction",
    "restore",
    "refresh",
    "reconcile",
    "settlement",
    "invoice",
    "billing",
    "digest",
    "rollup",
    "retention",
    "renewal",
    "crawl",
    "备份",
];
/// Words of names that say what part something is, or when it runs, not what it is about.
const PARTS: [&str; 12] = [
    "service", "server", "worker", "frontend", "backend", "hourly", "daily", "nightly", "weekly", "monthly", "batch",
    "cron",
];
/// The fewest letters of a word by which an alert and a CronJob are seen to speak of one thing.
const WORD: usize = 4;
/// Letters of a CronJob's name that a Job made by hand takes over.
const MANUAL: usize = 52;

/// Why an alert fires for which a suspended CronJob runs no more; nothing where it does not ask for that.
pub(super) fn told(scene: &Scene<'_>, cron: &Seen<CronJob>, name: &ObjectRef) -> Option<Finding> {
    if scene.question.targets.contains(name) {
        return Some(switched_off(scene, cron, name).confidence(Confidence::Medium));
    }
    let misses = scene.question.alert_names.iter().any(|alert| is_about_runs(alert));
    if !misses || missed(scene, cron)? < 1 {
        return None;
    }
    let alike = scene.question.alert_names.iter().any(|alert| speaks_of(alert, &name.name));
    // A whole Namespace is asked about, by an alert that misses a run: of a CronJob that has missed one.
    if scene.question.targets.iter().any(|it| it.kind == "Namespace" && it.name == name.namespace) {
        let found = switched_off(scene, cron, name);
        return Some(found.confidence(if alike { Confidence::Medium } else { Confidence::Low }));
    }
    // What is asked about serves what runs make, as its name says: what it serves is old.
    if !scene.question.alert_names.iter().any(|alert| tells_of_age(alert)) {
        return None;
    }
    let mut served = scene.question.targets.iter().filter(|it| it.namespace == name.namespace);
    let served = served.find(|it| alike || share_a_word(&it.name, &name.name))?;
    Some(switched_off(scene, cron, name).confidence(Confidence::Medium).touches([served.clone()]))
}

/// Whether an alert's name tells of runs that are missed, or of what they made growing old.
#[must_use]
pub fn is_about_runs(alert: &str) -> bool {
    let parts = words(alert);
    let whole = alert.to_lowercase();
    let misses =
        |word: &&str| if word.len() > 3 { whole.contains(*word) } else { parts.iter().any(|part| part == word) };
    tells_of_age(alert) || MISSED.iter().any(misses)
}

/// Whether an alert's name and a CronJob's speak of one run: by what it does, or by two words of any kind.
fn speaks_of(alert: &str, cron: &str) -> bool {
    let (said, own) = (words(alert), words(cron));
    let shared: Vec<&String> = own.iter().filter(|word| word.len() >= WORD && said.contains(word)).collect();
    shared.len() > 1 || shared.iter().any(|word| RUNS.contains(&word.as_str()))
}

/// Whether an alert's name tells that something is old: what merely is missing need not come from a run.
fn tells_of_age(alert: &str) -> bool {
    let whole = alert.to_lowercase();
    OLD.iter().any(|word| whole.contains(word))
}

/// Whether two names of one namespace share a word that says what they are about.
fn share_a_word(one: &str, other: &str) -> bool {
    let (one, other) = (words(one), words(other));
    one.iter().any(|word| word.len() >= WORD && other.contains(word) && !PARTS.contains(&word.as_str()))
}

/// The words of a name written `LikeThis`, `like-this` or `like_this`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    for letter in name.chars() {
        let begins = letter.is_uppercase() || !letter.is_alphanumeric();
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// How many runs the schedule has come round for since the last one, at the least; `None` where that is not known.
fn missed(scene: &Scene<'_>, cron: &Seen<CronJob>) -> Option<i64> {
    let last = cron.object.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
    let minutes = scene.minutes_since(last.or(cron.object.metadata.creation_timestamp.as_ref()))?;
    Some(minutes / longest_gap(&cron.object.spec.schedule)?)
}

fn switched_off(scene: &Scene<'_>, cron: &Seen<CronJob>, name: &ObjectRef) -> Finding {
    let last = cron.object.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
    let mut more_zh = last.map_or_else(String::new, |last| format!("，最后一次启动于 {}", last.0));
    let mut more_en = last.map_or_else(String::new, |last| format!("; its last run began at {}", last.0));
    if let Some(runs) = missed(scene, cron).filter(|runs| *runs > 0) {
        more_zh += &format!("，此后至少错过 {runs} 次");
        more_en += &format!(", and it has missed at least {} since", counted(runs, "run"));
    }
    let headline = scene.text(
        format!("{name} 已被暂停（spec.suspend=true），不会按计划创建 Job{more_zh}"),
        format!("{name} is suspended (spec.suspend=true), so it starts no Jobs{more_en}"),
    );
    let summary = match drift::written(scene, name, "/f:spec/f:suspend") {
        Some((at, by)) => scene.text(
            format!("{headline}；spec.suspend 最近由 {by} 于 {at} 写入"),
            format!("{headline}; spec.suspend was last written at {at} by {by}"),
        ),
        None => headline.clone(),
    };
    Finding::new("cronjob_suspended", Depth::Effect, name, name, headline)
        .summary(summary)
        .cite([
            scene.quote(&cron.reference, "suspend: true"),
            scene.quote_line(&cron.reference, &["lastScheduleTime:"]),
        ])
        .unresolved(scene.text(format!("{name} 是否被有意暂停？"), "Was it suspended on purpose?"))
        .steps(steps(scene, name))
}

fn steps(scene: &Scene<'_>, name: &ObjectRef) -> [Step; 3] {
    [
        look(
            scene.text("查看 CronJob", "Look at the CronJob"),
            kubectl(&name.namespace, &format!("describe cronjob {}", name.name)),
        ),
        change(
            scene.text("如果不是有意为之，恢复调度", "If not on purpose, let it run again"),
            "",
            Some(kubectl(
                &name.namespace,
                &format!("patch cronjob {} -p '{{\"spec\":{{\"suspend\":false}}}}'", name.name),
            )),
        ),
        change(
            scene.text("补跑一次，不必等到下一个计划时间", "Run it once now, without waiting for its schedule"),
            "",
            Some(run_once(scene, name)),
        ),
    ]
}

/// Runs a CronJob once, under a name that no Job has yet. A Job's name has 63 letters at most.
pub(super) fn run_once(scene: &Scene<'_>, name: &ObjectRef) -> String {
    let known = scene.facts.names();
    let first = format!("{}-manual", name.name.chars().take(MANUAL).collect::<String>());
    let further = (2..=known.len() + 2).map(|number| format!("{first}-{number}"));
    let is_free = |job: &String| !known.contains(&ObjectRef::new("Job", &name.namespace, job));
    let job = std::iter::once(first.clone()).chain(further).find(is_free).unwrap_or(first);
    kubectl(&name.namespace, &format!("create job {job} --from=cronjob/{}", name.name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{is_about_runs, speaks_of};
    use crate::playbook::world::{World, patched, pod};

    fn cron(name: &str, patch: Value) -> Value {
        let base = json!({"apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-10-01T00:00:00Z"},
            "spec": {"schedule": "15 1 * * *", "suspend": true, "jobTemplate": {}},
            "status": {"lastScheduleTime": "2026-11-20T01:15:00Z"}});
        patched(base, patch)
    }

    fn asked(alert: &str, cron: Value) -> World {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
        World::asking("Namespace", "shop").alert(alert).with(namespace).with(cron)
    }

    #[test]
    fn an_alert_about_an_old_backup_is_answered_by_the_suspended_cron_job() {
        let fields = json!([{"manager": "kubectl-patch", "time": "2026-11-20T09:31:12Z", "fieldsV1": {"f:spec": {"f:suspend": {}}}}]);
        let world = asked("DatabaseBackupTooOld", cron("db-backup", json!({"metadata": {"managedFields": fields}})));
        assert_eq!(world.cause(), "cronjob_suspended CronJob/db-backup");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("missed at least 3 runs"), "{}", diagnosis.headline);
        assert!(diagnosis.causes[0].summary.contains("2026-11-20T09:31:12Z by kubectl-patch"));
        let commands: Vec<&str> = diagnosis.steps.iter().filter_map(|step| step.command.as_deref()).collect();
        assert!(
            commands.contains(&"kubectl -n shop create job db-backup-manual --from=cronjob/db-backup"),
            "{commands:?}"
        );
    }

    #[test]
    fn an_alert_about_something_else_leaves_a_suspended_cron_job_alone() {
        let quiet = |alert: &str, cron: Value| !asked(alert, cron).codes().contains(&"cronjob_suspended");
        assert!(quiet("HighErrorRate", cron("db-backup", json!({}))));
        let ran = json!({"status": {"lastScheduleTime": "2026-11-23T01:15:00Z"}});
        assert!(quiet("DatabaseBackupTooOld", cron("db-backup", ran)), "it has missed none");
        let works = json!({"spec": {"suspend": false}, "status": {"lastScheduleTime": "2026-11-23T01:15:00Z"}});
        assert!(quiet("DatabaseBackupTooOld", cron("db-backup", works)));
    }

    #[test]
    fn one_of_another_name_is_only_a_guess() {
        let world = asked("DatabaseBackupTooOld", cron("report-mailer", json!({})));
        assert_eq!(world.diagnosis().verdict, crate::report::Verdict::Inconclusive);
    }

    #[test]
    fn the_words_of_an_alert_are_told_apart() {
        assert!(is_about_runs("DatabaseBackupTooOld") && is_about_runs("SnapshotAge") && is_about_runs("备份过旧"));
        assert!(!is_about_runs("HighErrorRate") && !is_about_runs("KubePersistentVolumeUsageHigh"));
        assert!(speaks_of("DatabaseBackupTooOld", "ledger-db-backup") && !speaks_of("BackupTooOld", "report-mailer"));
        assert!(!speaks_of("DatabaseReplicaMissing", "database-vacuum"), "one database, two matters");
        assert!(speaks_of("LedgerClosingMissed", "ledger-closing"));
    }

    /// A Deployment's alert that what it serves is old.
    #[test]
    fn what_a_suspended_run_makes_is_missed_by_who_serves_it() {
        let about = |alert: &str, name: &str, cron_name: &str| {
            World::asking("Pod", name)
                .alert(alert)
                .with(pod(patched(json!({}), json!({"metadata": {"name": name}}))))
                .with(cron(cron_name, json!({})))
        };
        let world = about("RatesStale", "rates-api-1-a", "rates-import");
        assert_eq!(world.cause(), "cronjob_suspended CronJob/rates-import");
        let quiet =
            |alert: &str, name: &str, cron: &str| !about(alert, name, cron).codes().contains(&"cronjob_suspended");
        assert!(quiet("HighErrorRate", "rates-api-1-a", "rates-import"), "it does not miss a run");
        assert!(quiet("RatesStale", "rates-api-1-a", "tidy-up"), "nothing says that it serves that");
        assert!(quiet("RatesTargetMissing", "rates-api-1-a", "rates-import"), "nothing is old");
        assert!(quiet("FiguresStale", "orders-worker-1-a", "mail-worker"), "a part of the name says nothing");
    }
}
