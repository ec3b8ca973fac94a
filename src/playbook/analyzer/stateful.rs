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
    scene.stateful_sets.iter().filter_map(|set| without_service(scene, set)).collect()
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
