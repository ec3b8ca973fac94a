//! CPU limits that were lowered, and Pods that since then answer too slowly for their probes.

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::{probe, rollout};
use crate::alert::ObjectRef;
use crate::applied;
use crate::playbook::back;
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
        let views = pods::containers(&pod.object);
        if let Some(event) = unanswered(scene, &named(&pod.object)) {
            findings.extend(views.iter().find_map(|view| starved(scene, pod, view, event)));
        } else if let Some(event) = refused(scene, &named(&pod.object)) {
            findings.extend(views.iter().find_map(|view| too_slow_to_start(scene, pod, view, event)));
        }
    }
    findings
}

/// The latest probe of a Pod that got no answer in time.
pub(super) fn unanswered<'s>(scene: &'s Scene<'_>, pod: &ObjectRef) -> Option<&'s SeenEvent> {
    let slow = |event: &&SeenEvent| probe::is_unanswered(&event.message);
    scene.events(pod, &["Unhealthy"]).into_iter().filter(slow).max_by_key(|event| event.last_seen)
}

/// The latest probe of a Pod that found nobody listening, and ends the container for it.
pub(super) fn refused<'s>(scene: &'s Scene<'_>, pod: &ObjectRef) -> Option<&'s SeenEvent> {
    let kills = |event: &&SeenEvent| {
        let message = event.message.to_ascii_lowercase();
        (message.starts_with("startup probe") || message.starts_with("liveness probe"))
            && message.contains("connection refused")
    };
    scene.events(pod, &["Unhealthy"]).into_iter().filter(kills).max_by_key(|event| event.last_seen)
}

/// A container that is ended before it listens, since its CPU limit was cut: the same image under the same probes started
/// in time with what it had.
fn too_slow_to_start(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    view: &ContainerView<'_>,
    event: &SeenEvent,
) -> Option<Finding> {
    let (name, workload, container) = (named(&pod.object), scene.workload(&pod.object), view.name());
    // A start that reports an error is no slow one.
    if view.ready() || view.restarts() == 0 || scene.culprit(&name, container).is_some() {
        return None;
    }
    let (probe, word) = match (&view.spec.startup_probe, &view.spec.liveness_probe) {
        (Some(probe), _) => (probe, "startup"),
        (None, Some(probe)) => (probe, "liveness"),
        _ => return None,
    };
    let patience = probe.initial_delay_seconds.unwrap_or(0)
        + probe.period_seconds.unwrap_or(10) * probe.failure_threshold.unwrap_or(3);
    let limit = view.spec.resources.as_ref()?.limits.as_ref()?.get("cpu")?.0.clone();
    let sets = rollout::revisions(scene, &workload);
    let own = scene.owner(&pod.object.metadata)?;
    let at = sets.iter().position(|set| named(&set.object) == own)?;
    let old = sets.get(at + 1)?;
    let spec = pods::template(&old.object)?;
    let known = spec.containers.iter().find(|known| known.name == container)?;
    let before = known.resources.as_ref()?.limits.as_ref()?.get("cpu")?.0.clone();
    let same = known.image == view.spec.image
        && known.startup_probe == view.spec.startup_probe
        && known.liveness_probe == view.spec.liveness_probe;
    if !same || quantity::amount(&limit)? > CUT * quantity::amount(&before)? {
        return None;
    }
    let started = scene.pods_of(&named(&old.object)).into_iter().find(|pod| pods::is_ready(&pod.object));
    let headline = scene.text(
        format!("{workload} 的 CPU limit 从 {before} 降到 {limit} 后，容器 {container} 启动变慢，来不及在 {word} 探针给的 {patience} 秒内监听就被重启"),
        format!("{workload}: since its CPU limit went from {before} to {limit}, container {container} starts too slowly and is restarted before it listens, within the {patience} s of its {word} probe"),
    );
    let summary = match started {
        Some(old) => {
            let old = named(&old.object).name;
            scene.text(
                format!("{headline}。镜像与探针都没变，上一版本的 Pod {old} 用 {before} 在同样的探针下启动成功。"),
                format!("{headline}. Image and probes are the same; Pod {old} of the version before started under them with {before}."),
            )
        }
        None => {
            scene.text(format!("{headline}。镜像与探针都没变。"), format!("{headline}. Image and probes are the same."))
        }
    };
    let mut finding = Finding::new("cpu_limit_too_low", Depth::Root, &name, &workload, headline)
        .summary(summary)
        .confidence(if started.is_some() { Confidence::High } else { Confidence::Medium })
        .cite([
            scene.quote_event(event),
            scene.quote(&pod.reference, &format!("cpu: {limit}")),
            scene.quote(&old.reference, &format!("cpu: {before}")),
        ])
        .steps([
            look(
                scene.text("对比两个版本", "Compare the revisions"),
                kubectl(&workload.namespace, &format!("rollout history {}", slash(&workload))),
            ),
            change(
                scene.text(format!("把 limits.cpu 恢复到 {before}"), format!("Set limits.cpu back to {before}")),
                scene.text(
                    format!("若这个 limit 必须保留，再放宽 {word} 探针的 failureThreshold（现在共 {patience} 秒）"),
                    format!(
                        "Only if the limit must stay, raise the {word} probe's failureThreshold ({patience} s now)"
                    ),
                ),
                set_back(&workload, container, &before),
            ),
        ]);
    if workload.kind == "Deployment" && at == 0 {
        finding = finding.steps([change(
            scene.text("或者回滚到上一版本", "Or go back to the version before"),
            "",
            Some(back::undo(&workload)),
        )]);
    }
    Some(finding)
}

