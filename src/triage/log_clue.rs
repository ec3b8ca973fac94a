//! What a log's own words ask for, whatever else is wrong: the ConfigMap it complains about, the Certificate that has expired,
//! the budget that refuses an eviction, the Deployment that holds all connections.

use k8s_openapi::api::core::v1::Pod;

use super::rows::{self, listed};
use super::seen::Seen;
use super::want::Want;
use crate::alert::ObjectRef;
use crate::playbook::analyzer::{connections, crash, disruption};
use crate::playbook::{awaited, origin, reach};

/// ConfigMaps, and Certificates, read for one log.
const MAPS_READ: usize = 2;

/// Last lines of a log in which an awaited object is looked for.
const LINES_AWAITED: usize = 20;

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
    wants.extend(awaited_objects(seen, pod, lines));
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

/// What a log's last words of waiting name: the kind is listed, what is of that name is read, and of work that is awaited
/// without a name the Jobs called after such that have not done it. Secrets are never asked for.
fn awaited_objects(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    let told = lines.lines().rev().take(LINES_AWAITED);
    let read = seen.facts.get::<Pod>(&pod.namespace, &pod.name);
    let namespace = read.map_or_else(|| pod.namespace.clone(), |read| awaited::namespace_asked(&read.object));
    let named =
        told.clone().find_map(|line| awaited::object(line, &namespace)).filter(|named| named.object.kind != "Secret");
    let mut wants = Vec::new();
    if let Some(object) = named.map(|named| named.object) {
        wants.extend(Want::list(&object.kind, &object.namespace));
        wants.extend(seen.rows.contains_key(&object).then_some(Want::Object(object)));
    }
    if told.clone().any(awaited::awaits_work) {
        wants.extend(Want::list("Job", &pod.namespace));
        let jobs = rows::unfinished_jobs(seen, &pod.namespace).into_iter().filter(|job| awaited::is_worker(&job.name));
        wants.extend(jobs.take(MAPS_READ).map(Want::Object));
    }
    wants
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    /// What a line of a Pod with such a command asks for, where these objects are listed.
    fn asked(command: &str, line: &str, listed: &[(&str, &str, &str)]) -> Vec<Want> {
        let pod = ObjectRef::new("Pod", "a", "web-0");
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&pod));
        let init = json!([{"name": "wait", "image": "kubectl", "command": ["sh", "-c", command]}]);
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "a"},
            "spec": {"initContainers": init, "containers": [{"name": "web"}]}});
        seen.facts.add_object(object, "E1");
        for (kind, name, done) in listed {
            let row = [("COMPLETIONS".to_owned(), (*done).to_owned())];
            seen.rows.insert(ObjectRef::new(*kind, "a", *name), row.into_iter().collect());
        }
        wants(&seen, &pod, line)
    }

    fn list(kind: &'static str, namespace: &str) -> Want {
        Want::List { kind, namespace: namespace.into() }
    }

    #[test]
    fn an_awaited_object_is_listed_and_then_read() {
        let line = "waiting for job/db-migrate to complete";
        let job = Want::Object(ObjectRef::new("Job", "a", "db-migrate"));
        let first = asked("kubectl wait job/db-migrate", line, &[]);
        assert!(first.contains(&list("Job", "a")) && !first.contains(&job), "{first:?}");
        let then = asked("kubectl wait job/db-migrate", line, &[("Job", "db-migrate", "0/1")]);
        assert!(then.contains(&job), "{then:?}");
    }

    #[test]
    fn it_is_looked_for_where_the_command_asks() {
        let wants = asked("kubectl -n platform get configmap flags", "waiting for configmap/flags", &[]);
        assert!(wants.contains(&list("ConfigMap", "platform")), "{wants:?}");
    }

    #[test]
    fn secrets_are_not_asked_for() {
        let wants = asked("kubectl get secret db", "waiting for secret/db", &[("Secret", "db", "")]);
        assert!(wants.is_empty(), "{wants:?}");
    }

    #[test]
    fn work_that_is_awaited_leads_to_the_jobs_that_do_such_and_have_not_done_it() {
        let jobs = [
            ("Job", "orders-migrate", "Failed"),
            ("Job", "nightly-report", "Failed"),
            ("Job", "old-migrate", "Complete"),
        ];
        let wants = asked("until check; do sleep 2; done", "schema is at 41, need 42: waiting for migration", &jobs);
        let job = |name: &str| Want::Object(ObjectRef::new("Job", "a", name));
        assert!(wants.contains(&job("orders-migrate")), "{wants:?}");
        assert!(!wants.contains(&job("nightly-report")) && !wants.contains(&job("old-migrate")), "{wants:?}");
        assert!(asked("true", "INFO listening", &jobs).is_empty(), "nobody waits");
    }
}
