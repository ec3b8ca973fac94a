//! Containers that run out of memory.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::alert::ObjectRef;
use crate::playbook::alerts;
use crate::playbook::analyzer::headroom::{self, Claim};
use crate::playbook::analyzer::{cpu_limit, rollout};
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, counted, kubectl, look, slash};
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};

/// Whether the container was ended for its memory.
#[must_use]
pub fn ran_out(view: &ContainerView<'_>) -> bool {
    view.ended().is_some_and(|ended| ended.reason.as_deref() == Some("OOMKilled"))
}

/// Whether any container of a Pod was.
#[must_use]
pub fn is_killed(pod: &Pod) -> bool {
    pods::containers(pod).iter().any(ran_out)
}

/// Findings about containers the kernel ended for memory, unless that was once and long ago.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pod in scene.current_pods() {
        for view in pods::containers(&pod.object) {
            if ran_out(&view) && (view.failing(scene.facts.now) || recently(scene, &view)) {
                findings.push(out_of_memory(scene, pod, &view));
            }
        }
    }
    findings
}

/// Within the last hour, or the last day where the alert itself is about memory: it may still fire though the container
/// runs again.
fn recently(scene: &Scene<'_>, view: &ContainerView<'_>) -> bool {
    let at = view.ended().and_then(|ended| ended.finished_at.as_ref());
    let asked = scene.question.alert_names.iter().any(|name| name.to_ascii_lowercase().contains("oom"));
    let horizon = if asked { 24 * 60 } else { 60 };
    scene.minutes_since(at).is_some_and(|minutes| minutes < horizon)
}

/// A limit that the workload's own template does not have was set when the Pod was admitted.
pub(super) fn rewritten(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>) -> Option<String> {
    let workload = scene.workload(pod);
    let deployment = scene.deployments.iter().find(|it| named(&it.object) == workload)?;
    let set = scene.owner(&pod.metadata)?;
    let newest = rollout::revisions(scene, &workload).first().is_some_and(|newest| named(&newest.object) == set);
    let template = deployment.object.spec.as_ref()?.template.spec.as_ref()?;
    let declared = template.containers.iter().find(|container| container.name == view.name())?;
    let (asked, given) = (limit_of(declared), limit_of(view.spec)?);
    if !newest || asked.as_deref().map(crate::quantity::amount) == Some(crate::quantity::amount(&given)) {
        return None;
    }
    let asked = asked.unwrap_or_else(|| scene.text("未设置", "none"));
    Some(scene.text(
        format!("{workload} 模板中的内存 limit 为 {asked}，而 Pod 实际为 {given}：由 LimitRange 默认值或 mutating webhook 在创建时改写"),
        format!("The template of {workload} has a memory limit of {asked} but the Pod has {given}: a LimitRange default or a mutating webhook set it at creation"),
    ))
}

fn limit_of(container: &Container) -> Option<String> {
    Some(container.resources.as_ref()?.limits.as_ref()?.get("memory")?.0.clone())
}

fn out_of_memory(scene: &Scene<'_>, pod: &Seen<Pod>, view: &ContainerView<'_>) -> Finding {
    let name = named(&pod.object);
    let workload = scene.workload(&pod.object);
    let limit = limit_of(view.spec);
    let rewritten = rewritten(scene, &pod.object, view);
    let restarts = view.restarts();
    let claim = limit.as_deref().and_then(|limit| headroom::claim(scene, &pod.object, view, limit));
    let told = claim.as_ref().map(|claim| claim.told(scene)).unwrap_or_default();
    let (code, headline) = match &limit {
        Some(limit) => (
            "oom_killed_limit_too_low",
            scene.text(
                format!(
                    "{workload} 的容器 {} 因内存超出 limit {limit} 被 OOMKilled，已重启 {restarts} 次",
                    view.name()
                ),
                format!(
                    "Container {} of {workload} is OOMKilled at its memory limit of {limit}, {} so far",
                    view.name(),
                    counted(restarts, "restart")
                ),
            ),
        ),
        None => (
            "oom_killed_no_limit",
            scene.text(
                format!("{workload} 的容器 {} 未设置内存 limit，因节点内存不足被 OOMKilled", view.name()),
                format!(
                    "Container {} of {workload} has no memory limit and was OOMKilled when its Node ran short",
                    view.name()
                ),
            ),
        ),
    };
    let summary = scene.text(format!("{headline}（退出码 137）{told}。"), format!("{headline} (exit code 137){told}."));
    let headline = format!("{headline}{told}");
    let cited_limit = limit.as_ref().and_then(|limit| scene.quote_any(&pod.reference, &[&format!("memory: {limit}")]));
    let finding = Finding::new(code, Depth::Mechanism, &name, &workload, headline)
        .summary(summary)
        .cite([
            scene.quote(&pod.reference, "reason: OOMKilled"),
            cited_limit,
            claim.as_ref().and_then(|claim| claim.proof.clone()),
        ])
        .touches(node_asked_about(scene, &pod.object))
        .unresolved(scene.text(
            "内存用量是正常增长，还是存在泄漏？请对照监控曲线判断",
            "Does the memory grow for a reason or leak? Look at its graph",
        ))
        .steps(steps(scene, &name, &workload, view, claim.as_ref()));
    match rewritten {
        Some(told) => finding.unresolved(told).steps([look(
            scene.text("查看是谁改写了 limit", "See who rewrites the limit"),
            kubectl(&name.namespace, "get limitranges,mutatingwebhookconfigurations"),
        )]),
        None => finding,
    }
}

