//! Gateway API: classes without a controller, Gateways that are not programmed, routes that no Gateway takes or whose backend
//! is not there.

use jiff::Timestamp;
use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::claim::near_hint;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::scene::{Scene, named};
use crate::report::Step;

/// Conditions that must be true, and the code where they are not.
const CONDITIONS: [(&str, &str, &str); 5] = [
    ("Gateway", "Accepted", "gateway_not_accepted"),
    ("Gateway", "Programmed", "gateway_not_programmed"),
    ("GatewayClass", "Accepted", "gateway_class_not_accepted"),
    ("HTTPRoute", "Accepted", "route_not_accepted"),
    ("HTTPRoute", "ResolvedRefs", "route_backend_unresolved"),
];

/// Minutes a controller may take to judge what is new.
const PATIENCE: i64 = 5;

/// Findings about Gateways, their classes and HTTPRoutes that were read.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let kinds = ["Gateway", "GatewayClass", "HTTPRoute"];
    let objects = kinds.into_iter().flat_map(|kind| scene.facts.raw_all(kind));
    let judge = |(name, value, reference)| {
        dangling(scene, name, value, reference)
            .or_else(|| refused(scene, name, value, reference))
            .or_else(|| wrong_port(scene, name, value, reference))
    };
    objects.filter_map(judge).collect()
}

/// A Gateway whose class, or a route whose Gateway, does not exist: no controller ever looks at it.
fn dangling(scene: &Scene<'_>, name: &ObjectRef, value: &Value, reference: &str) -> Option<Finding> {
    let (code, missing) = match name.kind.as_str() {
        "Gateway" => ("gateway_class_missing", class_of(value)?),
        "HTTPRoute" => ("route_gateway_missing", gateways(name, value).find(|it| scene.facts.is_missing(it))?),
        _ => return None,
    };
    if !scene.facts.is_missing(&missing) {
        return None;
    }
    let hint = near_hint(scene, &scene.near_misses(&missing));
    let headline = scene.text(
        format!("{name} 引用的 {missing} 不存在（not found），没有控制器为它提供服务{hint}"),
        format!("{name} refers to {missing}, which does not exist (not found), so no controller serves it{hint}"),
    );
    Some(
        Finding::new(code, Depth::Root, name, name, headline)
            .cite([scene.quote_any(
                reference,
                &[&format!("gatewayClassName: {}", missing.name), &format!("name: {}", missing.name)],
            )])
            .touches(dependents(scene, name))
            .steps(steps(scene, name, &scene.text("修正引用的名称", "Correct the name it refers to"))),
    )
}

fn class_of(gateway: &Value) -> Option<ObjectRef> {
    let class = gateway.pointer("/spec/gatewayClassName")?.as_str()?;
    Some(ObjectRef::new("GatewayClass", "", class))
}

/// The Gateways a route hangs on; it may also hang on other kinds, for example a Service of a mesh.
fn gateways<'v>(route: &'v ObjectRef, value: &'v Value) -> impl Iterator<Item = ObjectRef> + 'v {
    let parents = value.pointer("/spec/parentRefs").and_then(Value::as_array).into_iter().flatten();
    let parents = parents.filter(|parent| parent["kind"].as_str().unwrap_or("Gateway") == "Gateway");
    parents.filter_map(|parent| {
        let namespace = parent["namespace"].as_str().unwrap_or(&route.namespace);
        Some(ObjectRef::new("Gateway", namespace, parent["name"].as_str()?))
    })
}

/// The Gateways of a class and the routes of a Gateway, as far as they were read: they suffer with it.
fn dependents(scene: &Scene<'_>, name: &ObjectRef) -> Vec<ObjectRef> {
    let of_class = scene.facts.raw_all("Gateway").filter(|(_, value, _)| class_of(value).as_ref() == Some(name));
    let classed: Vec<ObjectRef> = of_class.map(|(gateway, ..)| gateway.clone()).collect();
    let hangs =
        |route: &ObjectRef, value: &Value| gateways(route, value).any(|it| it == *name || classed.contains(&it));
    let routes = scene.facts.raw_all("HTTPRoute").filter(|(route, value, _)| hangs(route, value));
    routes.map(|(route, ..)| route.clone()).chain(classed.iter().cloned()).collect()
}

/// The Services a route sends to.
pub fn backends<'v>(route: &'v Value) -> impl Iterator<Item = &'v str> + 'v {
    references(route).filter_map(|it| it["name"].as_str())
}

fn references<'v>(route: &'v Value) -> impl Iterator<Item = &'v Value> + 'v {
    let rules = route.pointer("/spec/rules").and_then(Value::as_array).into_iter().flatten();
    let refs = rules.flat_map(|rule| rule["backendRefs"].as_array().into_iter().flatten());
    refs.filter(|backend| backend["kind"].as_str().unwrap_or("Service") == "Service")
}

