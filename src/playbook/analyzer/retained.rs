//! What fills a volume because nobody takes it away: a write-ahead log that cannot be archived, a log that a replica still
//! needs, a buffer that is not emptied.

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};

use crate::alert::ObjectRef;
use crate::playbook::callees;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{latent, logs, reach};
use crate::report::{Confidence, Step};

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

/// PostgreSQL's own words for an archive command that failed: why stands in what the command printed before.
static GENERIC: Pattern = Pattern::new(
    r"(?i)archive command (?:failed|was terminated)|archiving write-ahead log file .* failed|the failed archive command was",
);
/// Lines above such words in which the command's own are looked for.
const ABOVE: usize = 8;
/// The time that Go's log package writes first.
static GO_TIME: Pattern = Pattern::new(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)? ");
/// A line of the server itself, as PostgreSQL writes it: of a client's trouble, not of the archive's.
static SERVER: Pattern =
    Pattern::new(r"\[\d+(?:-\d+)?\]:? .*?\b(?:LOG|ERROR|FATAL|PANIC|WARNING|STATEMENT|DETAIL|HINT|CONTEXT|NOTICE): ");
/// Whatever reports why without the word "error": a shell's tools, the AWS command line, wal-g.
static REASON: Pattern = Pattern::new(
    r"(?i)^(?:cp|mv|scp|rsync|ssh|gzip|zstd|test|sh|bash|mkdir|aws|gsutil|mc|rclone|wal-g|pgbackrest|barman[\w-]*): |failed to upload|upload failed|nosuchbucket|accessdenied|no such host|permission denied|no space left|an error occurred \(",
);
/// A bucket that a store does not know.
static NO_BUCKET: Pattern =
    Pattern::new(r"(?i)nosuchbucket|bucket.{0,90}(?:does not exist|doesn't exist|not found)|bucket ?not ?found");
/// The name of a bucket.
static BUCKET: Pattern =
    Pattern::new(r#"(?i)(?:\bbucket:? ?(?:name:? ?)?['"“]?|\b(?:s3|gs)://)([a-z0-9][a-z0-9.-]{2,62})"#);
/// A host that nobody knows.
static NO_HOST: Pattern = Pattern::new(r"(?i)no such host|name or service not known|enotfound|could not resolve host");

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
    let (log, last, count) = reach::repeated(scene, &pod.object, tells)?;
    let workload = scene.workload(&pod.object);
    let line = log.lines.as_deref().ok().and_then(|text| reason(text, last)).unwrap_or(last);
    let said = logs::said(line);
    let said = GO_TIME.groups(&said).and_then(|found| found.get(0)).map_or(said.as_str(), |time| &said[time.end()..]);
    let taker = taker(scene, pod);
    let told = taker.is_none().then(|| misnamed(scene, &pod.object, line)).flatten();
    let (whom_zh, whom_en) = match &taker {
        Some((service, 0)) => (
            format!("；接收方 {service} 没有就绪的后端"),
            format!("; {service}, which should take it, has no ready backend"),
        ),
        Some((service, _)) => (format!("；接收方是 {service}"), format!("; {service} should take it")),
        None => told.as_ref().map(|told| told.words()).unwrap_or_default(),
    };
    let (what_zh, what_en) = what(last);
    let headline = scene.text(
        format!("{claim} 持续增长：{workload} 的{what_zh}没有被取走，只能留在卷上{whom_zh}：{said}"),
        format!("{claim} fills up: nobody takes {workload}'s {what_en}, so it stays on the volume{whom_en}: {said}"),
    );
    let times = scene.text(format!("（日志中出现 {count} 次）"), format!(" ({count} times in the log)"));
    let owner = told.as_ref().map_or(&workload, |told| &told.map);
    let blame = taker.as_ref().filter(|(_, ready)| *ready == 0).map_or(owner, |(service, _)| service);
    let call = reach::failing_calls(scene, &pod.object).into_iter().next();
    Some(
        Finding::new("volume_fills_unshipped", Depth::Mechanism, &claim, blame, &headline)
            .summary(format!("{headline}{times}"))
            .confidence(Confidence::Medium)
            .cite([
                scene.quote(&log.reference, line),
                told.as_ref().and_then(|told| scene.quote_line(&told.reference, &[&told.name])),
                call.and_then(|call| scene.quote(&call.log.reference, call.line)),
            ])
            .touches([name.clone(), workload.clone()])
            .touches(taker.clone().map(|(service, _)| service))
            .steps(steps(scene, &name, &log.container, blame, told.as_ref())),
    )
}

