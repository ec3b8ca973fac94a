//! Gateway API: Gateways that are not programmed, routes that no Gateway takes or whose backend is not there.

use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::scene::Scene;

/// Conditions that must be true, and the code where they are not.
const CONDITIONS: [(&str, &str, &str); 5] = [
    ("Gateway", "Accepted", "gateway_not_accepted"),
    ("Gateway", "Programmed", "gateway_not_programmed"),
    ("GatewayClass", "Accepted", "gateway_class_not_accepted"),
    ("HTTPRoute", "Accepted", "route_not_accepted"),
    ("HTTPRoute", "ResolvedRefs", "route_backend_unresolved"),
];

/// Findings about Gateways and HTTPRoutes that were read.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let kinds = ["Gateway", "GatewayClass", "HTTPRoute"];
    let objects = kinds.into_iter().flat_map(|kind| scene.facts.raw_all(kind));
    objects.filter_map(|(name, value, reference)| refused(scene, name, value, reference)).collect()
}

/// The Services a route sends to.
pub fn backends<'v>(route: &'v Value) -> impl Iterator<Item = &'v str> + 'v {
    let rules = route.pointer("/spec/rules").and_then(Value::as_array).into_iter().flatten();
    let refs = rules.flat_map(|rule| rule["backendRefs"].as_array().into_iter().flatten());
    refs.filter(|backend| backend["kind"].as_str().unwrap_or("Service") == "Service")
        .filter_map(|it| it["name"].as_str())
}

/// The conditions of an object, those a route has at each of its parents included.
fn conditions(value: &Value) -> impl Iterator<Item = &Value> {
    let parents = value.pointer("/status/parents").and_then(Value::as_array).into_iter().flatten();
    let at_parents = parents.flat_map(|parent| parent["conditions"].as_array().into_iter().flatten());
    value.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten().chain(at_parents)
}

fn refused(scene: &Scene<'_>, name: &ObjectRef, value: &Value, reference: &str) -> Option<Finding> {
    let wanted = CONDITIONS.iter().filter(|(kind, ..)| *kind == name.kind);
    let (condition, kind, code) = wanted.into_iter().find_map(|(_, kind, code)| {
        let found = conditions(value).find(|it| it["type"] == *kind && it["status"] == "False")?;
        Some((found, *kind, *code))
    })?;
    let reason = condition["reason"].as_str().unwrap_or_default();
    let message = condition["message"].as_str().unwrap_or_default();
    let said = logs::shorten(message, 160);
    let headline = scene.text(
        format!("{name} 未生效：{kind}=False（{reason}）：{said}"),
        format!("{name} is not in effect: {kind}=False ({reason}): {said}"),
    );
    let services = backends(value).map(|service| ObjectRef::new("Service", &name.namespace, service));
    let missing = services.filter(|service| scene.facts.is_missing(service));
    Some(
        Finding::new(code, Depth::Root, name, name, headline)
            .cite([scene.quote(reference, message), scene.quote(reference, &format!("reason: {reason}"))])
            .touches(missing)
            .steps([
                look(
                    scene.text("查看对象的条件", "Read its conditions"),
                    kubectl(&name.namespace, &format!("get {} -o yaml", slash(name))),
                ),
                change(
                    scene.text("按条件中的原因修正引用", "Correct the reference its condition names"),
                    said.clone(),
                    Some(kubectl(&name.namespace, &format!("edit {}", slash(name)))),
                ),
            ]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::World;

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
}
