//! Two Ingresses for one host and path: the controller serves the older one, and the newer gets no request.
//!
//! Source: ingress-nginx, <https://kubernetes.github.io/ingress-nginx/how-it-works/#building-the-nginx-model> ("if the same
//! path for the same host is defined in more than one Ingress, the oldest rule wins"); other controllers differ, so it is
//! never said to be sure.

use k8s_openapi::api::networking::v1::Ingress;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Annotations by which an Ingress shares a host on purpose.
const CANARIES: [&str; 2] = ["nginx.ingress.kubernetes.io/canary", "alb.ingress.kubernetes.io/group.name"];

/// Findings about Ingresses whose host another one keeps.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let all = scene.facts.all::<Ingress>();
    let pairs = all.iter().flat_map(|newer| all.iter().map(move |older| (newer, older)));
    pairs.filter_map(|(newer, older)| kept(scene, newer, older)).collect()
}

fn kept(scene: &Scene<'_>, newer: &Seen<Ingress>, older: &Seen<Ingress>) -> Option<Finding> {
    let (made, before) = (&newer.object.metadata.creation_timestamp, &older.object.metadata.creation_timestamp);
    let (made, before) = (made.as_ref()?, before.as_ref()?);
    if before.0 >= made.0
        || class(&newer.object) != class(&older.object)
        || is_shared(&newer.object)
        || is_shared(&older.object)
    {
        return None;
    }
    let ours = routes(&newer.object);
    let Route { host, path, service, .. } = routes(&older.object)
        .into_iter()
        .find(|old| ours.iter().any(|new| old.asks_as(new) && old.service != new.service))?;
    let (name, holder) = (named(&newer.object), named(&older.object));
    let behind = scene.backends_ready(&service);
    let dead_zh =
        if behind == Some(0) { format!("，而它的后端 {service} 没有就绪的 Pod") } else { String::new() };
    let dead_en = if behind == Some(0) { format!(", and nobody is ready behind its {service}") } else { String::new() };
    // What ingress-nginx does is known; others have rules of their own.
    let nginx = class(&newer.object).is_some_and(|class| class.contains("nginx"));
    let (go_zh, go_en) = if nginx { ("由", "go") } else { ("可能由", "may go") };
    let headline = scene.text(
        format!("{host}{path} 的请求{go_zh}更早创建的 {holder} 接走，到不了 {name}{dead_zh}"),
        format!("requests for {host}{path} {go_en} to the older {holder}, not to {name}{dead_en}"),
    );
    Some(
        Finding::new("ingress_host_conflict", Depth::Root, &name, &holder, headline)
            .confidence(Confidence::Medium)
            .cite([
                scene.quote(&older.reference, &format!("host: {host}")),
                scene.quote(&newer.reference, &format!("host: {host}")),
            ])
            .touches(super::ingress::services(&newer.object))
            .steps([
                look(
                    scene.text("查看使用该域名的全部 Ingress", "List every Ingress and its hosts"),
                    "kubectl get ingress -A",
                ),
                change(
                    scene.text(
                        format!("确认后删除或改正 {holder} 中的 {host}{path}"),
                        format!("When sure, remove {host}{path} from {holder}, or correct it"),
                    ),
                    "",
                    Some(kubectl(&holder.namespace, &format!("edit ingress {}", holder.name))),
                ),
            ]),
    )
}

fn is_shared(ingress: &Ingress) -> bool {
    ingress.metadata.annotations.iter().flatten().any(|(key, _)| CANARIES.contains(&key.as_str()))
}

/// The class an Ingress asks for, in the field or in the annotation that was before it.
fn class(ingress: &Ingress) -> Option<String> {
    let field = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.clone());
    field.or_else(|| ingress.metadata.annotations.as_ref()?.get(super::ingress::OLD_CLASS).cloned())
}

/// One rule of an Ingress: what it matches, and whom it sends that to.
struct Route {
    host: String,
    path: String,
    kind: String,
    service: ObjectRef,
}

impl Route {
    fn asks_as(&self, other: &Self) -> bool {
        (&self.host, &self.path, &self.kind) == (&other.host, &other.path, &other.kind)
    }
}

fn routes(ingress: &Ingress) -> Vec<Route> {
    let namespace = ingress.metadata.namespace.as_deref().unwrap_or_default();
    let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
    rules
        .filter_map(|rule| Some((rule.host.clone()?, rule.http.as_ref()?)))
        .flat_map(|(host, http)| {
            http.paths.iter().filter_map(move |path| {
                let service = ObjectRef::new("Service", namespace, path.backend.service.as_ref()?.name.as_str());
                let (kind, path) = (path.path_type.clone(), path.path.clone().unwrap_or_else(|| "/".to_owned()));
                Some(Route { host: host.clone(), path, kind, service })
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, deployment, patched, pod, service};

    fn ingress(name: &str, namespace: &str, made: &str, path: &str) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": made},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": "www.example.com", "http": {"paths": [
                {"path": path, "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}})
    }

    fn beside(other: Value) -> World {
        World::asking("Service", "web")
            .with(service(json!({"app": "web"})))
            .with(deployment(1, 1))
            .with(pod(json!({})))
            .with(ingress("web", "shop", "2026-11-11T00:00:00Z", "/"))
            .with(other)
    }

    #[test]
    fn an_older_ingress_of_another_namespace_keeps_the_host() {
        let world = beside(ingress("web", "legacy", "2026-05-01T00:00:00Z", "/"));
        assert_eq!(world.cause(), "ingress_host_conflict Ingress/web");
        assert_eq!(world.diagnosis().causes[0].resource.namespace, "legacy");
        let newer = beside(ingress("web", "legacy", "2026-11-12T00:00:00Z", "/"));
        assert_ne!(
            newer.diagnosis().causes.first().map(|cause| cause.resource.namespace.clone()),
            Some("legacy".into())
        );
    }

    #[test]
    fn another_path_a_canary_and_another_class_share_the_host_in_peace() {
        beside(ingress("web", "legacy", "2026-05-01T00:00:00Z", "/old")).is_calm();
        let canary = json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/canary": "true"}}});
        beside(patched(ingress("web", "legacy", "2026-05-01T00:00:00Z", "/"), canary)).is_calm();
        let exact = json!({"spec": {"rules": [{"host": "www.example.com", "http": {"paths": [
            {"path": "/", "pathType": "Exact", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}});
        beside(patched(ingress("web", "legacy", "2026-05-01T00:00:00Z", "/"), exact)).is_calm();
        let annotated = json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "nginx-internal"}}, "spec": {"ingressClassName": null}});
        beside(patched(ingress("web", "legacy", "2026-05-01T00:00:00Z", "/"), annotated)).is_calm();
        let inner = json!({"spec": {"ingressClassName": "internal"}});
        beside(patched(ingress("web", "legacy", "2026-05-01T00:00:00Z", "/"), inner)).is_calm();
    }

    #[test]
    fn one_ingress_is_in_nobodys_way() {
        let alone = World::asking("Ingress", "web").with(ingress("web", "shop", "2026-11-11T00:00:00Z", "/"));
        assert!(!alone.codes().contains(&"ingress_host_conflict"));
    }
}
