//! Deployments whose rollout hangs: the new version against the one that still serves.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, ReplicaSet};
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::crash;
use crate::playbook::back;
use crate::playbook::change;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

const REVISION: &str = "deployment.kubernetes.io/revision";

/// Findings about rollouts that do not progress.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.deployments.iter().filter_map(|deployment| stuck(scene, deployment)).collect()
}

/// The image a container of a Deployment had in the revision before, when that ReplicaSet is still there.
#[must_use]
pub fn image_before(scene: &Scene<'_>, workload: &ObjectRef, container: &str) -> Option<String> {
    let sets = revisions(scene, workload);
    let before = sets.get(1)?;
    image(pods::template(&before.object)?, container)
}

/// Whether the newest revision runs a container by the same command as the one before, and of another image.
#[must_use]
pub fn only_image_changed(scene: &Scene<'_>, workload: &ObjectRef, container: &str) -> bool {
    let sets = revisions(scene, workload);
    let of = |set: &&Seen<ReplicaSet>| {
        let spec = pods::template(&set.object)?;
        spec.containers.iter().find(|known| known.name == container).cloned()
    };
    let (Some(new), Some(old)) = (sets.first().and_then(of), sets.get(1).and_then(of)) else { return false };
    new.image != old.image && new.command == old.command && new.args == old.args
}

/// Whether all revisions that are known, two or more, run a container of one image: then no image brought what is new.
#[must_use]
pub fn has_one_image(scene: &Scene<'_>, workload: &ObjectRef, container: &str) -> bool {
    let of = |set: &&Seen<ReplicaSet>| image(pods::template(&set.object)?, container);
    let images: Vec<Option<String>> = revisions(scene, workload).iter().map(of).collect();
    images.len() > 1 && images.iter().all(|image| image.is_some() && *image == images[0])
}