/// What an archive command printed before PostgreSQL says no more than that it failed.
fn reason<'t>(text: &'t str, last: &str) -> Option<&'t str> {
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().rposition(|line| *line == last).filter(|_| GENERIC.hits(last))?;
    // The details of this failure, then what was printed since the one before.
    let above = lines[..at].iter().rev().skip_while(|line| GENERIC.hits(line) && tells_detail(line));
    let own = above.take(ABOVE).take_while(|line| !GENERIC.hits(line));
    let why = own.filter(|line| !SERVER.hits(line) && (logs::is_error(line) || REASON.hits(line)));
    why.copied().find(|line| !logs::instructs(line))
}

fn tells_detail(line: &str) -> bool {
    line.contains("DETAIL:")
}

/// A name that is not known where it is asked for, and the ConfigMap that the Pod has it from.
struct Misnamed {
    map: ObjectRef,
    key: String,
    reference: String,
    name: String,
    is_bucket: bool,
}

impl Misnamed {
    fn words(&self) -> (String, String) {
        let Self { map, key, name, .. } = self;
        let (zh, en) = if self.is_bucket { ("存储桶", "bucket") } else { ("主机", "host") };
        (
            format!("；{map} 的 {key} 中的{zh} {name} 不存在"),
            format!("; the {en} {name} in {key} of {map} does not exist"),
        )
    }
}

/// The ConfigMap that names a bucket or a host of which a line says that there is none.
fn misnamed(scene: &Scene<'_>, pod: &Pod, line: &str) -> Option<Misnamed> {
    let bucket = BUCKET.group(line, 1).filter(|_| NO_BUCKET.hits(line));
    let is_bucket = bucket.is_some();
    let host = || reach::hosts(line).into_iter().find(|host| NO_HOST.hits(line) && !reach::is_address(host));
    let name = bucket.map(|name| name.trim_end_matches(['.', '-']).to_owned()).or_else(host)?;
    let part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.';
    latent::maps(pod).into_iter().find_map(|map| {
        let read: Seen<ConfigMap> = scene.facts.get(&map.namespace, &map.name)?;
        let names = |value: &str| value.split(|letter| !part(letter)).any(|word| word == name);
        let key = read.object.data?.into_iter().find(|(_, value)| names(value))?.0;
        Some(Misnamed { map, key, reference: read.reference, name: name.clone(), is_bucket })
    })
}

