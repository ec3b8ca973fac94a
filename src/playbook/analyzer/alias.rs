//! Services of type ExternalName that lead nowhere: to a Service that does not exist, or to a name outside that callers cannot
//! resolve.

use k8s_openapi::api::core::v1::Service;

use super::claim;
use crate::alert::ObjectRef;
use crate::playbook::alias;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence};

/// Findings about names that lead nowhere.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let found = |service| leads_nowhere(scene, service).or_else(|| resolves_to_nothing(scene, service));
    scene.services.iter().filter_map(found).collect()
}

fn leads_nowhere(scene: &Scene<'_>, service: &Seen<Service>) -> Option<Finding> {
    let external = alias::name(&service.object)?;
    let missing = alias::target(external).filter(|target| scene.facts.is_missing(target))?;
    let name = named(&service.object);
    let hint = claim::near_hint(scene, &scene.near_misses(&missing));
    let headline = scene.text(
        format!("{name} 是 ExternalName，指向 {external}，而 {missing} 不存在{hint}"),
        format!("{name} only stands for {external} (ExternalName), and {missing} does not exist{hint}"),
    );
    let (callers, lines): (Vec<ObjectRef>, Vec<Option<Citation>>) = callers(scene, &name, |_| true).into_iter().unzip();
    // A name that nobody is seen to call may long be forgotten.
    let is_missed = !callers.is_empty() || scene.question.targets.contains(&name);
    let (depth, confidence) =
        if is_missed { (Depth::Root, Confidence::High) } else { (Depth::Effect, Confidence::Medium) };
    Some(
        Finding::new("external_name_missing", depth, &name, &name, headline)
            .confidence(confidence)
            .cite([scene.quote(&service.reference, &format!("externalName: {external}"))])
            .cite([scene.facts.absent(&missing).cloned()])
            .cite(lines)
            .touches(callers)
            .steps([
                look(
                    scene.text("查看该 Namespace 中的 Service", "List the Services of that namespace"),
                    kubectl(&missing.namespace, "get services"),
                ),
                change(
                    scene.text(
                        format!("修正 {name} 的 externalName，或创建 {missing}"),
                        format!("Correct the externalName of {name}, or create {missing}"),
                    ),
                    "",
                    Some(kubectl(&name.namespace, &format!("edit service {}", name.name))),
                ),
            ]),
    )
}

/// Callers cannot resolve a Service that is only a name for one outside: nobody here can look that up, so it is likely and
/// no more, and what its neighbours stand for is told beside it.
fn resolves_to_nothing(scene: &Scene<'_>, service: &Seen<Service>) -> Option<Finding> {
    let external = alias::name(&service.object).filter(|external| alias::target(external).is_none())?;
    let name = named(&service.object);
    let unresolved = |call: &reach::Call<'_>| call.failure == reach::Failure::Unresolved;
    let (callers, lines): (Vec<ObjectRef>, Vec<Option<Citation>>) =
        callers(scene, &name, unresolved).into_iter().unzip();
    let caller = callers.first()?;
    let beside = sibling(scene, service, external);
    let hint = beside.map_or_else(String::new, |(sibling, theirs)| {
        scene.text(format!("（{sibling} 指向 {theirs}）"), format!(" ({sibling} stands for {theirs})"))
    });
    let headline = scene.text(
        format!("{name} 是 ExternalName，指向 {external}，而 {caller} 解析不到它{hint}"),
        format!("{name} only stands for {external} (ExternalName), which {caller} cannot resolve{hint}"),
    );
    Some(
        Finding::new("external_name_unresolved", Depth::Root, &name, &name, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&service.reference, &format!("externalName: {external}"))])
            .cite(lines)
            .touches(callers)
            .gap(scene.text(
                format!("{external} 在集群之外，未能解析它"),
                format!("{external} lies outside the cluster and was not resolved"),
            ))
            .steps([
                look(
                    scene.text(
                        format!("核对 {external} 是否存在：在集群内解析它，并与该 Namespace 中其他 Service 对照"),
                        format!("Check that {external} exists: resolve it, and compare the Services beside this one"),
                    ),
                    kubectl(&name.namespace, "get services"),
                ),
                change(
                    scene.text(format!("修正 {name} 的 externalName"), format!("Correct the externalName of {name}")),
                    scene.text(
                        "如果该域名确实存在，检查集群 DNS 的上游",
                        "If that name does exist, look at what the cluster's DNS forwards to",
                    ),
                    Some(kubectl(&name.namespace, &format!("edit service {}", name.name))),
                ),
            ]),
    )
}

