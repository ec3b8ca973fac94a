//! Recently: what happened around objects that are well again, as events and conditions tell it, and since when all is Ready.
//! It explains what an alert saw, and blames nothing.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::rollout;
use crate::playbook::facts::{Seen, SeenEvent};
use crate::playbook::finding::counted;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::Scope;
use crate::playbook::{awaited_first, returned, slow};
use crate::times;

/// How far back an event may explain what an alert saw.
pub(super) const LATELY: SignedDuration = SignedDuration::from_hours(3);
/// What takes longer, in seconds, is worth a word.
const SLOW: i64 = 60;
/// Sentences at most.
const TOLD: usize = 5;

static PULLED: Pattern = Pattern::new(r"pulled image .* in ((?:\d+h)?(?:\d+m)?[\d.]+s)\b");

/// What happened lately, in the order of time, and since when all Pods in question are Ready.
#[must_use]
pub fn told(scene: &Scene<'_>, scope: &Scope) -> Vec<String> {
    let mut told: Vec<(Timestamp, String)> = Vec::new();
    told.extend(scaled(scene, scope));
    told.extend(made(scene, scope));
    told.extend(waited(scene, scope));
    told.extend(pulled(scene, scope));
    told.extend(replaced(scene, scope));
    told.extend(returned::told(scene));
    told.extend(slow::told(scene, scope));
    told.extend(awaited_first::told(scene, scope));
    told.sort();
    let told = told.into_iter().map(|(_, said)| said);
    told.take(TOLD - 1).chain(ready(scene, scope)).collect()
}

pub(super) fn lately<'a>(scene: &'a Scene<'_>, reason: &'a str) -> impl Iterator<Item = (Timestamp, &'a SeenEvent)> {
    let recent =
        move |event: &'a SeenEvent| Some((event.last_seen?, event)).filter(|(at, _)| *at + LATELY > scene.facts.now);
    scene.facts.events().iter().filter(move |event| event.reason == reason).filter_map(recent)
}

pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S UTC").to_string()
}

/// The last time the workload in question, or its autoscaler, was given another number of replicas.
fn scaled(scene: &Scene<'_>, scope: &Scope) -> Option<(Timestamp, String)> {
    let workloads: Vec<ObjectRef> = scope.pods(scene).map(|pod| scene.workload(&pod.object)).collect();
    let by = |event: &SeenEvent| {
        workloads
            .iter()
            .any(|it| it.namespace == event.about.namespace && (it.name == event.about.name || it == &event.about))
    };
    let rescaled = lately(scene, "SuccessfulRescale").filter(|(_, event)| by(event));
    let rescaled = rescaled.max_by_key(|(at, _)| *at);
    let (at, event) = rescaled
        .or_else(|| lately(scene, "ScalingReplicaSet").filter(|(_, event)| by(event)).max_by_key(|(at, _)| *at))?;
    let said = logs::shorten(&event.message, 120);
    Some((
        at,
        scene
            .text(format!("{}，{}：{said}", clock(at), event.about), format!("{}, {}: {said}", clock(at), event.about)),
    ))
}

/// Pods of the workloads in question that were made anew.
fn made(scene: &Scene<'_>, scope: &Scope) -> Option<(Timestamp, String)> {
    let made: Vec<Timestamp> = scope
        .pods(scene)
        .filter_map(|pod| Some(pod.object.metadata.creation_timestamp.as_ref()?.0))
        .filter(|at| *at + LATELY > scene.facts.now)
        .collect();
    let (first, last) = (made.iter().min()?, made.iter().max()?);
    let count = made.len();
    let (from, to) = (clock(*first), clock(*last));
    let said = if from == to {
        scene.text(format!("{from} 新建了 {count} 个 Pod"), format!("{from}: {} made anew", counted(count, "Pod")))
    } else {
        scene.text(
            format!("{from} 至 {to} 之间先后新建了 {count} 个 Pod"),
            format!("{} made anew between {from} and {to}", counted(count, "Pod")),
        )
    };
    Some((*first, said))
}

