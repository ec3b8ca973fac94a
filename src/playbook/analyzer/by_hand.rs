//! Services whose addresses somebody wrote by hand, where a Pod that is gone had one of them.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::Value;

use super::service;
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named, service_selector};
use crate::report::{Confidence, Step};

/// Labels by which a Service may select a workload's Pods, the commonest first.
const SELECTING: [&str; 4] = ["app.kubernetes.io/name", "app", "k8s-app", "name"];
/// Pods whose addresses begin alike before that is taken for the Pods' network.
const NEIGHBOURS: usize = 2;
/// How those are called by whom the API server notes that people, or what they keep in Git, wrote a field.
const PEOPLE: [&str; 9] =
    ["kubectl", "helm", "argocd", "flux", "kustomize", "terraform", "hashicorp", "pulumi", "before-first-apply"];
/// Annotations by which those who elect a leader keep its address.
const ELECTED: [&str; 2] = ["leader", "control-plane.alpha.kubernetes.io/leader"];

/// Findings about Services that send to an address no Pod has any more.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.services.iter().filter_map(|service| stale(scene, service)).collect()
}

/// Whether nobody but a person keeps a Service's addresses: it has no selector, and is no other name either.
#[must_use]
pub fn is_by_hand(service: &Service) -> bool {
    let external = service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
    let name = named(service);
    let of_the_api = name.namespace == "default" && name.name == "kubernetes";
    // Of one that was only listed nothing is known.
    service.spec.is_some() && service_selector(service).is_none() && !external && !of_the_api
}

/// Whether a program keeps the addresses, as Patroni does those of its leader: nobody wrote them by hand, and a selector
/// would send to Pods that the program leaves out.
fn is_kept(value: &Value) -> bool {
    let owned = list(value, "/metadata/ownerReferences").next().is_some();
    let annotations = value.pointer("/metadata/annotations").and_then(Value::as_object);
    let elected = annotations.is_some_and(|all| ELECTED.iter().any(|key| all.contains_key(*key)));
    let writes = |it: &&Value| {
        let fields = it.get("fieldsV1").and_then(Value::as_object);
        fields.is_none_or(|fields| fields.contains_key("f:subsets") || fields.contains_key("f:endpoints"))
    };
    let writers = list(value, "/metadata/managedFields").filter(writes);
    let program = |manager: &str| !PEOPLE.iter().any(|person| manager.to_ascii_lowercase().starts_with(person));
    owned || elected || writers.filter_map(|it| it.get("manager")?.as_str()).any(program)
}

/// The addresses that Endpoints or an EndpointSlice hold, those of Nodes aside.
#[must_use]
pub fn addresses(value: &Value) -> Vec<String> {
    let own = |it: &&Value| it.pointer("/targetRef/kind").and_then(Value::as_str) != Some("Node");
    let of_subsets = list(value, "/subsets").flat_map(|subset| {
        list(subset, "/addresses").chain(list(subset, "/notReadyAddresses")).filter(own).filter_map(|it| it.get("ip"))
    });
    let of_slice = list(value, "/endpoints").filter(own).flat_map(|it| list(it, "/addresses"));
    of_subsets.chain(of_slice).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn ports(value: &Value) -> Vec<i64> {
    let of_subsets = list(value, "/subsets").flat_map(|subset| list(subset, "/ports"));
    of_subsets.chain(list(value, "/ports")).filter_map(|port| port.get("port")?.as_i64()).collect()
}

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// What holds a Service's addresses: its Endpoints, or where there are none an EndpointSlice that no controller keeps.
fn written<'s>(scene: &'s Scene<'_>, service: &ObjectRef) -> Option<(ObjectRef, &'s Value, &'s str)> {
    let endpoints = ObjectRef::new("Endpoints", &service.namespace, &service.name);
    if let Some((value, reference)) = scene.facts.raw(&endpoints) {
        return Some((endpoints, value, reference));
    }
    let label = |value: &'s Value, key: &str| value.pointer(&format!("/metadata/labels/{key}")).and_then(Value::as_str);
    let of_service = |name: &ObjectRef, value: &'s Value| {
        name.namespace == service.namespace
            && label(value, "kubernetes.io~1service-name") == Some(service.name.as_str())
            && label(value, "endpointslice.kubernetes.io~1managed-by").is_none_or(|by| !by.ends_with(".k8s.io"))
    };
    let found = scene.facts.raw_all("EndpointSlice").find(|(name, value, _)| of_service(name, value));
    found.map(|(name, value, reference)| (name.clone(), value, reference))
}

