//! Worked off: a lag or a queue that the workload's own log shows to have gone, after the alert that counts it fired.

use jiff::{SignedDuration, Timestamp};

use crate::alert::ObjectRef;
use crate::playbook::hearing;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::present;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::Scope;

/// Names of alerts about work that piles up.
static ASKED: Pattern = Pattern::new(r"(?i)lag|backlog|queue|pileup|piledup|积压|堆积|队列|滞后");
/// How logs write how much of it there is.
static MEASURE: Pattern = Pattern::new(
    r#"(?i)(?:^|[\s{,"'_])(lag|backlog|depth|pending|queued|queue[_ ]?(?:size|depth|length|len))"?\s*[=:]\s*"?(\d{1,12})(?:[\s",;})\]]|$)"#,
);
/// What tells one count from another in the same log: a lag that is gone on one partition may be there on the next.
static OF: Pattern = Pattern::new(
    r#"(?i)\b(partitions?|topic|group|queue|consumer|shard|tenant|stream|source|name)"?\s*[=:]\s*"?([\w.\[\]-]+)"#,
);
/// The least peak that is worth the word.
const PEAK: u64 = 100;
/// What is left when it is gone: a share of the peak, or as much as always comes and goes.
const LEFT: (u64, u64) = (100, 10);
/// How many of the last values have to be that small.
const LAST: usize = 3;
/// How far from now the last value may be.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// A lag that came and went.
struct Course {
    what: String,
    peak: u64,
    last: u64,
    at: Timestamp,
}

/// The workload whose logs show that what the alerts count has gone, and how, in words. Nothing where one of its Pods was not
/// heard, complains, or shows otherwise.
#[must_use]
pub fn since(scene: &Scene<'_>, scope: &Scope, fired: Timestamp) -> Option<(ObjectRef, String)> {
    let names = &scene.question.alert_names;
    if names.is_empty() || !names.iter().all(|name| ASKED.hits(name)) {
        return None;
    }
    let heard = hearing::every_log_was_read(scene, scope) && hearing::no_error(scene, scope).is_some();
    let mut gone: Option<(ObjectRef, Course)> = None;
    for pod in scope.pods(scene).filter(|_| heard) {
        let name = named(&pod.object);
        let texts = scene.logs(&name, "").into_iter().filter(|log| !log.previous);
        let told: Vec<_> = texts.filter_map(|log| log.lines.as_deref().ok()).map(values).collect();
        // One that tells no value may be the one that is stuck.
        if told.iter().all(Vec::is_empty) {
            return None;
        }
        for values in told.iter().filter(|values| !values.is_empty()) {
            // A time to come is of another zone: then nobody knows how old the value is. Clocks differ by less.
            let now = scene.facts.now;
            let is_fresh = |at: Timestamp| at > fired && now - FRESH <= at && at <= now + FRESH;
            let course = course(values).filter(|course| is_fresh(course.at))?;
            let greater = gone.as_ref().is_none_or(|(_, known)| course.peak > known.peak);
            if greater {
                gone = Some((scene.workload(&pod.object), course));
            }
        }
    }
    let (workload, Course { what, peak, last, at }) = gone?;
    let at = at.strftime("%H:%M:%S UTC");
    let how = scene.text(
        format!("日志中的 {what} 已从 {peak} 降到 {last}（{at}）"),
        format!("in its log {what} fell from {peak} to {last} ({at})"),
    );
    Some((workload, how))
}

/// A value of a log, of what and when.
struct Value {
    what: String,
    of: String,
    value: u64,
    at: Timestamp,
}

fn values(text: &str) -> Vec<Value> {
    let told = text.lines().filter(|line| !logs::instructs(line));
    let found = told.filter_map(|line| {
        let found = MEASURE.groups(line)?;
        let of = OF.all(line).iter().map(|pair| format!("{}={} ", &pair[1], &pair[2])).collect();
        Some(Value { what: found[1].to_ascii_lowercase(), of, value: found[2].parse().ok()?, at: present::time(line)? })
    });
    found.collect()
}

