//! What a Service leads to: the Pods it selects, those it nearly does, and those it should.

use serde_json::Value;

use super::{PODS_PER_SELECTOR, pods, selector, text};
use crate::alert::ObjectRef;
use crate::playbook::alias;
use crate::playbook::way_in;
use crate::toolbox::table::Row;
use crate::triage::rows::{self, cell, listed};
use crate::triage::seen::Seen;
use crate::triage::want::Want;

pub(super) fn from_service(seen: &Seen, object: &ObjectRef, value: &Value) -> Vec<Want> {
    let labels = selector(value, "/spec/selector");
    let mut wants = vec![Want::Object(ObjectRef::new("Endpoints", object.namespace.as_str(), object.name.as_str()))];
    wants.extend(Want::list("NetworkPolicy", &object.namespace));
    wants.extend(stood_for(seen, value));
    let chosen = pods(seen, &object.namespace, &labels);
    wants.extend(passed_over(seen, object, &labels));
    if chosen.is_empty() {
        // Nothing matches: the pods that nearly do, and those of the workload of that name, show which label is wrong, a
        // workload without pods why there are none.
        for label in labels {
            wants.extend(pods(seen, &object.namespace, &[label]));
        }
        for kind in ["Deployment", "StatefulSet"] {
            wants.extend(Want::list(kind, &object.namespace));
            let asleep = rows::without_pods(seen, kind, &object.namespace);
            wants.extend(asleep.into_iter().take(PODS_PER_SELECTOR).map(Want::Object));
            let namesake = ObjectRef::new(kind, object.namespace.as_str(), object.name.as_str());
            wants.extend(seen.rows.contains_key(&namesake).then_some(Want::Object(namesake)));
        }
    }
    wants.extend(chosen);
    wants.extend(listed(seen, "NetworkPolicy", &object.namespace));
    wants.extend(scraper(seen));
    wants
}

/// The Service that one of type ExternalName is only a name for; where there is none, those beside it.
fn stood_for(seen: &Seen, service: &Value) -> Vec<Want> {
    let name = text(service, "/spec/externalName").trim_end_matches('.');
    let is_alias = text(service, "/spec/type") == "ExternalName";
    let Some(target) = alias::target(name).filter(|_| is_alias) else { return Vec::new() };
    let beside = seen.facts.absent(&target).and_then(|_| Want::list("Service", &target.namespace));
    std::iter::once(Want::Object(target)).chain(beside).collect()
}

/// Where none of the Pods that bear a Service's name is one it selects: the one nearest to its name, and the Services that
/// send to that one.
fn passed_over(seen: &Seen, service: &ObjectRef, labels: &[(String, String)]) -> Vec<Want> {
    let bears = |row: &ObjectRef, _: &Row| rows::is_named_after(&row.name, &service.name);
    let mut own = rows::matching(seen, "Pod", &service.namespace, bears);
    let selected = |pod: &ObjectRef| seen.rows.get(pod).is_some_and(|cells| rows::has_labels(cells, labels));
    if labels.is_empty() || own.iter().any(selected) {
        return Vec::new();
    }
    own.sort_by_key(|pod| pod.name.matches('-').count());
    let Some(nearest) = own.into_iter().next() else { return Vec::new() };
    let mut wants: Vec<Want> = Want::list("Service", &service.namespace).into_iter().collect();
    wants.extend(rows::selecting(seen, &nearest).into_iter().take(PODS_PER_SELECTOR).map(Want::Object));
    wants.push(Want::Object(nearest));
    wants
}

/// The Service of a workload's name, where the alert is about the workload and that Service does not mean its Pods.
pub(super) fn astray(seen: &Seen, workload: &ObjectRef, value: &Value) -> Option<Want> {
    let service = ObjectRef::new("Service", workload.namespace.as_str(), workload.name.as_str());
    let wanted = rows::selector(seen.rows.get(&service)?);
    let carried = selector(value, "/spec/template/metadata/labels");
    let astray = !wanted.is_empty() && !wanted.iter().all(|pair| carried.contains(pair));
    (astray && seen.targets.contains(workload)).then_some(Want::Object(service))
}

