//! Ingresses that point at nothing: a Service, a TLS Secret or a class that is not there.

use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, IngressClass};

use super::entrance;
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::renamed;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence};

/// Findings about Ingresses.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene
        .facts
        .all::<Ingress>()
        .iter()
        .flat_map(|ingress| {
            let more = [wrong_port(scene, ingress), certificate_refused(scene, ingress), no_class(scene, ingress)];
            dangling(scene, ingress).into_iter().chain(more.into_iter().flatten())
        })
        .collect()
}

/// A controller that said it could not use the TLS Secret. The Secret itself is never read.
fn certificate_refused(scene: &Scene<'_>, ingress: &Seen<Ingress>) -> Option<Finding> {
    let name = named(&ingress.object);
    let secrets: Vec<String> = tls_secrets(&ingress.object).collect();
    let (said, proof, secret) = complaint(scene, &name, &secrets)?;
    let missing =
        ["not found", "does not exist", "no object matching", "was not found"].iter().any(|words| said.contains(words));
    let secret = ObjectRef::new("Secret", &name.namespace, secret);
    let code = if missing { "ingress_tls_secret_missing" } else { "ingress_tls_secret_invalid" };
    let said = logs::said(&said);
    let headline = scene.text(
        format!("{name} 的 TLS Secret {} 无法使用：{said}", secret.name),
        format!("{name} cannot use its TLS Secret {}: {said}", secret.name),
    );
    Some(Finding::new(code, Depth::Root, &name, &secret, headline).cite([proof]).steps([
        look(
            scene.text("查看 Ingress 事件", "Read the Ingress's events"),
            kubectl(&name.namespace, &format!("describe ingress {}", name.name)),
        ),
        change(
            scene.text(
                format!("创建或更新 Secret {}（类型 kubernetes.io/tls）", secret.name),
                format!("Create or renew Secret {} (type kubernetes.io/tls)", secret.name),
            ),
            "",
            None,
        ),
    ]))
}

/// What the controller says of one of the Secrets: in a warning about the Ingress, or in its own log by `namespace/name`.
fn complaint(scene: &Scene<'_>, name: &ObjectRef, secrets: &[String]) -> Option<(String, Option<Citation>, String)> {
    let warnings = scene.facts.events_about(name).filter(|event| event.kind == "Warning");
    let warned = warnings.into_iter().find_map(|event| {
        let secret = secrets.iter().find(|secret| event.message.contains(secret.as_str()))?;
        Some((event.message.clone(), scene.quote(&event.reference, &event.message), secret.clone()))
    });
    warned.or_else(|| {
        let controllers = scene.pods.iter().filter(|pod| entrance::is_controller(&named(&pod.object).name));
        let logs = controllers.flat_map(|pod| scene.logs(&named(&pod.object), ""));
        let lines =
            logs.flat_map(|log| log.lines.iter().flat_map(move |text| text.lines().map(move |line| (log, line))));
        let told = lines.filter(|(_, line)| CERTIFICATE.hits(line) && !logs::instructs(line));
        told.filter_map(|(log, line)| {
            let secret = secrets.iter().find(|secret| line.contains(&format!("{}/{secret}", name.namespace)))?;
            Some((line.to_owned(), scene.quote(&log.reference, line), secret.clone()))
        })
        .next_back()
    })
}

/// How controllers say that they cannot use a certificate: ingress-nginx, Traefik.
static CERTIFICATE: Pattern = Pattern::new(
    r"(?i)error (?:getting|obtaining|loading|configuring) .*(?:certificate|tls|secret)|unexpected error .*secret|using default certificate|no certificate found|secret .* (?:not found|does not exist)",
);

const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";
pub(super) const OLD_CLASS: &str = "kubernetes.io/ingress.class";

/// The address that a controller wrote into an Ingress which it serves.
fn address(ingress: &Ingress) -> Option<String> {
    let points = ingress.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
    points.iter().find_map(|point| point.ip.clone().or_else(|| point.hostname.clone()))
}