/// The Pod's Node, where an alert counts what the kernel ends on it.
fn node_asked_about(scene: &Scene<'_>, pod: &Pod) -> Option<ObjectRef> {
    let node = ObjectRef::new("Node", "", pods::node_name(pod)?);
    let counts = |name: &String| alerts::asks(name).contains(&"memory");
    (scene.question.targets.contains(&node) && scene.question.alert_names.iter().any(counts)).then_some(node)
}

fn steps(
    scene: &Scene<'_>,
    pod: &ObjectRef,
    workload: &ObjectRef,
    view: &ContainerView<'_>,
    claim: Option<&Claim>,
) -> Vec<crate::report::Step> {
    let namespace = &pod.namespace;
    let container = view.name();
    let before = lowered_from(scene, workload, view);
    let value = before.as_deref().unwrap_or("<VALUE>");
    let looks = vec![
        look(
            scene.text("查看当前内存用量", "See how much memory it uses now"),
            kubectl(namespace, &format!("top pod {} --containers", pod.name)),
        ),
        look(
            scene.text("查看被终止前的日志", "Read the log before it was ended"),
            kubectl(namespace, &format!("logs {} -c {container} --previous --tail=100", pod.name)),
        ),
    ];
    // A limit that it had before and that holds the heap is the surest way back.
    if let Some(claim) = claim.filter(|claim| before.as_ref().is_none_or(|before| !claim.fits_into(before))) {
        return looks.into_iter().chain(claim.steps(scene, workload, container)).collect();
    }
    let raise = change(
        before.as_ref().map_or_else(
            || {
                scene.text(
                    "提高内存 limit（或降低应用的内存占用）",
                    "Raise the memory limit, or make the application use less",
                )
            },
            |limit| {
                scene.text(
                    format!("把内存 limit 恢复到此前的 {limit}，或降低应用的内存占用"),
                    format!(
                        "Set the memory limit back to {limit}, which it had before, or make the application use less"
                    ),
                )
            },
        ),
        scene.text(
            "limit 应高于应用的峰值与堆上限之和；修改后观察是否还有 OOMKilled",
            "The limit must exceed the peak, heap included; then watch for further OOMKilled",
        ),
        (workload.kind != "Pod" && workload.kind != "Job").then(|| {
            kubectl(namespace, &format!("set resources {} -c {container} --limits=memory={value}", slash(workload)))
        }),
    );
    looks.into_iter().chain([raise]).collect()
}

