//! RabbitMQ that blocks its publishers: it has too little memory or disk for its own limits, and takes nothing until it has.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pattern::Pattern;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{drift, latent, logs};
use crate::report::Confidence;

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
    let blame = edited.as_ref().map_or_else(|| workload.clone(), |(map, _)| map.clone());
    let (hint_zh, hint_en) = edited.as_ref().map_or_else(Default::default, |(map, told)| {
        (format!("；{map} 在 apply 之后被改过：{told}"), format!("; {map} was changed since it was applied: {told}"))
    });
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
        change(
            scene.text(
                "恢复水位设置或增加内存、磁盘；告警解除后发布者自动恢复",
                "Set the limits back, or give it more memory or disk; publishers go on once the alarm clears",
            ),
            "",
            None,
        ),
    ];
    Some(
        Finding::new("broker_blocks_publishers", Depth::Root, &name, &blame, headline)
            .summary(summary)
            .confidence(if edited.is_some() { Confidence::Medium } else { Confidence::High })
            .cite([scene.quote(&log.reference, line)])
            .touches(publishers)
            .touches([workload])
            .steps(steps),
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
    fn an_alarm_that_cleared_is_over_and_a_calm_broker_has_none() {
        broker(&format!("{SET}{CLEARED}")).is_calm();
        broker("2026-11-23 02:14:20.78+00:00 [info] <0.252.0> Server startup complete; 4 plugins started.\n").is_calm();
    }
}
