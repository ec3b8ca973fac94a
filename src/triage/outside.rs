//! Outside: from a host's address, a probed URL, a database's family or a component's name to objects of the cluster.

use std::collections::BTreeMap;

use super::follow::SYSTEM;
use super::rows::{self, cell};
use super::seen::Seen;
use super::want::Want;
use crate::alert::ObjectRef;
use crate::playbook::alerts;
use crate::playbook::analyzer::versions;
use crate::playbook::outside::{Outside, Place};
use crate::playbook::way_in;
use crate::toolbox::table::Row;

/// Objects taken for one name.
const FOUND: usize = 3;
/// The label that names a group of consumers: kafka_exporter, Burrow and the exporters of RocketMQ and Pulsar.
const GROUPS: [&str; 4] = ["consumergroup", "consumer_group", "group", "subscription"];
/// Labels by which Pods bear the name of their workload.
const NAMED_BY: [&str; 2] = ["app.kubernetes.io/name", "app"];

/// The lists in which the subjects of the alerts may be found.
#[must_use]
pub fn next(seen: &Seen) -> Vec<Want> {
    seen.outside.iter().flat_map(|outside| list(outside).into_iter().chain(elsewhere(seen, outside))).collect()
}

/// The objects that the subjects of the alerts turned out to be.
#[must_use]
pub fn found(seen: &Seen) -> Vec<ObjectRef> {
    let of = |outside| consumer(seen, outside).into_iter().chain(objects(seen, outside).into_iter().take(FOUND));
    seen.outside.iter().flat_map(of).collect()
}

/// A Pod of the workload that bears the name of the group of consumers that lags behind: what keeps it from its work may
/// well stand there, and not at the queue.
fn consumer(seen: &Seen, outside: &Outside) -> Option<ObjectRef> {
    let group = group(outside)?;
    let beside = rows::matching(seen, "Pod", &outside.namespace, |row, _| rows::is_named_after(&row.name, group));
    beside.into_iter().next().or_else(|| {
        let named = |label: &str| [(label.to_owned(), group.to_owned())];
        let bears = |cells: &Row| NAMED_BY.iter().any(|label| rows::has_labels(cells, &named(label)));
        let found = rows::matching(seen, "Pod", "", |_, cells| bears(cells));
        // Of several Namespaces that run one of that name nobody can say whose lags.
        let first = found.first()?;
        found.iter().all(|pod| pod.namespace == first.namespace).then(|| first.clone())
    })
}

/// The group of consumers that an alert about a queue names.
fn group(outside: &Outside) -> Option<&str> {
    let named = GROUPS.iter().find_map(|label| outside.labels.get(*label)).filter(|name| !name.is_empty());
    named.filter(|_| outside.place == Place::Database).map(String::as_str)
}

/// Pods of all Namespaces that bear a group's name, where none does beside the queue: who consumes seldom runs there.
fn elsewhere(seen: &Seen, outside: &Outside) -> Vec<Want> {
    let is_looked_through = outside.namespace.is_empty() || seen.facts.listing("Pod", &outside.namespace).is_some();
    let Some(group) = group(outside).filter(|group| is_looked_through && is_label(group)) else { return Vec::new() };
    let beside = rows::matching(seen, "Pod", &outside.namespace, |row, _| rows::is_named_after(&row.name, group));
    if !outside.namespace.is_empty() && !beside.is_empty() {
        return Vec::new();
    }
    NAMED_BY.iter().map(|label| Want::PodsLabelled { selector: format!("{label}={group}") }).collect()
}

/// Whether a name can be a label's value, as the API server takes it.
fn is_label(name: &str) -> bool {
    let ends = |end: Option<char>| end.is_some_and(|end| end.is_ascii_alphanumeric());
    let within = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    name.len() <= 63 && ends(name.chars().next()) && ends(name.chars().next_back()) && name.chars().all(within)
}

fn list(outside: &Outside) -> Option<Want> {
    match outside.place {
        Place::Host if !outside.name.is_empty() => Want::list("Node", ""),
        Place::Url => Want::list("Ingress", ""),
        Place::Component => Want::list("Pod", SYSTEM),
        Place::Somewhere("Pod") => Some(Want::PodsNamed { name: outside.name.clone() }),
        Place::Somewhere(kind) => Want::list(kind, ""),
        Place::Database if !outside.namespace.is_empty() => Want::list("Pod", &outside.namespace),
        _ => None,
    }
}

