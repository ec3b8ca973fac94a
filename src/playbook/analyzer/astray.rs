//! A Service that sends to another workload's Pods, while those of the workload that bears its name get nothing.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::alert::ObjectRef;
use crate::playbook::describe;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, service_selector};
use crate::playbook::selector::{LabelMap, covers};
use crate::report::{Confidence, Step};

/// Where a Service's calls go, and where they should.
struct Astray<'s> {
    name: &'s ObjectRef,
    /// The workload of the Service's own name, and a Ready Pod of it.
    own: ObjectRef,
    pod: &'s Seen<Pod>,
    /// The workload that gets its calls.
    other: ObjectRef,
    /// The pairs that the selector asks for and the own Pod does not carry, each with what it carries.
    differing: Vec<(&'s str, &'s str, Option<&'s str>)>,
}

/// The finding for a Service whose Pods all belong to a workload of another name, where the one of its own name has Ready
/// Pods that no Service sends to.
#[must_use]
pub fn wrong(scene: &Scene<'_>, service: &Seen<Service>, name: &ObjectRef, live: &[&&Seen<Pod>]) -> Option<Finding> {
    let wanted = service_selector(&service.object)?;
    let found = astray(scene, name, wanted, live)?;
    let (asked, carried) = (found.asked(), found.carried());
    let Astray { own, other, pod, .. } = &found;
    let headline = scene.text(
        format!("{name} 的请求发给了 {other} 的 Pod：selector 要求 {asked}，而 {own} 的 Pod 标签是 {carried}，没有任何 Service 选中它们"),
        format!("{name} sends to the Pods of {other}: its selector asks for {asked}, but the Pods of {own} carry {carried}, and no Service selects them"),
    );
    let first = |key: &str, value: &str| format!("{key}: {value}");
    let (key, value, has) = *found.differing.first()?;
    let asks = scene.question.targets.contains(name) || scene.question.targets.contains(own);
    let why = scene.text("与 Service 同名、却收不到请求的工作负载", "the workload of that name, which gets no calls");
    Some(
        Finding::new("service_selector_mismatch", Depth::Root, name, name, headline)
            .confidence(Confidence::Medium)
            .cite([
                scene.quote(&service.reference, &first(key, value)),
                scene.quote_any(&pod.reference, &[&first(key, has.unwrap_or_default()), "labels:"]),
                super::service::endpoints_line(scene, service),
            ])
            .touches([own.clone()])
            .touches(asks.then(|| other.clone()))
            .related(own.clone(), why, describe::state(scene, own).unwrap_or(carried))
            .unresolved(
                scene.text(format!("{name} 是否有意指向 {other}？"), format!("Is {name} meant to send to {other}?")),
            )
            .steps(found.steps(scene)),
    )
}

fn astray<'s>(
    scene: &'s Scene<'_>,
    name: &'s ObjectRef,
    wanted: &'s LabelMap,
    live: &[&&Seen<Pod>],
) -> Option<Astray<'s>> {
    // Whether another Service sends to them is known where all were listed.
    scene.facts.listing("Service", &name.namespace)?;
    let ready = |pod: &&Seen<Pod>| {
        let workload = scene.workload(&pod.object);
        workload.namespace == name.namespace && workload.name == name.name && pods::is_ready(&pod.object)
    };
    let pod = scene.pods.iter().find(ready)?;
    let own = scene.workload(&pod.object);
    let others: BTreeSet<ObjectRef> = live.iter().map(|pod| scene.workload(&pod.object)).collect();
    // Versions and roles of one application pass its name on, and a Service may well be meant for one of them.
    let strange = |other: &ObjectRef| !other.name.contains(&name.name) && !name.name.contains(&other.name);
    if others.is_empty() || !others.iter().all(strange) || is_selected(scene, &pod.object) {
        return None;
    }
    let labels = pod.object.metadata.labels.as_ref()?;
    let pairs = wanted.iter().filter(|(key, value)| labels.get(*key) != Some(value));
    let differing = pairs.map(|(key, value)| (key.as_str(), value.as_str(), labels.get(key).map(String::as_str)));
    Some(Astray { name, own, pod, other: others.into_iter().next()?, differing: differing.collect() })
}

