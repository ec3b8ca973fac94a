//! Host ports: which a Pod asks for, and who holds them already.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};

/// The ports a Pod wants of its Node, and the workloads that were seen to hold one; `None` where it wants none.
pub(super) fn told(scene: &Scene<'_>, pod: &Pod) -> Option<String> {
    let wanted = of(pod);
    if wanted.is_empty() {
        return None;
    }
    let own = scene.workload(pod);
    let holders: Vec<String> =
        holders(scene, pod).into_iter().filter(|it| *it != own).map(|it| it.to_string()).collect();
    let ports = wanted.iter().map(|(port, _)| port.to_string()).collect::<Vec<_>>().join(", ");
    let holders = holders.join(", ");
    Some(if holders.is_empty() {
        format!("hostPort {ports}")
    } else {
        scene.text(format!("hostPort {ports}，已被 {holders} 占用"), format!("hostPort {ports}, held by {holders}"))
    })
}

/// The workloads that were seen to hold one of the ports a Pod wants, its own among them.
pub(super) fn holders(scene: &Scene<'_>, pod: &Pod) -> BTreeSet<ObjectRef> {
    let wanted = of(pod);
    let holds = |other: &Pod| {
        let there = pods::node_name(other).is_some() && !pods::is_finished(other);
        there && of(other).iter().any(|port| wanted.contains(port))
    };
    let others = scene.pods.iter().map(|seen| &seen.object).filter(|other| named(*other) != named(pod) && holds(other));
    others.map(|other| scene.workload(other)).collect()
}

/// Each host port with its protocol.
pub(super) fn of(pod: &Pod) -> Vec<(i32, String)> {
    let ports = pods::containers(pod).into_iter().flat_map(|view| view.spec.ports.iter().flatten());
    ports
        .filter_map(|port| Some((port.host_port?, port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, patched, pod, unschedulable};

    fn on_host(port: i32) -> Value {
        json!({"spec": {"containers": [container(json!({"ports": [{"containerPort": port, "hostPort": port}]}))]}})
    }

    #[test]
    fn the_port_and_who_holds_it_are_named() {
        let waits =
            unschedulable("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.");
        let holder = json!({"metadata": {"name": "exporter-x", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "exporter", "uid": "e", "controller": true}]}});
        let told = |held: i32| {
            let world = World::asking("Pod", "web-1-a")
                .with(pod(patched(waits.clone(), on_host(9100))))
                .with(pod(patched(on_host(held), holder.clone())));
            assert_eq!(world.cause(), "host_port_conflict Deployment/web");
            world.diagnosis().causes[0].summary.clone()
        };
        assert!(told(9100).contains("hostPort 9100, held by DaemonSet shop/exporter"), "{}", told(9100));
        assert!(told(9200).ends_with("(hostPort 9100)"), "{}", told(9200));
    }
}
