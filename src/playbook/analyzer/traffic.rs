//! Services with backends that do not answer all the same: too wide a selector, traffic that stays on its Node, an
//! address nobody gave, endpoints nobody fills in.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::reach::{self, Failure};
use crate::playbook::scene::{Scene, named, service_selector};
use crate::report::Confidence;

/// Findings about Services whose traffic goes astray.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let one = |service: &Seen<Service>| {
        let found = [too_wide(scene, service), not_filled(scene, service), no_address(scene, service)];
        found.into_iter().flatten().collect::<Vec<_>>()
    };
    let local = scene.pods.iter().filter_map(|caller| stays_local(scene, caller));
    scene.services.iter().flat_map(one).chain(local).collect()
}

/// A selector that also means Pods which do not offer the port: a part of the calls ends there.
fn too_wide(scene: &Scene<'_>, service: &Seen<Service>) -> Option<Finding> {
    let backends: Vec<&Seen<Pod>> =
        scene.backends(&service.object).into_iter().filter(|pod| pods::is_ready(&pod.object)).collect();
    // Pods that lack one of several ports may well be meant for the others.
    let [port] = service.object.spec.as_ref()?.ports.as_deref()? else { return None };
    let target = port.target_port.clone().unwrap_or(IntOrString::Int(port.port));
    // A Pod that declares no port may listen all the same, unless calls are refused while others declare theirs.
    let declared = backends.iter().any(|pod| offers(&pod.object, &target) == Some(true));
    let strict = declared && refused(scene, &named(&service.object));
    let (offering, others): (Vec<&Seen<Pod>>, Vec<&Seen<Pod>>) =
        backends.into_iter().partition(|pod| offers(&pod.object, &target).unwrap_or(!strict));
    let workloads = |pods: &[&Seen<Pod>]| pods.iter().map(|pod| scene.workload(&pod.object)).collect::<BTreeSet<_>>();
    let (right, wrong) = (workloads(&offering), workloads(&others));
    let stray = wrong.iter().find(|workload| !right.contains(*workload))?;
    let meant = right.iter().next()?;
    let name = named(&service.object);
    let (selector, shown) = (in_words(&service.object), shown(&target));
    let headline = scene.text(
        format!("{name} 的 selector（{selector}）除了 {meant} 还选中了 {stray}，后者没有端口 {shown}，部分请求会失败"),
        format!("The selector of {name} ({selector}) means {stray} besides {meant}; the former has no port {shown}, so a part of the calls fails"),
    );
    Some(
        Finding::new("service_selector_too_wide", Depth::Root, &name, &name, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&service.reference, "selector:")])
            .touches([meant.clone(), stray.clone()])
            .steps([
                look(
                    scene.text("查看被选中的 Pod", "See which Pods it selects"),
                    kubectl(&name.namespace, &format!("get pods --show-labels -l {}", selector.replace(", ", ","))),
                ),
                change(
                    scene.text(
                        format!("给 selector 加上只属于 {} 的标签", meant.name),
                        format!("Add a label to the selector that only {} carries", meant.name),
                    ),
                    "",
                    Some(kubectl(&name.namespace, &format!("edit service {}", name.name))),
                ),
            ]),
    )
}

/// Whether a Pod offers a target port; `None` where its containers declare none at all and nobody can say.
fn offers(pod: &Pod, target: &IntOrString) -> Option<bool> {
    let views = pods::containers(pod);
    let declared: Vec<_> = views.iter().flat_map(|view| view.spec.ports.iter().flatten()).collect();
    match target {
        IntOrString::Int(number) => {
            (!declared.is_empty()).then(|| declared.iter().any(|port| port.container_port == *number))
        }
        IntOrString::String(name) => Some(declared.iter().any(|port| port.name.as_deref() == Some(name))),
    }
}

/// A Service without a selector has the endpoints somebody writes; nobody wrote any.
fn not_filled(scene: &Scene<'_>, service: &Seen<Service>) -> Option<Finding> {
    let spec = service.object.spec.as_ref()?;
    let by_hand = service_selector(&service.object).is_none() && spec.type_.as_deref() != Some("ExternalName");
    let name = named(&service.object);
    let own = ObjectRef::new("Endpoints", &name.namespace, &name.name);
    let found = scene.facts.get::<Endpoints>(&name.namespace, &name.name);
    let empty = found.as_ref().is_some_and(|found| found.object.subsets.as_ref().is_none_or(Vec::is_empty));
    let asked = scene.question.targets.contains(&name) || called(scene, &name);
    // The API server fills in its own.
    if !by_hand || !asked || name.name == "kubernetes" || !(empty || scene.facts.is_missing(&own)) {
        return None;
    }
    let headline = scene.text(
        format!("{name} 没有 selector，也没有人为它维护 Endpoints，访问它的请求没有去处"),
        format!("{name} has no selector and nobody fills in its endpoints, so calls to it lead nowhere"),
    );
    Some(
        Finding::new("service_without_selector_no_endpoints", Depth::Mechanism, &name, &name, headline)
            .confidence(Confidence::Medium)
            .cite([
                scene.facts.absent(&own).cloned(),
                scene.quote_any(&service.reference, &[&format!("name: {}", name.name)]),
            ])
            .steps([
                look(
                    scene.text("查看 Service 与 Endpoints", "Look at the Service and its endpoints"),
                    kubectl(&name.namespace, &format!("get service,endpoints {}", name.name)),
                ),
                change(
                    scene.text(
                        "为 Service 加上 selector，或补上 EndpointSlice",
                        "Give it a selector, or an EndpointSlice",
                    ),
                    "",
                    Some(kubectl(&name.namespace, &format!("edit service {}", name.name))),
                ),
            ]),
    )
}

