//! Init containers that never finish, so that the real ones never start.

use k8s_openapi::api::core::v1::Pod;

use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Minutes after which an init container that still runs is taken to hang.
const PATIENCE: i64 = 5;

/// Findings about Pods that wait for an init container.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| hanging(scene, pod)).collect()
}

fn hanging(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    if pods::phase(&pod.object) != "Pending" {
        return None;
    }
    let views = pods::containers(&pod.object);
    // A restartable init container is a sidecar: it is meant to run for ever.
    let endless = |view: &&ContainerView<'_>| view.init && view.running() && view.spec.restart_policy.is_none();
    let view = views.iter().find(endless)?;
    let running = view.status?.state.as_ref()?.running.as_ref()?;
    let minutes = scene.minutes_since(running.started_at.as_ref()).filter(|minutes| *minutes >= PATIENCE)?;
    let lasted = scene.lasted(minutes);
    let name = named(&pod.object);
    let workload = scene.workload(&pod.object);
    let told = scene.logs(&name, view.name()).into_iter().find_map(|log| {
        let text = log.lines.as_deref().ok()?;
        let line = logs::lately(text).or_else(|| logs::last_words(text))?;
        Some((line, log.reference.as_str()))
    });
    let said = told.map(|(line, _)| logs::said(line));
    let said_zh = said.as_ref().map_or_else(String::new, |said| format!("，日志：{said}"));
    let said_en = said.as_ref().map_or_else(String::new, |said| format!("; its log: {said}"));
    let headline = scene.text(
        format!("{workload} 无法启动：init 容器 {} 已运行 {lasted}仍未结束{said_zh}", view.name()),
        format!(
            "{workload} cannot start: init container {} has run for {lasted} and does not finish{said_en}",
            view.name()
        ),
    );
    let finding = Finding::new("init_container_hangs", Depth::Mechanism, &name, &workload, headline)
        .confidence(if told.is_some() { Confidence::High } else { Confidence::Medium })
        .cite([
            told.and_then(|(line, reference)| scene.quote(reference, line)),
            scene.quote(&pod.reference, "reason: PodInitializing"),
            scene.quote(&pod.reference, "phase: Pending"),
        ])
        .steps([
            look(
                scene.text("查看 init 容器的日志", "Read the init container's log"),
                kubectl(&name.namespace, &format!("logs {} -c {} --tail=100", name.name, view.name())),
            ),
            change(
                scene.text(
                    "让它等待的对象就绪，或修正其等待条件",
                    "Bring up what it waits for, or correct what it waits on",
                ),
                "",
                edit_template(&workload),
            ),
        ]);
    Some(if told.is_some() { finding } else { finding.gap(super::crash::missing_log(scene, &name, view.name())) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, patched, pod, waiting};

    fn initializing(started: &str, sidecar: bool) -> serde_json::Value {
        let mut init = json!({"name": "wait-db", "image": "reg/wait:1"});
        if sidecar {
            init["restartPolicy"] = json!("Always");
        }
        let status = json!({"name": "wait-db", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"running": {"startedAt": started}}});
        let patch = json!({"spec": {"initContainers": [init]}, "status": {"initContainerStatuses": [status]}});
        pod(patched(waiting("PodInitializing", ""), patch))
    }

    #[test]
    fn what_it_waits_for_is_blamed_when_that_does_not_exist_or_is_down_itself() {
        let waits = || {
            World::asking("Pod", "web-1-a")
                .with(initializing("2026-11-23T02:30:00Z", false))
                .log_of("web-1-a", "wait-db", "waiting for orders-db:5432...\nwaiting for orders-db:5432...")
                .listed("Service")
        };
        assert_eq!(waits().cause(), "dependency_service_missing Service/orders-db");
        let service =
            patched(crate::playbook::world::service(json!({"app": "db"})), json!({"metadata": {"name": "orders-db"}}));
        let database = json!({"metadata": {"name": "db-1-a", "labels": {"app": "db"}, "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "db-1", "uid": "d", "controller": true}]}});
        let down = waits().with(service).with(pod(patched(crashed(137, "OOMKilled"), database)));
        assert!(down.cause().starts_with("oom_killed_no_limit"), "{}", down.cause());
    }

    #[test]
    fn an_init_container_that_never_ends_is_named() {
        let world = World::asking("Pod", "web-1-a").with(initializing("2026-11-23T02:30:00Z", false));
        assert_eq!(world.cause(), "init_container_hangs Deployment/web");
        assert!(world.diagnosis().headline.contains("wait-db has run for 30 minutes"));
    }

    #[test]
    fn one_that_has_just_begun_and_one_that_is_a_sidecar_do_not_hang() {
        let young = World::asking("Pod", "web-1-a").with(initializing("2026-11-23T02:59:00Z", false));
        assert!(!young.codes().contains(&"init_container_hangs"));
        let sidecar = World::asking("Pod", "web-1-a").with(initializing("2026-11-23T02:30:00Z", true));
        assert!(!sidecar.codes().contains(&"init_container_hangs"));
    }
}
