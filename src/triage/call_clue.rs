//! What failing calls in a log lead to beyond their own namespace's list of Services: Pods by their address, Services of other
//! namespaces by their names or addresses.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use super::clue::{NETWORK_WORDS, SERVICES_ELSEWHERE, contains_word, labels_asked, passes_on};
use super::rows::{self, cell};
use super::seen::Seen;
use super::want::Want;
use crate::alert::ObjectRef;
use crate::playbook::callees;
use crate::playbook::environment::spoken_of;
use crate::playbook::facts::{Facts, Seen as Known};
use crate::playbook::reach::{self, Failure};
use crate::playbook::upstream;

/// What stands behind the point of public names in logs.
const NO_NAMESPACES: [&str; 5] = ["com", "net", "org", "io", "cn"];

/// What the failing calls of a Pod's log lead to.
#[must_use]
pub fn wants(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    let mut wants = pods_called(seen, pod, lines);
    wants.extend(elsewhere(seen, lines, pod));
    wants.extend(by_address(seen, lines, pod));
    wants.extend(namesakes(seen, lines, pod));
    wants
}

/// Services of other namespaces that bear the name of one that is missing beside the caller: a name without its namespace
/// leads nowhere. Those of the whole cluster are listed once.
fn namesakes(seen: &Seen, lines: &str, caller: &ObjectRef) -> Vec<Want> {
    let Some(pod) = seen.facts.get::<Pod>(&caller.namespace, &caller.name) else { return Vec::new() };
    let failing = lines.lines().filter(|line| reach::failure(line) == Some(Failure::Unresolved));
    let meant = failing.filter_map(|line| reach::unresolved_service(&pod.object, line, |_| false));
    let is_missing = |service: &ObjectRef| service.namespace == caller.namespace && seen.facts.is_missing(service);
    let Some(missing) = meant.into_iter().find(is_missing) else { return Vec::new() };
    let alike =
        rows::matching(seen, "Service", "", |row, _| row.name == missing.name && row.namespace != missing.namespace);
    let everywhere = Want::list("Service", "").filter(|_| alike.is_empty());
    everywhere.into_iter().chain(alike.into_iter().take(SERVICES_ELSEWHERE).map(Want::Object)).collect()
}

/// Services of other namespaces that failing calls name by nothing but their address: where no Service and no Pod of the own
/// one has it, those of the whole cluster are listed once.
fn by_address(seen: &Seen, lines: &str, caller: &ObjectRef) -> Vec<Want> {
    if seen.facts.listing("Service", &caller.namespace).is_none() {
        return Vec::new();
    }
    let failing = lines.lines().filter(|line| reach::tells_of_no_connection(line));
    let named: Vec<Vec<String>> = failing.map(reach::hosts).filter(|hosts| !hosts.is_empty()).collect();
    // A name beside it says more than any address.
    let alone = named.iter().filter(|hosts| hosts.iter().all(|host| reach::is_address(host)));
    let mut wants = Vec::new();
    let addresses: BTreeSet<&String> = alone.flatten().filter(|host| !reach::is_local(host)).collect();
    for address in addresses.into_iter().take(SERVICES_ELSEWHERE) {
        let has = |heading: &str, row: &ObjectRef| {
            seen.rows.get(row).is_some_and(|cells| cell(cells, heading) == address.as_str())
        };
        let known = |kind: &str, heading: &str| rows::matching(seen, kind, "", |row, _| has(heading, row));
        let services = known("Service", "CLUSTER-IP");
        if services.is_empty() && known("Pod", "IP").is_empty() {
            wants.extend(Want::list("Service", ""));
        }
        let elsewhere = services.into_iter().filter(|row| row.namespace != caller.namespace);
        wants.extend(elsewhere.take(SERVICES_ELSEWHERE).map(Want::Object));
    }
    wants
}

/// Pods that failing calls name by their address, as behind a Service without one of its own.
fn pods_called(seen: &Seen, caller: &ObjectRef, lines: &str) -> Vec<Want> {
    let failing: Vec<&str> = lines
        .lines()
        .filter(|line| NETWORK_WORDS.iter().any(|words| line.to_ascii_lowercase().contains(words)))
        .collect();
    let called = |row: &&ObjectRef| {
        let address = seen.rows.get(*row).map(|cells| cell(cells, "IP")).unwrap_or_default();
        address.contains(['.', ':']) && failing.iter().any(|line| contains_word(line, address))
    };
    let pods = seen.rows.keys().filter(|row| row.kind == "Pod" && row.namespace == caller.namespace && *row != caller);
    pods.filter(called).take(SERVICES_ELSEWHERE).cloned().map(Want::Object).collect()
}

