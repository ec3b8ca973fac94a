//! What fills a volume because nobody takes it away: a write-ahead log that cannot be archived, a log that a replica still
//! needs, a buffer that is not emptied.

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::alert::ObjectRef;
use crate::playbook::callees;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{logs, reach};
use crate::report::Confidence;

/// PostgreSQL's archiver and what it calls (WAL-G, pgBackRest, Barman), Oracle's.
static ARCHIVE: Pattern = Pattern::new(
    r"(?i)archive command failed|archiving write-ahead log file .* failed|failed to upload '?\S*wal|wal-archive.*(?:error|failed)|archive-push.*error|\bORA-00257\b",
);
/// Logs that a server keeps for a replica or a consumer that does not come for them.
static REPLICA: Pattern = Pattern::new(
    r"(?i)replication slot .*(?:inactive|not active|must be dropped|exceed)|terminating walsender process due to replication timeout|not purged because it was being read",
);
/// Buffers on disk: Fluent Bit, Fluentd, Beats, the OpenTelemetry collector, Prometheus' remote write, Loki, Thanos.
static BUFFER: Pattern = Pattern::new(
    r"(?i)failed to flush (?:the )?(?:chunk|buffer)|no upstream connections available|failed to connect to backoff|failed to send batch, retrying|exporting failed\. will retry|(?:failed to upload|upload(?:ing)?\b.* failed)",
);

/// Whether a line says that something is kept because nobody takes it.
#[must_use]
pub fn tells(line: &str) -> bool {
    ARCHIVE.hits(line) || REPLICA.hits(line) || BUFFER.hits(line)
}

/// Findings about claims whose Pod cannot get rid of what it writes there.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| kept(scene, pod)).collect()
}

fn kept(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let name = named(&pod.object);
    let asked = |claim: &ObjectRef| scene.question.targets.contains(claim);
    let claims = pods::claims(&pod.object).into_iter();
    // A volume that nobody asks about may have room for years.
    let claim = claims
        .map(|claim| ObjectRef::new("PersistentVolumeClaim", &name.namespace, claim))
        .find(|claim| asked(claim))?;
    let (log, line, count) = reach::repeated(scene, &pod.object, tells)?;
    let workload = scene.workload(&pod.object);
    let taker = taker(scene, pod);
    let (whom_zh, whom_en) = match &taker {
        Some((service, 0)) => (
            format!("；接收方 {service} 没有就绪的后端"),
            format!("; {service}, which should take it, has no ready backend"),
        ),
        Some((service, _)) => (format!("；接收方是 {service}"), format!("; {service} should take it")),
        None => (String::new(), String::new()),
    };
    let (what_zh, what_en) = what(line);
    let headline = scene.text(
        format!("{claim} 持续增长：{workload} 的{what_zh}没有被取走，只能留在卷上{whom_zh}：{}", logs::said(line)),
        format!(
            "{claim} fills up: nobody takes {workload}'s {what_en}, so it stays on the volume{whom_en}: {}",
            logs::said(line)
        ),
    );
    let times = scene.text(format!("（日志中出现 {count} 次）"), format!(" ({count} times in the log)"));
    let blame = taker.as_ref().filter(|(_, ready)| *ready == 0).map_or(&workload, |(service, _)| service);
    let call = reach::failing_calls(scene, &pod.object).into_iter().next();
    Some(
        Finding::new("volume_fills_unshipped", Depth::Mechanism, &claim, blame, &headline)
            .summary(format!("{headline}{times}"))
            .confidence(Confidence::Medium)
            .cite([
                scene.quote(&log.reference, line),
                call.and_then(|call| scene.quote(&call.log.reference, call.line)),
            ])
            .touches([name.clone(), workload.clone()])
            .touches(taker.clone().map(|(service, _)| service))
            .steps(steps(scene, &name, &log.container, blame)),
    )
}

/// In Chinese and English, what is kept.
fn what(line: &str) -> (&'static str, &'static str) {
    if ARCHIVE.hits(line) {
        ("WAL 归档", "write-ahead log")
    } else if REPLICA.hits(line) {
        ("复制日志", "replication log")
    } else {
        ("缓冲数据", "buffered data")
    }
}

