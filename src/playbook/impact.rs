//! Impact: who is down because of a fault, the alert's own workloads first; where nobody is, what is held up.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;

use crate::alert::ObjectRef;
use crate::playbook::alias;
use crate::playbook::analyzer::job;
use crate::playbook::answers;
use crate::playbook::chain;
use crate::playbook::complaint;
use crate::playbook::conclude::workload_of;
use crate::playbook::describe;
use crate::playbook::facts::Seen;
use crate::playbook::finding::Finding;
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::rank;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named, service_selector};
use crate::playbook::scope::Scope;

/// How many lines that tell of failures show that requests, or whatever the workload does, fail.
const MANY: usize = 5;
/// How many sentences it takes at most.
const SENTENCES: usize = 5;

/// Which workloads have too few replicas because of it, and which Services have no one left to answer.
pub(super) fn of(scene: &Scene<'_>, scope: &Scope, top: &Finding) -> String {
    let objects = [&top.about, &top.blame].into_iter().chain(&top.touches);
    let affected: BTreeSet<ObjectRef> = objects.map(|object| workload_of(scene, object)).collect();
    let workloads = asked(scene, scope, &affected);
    let concerned: BTreeSet<ObjectRef> = affected.iter().chain(&workloads).cloned().collect();
    let mut sentences: Vec<String> = workloads.iter().filter_map(|workload| down(scene, workload)).collect();
    let mut own = scope.pods(scene).filter(|_| !scope.is_wide()).map(|pod| scene.workload(&pod.object));
    sentences.extend(own.find_map(|workload| chain::told(scene, &workload, top)));
    sentences.extend(scene.services.iter().filter_map(|service| nobody_answers(scene, service, &concerned)));
    sentences.extend(misled(scene, top));
    sentences.extend(job::kept_from_starting(scene, &top.blame).filter(|_| top.blame.kind == "Job"));
    if sentences.is_empty() {
        sentences.extend(held_up(scene, top, &workloads));
    }
    if sentences.is_empty() {
        sentences.extend(describe::state(scene, &top.about).map(|state| scene.colon(&top.about, state)));
    }
    if sentences.is_empty() {
        sentences.push(
            scene
                .text(format!("目前只看到 {} 受影响", top.about), format!("Only {} is seen to be affected", top.about)),
        );
    }
    sentences.truncate(SENTENCES);
    sentences.join(scene.lang.pick("；", "; "))
}

/// The workloads that count, those of the alert first: what it is about may suffer from what is broken elsewhere.
fn asked(scene: &Scene<'_>, scope: &Scope, affected: &BTreeSet<ObjectRef>) -> Vec<ObjectRef> {
    let targets = scene.question.targets.iter().map(|target| workload_of(scene, target));
    let pods = scope.pods(scene).filter(|_| !scope.is_wide()).map(|pod| scene.workload(&pod.object));
    let mut all: Vec<ObjectRef> = Vec::new();
    for workload in targets.chain(pods).chain(affected.iter().cloned()) {
        if !all.contains(&workload) {
            all.push(workload);
        }
    }
    all
}

/// A workload that has fewer replicas ready than it wants.
fn down(scene: &Scene<'_>, workload: &ObjectRef) -> Option<String> {
    let (ready, wanted) = scene.replicas(workload).filter(|(ready, wanted)| ready < wanted)?;
    Some(
        scene.text(
            format!("{workload}：就绪副本 {ready}/{wanted}"),
            format!("{workload}: {ready}/{wanted} replicas ready"),
        ),
    )
}

fn nobody_answers(
    scene: &Scene<'_>,
    service: &Seen<k8s_openapi::api::core::v1::Service>,
    concerned: &BTreeSet<ObjectRef>,
) -> Option<String> {
    let name = named(&service.object);
    // One that is only another name for a place has no backends of its own; whom one without a selector sends to is written
    // elsewhere.
    if alias::name(&service.object).is_some() || service_selector(&service.object).is_none() {
        return None;
    }
    let backends = scene.backends(&service.object);
    let is_known = scene.facts.listing("Pod", &name.namespace).is_some()
        || scene.pods.iter().any(|pod| named(&pod.object).namespace == name.namespace);
    if !is_known {
        return None;
    }
    let is_meant =
        concerned.contains(&name) || backends.iter().any(|pod| concerned.contains(&scene.workload(&pod.object)));
    let none_ready = !backends.iter().any(|pod| pods::may_serve(&pod.object));
    (is_meant && none_ready).then(|| {
        scene.text(
            format!("{name} 没有可用的后端，访问它的请求会失败"),
            format!("{name} has no ready backend, so requests to it fail"),
        )
    })
}

/// A Service whose Pods are ready and that sends past them.
fn misled(scene: &Scene<'_>, top: &Finding) -> Option<String> {
    let service = scene.service(&top.blame.namespace, &top.blame.name).filter(|_| top.blame.kind == "Service")?;
    let ready = scene.backends(&service.object).iter().any(|pod| pods::may_serve(&pod.object));
    (top.code == "service_port_mismatch" && ready).then(|| {
        scene.text(
            format!("{} 的后端 Pod 已就绪，但经由它的请求到不了容器的端口，会失败", top.blame),
            format!("{}: its Pods are ready, but requests through it do not reach their port and fail", top.blame),
        )
    })
}