/// Another Service beside it that stands for a name in a domain which differs by a slip or two.
fn sibling<'s>(scene: &'s Scene<'_>, service: &Seen<Service>, external: &str) -> Option<(ObjectRef, &'s str)> {
    let domain = |name: &str| name.split_once('.').map(|(_, domain)| domain.to_owned());
    let ours = domain(external)?;
    let others =
        scene.services.iter().filter(|other| other.object.metadata.namespace == service.object.metadata.namespace);
    others.filter_map(|other| Some((named(&other.object), alias::name(&other.object)?))).find(|(_, theirs)| {
        domain(theirs).is_some_and(|theirs| (1..=2).contains(&strsim::osa_distance(&theirs, &ours)))
    })
}

/// The workloads whose calls to a Service fail in such a way, with a line of each that says so.
fn callers(
    scene: &Scene<'_>,
    service: &ObjectRef,
    in_such_a_way: impl Fn(&reach::Call<'_>) -> bool,
) -> Vec<(ObjectRef, Option<Citation>)> {
    let mut found: Vec<(ObjectRef, Option<Citation>)> = Vec::new();
    for pod in scene.current_pods() {
        let calls = reach::failing_calls(scene, &pod.object);
        let meant = |call: &&reach::Call<'_>| {
            in_such_a_way(call)
                && reach::service_of(scene, &pod.object, call).is_some_and(|it| named(&it.object) == *service)
        };
        let workload = scene.workload(&pod.object);
        if let Some(call) = calls.iter().find(meant)
            && !found.iter().any(|(known, _)| *known == workload)
        {
            found.push((workload, scene.quote(&call.log.reference, call.line)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, crashed, pod};
    use crate::report::Confidence;

    const REFUSED: &str = "FATAL dial tcp: lookup db on 10.96.0.10:53: no such host";

    fn alias(external: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "shop"},
            "spec": {"type": "ExternalName", "externalName": external}})
    }

    fn calling(external: &str) -> World {
        World::asking("Pod", "web-1-a")
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", REFUSED)
            .with(alias(external))
            .listed("Service")
    }

    #[test]
    fn a_name_for_a_service_that_does_not_exist_is_the_cause() {
        let world = calling("postgres.data.svc.cluster.local");
        assert_eq!(world.cause(), "external_name_missing Service/db");
        let cause = world.diagnosis().causes.remove(0);
        assert_eq!(cause.confidence, Confidence::High);
        assert!(cause.evidence.iter().any(|it| it.quote.contains("externalName: postgres.data.svc.cluster.local")));
    }

    #[test]
    fn a_name_for_a_service_there_is_stands_for_that() {
        let there = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "postgres", "namespace": "data"},
            "spec": {"clusterIP": "10.96.3.4", "selector": {"app": "postgres"}, "ports": [{"port": 5432}]}});
        let broken = json!({"metadata": {"name": "postgres-0", "namespace": "data", "labels": {"app": "postgres"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "postgres", "uid": "p", "controller": true}]}});
        let world = calling("postgres.data.svc.cluster.local").with(there);
        assert!(!world.codes().contains(&"external_name_missing"));
        let world = world.with(pod(crate::playbook::world::patched(crashed(137, "OOMKilled"), broken)));
        assert_eq!(world.cause(), "oom_killed_no_limit StatefulSet/postgres");
    }

    #[test]
    fn a_name_outside_the_cluster_is_not_looked_up_here() {
        let world = calling("shop.eu-1.rds.example.com");
        assert!(!world.codes().contains(&"external_name_missing"));
        assert_eq!(world.cause(), "external_name_unresolved Service/db");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.causes.iter().all(|cause| cause.confidence < Confidence::High));
        assert!(diagnosis.data_gaps.join("\n").contains("shop.eu-1.rds.example.com"), "{:?}", diagnosis.data_gaps);
    }

    #[test]
    fn a_slip_in_a_name_outside_shows_beside_its_neighbour() {
        let beside = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "search-db", "namespace": "shop"},
            "spec": {"type": "ExternalName", "externalName": "search.db.example.internal"}});
        let world = calling("shop.db.example.internl").with(beside.clone());
        let cause = world.diagnosis().causes.remove(0);
        assert!(cause.summary.contains("search.db.example.internal"), "{}", cause.summary);
        let world = calling("shop.eu-1.rds.example.com").with(beside);
        let cause = world.diagnosis().causes.remove(0);
        assert!(!cause.summary.contains("search.db"), "another domain altogether: {}", cause.summary);
    }

    #[test]
    fn a_name_outside_that_resolves_is_not_blamed_for_what_refuses() {
        let world = World::asking("Pod", "web-1-a")
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", "FATAL dial tcp db:5432: connect: connection refused")
            .with(alias("shop.eu-1.rds.example.com"))
            .listed("Service");
        assert!(!world.codes().contains(&"external_name_unresolved"));
    }
}
