//! What the newest revision of a Deployment changed. A lead for people, never a proof.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Container, PodSpec};

use crate::alert::ObjectRef;
use crate::playbook::analyzer::rollout;
use crate::playbook::facts::Seen;
use crate::playbook::pods;
use crate::playbook::quantity::Resources;
use crate::playbook::scene::{Scene, named};
use crate::report::Related;

/// Minutes within which a new revision counts as recent: a day's work, and the night after it.
pub(super) const RECENT: i64 = 24 * 60;
/// Changes that are named; more is read with `kubectl rollout history`.
const NAMED: usize = 6;

/// Where `kubectl rollout restart` notes that it did.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// The newest revision of a Deployment, when it is young and the one before was read too.
#[must_use]
pub fn revision(scene: &Scene<'_>, workload: &ObjectRef) -> Option<Related> {
    let sets = rollout::revisions(scene, workload);
    let (new, old): (&Seen<ReplicaSet>, &Seen<ReplicaSet>) = (sets.first()?, sets.get(1)?);
    let minutes = scene.minutes_since(new.object.metadata.creation_timestamp.as_ref())?;
    let lasted = scene.lasted(minutes);
    if minutes > RECENT {
        return None;
    }
    let mut changes = differences(pods::template(&old.object)?, pods::template(&new.object)?);
    if restarted(&old.object) != restarted(&new.object) {
        changes.push(scene.text(
            "被重启（kubectl rollout restart）：Pod 由此读入 Secret 与 ConfigMap 的现值",
            "restarted (kubectl rollout restart): its Pods took over what Secrets and ConfigMaps hold by then",
        ));
    }
    let more = changes.len().saturating_sub(NAMED);
    changes.truncate(NAMED);
    if more > 0 {
        changes.push(scene.text(format!("另有 {more} 处"), format!("{more} more")));
    }
    let what = if changes.is_empty() {
        scene.text(
            "与上一版本的差异在标签、注解等其他字段",
            "it differs from the one before in labels, annotations or other fields",
        )
    } else {
        changes.join(scene.lang.pick("；", "; "))
    };
    Some(Related {
        resource: named(&new.object),
        why: scene.text(
            format!("{lasted}前的新版本：可能相关的线索，不是证据"),
            format!("the newest version, {lasted} old: a lead, not a proof"),
        ),
        findings: vec![what],
    })
}

/// Whether the newest revision is young and runs anything otherwise than the one before: one that was only restarted, or
/// labelled, is the same under either number.
#[must_use]
pub fn matters(scene: &Scene<'_>, workload: &ObjectRef) -> bool {
    let sets = rollout::revisions(scene, workload);
    let of = |at: usize| sets.get(at).and_then(|set: &&Seen<ReplicaSet>| pods::template(&set.object));
    is_young(scene, workload) && of(0).zip(of(1)).is_some_and(|(new, old)| new != old)
}

/// Whether the newest revision differs from the one before by its restart alone: going back changes nothing.
#[must_use]
pub fn only_restarted(scene: &Scene<'_>, workload: &ObjectRef) -> bool {
    let sets = rollout::revisions(scene, workload);
    let (Some(new), Some(old)) = (sets.first(), sets.get(1)) else { return false };
    let rest = |set: &Seen<ReplicaSet>| {
        let mut template = set.object.spec.as_ref()?.template.clone()?;
        let metadata = template.metadata.get_or_insert_default();
        // Every version has a hash of its own.
        metadata.labels.get_or_insert_default().remove("pod-template-hash");
        metadata.annotations.get_or_insert_default().remove(RESTARTED_AT);
        Some(template)
    };
    restarted(&new.object) != restarted(&old.object) && rest(new) == rest(old)
}

/// Whether the newest revision of a Deployment was made within the last day.
#[must_use]
pub fn is_young(scene: &Scene<'_>, workload: &ObjectRef) -> bool {
    let sets = rollout::revisions(scene, workload);
    let made = sets.first().and_then(|set| scene.minutes_since(set.object.metadata.creation_timestamp.as_ref()));
    made.is_some_and(|minutes| minutes <= RECENT)
}