/// Services of other namespaces that failing calls name, a few: `db.data.svc`, and then `db.data`, which may be a name outside
/// the cluster. Where that is no Service, it is read whether there is such a Namespace at all. What names nobody, an address
/// at most, may be about any Service that the Pod's variables name.
fn elsewhere(seen: &Seen, lines: &str, caller: &ObjectRef) -> Vec<Want> {
    let own = caller.namespace.as_str();
    let read = seen.facts.get::<Pod>(own, &caller.name);
    let fails = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        NETWORK_WORDS.iter().any(|words| lower.contains(words)) || reach::tells_of_failure(line) || passes_on(line)
    };
    let hosts = lines.lines().filter(fails).flat_map(|line| meant(&seen.facts, line, read.as_ref()));
    let behind = read.iter().flat_map(|pod| upstream::hosts(&seen.facts, &pod.object, lines));
    let hosts = hosts.chain(behind);
    let mut sure: Vec<ObjectRef> = Vec::new();
    let mut likely: Vec<ObjectRef> = Vec::new();
    for host in hosts {
        let (found, name, namespace) = match host.split('.').collect::<Vec<_>>().as_slice() {
            [name, namespace, "svc", ..] => (&mut sure, ObjectRef::new("Service", *namespace, *name), *namespace),
            [pod, name, namespace, "svc", ..] if reach::is_ordinal(pod) => {
                (&mut sure, ObjectRef::new("Service", *namespace, *name), *namespace)
            }
            [pod, name, namespace] if reach::is_ordinal(pod) && is_label(name) && is_label(namespace) => {
                (&mut likely, ObjectRef::new("Service", *namespace, *name), *namespace)
            }
            [name, service] if is_of_headless(seen, read.as_ref(), name, service, own) => continue,
            [name, namespace] if is_label(name) && is_label(namespace) && !reach::is_source_file(&host) => {
                (&mut likely, ObjectRef::new("Service", *namespace, *name), *namespace)
            }
            _ => continue,
        };
        if namespace != own && !found.contains(&name) {
            found.push(name);
        }
    }
    let absent = likely.iter().filter(|service| seen.facts.absent(service).is_some());
    let namespaces: Vec<Want> =
        absent.take(1).map(|it| Want::Object(ObjectRef::new("Namespace", "", it.namespace.as_str()))).collect();
    // What there is instead shows whether a name is misspelt.
    let instead = sure.iter().find(|service| seen.facts.absent(service).is_some());
    let instead = instead.and_then(|service| Want::list("Service", &service.namespace));
    let services: Vec<&ObjectRef> = sure.iter().chain(&likely).take(SERVICES_ELSEWHERE).collect();
    let found = services.iter().filter(|service| seen.facts.raw(service).is_some());
    let labels: Vec<Want> = found.filter_map(|service| labels_asked(seen, &service.namespace)).collect();
    let services = services.into_iter().cloned().map(Want::Object);
    services.chain(namespaces).chain(instead).chain(labels).collect()
}

/// Whether a host of two labels means a Pod behind a Service without an address of its own, and not a Service of another
/// namespace: `kafka-1.kafka-headless`. That is so where the second label is such a Service beside the caller, or the
/// caller's own subdomain; of a Pod's number it is not decided before the Services there are listed.
fn is_of_headless(seen: &Seen, caller: Option<&Known<Pod>>, name: &str, service: &str, own: &str) -> bool {
    let subdomain = caller.and_then(|caller| caller.object.spec.as_ref()?.subdomain.as_deref());
    let row = seen.rows.get(&ObjectRef::new("Service", own, service));
    let is_pod = reach::is_ordinal(name);
    let is_headless = row.is_some_and(|cells| is_pod || cell(cells, "CLUSTER-IP") == "None");
    let undecided = is_pod && seen.facts.listing("Service", own).is_none();
    is_headless || subdomain == Some(service) || undecided
}

/// The hosts a failing line means: those it names, otherwise those in the Pod's variables that it speaks of, otherwise all
/// of these that are Services by their names.
fn meant(facts: &Facts, line: &str, caller: Option<&Known<Pod>>) -> Vec<String> {
    let named = reach::hosts(line);
    let is_address = |host: &String| reach::is_address(host);
    let Some(pod) = caller.filter(|_| named.iter().all(is_address)) else { return named };
    let spoken = spoken_of(&pod.object, line);
    if !spoken.is_empty() {
        return spoken;
    }
    callees::hosts(facts, &pod.object).into_iter().filter(|host| host.contains('.')).collect()
}