fn objects(seen: &Seen, outside: &Outside) -> Vec<ObjectRef> {
    let name = outside.name.as_str();
    match outside.place {
        Place::Host => rows::matching(seen, "Node", "", |row, cells| {
            row.name == name || ["INTERNAL-IP", "EXTERNAL-IP"].iter().any(|heading| cell(cells, heading) == name)
        }),
        Place::Url => rows::matching(seen, "Ingress", "", |_, cells| {
            cell(cells, "HOSTS").split(',').any(|host| way_in::serves(host, name))
        }),
        Place::Component => rows::matching(seen, "Pod", SYSTEM, |row, _| rows::is_named_after(&row.name, name)),
        Place::Database => rows::matching(seen, "Pod", &outside.namespace, |row, _| {
            row.name.split('-').any(|part| part.starts_with(name)) && !row.name.contains("exporter")
        }),
        // Of several that bear the name nobody can say which is meant.
        Place::Somewhere(kind) => {
            // Helm puts the release's name before it.
            let suffix = format!("-{name}");
            let bears = |row: &str| row == name || (kind == "Deployment" && row.ends_with(&suffix));
            let found = rows::matching(seen, kind, "", |row, _| bears(&row.name));
            if found.len() == 1 { found } else { Vec::new() }
        }
        Place::Cluster if alerts::asks(&outside.alert).contains(&"versions") => of_each_version(seen),
        Place::Cluster | Place::Unknown => Vec::new(),
    }
}