/// No class, no default one, and no controller has taken it: nobody serves it.
fn no_class(scene: &Scene<'_>, ingress: &Seen<Ingress>) -> Option<Finding> {
    let name = named(&ingress.object);
    let annotated = |annotations: Option<&std::collections::BTreeMap<String, String>>, key: &str| {
        annotations.is_some_and(|all| all.contains_key(key))
    };
    let classed = ingress.object.spec.as_ref()?.ingress_class_name.is_some()
        || annotated(ingress.object.metadata.annotations.as_ref(), OLD_CLASS);
    let served = address(&ingress.object).is_some();
    let classes = scene.facts.all::<IngressClass>();
    let default = classes.iter().any(|class| annotated(class.object.metadata.annotations.as_ref(), DEFAULT_CLASS));
    // Names in a table do not show which class is the default one.
    let unread = scene.facts.names().iter().filter(|known| known.kind == "IngressClass").count() > classes.len();
    scene.facts.listing("IngressClass", "")?;
    if classed || served || default || unread {
        return None;
    }
    let headline = scene.text(
        format!("{name} 没有指定 ingressClassName，集群也没有默认 IngressClass，没有控制器为它提供服务"),
        format!(
            "{name} names no ingressClassName and the cluster has no default IngressClass, so no controller serves it"
        ),
    );
    Some(
        Finding::new("ingress_no_class", Depth::Root, &name, &name, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote_any(&ingress.reference, &["loadBalancer: {}", &format!("name: {}", name.name)])])
            .steps([
                look(scene.text("查看 IngressClass", "List the classes"), "kubectl get ingressclass"),
                change(
                    scene.text("为 Ingress 指定 ingressClassName", "Give the Ingress an ingressClassName"),
                    "",
                    Some(kubectl(&name.namespace, &format!("edit ingress {}", name.name))),
                ),
            ]),
    )
}

/// The Secrets an Ingress takes its certificates from.
pub fn tls_secrets(ingress: &Ingress) -> impl Iterator<Item = String> + '_ {
    let tls = ingress.spec.iter().flat_map(|spec| spec.tls.iter().flatten());
    tls.filter_map(|tls| tls.secret_name.clone())
}

/// The Services an Ingress sends to.
#[must_use]
pub fn services(ingress: &Ingress) -> Vec<ObjectRef> {
    let namespace = ingress.metadata.namespace.as_deref().unwrap_or_default();
    let mut names: Vec<String> = backends(ingress).into_iter().map(|(name, _)| name).collect();
    names.dedup();
    names.into_iter().map(|name| ObjectRef::new("Service", namespace, name)).collect()
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
        missing.extend(
            tls_secrets(&ingress.object)
                .map(|secret| ("ingress_tls_secret_missing", ObjectRef::new("Secret", &name.namespace, secret))),
        );
        missing.extend(
            spec.ingress_class_name
                .iter()
                .map(|class| ("ingress_class_missing", ObjectRef::new("IngressClass", "", class))),
        );
    }
    missing.retain(|(_, object)| scene.facts.is_missing(object));
    let served = address(&ingress.object);
    let weigh = |finding: Finding| match &served {
        Some(address) if finding.code == "ingress_class_missing" => served_all_the_same(scene, finding, address),
        _ => finding,
    };
    missing.into_iter().map(|(code, object)| weigh(absent(scene, ingress, &name, code, &object))).collect()
}

/// A class may be missing as an object while a controller goes by its name: of an Ingress that was given an address it
/// explains nothing.
fn served_all_the_same(scene: &Scene<'_>, finding: Finding, address: &str) -> Finding {
    let said = scene.text(
        format!("{}；但它已有地址 {address}，说明有控制器按该名称为它服务（或曾经服务）", finding.headline),
        format!("{}; it has the address {address} all the same, so a controller serves it, or did", finding.headline),
    );
    let mut finding = finding.summary(said).confidence(Confidence::Low);
    finding.depth = Depth::Effect;
    finding
}

/// The ports an Ingress asks for by name, with their Service.
fn named_ports(ingress: &Ingress) -> Vec<(String, String)> {
    let Some(spec) = &ingress.spec else { return Vec::new() };
    let paths = spec.rules.iter().flatten().filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths);
    let all = spec.default_backend.iter().chain(paths.map(|path| &path.backend));
    let named = all.filter_map(|backend| {
        let service = backend.service.as_ref()?;
        Some((service.name.clone(), service.port.as_ref()?.name.clone()?))
    });
    named.collect()
}

