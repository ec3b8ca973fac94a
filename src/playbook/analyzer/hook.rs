//! Lifecycle hooks that fail: the kubelet ends the container although its program may be well.

use k8s_openapi::api::core::v1::Pod;

use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};

/// Findings about Pods whose containers do not outlive their `postStart` hook.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| explain(scene, pod)).collect()
}

fn explain(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    // One that failed once and did not the next time left a Pod that serves.
    if pods::is_ready(&pod.object) {
        return None;
    }
    let name = named(&pod.object);
    let event = scene.events(&name, &["FailedPostStartHook"]).into_iter().next_back()?;
    let views = pods::containers(&pod.object);
    let hooked = |view: &&pods::ContainerView<'_>| {
        view.spec.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some())
    };
    let container = views.iter().find(hooked).map(|view| view.name().to_owned())?;
    let workload = scene.workload(&pod.object);
    let said = logs::said(&event.message);
    let headline = scene.text(
        format!("{workload} 无法启动：容器 {container} 的 postStart 钩子失败，kubelet 随即结束容器：{said}"),
        format!(
            "{workload} cannot start: the postStart hook of container {container} fails, so the kubelet ends it: {said}"
        ),
    );
    Some(
        Finding::new("lifecycle_hook_failed", Depth::Root, &name, &workload, headline)
            .cite([scene.quote_event(event), scene.quote(&pod.reference, "postStart:")])
            .ruled_out(
                scene.text("程序自身崩溃", "a crash of the program itself"),
                scene.text("容器是因钩子失败被 kubelet 结束的", "the kubelet ended the container because of its hook"),
            )
            .steps([
                look(
                    scene.text("查看钩子的命令与报错", "Read the hook's command and what it said"),
                    kubectl(&name.namespace, &format!("describe pod {}", name.name)),
                ),
                change(
                    scene.text(
                        "修正 lifecycle.postStart，或把这一步放进 init 容器",
                        "Correct lifecycle.postStart, or do its work in an init container",
                    ),
                    scene.text(
                        "postStart 与主进程同时开始，不能假定主进程已就绪",
                        "It begins together with the program and cannot count on it being up",
                    ),
                    edit_template(&workload),
                ),
            ]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, patched, pod, waiting};

    const SAID: &str = "Exec lifecycle hook ([/bin/sh -c /warm-up.sh]) for Container \"web\" failed - error: command '/bin/sh -c /warm-up.sh' exited with 127: /bin/sh: /warm-up.sh: not found";

    fn hooked(state: serde_json::Value) -> serde_json::Value {
        let hook = json!({"spec": {"containers": [{"name": "web", "image": "reg/web:1",
            "lifecycle": {"postStart": {"exec": {"command": ["/bin/sh", "-c", "/warm-up.sh"]}}}}]}});
        pod(patched(state, hook))
    }

    #[test]
    fn a_hook_that_fails_is_the_cause_and_not_a_crash() {
        for state in [waiting("PostStartHookError", SAID), crashed(137, "Error")] {
            let world = World::asking("Pod", "web-1-a").with(hooked(state)).event(
                "Pod",
                "web-1-a",
                "FailedPostStartHook",
                SAID,
            );
            assert_eq!(world.cause(), "lifecycle_hook_failed Deployment/web");
            assert!(world.diagnosis().headline.contains("/warm-up.sh: not found"), "{}", world.diagnosis().headline);
        }
    }

    #[test]
    fn a_hook_that_failed_once_in_a_pod_that_serves_is_nothing() {
        World::asking("Pod", "web-1-a")
            .with(hooked(json!({})))
            .event("Pod", "web-1-a", "FailedPostStartHook", SAID)
            .is_calm();
    }

    #[test]
    fn a_crash_of_a_container_whose_hook_did_not_fail_is_a_crash() {
        let world = World::asking("Pod", "web-1-a").with(hooked(crashed(1, "Error"))).log("web-1-a", "FATAL: no DSN");
        assert!(!world.codes().contains(&"lifecycle_hook_failed"), "{:?}", world.codes());
    }
}