fn starved(scene: &Scene<'_>, pod: &Seen<Pod>, view: &ContainerView<'_>, event: &SeenEvent) -> Option<Finding> {
    if view.ready() && !view.failing(scene.facts.now) {
        return None;
    }
    let limit = view.spec.resources.as_ref()?.limits.as_ref()?.get("cpu")?.0.clone();
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let (before, proof) = limit_before(scene, &workload, view.name(), "cpu")?;
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
                    set_back(&workload, container, &before),
                ),
            ]),
    )
}

/// Gives a container a CPU limit in its workload's template; none where that cannot be changed.
fn set_back(workload: &ObjectRef, container: &str, limit: &str) -> Option<String> {
    let words = format!("set resources {} -c {container} --limits=cpu={limit}", slash(workload));
    edit_template(workload).map(|_| kubectl(&workload.namespace, &words))
}

/// The limit of a resource that a container had before: in the revision before, or in the copy that was applied.
#[must_use]
pub fn limit_before(
    scene: &Scene<'_>,
    workload: &ObjectRef,
    container: &str,
    resource: &str,
) -> Option<(String, Option<Citation>)> {
    let of = |spec: &PodSpec| {
        let found = spec.containers.iter().find(|known| known.name == container)?;
        Some(found.resources.as_ref()?.limits.as_ref()?.get(resource)?.0.clone())
    };
    let old = rollout::revisions(scene, workload).into_iter().nth(1);
    let by_revision = old.and_then(|old| {
        let limit = of(pods::template(&old.object)?)?;
        let proof = scene.quote(&old.reference, &format!("{resource}: {limit}"));
        Some((limit, proof))
    });
    by_revision.or_else(|| {
        let (value, _) = scene.facts.raw(workload)?;
        let path = format!("spec.template.spec.containers[{container}].resources.limits.{resource}");
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
        let told = world.diagnosis();
        assert!(told.headline.contains("from 1 to 50m"), "{}", told.headline);
        let back = "kubectl -n shop set resources deployment/web -c web --limits=cpu=1";
        assert!(told.steps.iter().any(|step| step.command.as_deref() == Some(back)), "{:?}", told.steps);
    }

    const REFUSED: &str =
        "Startup probe failed: Get \"http://10.0.0.1:8080/live\": dial tcp 10.0.0.1:8080: connect: connection refused";

    /// A container that its startup probe ends, with another limit, and maybe another image, than a version that serves.
    fn starting(before: &str, now: &str, image: &str, log: &str) -> World {
        let limited = |cpu: &str, image: &str| {
            let probe = json!({"httpGet": {"path": "/live", "port": 8080}, "periodSeconds": 5, "failureThreshold": 12});
            container(json!({"image": image, "startupProbe": probe, "resources": {"limits": {"cpu": cpu}}}))
        };
        let set = |number: i32, cpu: &str, image: &str, ready: i32| {
            let spec = json!({"spec": {"template": {"spec": {"containers": [limited(cpu, image)]}}}});
            patched(replica_set(number, "", 1, ready), spec)
        };
        let of = |number: i32, cpu: &str, image: &str| {
            json!({"metadata": {"name": format!("web-{number}-a"), "labels": {"pod-template-hash": number.to_string()},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("web-{number}"), "uid": "u", "controller": true}]},
                "spec": {"containers": [limited(cpu, image)]}})
        };
        let last = ended(137, "Error", "2026-11-23T02:59:00Z");
        let running = json!({"running": {"startedAt": "2026-11-23T02:59:10Z"}});
        World::asking("Deployment", "web")
            .with(deployment(1, 1))
            .with(set(1, before, "reg/web:1", 1))
            .with(set(2, now, image, 0))
            .with(pod(of(1, before, "reg/web:1")))
            .with(pod(patched(unready(running, last, 7), of(2, now, image))))
            .event("Pod", "web-2-a", "Unhealthy", REFUSED)
            .event("Pod", "web-2-a", "Killing", "Container web failed startup probe, will be restarted")
            .log("web-2-a", log)
    }

    #[test]
    fn a_limit_that_was_cut_explains_a_start_that_takes_too_long() {
        let world = starting("1500m", "250m", "reg/web:1", "INFO building the index: 25 %");
        assert_eq!(world.cause(), "cpu_limit_too_low Deployment/web");
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, crate::report::Confidence::High);
        assert!(diagnosis.headline.contains("from 1500m to 250m") && diagnosis.headline.contains("60 s"));
        let commands: Vec<_> = diagnosis.steps.iter().filter_map(|step| step.command.as_deref()).collect();
        assert!(commands.contains(&"kubectl -n shop rollout undo deployment/web"), "{commands:?}");
    }

    #[test]
    fn another_image_a_little_less_or_an_error_is_another_story() {
        let slow = "INFO building the index: 25 %";
        for world in [
            starting("1500m", "250m", "reg/web:2", slow),
            starting("1500m", "1200m", "reg/web:1", slow),
            starting("1500m", "250m", "reg/web:1", "ERROR cannot open the index: unexpected end of file"),
        ] {
            assert!(!world.codes().contains(&"cpu_limit_too_low"), "{:?}", world.codes());
        }
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
