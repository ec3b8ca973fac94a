//! The chain: by which calls the workload of the alerts comes to the one that is broken, in order and on one line.

use std::collections::BTreeSet;

use crate::alert::ObjectRef;
use crate::playbook::finding::Finding;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::{self, Scope};

/// The chain from a workload to the cause, when it lies behind the workload's failing calls.
#[must_use]
pub(super) fn told(scene: &Scene<'_>, workload: &ObjectRef, top: &Finding) -> Option<String> {
    let path = path(scene, workload, top)?;
    let shown = path.iter().map(|it| {
        if it.namespace == workload.namespace { it.name.clone() } else { format!("{}/{}", it.namespace, it.name) }
    });
    let chain = shown.collect::<Vec<_>>().join(" → ");
    Some(scene.text(
        format!("{workload} 因调用链受影响：{chain}"),
        format!("{workload} suffers through what it calls: {chain}"),
    ))
}

/// The workloads on the shortest way, the first and the broken one included.
fn path(scene: &Scene<'_>, workload: &ObjectRef, top: &Finding) -> Option<Vec<ObjectRef>> {
    let end = callee(scene, top)?;
    let mut known = BTreeSet::from([workload.clone()]);
    let mut ways = vec![vec![workload.clone()]];
    for _ in 0..scope::CALLS {
        let mut longer = Vec::new();
        for way in ways {
            let caller = way.last()?;
            // What is broken itself suffers through no call of its own.
            if *caller == top.blame || *caller == end {
                return None;
            }
            let pods = scene.pods_of(caller).into_iter();
            let called: BTreeSet<ObjectRef> =
                pods.flat_map(|pod| scope::called_by(scene, &named(&pod.object))).collect();
            if called.contains(&top.blame) || called.contains(&top.about) {
                return Some(way.iter().chain([&end]).cloned().collect());
            }
            for next in called.into_iter().filter(|it| is_workload(it) && !reach::is_network(it) && !reach::is_dns(it))
            {
                if known.insert(next.clone()) {
                    longer.push(way.iter().cloned().chain([next]).collect());
                }
            }
        }
        ways = longer;
    }
    None
}

/// What is called where the fault lies: a workload or a Service is, a Node or a volume is not, but what stands on it. The
/// network of a Node carries calls; nobody calls it.
fn callee(scene: &Scene<'_>, top: &Finding) -> Option<ObjectRef> {
    let behind = [&top.blame, &top.about].map(|object| Scope::behind(scene, object));
    if behind.iter().flatten().any(reach::is_network) {
        return None;
    }
    let is_called = |it: &&ObjectRef| is_workload(it) || it.kind == "Service";
    let itself = Some(&top.blame).filter(is_called);
    let stands_on_it = behind.iter().find_map(|behind| behind.iter().find(|it| is_workload(it)));
    itself.or(stands_on_it).or(Some(&top.about).filter(is_called)).cloned()
}

fn is_workload(object: &ObjectRef) -> bool {
    matches!(object.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, crashed, deployment, patched, pod, service, waiting};

    fn of(app: &str, state: Value) -> Value {
        let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-1"), "uid": "c", "controller": true}]);
        let name =
            json!({"metadata": {"name": format!("{app}-1-a"), "labels": {"app": app}, "ownerReferences": owner}});
        pod(patched(state, name))
    }

    fn serving(app: &str, address: &str) -> Value {
        patched(service(json!({"app": app})), json!({"metadata": {"name": app}, "spec": {"clusterIP": address}}))
    }

    #[test]
    fn the_workloads_on_the_way_are_told_in_order() {
        let world = World::asking("Service", "front")
            .with(serving("front", "10.96.0.1"))
            .with(serving("cart", "10.96.0.2"))
            .with(service(json!({"app": "web"})))
            .with(of("front", json!({})))
            .with(of("cart", json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})))
            .with(patched(deployment(0, 0), json!({})))
            .log("front-1-a", "ERROR GET http://cart/api: dial tcp 10.96.0.2:80: connect: connection refused")
            .log("cart-1-a", "ERROR GET http://web/api: dial tcp 10.96.0.7:80: connect: connection refused");
        assert_eq!(world.cause(), "scaled_to_zero Deployment/web");
        let impact = world.diagnosis().impact;
        assert!(impact.contains("Deployment shop/front suffers through what it calls: front → cart → web"), "{impact}");
    }

    /// `front` calls Service `web`, behind which `web-1-a` waits on a claim and a Node.
    fn asked(waits: Value) -> String {
        let world = World::asking("Service", "front")
            .with(serving("front", "10.96.0.1"))
            .with(service(json!({"app": "web"})))
            .with(of("front", json!({})))
            .with(deployment(1, 0))
            .with(pod(waits))
            .log("front-1-a", "ERROR GET http://web/api: dial tcp 10.96.0.7:80: connect: connection refused");
        world.diagnosis().impact
    }

    #[test]
    fn the_chain_ends_at_the_workload_and_not_at_what_it_lacks() {
        let waits = waiting("CreateContainerConfigError", "configmap \"web-settings\" not found");
        let impact = asked(waits);
        assert!(impact.contains("through what it calls: front → web"), "{impact}");
        assert!(!impact.contains("→ web-settings"), "{impact}");
    }

    #[test]
    fn a_workload_whose_own_pod_lacks_something_calls_nothing_for_it() {
        let waits = waiting("CreateContainerConfigError", "configmap \"web-settings\" not found");
        let world = World::asking("Deployment", "web")
            .with(service(json!({"app": "web"})))
            .with(deployment(2, 1))
            .with(pod(json!({"metadata": {"name": "web-1-b"}})))
            .with(pod(waits))
            .log("web-1-b", "ERROR GET http://web/api: dial tcp 10.96.0.7:80: connect: connection refused");
        assert!(world.cause().starts_with("configmap_missing"), "{}", world.cause());
        assert!(!world.diagnosis().impact.contains("suffers through"), "{}", world.diagnosis().impact);
    }

    #[test]
    fn a_workload_that_is_broken_itself_has_no_chain() {
        let world = World::asking("Deployment", "web")
            .with(deployment(1, 0))
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", "ERROR cannot parse rules.yaml");
        assert!(!world.diagnosis().impact.contains("suffers through"));
    }
}