/// When a version was asked to restart.
fn restarted(set: &ReplicaSet) -> Option<&String> {
    let template = set.spec.as_ref()?.template.as_ref()?;
    template.metadata.as_ref()?.annotations.as_ref()?.get(RESTARTED_AT)
}

/// What two templates differ in, by container and field. Values of the environment are not repeated: some are secret.
fn differences(old: &PodSpec, new: &PodSpec) -> Vec<String> {
    let mut changes = Vec::new();
    let all = |spec: &PodSpec| -> Vec<Container> {
        spec.init_containers.iter().flatten().chain(&spec.containers).cloned().collect()
    };
    let (before, after) = (all(old), all(new));
    for container in &after {
        match before.iter().find(|known| known.name == container.name) {
            Some(known) => of_container(known, container, &mut changes),
            None => changes.push(format!("+ container {}", container.name)),
        }
    }
    let gone = before.iter().filter(|known| !after.iter().any(|container| container.name == known.name));
    changes.extend(gone.map(|container| format!("- container {}", container.name)));
    let mut field = |name: &str, same: bool| {
        if !same {
            changes.push(name.to_owned());
        }
    };
    field("volumes", old.volumes == new.volumes);
    field("serviceAccountName", old.service_account_name == new.service_account_name);
    field("nodeSelector", old.node_selector == new.node_selector);
    field("affinity", old.affinity == new.affinity);
    field("tolerations", old.tolerations == new.tolerations);
    field("securityContext", old.security_context == new.security_context);
    field("imagePullSecrets", old.image_pull_secrets == new.image_pull_secrets);
    changes
}

fn of_container(old: &Container, new: &Container, changes: &mut Vec<String>) {
    let name = &new.name;
    if old.image != new.image {
        let image = |container: &Container| container.image.clone().unwrap_or_default();
        changes.push(format!("{name}: image {} -> {}", image(old), image(new)));
    }
    let resources = |container: &Container, limits: bool| -> Resources {
        let found = container.resources.as_ref();
        found.and_then(|it| if limits { it.limits.clone() } else { it.requests.clone() }).unwrap_or_default()
    };
    for (kind, limits) in [("requests", false), ("limits", true)] {
        let (before, after) = (resources(old, limits), resources(new, limits));
        for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let value = |all: &Resources| all.get(key).map_or_else(|| "-".to_owned(), |quantity| quantity.0.clone());
            if before.get(key) != after.get(key) {
                changes.push(format!("{name}: {kind}.{key} {} -> {}", value(&before), value(&after)));
            }
        }
    }
    let env = changed_env(old, new);
    if !env.is_empty() {
        changes.push(format!("{name}: env {}", env.join(" ")));
    }
    let mounts = changed_mounts(old, new);
    if !mounts.is_empty() {
        changes.push(format!("{name}: volumeMounts {}", mounts.join(" ")));
    }
    let args = changed_args(old, new);
    if !args.is_empty() {
        changes.push(format!("{name}: args {}", args.join(", ")));
    }
    let same = [
        ("envFrom", old.env_from == new.env_from),
        ("command/args", !args.is_empty() || (old.command == new.command && old.args == new.args)),
        ("ports", old.ports == new.ports),
        ("livenessProbe", old.liveness_probe == new.liveness_probe),
        ("readinessProbe", old.readiness_probe == new.readiness_probe),
        ("startupProbe", old.startup_probe == new.startup_probe),
        ("securityContext", old.security_context == new.security_context),
    ];
    changes.extend(same.iter().filter(|(_, same)| !same).map(|(field, _)| format!("{name}: {field}")));
}

/// Names of variables that came (`+`), went (`-`) or changed (`~`).
fn changed_env(old: &Container, new: &Container) -> Vec<String> {
    let (before, after) = (old.env.as_deref().unwrap_or(&[]), new.env.as_deref().unwrap_or(&[]));
    let came = after.iter().filter_map(|variable| match before.iter().find(|known| known.name == variable.name) {
        None => Some(format!("+{}", variable.name)),
        Some(known) if known != variable => Some(format!("~{}", variable.name)),
        Some(_) => None,
    });
    let went = before.iter().filter(|known| !after.iter().any(|variable| variable.name == known.name));
    came.chain(went.map(|known| format!("-{}", known.name))).collect()
}