/// A load balancer the cloud refuses to make.
fn no_address(scene: &Scene<'_>, service: &Seen<Service>) -> Option<Finding> {
    let spec = service.object.spec.as_ref()?;
    let given = service.object.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let has_address = given.is_some_and(|given| given.ingress.as_ref().is_some_and(|points| !points.is_empty()));
    let name = named(&service.object);
    let event = scene.events(&name, &["SyncLoadBalancerFailed", "CreatingLoadBalancerFailed"]).last().copied()?;
    if spec.type_.as_deref() != Some("LoadBalancer") || has_address {
        return None;
    }
    let headline = scene.text(
        format!("{name} 没有外部地址：负载均衡器创建失败：{}", logs::said(&event.message)),
        format!("{name} has no external address: its load balancer cannot be made: {}", logs::said(&event.message)),
    );
    Some(
        Finding::new("load_balancer_failed", Depth::Root, &name, &name, headline)
            .cite([scene.quote_event(event)])
            .steps([
                look(
                    scene.text("查看 Service 事件", "Read the Service's events"),
                    kubectl(&name.namespace, &format!("describe service {}", name.name)),
                ),
                change(
                    scene.text(
                        "按报错修正云端的配额、子网或注解",
                        "Fix the quota, the subnet or the annotation it names",
                    ),
                    "",
                    None,
                ),
            ]),
    )
}

/// A Service that keeps calls on the caller's Node, where no backend runs.
fn stays_local(scene: &Scene<'_>, caller: &Seen<Pod>) -> Option<Finding> {
    let node = pods::node_name(&caller.object)?;
    let calls = reach::failing_calls(scene, &caller.object);
    let (call, service) = calls
        .iter()
        .filter(|call| matches!(call.failure, Failure::Refused | Failure::Timeout))
        .find_map(|call| Some((call, reach::service_of(scene, &caller.object, call)?)))?;
    let spec = service.object.spec.as_ref()?;
    let backends = scene.backends(&service.object);
    let ready: Vec<_> = backends.iter().filter(|pod| pods::is_ready(&pod.object)).collect();
    let here = ready.iter().any(|pod| pods::node_name(&pod.object) == Some(node));
    if spec.internal_traffic_policy.as_deref() != Some("Local") || ready.is_empty() || here {
        return None;
    }
    let name = named(&service.object);
    let headline = scene.text(
        format!("{name} 设置了 internalTrafficPolicy: Local，而调用方所在的 Node {node} 上没有它的后端"),
        format!(
            "{name} has internalTrafficPolicy: Local, and no backend of it runs on Node {node}, where its caller is"
        ),
    );
    Some(
        Finding::new("service_local_traffic_only", Depth::Root, &named(&caller.object), &name, headline)
            .cite([
                scene.quote(&service.reference, "internalTrafficPolicy: Local"),
                scene.quote(&call.log.reference, call.line),
            ])
            .touches([scene.workload(&caller.object)])
            .steps([
                look(
                    scene.text("查看它的后端在哪些节点上", "See on which Nodes its backends run"),
                    kubectl(
                        &name.namespace,
                        &format!("get endpointslices -l kubernetes.io/service-name={} -o yaml", name.name),
                    ),
                ),
                change(
                    scene.text(
                        "改为 Cluster，或让后端在每个节点上运行",
                        "Set it to Cluster, or run a backend on every Node",
                    ),
                    scene.text(
                        "Local 可能是有意为之（只用本节点的 agent、保留来源）：改之前问清属主",
                        "Local may be meant (an agent of each Node for that Node alone): ask its owners first",
                    ),
                    Some(kubectl(
                        &name.namespace,
                        &format!(
                            "patch service {} -p '{{\"spec\":{{\"internalTrafficPolicy\":\"Cluster\"}}}}'",
                            name.name
                        ),
                    )),
                ),
            ]),
    )
}