fn stuck(scene: &Scene<'_>, deployment: &Seen<Deployment>) -> Option<Finding> {
    let name = named(&deployment.object);
    let spec = deployment.object.spec.as_ref()?;
    let status = deployment.object.status.as_ref()?;
    let wanted = spec.replicas.unwrap_or(1);
    let conditions = status.conditions.as_deref().unwrap_or(&[]);
    let late = conditions.iter().find(|condition| {
        condition.type_ == "Progressing" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    let complete = status.updated_replicas.unwrap_or(0) >= wanted && status.available_replicas.unwrap_or(0) >= wanted;
    if spec.paused == Some(true) && status.updated_replicas.unwrap_or(0) < wanted {
        return Some(paused(scene, deployment, &name));
    }
    if complete || wanted == 0 {
        return None;
    }
    let sets = revisions(scene, &name);
    let older = sets.iter().skip(1).find(|set| set.object.status.as_ref().is_some_and(|status| status.replicas > 0));
    let serving = status.ready_replicas.unwrap_or(0).min(status.available_replicas.unwrap_or(0)) >= wanted;
    match (late, older, sets.first()) {
        // Under way, with as many Pods serving as are wanted, or as its strategy asks for meanwhile.
        (None, ..) if serving => None,
        (None, Some(_), _) if goes_on(conditions) => None,
        (Some(late), Some(old), Some(new)) => Some(new_version_fails(scene, deployment, late, new, old)),
        (late, ..) => Some(unavailable(scene, deployment, &name, late)),
    }
}

/// Whether the Deployment itself says that its new version gets on and that enough of it is available meanwhile.
fn goes_on(conditions: &[DeploymentCondition]) -> bool {
    let says = |kind: &str, reason: &str| {
        conditions.iter().any(|it| it.type_ == kind && it.status == "True" && it.reason.as_deref() == Some(reason))
    };
    says("Available", "MinimumReplicasAvailable") && says("Progressing", "ReplicaSetUpdated")
}

fn new_version_fails(
    scene: &Scene<'_>,
    deployment: &Seen<Deployment>,
    late: &DeploymentCondition,
    new: &Seen<ReplicaSet>,
    old: &Seen<ReplicaSet>,
) -> Finding {
    let name = named(&deployment.object);
    let (now, before) = (images(&new.object), images(&old.object));
    let changed = if change::only_restarted(scene, &name) {
        scene.text("与旧版本相同，只是被重启", "the same as the old one, only restarted")
    } else if now == before {
        scene.text("镜像未变，改动在其他字段", "same images, other fields changed")
    } else {
        format!("{before} -> {now}")
    };
    let old_ready = old.object.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let new_pods = scene.pods_of(&named(&new.object));
    let unready = new_pods.iter().filter(|pod| !pods::is_ready(&pod.object)).count();
    let none = new_pods.is_empty() && new.object.status.as_ref().is_some_and(|status| status.replicas == 0);
    let (state_zh, state_en) = if none {
        ("一个 Pod 也没有创建出来".to_owned(), "no Pod of it was created".to_owned())
    } else {
        (format!("{unready} 个 Pod 未 Ready"), format!("{unready} Pods not Ready"))
    };
    let failed: Vec<_> = new_pods.iter().filter(|pod| !pods::is_ready(&pod.object)).collect();
    let culprit = failed.iter().find_map(|pod| {
        let views = pods::containers(&pod.object).into_iter();
        let mut own = views.filter(|view| !crash::is_consequence(scene, pod, view));
        own.find_map(|view| scene.culprit(&named(&pod.object), view.name()))
    });
    let by_map =
        failed.iter().any(|pod| pods::containers(&pod.object).iter().any(|view| crash::is_by_map(scene, pod, view)));
    let said = culprit.as_ref().map(|(line, _)| logs::said(line));
    let why_zh = said.as_ref().map_or_else(String::new, |said| format!("，新版本日志：{said}"));
    let why_en = said.as_ref().map_or_else(String::new, |said| format!("; the new version's log: {said}"));
    let headline = scene.text(
        format!("{name} 发布卡住（ProgressDeadlineExceeded）：新版本 {now} 无法 Ready{why_zh}"),
        format!("{name}: rollout stuck (ProgressDeadlineExceeded), new version {now} does not become Ready{why_en}"),
    );
    let summary = scene.text(
        format!("{name} 的新 ReplicaSet {} 超过 progressDeadlineSeconds 仍未就绪（{state_zh}；{changed}），旧版本仍有 {old_ready} 个副本在服务{why_zh}。", named(&new.object).name),
        format!("New ReplicaSet {} of {name} passed its progress deadline ({state_en}; {changed}); {old_ready} replicas of the old version still serve{why_en}.", named(&new.object).name),
    );
    Finding::new("rollout_stuck_new_version_not_ready", Depth::Mechanism, &name, &name, headline)
        // Without the new version's own words only the place of the trouble is known.
        // A ConfigMap's line that it cannot read fails the old version too, once it is restarted.
        .confidence(if culprit.is_some() && !by_map { Confidence::High } else { Confidence::Medium })
        .summary(summary)
        .cite([
            scene.quote_any(
                &deployment.reference,
                &["reason: ProgressDeadlineExceeded", late.message.as_deref().unwrap_or_default()],
            ),
            scene.quote(&deployment.reference, &format!("image: {}", now.split(", ").next().unwrap_or_default())),
            culprit.and_then(|(_, citation)| citation),
        ])
        .touches(new_pods.iter().map(|pod| named(&pod.object)))
        .related(
            named(&old.object),
            scene.text("仍在服务的旧版本", "the old version that still serves"),
            scene.text(format!("{before}，{old_ready} 个副本就绪"), format!("{before}, {old_ready} replicas ready")),
        )
        .steps([
            look(
                scene.text("查看发布状态", "See the state of the rollout"),
                kubectl(&name.namespace, &format!("rollout status {} --timeout=5s", slash(&name))),
            ),
            look(
                scene.text("对比两个版本", "Compare the revisions"),
                kubectl(&name.namespace, &format!("rollout history {}", slash(&name))),
            ),
        ])
        .steps((!by_map).then(|| {
            change(
                scene.text(format!("回滚到仍可用的版本 {before}"), format!("Go back to {before}, which still serves")),
                scene.text("修复新版本后再重新发布", "Release again once the new version is repaired"),
                Some(back::undo(&name)),
            )
        }))
}

/// Whether a rollout may only add Pods before it removes one: `maxUnavailable` comes to nothing, by figure or by rounding
/// down, while Pods of an older version serve.
#[must_use]
pub fn must_surge(scene: &Scene<'_>, workload: &ObjectRef) -> bool {
    let found = scene.deployments.iter().find(|it| named(&it.object) == *workload);
    let Some(spec) = found.and_then(|found| found.object.spec.as_ref()) else { return false };
    let wanted = spec.replicas.unwrap_or(1);
    let strategy = spec.strategy.as_ref();
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
        return false;
    }
    let spared = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.max_unavailable.as_ref());
    let percent = |text: &str| text.trim_end_matches('%').parse::<i32>().map_or(25, |percent| percent);
    let spared = match spared {
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => wanted.saturating_mul(percent(text)) / 100,
        None => wanted / 4,
    };
    spared == 0 && serving_before(scene, workload)
}

