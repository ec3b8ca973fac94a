//! A Service's target port that no container offers: by name, or by number where the log says what is really used.

use k8s_openapi::api::core::v1::{ContainerPort, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// The finding for a Service that has Ready Pods but sends to a port they do not listen on.
#[must_use]
pub fn wrong(scene: &Scene<'_>, service: &Seen<Service>, name: &ObjectRef, live: &[&&Seen<Pod>]) -> Option<Finding> {
    let ports = service.object.spec.as_ref()?.ports.as_deref()?;
    let pod = live.iter().find(|pod| pods::is_ready(&pod.object))?;
    let views = pods::containers(&pod.object);
    let declared: Vec<&ContainerPort> =
        views.iter().filter(|view| !view.init).flat_map(|view| view.spec.ports.iter().flatten()).collect();
    let logs = scene.logs(&named(&pod.object), "");
    let listening: Vec<i32> =
        logs.iter().filter_map(|log| log.lines.as_deref().ok()).flat_map(logs::listening_ports).collect();
    let (target, confidence) = ports.iter().find_map(|port| not_offered(port, &declared, &listening))?;
    let offered = in_words(&declared);
    let headline = scene.text(
        format!("{name} 的 targetPort {target} 与后端容器端口（{offered}）不一致"),
        format!("{name} sends to targetPort {target}, but its containers offer {offered}"),
    );
    let finding = Finding::new("service_port_mismatch", Depth::Root, name, name, headline)
        .confidence(confidence)
        .cite([scene.quote(&service.reference, &format!("targetPort: {target}"))])
        .touches([scene.workload(&pod.object)])
        .steps([
            look(
                scene.text("查看 Service 端口", "Read the Service's ports"),
                kubectl(&name.namespace, &format!("get service {} -o yaml", name.name)),
            ),
            change(
                scene.text(
                    format!("把 targetPort 改为容器实际监听的端口（{offered}）"),
                    format!("Set targetPort to the port the container listens on ({offered})"),
                ),
                "",
                Some(kubectl(&name.namespace, &format!("edit service {}", name.name))),
            ),
        ]);
    Some(finding)
}

/// A named port must be declared. A number need not be; it is doubted when others are declared and believed wrong
/// when the log names another.
fn not_offered(port: &ServicePort, declared: &[&ContainerPort], listening: &[i32]) -> Option<(String, Confidence)> {
    let number = match &port.target_port {
        Some(IntOrString::String(wanted)) => {
            let known = declared.iter().any(|declared| declared.name.as_deref() == Some(wanted));
            return (!known).then(|| (wanted.clone(), Confidence::High));
        }
        Some(IntOrString::Int(number)) => *number,
        None => port.port,
    };
    if listening.contains(&number) || declared.iter().any(|declared| declared.container_port == number) {
        return None;
    }
    if !listening.is_empty() {
        return Some((number.to_string(), Confidence::High));
    }
    (!declared.is_empty()).then(|| (number.to_string(), Confidence::Medium))
}

fn in_words(declared: &[&ContainerPort]) -> String {
    let one = |port: &&ContainerPort| match &port.name {
        Some(name) => format!("{name}={}", port.container_port),
        None => port.container_port.to_string(),
    };
    declared.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, patched, pod, service};

    fn sending_to(port: serde_json::Value) -> World {
        let ports = json!({"spec": {"ports": [{"port": 80, "targetPort": port}]}});
        World::asking("Service", "web").with(patched(service(json!({"app": "web"})), ports)).with(pod(json!({})))
    }

    #[test]
    fn a_name_no_container_declares_is_wrong() {
        assert_eq!(sending_to(json!("grpc")).cause(), "service_port_mismatch Service/web");
        sending_to(json!("http")).is_calm();
    }

    #[test]
    fn a_number_is_doubted_by_declarations_and_settled_by_the_log() {
        assert_eq!(sending_to(json!(9090)).cause(), "service_port_mismatch Service/web");
        sending_to(json!(9090)).log("web-1-a", "INFO metrics server listening on :9090").is_calm();
        sending_to(json!(8080)).is_calm();
    }
}
