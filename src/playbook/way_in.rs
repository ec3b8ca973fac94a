//! The way in: Ingresses on the callers' way to what the alerts are about, which no label names. Errors that are counted there
//! may never have come to the object that the labels name; where that is well, the way to it is looked at.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::Ingress;

use crate::alert::ObjectRef;
use crate::playbook::alerts::{self, Answer};
use crate::playbook::analyzer::ingress;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding};
use crate::playbook::rank::Ranked;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::Scope;
use crate::report::Confidence;

/// An Ingress the alerts may be about, with what stands behind it.
struct Entrance {
    objects: BTreeSet<ObjectRef>,
    /// Whether the alerts name one of its hosts.
    is_named: bool,
}

/// What is wrong on the callers' way, for where nothing is wrong with what the alerts name.
#[must_use]
pub(super) fn findings(scene: &Scene<'_>, ranked: &[Ranked]) -> Vec<Finding> {
    let entrances = entrances(scene);
    let decides = |finding: &&Finding| finding.depth >= Depth::Mechanism && finding.confidence > Confidence::Low;
    let on_the_way = |finding: &Finding| {
        let stands = |it: &&Entrance| it.objects.contains(&finding.about) || it.objects.contains(&finding.blame);
        let entrance = entrances.iter().find(stands)?;
        // That the errors were counted there is likely, and said only where the alerts name the host.
        let most = if entrance.is_named { Confidence::High } else { Confidence::Medium };
        Some(finding.clone().confidence(finding.confidence.min(most)))
    };
    ranked.iter().map(|entry| &entry.finding).filter(decides).filter_map(on_the_way).collect()
}

fn entrances(scene: &Scene<'_>) -> Vec<Entrance> {
    let question = scene.question;
    let ingresses = scene.facts.all::<Ingress>();
    let is_routed = ingresses.iter().any(|ingress| leads_to_target(scene, &ingress.object));
    if is_routed || !(counts_errors(scene) || question.at_entrance) {
        return Vec::new();
    }
    let entrance = |seen: &Seen<Ingress>| {
        let name = named(&seen.object);
        let is_named = hosts(&seen.object).any(|host| question.hosts.iter().any(|known| serves(host, known)));
        let is_counted = question.at_entrance && is_asked(scene, &name.namespace) && all_read(scene, &name.namespace);
        if is_named || is_counted {
            return Some(Entrance { objects: Scope::behind(scene, &name), is_named });
        }
        let objects = BTreeSet::from([name]);
        is_renamed(scene, &seen.object).then_some(Entrance { objects, is_named })
    };
    ingresses.iter().filter_map(entrance).collect()
}

/// Whether an alert counts errors.
#[must_use]
pub(super) fn counts_errors(scene: &Scene<'_>) -> bool {
    scene.question.alert_names.iter().any(|name| alerts::answer(name) == Answer::Errors)
}

/// The hosts an Ingress has rules for.
pub(super) fn hosts(ingress: &Ingress) -> impl Iterator<Item = &str> {
    let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
    rules.filter_map(|rule| rule.host.as_deref())
}

/// Whether an Ingress host means a name: itself, or one more label before what follows its `*.`.
#[must_use]
pub fn serves(host: &str, name: &str) -> bool {
    match host.trim().strip_prefix("*.") {
        Some(rest) => name.split_once('.').is_some_and(|(_, parent)| parent == rest),
        None => host.trim() == name,
    }
}

/// Whether one of the targets is a Service an Ingress sends to, or stands behind one: its errors are its own then.
#[must_use]
pub(super) fn leads_to_target(scene: &Scene<'_>, ingress: &Ingress) -> bool {
    let targets = &scene.question.targets;
    ingress::services(ingress).iter().any(|service| {
        let found = scene.service(&service.namespace, &service.name);
        let behind = found.map(|found| scene.backends(&found.object)).unwrap_or_default();
        let mut own = behind.into_iter().flat_map(|pod| [named(&pod.object), scene.workload(&pod.object)]);
        targets.contains(service) || own.any(|object| targets.contains(&object))
    })
}

fn is_asked(scene: &Scene<'_>, namespace: &str) -> bool {
    scene.question.targets.iter().any(|target| target.namespace == namespace)
}