fn is_selected(scene: &Scene<'_>, pod: &Pod) -> bool {
    let near = scene.services.iter().filter(|service| service.object.metadata.namespace == pod.metadata.namespace);
    let mut asked = near.filter_map(|service| service_selector(&service.object));
    asked.any(|wanted| covers(wanted, pod.metadata.labels.as_ref()))
}

impl Astray<'_> {
    fn asked(&self) -> String {
        self.differing.iter().map(|(key, value, _)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
    }

    fn carried(&self) -> String {
        let one = |(key, _, has): &(&str, &str, Option<&str>)| match has {
            Some(has) => format!("{key}={has}"),
            None => format!("{key} -"),
        };
        self.differing.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    fn steps(&self, scene: &Scene<'_>) -> [Step; 3] {
        let Self { name, differing, .. } = self;
        let json = |has: &Option<&str>| serde_json::json!(has);
        let pairs: Vec<String> = differing.iter().map(|(key, _, has)| format!("\"{key}\":{}", json(has))).collect();
        let patch = format!("{{\"spec\":{{\"selector\":{{{}}}}}}}", pairs.join(","));
        [
            look(
                scene.text("对比 selector 与 Pod 标签", "Compare selector and labels"),
                kubectl(&name.namespace, "get pods --show-labels"),
            ),
            look(
                scene.text("查看 endpoints 指向哪些 Pod", "See which Pods its endpoints are"),
                kubectl(&name.namespace, &format!("get endpoints {}", name.name)),
            ),
            change(
                scene.text(
                    format!("把 Service 的 selector 从 {} 改为 {}", self.asked(), self.carried()),
                    format!("Change the selector from {} to {}", self.asked(), self.carried()),
                ),
                "",
                Some(kubectl(&name.namespace, &format!("patch service {} -p '{patch}'", name.name))),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, patched, pod, service};
    use crate::report::Verdict;

    fn of(workload: &str) -> Value {
        let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{workload}-1"), "uid": "c", "controller": true}]);
        pod(json!({"metadata": {"name": format!("{workload}-1-a"), "ownerReferences": owner,
            "labels": {"app": workload, "pod-template-hash": "1"}}}))
    }

    fn named(name: &str, app: &str) -> Value {
        patched(service(json!({"app": app})), json!({"metadata": {"name": name}}))
    }

    fn world(other: &str) -> World {
        World::asking("Service", "web").with(named("web", other)).with(of("web")).with(of(other)).listed("Service")
    }

    #[test]
    fn a_service_that_sends_to_another_workload_than_its_namesake_selects_wrongly() {
        let found = world("cart").alert("HighErrorRate").log("cart-1-a", &"GET /web/1 404 no such route\n".repeat(9));
        assert_eq!(found.cause(), "service_selector_mismatch Service/web");
        let told = found.diagnosis();
        assert_eq!(told.verdict, Verdict::Fault);
        assert!(told.headline.contains("app=cart") && told.headline.contains("app=web"), "{}", told.headline);
        let by_workload = World::asking("Deployment", "web").with(named("web", "cart")).with(of("web"));
        assert_eq!(by_workload.with(of("cart")).listed("Service").cause(), "service_selector_mismatch Service/web");
    }

    #[test]
    fn a_service_that_sends_to_its_namesake_does_not() {
        World::asking("Service", "web").with(named("web", "web")).with(of("web")).listed("Service").is_calm();
    }

    #[test]
    fn a_workload_that_another_service_sends_to_may_stand_behind_the_one_of_its_name() {
        world("gateway").with(named("web-internal", "web")).is_calm();
        world("web-v2").is_calm();
        let unlisted = World::asking("Service", "web").with(named("web", "cart")).with(of("web")).with(of("cart"));
        unlisted.is_calm();
    }
}
