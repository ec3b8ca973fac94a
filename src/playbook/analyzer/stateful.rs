//! StatefulSets that cannot go on: the governing Service is not there, or the first Pod in line blocks the rest.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Container;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence};

/// The label by which a Pod of a StatefulSet carries its revision.
const REVISION: &str = "controller-revision-hash";

/// Findings about StatefulSets.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let sets = || scene.stateful_sets.iter();
    let alone = sets().filter_map(|set| without_service(scene, set));
    let held = sets().filter_map(|set| held_back(scene, set));
    alone.chain(held).chain(sets().filter_map(|set| blocked(scene, set))).collect()
}

/// A Pod of another revision that does not become Ready. The controller waits for every Pod in line before it replaces one,
/// for this one too, so that the repaired template never reaches it: the documented "forced rollback".
fn blocked(scene: &Scene<'_>, set: &Seen<StatefulSet>) -> Option<Finding> {
    let name = named(&set.object);
    let spec = set.object.spec.as_ref()?;
    let wanted = set.object.status.as_ref()?.update_revision.clone()?;
    let rolling = spec.update_strategy.as_ref().is_none_or(|it| it.type_.as_deref() != Some("OnDelete"));
    if spec.pod_management_policy.as_deref() == Some("Parallel") || !rolling {
        return None;
    }
    let template = spec.template.spec.as_ref()?;
    let stuck = scene.pods_of(&name).into_iter().find(|pod| {
        let revision = pod.object.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION));
        let failing = pods::containers(&pod.object).iter().any(|it| it.failing(scene.facts.now) || cannot_start(it));
        revision.is_some_and(|revision| *revision != wanted) && failing && !pods::is_leaving(&pod.object)
    })?;
    let pod = named(&stuck.object);
    let changed = pods::containers(&stuck.object).into_iter().find_map(|view| {
        let asked = template.containers.iter().chain(template.init_containers.iter().flatten());
        let asked = asked.into_iter().find(|container| container.name == view.name())?;
        differs(asked, view.spec).then(|| (view.image().to_owned(), asked.image.clone().unwrap_or_default()))
    });
    let (has, gets) = changed?;
    let (zh, en) = if has == gets {
        ("模板与它不同（镜像相同）".to_owned(), "the template differs from it (same image)".to_owned())
    } else {
        (format!("它仍是 {has}，模板已是 {gets}"), format!("it still runs {has} while the template says {gets}"))
    };
    let headline = scene.text(
        format!("{name} 的更新被 {} 卡住：{zh}；控制器要等它先 Ready，必须手动删除（delete）它", pod.name),
        format!("{name}: its update is blocked by {}: {en}; the controller waits for it to become Ready first, so somebody has to delete it", pod.name),
    );
    let found = Finding::new("statefulset_blocked_by_broken_pod", Depth::Root, &pod, &name, headline);
    Some(
        found
            .cite([scene.quote(&stuck.reference, &format!("image: {has}")), scene.quote(&set.reference, &wanted)])
            .steps([
                look(
                    scene.text("查看各 Pod 的版本", "See each Pod's revision"),
                    kubectl(&name.namespace, "get pods -L controller-revision-hash"),
                ),
                change(
                    scene.text(
                        format!("删除 {}，让它按当前模板重建", pod.name),
                        format!("Delete {} so that it is made again of the present template", pod.name),
                    ),
                    scene
                        .text("先确认模板已经修好；卷会保留", "See first that the template is right; its volumes stay"),
                    Some(kubectl(&name.namespace, &format!("delete pod {}", pod.name))),
                ),
            ]),
    )
}

fn cannot_start(view: &ContainerView<'_>) -> bool {
    ["ImagePullBackOff", "ErrImagePull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"]
        .contains(&view.waiting_reason())
}

/// Whether two declarations of a container differ in what decides how it starts.
fn differs(asked: &Container, has: &Container) -> bool {
    asked.image != has.image
        || asked.command != has.command
        || asked.args != has.args
        || asked.env != has.env
        || asked.env_from != has.env_from
}

/// A new revision that does not go out by the StatefulSet's own settings: an answer where the alert is about it.
/// How far an update has come that its partition holds at just this Pod while all serve: what the spec asks for, and how
/// canaries are run.
#[must_use]
pub fn staged(scene: &Scene<'_>, set: &ObjectRef) -> Option<(i32, i32, i32)> {
    let set = scene.stateful_sets.iter().find(|seen| named(&seen.object) == *set)?;
    let (spec, status) = (set.object.spec.as_ref()?, set.object.status.as_ref()?);
    let (wanted, updated) = (spec.replicas.unwrap_or(1), status.updated_replicas.unwrap_or(0));
    let partition = spec.update_strategy.as_ref()?.rolling_update.as_ref()?.partition.filter(|it| *it > 0)?;
    let begun = status.update_revision != status.current_revision && updated > 0;
    let whole = status.ready_replicas.unwrap_or(0) >= wanted;
    (begun && whole && updated == wanted - partition).then_some((partition, updated, wanted))
}

