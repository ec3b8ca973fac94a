//! What fails next: faults of Pods that have not started, visible already but hidden behind the present cause.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use crate::alert::ObjectRef;
use crate::playbook::finding::Finding;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};

/// How a sentence about what would fail next begins.
const BEGINNINGS: [&str; 3] = ["潜在问题（当前原因解决之后）", "What may fail next", "What will fail next"];

/// Whether a sentence of a report is about what would fail next: a model knows nothing of it, whatever it found.
#[must_use]
pub fn is_next(said: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| said.starts_with(beginning))
}

/// Sentences about what stands in the way once the present cause is gone; empty where the containers have started.
#[must_use]
pub fn next(scene: &Scene<'_>, top: &Finding) -> Vec<String> {
    let Some((workload, spec)) = unstarted(scene, top) else { return Vec::new() };
    let mut next: Vec<String> = Vec::new();
    for image in images(&spec) {
        next.push(scene.text(
            format!("潜在问题（当前原因解决之后）：{workload} 的镜像 \"{image}\" 没有标明仓库和 tag，会按 docker.io/library/{image}:latest 拉取，请确认它存在"),
            format!("What may fail next: image \"{image}\" of {workload} names neither registry nor tag and would be pulled as docker.io/library/{image}:latest; make sure it exists"),
        ));
    }
    for missing in references(&workload.namespace, &spec) {
        if scene.facts.is_missing(&missing) && missing != top.blame {
            next.push(scene.text(
                format!("潜在问题（当前原因解决之后）：{workload} 引用的 {missing} 不存在（not found），容器仍将无法启动"),
                format!("What will fail next: {workload} refers to {missing}, which does not exist (not found), so its containers still cannot start"),
            ));
        }
    }
    next.dedup();
    next
}

/// The workload at which the cause shows and the spec of its Pods, when none of their containers has begun.
fn unstarted(scene: &Scene<'_>, top: &Finding) -> Option<(ObjectRef, PodSpec)> {
    let shown: Vec<&ObjectRef> = std::iter::once(&top.about).chain(&top.touches).collect();
    let pod = scene.pods.iter().find(|pod| shown.contains(&&named(&pod.object)));
    if let Some(pod) = pod {
        let views = pods::containers(&pod.object);
        let begun = views.iter().any(|view| view.running() || view.ended().is_some());
        let waits = pods::phase(&pod.object) == "Pending" && !begun;
        return waits.then(|| Some((scene.workload(&pod.object), pod.object.spec.clone()?)))?;
    }
    // No Pod exists at all: the template says what they would be.
    podless(scene).find(|(workload, _)| shown.contains(&workload))
}

/// Workloads of which no Pod was ever made, or none is left, with what their Pods would be.
fn podless<'s>(scene: &'s Scene<'_>) -> impl Iterator<Item = (ObjectRef, PodSpec)> + 's {
    let deployments = scene.deployments.iter().filter_map(|it| {
        let none = it.object.status.as_ref()?.replicas.unwrap_or(0) == 0;
        none.then(|| Some((named(&it.object), it.object.spec.as_ref()?.template.spec.clone()?)))?
    });
    let sets = scene.stateful_sets.iter().filter_map(|it| {
        let none = it.object.status.as_ref()?.replicas == 0;
        none.then(|| Some((named(&it.object), it.object.spec.as_ref()?.template.spec.clone()?)))?
    });
    let daemons = scene.daemon_sets.iter().filter_map(|it| {
        let none = it.object.status.as_ref()?.current_number_scheduled == 0;
        none.then(|| Some((named(&it.object), it.object.spec.as_ref()?.template.spec.clone()?)))?
    });
    let jobs = scene.jobs.iter().filter_map(|it| {
        let status = it.object.status.as_ref()?;
        let none = [status.active, status.succeeded, status.failed].iter().all(|count| count.unwrap_or(0) == 0);
        none.then(|| Some((named(&it.object), it.object.spec.as_ref()?.template.spec.clone()?)))?
    });
    deployments.chain(sets).chain(daemons).chain(jobs)
}

fn all(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

/// Images without a registry, a path or a tag: likely a placeholder somebody forgot.
fn images(spec: &PodSpec) -> Vec<String> {
    let plain = |image: &&str| !image.is_empty() && !image.contains(['/', ':', '@']);
    all(spec).filter_map(|container| container.image.as_deref()).filter(plain).map(str::to_owned).collect()
}

/// The ConfigMaps a Pod takes its configuration from.
#[must_use]
pub fn maps(pod: &Pod) -> Vec<ObjectRef> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut found: Vec<ObjectRef> = pod.spec.iter().flat_map(|spec| references(namespace, spec)).collect();
    found.retain(|object| object.kind == "ConfigMap");
    found
}

