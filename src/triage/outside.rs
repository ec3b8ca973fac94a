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

/// Objects taken for one name.
const FOUND: usize = 3;

/// The lists in which the subjects of the alerts may be found.
#[must_use]
pub fn next(seen: &Seen) -> Vec<Want> {
    seen.outside.iter().filter_map(list).collect()
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
    // kafka_exporter, Burrow and the exporters of RocketMQ and Pulsar.
    const GROUPS: [&str; 4] = ["consumergroup", "consumer_group", "group", "subscription"];
    let group =
        GROUPS.iter().find_map(|label| outside.labels.get(*label)).filter(|_| outside.place == Place::Database)?;
    rows::matching(seen, "Pod", &outside.namespace, |row, _| rows::is_named_after(&row.name, group)).into_iter().next()
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
}