/// The memory limit a container had before, where that was the higher one.
fn lowered_from(scene: &Scene<'_>, workload: &ObjectRef, view: &ContainerView<'_>) -> Option<String> {
    let now = &view.spec.resources.as_ref()?.limits.as_ref()?.get("memory")?.0;
    let (before, _) = cpu_limit::limit_before(scene, workload, view.name(), "memory")?;
    (crate::quantity::amount(&before)? > crate::quantity::amount(now)?).then_some(before)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, container, crashed, deployment, ended, node, patched, pod, replica_set};

    fn limited(limit: serde_json::Value) -> serde_json::Value {
        json!({"spec": {"containers": [container(json!({"resources": {"limits": limit}}))]}})
    }

    #[test]
    fn a_node_s_kills_are_told_by_the_pod_that_was_killed_there() {
        let on = json!({"spec": {"nodeName": "n1"}});
        let asked = |alert: &str| {
            World::asking("Node", "n1")
                .alert(alert)
                .with(node(json!({})))
                .with(pod(patched(crashed(137, "OOMKilled"), on.clone())))
        };
        assert_eq!(asked("HostOomKillDetected").cause(), "oom_killed_no_limit Deployment/web");
        assert!(!asked("NodeClockSkewDetected").cause().contains("oom_killed"));
        World::asking("Node", "n1").alert("KubeNodeNotReady").with(node(json!({}))).with(pod(on)).is_calm();
    }

    #[test]
    fn the_limit_that_was_hit_is_named() {
        let world = World::asking("Pod", "web-1-a")
            .with(pod(patched(crashed(137, "OOMKilled"), limited(json!({"memory": "256Mi"})))))
            .log("web-1-a", "INFO worker up, heap max=1024m");
        assert_eq!(world.cause(), "oom_killed_limit_too_low Deployment/web");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("256Mi"));
        assert!(diagnosis.causes[0].summary.contains("may grow to 1Gi"));
    }

    #[test]
    fn a_limit_that_was_lowered_goes_back_to_what_it_was() {
        let sets = |before: &str| {
            let of = |revision: i32, memory: &str| {
                let template = json!({"spec": {"template": {"spec": {"containers": [container(json!({"resources": {"limits": {"memory": memory}}}))]}}}});
                patched(replica_set(revision, "reg/web:1", revision, 0), template)
            };
            let world = World::asking("Pod", "web-1-a").with(deployment(1, 0)).with(of(0, before)).with(of(1, "256Mi"));
            let told =
                world.with(pod(patched(crashed(137, "OOMKilled"), limited(json!({"memory": "256Mi"}))))).diagnosis();
            told.steps.iter().find_map(|step| step.command.clone().filter(|it| it.contains("--limits"))).unwrap()
        };
        assert!(sets("1Gi").ends_with("--limits=memory=1Gi"), "{}", sets("1Gi"));
        assert!(sets("128Mi").ends_with("--limits=memory=<VALUE>"), "{}", sets("128Mi"));
    }

    #[test]
    fn without_a_limit_the_node_ran_short() {
        let world = World::asking("Pod", "web-1-a").with(pod(crashed(137, "OOMKilled")));
        assert_eq!(world.cause(), "oom_killed_no_limit Deployment/web");
    }

    fn runs_again(since: &str) -> serde_json::Value {
        pod(json!({"status": {"containerStatuses": [{"name": "web", "image": "reg/web:1", "imageID": "", "ready": true,
            "restartCount": 1, "state": {"running": {}}, "lastState": ended(137, "OOMKilled", since)}]}}))
    }

    #[test]
    fn a_recent_kill_counts_though_the_container_runs_again() {
        let world = World::asking("Pod", "web-1-a").with(runs_again("2026-11-23T02:50:00Z"));
        assert!(world.cause().starts_with("oom_killed"));
    }

    #[test]
    fn an_alert_about_memory_looks_back_a_day() {
        let world = World::asking("Pod", "web-1-a").with(runs_again("2026-11-22T20:00:00Z"));
        world.is_calm();
        let asked =
            World::asking("Pod", "web-1-a").alert("KubeContainerOOMKilled").with(runs_again("2026-11-22T20:00:00Z"));
        assert!(asked.cause().starts_with("oom_killed"));
    }

    #[test]
    fn a_limit_somebody_rewrote_at_admission_is_told() {
        let world = |declared: &str| {
            let template = json!({"spec": {"template": {"spec": {"containers": [container(json!({"resources": {"limits": {"memory": declared}}}))]}}}});
            World::asking("Pod", "web-1-a")
                .with(patched(deployment(1, 0), template))
                .with(replica_set(1, "reg/web:1", 1, 0))
                .with(pod(patched(crashed(137, "OOMKilled"), limited(json!({"memory": "16Mi"})))))
        };
        let told = |declared: &str| world(declared).diagnosis().unresolved.join(" ");
        assert!(told("512Mi").contains("memory limit of 512Mi but the Pod has 16Mi"), "{}", told("512Mi"));
        assert!(!told("16Mi").contains("at creation"));
    }

    #[test]
    fn a_kill_long_ago_is_no_fault() {
        World::asking("Pod", "web-1-a").with(runs_again("2026-11-20T02:50:00Z")).is_calm();
    }
}
