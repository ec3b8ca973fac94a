//! What a log's own words ask for, whatever else is wrong: the ConfigMap it complains about, the Certificate that has expired,
//! the budget that refuses an eviction, the Deployment that holds all connections.

use k8s_openapi::api::core::v1::Pod;

use super::rows::{self, listed};
use super::seen::Seen;
use super::want::Want;
use crate::alert::ObjectRef;
use crate::playbook::analyzer::{connections, crash, disruption};
use crate::playbook::{origin, reach};

/// ConfigMaps, and Certificates, read for one log.
const MAPS_READ: usize = 2;

/// Pods read that could not be evicted.
const PODS_EVICTED: usize = 2;

/// Deployments read because they were scaled up lately.
const SCALED_READ: usize = 2;

/// The objects that a Pod's log asks for.
#[must_use]
pub fn wants(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    let mut wants = configured(seen, pod, lines);
    wants.extend(scaled_up(seen, pod, lines));
    wants.extend(certificates(seen, pod, lines));
    wants.extend(budgets(seen, lines));
    wants
}

/// The ConfigMaps whose contents a log complains about, a few: how they were changed past their applied copy stands in them.
fn configured(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    let Some(read) = seen.facts.get::<Pod>(&pod.namespace, &pod.name) else { return Vec::new() };
    let maps = origin::maps_in_question(&read.object, lines).into_iter();
    maps.take(MAPS_READ).map(Want::Object).collect()
}

/// The Certificates beside a Service whose certificate a call found expired, where one is not ready.
fn certificates(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    let expired = lines.lines().filter(|line| crash::tells_of_expiry(line));
    let namespace_of = |host: String| match host.split('.').collect::<Vec<_>>().as_slice() {
        [_] => Some(pod.namespace.clone()),
        [_, namespace, "svc", ..] => Some((*namespace).to_owned()),
        _ => None,
    };
    let Some(namespace) = expired.flat_map(reach::hosts).find_map(namespace_of) else { return Vec::new() };
    let unwell = rows::unwell(seen, "Certificate", &namespace).into_iter();
    Want::list("Certificate", &namespace).into_iter().chain(unwell.take(MAPS_READ).map(Want::Object)).collect()
}

/// The budgets that may have refused the evictions a log tells of, and the Pods concerned.
fn budgets(seen: &Seen, lines: &str) -> Vec<Want> {
    let of_pod = |pod: ObjectRef| {
        let list = Want::list("PodDisruptionBudget", &pod.namespace);
        let budgets = listed(seen, "PodDisruptionBudget", &pod.namespace);
        list.into_iter().chain(budgets).chain([Want::Object(pod)]).collect::<Vec<_>>()
    };
    disruption::refused(lines).into_iter().take(PODS_EVICTED).flat_map(of_pod).collect()
}

/// The Deployments of the namespace that were scaled up lately, where a server refuses further connections: they may hold them.
fn scaled_up(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    if !lines.lines().any(connections::tells_of_refusal) {
        return Vec::new();
    }
    let grown = connections::scaled_up(seen.facts.events()).filter(|grown| grown.namespace == pod.namespace);
    grown.take(SCALED_READ).map(Want::Object).collect()
}
