//! Renamed: the Service that serves a workload which still bears the name of one that is gone.

use crate::alert::ObjectRef;
use crate::playbook::scene::{Scene, named};

/// The one Service in whose place another is looked for in vain; none when several could be, or none was read.
#[must_use]
pub fn to(scene: &Scene<'_>, missing: &ObjectRef) -> Option<ObjectRef> {
    let serves = |service: &ObjectRef| {
        let found = scene.service(&service.namespace, &service.name);
        let backends = found.map(|found| scene.backends(&found.object)).unwrap_or_default();
        backends.iter().any(|pod| scene.workload(&pod.object).name == missing.name)
    };
    let here = scene.services.iter().map(|service| named(&service.object));
    let mut found = here.filter(|service| service.namespace == missing.namespace && serves(service));
    let first = found.next().filter(|_| missing.kind == "Service")?;
    found.next().is_none().then_some(first)
}

/// What is said of it.
#[must_use]
pub fn hint(scene: &Scene<'_>, missing: &ObjectRef, service: &ObjectRef) -> String {
    let (old, new) = (&missing.name, &service.name);
    scene.text(
        format!("；现在服务于 {old} 的是 Service {new}，可能已改名"),
        format!("; Service {new} serves {old} now, so it may have been renamed"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, patched, pod, service};

    fn ingress() -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "front", "namespace": "shop"},
            "spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}})
    }

    fn called(name: &str, selector: Value) -> Value {
        patched(service(selector), json!({"metadata": {"name": name}}))
    }

    #[test]
    fn the_service_of_the_workload_that_bears_the_old_name_took_its_place() {
        let world = World::asking("Ingress", "front")
            .with(ingress())
            .listed("Service")
            .with(pod(json!({})))
            .with(called("web-cable", json!({"app": "cable"})));
        assert!(!world.diagnosis().headline.contains("renamed"), "of another workload");
        let world = world.with(called("frontend", json!({"app": "web"})));
        assert_eq!(world.cause(), "ingress_backend_missing Ingress/front");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("frontend serves web now"), "{}", diagnosis.headline);
        assert!(diagnosis.steps.iter().any(|step| step.title == "Change web to frontend in the Ingress"));
        let two = world.with(called("other", json!({"app": "web"}))).diagnosis().headline;
        assert!(!two.contains("renamed"), "two could be meant: {two}");
    }
}