fn stale(scene: &Scene<'_>, service: &Seen<Service>) -> Option<Finding> {
    let name = named(&service.object);
    let is_meant = || scene.question.targets.contains(&name) || service::called_in_vain(scene, &name);
    if !is_by_hand(&service.object) || !is_meant() {
        return None;
    }
    let (endpoints, value, reference) = written(scene, &name).filter(|(_, value, _)| !is_kept(value))?;
    let all = addresses(value);
    let gone: Vec<(&str, bool)> = all.iter().filter_map(|ip| Some((ip.as_str(), left(scene, ip)?))).collect();
    let sure = gone.iter().all(|(_, sure)| *sure) && gone.len() == all.len();
    let addresses = gone.iter().map(|(ip, _)| *ip).collect::<Vec<_>>().join(", ");
    let first = gone.first()?.0;
    let meant = meant(scene, &name, &ports(value));
    // Where Pods and machines share one network, an address there need never have been a Pod's.
    if !sure && meant.is_none() {
        return None;
    }
    let now = meant.map_or_else(String::new, |pod| now_at(scene, &pod.object));
    let kind = &endpoints.kind;
    let headline = scene.text(
        format!("{name} 没有 selector，它手工写入的 {kind} 指向 {addresses}，而该地址已不属于任何 Pod{now}"),
        format!("{name} has no selector, and the address in its {kind}, written by hand, is {addresses}, which no Pod has any more{now}"),
    );
    let asked = scene.facts.at_address(first).map(|(_, reference)| reference.to_owned());
    Some(
        Finding::new("endpoints_address_stale", Depth::Root, &name, &endpoints, headline)
            .confidence(if sure { Confidence::High } else { Confidence::Medium })
            .cite([
                scene.quote_any(reference, &[&format!("ip: {first}"), &format!("- {first}")]),
                asked.and_then(|asked| scene.quote_line(&asked, &["No ", "found"])),
                meant.and_then(|pod| scene.quote_any(&pod.reference, &[&format!("podIP: {}", address(&pod.object))])),
            ])
            .touches([name.clone()])
            .touches(meant.map(|pod| scene.workload(&pod.object)))
            .unresolved(scene.text(
                format!("{name} 为何没有 selector：是有意指向集群之外，还是遗漏？"),
                format!("Why has {name} no selector: is it meant to send outside the cluster, or was it forgotten?"),
            ))
            .steps(steps(scene, &name, &endpoints, meant)),
    )
}

/// Whether no Pod has an address that lies in the Pods' network, and whether that network is surely theirs; `None` for one
/// that a Pod has, that lies elsewhere, or that nobody asked for. Pods can be asked for by their first address alone, so of one
/// of the other family nothing is known.
fn left(scene: &Scene<'_>, ip: &str) -> Option<bool> {
    let (there, _) = scene.facts.at_address(ip)?;
    if !there.is_empty() || scene.pods.iter().any(|pod| has(&pod.object, ip)) || !is_of_first_family(scene, ip) {
        return None;
    }
    let parsed: IpAddr = ip.parse().ok()?;
    let ranges = scene.nodes.iter().filter_map(|node| node.object.spec.as_ref());
    let mut ranges =
        ranges.filter_map(|spec| spec.pod_cidr.as_ref().or_else(|| spec.pod_cidrs.iter().flatten().next()));
    if ranges.any(|range| holds(range, parsed)) {
        return Some(true);
    }
    (beside(scene, ip) >= NEIGHBOURS).then_some(false)
}