/// Flags that came (`+`), went (`-`) or have another value (`~`). Values are not repeated: some are secret.
fn changed_args(old: &Container, new: &Container) -> Vec<String> {
    let flags = |container: &Container| -> Vec<(String, String)> {
        let words = container.command.iter().chain(&container.args).flatten();
        let flags = words.filter(|word| word.starts_with('-') && !word.contains(char::is_whitespace));
        flags
            .map(|word| word.split_once('=').unwrap_or((word, "")))
            .map(|(it, value)| (it.into(), value.into()))
            .collect()
    };
    let (before, after) = (flags(old), flags(new));
    let came = after.iter().filter_map(|(flag, value)| match before.iter().find(|(known, _)| known == flag) {
        None => Some(format!("+ {flag}")),
        Some((_, known)) if known != value => Some(format!("~ {flag}")),
        Some(_) => None,
    });
    let went = before.iter().filter(|(known, _)| !after.iter().any(|(flag, _)| flag == known));
    came.chain(went.map(|(known, _)| format!("- {known}"))).collect()
}

/// Paths at which something is mounted now (`+`), no longer (`-`) or otherwise (`~`).
fn changed_mounts(old: &Container, new: &Container) -> Vec<String> {
    let (before, after) = (old.volume_mounts.as_deref().unwrap_or(&[]), new.volume_mounts.as_deref().unwrap_or(&[]));
    let came =
        after.iter().filter_map(|mount| match before.iter().find(|known| known.mount_path == mount.mount_path) {
            None => Some(format!("+{}", mount.mount_path)),
            Some(known) if known != mount => Some(format!("~{}", mount.mount_path)),
            Some(_) => None,
        });
    let went = before.iter().filter(|known| !after.iter().any(|mount| mount.mount_path == known.mount_path));
    came.chain(went.map(|known| format!("-{}", known.mount_path))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, deployment, patched, pod, replica_set};

    #[must_use]
    pub fn revision(number: i32, made: &str, patch: serde_json::Value) -> serde_json::Value {
        let container =
            patched(crate::playbook::world::container(json!({"image": format!("reg/web:{number}")})), patch);
        let spec = json!({"metadata": {"creationTimestamp": made},
            "spec": {"template": {"spec": {"containers": [container]}}}});
        patched(replica_set(number, "", i32::from(number == 2), 0), spec)
    }

    fn broken(made: &str) -> World {
        let environment = |names: &[&str]| json!({"env": names.iter().map(|name| json!({"name": name, "value": "x"})).collect::<Vec<_>>()});
        World::asking("Deployment", "web")
            .with(deployment(1, 0))
            .with(revision(1, "2026-10-01T00:00:00Z", environment(&["TOKEN"])))
            .with(revision(2, made, patched(environment(&["TOKNE"]), json!({"resources": {"limits": {"memory": "64Mi"}},
                "volumeMounts": [{"name": "uploads", "mountPath": "/var/www/html"}]}))))
            .with(pod(patched(crashed(1, "Error"), json!({"metadata": {"labels": {"pod-template-hash": "2"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-2", "uid": "u", "controller": true}]}}))))
            .log("web-1-a", "ERROR TOKEN is not set")
    }

    #[test]
    fn what_the_newest_version_changed_is_a_lead_beside_the_cause() {
        let diagnosis = broken("2026-11-23T02:48:00Z").diagnosis();
        let lead = diagnosis.related.iter().find(|related| related.resource.name == "web-2").unwrap();
        assert!(lead.why.contains("12 minutes old: a lead, not a proof"), "{}", lead.why);
        let told = &lead.findings[0];
        for change in [
            "image reg/web:1 -> reg/web:2",
            "limits.memory - -> 64Mi",
            "env +TOKNE -TOKEN",
            "volumeMounts +/var/www/html",
        ] {
            assert!(told.contains(change), "{told}");
        }
        assert!(diagnosis.causes.iter().all(|cause| cause.resource.kind == "Deployment"));
    }

    #[test]
    fn an_old_version_is_no_lead() {
        let diagnosis = broken("2026-11-20T02:48:00Z").diagnosis();
        assert!(!diagnosis.related.iter().any(|related| related.resource.name == "web-2"));
    }
}
