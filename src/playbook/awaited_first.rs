//! What came up late: Pods that are well again after runs that failed for want of a Service whose own Pod was Ready only then.

use jiff::Timestamp;

use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::recently::{LATELY, clock};
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::Scope;

/// The Pod whose lateness explains the runs before, and when it was Ready.
pub(super) fn told(scene: &Scene<'_>, scope: &Scope) -> Option<(Timestamp, String)> {
    scope.pods(scene).find_map(|pod| {
        let name = named(&pod.object);
        let views = pods::containers(&pod.object);
        let (log, line) = scene.facts.logs_of(&name.namespace, &name.name).filter(|log| log.previous).find_map(|log| {
            let line = logs::culprit(log.lines.as_deref().ok()?)?;
            reach::tells_of_no_connection(line).then_some((log, line))
        })?;
        let view = views.iter().find(|view| view.name() == log.container && view.ready())?;
        let ended = view.status?.last_state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0;
        let hosts = reach::hosts(line);
        let service = hosts.iter().find_map(|host| {
            let mut labels = host.split('.');
            let (service, other) = (labels.next()?, labels.next().unwrap_or(&name.namespace));
            scene.service(other, service)
        })?;
        // The first of them that was Ready is the one that ended it.
        let since = |pod: &k8s_openapi::api::core::v1::Pod| {
            let ready = pods::condition(pod, "Ready").filter(|ready| ready.status == "True")?;
            Some((ready.last_transition_time.as_ref()?.0, named(pod)))
        };
        let first = scene.backends(&service.object).into_iter().filter_map(|pod| since(&pod.object)).min_by_key(|(at, _)| *at);
        let (at, late) = first.filter(|(at, _)| *at >= ended && *at + LATELY > scene.facts.now)?;
        let (ready, ended) = (clock(at), clock(ended));
        Some((
            at,
            scene.text(
                format!("{name} 依赖的 {late} 直到 {ready} 才 Ready；最后一次失败的运行结束于 {ended}，即在那之前"),
                format!("{late}, which {name} calls, was Ready only at {ready}; the last run that failed ended before that, at {ended}"),
            ),
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, ended, patched, pod, service};

    fn told(ready: &str) -> String {
        let again = json!({"status": {"containerStatuses": [{"name": "web", "image": "reg/web:1", "imageID": "", "ready": true, "restartCount": 5,
            "state": {"running": {"startedAt": "2026-11-23T02:41:00Z"}}, "lastState": ended(1, "Error", "2026-11-23T02:30:00Z")}]}});
        let store = json!({"metadata": {"name": "store-0", "labels": {"app": "store"}, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "store", "uid": "s", "controller": true}]},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ready}]}});
        World::asking("Pod", "web-1-a")
            .alert("KubePodCrashLooping")
            .with(pod(again))
            .with(pod(store))
            .with(deployment(1, 1))
            .with(patched(service(json!({"app": "store"})), json!({"metadata": {"name": "store"}})))
            .log("web-1-a", "INFO connected\n")
            .log_before("web-1-a", "FATAL dial tcp: store:5432: connect: connection refused\n")
            .diagnosis()
            .primary
            .findings
            .join("\n")
    }

    #[test]
    fn what_was_called_and_came_up_late_is_named() {
        let late = told("2026-11-23T02:35:00Z");
        assert!(late.contains("store-0, which Pod shop/web-1-a calls, was Ready only at 02:35:00 UTC"), "{late}");
        let early = told("2026-11-23T02:00:00Z");
        assert!(!early.contains("was Ready only at"), "{early}");
    }
}