/// Whether Pods of an older version serve.
#[must_use]
pub fn serving_before(scene: &Scene<'_>, workload: &ObjectRef) -> bool {
    let ready = |set: &&Seen<ReplicaSet>| set.object.status.as_ref().and_then(|it| it.ready_replicas).unwrap_or(0);
    revisions(scene, workload).iter().skip(1).any(|set| ready(set) > 0)
}

fn unavailable(
    scene: &Scene<'_>,
    deployment: &Seen<Deployment>,
    name: &ObjectRef,
    late: Option<&DeploymentCondition>,
) -> Finding {
    let status = deployment.object.status.as_ref();
    let wanted = deployment.object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = status.and_then(|status| status.ready_replicas).unwrap_or(0);
    let available = status.and_then(|status| status.available_replicas).unwrap_or(0);
    // Short of a Pod within what its strategy spares, it calls itself available: no reason is given that it does not give.
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or(&[]);
    let denied = conditions.iter().find(|it| it.type_ == "Available" && it.status == "False");
    let reason = late.or(denied).and_then(|condition| condition.reason.as_deref());
    let (zh, en) = reason.map_or_else(Default::default, |reason| (format!("（{reason}）"), format!(" ({reason})")));
    // Ready for less than `minReadySeconds`, a Pod is not available yet.
    let headline = if ready < wanted {
        scene.text(
            format!("{name} 只有 {ready}/{wanted} 个副本就绪{zh}"),
            format!("{name} has only {ready} of {wanted} replicas ready{en}"),
        )
    } else {
        scene.text(
            format!("{name} 只有 {available}/{wanted} 个副本可用{zh}"),
            format!("{name} has only {available} of {wanted} replicas available{en}"),
        )
    };
    Finding::new("deployment_unavailable", Depth::Symptom, name, name, headline)
        .confidence(Confidence::Medium)
        .cite([match reason {
            Some(reason) => scene.quote(&deployment.reference, &format!("reason: {reason}")),
            None => scene.quote_any(
                &deployment.reference,
                &[
                    &format!("readyReplicas: {ready}"),
                    &format!("availableReplicas: {available}"),
                    "unavailableReplicas:",
                    &format!("replicas: {wanted}"),
                ],
            ),
        }])
        .steps([look(
            scene.text("查看它的 Pod", "Look at its Pods"),
            kubectl(&name.namespace, &format!("describe {}", slash(name))),
        )])
}

fn paused(scene: &Scene<'_>, deployment: &Seen<Deployment>, name: &ObjectRef) -> Finding {
    let headline = scene.text(
        format!("{name} 的发布被暂停（spec.paused=true），新版本不会继续推出"),
        format!("{name}: its rollout is paused (spec.paused=true), so the new version does not go out"),
    );
    Finding::new("rollout_paused", Depth::Mechanism, name, name, headline)
        .cite([scene.quote(&deployment.reference, "paused: true")])
        .unresolved(scene.text("发布是否被有意暂停？", "Was the rollout paused on purpose?"))
        .steps([
            look(
                scene.text("查看发布历史", "Read the rollout's history"),
                kubectl(&name.namespace, &format!("rollout history {}", slash(name))),
            ),
            change(
                scene.text("继续发布", "Resume the rollout"),
                pending(scene, deployment, name),
                Some(kubectl(&name.namespace, &format!("rollout resume {}", slash(name)))),
            ),
        ])
}