/// In Chinese and English, what is kept.
fn what(line: &str) -> (&'static str, &'static str) {
    if ARCHIVE.hits(line) {
        (" WAL 归档", "write-ahead log")
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

fn steps(scene: &Scene<'_>, pod: &ObjectRef, container: &str, blame: &ObjectRef, told: Option<&Misnamed>) -> [Step; 3] {
    let log = look(
        scene.text("查看是什么没有被取走、为什么", "Read what is not taken, and why"),
        kubectl(&pod.namespace, &format!("logs {} -c {container} --tail=100", pod.name)),
    );
    if let Some(Misnamed { map, key, name, .. }) = told {
        return [
            log,
            look(
                scene.text("查看该 ConfigMap", "Read the ConfigMap"),
                kubectl(&map.namespace, &format!("get configmap {} -o yaml", map.name)),
            ),
            change(
                scene.text(
                    format!("更正 {map} 的 {key} 中的 {name}（或补建它），然后重启 Pod；积压的数据随后会被取走并清理"),
                    format!("Correct {name} in {key} of {map}, or create it, then restart the Pod: what piled up is taken and removed by itself"),
                ),
                scene.text(
                    "扩容 PVC 只能争取时间；不要手动删除 WAL",
                    "Growing the claim only buys time; never delete such files by hand",
                ),
                Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name))),
            ),
        ];
    }
    [
        log,
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

    use super::{ARCHIVE, BUCKET, BUFFER, GENERIC, GO_TIME, NO_BUCKET, NO_HOST, REASON, REPLICA, SERVER, tells};
    use crate::playbook::world::{World, container, deployment, patched, pod, service};

    const FAILED: &str = "caused by: Put \"http://wal.shop.svc:9000/x\": dial tcp 10.96.0.9:9000: connect: connection refused\n2026-11-23 02:59:24.493 UTC [44] LOG:  archive command failed with exit code 1\n";

    #[test]
    fn what_is_not_taken_away_is_told_in_many_words() {
        let patterns =
            [&ARCHIVE, &REPLICA, &BUFFER, &GENERIC, &GO_TIME, &REASON, &NO_BUCKET, &BUCKET, &NO_HOST, &SERVER];
        assert!(patterns.iter().all(|pattern| pattern.compiles()));
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

    const ABSENT: &str = "ERROR: 2026/11/28 05:29:56.006880 failed to upload 'crm/wal_005/0041.br' to bucket 'acme-wal-prd': NoSuchBucket: The specified bucket does not exist\n\tstatus code: 404, request id: 7CE4\n2026-11-28 05:29:56.010 UTC [31] LOG:  archive command failed with exit code 1\n2026-11-28 05:29:56.024 UTC [31] DETAIL:  The failed archive command was: wal-g wal-push \"pg_wal/0041\"\n";

    /// The same Pod, told by a ConfigMap which bucket to use.
    fn told(log: &str, bucket: &str) -> World {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "walg", "namespace": "shop"},
            "data": {"AWS_REGION": "eu", "WALG_S3_PREFIX": format!("s3://{bucket}/crm")}});
        let from = json!([{"name": "P", "valueFrom": {"configMapKeyRef": {"name": "walg", "key": "WALG_S3_PREFIX"}}}]);
        storing(log, from, 1).with(map)
    }

    #[test]
    fn a_bucket_that_does_not_exist_is_the_fault_of_the_map_that_names_it() {
        let world = told(&ABSENT.repeat(4), "acme-wal-prd");
        assert_eq!(world.cause(), "volume_fills_unshipped ConfigMap/walg");
        let headline = world.diagnosis().headline;
        assert!(
            headline.contains("NoSuchBucket") && headline.contains("the bucket acme-wal-prd in WALG_S3_PREFIX"),
            "{headline}"
        );
        assert!(!headline.contains("exit code") && !headline.contains("05:29"), "{headline}");
    }

    #[test]
    fn a_bucket_that_refuses_and_one_that_no_map_names_leave_it_to_the_workload() {
        let denied = ABSENT.replace("NoSuchBucket: The specified bucket does not exist", "AccessDenied: Access Denied");
        for (log, bucket) in [(denied.as_str(), "acme-wal-prd"), (ABSENT, "acme-wal-prod"), (ABSENT, "acme-wal-prd-2")]
        {
            let world = told(&log.repeat(4), bucket);
            assert_eq!(world.cause(), "volume_fills_unshipped Deployment/web");
            assert!(world.diagnosis().headline.contains("failed to upload"), "{}", world.diagnosis().headline);
        }
    }

    #[test]
    fn what_the_archive_command_said_is_told_and_nothing_of_another_time() {
        let failed = "2026-11-28 05:29:56.010 UTC [31] LOG:  archive command failed with exit code 1\n";
        let headline =
            |before: &str| storing(&format!("{before}{failed}").repeat(4), json!([]), 1).diagnosis().headline;
        let copied = headline("cp: cannot create regular file '/archive/0041': Permission denied\n");
        assert!(copied.contains("cannot create regular file"), "{copied}");
        let backrest = headline("P00  ERROR: [103]: unable to find a valid repository\n");
        assert!(backrest.contains("unable to find a valid repository"), "{backrest}");
        let other =
            headline("2026-11-28 05:29:50.010 UTC [99] FATAL:  password authentication failed for user \"x\"\n");
        assert!(other.contains("archive command failed"), "{other}");
        let alone = headline("2026-11-28 05:29:50.010 UTC [27] LOG:  checkpoint starting: time\n");
        assert!(alone.contains("archive command failed"), "{alone}");
    }
}
