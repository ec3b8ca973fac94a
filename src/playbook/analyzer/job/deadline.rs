//! Runs of a CronJob that had no more time: beside the deadline stands how long the runs before took, which tells work that
//! grows from one run that hung.

use k8s_openapi::api::batch::v1::Job;

use super::sidecar;
use super::suspended;
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{change, kubectl, look};
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Step};
use crate::times;

/// Runs before that are told: their number a CronJob keeps is three, unless somebody changed it.
const TOLD: usize = 5;
/// Share of the deadline from which on a run before was close to it.
const CLOSE: f64 = 0.75;
/// Share of the deadline up to which all runs before had time enough.
const SHORT: f64 = 0.5;

/// What the runs before say of the one that was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trend {
    /// Each took longer than the one before, up to the deadline.
    Grows,
    /// They took about as long as the deadline allows.
    Close,
    /// They were done in half of the time: this run is the odd one.
    Odd,
    /// They say neither.
    Open,
}

/// A run that was ended at its deadline.
pub(super) struct Late {
    deadline: i64,
    cron: Option<ObjectRef>,
    /// Seconds that the runs before took, oldest to newest.
    before: Vec<i64>,
    trend: Trend,
    /// When the newest run before began and was done.
    pub proof: Vec<Option<Citation>>,
}

/// Whether a Job is known to have been ended at its deadline.
#[must_use]
pub fn is_over(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|it| it.type_ == "Failed" && it.status == "True" && it.reason.as_deref() == Some("DeadlineExceeded"))
}

/// The run, with how long those before it took, of those that still exist and were read.
pub(super) fn of(scene: &Scene<'_>, job: &Seen<Job>) -> Option<Late> {
    let deadline = job.object.spec.as_ref()?.active_deadline_seconds.filter(|_| is_over(&job.object))?;
    let cron = sidecar::cron_of(scene, &named(&job.object)).filter(|cron| !scene.facts.is_missing(cron));
    let mut before = Vec::new();
    if let Some(cron) = &cron {
        let began = job.object.status.as_ref()?.start_time.as_ref()?.0;
        let runs = scene.jobs.iter().filter(|other| scene.owner(&other.object.metadata).as_ref() == Some(cron));
        before.extend(runs.filter_map(|run| {
            let status = run.object.status.as_ref()?;
            let (from, to) = (status.start_time.as_ref()?.0, status.completion_time.as_ref()?.0);
            (from < began).then(|| (from, to.as_second() - from.as_second(), run.reference.clone()))
        }));
    }
    before.sort_by_key(|(from, ..)| *from);
    let before: Vec<_> = before.split_off(before.len().saturating_sub(TOLD));
    let proof = before
        .last()
        .into_iter()
        .flat_map(|(.., reference)| ["startTime:", "completionTime:"].map(|word| scene.quote_line(reference, &[word])));
    let proof = proof.collect();
    let before: Vec<i64> = before.into_iter().map(|(_, seconds, _)| seconds).collect();
    let trend = trend(&before, deadline);
    Some(Late { deadline, cron, before, trend, proof })
}

fn trend(before: &[i64], deadline: i64) -> Trend {
    let share = |seconds: i64| seconds as f64 / deadline.max(1) as f64;
    let Some(last) = before.last().map(|last| share(*last)) else { return Trend::Open };
    let grows = before.len() > 1 && before.windows(2).all(|two| two[0] < two[1]);
    if grows && last > SHORT {
        Trend::Grows
    } else if before.iter().all(|seconds| share(*seconds) <= SHORT) {
        Trend::Odd
    } else if last >= CLOSE {
        Trend::Close
    } else {
        Trend::Open
    }
}