/// The Namespace a target is scraped from, where a policy asks for a Namespace's labels.
fn scraper(seen: &Seen) -> Option<Want> {
    let asks = |policy: &Value| policy.to_string().contains("namespaceSelector");
    let asked = seen.facts.raw_all("NetworkPolicy").any(|(_, policy, _)| asks(policy));
    let from = seen.scraped_from.as_deref().filter(|_| asked)?;
    Some(Want::Object(ObjectRef::new("Namespace", "", from)))
}

/// The Ingresses of the hosts that the alerts speak of, of whatever Namespace.
pub(super) fn by_host(seen: &Seen) -> Vec<Want> {
    if seen.hosts.is_empty() {
        return Vec::new();
    }
    let serves = |host: &str| seen.hosts.iter().any(|known| way_in::serves(host, known));
    let found = rows::matching(seen, "Ingress", "", |_, cells| cell(cells, "HOSTS").split(',').any(serves));
    Want::list("Ingress", "").into_iter().chain(found.into_iter().take(PODS_PER_SELECTOR).map(Want::Object)).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn seen(target: &ObjectRef, rows: &[(&str, &str, &str)]) -> Seen {
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(target));
        for (kind, name, cell) in rows {
            let cells = cell.split_once(' ').into_iter();
            let row = cells.map(|(heading, cell)| (heading.to_owned(), cell.to_owned())).collect();
            seen.rows.insert(ObjectRef::new(*kind, "a", *name), row);
        }
        seen
    }

    fn web(app: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "a"},
            "spec": {"selector": {"app": app}}})
    }

    const ROWS: [(&str, &str, &str); 5] = [
        ("Pod", "cart-1-a", "LABELS app=cart"),
        ("Pod", "web-1-a", "LABELS app=web"),
        ("Pod", "web-batch-1-a", "LABELS app=web-batch"),
        ("Service", "web", "SELECTOR app=cart"),
        ("Service", "web-internal", "SELECTOR app=web"),
    ];

    #[test]
    fn a_service_that_passes_over_the_pods_of_its_name_leads_to_one_and_to_whoever_sends_there() {
        let service = ObjectRef::new("Service", "a", "web");
        let wants = from_service(&seen(&service, &ROWS), &service, &web("cart"));
        let object = |kind: &str, name: &str| Want::Object(ObjectRef::new(kind, "a", name));
        assert!(wants.contains(&object("Pod", "web-1-a")) && !wants.contains(&object("Pod", "web-batch-1-a")));
        assert!(wants.contains(&object("Service", "web-internal")) && !wants.contains(&object("Service", "web")));
        let wants = from_service(&seen(&service, &ROWS), &service, &web("web"));
        assert!(!wants.contains(&object("Service", "web-internal")), "it selects the Pod of its name");
    }

    #[test]
    fn a_service_that_is_only_a_name_leads_to_what_it_stands_for() {
        let service = ObjectRef::new("Service", "a", "db");
        let alias = |name: &str| {
            let alias = json!({"spec": {"type": "ExternalName", "externalName": name}});
            from_service(&seen(&service, &[]), &service, &alias)
        };
        let meant = Want::Object(ObjectRef::new("Service", "data", "postgres"));
        assert!(alias("postgres.data.svc.cluster.local.").contains(&meant));
        let services = |want: &Want| matches!(want, Want::Object(object) if object.kind == "Service");
        assert!(!alias("shop.rds.example.com").iter().any(services));
    }

    #[test]
    fn a_workloads_service_is_read_where_it_does_not_mean_its_pods() {
        let workload = ObjectRef::new("Deployment", "a", "web");
        let labelled = |app: &str| json!({"spec": {"template": {"metadata": {"labels": {"app": app}}}}});
        let read = |app: &str, target: &ObjectRef| astray(&seen(target, &ROWS), &workload, &labelled(app));
        assert_eq!(read("web", &workload), Some(Want::Object(ObjectRef::new("Service", "a", "web"))));
        assert_eq!(read("cart", &workload), None);
        assert_eq!(read("web", &ObjectRef::new("Pod", "a", "web-1-a")), None, "not asked about");
    }
}