/// Whether a Pod has an address, be it its second one.
fn has(pod: &Pod, ip: &str) -> bool {
    let status = pod.status.as_ref();
    let mut all = status.and_then(|status| status.pod_ips.as_deref()).unwrap_or(&[]).iter();
    address(pod) == ip || all.any(|it| it.ip == ip)
}

/// Whether an address is of the family that the Pods' first addresses are of, as far as Pods were read.
fn is_of_first_family(scene: &Scene<'_>, ip: &str) -> bool {
    let mut known = scene.pods.iter().map(|pod| address(&pod.object)).filter(|address| !address.is_empty()).peekable();
    known.peek().is_none() || known.any(|address| address.contains(':') == ip.contains(':'))
}

/// How many Pods of their own network have addresses that begin as this one does.
fn beside(scene: &Scene<'_>, ip: &str) -> usize {
    let begins = |ip: &str| ip.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    let own = |pod: &&Seen<Pod>| pod.object.spec.as_ref().and_then(|spec| spec.host_network) != Some(true);
    scene.pods.iter().filter(own).filter(|pod| ip.contains('.') && begins(address(&pod.object)) == begins(ip)).count()
}

/// Whether a range such as `10.244.2.0/24` holds an address.
fn holds(range: &str, ip: IpAddr) -> bool {
    let Some((base, bits)) = range.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (base, ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) => {
            let rest = 32_u32.saturating_sub(bits);
            u32::from(base).checked_shr(rest) == u32::from(ip).checked_shr(rest)
        }
        (IpAddr::V6(base), IpAddr::V6(ip)) => {
            let rest = 128_u32.saturating_sub(bits);
            u128::from(base).checked_shr(rest) == u128::from(ip).checked_shr(rest)
        }
        _ => false,
    }
}

fn address(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).unwrap_or_default()
}

/// A Ready Pod that bears the Service's name and offers one of the ports.
fn meant<'s>(scene: &'s Scene<'_>, service: &ObjectRef, ports: &[i64]) -> Option<&'s Seen<Pod>> {
    let stem = format!("{}-", service.name);
    let offers = |pod: &Pod| {
        let views = pods::containers(pod);
        let declared = views.iter().flat_map(|view| view.spec.ports.iter().flatten());
        declared.map(|port| i64::from(port.container_port)).any(|port| ports.contains(&port))
    };
    scene.current_pods().find(|pod| {
        let name = named(&pod.object);
        name.namespace == service.namespace
            && name.name.starts_with(&stem)
            && pods::is_ready(&pod.object)
            && offers(&pod.object)
    })
}

fn now_at(scene: &Scene<'_>, pod: &Pod) -> String {
    let (workload, ip) = (scene.workload(pod), address(pod));
    scene.text(
        format!("；名称相近、提供同一端口的 {workload} 现在位于 {ip}"),
        format!("; {workload}, of a like name and with the same port, is at {ip} now"),
    )
}