/// What a log's values say when they rose and are gone; nothing when one of the counts is not, or they are of several things.
fn course(values: &[Value]) -> Option<Course> {
    let latest = values.last()?;
    let peak = values.iter().map(|it| it.value).max()?;
    let small = |value: u64| value <= (peak / LEFT.0).max(LEFT.1);
    let ends_small = |of: &str| values.iter().rev().filter(|it| it.of == of).take(LAST).all(|it| small(it.value));
    let end = &values[values.len().checked_sub(LAST)?..];
    let gone = peak >= PEAK
        && end.iter().all(|it| small(it.value))
        && values.iter().all(|it| it.what == latest.what && ends_small(&it.of));
    gone.then(|| Course { what: latest.what.clone(), peak, last: latest.value, at: latest.at })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::world::{World, deployment, pod};
    use crate::report::Verdict;

    fn log(values: &[u64]) -> String {
        let line = |(at, value): (usize, &u64)| {
            format!(
                "2026-11-23 02:{:02}:40.250  INFO 1 --- [c] l.Listener : lag={value} partitions=4\n",
                60 - values.len() + at
            )
        };
        values.iter().enumerate().map(line).collect()
    }

    fn asked(alert: &str, log: &str) -> World {
        let world = World::asking("Deployment", "web").alert(alert).fired("2026-11-23T02:40:00Z");
        world.with(deployment(1, 1)).with(pod(json!({}))).log("web-1-a", log)
    }

    #[test]
    fn a_lag_that_the_log_shows_to_be_gone_answers_the_alert() {
        assert!(ASKED.compiles() && MEASURE.compiles() && OF.compiles());
        let gone = log(&[40, 13933, 29403, 20039, 7623, 103, 4, 0, 1]);
        let diagnosis = asked("KafkaConsumerLag", &gone).diagnosis();
        assert_eq!(diagnosis.verdict, Verdict::NoFault);
        assert!(diagnosis.headline.contains("lag fell from 29403 to 1 (02:59:40 UTC)"), "{}", diagnosis.headline);
    }

    #[test]
    fn one_that_is_still_there_or_complained_of_is_not_gone() {
        let verdict = |alert: &str, log: &str| asked(alert, log).diagnosis().verdict;
        assert_eq!(verdict("KafkaConsumerLag", &log(&[40, 13933, 29403, 20039])), Verdict::Inconclusive);
        assert_eq!(
            verdict("KafkaConsumerLag", &log(&[13933, 29403, 4, 0, 900])),
            Verdict::Inconclusive,
            "it comes back"
        );
        let gone = log(&[13933, 29403, 4, 0, 1]);
        let failing = format!("{gone}2026-11-23 02:59:50.1 ERROR cannot commit: timeout\n");
        assert_eq!(verdict("KafkaConsumerLag", &failing), Verdict::Inconclusive);
        assert_eq!(verdict("ApiLatencyHigh", &gone), Verdict::Inconclusive, "another measure");
    }

    #[test]
    fn each_partition_and_each_pod_counts() {
        let lines = |stuck: u64| {
            let of = |at: usize| {
                format!(
                    "2026-11-23 02:{at}:10 INFO partition=7 lag={stuck}\n2026-11-23 02:{at}:20 INFO partition=0 lag=0\n2026-11-23 02:{at}:30 INFO partition=1 lag=0\n2026-11-23 02:{at}:40 INFO partition=2 lag=3\n"
                )
            };
            (50..60).map(of).collect::<String>()
        };
        assert_eq!(asked("KafkaConsumerLag", &lines(213_000)).diagnosis().verdict, Verdict::Inconclusive);
        let silent = asked("KafkaConsumerLag", &log(&[40, 13933, 29403, 20039, 7623, 103, 4, 0, 1]));
        let silent = silent.with(pod(json!({"metadata": {"name": "web-1-b"}}))).log("web-1-b", "INFO assigned 8-15");
        assert_eq!(silent.diagnosis().verdict, Verdict::Inconclusive, "that one tells nothing");
    }

    #[test]
    fn values_that_are_old_say_nothing_of_now() {
        let old = log(&[13933, 29403, 4, 0, 1]).replace(" 02:", " 01:");
        assert_eq!(asked("KafkaConsumerLag", &old).diagnosis().verdict, Verdict::Inconclusive);
        let elsewhere = log(&[13933, 29403, 4, 0, 1]).replace(" 02:", " 10:");
        let verdict = asked("KafkaConsumerLag", &elsewhere).diagnosis().verdict;
        assert_eq!(verdict, Verdict::Inconclusive, "of another zone");
    }
}
