//! RabbitMQ that blocks its publishers: it has too little memory or disk for its own limits, and takes nothing until it has.

use k8s_openapi::api::core::v1::{ConfigMap, Pod};

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{drift, latent, logs};
use crate::quantity;
use crate::report::{Confidence, Step};

/// The broker's own alarm, and the end of it: <https://www.rabbitmq.com/docs/alarms>.
static ALARM: Pattern = Pattern::new(r"(?i)\b(memory|disk) resource limit alarm set\b|free disk space is insufficient");
static CLEARED: Pattern = Pattern::new(r"(?i)\bresource limit alarm cleared\b|\balarm (?:has been )?cleared\b");
/// How clients say that they wait for it.
static BLOCKED: Pattern =
    Pattern::new(r"(?i)blocked by (?:the )?(?:broker|server)|connection[. ](?:is )?blocked|resource alarm");
/// The settings that decide when the alarm is set.
const LIMITS: [&str; 2] = ["vm_memory_high_watermark", "disk_free_limit"];

/// Whether a line says that a broker takes no messages: then it is worth reading whom its Pod calls.
#[must_use]
pub fn tells_of_block(line: &str) -> bool {
    BLOCKED.hits(line) && logs::is_error(line)
}

/// Whether a line of a broker's own log sets an alarm.
#[must_use]
pub fn is_alarm(line: &str) -> bool {
    ALARM.hits(line)
}

/// Findings about brokers whose log sets an alarm and does not clear it.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| alarmed(scene, pod)).collect()
}

fn alarmed(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let (log, line) = scene.logs(&named(&pod.object), "").into_iter().filter(|log| !log.previous).find_map(|log| {
        let text = log.lines.as_deref().ok()?;
        let mut alarms = text.lines().filter(|line| ALARM.hits(line) || CLEARED.hits(line));
        let last = alarms.next_back().filter(|line| ALARM.hits(line))?;
        Some((log, last))
    })?;
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let edited = edited_limit(scene, &pod.object);
    let limit = limit(scene, &pod.object, line);
    let beyond =
        limit.as_ref().filter(|_| edited.is_none()).and_then(|limit| Some((limit, volume(scene, &pod.object, limit)?)));
    let blame = edited.as_ref().map(|(map, _)| map).or(beyond.as_ref().map(|(limit, _)| &limit.map));
    let blame = blame.unwrap_or(&workload).clone();
    let (hint_zh, hint_en) = match (&edited, &beyond) {
        (Some((map, told)), _) => (
            format!("；{map} 在 apply 之后被改过：{told}"),
            format!("; {map} was changed since it was applied: {told}"),
        ),
        (None, Some((limit, size))) => {
            let Limit { map, key, said, .. } = limit;
            (
                format!("：{map} 的 {key} 设置了 {said}，而它的卷只有 {size}，永远无法满足"),
                format!(": {said} in {key} of {map} asks for more free disk than its volume of {size} can have"),
            )
        }
        (None, None) => Default::default(),
    };
    let headline = scene.text(
        format!("{workload}（RabbitMQ）处于资源告警（alarm），阻塞（block）所有发布者{hint_zh}"),
        format!("{workload} (RabbitMQ) is in a resource alarm and blocks all publishers{hint_en}"),
    );
    let summary = scene.text(
        format!("{headline}。日志：{}。", logs::said(line)),
        format!("{headline}. Its log: {}.", logs::said(line)),
    );
    let publishers = scene
        .current_pods()
        .filter(|pod| reach::repeated(scene, &pod.object, tells_of_block).is_some())
        .map(|pod| scene.workload(&pod.object));
    let steps = [
        look(
            scene.text("查看告警与内存、磁盘水位", "See the alarms and what memory and disk it has"),
            kubectl(&name.namespace, &format!("logs {} --tail=200", name.name)),
        ),
        look(
            scene.text("查看 broker 的用量", "See what it uses"),
            kubectl(&name.namespace, &format!("top pod {} --containers", name.name)),
        ),
        relieve(scene, limit.as_ref()),
    ];
    Some(
        Finding::new("broker_blocks_publishers", Depth::Root, &name, &blame, headline)
            .summary(summary)
            .confidence(if edited.is_some() { Confidence::Medium } else { Confidence::High })
            .cite([scene.quote(&log.reference, line)])
            .cite(beyond.iter().map(|(limit, _)| scene.quote(&limit.reference, &limit.said)))
            .touches(publishers)
            .touches([workload])
            .steps(steps),
    )
}

