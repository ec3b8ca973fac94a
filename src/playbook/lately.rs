//! Lately: what changed around a workload before it failed, of what was read. Leads for people, never proofs.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{change, drift, latent, logs, present, upstream};
use crate::report::Related;

/// Minutes within which an autoscaler's step counts as recent: it takes many in a day, and most mean nothing.
const SCALED: i64 = 60;

/// Seconds of work without an error after which a new version is not what brought one.
const WORKED: i64 = 3_600;

/// The same of a proxy that was answered well all the while before somebody behind it began to answer with errors.
const PASSED_ON: i64 = 300;

/// What changed lately at a workload, of what was read.
#[must_use]
pub fn leads(scene: &Scene<'_>, workload: &ObjectRef) -> Vec<Related> {
    let revision = change::revision(scene, workload).filter(|new| !was_well_after(scene, &new.resource));
    let first = revision.or_else(|| update(scene, workload));
    let found = first.into_iter().chain(scaled(scene, workload)).chain(configured(scene, workload));
    let autoscaler = scene.autoscaler(workload).map(|found| named(&found.object));
    let edited = autoscaler.iter().chain([workload]).filter_map(|object| drift::lead(scene, object));
    found.chain(edited).collect()
}

/// Whether a log of a new version tells of an hour of work before its first error: that did not come with the version.
fn was_well_after(scene: &Scene<'_>, version: &ObjectRef) -> bool {
    let logs = scene.pods_of(version).into_iter().flat_map(|pod| scene.logs(&named(&pod.object), ""));
    let mut texts = logs.filter(|log| !log.previous).filter_map(|log| log.lines.as_deref().ok());
    texts.any(|text| {
        let timed = |line: &&str| present::between(line, line).is_some();
        let mut calm = text.lines().take_while(|line| !logs::is_error(line)).filter(timed);
        let error = text.lines().find(|line| logs::is_error(line));
        let (first, worked) = (calm.next(), calm.next().is_some());
        let pause = first.zip(error).and_then(|(first, error)| present::between(first, error));
        let by_others = error.and_then(upstream::failed).is_some_and(|failed| failed.upstream.is_some());
        worked && pause.is_some_and(|seconds| seconds >= if by_others { PASSED_ON } else { WORKED })
    })
}

fn lead(resource: ObjectRef, why: String, what: String) -> Related {
    Related { resource, why, findings: vec![what] }
}

/// A StatefulSet or DaemonSet whose Pods are not all of its newest revision. What that changed is told by
/// `kubectl rollout history`; the revisions themselves are not read.
fn update(scene: &Scene<'_>, workload: &ObjectRef) -> Option<Related> {
    let sets = scene.stateful_sets.iter().filter(|set| named(&set.object) == *workload).find_map(|set| {
        let status = set.object.status.as_ref()?;
        let under_way = status.update_revision != status.current_revision && status.update_revision.is_some();
        under_way.then(|| (status.updated_replicas.unwrap_or(0), status.replicas))
    });
    let daemons = scene.daemon_sets.iter().filter(|set| named(&set.object) == *workload).find_map(|set| {
        let status = set.object.status.as_ref()?;
        let updated = status.updated_number_scheduled.unwrap_or(0);
        (updated < status.desired_number_scheduled).then_some((updated, status.desired_number_scheduled))
    });
    let (updated, all) = sets.or(daemons)?;
    let why = scene.text("正在进行的更新：可能相关的线索，不是证据", "an update under way: a lead, not a proof");
    let what = scene
        .text(format!("{updated}/{all} 个 Pod 是新版本"), format!("{updated} of {all} Pods are of the new revision"));
    Some(lead(workload.clone(), why, what))
}

/// An autoscaler that moved within the hour.
fn scaled(scene: &Scene<'_>, workload: &ObjectRef) -> Option<Related> {
    let found = scene.autoscaler(workload)?;
    let status = found.object.status.as_ref()?;
    let minutes = scene.minutes_since(status.last_scale_time.as_ref()).filter(|minutes| *minutes <= SCALED)?;
    let lasted = scene.lasted(minutes);
    let why = scene.text(
        format!("{lasted}前调整过副本数：可能相关的线索，不是证据"),
        format!("it changed the number of replicas {lasted} ago: a lead, not a proof"),
    );
    let (now, wanted) = (status.current_replicas.unwrap_or(0), status.desired_replicas);
    let what =
        scene.text(format!("现有 {now} 个副本，期望 {wanted} 个"), format!("{now} replicas now, {wanted} wanted"));
    Some(lead(named(&found.object), why, what))
}