/// The Service that what is kept is meant for, and how many Pods are ready behind it: the one a failing call names, otherwise
/// one that the Pod is told to call and that nobody answers for.
fn taker(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<(ObjectRef, usize)> {
    let ready = |service: &Seen<Service>| {
        let name = named(&service.object);
        let ready = scene.backends_ready(&name)?;
        Some((name, ready))
    };
    let calls = reach::failing_calls(scene, &pod.object);
    let called = calls.iter().find_map(|call| reach::service_of(scene, &pod.object, call));
    called.and_then(ready).or_else(|| {
        let told = callees::complained_of(scene, &pod.object);
        told.into_iter().filter_map(ready).find(|(_, ready)| *ready == 0)
    })
}

fn steps(scene: &Scene<'_>, pod: &ObjectRef, container: &str, blame: &ObjectRef) -> [crate::report::Step; 3] {
    [
        look(
            scene.text("查看是什么没有被取走、为什么", "Read what is not taken, and why"),
            kubectl(&pod.namespace, &format!("logs {} -c {container} --tail=100", pod.name)),
        ),
        look(
            scene.text("查看接收方", "Look at whoever should take it"),
            kubectl(&blame.namespace, &format!("describe {}", slash(blame))),
        ),
        change(
            scene.text(
                "先恢复接收方；卷上的数据随后会被取走并清理",
                "Bring back who takes it: then it is taken and removed by itself",
            ),
            scene.text(
                "扩容 PVC 只能争取时间；不要手动删除 WAL",
                "Growing the claim only buys time; never delete such files by hand",
            ),
            None,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ARCHIVE, BUFFER, REPLICA, tells};
    use crate::playbook::world::{World, container, deployment, patched, pod, service};

    const FAILED: &str = "caused by: Put \"http://wal.shop.svc:9000/x\": dial tcp 10.96.0.9:9000: connect: connection refused\n2026-11-23 02:59:24.493 UTC [44] LOG:  archive command failed with exit code 1\n";

    #[test]
    fn what_is_not_taken_away_is_told_in_many_words() {
        assert!(ARCHIVE.compiles() && REPLICA.compiles() && BUFFER.compiles());
        for line in [
            "WARNING:  archiving write-ahead log file \"0001\" failed too many times, will try again later",
            "[ warn] [engine] failed to flush chunk '1-1.flb', retry in 9 seconds",
            "LOG:  terminating walsender process due to replication timeout",
            "[Warning] file ./binlog.000012 was not purged because it was being read by thread number 42",
            "level=warn msg=\"Failed to send batch, retrying\" url=http://metrics:9009/api/v1/push",
        ] {
            assert!(tells(line), "{line}");
        }
        for line in [
            "LOG:  checkpoint complete: wrote 7234 buffers",
            "INFO upload of avatars took 40 ms",
            "archive command ran",
        ] {
            assert!(!tells(line), "{line}");
        }
    }

    /// The Pod of an asked claim that logs something, told to call a store with some replicas.
    fn storing(log: &str, env: Value, ready: i32) -> World {
        let stored = json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "containers": [container(json!({"env": env, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}))]}});
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
            "spec": {}, "status": {"phase": "Bound"}});
        let labels = json!({"app": "wal"});
        let store = patched(
            deployment(ready, ready),
            json!({"metadata": {"name": "wal"}, "spec": {
            "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}),
        );
        let world = World::asking("PersistentVolumeClaim", "data")
            .alert("KubePersistentVolumeFillingUp")
            .with(claim)
            .with(pod(stored))
            .log("web-1-a", log)
            .with(patched(
                service(labels.clone()),
                json!({"metadata": {"name": "wal"}, "spec": {"clusterIP": "10.96.0.9"}}),
            ))
            .with(store)
            .listed("Pod");
        let behind = json!({"metadata": {"name": "wal-1-a", "labels": labels, "ownerReferences": null}});
        if ready > 0 { world.with(pod(behind)) } else { world }
    }

    #[test]
    fn an_archive_that_is_scaled_to_zero_is_what_fills_the_volume() {
        let world = storing(&FAILED.repeat(4), json!([]), 0);
        assert_eq!(world.cause(), "scaled_to_zero Deployment/wal");
        assert!(world.codes().contains(&"volume_fills_unshipped"), "{:?}", world.codes());
        let unnamed = "2026-11-23 02:59:24.493 UTC [44] LOG:  archive command failed with exit code 1\n".repeat(4);
        let told = json!([{"name": "AWS_ENDPOINT", "value": "http://wal.shop.svc:9000"}]);
        assert_eq!(storing(&unnamed, told, 0).cause(), "scaled_to_zero Deployment/wal", "the Pod is told where to");
    }

    #[test]
    fn an_archive_that_answers_leaves_it_to_the_one_that_cannot_hand_over() {
        let denied = "ERROR: failed to upload 'main/wal_005/0001.br' to bucket 'x': AccessDenied\n".repeat(4);
        assert_eq!(storing(&denied, json!([]), 1).cause(), "volume_fills_unshipped Deployment/web");
    }

    #[test]
    fn a_volume_whose_log_tells_of_nothing_kept_is_not_explained() {
        let quiet = storing("LOG:  checkpoint complete: wrote 7234 buffers\n", json!([]), 0);
        assert!(quiet.codes().is_empty(), "{:?}", quiet.codes());
        let once = storing(&format!("{FAILED}LOG:  checkpoint complete\n"), json!([]), 1);
        assert!(!once.codes().contains(&"volume_fills_unshipped"), "a single failure is made up for");
    }
}