/// A limit that stands in a ConfigMap of the broker.
struct Limit {
    map: ObjectRef,
    key: String,
    said: String,
    reference: String,
}

/// The limit that an alarm is about, as a ConfigMap of the broker sets it.
fn limit(scene: &Scene<'_>, pod: &Pod, alarm: &str) -> Option<Limit> {
    let name = if alarm.to_ascii_lowercase().contains("memory resource") { LIMITS[0] } else { LIMITS[1] };
    latent::maps(pod).into_iter().find_map(|map| {
        let read: Seen<ConfigMap> = scene.facts.get(&map.namespace, &map.name)?;
        let data = read.object.data?;
        let (key, said) = data.iter().find_map(|(key, text)| {
            let line = text.lines().map(str::trim).rfind(|line| line.starts_with(name) && line.contains('='))?;
            Some((key.clone(), line.to_owned()))
        })?;
        Some(Limit { map, key, said, reference: read.reference })
    })
}

/// The size of the broker's largest volume, where a limit asks for as much free disk as that and more.
fn volume(scene: &Scene<'_>, pod: &Pod, limit: &Limit) -> Option<String> {
    let asked =
        limit.said.strip_prefix("disk_free_limit.absolute")?.split_once('=').and_then(|(_, value)| bytes(value))?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let sizes = pods::claims(pod).into_iter().filter_map(|claim| {
        let seen = scene
            .claims
            .iter()
            .find(|seen| named(&seen.object) == ObjectRef::new("PersistentVolumeClaim", namespace, &claim))?;
        let capacity = seen.object.status.as_ref()?.capacity.as_ref()?.get("storage")?.0.clone();
        Some((quantity::amount(&capacity)?, capacity))
    });
    let (size, said) = sizes.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (asked >= size).then_some(said)
}

/// A size as RabbitMQ writes it (<https://www.rabbitmq.com/docs/disk-alarms>): `50GB` counts in thousands, `50GiB` and `50G`
/// in 1024s.
fn bytes(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 9] = [
        ("kib", 1024.0),
        ("mib", 1_048_576.0),
        ("gib", 1_073_741_824.0),
        ("kb", 1e3),
        ("mb", 1e6),
        ("gb", 1e9),
        ("k", 1024.0),
        ("m", 1_048_576.0),
        ("g", 1_073_741_824.0),
    ];
    let text = text.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (digits, factor) = unit.unwrap_or((&text, 1.0));
    digits.trim().parse::<f64>().ok().map(|number| number * factor)
}

/// What ends the alarm.
fn relieve(scene: &Scene<'_>, limit: Option<&Limit>) -> Step {
    let Some(Limit { map, key, said, .. }) = limit else {
        return change(
            scene.text(
                "恢复水位设置或增加内存、磁盘；告警解除后发布者自动恢复",
                "Set the limits back, or give it more memory or disk; publishers go on once the alarm clears",
            ),
            "",
            None,
        );
    };
    change(
        scene.text(
            format!("修正 {map} 中 {key} 的 {said}，或增加内存、磁盘；告警解除后发布者自动恢复"),
            format!("Correct {said} in {key} of {map}, or give it more memory or disk; publishers go on once the alarm clears"),
        ),
        scene.text("修改后需要重启 broker 才会读取", "The broker reads it when it starts again"),
        Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name))),
    )
}