/// A ConfigMap the workload's Pods use, made (or made again) lately and after the Pods' template.
fn configured(scene: &Scene<'_>, workload: &ObjectRef) -> Option<Related> {
    let pod = scene.pods_of(workload).into_iter().next()?;
    let maps = latent::maps(&pod.object)
        .into_iter()
        .filter_map(|object| scene.facts.get::<ConfigMap>(&object.namespace, &object.name));
    let made = |metadata: &ObjectMeta| scene.minutes_since(metadata.creation_timestamp.as_ref());
    let template = pod.object.metadata.owner_references.iter().flatten().find_map(|owner| {
        let set: Seen<ReplicaSet> = scene.facts.get(&workload.namespace, &owner.name)?;
        made(&set.object.metadata)
    })?;
    let young = maps.filter_map(|map| Some((made(&map.object.metadata)?, named(&map.object))));
    let (minutes, name) =
        young.filter(|(age, _)| *age < change::RECENT && *age < template).min_by_key(|(age, _)| *age)?;
    let lasted = scene.lasted(minutes);
    let why = scene.text(
        format!("{lasted}前才创建（或被重建），晚于该工作负载的版本：可能相关的线索，不是证据"),
        format!("made (or made again) {lasted} ago, after the workload's version: a lead, not a proof"),
    );
    Some(lead(name, why, scene.text("Pod 使用它的配置", "the Pods take their configuration from it")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, crashed, deployment, patched, pod, replica_set};

    fn told(world: &World, kind: &str) -> Option<String> {
        let related = world.diagnosis().related.into_iter().find(|related| related.resource.kind == kind)?;
        Some(format!("{}: {}", related.why, related.findings.join("; ")))
    }

    fn crashing(spec: Value) -> World {
        World::asking("Deployment", "web")
            .with(deployment(1, 0))
            .with(pod(patched(crashed(1, "Error"), spec)))
            .log("web-1-a", "ERROR cannot go on")
    }

    #[test]
    fn an_autoscaler_that_moved_within_the_hour_is_a_lead() {
        let autoscaler = |moved: &str| {
            json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
                "status": {"currentReplicas": 2, "desiredReplicas": 4, "lastScaleTime": moved, "conditions": []}})
        };
        let lead = told(&crashing(json!({})).with(autoscaler("2026-11-23T02:48:00Z")), "HorizontalPodAutoscaler");
        let lead = lead.unwrap();
        assert!(lead.contains("12 minutes ago: a lead, not a proof: 2 replicas now, 4 wanted"), "{lead}");
        let long_ago = crashing(json!({})).with(autoscaler("2026-11-22T02:48:00Z"));
        assert_eq!(told(&long_ago, "HorizontalPodAutoscaler"), None);
    }

    #[test]
    fn a_version_that_worked_for_an_hour_before_the_first_error_is_no_lead() {
        let made = |revision: i32, at: &str| {
            let set = replica_set(revision, &format!("reg/web:{revision}"), revision, revision);
            patched(set, json!({"metadata": {"creationTimestamp": at}}))
        };
        let world = |worked: &str| {
            let errors = "2026-11-23T02:50:00Z ERROR ledger is read-only\n".repeat(8);
            let log = format!("2026-11-23T{worked}:00Z INFO up\n2026-11-23T{worked}:30Z INFO built 7\n{errors}");
            World::asking("Deployment", "web")
                .with(deployment(1, 1))
                .with(made(0, "2026-11-20T00:00:00Z"))
                .with(made(1, "2026-11-23T00:00:00Z"))
                .with(pod(json!({})))
                .log("web-1-a", &log)
        };
        assert_eq!(told(&world("00:10"), "ReplicaSet"), None);
        assert!(told(&world("02:40"), "ReplicaSet").is_some_and(|lead| lead.contains("newest version")));
    }

    #[test]
    fn configuration_made_anew_after_the_version_is_a_lead() {
        let uses = json!({"spec": {"volumes": [{"name": "conf", "configMap": {"name": "web-conf"}}]}});
        let made = |kind: &str, name: &str, at: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop", "creationTimestamp": at}});
        let version = patched(
            replica_set(1, "reg/web:1", 1, 0),
            json!({"metadata": {"creationTimestamp": "2026-11-20T00:00:00Z"}}),
        );
        let world = |at: &str| crashing(uses.clone()).with(version.clone()).with(made("ConfigMap", "web-conf", at));
        let lead = told(&world("2026-11-23T02:40:00Z"), "ConfigMap").unwrap();
        assert!(lead.contains("made (or made again) 20 minutes ago, after the workload's version"), "{lead}");
        assert_eq!(told(&world("2026-11-19T00:00:00Z"), "ConfigMap"), None, "it is older than what uses it");
    }

    #[test]
    fn an_update_of_a_statefulset_that_is_under_way_is_a_lead() {
        let set = |update: &str| {
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "shop"},
                "spec": {"replicas": 3, "selector": {}, "serviceName": "db", "template": {}},
                "status": {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "currentRevision": "db-1", "updateRevision": update}})
        };
        let member = json!({"metadata": {"name": "db-2", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true}]}});
        let world = |update: &str| {
            World::asking("Pod", "db-2")
                .with(set(update))
                .with(pod(patched(crashed(1, "Error"), member.clone())))
                .log("db-2", "ERROR cannot go on")
        };
        let lead = told(&world("db-2"), "StatefulSet").unwrap_or_default();
        assert!(lead.contains("1 of 3 Pods are of the new revision"), "{lead}");
        assert!(!told(&world("db-1"), "StatefulSet").unwrap_or_default().contains("revision"));
    }
}