fn held_back(scene: &Scene<'_>, set: &Seen<StatefulSet>) -> Option<Finding> {
    let name = named(&set.object);
    let (spec, status) = (set.object.spec.as_ref()?, set.object.status.as_ref()?);
    let wanted = spec.replicas.unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or(0);
    let behind =
        status.update_revision.is_some() && status.update_revision != status.current_revision && updated < wanted;
    if !behind || !scene.question.targets.contains(&name) {
        return None;
    }
    let strategy = spec.update_strategy.as_ref()?;
    let partition = strategy.rolling_update.as_ref().and_then(|rolling| rolling.partition).unwrap_or(0);
    let (code, field, zh, en) = if strategy.type_.as_deref() == Some("OnDelete") {
        (
            "statefulset_update_on_delete",
            "type: OnDelete".to_owned(),
            "updateStrategy 为 OnDelete，旧 Pod 被删除之前不会更新".to_owned(),
            "its updateStrategy is OnDelete, so a Pod is updated only once it is deleted".to_owned(),
        )
    } else if partition > 0 && updated >= wanted - partition && staged(scene, &name).is_none() {
        (
            "statefulset_update_partitioned",
            format!("partition: {partition}"),
            format!("partition 为 {partition}，序号小于它的 Pod 不会更新"),
            format!("its partition is {partition}, so Pods of a lower ordinal are not updated"),
        )
    } else {
        return None;
    };
    let headline = scene.text(
        format!("{name} 的新版本只更新了 {updated}/{wanted} 个 Pod：{zh}"),
        format!("{name}: the new version is on {updated} of {wanted} Pods: {en}"),
    );
    Some(
        Finding::new(code, Depth::Effect, &name, &name, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&set.reference, &field)])
            .unresolved(scene.text("更新是否被有意分批？", "Is the update held back on purpose?"))
            .steps([
                look(
                    scene.text("查看各 Pod 的版本", "See each Pod's revision"),
                    kubectl(&name.namespace, "get pods -L controller-revision-hash"),
                ),
                change(
                    scene.text("如果不是有意为之，调整 updateStrategy", "If not on purpose, change the updateStrategy"),
                    "",
                    Some(kubectl(&name.namespace, &format!("edit statefulset {}", name.name))),
                ),
            ]),
    )
}

/// The line by which a member looks for another below the name of the Service that is not there.
fn members_missed(scene: &Scene<'_>, set: &ObjectRef, service: &str) -> Option<Citation> {
    scene.pods_of(set).into_iter().find_map(|pod| {
        let calls = reach::failing_calls(scene, &pod.object);
        let misses = |call: &&Call<'_>| {
            let named = call.hosts.iter().any(|host| host.split('.').take(2).any(|label| label == service));
            call.failure == Failure::Unresolved && !reach::resolver_is_silent(call) && named
        };
        calls.iter().find(misses).and_then(|call| scene.quote(&call.log.reference, call.line))
    })
}