fn steps(scene: &Scene<'_>, service: &ObjectRef, written: &ObjectRef, meant: Option<&Seen<Pod>>) -> Vec<Step> {
    let (namespace, kind) = (&service.namespace, &written.kind);
    let compare = look(
        scene.text(
            format!("对比 {kind} 中的地址与 Pod 的地址"),
            format!("Compare the addresses in the {kind} with those of the Pods"),
        ),
        kubectl(namespace, &format!("get {},pods -o wide", kind.to_lowercase())),
    );
    let Some(pod) = meant else {
        return vec![
            compare,
            change(
                scene.text(
                    format!("更正 {kind} 中的地址，或给 Service 加上 selector"),
                    format!("Correct the address in the {kind}, or give the Service a selector"),
                ),
                "",
                Some(kubectl(namespace, &format!("edit {}", slash(written)))),
            ),
        ];
    };
    let labels = pod.object.metadata.labels.as_ref();
    let pair = SELECTING.iter().find_map(|key| Some((*key, labels?.get(*key)?)));
    let workload = scene.workload(&pod.object);
    let command = pair.map(|(key, value)| {
        let patch = serde_json::json!({"spec": {"selector": {key: value}}});
        kubectl(namespace, &format!("patch {} -p '{patch}'", slash(service)))
    });
    vec![
        compare,
        change(
            scene.text(
                format!("如果它指的是 {workload}，给 Service 加上选中其 Pod 的 selector"),
                format!("If {workload} is meant, give the Service a selector of its Pods"),
            ),
            scene.text(
                format!(
                    "地址此后随 Pod 更新；只改 {kind} 中的地址（改为 {}）会在下次重建 Pod 后再次失效",
                    address(&pod.object)
                ),
                format!(
                    "Its addresses then follow the Pods; one corrected by hand in the {kind} (to {}) goes stale with the next Pod",
                    address(&pod.object)
                ),
            ),
            command,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::holds;
    use crate::playbook::world::{World, container, node, patched, pod, service};
    use crate::report::Confidence;

    fn by_hand() -> Value {
        patched(service(json!(null)), json!({"metadata": {"name": "rates"}, "spec": {"clusterIP": "10.96.0.9"}}))
    }

    fn endpoints(ip: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "rates", "namespace": "shop"},
            "subsets": [{"addresses": [{"ip": ip}], "ports": [{"port": 8443}]}]})
    }

    fn engine() -> Value {
        let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rates-engine-1", "uid": "r", "controller": true}]);
        pod(
            json!({"metadata": {"name": "rates-engine-1-x", "labels": {"app": "rates-engine"}, "ownerReferences": owner},
            "spec": {"containers": [container(json!({"ports": [{"containerPort": 8443}]}))]}, "status": {"podIP": "10.244.4.9"}}),
        )
    }

    fn called(ip: &str, asked: bool) -> World {
        let world = World::asking("Pod", "web-1-a")
            .with(pod(json!({})))
            .log("web-1-a", "ERROR GET http://rates:8443/v2: connect timed out\n")
            .with(by_hand())
            .with(endpoints(ip))
            .with(engine())
            .with(node(json!({"spec": {"podCIDR": "10.244.2.0/24"}})));
        if asked { world.nobody_at(ip) } else { world }
    }

    #[test]
    fn an_address_no_pod_has_any_more_is_blamed_on_who_wrote_it_down() {
        let world = called("10.244.2.57", true);
        assert_eq!(world.cause(), "endpoints_address_stale Endpoints/rates");
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::High);
        assert!(diagnosis.headline.contains("10.244.2.57") && diagnosis.headline.contains("is at 10.244.4.9 now"));
        let commands: Vec<&str> = diagnosis.steps.iter().filter_map(|step| step.command.as_deref()).collect();
        let patch = r#"kubectl -n shop patch service/rates -p '{"spec":{"selector":{"app":"rates-engine"}}}'"#;
        assert!(commands.contains(&patch), "{commands:?}");
    }

    #[test]
    fn an_address_outside_the_pods_network_or_of_a_pod_is_nobodys_mistake() {
        let stale = |ip: &str, asked: bool| called(ip, asked).codes().contains(&"endpoints_address_stale");
        assert!(!stale("192.168.7.20", true), "a host outside the cluster");
        assert!(!stale("10.244.4.9", true), "a Pod has it");
        assert!(!stale("10.244.2.57", false), "nobody looked");
        assert!(stale("10.244.7.3", true), "among the Pods' addresses");
    }

    #[test]
    fn an_address_in_a_network_that_pods_share_with_machines_proves_nothing_alone() {
        let other = json!({"metadata": {"name": "cart-1-a"}, "status": {"podIP": "10.244.1.6"}});
        let shared = World::asking("Pod", "web-1-a")
            .with(pod(json!({})))
            .with(pod(other))
            .log("web-1-a", "ERROR GET http://rates:8443/v2: connect timed out\n")
            .with(by_hand())
            .with(endpoints("10.244.7.3"))
            .nobody_at("10.244.7.3");
        assert!(!shared.codes().contains(&"endpoints_address_stale"));
    }

    #[test]
    fn a_slice_written_by_hand_is_read_where_there_are_no_endpoints() {
        let slice = |keeper: Value| {
            let labels =
                json!({"kubernetes.io/service-name": "rates", "endpointslice.kubernetes.io/managed-by": keeper});
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "rates-1", "namespace": "shop", "labels": labels},
                "endpoints": [{"addresses": ["10.244.2.57"]}], "ports": [{"port": 8443}]})
        };
        let asked = |keeper: Value| {
            World::asking("Pod", "web-1-a")
                .with(pod(json!({})))
                .log("web-1-a", "ERROR GET http://rates:8443/v2: connect timed out\n")
                .with(by_hand())
                .with(slice(keeper))
                .with(node(json!({"spec": {"podCIDR": "10.244.2.0/24"}})))
                .nobody_at("10.244.2.57")
        };
        assert_eq!(asked(json!(null)).cause(), "endpoints_address_stale EndpointSlice/rates-1");
        let kept = asked(json!("endpointslice-controller.k8s.io"));
        assert!(!kept.codes().contains(&"endpoints_address_stale"));
    }

    #[test]
    fn addresses_that_a_program_keeps_are_written_by_nobody() {
        let stale = |metadata: Value| {
            World::asking("Pod", "web-1-a")
                .with(pod(json!({})))
                .log("web-1-a", "ERROR GET http://rates:8443/v2: connect timed out\n")
                .with(by_hand())
                .with(patched(endpoints("10.244.2.57"), json!({"metadata": metadata})))
                .with(engine())
                .with(node(json!({"spec": {"podCIDR": "10.244.2.0/24"}})))
                .nobody_at("10.244.2.57")
                .codes()
                .contains(&"endpoints_address_stale")
        };
        let wrote = |manager: &str| json!({"managedFields": [{"manager": manager, "fieldsV1": {"f:subsets": {}}}]});
        assert!(stale(wrote("kubectl-client-side-apply")) && stale(wrote("helm")) && stale(wrote("argocd-controller")));
        assert!(!stale(wrote("Patroni")), "it elects");
        assert!(!stale(json!({"annotations": {"leader": "db-0", "ttl": "30"}})));
        assert!(!stale(json!({"ownerReferences": [{"kind": "PostgresCluster", "name": "db"}]})));
        let labels = json!({"managedFields": [{"manager": "labeller", "fieldsV1": {"f:metadata": {}}}]});
        assert!(stale(labels), "it wrote no address");
    }

    #[test]
    fn a_second_address_of_a_pod_is_not_gone() {
        let both = |ips: Value| {
            World::asking("Pod", "web-1-a")
                .with(pod(json!({})))
                .log("web-1-a", "ERROR GET http://rates:8443/v2: connect timed out\n")
                .with(by_hand())
                .with(endpoints("fd00:10::57"))
                .with(patched(engine(), json!({"status": {"podIPs": ips}})))
                .with(node(
                    json!({"spec": {"podCIDR": "10.244.2.0/24", "podCIDRs": ["10.244.2.0/24", "fd00:10::/64"]}}),
                ))
                .nobody_at("fd00:10::57")
        };
        for ips in [json!([{"ip": "10.244.4.9"}, {"ip": "fd00:10::57"}]), json!([{"ip": "10.244.4.9"}])] {
            assert!(!both(ips).codes().contains(&"endpoints_address_stale"));
        }
    }

    #[test]
    fn a_stale_address_that_nobody_calls_is_quiet() {
        let world = World::asking("Pod", "web-1-a")
            .with(pod(json!({})))
            .with(by_hand())
            .with(endpoints("10.244.2.57"))
            .with(node(json!({"spec": {"podCIDR": "10.244.2.0/24"}})))
            .nobody_at("10.244.2.57");
        world.is_calm();
    }

    #[test]
    fn ranges_hold_what_begins_as_they_do() {
        let has = |range: &str, ip: &str| holds(range, ip.parse().unwrap());
        assert!(has("10.244.2.0/24", "10.244.2.57") && has("0.0.0.0/0", "1.2.3.4") && has("fd00::/64", "fd00::7"));
        assert!(!has("10.244.2.0/24", "10.244.3.57") && !has("10.244.2.0/24", "fd00::7") && !has("x", "1.2.3.4"));
    }
}