/// A port the Service does not have: as the Ingress asks for it, as its YAML writes it, and what the Service offers.
fn missing_port(scene: &Scene<'_>, ingress: &Seen<Ingress>) -> Option<(ObjectRef, String, String, String)> {
    let namespace = named(&ingress.object).namespace;
    let numbers = backends(&ingress.object).into_iter().filter_map(|(service, port)| Some((service, Err(port?))));
    let names = named_ports(&ingress.object).into_iter().map(|(service, port)| (service, Ok(port)));
    names.chain(numbers).find_map(|(service, port): (String, Result<String, i32>)| {
        let found = scene.service(&namespace, &service)?;
        let ports = found.object.spec.as_ref()?.ports.as_deref().filter(|ports| !ports.is_empty())?;
        let offers = ports.iter().any(|offered| match &port {
            Ok(name) => offered.name.as_ref() == Some(name),
            Err(number) => offered.port == *number,
        });
        let shown = |offered: &k8s_openapi::api::core::v1::ServicePort| match (&port, &offered.name) {
            (Ok(_), Some(name)) => format!("{name}={}", offered.port),
            _ => offered.port.to_string(),
        };
        let offered = ports.iter().map(shown).collect::<Vec<_>>().join(", ");
        let (asked, written) = match &port {
            Ok(name) => (name.clone(), format!("name: {name}")),
            Err(number) => (number.to_string(), format!("number: {number}")),
        };
        (!offers).then(|| (named(&found.object), asked, written, offered))
    })
}

/// A port the Service does not have.
fn wrong_port(scene: &Scene<'_>, ingress: &Seen<Ingress>) -> Option<Finding> {
    let name = named(&ingress.object);
    let (service, port, written, offered) = missing_port(scene, ingress)?;
    let headline = scene.text(
        format!("{name} 指向 Service {} 的端口 {port}，而该 Service 只有端口 {offered}", service.name),
        format!("{name} sends to port {port} of Service {}, which only has {offered}", service.name),
    );
    let finding = Finding::new("ingress_backend_port_missing", Depth::Root, &name, &name, headline)
        .cite([scene.quote(&ingress.reference, &written)])
        .touches([service.clone()])
        .steps([
            look(
                scene.text("查看 Service 端口", "Read the Service's ports"),
                kubectl(&name.namespace, &format!("get service {} -o yaml", service.name)),
            ),
            change(
                scene.text(format!("把 Ingress 的端口改为 {offered}"), format!("Set the Ingress's port to {offered}")),
                "",
                Some(kubectl(&name.namespace, &format!("edit ingress {}", name.name))),
            ),
        ]);
    Some(finding)
}