/// A route to a port that its Service does not have; not every controller says so in a condition.
fn wrong_port(scene: &Scene<'_>, name: &ObjectRef, value: &Value, reference: &str) -> Option<Finding> {
    let (service, port, offered) = references(value).find_map(|backend| {
        let service = scene.service(&name.namespace, backend["name"].as_str()?)?;
        let port = i32::try_from(backend["port"].as_i64()?).ok()?;
        let ports = service.object.spec.as_ref()?.ports.iter().flatten();
        let offered: Vec<i32> = ports.map(|port| port.port).collect();
        let here = backend["namespace"].as_str().is_none_or(|other| other == name.namespace);
        (here && !offered.is_empty() && !offered.contains(&port)).then(|| (named(&service.object), port, offered))
    })?;
    let offered = offered.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let headline = scene.text(
        format!("{name} 把流量转给 {service} 的端口 {port}，而该 Service 只有端口 {offered}"),
        format!("{name} sends to port {port} of {service}, which only has {offered}"),
    );
    Some(
        Finding::new("route_backend_unresolved", Depth::Root, name, name, headline)
            .cite([scene.quote_any(reference, &[&format!("port: {port}")])])
            .touches([service])
            .steps(steps(scene, name, &scene.text(format!("改为端口 {offered}"), format!("Use port {offered}")))),
    )
}

/// The conditions of an object, those a route has at each of its parents included.
fn conditions(value: &Value) -> impl Iterator<Item = &Value> {
    let parents = value.pointer("/status/parents").and_then(Value::as_array).into_iter().flatten();
    let at_parents = parents.flat_map(|parent| parent["conditions"].as_array().into_iter().flatten());
    value.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten().chain(at_parents)
}