/// The Pod that waited longest for a Node.
fn waited(scene: &Scene<'_>, scope: &Scope) -> Option<(Timestamp, String)> {
    let wait = |pod: &Seen<Pod>| {
        let conditions = pod.object.status.as_ref()?.conditions.as_deref()?;
        let scheduled = conditions.iter().find(|it| it.type_ == "PodScheduled" && it.status == "True")?;
        let at = scheduled.last_transition_time.as_ref()?.0;
        let made = pod.object.metadata.creation_timestamp.as_ref()?.0;
        let seconds = at.as_second() - made.as_second();
        (seconds >= SLOW && at + LATELY > scene.facts.now).then(|| (seconds, at, named(&pod.object)))
    };
    let (seconds, at, pod) = scope.pods(scene).filter_map(wait).max_by_key(|(seconds, ..)| *seconds)?;
    let grown = lately(scene, "TriggeredScaleUp").any(|(_, event)| event.about == pod);
    let (zh, en) = ("，期间集群自动增加了节点", ", and the cluster was given another one meanwhile");
    let (grown_zh, grown_en) = if grown { (zh, en) } else { ("", "") };
    let lasted = times::duration(scene.lang, seconds);
    Some((
        at,
        scene.text(
            format!("{pod} 等待节点 {lasted}，{} 才被调度{grown_zh}", clock(at)),
            format!("{pod} waited {lasted} for a Node, until {}{grown_en}", clock(at)),
        ),
    ))
}

/// The Pod whose image took longest to pull.
fn pulled(scene: &Scene<'_>, scope: &Scope) -> Option<(Timestamp, String)> {
    let slow = lately(scene, "Pulled").filter(|(_, event)| scope.has(&event.about)).filter_map(|(at, event)| {
        let took = PULLED.group(&event.message, 1)?;
        Some((seconds(&took)?, at, event.about.clone()))
    });
    let (took, at, pod) = slow.filter(|(took, ..)| *took >= SLOW).max_by_key(|(took, ..)| *took)?;
    let lasted = times::duration(scene.lang, took);
    Some((
        at,
        scene.text(
            format!("{pod} 拉取镜像用了 {lasted}，{} 完成", clock(at)),
            format!("{pod} took {lasted} to pull its image, until {}", clock(at)),
        ),
    ))
}

/// Go's durations: `20m50.2s`.
fn seconds(text: &str) -> Option<i64> {
    let (mut total, mut number) = (0.0, String::new());
    for letter in text.chars() {
        let unit = match letter {
            'h' => 3600.0,
            'm' => 60.0,
            's' => 1.0,
            digit => {
                number.push(digit);
                continue;
            }
        };
        total += number.parse::<f64>().ok()? * unit;
        number.clear();
    }
    #[expect(clippy::cast_possible_truncation, reason = "cut to whole seconds on purpose")]
    Some(total as i64)
}

/// A version of the workload in question that was given up for a newer one within a short time.
fn replaced(scene: &Scene<'_>, scope: &Scope) -> Option<(Timestamp, String)> {
    let deployments = scene.deployments.iter().map(|it| named(&it.object)).filter(|name| scope.has(name));
    let told = deployments.filter_map(|name| {
        let sets = rollout::revisions(scene, &name);
        let (new, old) = (sets.first()?, sets.get(1)?);
        let made = |set: &Seen<ReplicaSet>| set.object.metadata.creation_timestamp.as_ref().map(|at| at.0);
        let (from, to) = (made(old)?, made(new)?);
        let gone = old.object.status.as_ref().is_some_and(|status| status.replicas == 0);
        if !gone || to <= from || to + LATELY <= scene.facts.now || from + LATELY <= to {
            return None;
        }
        let (before, now) = (image(&old.object)?, image(&new.object)?);
        let (before, now) =
            if before == now { (named(&old.object).name, named(&new.object).name) } else { (before, now) };
        Some((
            to,
            scene.text(
                format!("{} 发布的版本 {before} 在 {} 被 {now} 取代", clock(from), clock(to)),
                format!("the version released at {} ({before}) was replaced by {now} at {}", clock(from), clock(to)),
            ),
        ))
    });
    told.max()
}

fn image(set: &ReplicaSet) -> Option<String> {
    pods::template(set)?.containers.first()?.image.clone()
}