fn absent(
    scene: &Scene<'_>,
    ingress: &Seen<Ingress>,
    name: &ObjectRef,
    code: &'static str,
    missing: &ObjectRef,
) -> Finding {
    let renamed = renamed::to(scene, missing);
    let near = || super::claim::near_hint(scene, &scene.near_misses(missing));
    let hint = renamed.as_ref().map_or_else(near, |service| renamed::hint(scene, missing, service));
    let headline = scene.text(
        format!("{name} 引用的 {} {} 不存在（not found）{hint}", missing.kind, missing.name),
        format!("{name} refers to {} {}, which does not exist (not found){hint}", missing.kind, missing.name),
    );
    // A missing Service or class is the Ingress's mistake as a rule; a missing Secret has to be made.
    let blame = if missing.kind == "Secret" { missing } else { name };
    Finding::new(code, Depth::Root, name, blame, headline)
        .cite([scene.quote_any(&ingress.reference, &[&format!("name: {}", missing.name), &missing.name])])
        .cite([scene.facts.absent(missing).cloned()])
        .touches([missing.clone()])
        .steps([
            look(
                scene.text("查看 Ingress", "Look at the Ingress"),
                kubectl(&name.namespace, &format!("describe ingress {}", name.name)),
            ),
            change(
                match &renamed {
                    Some(service) => scene.text(
                        format!("把 Ingress 中的 {} 改为 {}", missing.name, service.name),
                        format!("Change {} to {} in the Ingress", missing.name, service.name),
                    ),
                    None => scene.text(
                        format!("创建 {} {}，或修正 Ingress 的引用", missing.kind, missing.name),
                        format!("Create {} {}, or correct the Ingress", missing.kind, missing.name),
                    ),
                },
                "",
                Some(kubectl(&name.namespace, &format!("edit ingress {}", name.name))),
            ),
        ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, patched, pod, service};
    use crate::report::Verdict;

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
    fn errors_counted_at_an_ingress_are_over_where_all_behind_it_is_well_and_was_heard() {
        let asked = |alert: &str, said: &str| {
            let world =
                World::asking("Ingress", "front").alert(alert).with(patched(ingress(), json!({"spec": {"tls": null}})));
            world.with(service(json!({"app": "web"}))).with(pod(json!({}))).log("web-1-a", said).listed("Service")
        };
        asked("KubeIngressErrorRate", "INFO ready").is_calm();
        let unheard = asked("KubeIngressLatencyHigh", "INFO ready").diagnosis();
        assert_eq!(unheard.verdict, Verdict::Inconclusive, "how long it takes no log says");
        assert!(
            asked("KubeIngressErrorRate", &"ERROR disk on fire\n".repeat(9)).diagnosis().verdict != Verdict::NoFault
        );
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

    fn bare() -> serde_json::Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "front", "namespace": "shop"},
            "spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "web", "port": {"name": "http"}}}}]}}]}})
    }

    #[test]
    fn a_port_name_the_service_does_not_have_is_the_ingresss_fault() {
        let with = |port: &str| {
            let ports = json!({"spec": {"ports": [{"name": port, "port": 80, "targetPort": 8080}]}});
            World::asking("Ingress", "front")
                .with(bare())
                .with(crate::playbook::world::patched(service(json!({"app": "web"})), ports))
                .with(pod(json!({})))
        };
        assert_eq!(with("web").cause(), "ingress_backend_port_missing Ingress/front");
        assert!(with("web").diagnosis().headline.contains("web=80"));
        with("http").is_calm();
    }

    #[test]
    fn a_certificate_the_controller_refuses_is_told_by_its_event() {
        let world = World::asking("Ingress", "front").with(ingress()).event(
            "Ingress",
            "front",
            "BadConfig",
            "Error obtaining X.509 certificate: secret \"shop/tls\" has no private key",
        );
        assert_eq!(world.cause(), "ingress_tls_secret_invalid Secret/tls");
    }

    #[test]
    fn an_ingress_without_class_is_served_by_the_default_one_or_by_nobody() {
        let class = |default: bool| {
            let annotations =
                if default { json!({"ingressclass.kubernetes.io/is-default-class": "true"}) } else { json!({}) };
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx", "annotations": annotations}})
        };
        let world =
            |default| World::asking("Ingress", "front").with(bare()).with(class(default)).listed("IngressClass");
        assert_eq!(world(false).cause(), "ingress_no_class Ingress/front");
        assert!(world(true).codes().is_empty());
        let taken = crate::playbook::world::patched(
            bare(),
            json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}),
        );
        let served = World::asking("Ingress", "front").with(taken).with(class(false)).listed("IngressClass");
        assert!(served.codes().is_empty(), "a controller has taken it");
    }

    #[test]
    fn a_class_that_is_no_object_explains_nothing_where_a_controller_goes_by_its_name() {
        let classed = patched(bare(), json!({"spec": {"ingressClassName": "nginx"}}));
        let world = |ingress| World::asking("Ingress", "front").with(ingress).listed("IngressClass");
        assert_eq!(world(classed.clone()).cause(), "ingress_class_missing Ingress/front");
        let address = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
        let diagnosis = world(patched(classed, address)).diagnosis();
        assert_eq!(diagnosis.verdict, Verdict::Inconclusive);
        assert_eq!(diagnosis.causes[0].confidence, crate::report::Confidence::Low);
    }
}