impl Late {
    /// How long the runs before took, as a clause; nothing where none is known.
    pub(super) fn told(&self, scene: &Scene<'_>) -> String {
        if self.before.is_empty() {
            return String::new();
        }
        let count = self.before.len();
        let took: Vec<String> = self.before.iter().map(|seconds| lasted(scene, *seconds)).collect();
        let (took, deadline) = (took.join(&scene.text("、", ", ")), lasted(scene, self.deadline));
        let says = match self.trend {
            Trend::Grows => scene.text("，一次比一次久", ", each longer than the one before"),
            Trend::Close => scene.text("，已接近期限", ", close to it already"),
            Trend::Odd => scene.text("，都远低于期限：只有这一次异常", ", all far below it: this run is the odd one"),
            Trend::Open => String::new(),
        };
        let runs = if count == 1 { "the run before took".to_owned() } else { format!("the {count} runs before took") };
        scene.text(
            format!("；期限 {deadline}，此前 {count} 次成功的运行用时（由旧到新）{took}{says}"),
            format!("; of the {deadline} allowed {runs} {took}{says}"),
        )
    }

    /// What is not known of the run itself: its Pods are deleted at the deadline, and their logs with them.
    pub(super) fn gap(&self, scene: &Scene<'_>, job: &ObjectRef) -> String {
        scene.text(
            format!("到期限时 {job} 的 Pod 连同日志一起被删除：它最后在做什么，只能在日志系统里查"),
            format!("the Pods of {job} were deleted at the deadline, and their logs with them: what it did last only a log store can say"),
        )
    }

    /// Why it took longer, and then room for it: for one run that hung more time is no remedy.
    pub(super) fn steps(&self, scene: &Scene<'_>, job: &ObjectRef) -> Option<Vec<Step>> {
        let cron = self.cron.as_ref()?;
        let namespace = &job.namespace;
        let compare = look(
            scene.text("比较历次运行用时（DURATION）", "Compare how long the runs took (DURATION)"),
            kubectl(namespace, "get jobs --sort-by=.status.startTime"),
        );
        let again = suspended::run_once(scene, cron);
        if self.trend == Trend::Odd {
            return Some(vec![compare, change(
                scene.text(
                    "查明这一次卡在哪里（它等待的数据库、锁或上游），再补跑一次",
                    "Find what this run hung at (a database, a lock, a service it waits for), then run it once more",
                ),
                scene.text(
                    format!("此前的运行都用不到期限的一半：放宽 activeDeadlineSeconds（{}）解决不了", self.deadline),
                    format!("Those before took less than half of the time: a longer activeDeadlineSeconds ({} now) is no remedy", self.deadline),
                ),
                Some(again),
            )]);
        }
        let longer = self.deadline * 2;
        let raise = change(
            scene.text(
                format!("放宽 activeDeadlineSeconds（现为 {}，例如 {longer}），或缩短单次运行要做的工作", self.deadline),
                format!("Raise activeDeadlineSeconds ({} now, for example {longer}), or give a run less to do", self.deadline),
            ),
            scene.text(
                format!("在 {cron} 的 jobTemplate 中；期限要短于两次计划之间的间隔，已失败的 Job 不受影响"),
                format!("In the jobTemplate of {cron}; keep it below the time between two runs; the Job that failed stays as it is"),
            ),
            Some(kubectl(
                namespace,
                &format!("patch cronjob {} -p '{{\"spec\":{{\"jobTemplate\":{{\"spec\":{{\"activeDeadlineSeconds\":{longer}}}}}}}}}'", cron.name),
            )),
        );
        let run = change(
            scene.text("放宽之后补跑一次", "Then run it once more"),
            scene.text("不放宽就补跑，会再次在同一时刻被终止", "Without more time it is ended at the same point again"),
            Some(again),
        );
        Some(vec![compare, raise, run])
    }
}