/// Whether a condition says no, or nobody has said anything in time: a controller that is not there never does.
fn is_against(scene: &Scene<'_>, condition: &Value) -> bool {
    let since = condition["lastTransitionTime"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let waited = since.map_or(0, |since| (scene.facts.now.as_second() - since.as_second()) / 60);
    condition["status"] == "False" || (condition["status"] == "Unknown" && waited >= PATIENCE)
}

fn refused(scene: &Scene<'_>, name: &ObjectRef, value: &Value, reference: &str) -> Option<Finding> {
    let wanted = CONDITIONS.iter().filter(|(kind, ..)| *kind == name.kind);
    let (condition, kind, code) = wanted.into_iter().find_map(|(_, kind, code)| {
        let found = conditions(value).find(|it| it["type"] == *kind && is_against(scene, it))?;
        Some((found, *kind, *code))
    })?;
    let word = |key: &str| condition[key].as_str().unwrap_or_default();
    let (status, reason, message) = (word("status"), word("reason"), word("message"));
    let said = logs::shorten(message, 160);
    let headline = scene.text(
        format!("{name} 未生效：{kind}={status}（{reason}）：{said}"),
        format!("{name} is not in effect: {kind}={status} ({reason}): {said}"),
    );
    let services = backends(value).map(|service| ObjectRef::new("Service", &name.namespace, service));
    let missing = services.filter(|service| scene.facts.is_missing(service));
    // A Gateway waits for its class, and a route for its Gateway.
    let depth = if name.kind == "GatewayClass" { Depth::Root } else { Depth::Mechanism };
    Some(
        Finding::new(code, depth, name, name, headline)
            .cite([scene.quote(reference, message), scene.quote(reference, &format!("reason: {reason}"))])
            .touches(missing)
            .touches(dependents(scene, name))
            .steps(steps(scene, name, &said)),
    )
}

fn steps(scene: &Scene<'_>, name: &ObjectRef, detail: &str) -> [Step; 2] {
    [
        look(
            scene.text("查看对象的条件", "Read its conditions"),
            kubectl(&name.namespace, &format!("get {} -o yaml", slash(name))),
        ),
        change(
            scene.text(
                "按条件中的原因修正引用，或恢复它的控制器",
                "Correct what its condition names, or bring back its controller",
            ),
            detail,
            Some(kubectl(&name.namespace, &format!("edit {}", slash(name)))),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, pod, service};

    fn route(resolved: &str) -> serde_json::Value {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "front", "namespace": "shop"},
            "spec": {"rules": [{"backendRefs": [{"name": "webb", "port": 80}]}]},
            "status": {"parents": [{"conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""},
                {"type": "ResolvedRefs", "status": resolved, "reason": "BackendNotFound", "message": "service shop/webb not found"}]}]}})
    }

    #[test]
    fn a_route_whose_backend_is_not_there_says_so() {
        let world = World::asking("HTTPRoute", "front").with(route("False"));
        assert_eq!(world.cause(), "route_backend_unresolved HTTPRoute/front");
        assert!(world.diagnosis().headline.contains("shop/webb not found"));
    }

    #[test]
    fn a_route_in_effect_stays_quiet() {
        assert!(World::asking("HTTPRoute", "front").with(route("True")).codes().is_empty());
    }

    #[test]
    fn a_gateway_that_is_not_programmed_is_named() {
        let gateway = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "edge", "namespace": "shop"},
            "status": {"conditions": [{"type": "Programmed", "status": "False", "reason": "AddressNotAssigned", "message": "no addresses have been assigned"}]}});
        assert_eq!(World::asking("Gateway", "edge").with(gateway).cause(), "gateway_not_programmed Gateway/edge");
    }

    fn judged(kind: &str, condition: &str, status: &str) -> World {
        let judged = json!([{"type": condition, "status": status, "reason": "Invalid", "message": "controller: no such parameters"}]);
        let status = match kind {
            "HTTPRoute" => json!({"parents": [{"conditions": judged}]}),
            _ => json!({"conditions": judged}),
        };
        World::asking(kind, "edge").with(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
            "metadata": {"name": "edge", "namespace": "shop"}, "spec": {}, "status": status}))
    }

    #[test]
    fn what_its_controller_does_not_accept_is_named_by_kind() {
        assert_eq!(judged("Gateway", "Accepted", "False").cause(), "gateway_not_accepted Gateway/edge");
        assert_eq!(judged("HTTPRoute", "Accepted", "False").cause(), "route_not_accepted HTTPRoute/edge");
        let class = judged("GatewayClass", "Accepted", "False");
        assert_eq!(class.cause(), "gateway_class_not_accepted GatewayClass/edge");
        assert!(class.diagnosis().headline.contains("no such parameters"));
    }

    #[test]
    fn what_is_accepted_and_conditions_of_other_names_stay_quiet() {
        for kind in ["Gateway", "GatewayClass", "HTTPRoute"] {
            assert!(judged(kind, "Accepted", "True").codes().is_empty(), "{kind}");
            assert!(judged(kind, "Conflicted", "False").codes().is_empty(), "{kind}");
        }
    }

    fn gateway(class: &str) -> serde_json::Value {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "edge", "namespace": "shop"},
            "spec": {"gatewayClassName": class}, "status": {"conditions": [{"type": "Accepted", "status": "Unknown",
                "reason": "Pending", "message": "Waiting for controller", "lastTransitionTime": "1970-01-01T00:00:00Z"}]}})
    }

    fn class(since: &str) -> serde_json::Value {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "envoy"},
            "spec": {"controllerName": "gateway.envoyproxy.io/controller"}, "status": {"conditions": [{"type": "Accepted",
                "status": "Unknown", "reason": "Pending", "message": "Waiting for controller", "lastTransitionTime": since}]}})
    }

    fn hanging_on(gateway: &str) -> serde_json::Value {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "front", "namespace": "shop"},
            "spec": {"parentRefs": [{"name": gateway}], "rules": []}})
    }

    #[test]
    fn a_class_that_no_controller_takes_explains_its_gateways_and_their_routes() {
        let world = World::asking("HTTPRoute", "front")
            .with(hanging_on("edge"))
            .with(gateway("envoy"))
            .with(class("1970-01-01T00:00:00Z"));
        assert_eq!(world.cause(), "gateway_class_not_accepted GatewayClass/envoy");
        let young = World::asking("GatewayClass", "envoy").with(class("2026-11-23T02:58:00Z"));
        assert!(young.codes().is_empty(), "a controller has a few minutes to say something");
    }

    #[test]
    fn a_class_or_a_gateway_that_does_not_exist_is_named() {
        let classless = World::asking("Gateway", "edge").with(gateway("envoi")).listed("GatewayClass");
        assert_eq!(classless.cause(), "gateway_class_missing Gateway/edge");
        let alone =
            World::asking("HTTPRoute", "front").with(hanging_on("egde")).with(gateway("envoy")).listed("Gateway");
        assert_eq!(alone.cause(), "route_gateway_missing HTTPRoute/front");
        assert!(alone.diagnosis().headline.contains("edge exists"));
        let unread = World::asking("HTTPRoute", "front").with(hanging_on("egde"));
        assert!(unread.codes().is_empty(), "what was not read is not missing");
    }

    #[test]
    fn a_port_the_backend_does_not_have_is_the_routes_mistake() {
        let to = |port: i32| {
            let route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "front", "namespace": "shop"},
                "spec": {"rules": [{"backendRefs": [{"name": "web", "port": port}]}]}});
            World::asking("HTTPRoute", "front").with(route).with(service(json!({"app": "web"}))).with(pod(json!({})))
        };
        assert_eq!(to(8080).cause(), "route_backend_unresolved HTTPRoute/front");
        assert!(to(8080).diagnosis().headline.contains("only has 80"));
        assert!(to(80).codes().is_empty());
    }
}
