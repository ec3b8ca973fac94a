//! Slow starts: Pods that are well and took so long to become Ready that an alert fired meanwhile, as it may at each rollout.

use jiff::Timestamp;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::pods;
use crate::playbook::recently::LATELY;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::Scope;
use crate::times;
use k8s_openapi::api::core::v1::Pod;

/// From when to when a Pod that was never restarted came up.
fn start(pod: &Pod) -> Option<(Timestamp, Timestamp)> {
    let views = pods::containers(pod);
    let main: Vec<_> = views.iter().filter(|view| !view.init).collect();
    let started = main
        .iter()
        .filter_map(|view| Some(view.status?.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0))
        .max()?;
    let ready = pods::condition(pod, "Ready").filter(|ready| ready.status == "True")?.last_transition_time.as_ref()?.0;
    // What takes longer is no start: the Pod was Ready before and lost it.
    let is_start = ready > started && ready < started + LATELY;
    (is_start && main.iter().all(|view| view.restarts() == 0)).then_some((started, ready))
}

/// The Pod in whose start an alert fired, and how long that took; that others took as long at another time says that all will.
pub(super) fn told(scene: &Scene<'_>, scope: &Scope) -> Option<(Timestamp, String)> {
    let fired = scene.question.since?;
    let pods: Vec<&Seen<Pod>> = scope.pods(scene).collect();
    let (name, started, ready) = pods.iter().find_map(|pod| {
        let (started, ready) = start(&pod.object)?;
        (started < fired && fired < ready && ready + LATELY > scene.facts.now)
            .then(|| (named(&pod.object), started, ready))
    })?;
    let (took, after) = (ready.as_second() - started.as_second(), fired.as_second() - started.as_second());
    let as_long = |pod: &&Seen<Pod>| {
        start(&pod.object).is_some_and(|(own, done)| {
            // What came up in the same hour may have waited for the same thing.
            done.as_second() - own.as_second() > after && (done <= started || ready <= own)
        })
    };
    let alike = siblings(scene, &pods, &name).filter(|pod| as_long(pod)).count();
    let (took, after) = (times::duration(scene.lang, took), times::duration(scene.lang, after));
    let all = if alike > 0 {
        scene.text(
            format!("；另有 {alike} 个 Pod 同样慢：只要启动时间与告警规则都不变，每次发布都会再次触发"),
            format!("; {alike} more were as slow, so it will fire at each rollout while neither the start nor the rule changes"),
        )
    } else {
        String::new()
    };
    Some((
        ready,
        scene.text(
            format!("{name} 从启动到 Ready 用了 {took}，告警在第 {after} 时触发{all}"),
            format!("{name} took {took} from its start to Ready; the alert fired {after} into that{all}"),
        ),
    ))
}

fn siblings<'s>(
    scene: &'s Scene<'_>,
    pods: &'s [&'s Seen<Pod>],
    own: &'s ObjectRef,
) -> impl Iterator<Item = &'s Seen<Pod>> {
    let workload = scene.pod(own).map(|pod| scene.workload(&pod.object));
    pods.iter().copied().filter(move |pod| named(&pod.object) != *own && Some(scene.workload(&pod.object)) == workload)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, patched, pod};

    fn told(started: [&str; 2], ready: [&str; 2]) -> String {
        let up = |name: &str, at: usize| {
            pod(patched(
                json!({"metadata": {"name": name}}),
                json!({"status": {
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ready[at]}, {"type": "PodScheduled", "status": "True"}],
                "containerStatuses": [{"name": "web", "image": "reg/web:1", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"running": {"startedAt": started[at]}}}]}}),
            ))
        };
        let world = World::asking("Pod", "web-1-a").fired("2026-11-23T02:40:00Z").alert("KubePodNotReady");
        world
            .with(up("web-1-a", 0))
            .with(up("web-1-b", 1))
            .with(deployment(2, 2))
            .diagnosis()
            .primary
            .findings
            .join("\n")
    }

    #[test]
    fn a_start_that_outlasts_the_alerts_patience_is_told() {
        let slow =
            told(["2026-11-23T02:25:00Z", "2026-11-23T02:00:00Z"], ["2026-11-23T02:44:00Z", "2026-11-23T02:19:00Z"]);
        assert!(slow.contains("took 19 min from its start") && slow.contains("fire at each rollout"), "{slow}");
        let together =
            told(["2026-11-23T02:25:00Z", "2026-11-23T02:24:00Z"], ["2026-11-23T02:44:00Z", "2026-11-23T02:43:50Z"]);
        assert!(together.contains("took 19 min") && !together.contains("each rollout"), "{together}");
        let once =
            told(["2026-11-23T02:25:00Z", "2026-11-23T02:00:00Z"], ["2026-11-23T02:44:00Z", "2026-11-23T02:00:20Z"]);
        assert!(once.contains("from its start to Ready") && !once.contains("each rollout"), "{once}");
        let quick =
            told(["2026-11-23T02:43:50Z", "2026-11-23T02:00:00Z"], ["2026-11-23T02:44:00Z", "2026-11-23T02:00:20Z"]);
        assert!(!quick.contains("from its start to Ready"), "{quick}");
        let again =
            told(["2026-11-01T02:25:00Z", "2026-11-01T02:00:00Z"], ["2026-11-23T02:44:00Z", "2026-11-01T02:00:20Z"]);
        assert!(!again.contains("from its start to Ready"), "it was Ready in between: {again}");
    }
}