/// ConfigMaps, Secrets and claims the containers cannot do without.
#[must_use]
pub fn references(namespace: &str, spec: &PodSpec) -> Vec<ObjectRef> {
    let mut found: Vec<(&str, String, Option<bool>)> = Vec::new();
    for container in all(spec) {
        for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            found.extend(source.config_map_key_ref.iter().map(|it| ("ConfigMap", it.name.clone(), it.optional)));
            found.extend(source.secret_key_ref.iter().map(|it| ("Secret", it.name.clone(), it.optional)));
        }
        for source in container.env_from.iter().flatten() {
            found.extend(source.config_map_ref.iter().map(|it| ("ConfigMap", it.name.clone(), it.optional)));
            found.extend(source.secret_ref.iter().map(|it| ("Secret", it.name.clone(), it.optional)));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        found.extend(volume.config_map.iter().map(|it| ("ConfigMap", it.name.clone(), it.optional)));
        found.extend(volume.secret.iter().filter_map(|it| Some(("Secret", it.secret_name.clone()?, it.optional))));
        let claim = volume.persistent_volume_claim.iter();
        found.extend(claim.map(|it| ("PersistentVolumeClaim", it.claim_name.clone(), None)));
    }
    let needed = found.into_iter().filter(|(_, name, optional)| !name.is_empty() && *optional != Some(true));
    let mut needed: Vec<ObjectRef> = needed.map(|(kind, name, _)| ObjectRef::new(kind, namespace, name)).collect();
    needed.sort();
    needed.dedup();
    needed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, container, crashed, patched, pod, unschedulable};

    fn pending(image: &str, map: &str) -> serde_json::Value {
        let spec = json!({"spec": {"containers": [container(json!({"image": image,
            "envFrom": [{"configMapRef": {"name": map}}]}))]}});
        pod(patched(unschedulable("0/3 nodes are available: 3 Insufficient cpu."), spec))
    }

    fn told(world: &World) -> String {
        world.diagnosis().unresolved.join("\n")
    }

    #[test]
    fn a_second_fault_behind_the_present_one_is_told_after_it() {
        let world = World::asking("Pod", "web-1-a").with(pending("noimage", "settings")).listed("ConfigMap");
        assert_eq!(world.cause(), "insufficient_cpu Deployment/web");
        let told = told(&world);
        assert!(
            told.contains("\"noimage\"") && told.contains("ConfigMap shop/settings, which does not exist"),
            "{told}"
        );
    }

    #[test]
    fn the_pods_of_any_workload_that_has_none_are_looked_at_by_its_template() {
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container(json!({
            "image": "noimage", "envFrom": [{"configMapRef": {"name": "settings"}}]}))]}});
        let refused = |kind: &str, version: &str, spec: serde_json::Value, status: serde_json::Value| {
            let workload = json!({"apiVersion": version, "kind": kind,
                "metadata": {"name": "web", "namespace": "shop"}, "spec": spec, "status": status});
            let words = "pods \"web-0\" is forbidden: exceeded quota: all, requested: requests.memory=1Gi, used: requests.memory=4Gi, limited: requests.memory=4Gi";
            World::asking(kind, "web").with(workload).event(kind, "web", "FailedCreate", words).listed("ConfigMap")
        };
        let set = json!({"replicas": 1, "serviceName": "web", "selector": {}, "template": template});
        let stateful = |replicas: i32| refused("StatefulSet", "apps/v1", set.clone(), json!({"replicas": replicas}));
        let daemons = json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 0});
        let daemon = refused("DaemonSet", "apps/v1", json!({"selector": {}, "template": template}), daemons);
        let job = refused("Job", "batch/v1", json!({"template": template}), json!({}));
        for world in [stateful(0), daemon, job] {
            assert_eq!(world.cause(), "quota_exceeded ResourceQuota/all");
            let told = told(&world);
            assert!(told.contains("\"noimage\"") && told.contains("ConfigMap shop/settings, which"), "{told}");
            let steps = world.diagnosis().steps;
            assert!(!steps.iter().any(|step| step.detail.contains("ReplicaSet")), "{steps:?}");
        }
        let complete = stateful(1);
        assert!(!told(&complete).contains("fail next"), "its Pod is there, only not read");
    }

    #[test]
    fn what_exists_or_was_not_looked_for_is_not_predicted_to_fail() {
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"}});
        let there =
            World::asking("Pod", "web-1-a").with(pending("reg/web:1", "settings")).with(map).listed("ConfigMap");
        let unread = World::asking("Pod", "web-1-a").with(pending("reg/web:1", "settings"));
        for world in [there, unread] {
            assert!(!told(&world).contains("fail next"), "{}", told(&world));
        }
    }

    #[test]
    fn a_container_that_has_run_has_nothing_of_this_before_it() {
        let run =
            patched(crashed(1, "Error"), json!({"spec": {"containers": [container(json!({"image": "noimage"}))]}}));
        assert!(!told(&World::asking("Pod", "web-1-a").with(pod(run))).contains("fail next"));
    }
}
