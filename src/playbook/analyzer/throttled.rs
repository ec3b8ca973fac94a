//! Containers that an alert measures to be throttled: the CPU limit they are held at, which the measurement does not say.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Findings about the Pods of which an alert says that their CPU is throttled.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter(|pod| is_asked(scene, pod)).filter_map(|pod| held(scene, pod)).collect()
}

/// Whether an alert measures that a Pod is throttled.
pub(super) fn is_asked(scene: &Scene<'_>, pod: &Seen<Pod>) -> bool {
    let (pod, workload) = (named(&pod.object), scene.workload(&pod.object));
    scene.question.alert_names.iter().any(|name| measures(name))
        && scene.question.targets.iter().any(|target| *target == pod || *target == workload)
}

/// Whether an alert says by its name that it measures CPU throttling.
fn measures(alert: &str) -> bool {
    let alert = alert.to_ascii_lowercase();
    alert.contains("cpu") && alert.contains("throttl")
}

fn held(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let limits = limits(&pod.object);
    if limits.is_empty() {
        return None;
    }
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let shown = limits.iter().map(|(container, limit)| format!("{container} {limit}")).collect::<Vec<_>>().join(", ");
    let headline = scene.text(
        format!("{workload} 的容器 CPU limit 为 {shown}：告警测得它被限流（throttled），即用量到了这个 limit"),
        format!(
            "{workload} has a CPU limit of {shown}: the alert measures that it is throttled, that is held at that limit"
        ),
    );
    let cited = limits.iter().map(|(_, limit)| {
        let wordings = [format!("cpu: {limit}"), format!("cpu: \"{limit}\""), format!("cpu: '{limit}'")];
        scene.quote_any(&pod.reference, &wordings.each_ref().map(String::as_str))
    });
    Some(
        Finding::new("cpu_limit_reached", Depth::Mechanism, &name, &workload, headline)
            .confidence(Confidence::Medium)
            .cite(cited)
            .unresolved(scene.text(
                "应答时间是否变差？短时的限流可以不理会",
                "Does it answer more slowly? Short throttling may be let be",
            ))
            .steps(steps(scene, &name, &workload)),
    )
}

fn steps(scene: &Scene<'_>, pod: &ObjectRef, workload: &ObjectRef) -> [crate::report::Step; 2] {
    [
        look(
            scene.text("查看 CPU 用量是否到顶", "See whether it uses all the CPU it may"),
            kubectl(&pod.namespace, &format!("top pod {} --containers", pod.name)),
        ),
        change(
            scene.text(
                "若应答变慢，提高 limits.cpu 或增加副本",
                "If it is slower for it, raise limits.cpu or run more replicas",
            ),
            "",
            edit_template(workload),
        ),
    ]
}

/// The CPU limits of a Pod's containers, by their names.
fn limits(pod: &Pod) -> Vec<(String, String)> {
    let views = pods::containers(pod);
    let limited = views.iter().filter(|view| !view.init).filter_map(|view| {
        let limit = view.spec.resources.as_ref()?.limits.as_ref()?.get("cpu")?;
        Some((view.name().to_owned(), limit.0.clone()))
    });
    limited.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, pod};
    use crate::report::Verdict;

    fn asked(alert: &str, resources: Value) -> World {
        let limited = json!({"spec": {"containers": [container(json!({"resources": resources}))]}});
        World::asking("Pod", "web-1-a").alert(alert).with(pod(limited))
    }

    #[test]
    fn the_limit_at_which_a_container_is_throttled_is_told() {
        let world = asked("CPUThrottlingHigh", json!({"limits": {"cpu": "100m"}}));
        assert_eq!(world.cause(), "cpu_limit_reached Deployment/web");
        assert!(world.diagnosis().headline.contains("a CPU limit of web 100m"), "{}", world.diagnosis().headline);
    }

    #[test]
    fn without_a_limit_there_is_none_to_tell() {
        let unlimited = asked("CPUThrottlingHigh", json!({"limits": {"memory": "1Gi"}}));
        assert!(unlimited.codes().is_empty());
        assert_eq!(unlimited.diagnosis().verdict, Verdict::Inconclusive);
    }

    #[test]
    fn a_limit_that_no_alert_measures_is_as_somebody_wants_it() {
        asked("KubePodNotReady", json!({"limits": {"cpu": "100m"}})).is_calm();
        assert!(asked("ApiThrottledRequests", json!({"limits": {"cpu": "100m"}})).codes().is_empty());
    }
}