/// What does not get on while all that is wanted serves.
fn held_up(scene: &Scene<'_>, top: &Finding, workloads: &[ObjectRef]) -> Option<String> {
    let whole =
        |workload: &&ObjectRef| scene.replicas(workload).is_some_and(|(ready, wanted)| ready >= wanted && wanted > 0);
    let workload = workloads.iter().find(whole)?;
    let (ready, wanted) = scene.replicas(workload)?;
    // What logs complain about may fail requests however many replicas are ready.
    let held = held(scene, top, workload).filter(|_| !rank::rests_on_logs(scene, top));
    Some(match held {
        Some((zh, en)) => scene.text(
            format!("没有看到服务中断：{workload} 的 {ready}/{wanted} 个副本就绪，{zh}"),
            format!("No outage is seen: {ready}/{wanted} replicas of {workload} are ready, {en}"),
        ),
        None => whole_and_yet(scene, workload, (ready, wanted)),
    })
}

/// What is known of requests to a workload whose replicas are all ready: what its logs or the ingress controller's say.
fn whole_and_yet(scene: &Scene<'_>, workload: &ObjectRef, (ready, wanted): (i32, i32)) -> String {
    let failures = failures(scene, workload);
    if failures >= MANY {
        return scene.text(
            format!("{workload} 的副本全部就绪（{ready}/{wanted}），但其日志近期有 {failures} 行报错"),
            format!(
                "{workload}: all replicas are ready ({ready}/{wanted}), yet {failures} lines of its logs tell of failures lately"
            ),
        );
    }
    if let Some(told) = answers::told(scene) {
        return scene.text(
            format!("{workload} 的副本全部就绪（{ready}/{wanted}）；{told}"),
            format!("{workload}: all replicas are ready ({ready}/{wanted}); {told}"),
        );
    }
    scene.text(
        format!("{workload} 的副本全部就绪（{ready}/{wanted}）；请求是否失败无法从副本数看出"),
        format!("{workload}: all replicas are ready ({ready}/{wanted}); whether requests fail does not show there"),
    )
}

/// How many lines of a workload's present logs tell of failures that nothing made up for.
fn failures(scene: &Scene<'_>, workload: &ObjectRef) -> usize {
    let logs = scene.pods_of(workload).into_iter().flat_map(|pod| reach::present_logs(scene, &pod.object));
    let warned = |text: &str| text.lines().filter(|line| complaint::warns_of_an_error(line)).count();
    logs.map(|(_, text)| logs::error_share(text).0 + warned(text)).sum()
}

/// In Chinese and English, what of a workload that serves does not go on: its new version, or its scaling.
fn held(scene: &Scene<'_>, top: &Finding, workload: &ObjectRef) -> Option<(String, String)> {
    // At its limit it was scaled as far as it may be: that may well be an overload.
    if top.code == "hpa_at_max_replicas" {
        return None;
    }
    if top.code.starts_with("hpa_") {
        return Some(("但它无法自动扩缩容".to_owned(), "but it is not scaled".to_owned()));
    }
    if top.about.kind == "PodDisruptionBudget" || top.blame.kind == "PodDisruptionBudget" {
        return Some(("但它的 Pod 无法被驱逐".to_owned(), "but its Pods cannot be evicted".to_owned()));
    }
    let deployment: Seen<Deployment> =
        scene.facts.get(&workload.namespace, &workload.name).filter(|_| workload.kind == "Deployment")?;
    let wanted = deployment.object.spec.as_ref()?.replicas.unwrap_or(1);
    let status = deployment.object.status.as_ref()?;
    let updated = status.updated_replicas.unwrap_or(0);
    if updated < wanted {
        return Some((
            format!("但新版本没有发布完成（已更新 {updated}/{wanted}）"),
            format!("but the new version is not out ({updated} of {wanted} updated)"),
        ));
    }
    // A Pod that was added before one is removed counts as updated before it is Ready.
    let beside = status.replicas.unwrap_or(0) > wanted && status.unavailable_replicas.unwrap_or(0) > 0;
    beside.then(|| {
        (
            "旧版本仍在服务，但新版本没有发布完成".to_owned(),
            "those of the version before serve, but the new version is not out".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, deployment, patched, pod, service};

    fn db() -> serde_json::Value {
        json!({"metadata": {"name": "db-1-a", "labels": {"app": "db"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "db-1", "uid": "c", "controller": true}]}})
    }

    #[test]
    fn the_workload_of_the_alert_comes_first() {
        let world = World::asking("Pod", "web-1-a")
            .with(deployment(2, 0))
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", "ERROR dial tcp db:5432: connect: connection refused")
            .with(patched(service(json!({"app": "db"})), json!({"metadata": {"name": "db"}})))
            .with(pod(patched(crashed(137, "OOMKilled"), db())));
        let impact = world.diagnosis().impact;
        assert!(impact.starts_with("Deployment shop/web: 0/2 replicas ready"), "{impact}");
        assert!(impact.contains("Service shop/db has no ready backend"), "{impact}");
    }

    #[test]
    fn a_pod_beside_all_that_are_wanted_is_a_version_that_is_not_out() {
        use crate::playbook::world::waiting;
        let impact = |replicas: i32| {
            let surging = json!({"status": {"replicas": replicas, "unavailableReplicas": 1}});
            let new = patched(waiting("ImagePullBackOff", "not found"), json!({"metadata": {"name": "web-1-b"}}));
            let world = World::asking("Pod", "web-1-b").with(patched(deployment(1, 1), surging));
            world.with(pod(json!({}))).with(pod(new)).diagnosis().impact
        };
        assert!(impact(2).contains("the new version is not out"), "{}", impact(2));
        assert!(!impact(1).contains("not out"), "{}", impact(1));
    }

    #[test]
    fn replicas_that_are_ready_are_no_proof_that_requests_succeed() {
        let line = "ERROR pool: timeout acquiring a connection\n".repeat(6);
        let world = World::asking("Pod", "web-1-a").with(deployment(1, 1)).with(pod(json!({}))).log("web-1-a", &line);
        let impact = world.diagnosis().impact;
        assert!(impact.contains("all replicas are ready (1/1)") && !impact.contains("No outage"), "{impact}");
    }
}