/// Whether no Ingress of a Namespace is known by name alone: that one may lead to the target.
fn all_read(scene: &Scene<'_>, namespace: &str) -> bool {
    let known = scene.facts.names().into_iter().filter(|it| it.kind == "Ingress" && it.namespace == namespace);
    known.into_iter().all(|ingress| scene.facts.raw(&ingress).is_some())
}

/// Whether an Ingress still sends to a Service that is not there, whose name comes close to a target's that nothing leads to.
fn is_renamed(scene: &Scene<'_>, ingress: &Ingress) -> bool {
    let mut missing = ingress::services(ingress).into_iter().filter(|service| scene.facts.is_missing(service));
    missing.any(|service| {
        let near = scene.near_misses(&service);
        let mut targets = scene.question.targets.iter().filter(|target| target.namespace == service.namespace);
        let is_meant =
            |name: &String| near.contains(name) || is_kin(name, &service.name) || is_kin(&service.name, name);
        targets.any(|target| is_meant(&target.name)) && all_read(scene, &service.namespace)
    })
}

/// Whether a name is another one with a word more at one of its ends, as releases and roles put it there.
fn is_kin(long: &str, short: &str) -> bool {
    let more = long.strip_prefix(short).is_some_and(|rest| rest.starts_with('-'));
    more || long.strip_suffix(short).is_some_and(|rest| rest.ends_with('-'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, deployment, patched, pod, service};

    fn ingress(backends: &[&str]) -> Value {
        let path = |name: &&str| json!({"path": format!("/{name}"), "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 80}}}});
        let paths: Vec<Value> = backends.iter().map(path).collect();
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "front", "namespace": "shop"},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": "www.example.com", "http": {"paths": paths}}]}})
    }

    /// A Service that is well, asked about by its errors, beside an Ingress.
    fn asked(backends: &[&str]) -> World {
        let class =
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"}});
        World::asking("Service", "web")
            .alert("HighErrorRate")
            .with(service(json!({"app": "web"})))
            .with(deployment(1, 1))
            .with(pod(json!({})))
            .log("web-1-a", "INFO GET / 200\n")
            .with(class)
            .with(ingress(backends))
            .listed("Service")
            .listed("Ingress")
    }

    const DANGLING: &str = "ingress_backend_missing Ingress/front";

    #[test]
    fn a_route_that_still_names_what_was_renamed_is_the_cause_where_all_else_is_well() {
        let world = asked(&["web-old"]);
        assert_eq!(world.cause(), DANGLING);
        assert_eq!(world.diagnosis().causes[0].confidence, Confidence::Medium, "only the names speak for it");
    }

    #[test]
    fn errors_counted_at_the_entrance_or_for_its_host_lead_there() {
        assert_eq!(asked(&["shopfront"]).at_entrance().cause(), DANGLING);
        let named = asked(&["shopfront"]).about_host("www.example.com");
        assert_eq!(named.cause(), DANGLING);
        assert_eq!(named.diagnosis().causes[0].confidence, Confidence::High);
    }

    #[test]
    fn what_is_not_answered_behind_the_entrance_counts_as_well() {
        let other = patched(
            service(json!({"app": "gone"})),
            json!({"metadata": {"name": "shopfront"}, "spec": {"clusterIP": "10.96.0.8"}}),
        );
        let world = asked(&["shopfront"]).with(other).listed("Pod").listed("Deployment").listed("StatefulSet");
        assert_eq!(world.at_entrance().cause(), "service_without_endpoints Service/shopfront");
    }

    #[test]
    fn a_stale_route_beside_one_that_leads_to_the_target_is_not_its_trouble() {
        let diagnosis = asked(&["web", "web-old"]).at_entrance().about_host("www.example.com").diagnosis();
        assert!(diagnosis.causes.is_empty(), "{:?}", diagnosis.causes);
    }

    #[test]
    fn another_applications_route_and_another_host_are_not_either() {
        asked(&["reports"]).is_calm();
        asked(&["reports"]).about_host("intranet.example.com").is_calm();
    }

    #[test]
    fn wildcards_serve_one_more_label() {
        assert!(serves("*.example.com", "a.example.com") && serves("a.example.com", "a.example.com"));
        assert!(!serves("*.example.com", "a.b.example.com") && !serves("*.example.com", "example.com"));
    }
}
