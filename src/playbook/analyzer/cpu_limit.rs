//! CPU limits that were lowered, and Pods that since then answer too slowly for their probes.

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::{probe, rollout};
use crate::alert::ObjectRef;
use crate::applied;
use crate::playbook::facts::{Seen, SeenEvent};
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::quantity;
use crate::report::{Citation, Confidence};

/// A limit cut to this share of what it was, or less, is no fine tuning.
const CUT: f64 = 0.5;

/// Findings about containers whose probes time out since their CPU limit was cut.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for pod in scene.current_pods() {
        let Some(event) = unanswered(scene, &named(&pod.object)) else { continue };
        let views = pods::containers(&pod.object);
        findings.extend(views.iter().find_map(|view| starved(scene, pod, view, event)));
    }
    findings
}

/// The latest probe of a Pod that got no answer in time.
fn unanswered<'s>(scene: &'s Scene<'_>, pod: &ObjectRef) -> Option<&'s SeenEvent> {
    let slow = |event: &&SeenEvent| probe::is_unanswered(&event.message);
    scene.events(pod, &["Unhealthy"]).into_iter().filter(slow).max_by_key(|event| event.last_seen)
}

fn starved(scene: &Scene<'_>, pod: &Seen<Pod>, view: &ContainerView<'_>, event: &SeenEvent) -> Option<Finding> {
    if view.ready() && !view.failing(scene.facts.now) {
        return None;
    }
    let limit = view.spec.resources.as_ref()?.limits.as_ref()?.get("cpu")?.0.clone();
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let (before, proof) = limit_before(scene, &workload, view.name())?;
    if quantity::amount(&limit)? > CUT * quantity::amount(&before)? {
        return None;
    }
    let container = view.name();
    let headline = scene.text(
        format!("{workload} 的 CPU limit 从 {before} 降到 {limit} 后，容器 {container} 应答过慢，探针超时"),
        format!("{workload}: since its CPU limit went from {before} to {limit}, container {container} is too slow for its probes"),
    );
    let summary = scene.text(
        format!("{headline}。CPU 用到 limit 时进程会被限流（throttled），应答变慢。"),
        format!("{headline}. A process at its CPU limit is throttled and answers late."),
    );
    Some(
        Finding::new("cpu_limit_too_low", Depth::Root, &name, &workload, headline)
            .summary(summary)
            .confidence(Confidence::Medium)
            .cite([scene.quote_event(event), scene.quote(&pod.reference, &format!("cpu: {limit}")), proof])
            .unresolved(scene.text(
                "CPU 限流指标（container_cpu_cfs_throttled_periods_total）是否随之上升？",
                "Did its throttling (container_cpu_cfs_throttled_periods_total) rise with it?",
            ))
            .steps([
                look(
                    scene.text("查看 CPU 用量是否到顶", "See whether it uses all the CPU it may"),
                    kubectl(&name.namespace, &format!("top pod {} --containers", name.name)),
                ),
                look(
                    scene.text("对比两个版本", "Compare the revisions"),
                    kubectl(&workload.namespace, &format!("rollout history {}", slash(&workload))),
                ),
                change(
                    scene.text(format!("把 limits.cpu 恢复到 {before}"), format!("Set limits.cpu back to {before}")),
                    "",
                    edit_template(&workload),
                ),
            ]),
    )
}

/// The CPU limit a container had before: in the revision before, or in the copy that was applied.
fn limit_before(scene: &Scene<'_>, workload: &ObjectRef, container: &str) -> Option<(String, Option<Citation>)> {
    let of = |spec: &PodSpec| {
        let found = spec.containers.iter().find(|known| known.name == container)?;
        Some(found.resources.as_ref()?.limits.as_ref()?.get("cpu")?.0.clone())
    };
    let old = rollout::revisions(scene, workload).into_iter().nth(1);
    let by_revision = old.and_then(|old| {
        let limit = of(old.object.spec.as_ref()?.template.as_ref()?.spec.as_ref()?)?;
        let proof = scene.quote(&old.reference, &format!("cpu: {limit}"));
        Some((limit, proof))
    });
    by_revision.or_else(|| {
        let (value, _) = scene.facts.raw(workload)?;
        let path = format!("spec.template.spec.containers[{container}].resources.limits.cpu");
        let change = applied::changes(value).into_iter().find(|change| change.path == path)?;
        Some((applied::plain(&change.applied), None))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, deployment, ended, patched, pod, replica_set, unready};

    const TIMEOUT: &str = "Liveness probe failed: Get \"http://10.0.0.1:8080/live\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)";

    fn limited(cpu: &str) -> Value {
        let probe = json!({"httpGet": {"path": "/live", "port": 8080}});
        container(json!({"livenessProbe": probe, "resources": {"limits": {"cpu": cpu}}}))
    }

    fn world(before: &str, now: &str, message: &str) -> World {
        let set = |number: i32, cpu: &str| {
            let spec = json!({"spec": {"template": {"spec": {"containers": [limited(cpu)]}}}});
            patched(replica_set(number, "", i32::from(number == 2), 0), spec)
        };
        let last = ended(137, "Error", "2026-11-23T02:59:00Z");
        let running = json!({"running": {"startedAt": "2026-11-23T02:59:10Z"}});
        let own = json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-2", "uid": "u", "controller": true}]},
            "spec": {"containers": [limited(now)]}});
        World::asking("Pod", "web-1-a")
            .with(deployment(1, 0))
            .with(set(1, before))
            .with(set(2, now))
            .with(pod(patched(unready(running, last, 7), own)))
            .event("Pod", "web-1-a", "Unhealthy", message)
            .event("Pod", "web-1-a", "Killing", "Container web failed liveness probe, will be restarted")
            .log("web-1-a", "ERROR GET /match 504 after 5.9s: context deadline exceeded")
    }

    #[test]
    fn a_limit_that_was_cut_explains_probes_that_time_out() {
        let world = world("1", "50m", TIMEOUT);
        assert_eq!(world.cause(), "cpu_limit_too_low Deployment/web");
        assert!(world.diagnosis().headline.contains("from 1 to 50m"), "{}", world.diagnosis().headline);
    }

    #[test]
    fn one_that_is_as_it_was_or_a_little_lower_explains_nothing() {
        assert!(!world("500m", "500m", TIMEOUT).codes().contains(&"cpu_limit_too_low"));
        assert!(!world("500m", "400m", TIMEOUT).codes().contains(&"cpu_limit_too_low"));
    }

    #[test]
    fn a_probe_that_is_refused_is_not_slow() {
        let refused = "Liveness probe failed: Get \"http://10.0.0.1:8080/live\": dial tcp: connect: connection refused";
        assert!(!world("1", "50m", refused).codes().contains(&"cpu_limit_too_low"));
    }
}