/// A length of time to the second where it is below an hour: that is how far apart runs are.
fn lasted(scene: &Scene<'_>, seconds: i64) -> String {
    let (minutes, rest) = (seconds / 60, seconds % 60);
    if !(1..60).contains(&minutes) || rest == 0 {
        return times::duration(scene.lang, seconds);
    }
    scene.text(format!("{minutes} 分 {rest} 秒"), format!("{minutes} min {rest} s"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Trend, trend};
    use crate::playbook::world::{World, patched};

    fn run(name: &str, status: Value) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": name, "namespace": "shop", "ownerReferences": [{"apiVersion": "batch/v1",
                "kind": "CronJob", "name": "nightly", "uid": "n", "controller": true}]},
            "spec": {"activeDeadlineSeconds": 3600, "template": {}}, "status": status})
    }

    fn done(name: &str, day: i64, minutes: i64) -> Value {
        let (from, to) = (format!("2026-11-{day}T01:00:00Z"), format!("2026-11-{day}T01:{minutes}:00Z"));
        run(
            name,
            json!({"startTime": from, "completionTime": to, "succeeded": 1,
            "conditions": [{"type": "Complete", "status": "True"}]}),
        )
    }

    fn told(minutes: [i64; 3]) -> crate::report::Diagnosis {
        let late = run(
            "nightly-9",
            json!({"startTime": "2026-11-23T01:00:00Z", "failed": 1, "conditions": [
            {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": "2026-11-23T02:00:00Z"}]}),
        );
        let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "shop"},
            "spec": {"schedule": "0 1 * * *", "jobTemplate": {"spec": {"template": {}}}}, "status": {}});
        let world = World::asking("Job", "nightly-9").with(late).with(cron);
        // Names do not sort as the runs began.
        let world = world.with(done("nightly-7", 21, minutes[1])).with(done("nightly-a", 20, minutes[0]));
        assert_eq!(world.cause(), "job_deadline_exceeded Job/nightly-9");
        world.with(done("nightly-8", 22, minutes[2])).diagnosis()
    }

    fn commands(diagnosis: &crate::report::Diagnosis) -> String {
        diagnosis.steps.iter().filter_map(|step| step.command.as_deref()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn work_that_grows_up_to_its_deadline_is_seen_in_the_runs_before() {
        let grows = told([53, 56, 59]);
        assert!(
            grows.headline.contains("of the 1 h allowed the 3 runs before took 53 min, 56 min, 59 min, each longer"),
            "{}",
            grows.headline
        );
        let said = commands(&grows);
        assert!(
            said.contains(
                r#"patch cronjob nightly -p '{"spec":{"jobTemplate":{"spec":{"activeDeadlineSeconds":7200}}}}'"#
            ),
            "{said}"
        );
        assert!(said.find("patch cronjob") < said.find("create job"), "more time first: {said}");
    }

    #[test]
    fn one_run_that_hung_is_given_no_more_time() {
        let odd = told([12, 14, 13]);
        assert!(odd.headline.contains("this run is the odd one"), "{}", odd.headline);
        assert!(!commands(&odd).contains("patch cronjob"), "{}", commands(&odd));
    }

    #[test]
    fn runs_that_say_neither_are_only_told() {
        assert_eq!(trend(&[], 3600), Trend::Open);
        assert_eq!(trend(&[1900, 2000, 1950], 3600), Trend::Open);
        assert_eq!(trend(&[3300, 3500, 3400], 3600), Trend::Close);
        assert_eq!(trend(&[100, 200, 300], 3600), Trend::Odd, "growing, and far from the deadline");
        let open = told([35, 32, 34]);
        assert!(open.headline.ends_with("35 min, 32 min, 34 min"), "{}", open.headline);
    }

    #[test]
    fn a_job_of_its_own_has_no_runs_before() {
        let alone = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "namespace": "shop"},
            "spec": {"activeDeadlineSeconds": 600, "template": {}}, "status": {"failed": 1, "startTime": "2026-11-23T01:00:00Z",
                "conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}});
        let other = patched(done("other-1", 22, 9), json!({"metadata": {"ownerReferences": null}}));
        let told = World::asking("Job", "migrate").with(alone).with(other).diagnosis();
        assert!(!told.headline.contains("before took"), "{}", told.headline);
        assert!(commands(&told).contains("delete job migrate"), "{}", commands(&told));
    }
}
