//! Calls to a Pod by its own address that no policy lets through: clients of Kafka and of other clusters are told where each
//! of the Pods behind a Service is.

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::{addresses, between, finding};
use crate::playbook::facts::Seen;
use crate::playbook::finding::Finding;
use crate::playbook::pods;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};

/// The policy that keeps a caller from the Pod whose address it called, where a Service leads to that Pod.
pub(super) fn shut_out(
    scene: &Scene<'_>,
    policies: &[Seen<NetworkPolicy>],
    caller: &Seen<Pod>,
    call: &Call<'_>,
) -> Option<Finding> {
    if call.failure != Failure::Timeout {
        return None;
    }
    let backend = reach::pod_of(scene, &caller.object, call).filter(|pod| pods::may_serve(&pod.object))?;
    let name = named(&backend.object);
    let leads = |service: &&Seen<Service>| scene.backends(&service.object).iter().any(|it| named(&it.object) == name);
    let service = scene.services.iter().find(leads)?;
    let port = addresses(&backend.object).find_map(|address| port_behind(call.line, address));
    let (policy, way) = between(scene, policies, &caller.object, &backend.object, port)?;
    Some(finding(scene, policy, way, caller, call, &named(&service.object)))
}

/// The port that stands behind an address in a line.
fn port_behind(line: &str, address: &str) -> Option<i32> {
    let (_, rest) = line.split_once(&format!("{address}:"))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, pod, service};

    #[test]
    fn a_pod_that_is_called_by_its_own_address_is_kept_from_the_caller_all_the_same() {
        let caller = || {
            let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]);
            pod(json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": owner}}))
        };
        let backend = || pod(json!({"status": {"podIP": "10.244.3.48"}}));
        let world = |log: &str, port: i32| {
            let egress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "out", "namespace": "shop"},
                "spec": {"podSelector": {"matchLabels": {"app": "cart"}}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": port}]}]}});
            World::asking("Pod", "cart-1-a")
                .with(caller())
                .with(backend())
                .with(service(json!({"app": "web"})))
                .with(egress)
                .log("cart-1-a", log)
        };
        let timeout = "ERROR session not established: unable to dial: dial tcp 10.244.3.48:9092: i/o timeout";
        let blocked = world(timeout, 5432);
        assert_eq!(blocked.cause(), "network_policy_blocks_traffic NetworkPolicy/out");
        assert!(blocked.diagnosis().headline.contains("Service shop/web"), "{}", blocked.diagnosis().headline);
        let told = &blocked.diagnosis().causes[0].summary;
        assert!(told.contains("leaves out Service shop/web (port 9092)"), "{told}");
        let codes = |log: &str, port| world(log, port).codes().contains(&"network_policy_blocks_traffic");
        assert!(!codes(timeout, 9092), "it is open");
        assert!(!codes(&timeout.replace("i/o timeout", "connect: connection refused"), 5432), "somebody answered");
        assert!(!codes(&timeout.replace("10.244.3.48", "10.244.9.9"), 5432), "nobody knows whose address it is");
    }
}