/// One Node of each version of Kubernetes, that of the fewest Nodes first and the older first among equals; none where all
/// have the same.
fn of_each_version(seen: &Seen) -> Vec<ObjectRef> {
    let mut groups: BTreeMap<(u32, u32), Vec<ObjectRef>> = BTreeMap::new();
    for node in rows::matching(seen, "Node", "", |_, _| true) {
        let version = seen.rows.get(&node).and_then(|cells| versions::minor(cell(cells, "VERSION")));
        if let Some(version) = version {
            groups.entry(version).or_default().push(node);
        }
    }
    let mut groups: Vec<Vec<ObjectRef>> = groups.into_values().collect();
    groups.sort_by_key(Vec::len);
    let apart = groups.len() > 1;
    groups.into_iter().filter(|_| apart).filter_map(|nodes| nodes.into_iter().next()).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::playbook::Question;

    /// Kind, namespace, name, and cells by heading.
    type Listed<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)]);

    fn seen(place: Place, name: &str, rows: &[Listed<'_>]) -> Seen {
        let outside = Outside {
            place,
            name: name.into(),
            namespace: "data".into(),
            alert: "X".into(),
            labels: Default::default(),
            summary: None,
        };
        let mut seen = Seen::of(Timestamp::UNIX_EPOCH, &Question { outside: vec![outside], ..Question::default() });
        for (kind, namespace, name, cells) in rows {
            let row = cells.iter().map(|(heading, cell)| ((*heading).to_owned(), (*cell).to_owned())).collect();
            seen.rows.insert(ObjectRef::new(*kind, *namespace, *name), row);
        }
        seen
    }

    fn names(seen: &Seen) -> Vec<String> {
        found(seen).into_iter().map(|object| object.to_string()).collect()
    }

    #[test]
    fn a_hosts_address_leads_to_its_node() {
        let nodes = [
            ("Node", "", "worker-1", [("INTERNAL-IP", "10.0.0.1")].as_slice()),
            ("Node", "", "worker-2", [("INTERNAL-IP", "10.0.0.2")].as_slice()),
        ];
        let seen = seen(Place::Host, "10.0.0.2", &nodes);
        assert_eq!(next(&seen), [Want::List { kind: "Node", namespace: String::new() }]);
        assert_eq!(names(&seen), ["Node/worker-2"]);
    }

    #[test]
    fn a_probed_address_leads_to_the_ingress_that_serves_it() {
        let ingresses = [
            ("Ingress", "web", "shop", [("HOSTS", "shop.example.com,www.example.com")].as_slice()),
            ("Ingress", "web", "wild", [("HOSTS", "*.apps.example.com")].as_slice()),
        ];
        assert_eq!(names(&seen(Place::Url, "shop.example.com", &ingresses)), ["Ingress web/shop"]);
        assert_eq!(names(&seen(Place::Url, "a.apps.example.com", &ingresses)), ["Ingress web/wild"]);
        assert!(names(&seen(Place::Url, "example.com", &ingresses)).is_empty());
    }

    #[test]
    fn a_name_without_a_namespace_means_the_only_object_that_bears_it() {
        let services = |namespaces: &[&'static str]| {
            let rows: Vec<Listed<'_>> =
                namespaces.iter().map(|namespace| ("Service", *namespace, "web", [].as_slice())).collect();
            names(&seen(Place::Somewhere("Service"), "web", &rows))
        };
        assert_eq!(services(&["shop"]), ["Service shop/web"]);
        assert!(services(&["shop", "blog"]).is_empty(), "nobody can say which");
        let pod = seen(Place::Somewhere("Pod"), "web-0", &[]);
        assert_eq!(next(&pod), [Want::PodsNamed { name: "web-0".into() }]);
    }

    #[test]
    fn where_nodes_run_different_versions_one_of_each_is_looked_at_the_odd_one_first() {
        let nodes = |versions: [&'static str; 3]| {
            let [first, second, third] = versions.map(|version| [("VERSION", version)]);
            let rows: [Listed<'_>; 3] =
                [("Node", "", "n1", &first), ("Node", "", "n2", &second), ("Node", "", "n3", &third)];
            let mut seen = seen(Place::Cluster, "", &rows);
            seen.outside[0].alert = "KubeVersionMismatch".into();
            names(&seen)
        };
        assert_eq!(nodes(["v1.32.2", "v1.32.1", "v1.29.4"]), ["Node/n3", "Node/n1"]);
        assert!(nodes(["v1.32.2", "v1.32.1", "v1.32.1"]).is_empty());
    }

    #[test]
    fn a_component_and_a_database_lead_to_their_pods_and_not_to_an_exporter() {
        let pods = [
            ("Pod", "kube-system", "coredns-7c-x", [].as_slice()),
            ("Pod", "data", "shop-mysql-0", [].as_slice()),
            ("Pod", "data", "mysql-exporter-5d-x", [].as_slice()),
        ];
        assert_eq!(names(&seen(Place::Component, "coredns", &pods)), ["Pod kube-system/coredns-7c-x"]);
        assert_eq!(names(&seen(Place::Database, "mysql", &pods)), ["Pod data/shop-mysql-0"]);
        let mut lagging = seen(Place::Database, "kafka", &[("Pod", "data", "event-sink-7c9d-x", [].as_slice())]);
        lagging.outside[0].labels = [("consumergroup".to_owned(), "event-sink".to_owned())].into_iter().collect();
        assert_eq!(names(&lagging), ["Pod data/event-sink-7c9d-x"]);
    }

    #[test]
    fn a_group_that_nobody_beside_the_queue_bears_is_looked_for_by_its_label_everywhere() {
        let broker = ("Pod", "data", "kafka-0", [].as_slice());
        let lagging = |group: &str, pods: &[Listed<'_>]| {
            let mut seen = seen(Place::Database, "kafka", pods);
            seen.facts.add_listing("Pod", "data", "E1");
            seen.outside[0].labels = [("consumergroup".to_owned(), group.to_owned())].into_iter().collect();
            seen
        };
        let asked = |seen: &Seen| {
            next(seen).into_iter().filter(|want| matches!(want, Want::PodsLabelled { .. })).collect::<Vec<_>>()
        };
        let selectors = ["app.kubernetes.io/name=event-sink", "app=event-sink"];
        let wanted = selectors.map(|selector| Want::PodsLabelled { selector: selector.into() });
        assert_eq!(asked(&lagging("event-sink", &[broker])), wanted);
        assert!(asked(&lagging("event-sink", &[broker, ("Pod", "data", "event-sink-7c9d-x", &[])])).is_empty());
        assert!(asked(&lagging("event sink/2", &[broker])).is_empty(), "no label's value");
        assert!(asked(&lagging("", &[broker])).is_empty());

        let label = [("LABELS", "app=event-sink")];
        let other = [("LABELS", "app=event-sink-api")];
        let there = ("Pod", "shop", "sink-7c9d-x", label.as_slice());
        assert_eq!(names(&lagging("event-sink", &[broker, there])), ["Pod shop/sink-7c9d-x", "Pod data/kafka-0"]);
        let twice = [broker, there, ("Pod", "staging", "sink-7c9d-y", label.as_slice())];
        assert_eq!(names(&lagging("event-sink", &twice)), ["Pod data/kafka-0"], "nobody can say whose");
        let alike = [broker, ("Pod", "shop", "event-sink-api-7c9d-x", other.as_slice())];
        assert_eq!(names(&lagging("event-sink", &alike)), ["Pod data/kafka-0"]);
    }
}
