//! The way back: the version before, where a young release may have brought the trouble. An alternative, never the proof.

use std::collections::BTreeSet;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::rollout;
use crate::playbook::change;
use crate::playbook::finding::{self, Finding, kubectl, slash};
use crate::playbook::pods;
use crate::playbook::scene::Scene;
use crate::report::Step;

/// Takes back a release of the last day, when the version before it is still there.
#[must_use]
pub(super) fn step(scene: &Scene<'_>, workload: &ObjectRef) -> Option<Step> {
    let release = change::revision(scene, workload).filter(|_| change::matters(scene, workload))?;
    let sets = rollout::revisions(scene, workload);
    let spec = pods::template(&sets.first()?.object)?;
    let before = spec.containers.iter().find_map(|container| {
        let before = rollout::image_before(scene, workload, &container.name)?;
        (container.image.as_deref() != Some(before.as_str())).then_some(before)
    });
    let (zh, en) = before.map_or_else(Default::default, |image| (format!("（{image}）"), format!(" ({image})")));
    let what = release.findings.first().map(|what| crate::playbook::logs::shorten(what, 200)).unwrap_or_default();
    Some(finding::change(
        scene.text(
            format!("或回到上一个版本{zh}，如果问题由这次发布引入"),
            format!("Or go back to the version before{en}, if this release brought it"),
        ),
        scene.text(format!("这次发布改动了：{what}"), format!("The release changed: {what}")),
        Some(undo(workload)),
    ))
}

/// A finding without a way back that leads nowhere: the version before is the same, and only older.
#[must_use]
pub(super) fn only_real(scene: &Scene<'_>, mut finding: Finding) -> Finding {
    let undoes = |step: &Step| step.command.as_deref().is_some_and(|it| it.contains(" rollout undo "));
    if !finding.steps.iter().any(undoes) {
        return finding;
    }
    let owners = scene.replica_sets.iter().filter_map(|set| scene.owner(&set.object.metadata));
    let idle: BTreeSet<String> =
        owners.filter(|owner| change::only_restarted(scene, owner)).map(|owner| undo(&owner)).collect();
    let before = finding.steps.len();
    finding.steps.retain(|step| step.command.as_ref().is_none_or(|command| !idle.contains(command)));
    if finding.steps.len() == before {
        return finding;
    }
    finding.ruled_out(
        scene.text("最近一次发布改动了工作负载", "a change of the workload by its last release"),
        scene.text(
            "最新版本与上一个版本只差一次重启（restartedAt），回滚不会改变任何东西",
            "its newest version differs from the one before by a restart alone (restartedAt): going back changes nothing",
        ),
    )
}

/// Brings back the version before.
#[must_use]
pub(super) fn undo(workload: &ObjectRef) -> String {
    kubectl(&workload.namespace, &format!("rollout undo {}", slash(workload)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, patched, pod, replica_set};

    fn behind(released: &str) -> Vec<crate::report::Step> {
        let made = |revision: i32, at: &str| {
            let set = replica_set(revision, &format!("reg/web:{revision}"), revision, revision);
            patched(set, json!({"metadata": {"creationTimestamp": at}}))
        };
        let line = "ERROR (psycopg2.errors.UndefinedColumn) column members.tier does not exist\n";
        World::asking("Deployment", "web")
            .with(deployment(1, 1))
            .with(made(0, "2026-11-01T00:00:00Z"))
            .with(made(1, released))
            .with(pod(json!({})))
            .log("web-1-a", &line.repeat(6))
            .diagnosis()
            .steps
    }

    #[test]
    fn a_young_release_can_be_taken_back() {
        let steps = behind("2026-11-23T02:30:00Z");
        let undo = steps.iter().find(|step| step.command.as_deref().is_some_and(|it| it.contains("rollout undo")));
        let undo = undo.unwrap_or_else(|| panic!("{steps:?}"));
        assert!(undo.title.contains("(reg/web:0)") && undo.detail.contains("reg/web:0 -> reg/web:1"), "{undo:?}");
    }

    #[test]
    fn a_version_that_only_restarted_its_pods_is_none_to_take_back() {
        let made = |revision: i32, image: &str, at: &str, restarted: &str| {
            let annotations = json!({"annotations": {"kubectl.kubernetes.io/restartedAt": restarted}});
            patched(
                replica_set(revision, image, revision, revision),
                json!({"metadata": {"creationTimestamp": at}, "spec": {"template": {"metadata": annotations}}}),
            )
        };
        let undoes = |before: &str| {
            let line = "ERROR (psycopg2.errors.UndefinedColumn) column members.tier does not exist\n";
            let steps = World::asking("Deployment", "web")
                .with(deployment(1, 1))
                .with(made(0, before, "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"))
                .with(made(1, "reg/web:1", "2026-11-23T02:30:00Z", "2026-11-23T02:30:00Z"))
                .with(pod(json!({})))
                .log("web-1-a", &line.repeat(6))
                .diagnosis()
                .steps;
            steps.iter().any(|step| step.command.as_deref().is_some_and(|it| it.contains("undo")))
        };
        assert!(!undoes("reg/web:1"), "the same image, restarted");
        assert!(undoes("reg/web:0"));
    }

    /// A rollout that hangs, of a version that differs from the one that serves by these fields of its template.
    fn hanging(template: serde_json::Value) -> World {
        let failing = crate::playbook::world::crashed(1, "Error");
        let stuck = json!({"status": {"updatedReplicas": 1, "conditions": [{"type": "Progressing", "status": "False",
            "reason": "ProgressDeadlineExceeded", "message": "ReplicaSet \"web-1\" has timed out progressing."}]}});
        let hash = |hash: &str| json!({"spec": {"template": {"metadata": {"labels": {"app": "web", "pod-template-hash": hash}}}}});
        let newest = patched(
            patched(replica_set(1, "reg/web:1", 1, 0), hash("1")),
            json!({"metadata": {"creationTimestamp": "2026-11-23T02:30:00Z"}, "spec": {"template": template}}),
        );
        World::asking("Deployment", "web")
            .with(patched(deployment(2, 1), stuck))
            .with(newest)
            .with(patched(replica_set(0, "reg/web:1", 1, 1), hash("0")))
            .with(pod(failing))
            .log("web-1-a", "ERROR cannot read /etc/keys/token: no such file\n")
    }

    #[test]
    fn going_back_from_a_mere_restart_is_never_offered_and_said_to_change_nothing() {
        let at = json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-23T02:30:00Z"}}});
        let undoes = |world: &World| {
            let told = world.diagnosis();
            told.steps.iter().any(|step| step.command.as_deref().is_some_and(|it| it.contains("rollout undo")))
        };
        let restarted = hanging(at.clone());
        assert!(!undoes(&restarted), "{:?}", restarted.diagnosis().steps);
        let ruled_out = restarted.diagnosis().ruled_out;
        assert!(ruled_out.iter().any(|it| it.because.contains("going back changes nothing")), "{ruled_out:?}");
        let also = patched(at, json!({"metadata": {"annotations": {"vault.example/role": "web"}}}));
        assert!(undoes(&hanging(also)), "another annotation may matter");
        assert!(undoes(&hanging(json!({"spec": {"serviceAccountName": "web"}}))));
    }

    #[test]
    fn an_old_version_is_not_what_went_wrong_now() {
        let steps = behind("2026-11-10T00:00:00Z");
        assert!(!steps.iter().any(|step| step.command.as_deref().is_some_and(|it| it.contains("undo"))), "{steps:?}");
    }
}