/// A ConfigMap of the broker whose limits were changed since it was applied, and how.
fn edited_limit(scene: &Scene<'_>, pod: &Pod) -> Option<(ObjectRef, String)> {
    latent::maps(pod).into_iter().find_map(|map| {
        let told: Vec<String> =
            drift::changes(scene, &map).iter().map(|change| drift::told(scene.lang, change)).collect();
        let limit = told.into_iter().find(|told| LIMITS.iter().any(|limit| told.contains(limit)))?;
        Some((map, limit))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, pod};

    const SET: &str =
        "2026-11-23 02:14:20.78+00:00 [warning] <0.252.0> memory resource limit alarm set on node rabbit@mq-0.\n";
    const CLEARED: &str =
        "2026-11-23 02:30:20.78+00:00 [warning] <0.252.0> memory resource limit alarm cleared on node rabbit@mq-0\n";

    fn map(live: &str) -> Value {
        let copy = json!({"data": {"a.conf": "vm_memory_high_watermark.relative = 0.6\n"}}).to_string();
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "shop",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": copy}}, "data": {"a.conf": live}})
    }

    fn broker(log: &str) -> World {
        let spec = json!({"spec": {"containers": [container(json!({}))], "volumes": [{"name": "c", "configMap": {"name": "conf"}}]}});
        World::asking("Pod", "web-1-a").with(pod(spec)).log("web-1-a", log)
    }

    #[test]
    fn a_broker_in_alarm_blocks_its_publishers() {
        assert_eq!(broker(SET).cause(), "broker_blocks_publishers Deployment/web");
    }

    #[test]
    fn a_limit_that_was_changed_is_what_set_it_off() {
        let edited = broker(SET).with(map("vm_memory_high_watermark.absolute = 96MB\n"));
        assert_eq!(edited.cause(), "broker_blocks_publishers ConfigMap/conf");
        assert!(edited.diagnosis().headline.contains("96MB"), "{}", edited.diagnosis().headline);
        let same = broker(SET).with(map("vm_memory_high_watermark.relative = 0.6\n"));
        assert_eq!(same.cause(), "broker_blocks_publishers Deployment/web");
    }

    #[test]
    fn a_limit_that_no_volume_of_its_size_can_keep_is_named_with_its_key() {
        let log =
            "2026-11-23 02:14:20.78+00:00 [warning] <0.252.0> disk resource limit alarm set on node rabbit@mq-0.\n";
        let told = |limit: &str, size: &str| {
            let volumes = json!([{"name": "c", "configMap": {"name": "conf"}}, {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]);
            let spec = json!({"spec": {"containers": [container(json!({}))], "volumes": volumes}});
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "shop"},
                "data": {"rabbitmq.conf": format!("cluster_name = lab\n{limit}\n")}});
            let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
                "spec": {}, "status": {"phase": "Bound", "capacity": {"storage": size}}});
            World::asking("Pod", "web-1-a").with(pod(spec)).log("web-1-a", log).with(map).with(claim)
        };
        let beyond = told("disk_free_limit.absolute = 50GB", "20Gi");
        assert_eq!(beyond.cause(), "broker_blocks_publishers ConfigMap/conf");
        let diagnosis = beyond.diagnosis();
        assert!(diagnosis.headline.contains("50GB in rabbitmq.conf") && diagnosis.headline.contains("20Gi"));
        assert!(diagnosis.steps.iter().any(|step| step.title.contains("rabbitmq.conf of ConfigMap shop/conf")));
        let within = told("disk_free_limit.absolute = 2GB", "20Gi");
        assert_eq!(within.cause(), "broker_blocks_publishers Deployment/web");
        assert_eq!(told("disk_free_limit.relative = 3.0", "20Gi").cause(), "broker_blocks_publishers Deployment/web");
    }

    #[test]
    fn an_alarm_that_cleared_is_over_and_a_calm_broker_has_none() {
        broker(&format!("{SET}{CLEARED}")).is_calm();
        broker("2026-11-23 02:14:20.78+00:00 [info] <0.252.0> Server startup complete; 4 plugins started.\n").is_calm();
    }
}