fn without_service(scene: &Scene<'_>, set: &Seen<StatefulSet>) -> Option<Finding> {
    let name = named(&set.object);
    let spec = set.object.spec.as_ref()?;
    let service =
        ObjectRef::new("Service", &name.namespace, spec.service_name.clone().filter(|name| !name.is_empty())?);
    // A member that is alone and Ready looks for nobody.
    let alone = scene.replicas(&name).is_some_and(|(ready, wanted)| (ready, wanted) == (1, 1));
    if alone || !scene.facts.is_missing(&service) {
        return None;
    }
    let missed = members_missed(scene, &name, &service.name);
    let (depth, confidence) =
        if missed.is_some() { (Depth::Root, Confidence::High) } else { (Depth::Mechanism, Confidence::Medium) };
    let hint = super::claim::near_hint(scene, &scene.near_misses(&service));
    let headline = scene.text(
        format!("{name} 的 headless Service {} 不存在（not found），Pod 之间无法通过 DNS 互相发现{hint}", service.name),
        format!(
            "{name}: its headless Service {} does not exist (not found), so its Pods have no DNS names{hint}",
            service.name
        ),
    );
    Some(
        Finding::new("statefulset_service_missing", depth, &name, &service, headline)
            .confidence(confidence)
            .cite([scene.quote(&set.reference, &format!("serviceName: {}", service.name)), missed])
            .touches(scene.pods_of(&name).iter().map(|pod| named(&pod.object)))
            .steps([
                look(scene.text("查看 Service", "List the Services"), kubectl(&name.namespace, "get services")),
                change(
                    scene.text(
                        format!("创建 headless Service {}", service.name),
                        format!("Create headless Service {}", service.name),
                    ),
                    scene.text(
                        "clusterIP: None，selector 与 StatefulSet 的 Pod 标签一致",
                        "clusterIP: None, with the selector of the StatefulSet's Pods",
                    ),
                    None,
                ),
            ]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, container, crashed, patched, pod, service};

    fn set() -> serde_json::Value {
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "shop"},
            "spec": {"replicas": 2, "serviceName": "db-headless", "selector": {}, "template": {}},
            "status": {"replicas": 2, "readyReplicas": 2}})
    }

    #[test]
    fn an_update_that_is_held_back_by_its_strategy_is_an_answer_only_where_it_is_asked_about() {
        let behind = |strategy| {
            patched(
                set(),
                json!({"spec": {"updateStrategy": strategy, "serviceName": null}, "status": {"updatedReplicas": 1,
                "currentRevision": "db-1", "updateRevision": "db-2"}}),
            )
        };
        let at = |partition: i32| json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
        let partition = at(2);
        let asked = |strategy| World::asking("StatefulSet", "db").with(behind(strategy));
        assert_eq!(asked(partition.clone()).cause(), "statefulset_update_partitioned StatefulSet/db");
        let canary = asked(at(1)).diagnosis();
        assert!(canary.causes.is_empty() && canary.headline.contains("has partition 1"), "{}", canary.headline);
        assert_eq!(asked(json!({"type": "OnDelete"})).cause(), "statefulset_update_on_delete StatefulSet/db");
        assert!(asked(json!({"type": "RollingUpdate"})).codes().is_empty(), "under way");
        let other =
            World::asking("Pod", "web-1-a").with(crate::playbook::world::pod(json!({}))).with(behind(partition));
        assert!(other.codes().is_empty());
    }

    #[test]
    fn a_missing_service_is_the_cause_where_members_look_for_each_other_below_its_name() {
        let owner = json!({"metadata": {"name": "db-0", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true}]}});
        let looking = |host: &str| {
            World::asking("Pod", "db-0")
                .with(patched(set(), json!({"status": {"readyReplicas": 0}})))
                .with(pod(patched(crashed(1, "Error"), owner.clone())))
                .log("db-0", &format!("ERROR cluster: lookup {host} on 10.96.0.10:53: no such host"))
                .listed("Service")
        };
        let missed = looking("db-0.db-headless.shop.svc.cluster.local");
        assert_eq!(missed.cause(), "statefulset_service_missing Service/db-headless");
        assert_eq!(missed.diagnosis().causes[0].confidence, crate::report::Confidence::High);
        assert_ne!(looking("vault.example.com").codes()[0], "statefulset_service_missing", "it looks for another");
    }

    /// A StatefulSet whose template was repaired, and its second Pod of the revision before.
    fn rolled_back(policy: &str, image: &str, patch: serde_json::Value) -> World {
        let template = json!({"spec": {"containers": [container(json!({"image": "reg/web:1"}))]}});
        let set = patched(
            set(),
            json!({"spec": {"serviceName": null, "podManagementPolicy": policy, "template": template},
            "status": {"readyReplicas": 1, "currentRevision": "db-1", "updateRevision": "db-1"}}),
        );
        let owner = json!({"metadata": {"name": "db-1", "labels": {"controller-revision-hash": "db-2"}, "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true}]},
            "spec": {"containers": [container(json!({"image": image}))]}});
        World::asking("StatefulSet", "db").with(set).with(pod(patched(owner, patch)))
    }

    #[test]
    fn a_broken_pod_of_a_withdrawn_revision_has_to_be_deleted() {
        let world = rolled_back("OrderedReady", "reg/web:2", crashed(1, "Error"));
        assert_eq!(world.cause(), "statefulset_blocked_by_broken_pod StatefulSet/db");
        let steps = world.diagnosis().steps;
        assert!(steps.iter().any(|step| step.command.as_deref() == Some("kubectl -n shop delete pod db-1")));
        let unpulled = crate::playbook::world::waiting("ImagePullBackOff", "Back-off pulling image");
        assert_eq!(
            rolled_back("OrderedReady", "reg/web:2", unpulled).cause(),
            "statefulset_blocked_by_broken_pod StatefulSet/db"
        );
    }

    #[test]
    fn a_pod_that_is_well_or_would_be_made_the_same_again_or_in_parallel_blocks_nothing() {
        let codes = |policy, image, patch| rolled_back(policy, image, patch).codes();
        let blocked = |codes: Vec<&'static str>| codes.contains(&"statefulset_blocked_by_broken_pod");
        assert!(!blocked(codes("OrderedReady", "reg/web:2", json!({}))), "an update under way");
        assert!(!blocked(codes("OrderedReady", "reg/web:1", crashed(1, "Error"))), "the template has the same fault");
        assert!(!blocked(codes("Parallel", "reg/web:2", crashed(1, "Error"))), "no Pod waits for another");
    }

    #[test]
    fn a_governing_service_that_does_not_exist_is_missing() {
        let world = World::asking("StatefulSet", "db").with(set()).listed("Service");
        assert_eq!(world.cause(), "statefulset_service_missing Service/db-headless");
    }

    #[test]
    fn with_its_service_it_stays_quiet() {
        let headless = patched(
            service(json!({"app": "db"})),
            json!({"metadata": {"name": "db-headless"}, "spec": {"selector": null}}),
        );
        World::asking("StatefulSet", "db").with(set()).with(headless).listed("Service").is_calm();
        let alone = patched(set(), json!({"spec": {"replicas": 1}, "status": {"replicas": 1, "readyReplicas": 1}}));
        let codes = World::asking("StatefulSet", "db").with(alone).listed("Service").codes();
        assert!(!codes.contains(&"statefulset_service_missing"), "one that is alone looks for nobody");
    }
}
