//! StatefulSets that cannot go on: the governing Service is not there, or the first Pod in line blocks the rest.

use k8s_openapi::api::apps::v1::StatefulSet;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Findings about StatefulSets.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let alone = scene.stateful_sets.iter().filter_map(|set| without_service(scene, set));
    alone.chain(scene.stateful_sets.iter().filter_map(|set| held_back(scene, set))).collect()
}

/// A new revision that does not go out by the StatefulSet's own settings: an answer where the alert is about it.
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
    } else if partition > 0 && updated >= wanted - partition {
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

fn without_service(scene: &Scene<'_>, set: &Seen<StatefulSet>) -> Option<Finding> {
    let name = named(&set.object);
    let spec = set.object.spec.as_ref()?;
    let service =
        ObjectRef::new("Service", &name.namespace, spec.service_name.clone().filter(|name| !name.is_empty())?);
    if !scene.facts.is_missing(&service) {
        return None;
    }
    let hint = super::claim::near_hint(scene, &scene.near_misses(&service));
    let headline = scene.text(
        format!("{name} 的 headless Service {} 不存在（not found），Pod 之间无法通过 DNS 互相发现{hint}", service.name),
        format!(
            "{name}: its headless Service {} does not exist (not found), so its Pods have no DNS names{hint}",
            service.name
        ),
    );
    Some(
        Finding::new("statefulset_service_missing", Depth::Mechanism, &name, &service, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&set.reference, &format!("serviceName: {}", service.name))])
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

    use crate::playbook::world::{World, patched, service};

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
        let partition = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
        let asked = |strategy| World::asking("StatefulSet", "db").with(behind(strategy));
        assert_eq!(asked(partition.clone()).cause(), "statefulset_update_partitioned StatefulSet/db");
        assert_eq!(asked(json!({"type": "OnDelete"})).cause(), "statefulset_update_on_delete StatefulSet/db");
        assert!(asked(json!({"type": "RollingUpdate"})).codes().is_empty(), "under way");
        let other =
            World::asking("Pod", "web-1-a").with(crate::playbook::world::pod(json!({}))).with(behind(partition));
        assert!(other.codes().is_empty());
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
    }
}