/// Whether a word may be the name of an object: an address' number and the end of a public name are none.
fn is_label(word: &str) -> bool {
    word.len() > 1 && word.starts_with(|first: char| first.is_ascii_lowercase()) && !NO_NAMESPACES.contains(&word)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn asked(line: &str, rows: &[(&str, &str, &str, &str)]) -> Vec<Want> {
        let caller = ObjectRef::new("Pod", "a", "web-0");
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&caller));
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "a"}});
        seen.facts.add_object(pod, "E1");
        seen.facts.add_listing("Service", "a", "E2");
        for (kind, namespace, name, address) in rows {
            let heading = if *kind == "Pod" { "IP" } else { "CLUSTER-IP" };
            let row = [(heading.to_owned(), (*address).to_owned())].into_iter().collect();
            seen.rows.insert(ObjectRef::new(*kind, *namespace, *name), row);
        }
        wants(&seen, &caller, line)
    }

    const LINE: &str = "Error: connect ECONNREFUSED 10.96.3.4:5432";

    #[test]
    fn an_address_of_no_service_beside_the_caller_is_looked_for_in_the_whole_cluster() {
        let everywhere = Want::List { kind: "Service", namespace: String::new() };
        assert!(asked(LINE, &[("Service", "a", "db", "10.96.9.9")]).contains(&everywhere));
        assert!(!asked(LINE, &[("Service", "a", "db", "10.96.3.4")]).contains(&everywhere), "it is known");
        assert!(!asked(LINE, &[("Pod", "a", "db-0", "10.96.3.4")]).contains(&everywhere), "a Pod has it");
        let named = "dial tcp db:5432 (10.96.3.4:5432): connect: connection refused";
        assert!(!asked(named, &[]).contains(&everywhere), "a name says more");
    }

    #[test]
    fn the_service_of_another_namespace_that_has_the_address_is_read() {
        let db = Want::Object(ObjectRef::new("Service", "data", "db"));
        assert!(asked(LINE, &[("Service", "data", "db", "10.96.3.4")]).contains(&db));
        assert!(!asked(LINE, &[("Service", "data", "db", "10.96.3.44")]).contains(&db));
    }

    #[test]
    fn a_service_that_is_missing_beside_the_caller_is_looked_for_by_its_name_everywhere() {
        const LINE: &str = "ERROR dial tcp: lookup tax on 10.96.0.10:53: no such host";
        let everywhere = Want::List { kind: "Service", namespace: String::new() };
        assert!(asked(LINE, &[("Service", "a", "db", "10.96.9.9")]).contains(&everywhere));
        let tax = Want::Object(ObjectRef::new("Service", "data", "tax"));
        let found = asked(LINE, &[("Service", "data", "tax", "10.96.9.9")]);
        assert!(found.contains(&tax) && !found.contains(&everywhere));
    }

    #[test]
    fn a_pod_behind_a_service_without_an_address_is_no_service_of_another_namespace() {
        const LINE: &str =
            "ERROR Connection to node 1 (kafka-1.kafka-headless/10.244.5.2:9093) could not be established";
        let wrong = Want::Object(ObjectRef::new("Service", "kafka-headless", "kafka-1"));
        assert!(!asked(LINE, &[("Service", "a", "kafka-headless", "None")]).contains(&wrong));
        assert!(asked(LINE, &[("Service", "a", "db", "10.96.9.9")]).contains(&wrong), "no such Service beside it");
        let host = "ERROR dial tcp: http://primary.pg:5432: i/o timeout";
        let named = Want::Object(ObjectRef::new("Service", "pg", "primary"));
        assert!(!asked(host, &[("Service", "a", "pg", "None")]).contains(&named));
        assert!(asked(host, &[("Service", "a", "pg", "10.96.9.9")]).contains(&named), "it has an address of its own");
    }

    #[test]
    fn names_of_other_namespaces_are_followed_in_all_their_forms() {
        let db = Want::Object(ObjectRef::new("Service", "data", "mongo"));
        for host in ["mongo.data", "mongo.data.svc", "mongo-0.mongo.data", "mongo-0.mongo.data.svc.cluster.local"] {
            assert!(asked(&format!("FATAL connect to {host}:27017: connection refused"), &[]).contains(&db), "{host}");
        }
        assert!(!asked("FATAL connect to mongo.example.com:27017: connection refused", &[]).contains(&db));
    }
}