fn called(scene: &Scene<'_>, name: &ObjectRef) -> bool {
    calls_fail(scene, name, |_| true)
}

/// Whether a log that was read shows that a call to the Service was refused.
pub(super) fn refused(scene: &Scene<'_>, name: &ObjectRef) -> bool {
    calls_fail(scene, name, |failure| failure == Failure::Refused)
}

fn calls_fail(scene: &Scene<'_>, name: &ObjectRef, so: impl Fn(Failure) -> bool) -> bool {
    scene.pods.iter().any(|pod| {
        let mut calls = reach::failing_calls(scene, &pod.object);
        calls.retain(|call| so(call.failure));
        let mut meant = calls.iter().filter_map(|call| reach::service_of(scene, &pod.object, call));
        meant.any(|service| named(&service.object) == *name)
    })
}

fn in_words(service: &Service) -> String {
    let pairs = service_selector(service).into_iter().flatten();
    pairs.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

fn shown(target: &IntOrString) -> String {
    match target {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, patched, pod, service};

    fn other(ports: serde_json::Value) -> serde_json::Value {
        pod(
            json!({"metadata": {"name": "batch-1-a", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "name": "batch-1", "uid": "b", "controller": true}]},
            "spec": {"containers": [{"name": "batch", "image": "reg/batch:1", "ports": ports}]}}),
        )
    }

    #[test]
    fn a_selector_that_means_pods_without_the_port_is_too_wide() {
        let asked = || World::asking("Service", "web").with(service(json!({"app": "web"}))).with(pod(json!({})));
        let world = asked().with(other(json!([{"containerPort": 9000}])));
        assert!(world.codes().contains(&"service_selector_too_wide"), "{:?}", world.codes());
        assert!(world.cause().ends_with("Service/web"), "{}", world.cause());
        let canary = asked().with(other(json!([{"containerPort": 8080}])));
        assert!(canary.codes().is_empty(), "two workloads behind one Service are a canary: {:?}", canary.codes());
    }

    #[test]
    fn one_that_declares_no_port_is_meant_by_mistake_where_calls_are_refused() {
        let ports = json!({"spec": {"containers": [{"name": "web", "image": "reg/web:1", "ports": [{"containerPort": 8080}]}]}});
        let caller = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}});
        let asked = |log: &str| {
            World::asking("Pod", "cart-1-a")
                .with(pod(caller.clone()))
                .with(service(json!({"app": "web"})))
                .with(pod(ports.clone()))
                .with(other(json!([])))
                .log("cart-1-a", &format!("{log}\n").repeat(4))
        };
        let world = asked("ERROR GET http://web/api: connect ECONNREFUSED 10.96.0.7:80");
        assert_eq!(world.cause(), "service_selector_too_wide Service/web");
        assert!(!asked("ERROR GET http://web/api: i/o timeout").codes().contains(&"service_selector_too_wide"));
    }

    #[test]
    fn endpoints_nobody_fills_in_are_missed_only_where_that_is_asked_about() {
        let bare = patched(service(json!(null)), json!({"spec": {"selector": null}}));
        let asked = World::asking("Service", "web").with(bare.clone()).listed("Endpoints");
        assert_eq!(asked.codes(), ["service_without_selector_no_endpoints"]);
        let filled = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web", "namespace": "shop"},
            "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 5432}]}]});
        assert!(World::asking("Service", "web").with(bare).with(filled).codes().is_empty());
    }

    #[test]
    fn a_load_balancer_is_missed_when_the_cloud_said_why() {
        let balanced = patched(service(json!({"app": "web"})), json!({"spec": {"type": "LoadBalancer"}}));
        let asked = || World::asking("Service", "web").with(balanced.clone()).with(pod(json!({})));
        let failed =
            asked().event("Service", "web", "SyncLoadBalancerFailed", "Error syncing load balancer: no free subnet");
        assert_eq!(failed.cause(), "load_balancer_failed Service/web");
        asked().is_calm();
    }

    #[test]
    fn local_traffic_fails_only_where_no_backend_runs_beside_the_caller() {
        let local = patched(service(json!({"app": "web"})), json!({"spec": {"internalTrafficPolicy": "Local"}}));
        let caller = |node: &str| {
            pod(
                json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
                "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "spec": {"nodeName": node}}),
            )
        };
        let world = |node: &str| {
            World::asking("Pod", "cart-1-a")
                .with(caller(node))
                .with(local.clone())
                .with(pod(json!({})))
                .log("cart-1-a", "ERROR GET http://web/api: dial tcp 10.96.0.7:80: connect: connection refused")
        };
        assert_eq!(world("n2").cause(), "service_local_traffic_only Service/web");
        assert!(!world("n1").codes().contains(&"service_local_traffic_only"));
    }
}