/// What goes out once a paused rollout is resumed: all that was changed meanwhile, at once.
fn pending(scene: &Scene<'_>, deployment: &Seen<Deployment>, name: &ObjectRef) -> String {
    let told = scene.text(
        "暂停期间对模板的全部修改会一次性发布：先确认这些修改都是要上线的",
        "All that was changed in the template meanwhile goes out at once: make sure first that it is meant to",
    );
    let template = deployment.object.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let wanted = template.map(images_of).unwrap_or_default();
    let running = revisions(scene, name).first().map(|set| images(&set.object)).unwrap_or_default();
    if wanted.is_empty() || running.is_empty() || wanted == running {
        return told;
    }
    scene.text(format!("{told}（镜像 {running} -> {wanted}）"), format!("{told} (image {running} -> {wanted})"))
}

/// The ReplicaSets of a Deployment that were read, the newest revision first.
#[must_use]
pub fn revisions<'s>(scene: &'s Scene<'_>, deployment: &ObjectRef) -> Vec<&'s Seen<ReplicaSet>> {
    let owned = |set: &&Seen<ReplicaSet>| scene.owner(&set.object.metadata).as_ref() == Some(deployment);
    let mut sets: Vec<_> = scene.replica_sets.iter().filter(owned).collect();
    sets.sort_by_key(|set| std::cmp::Reverse(revision(&set.object)));
    sets
}

fn revision(set: &ReplicaSet) -> i64 {
    let text = set.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REVISION));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn images(set: &ReplicaSet) -> String {
    pods::template(set).map(images_of).unwrap_or_default()
}

fn images_of(spec: &PodSpec) -> String {
    spec.containers.iter().filter_map(|container| container.image.clone()).collect::<Vec<_>>().join(", ")
}