/// Since when all Pods in question are Ready, where that is not long ago.
fn ready(scene: &Scene<'_>, scope: &Scope) -> Option<String> {
    let current: Vec<&Seen<Pod>> = scope.pods(scene).filter(|pod| !pods::is_finished(&pod.object)).collect();
    if current.is_empty() || !current.iter().all(|pod| pods::is_ready(&pod.object)) {
        return None;
    }
    let since = |pod: &&Seen<Pod>| {
        let conditions = pod.object.status.as_ref()?.conditions.as_deref()?;
        conditions.iter().find(|it| it.type_ == "Ready")?.last_transition_time.as_ref().map(|at| at.0)
    };
    let at = current.iter().filter_map(since).max().filter(|at| *at + LATELY > scene.facts.now)?;
    let lasted = times::duration(scene.lang, scene.facts.now.as_second() - at.as_second());
    let count = current.len();
    if count == 1 {
        return Some(scene.text(
            format!("读取到的 Pod 自 {} 起 Ready（已 {lasted}）", clock(at)),
            format!("the one Pod that was read is Ready since {} (for {lasted})", clock(at)),
        ));
    }
    Some(scene.text(
        format!("读取到的 {count} 个 Pod 自 {} 起全部 Ready（已 {lasted}）", clock(at)),
        format!("all {} that were read are Ready since {} (for {lasted})", counted(count, "Pod"), clock(at)),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, deployment, node, patched, pod, replica_set};

    fn times(made: &str, scheduled: &str, ready: &str) -> Value {
        pod(patched(
            json!({"metadata": {"creationTimestamp": made}}),
            json!({"status": {"conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": scheduled},
                {"type": "Ready", "status": "True", "lastTransitionTime": ready}]}}),
        ))
    }

    fn findings(world: World) -> Vec<String> {
        world.alert("KubePodNotReady").with(deployment(1, 1)).diagnosis().primary.findings
    }

    #[test]
    fn what_an_alert_saw_is_told_where_all_is_well_again() {
        assert!(PULLED.compiles());
        let late = times("2026-11-23T02:20:00Z", "2026-11-23T02:28:20Z", "2026-11-23T02:50:00Z");
        let pull =
            "Successfully pulled image \"reg/web:1\" in 20m50.2s (20m50.2s including waiting). Image size: 9 bytes.";
        let told = findings(World::asking("Pod", "web-1-a").with(late).event("Pod", "web-1-a", "Pulled", pull));
        for part in
            ["waited 8 min for a Node", "took 20 min to pull its image", "Ready since 02:50:00 UTC (for 10 min)"]
        {
            assert!(told.iter().any(|it| it.contains(part)), "{part}: {told:?}");
        }
    }

    #[test]
    fn a_node_that_is_back_tells_when_and_from_what() {
        let told = |ready: &str, status: &str| {
            let mut back = node(json!({}));
            back["status"]["conditions"] = json!([{"type": "Ready", "status": status, "lastTransitionTime": ready}]);
            World::asking("Node", "n1")
                .with(back)
                .event("Node", "n1", "NodeNotReady", "Node n1 status is now: NodeNotReady")
                .event("Node", "n1", "Rebooted", "Node n1 has been rebooted, boot id: 1")
                .diagnosis()
                .primary
                .findings
                .join("\n")
        };
        let back = told("2026-11-23T02:59:40Z", "True");
        assert!(back.contains("was NotReady from 02:59:00 UTC to 02:59:40 UTC, and was rebooted"), "{back}");
        assert!(!told("2026-11-20T02:59:40Z", "True").contains("was NotReady"));
        assert!(!told("2026-11-23T02:59:40Z", "False").contains("was NotReady"));
    }

    #[test]
    fn a_version_that_was_soon_replaced_is_told() {
        let told = |first: &str, second: &str| {
            let set = |number: i32, at: &str| {
                let image = format!("reg/web:{number}");
                let status = json!({"metadata": {"creationTimestamp": at}, "status": {"replicas": number - 1}});
                patched(replica_set(number, &image, number - 1, number - 1), status)
            };
            findings(World::asking("Deployment", "web").with(set(1, first)).with(set(2, second)).with(pod(json!({}))))
                .join("\n")
        };
        let said = told("2026-11-23T02:20:00Z", "2026-11-23T02:40:00Z");
        assert!(said.contains("released at 02:20:00 UTC (reg/web:1) was replaced by reg/web:2 at 02:40:00"), "{said}");
        assert!(!told("2026-11-20T02:20:00Z", "2026-11-23T02:40:00Z").contains("was replaced"));
        assert!(!told("2026-11-20T02:20:00Z", "2026-11-20T02:40:00Z").contains("was replaced"));
    }

    #[test]
    fn what_was_long_ago_or_quick_explains_nothing() {
        let old = times("2026-11-20T02:20:00Z", "2026-11-20T02:28:20Z", "2026-11-20T02:50:00Z");
        let pull = "Successfully pulled image \"reg/web:1\" in 2.2s (2.2s including waiting).";
        let told = findings(World::asking("Pod", "web-1-a").with(old).event("Pod", "web-1-a", "Pulled", pull));
        assert!(
            !told.iter().any(|it| it.contains("pull its image") || it.contains("waited") || it.contains("since")),
            "{told:?}"
        );
        assert_eq!((seconds("20m50.2s"), seconds("3.4s"), seconds("1h2m3s")), (Some(1250), Some(3), Some(3723)));
    }
}
