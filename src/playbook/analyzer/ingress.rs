//! Ingresses that point at nothing: a Service, a TLS Secret or a class that is not there.

use k8s_openapi::api::networking::v1::{Ingress, IngressBackend};

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::scene::{Scene, named};

/// Findings about Ingresses.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene
        .facts
        .all::<Ingress>()
        .iter()
        .flat_map(|ingress| dangling(scene, ingress).into_iter().chain(wrong_port(scene, ingress)))
        .collect()
}

/// The Services an Ingress sends to, with the port it asks for when that is a number.
#[must_use]
pub fn backends(ingress: &Ingress) -> Vec<(String, Option<i32>)> {
    let Some(spec) = &ingress.spec else { return Vec::new() };
    let paths = spec.rules.iter().flatten().filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths);
    let all = spec.default_backend.iter().chain(paths.map(|path| &path.backend));
    let service = |backend: &IngressBackend| {
        let service = backend.service.as_ref()?;
        Some((service.name.clone(), service.port.as_ref().and_then(|port| port.number)))
    };
    let mut found: Vec<_> = all.filter_map(service).collect();
    found.sort();
    found.dedup();
    found
}

fn dangling(scene: &Scene<'_>, ingress: &Seen<Ingress>) -> Vec<Finding> {
    let name = named(&ingress.object);
    let mut missing: Vec<(&'static str, ObjectRef)> = Vec::new();
    for (service, _) in backends(&ingress.object) {
        missing.push(("ingress_backend_missing", ObjectRef::new("Service", &name.namespace, service)));
    }
    if let Some(spec) = &ingress.object.spec {
        let secrets = spec.tls.iter().flatten().filter_map(|tls| tls.secret_name.clone());
        missing.extend(
            secrets.map(|secret| ("ingress_tls_secret_missing", ObjectRef::new("Secret", &name.namespace, secret))),
        );
        missing.extend(
            spec.ingress_class_name
                .iter()
                .map(|class| ("ingress_class_missing", ObjectRef::new("IngressClass", "", class))),
        );
    }
    missing.retain(|(_, object)| scene.facts.is_missing(object));
    missing.into_iter().map(|(code, object)| absent(scene, ingress, &name, code, &object)).collect()
}

/// A port number the Service does not have.
fn wrong_port(scene: &Scene<'_>, ingress: &Seen<Ingress>) -> Option<Finding> {
    let name = named(&ingress.object);
    backends(&ingress.object).into_iter().find_map(|(service, port)| {
        let port = port?;
        let found = scene.service(&name.namespace, &service)?;
        let offered: Vec<i32> = found.object.spec.as_ref()?.ports.iter().flatten().map(|port| port.port).collect();
        if offered.is_empty() || offered.contains(&port) {
            return None;
        }
        let offered = offered.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let headline = scene.text(
            format!("{name} 指向 Service {service} 的端口 {port}，而该 Service 只有端口 {offered}"),
            format!("{name} sends to port {port} of Service {service}, which only has {offered}"),
        );
        let finding = Finding::new("ingress_backend_port_missing", Depth::Root, &name, &name, headline)
            .cite([scene.quote(&ingress.reference, &format!("number: {port}"))])
            .touches([named(&found.object)])
            .steps([
                look(
                    scene.text("查看 Service 端口", "Read the Service's ports"),
                    kubectl(&name.namespace, &format!("get service {service} -o yaml")),
                ),
                change(
                    scene.text(
                        format!("把 Ingress 的端口改为 {offered}"),
                        format!("Set the Ingress's port to {offered}"),
                    ),
                    "",
                    Some(kubectl(&name.namespace, &format!("edit ingress {}", name.name))),
                ),
            ]);
        Some(finding)
    })
}

fn absent(
    scene: &Scene<'_>,
    ingress: &Seen<Ingress>,
    name: &ObjectRef,
    code: &'static str,
    missing: &ObjectRef,
) -> Finding {
    let hint = super::claim::near_hint(scene, &scene.near_misses(missing));
    let headline = scene.text(
        format!("{name} 引用的 {} {} 不存在（not found）{hint}", missing.kind, missing.name),
        format!("{name} refers to {} {}, which does not exist (not found){hint}", missing.kind, missing.name),
    );
    // A missing Service is the Ingress's mistake as a rule; a missing Secret or class has to be made.
    let blame = if missing.kind == "Service" { name } else { missing };
    Finding::new(code, Depth::Root, name, blame, headline)
        .cite([scene.quote_any(&ingress.reference, &[&format!("name: {}", missing.name), &missing.name])])
        .touches([missing.clone()])
        .steps([
            look(
                scene.text("查看 Ingress", "Look at the Ingress"),
                kubectl(&name.namespace, &format!("describe ingress {}", name.name)),
            ),
            change(
                scene.text(
                    format!("创建 {} {}，或修正 Ingress 的引用", missing.kind, missing.name),
                    format!("Create {} {}, or correct the Ingress", missing.kind, missing.name),
                ),
                "",
                Some(kubectl(&name.namespace, &format!("edit ingress {}", name.name))),
            ),
        ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, pod, service};

    fn ingress() -> serde_json::Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "front", "namespace": "shop"},
            "spec": {"tls": [{"secretName": "tls"}], "rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}})
    }

    #[test]
    fn an_ingress_to_a_service_that_does_not_exist_is_at_fault() {
        let world = World::asking("Ingress", "front").with(ingress()).listed("Service");
        assert_eq!(world.cause(), "ingress_backend_missing Ingress/front");
    }

    #[test]
    fn a_certificate_that_does_not_exist_is_missing() {
        let world = World::asking("Ingress", "front").with(ingress()).listed("Secret");
        assert_eq!(world.cause(), "ingress_tls_secret_missing Secret/tls");
    }

    #[test]
    fn an_ingress_whose_service_answers_stays_quiet() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": "shop"}});
        let world = World::asking("Ingress", "front")
            .with(ingress())
            .with(secret)
            .with(service(json!({"app": "web"})))
            .with(pod(json!({})))
            .listed("Service")
            .listed("Secret");
        world.is_calm();
    }

    #[test]
    fn a_port_the_service_does_not_have_is_the_ingresss_fault() {
        let other_port = json!({"spec": {"tls": null, "rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "web", "port": {"number": 8080}}}}]}}]}});
        let world = World::asking("Ingress", "front")
            .with(crate::playbook::world::patched(ingress(), other_port))
            .with(service(json!({"app": "web"})))
            .with(pod(json!({})));
        assert_eq!(world.cause(), "ingress_backend_port_missing Ingress/front");
    }
}