fn image(spec: &PodSpec, container: &str) -> Option<String> {
    let init = spec.init_containers.iter().flatten();
    spec.containers.iter().chain(init).find(|known| known.name == container)?.image.clone()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, patched, pod, replica_set, unready};

    fn late() -> serde_json::Value {
        let conditions = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
            "message": "ReplicaSet \"web-2\" has timed out progressing."}]);
        patched(deployment(3, 3), json!({"status": {"replicas": 4, "updatedReplicas": 1, "conditions": conditions}}))
    }

    #[test]
    fn the_new_version_that_does_not_get_ready_is_named_beside_the_old() {
        let new = json!({"metadata": {"name": "web-2-a", "labels": {"pod-template-hash": "2"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-2", "uid": "u", "controller": true}]}});
        let world = World::asking("Deployment", "web")
            .with(late())
            .with(replica_set(2, "reg/web:2", 1, 0))
            .with(replica_set(1, "reg/web:1", 3, 3))
            .with(pod(patched(unready(json!({"running": {}}), json!({}), 0), new)))
            .log("web-2-a", "ERROR keys: no such file");
        assert_eq!(world.cause(), "rollout_stuck_new_version_not_ready Deployment/web");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("reg/web:2") && diagnosis.headline.contains("no such file"));
        assert!(diagnosis.causes[0].summary.contains("reg/web:1 -> reg/web:2"));
        assert!(
            diagnosis
                .steps
                .iter()
                .any(|step| step.command.as_deref() == Some("kubectl -n shop rollout undo deployment/web"))
        );
    }

    #[test]
    fn a_rollout_under_way_with_all_it_wants_serving_is_no_fault() {
        let under_way = patched(deployment(3, 3), json!({"status": {"replicas": 4, "updatedReplicas": 2}}));
        let young = |seconds: u8| {
            let patch = json!({"metadata": {"name": "web-2-a", "creationTimestamp": format!("2026-11-23T02:{}:00Z", 59 - seconds),
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-2", "uid": "u", "controller": true}]}});
            pod(patched(unready(json!({"running": {"startedAt": "2026-11-23T02:59:00Z"}}), json!({}), 0), patch))
        };
        let world = |minutes| {
            World::asking("Deployment", "web")
                .with(under_way.clone())
                .with(replica_set(2, "reg/web:2", 2, 1))
                .with(replica_set(1, "reg/web:1", 2, 2))
                .with(young(minutes))
        };
        world(0).is_calm();
        assert!(!world(30).codes().is_empty(), "a Pod that has not become Ready for half an hour is no start");
    }

    #[test]
    fn one_that_gets_on_with_enough_available_is_no_fault() {
        let says = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason});
        let rolling = |available: &str, progressing: &str| {
            let conditions = json!([says("Available", available), says("Progressing", progressing)]);
            let status = json!({"replicas": 4, "readyReplicas": 4, "availableReplicas": 2, "updatedReplicas": 3, "conditions": conditions});
            World::asking("Deployment", "web")
                .with(patched(deployment(3, 3), json!({"status": status})))
                .with(replica_set(2, "reg/web:2", 3, 3))
                .with(replica_set(1, "reg/web:1", 1, 1))
        };
        rolling("MinimumReplicasAvailable", "ReplicaSetUpdated").is_calm();
        let hung = rolling("MinimumReplicasAvailable", "NewReplicaSetAvailable");
        assert_eq!(hung.cause(), "deployment_unavailable Deployment/web");
        assert!(hung.diagnosis().headline.contains("2 of 3 replicas available"), "{}", hung.diagnosis().headline);
    }

    #[test]
    fn a_pause_is_a_question_for_a_person() {
        let paused = patched(deployment(2, 2), json!({"spec": {"paused": true}, "status": {"updatedReplicas": 0}}));
        let asked = || World::asking("Deployment", "web").with(paused.clone());
        let world = asked();
        assert_eq!(world.cause(), "rollout_paused Deployment/web");
        assert!(!world.diagnosis().unresolved.is_empty());
        let detail = |world: World| {
            let steps = world.diagnosis().steps;
            steps.into_iter().find(|step| step.title == "Resume the rollout").map(|step| step.detail).unwrap()
        };
        assert!(detail(world).ends_with("it is meant to"));
        let told = detail(asked().with(replica_set(1, "reg/web:0", 1, 1)));
        assert!(told.ends_with("(image reg/web:0 -> reg/web:1)"), "{told}");
    }

    #[test]
    fn complete_rollouts_and_workloads_at_zero_stay_quiet() {
        World::asking("Deployment", "web").with(deployment(3, 3)).is_calm();
        World::asking("Deployment", "web").with(deployment(0, 0)).is_calm();
    }

    #[test]
    fn no_reason_is_told_that_the_object_does_not_give() {
        let short = |status: &str, reason: &str| {
            let conditions = json!([{"type": "Available", "status": status, "reason": reason}]);
            let object = patched(deployment(4, 3), json!({"status": {"conditions": conditions}}));
            World::asking("Deployment", "web").with(object).diagnosis().headline
        };
        let spared = short("True", "MinimumReplicasAvailable");
        assert!(spared.contains("3 of 4 replicas ready") && !spared.contains("MinimumReplicas"), "{spared}");
        assert!(short("False", "MinimumReplicasUnavailable").contains("(MinimumReplicasUnavailable)"));
    }

    #[test]
    fn replicas_that_are_missing_are_a_symptom_and_complete_ones_are_none() {
        let short = World::asking("Deployment", "web").with(deployment(2, 1));
        assert_eq!(short.codes(), ["deployment_unavailable"]);
        World::asking("Deployment", "web").with(deployment(2, 2)).is_calm();
        World::asking("Deployment", "web").with(deployment(0, 0)).is_calm();
    }
}
