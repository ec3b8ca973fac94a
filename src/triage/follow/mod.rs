//! Following: from what was read to what is worth reading next. Pure, so that a wave of reads can be tested without a cluster.

mod around;
mod aside;
mod services;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::clue;
use super::outside;
use super::rows::{self, cell, has_labels, listed};
use super::seen::Seen;
use super::want::{Want, kind_info};
use crate::alert::ObjectRef;
use crate::playbook::latent;
use crate::playbook::outside::Place;

/// Pods read by name for one selector: one that fails and one to compare with say what ten would.
const PODS_PER_SELECTOR: usize = 3;
/// ConfigMaps read of one pod.
const MAPS_READ: usize = 2;
/// Kinds listed because the alert's analyzers want them.
const LISTS_ASKED: usize = 4;
/// Where the control plane and its add-ons run.
pub const SYSTEM: &str = "kube-system";
/// Kinds listed when an alert names nothing but a namespace.
const NAMESPACE_KINDS: [&str; 12] = [
    "Pod",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "PersistentVolumeClaim",
    "Service",
    "HorizontalPodAutoscaler",
    "Ingress",
    "ResourceQuota",
    "PodDisruptionBudget",
];

/// Kinds of workloads that an alert may mean by the name of an application.
const APPLICATIONS: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"];

/// What to read next. Objects among it become relevant; what was already read or asked is the caller's to leave out.
#[must_use]
pub fn next(seen: &Seen) -> Vec<Want> {
    let mut wants = Vec::new();
    for object in &seen.relevant {
        wants.push(Want::Object(object.clone()));
        if !object.namespace.is_empty() {
            wants.push(Want::Events { namespace: object.namespace.clone() });
            wants.extend(Want::list("Pod", &object.namespace));
        }
        match seen.facts.raw(object) {
            Some((value, _)) => wants.extend(from_object(seen, object, value)),
            None if seen.facts.absent(object).is_some() => wants.extend(named_after(seen, object)),
            None => {}
        }
    }
    wants.extend(asked(seen));
    wants.extend(services::by_host(seen));
    wants.extend(outside::next(seen));
    wants.extend(clue::from_events(seen));
    wants.extend(clue::from_logs(seen));
    wants.extend(aside::next(seen));
    wants
}

/// What the analyzers that the alert asks for want listed, a few kinds, and what of it does not look well.
fn asked(seen: &Seen) -> Vec<Want> {
    let namespaces = seen.targets.iter().map(|target| target.namespace.as_str());
    let namespace = namespaces.into_iter().find(|namespace| !namespace.is_empty());
    // What counts the whole cluster counts it in all its namespaces.
    let everywhere = seen.targets.is_empty() && seen.outside.iter().any(|it| it.place == Place::Cluster);
    let mut wants = Vec::new();
    for kind in seen.wanted.iter().take(LISTS_ASKED) {
        // A host of an Ingress may be taken by one of another Namespace.
        let namespaced = *kind != "Ingress" && kind_info(kind).is_some_and(|(.., namespaced)| namespaced);
        let Some(namespace) = namespace.or((!namespaced || everywhere).then_some("")) else { continue };
        wants.extend(Want::list(kind, if namespaced { namespace } else { "" }));
        let unwell = rows::unwell(seen, kind, if namespaced { namespace } else { "" });
        let near = |row: &ObjectRef| namespace.is_empty() || row.namespace.is_empty() || row.namespace == namespace;
        let unwell = unwell.into_iter().filter(near);
        wants.extend(unwell.take(PODS_PER_SELECTOR).map(Want::Object));
    }
    wants
}

fn from_object(seen: &Seen, object: &ObjectRef, value: &Value) -> Vec<Want> {
    let mut wants: Vec<Want> = owners(object, value).map(Want::Object).collect();
    wants.extend(services::astray(seen, object, value));
    if has_no_pods(object, value) && value.pointer("/spec/template").is_some_and(refers_to_config) {
        wants.extend(Want::list("ConfigMap", &object.namespace));
    }
    wants.extend(match object.kind.as_str() {
        "Pod" => from_pod(seen, object, value),
        "Deployment" => from_deployment(seen, object, value),
        "StatefulSet" | "DaemonSet" | "ReplicaSet" => {
            pods(seen, &object.namespace, &selector(value, "/spec/selector/matchLabels"))
        }
        "Job" => pods(seen, &object.namespace, &[("job-name".to_owned(), object.name.clone())]),
        "CronJob" => from_cron_job(seen, object),
        "PersistentVolumeClaim" => around::from_claim(seen, object, value),
        "Service" => services::from_service(seen, object, value),
        "HorizontalPodAutoscaler" => around::from_autoscaler(object, value),
        "HTTPRoute" => around::from_route(object, value),
        "Gateway" => around::from_gateway(value),
        "PersistentVolume" => around::from_volume(value),
        "APIService" => around::from_api(value),
        "ResourceQuota" => around::refused_by(seen, object),
        "Ingress" => around::from_ingress(seen, object, value),
        "Certificate" => around::from_certificate(seen, object, value),
        "Node" => around::from_node(seen, object, value),
        "PodDisruptionBudget" => pods(seen, &object.namespace, &selector(value, "/spec/selector/matchLabels")),
        "Namespace" if value.pointer("/metadata/deletionTimestamp").is_some() => {
            around::from_leaving_namespace(seen, value)
        }
        "Namespace" if seen.targets.contains(object) => from_namespace(seen, object),
        _ => Vec::new(),
    });
    wants
}

/// Where no object has the name: the pods named after it, and what may have owned it. A `service` label is often just what an
/// application calls itself, and a pod that is gone has been replaced by one of the same workload.
fn named_after(seen: &Seen, object: &ObjectRef) -> Vec<Want> {
    let mut wants = Vec::new();
    let beside = rows::beside(seen, object);
    let is_without_pods = beside.is_empty();
    if object.kind != "Namespace" && seen.facts.listing("Pod", &object.namespace).is_some() {
        wants.extend(beside.into_iter().take(PODS_PER_SELECTOR).map(Want::Object));
        if !seen.rows.keys().any(|row| row.namespace == object.namespace) {
            wants.push(Want::Object(ObjectRef::new("Namespace", "", object.namespace.as_str())));
        }
    }
    let is_asked = seen.targets.contains(object);
    let makers: &[&'static str] = match object.kind.as_str() {
        "Pod" => &["Deployment", "StatefulSet"],
        "Job" => &["CronJob"],
        // An application that no Service leads to, and that has no Pod either: a Pod leads to its owner.
        "Service" if is_asked && is_without_pods => &APPLICATIONS,
        _ => &[],
    };
    for kind in makers {
        wants.extend(Want::list(kind, &object.namespace));
        let made = seen.rows.keys().filter(|row| row.kind == *kind && row.namespace == object.namespace);
        let fits = |row: &&ObjectRef| {
            row.name == object.name || (object.kind != "Service" && rows::is_named_after(&object.name, &row.name))
        };
        wants.extend(made.filter(fits).cloned().map(Want::Object));
    }
    wants
}

/// The objects that own one, of kinds gather knows.
pub(super) fn owners<'a>(object: &'a ObjectRef, value: &'a Value) -> impl Iterator<Item = ObjectRef> + 'a {
    array(value, "/metadata/ownerReferences").filter_map(|owner| {
        let (kind, name) = (text(owner, "/kind"), text(owner, "/name"));
        kind_info(kind).map(|_| ObjectRef::new(kind, if kind == "Node" { "" } else { &object.namespace }, name))
    })
}

fn from_pod(seen: &Seen, object: &ObjectRef, value: &Value) -> Vec<Want> {
    let namespace = object.namespace.as_str();
    let mut wants = Vec::new();
    if let Some(node) = value.pointer("/spec/nodeName").and_then(Value::as_str) {
        let node = ObjectRef::new("Node", "", node);
        if seen.facts.raw(&node).is_some_and(|(node, _)| around::is_cordoned(node)) {
            wants.extend(Want::list("PodDisruptionBudget", namespace));
            wants.extend(listed(seen, "PodDisruptionBudget", namespace));
        }
        wants.push(Want::Object(node));
    }
    for claim in
        array(value, "/spec/volumes").filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName")?.as_str())
    {
        wants.push(Want::Object(ObjectRef::new("PersistentVolumeClaim", namespace, claim)));
    }
    let unplaced = text(value, "/status/phase") == "Pending" && value.pointer("/spec/nodeName").is_none();
    if unplaced && refers_to_config(value) {
        // Names only: whether what it refers to exists shows what would fail next.
        wants.extend(Want::list("ConfigMap", namespace));
    }
    if unplaced && array(value, "/status/conditions").next().is_none() {
        // Nobody has looked at it: does the cluster's scheduler run at all?
        wants.extend(Want::list("Pod", SYSTEM));
        let schedulers =
            rows::unwell(seen, "Pod", SYSTEM).into_iter().filter(|row| row.name.starts_with("kube-scheduler"));
        wants.extend(schedulers.take(PODS_PER_SELECTOR).map(Want::Object));
    }
    if seen.scraped_from.is_some() {
        wants.extend(configured(seen, object));
    }
    if ran_out_of_memory(value) && is_signed(value) {
        wants.extend(Want::list("MutatingWebhookConfiguration", ""));
        wants.extend(listed(seen, "MutatingWebhookConfiguration", "").into_iter().take(PODS_PER_SELECTOR));
    }
    for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for status in array(value, list) {
            wants.extend(logs(object, status));
        }
    }
    wants
}

/// The ConfigMaps of a pod whose metrics cannot be scraped, a few: on which address it listens stands in them.
fn configured(seen: &Seen, pod: &ObjectRef) -> Vec<Want> {
    let read = seen.facts.get::<Pod>(&pod.namespace, &pod.name);
    let maps = read.map(|pod| latent::maps(&pod.object)).unwrap_or_default();
    maps.into_iter().take(MAPS_READ).map(Want::Object).collect()
}

fn ran_out_of_memory(pod: &Value) -> bool {
    array(pod, "/status/containerStatuses").any(|status| {
        ["/state", "/lastState"].iter().any(|state| text(status, &format!("{state}/terminated/reason")) == "OOMKilled")
    })
}

/// Whether somebody else than Kubernetes left a note at a pod: a webhook that changed it on its way in may have.
fn is_signed(pod: &Value) -> bool {
    let notes = pod.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten();
    let mut domains = notes.filter_map(|(key, _)| Some(key.split_once('/')?.0));
    domains.any(|domain| !domain.ends_with("kubernetes.io") && !domain.ends_with("k8s.io"))
}

/// Whether a workload that wants pods has none.
fn has_no_pods(object: &ObjectRef, value: &Value) -> bool {
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_i64);
    let none = |counts: &[&str]| counts.iter().all(|count| number(&format!("/status/{count}")).unwrap_or(0) == 0);
    match object.kind.as_str() {
        "Deployment" | "StatefulSet" => none(&["replicas"]) && number("/spec/replicas") != Some(0),
        "DaemonSet" => none(&["currentNumberScheduled"]) && !none(&["desiredNumberScheduled"]),
        "Job" => none(&["active", "succeeded", "failed"]),
        _ => false,
    }
}

/// Whether a container or a volume of a pod takes something from a ConfigMap of its own namespace.
fn refers_to_config(pod: &Value) -> bool {
    let volumes = array(pod, "/spec/volumes").any(|volume| volume.get("configMap").is_some());
    let containers = array(pod, "/spec/containers").chain(array(pod, "/spec/initContainers"));
    let mut sources = containers.flat_map(|it| array(it, "/envFrom").chain(array(it, "/env")));
    volumes || sources.any(|it| it.get("configMapRef").is_some() || it.pointer("/valueFrom/configMapKeyRef").is_some())
}

/// The logs of a container that has run: the run before the last restart too, for that is the one that failed.
pub(super) fn logs(pod: &ObjectRef, status: &Value) -> Vec<Want> {
    let container = text(status, "/name").to_owned();
    let restarts = status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
    let has_run =
        restarts > 0 || status.pointer("/state/running").is_some() || status.pointer("/state/terminated").is_some();
    let log = |previous| Want::Log {
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        container: container.clone(),
        previous,
    };
    let mut wants = Vec::new();
    if has_run && !container.is_empty() {
        wants.push(log(false));
        if restarts > 0 {
            wants.push(log(true));
        }
    }
    wants
}

fn from_deployment(seen: &Seen, object: &ObjectRef, value: &Value) -> Vec<Want> {
    let labels = selector(value, "/spec/selector/matchLabels");
    let mut wants: Vec<Want> = Want::list("ReplicaSet", &object.namespace).into_iter().collect();
    let replica_sets = seen.rows.iter().filter(|(row, cells)| {
        row.kind == "ReplicaSet"
            && row.namespace == object.namespace
            && has_labels(cells, &labels)
            && cell(cells, "DESIRED") != "0"
    });
    wants.extend(replica_sets.take(PODS_PER_SELECTOR).map(|(row, _)| Want::Object(row.clone())));
    let short = value.pointer("/status/unavailableReplicas").and_then(Value::as_i64).unwrap_or(0) > 0;
    if short || rows::released_lately(seen, &object.namespace, &labels) {
        wants.extend(rows::retired(seen, &object.namespace, &labels).map(Want::Object));
    }
    wants.extend(pods(seen, &object.namespace, &labels));
    wants
}

fn from_cron_job(seen: &Seen, object: &ObjectRef) -> Vec<Want> {
    let mut wants: Vec<Want> = Want::list("Job", &object.namespace).into_iter().collect();
    let prefix = format!("{}-", object.name);
    let jobs = seen
        .rows
        .keys()
        .rev()
        .filter(|row| row.kind == "Job" && row.namespace == object.namespace && row.name.starts_with(&prefix));
    wants.extend(jobs.take(2).map(|row| Want::Object(row.clone())));
    wants
}

/// Nothing more specific is known: what in the namespace does not look well, or a few of its pods and workloads when all
/// does.
fn from_namespace(seen: &Seen, object: &ObjectRef) -> Vec<Want> {
    let namespace = object.name.as_str();
    let mut wants = vec![Want::Events { namespace: namespace.to_owned() }];
    wants.extend(NAMESPACE_KINDS.iter().filter_map(|kind| Want::list(kind, namespace)));
    let mut unwell: Vec<Want> = Vec::new();
    for kind in NAMESPACE_KINDS {
        let found = rows::unwell(seen, kind, namespace);
        unwell.extend(found.into_iter().take(PODS_PER_SELECTOR).map(Want::Object));
    }
    // An autoscaler's row rules nothing out, so it is always among them; it says nothing of the workloads beside its own.
    // Whether a Service that nobody answers for is missed, only the logs of those that would call it say.
    let quiet = ["HorizontalPodAutoscaler", "Service"];
    if unwell.iter().all(|want| matches!(want, Want::Object(object) if quiet.contains(&object.kind.as_str()))) {
        for kind in ["Pod", "Deployment", "StatefulSet", "DaemonSet"] {
            unwell.extend(listed(seen, kind, namespace).into_iter().take(PODS_PER_SELECTOR));
        }
    }
    wants.extend(unwell);
    wants
}

/// Pods that carry the labels, those that are not well first.
fn pods(seen: &Seen, namespace: &str, labels: &[(String, String)]) -> Vec<Want> {
    let mut found: Vec<_> = seen
        .rows
        .iter()
        .filter(|(row, cells)| row.kind == "Pod" && row.namespace == namespace && has_labels(cells, labels))
        .collect();
    found.sort_by_key(|(_, cells)| rows::is_well_pod(cells));
    found.into_iter().take(PODS_PER_SELECTOR).map(|(row, _)| Want::Object(row.clone())).collect()
}

fn named(value: &Value, kind: &str, name: &str, namespace: &str) -> Vec<Want> {
    vec![Want::Object(ObjectRef::new(text(value, kind), namespace, text(value, name)))]
}

fn selector(value: &Value, pointer: &str) -> Vec<(String, String)> {
    let labels = value.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn array<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + 'a {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::playbook::Question;
    use crate::playbook::outside::Outside;

    fn node(ready: &str, unschedulable: bool) -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {"unschedulable": unschedulable},
            "status": {"conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": ready}]}})
    }

    fn asked(target: &ObjectRef, objects: Vec<Value>) -> Vec<Want> {
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(target));
        seen.relevant.push(ObjectRef::new("Node", "", "n1"));
        for object in objects {
            seen.facts.add_object(object, "E1");
        }
        next(&seen)
    }

    #[test]
    fn events_about_a_node_are_read_only_where_it_matters() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "a"}, "spec": {"nodeName": "n1"}});
        let events = Want::EventsAbout { name: "n1".into() };
        let target = ObjectRef::new("Pod", "a", "web-0");
        assert!(!asked(&target, vec![node("True", false), pod.clone()]).contains(&events), "a healthy Node");
        assert!(asked(&target, vec![node("Unknown", false), pod]).contains(&events), "a sick one under the pod");
        assert!(!asked(&target, vec![node("Unknown", false)]).contains(&events), "a sick one elsewhere");
        assert!(
            asked(&ObjectRef::new("Node", "", "n1"), vec![node("True", false)]).contains(&events),
            "the one asked about"
        );
    }

    #[test]
    fn the_maps_of_a_pod_are_read_where_it_cannot_be_scraped() {
        let pod = ObjectRef::new("Pod", "a", "web-0");
        let volumes = json!([{"name": "conf", "configMap": {"name": "settings"}}]);
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "a"},
            "spec": {"containers": [{"name": "web"}], "volumes": volumes}});
        let reads = |scraped_from: Option<&str>| {
            let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&pod));
            seen.scraped_from = scraped_from.map(str::to_owned);
            seen.facts.add_object(object.clone(), "E1");
            next(&seen).contains(&Want::Object(ObjectRef::new("ConfigMap", "a", "settings")))
        };
        assert!(reads(Some("monitoring")) && !reads(None));
    }

    #[test]
    fn a_cordoned_node_makes_budgets_interesting() {
        let budgets = Want::List { kind: "PodDisruptionBudget", namespace: String::new() };
        let target = ObjectRef::new("Node", "", "n1");
        assert!(asked(&target, vec![node("True", true)]).contains(&budgets));
        assert!(!asked(&target, vec![node("True", false)]).contains(&budgets));
    }

    #[test]
    fn whether_a_service_without_pods_is_missed_is_read_in_the_logs_of_those_beside_it() {
        let target = ObjectRef::new("Namespace", "", "a");
        let reads = |others: &[(&str, &str, &str, &str)]| {
            let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&target));
            seen.relevant.push(target.clone());
            seen.facts.add_object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}), "E1");
            let well = ("Pod", "web-0", "READY=1/1", "STATUS=Running");
            for (kind, name, first, second) in [well].iter().chain(others) {
                let cells = [*first, *second].into_iter().filter_map(|cell| cell.split_once('='));
                let row = cells.map(|(heading, cell)| (heading.to_owned(), cell.to_owned())).collect();
                seen.rows.insert(ObjectRef::new(*kind, "a", *name), row);
            }
            next(&seen).contains(&Want::Object(ObjectRef::new("Pod", "a", "web-0")))
        };
        assert!(reads(&[("Service", "cache", "SELECTOR=app=cache", "TYPE=ClusterIP")]));
        assert!(!reads(&[("Pod", "bad-0", "READY=0/1", "STATUS=CrashLoopBackOff")]), "that one says enough");
    }

    #[test]
    fn what_counts_the_whole_cluster_is_listed_in_all_namespaces() {
        let outside = |place| Outside {
            place,
            name: String::new(),
            namespace: String::new(),
            alert: "KubeCPUQuotaOvercommit".into(),
            labels: Default::default(),
            summary: None,
        };
        let reads = |place| {
            let alert_names = vec!["KubeCPUQuotaOvercommit".to_owned()];
            let question = Question { outside: vec![outside(place)], alert_names, ..Question::default() };
            let mut seen = Seen::of(Timestamp::UNIX_EPOCH, &question);
            let quota = ObjectRef::new("ResourceQuota", "a", "all");
            seen.rows.insert(quota.clone(), Default::default());
            let wants = next(&seen);
            let list = Want::List { kind: "ResourceQuota", namespace: String::new() };
            wants.contains(&list) && wants.contains(&Want::Object(quota))
        };
        assert!(reads(Place::Cluster));
        assert!(!reads(Place::Unknown), "nobody says that all are meant");
    }

    #[test]
    fn what_a_workload_without_pods_refers_to_is_looked_for_by_its_name() {
        let target = ObjectRef::new("StatefulSet", "a", "web");
        let set = |replicas: i64, map: &str| {
            let spec = json!({"containers": [{"envFrom": [{"configMapRef": {"name": map}}]}]});
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web", "namespace": "a"},
                "spec": {"replicas": 1, "template": {"spec": spec}}, "status": {"replicas": replicas}})
        };
        let maps = Want::List { kind: "ConfigMap", namespace: "a".into() };
        assert!(asked(&target, vec![set(0, "settings")]).contains(&maps));
        assert!(!asked(&target, vec![set(1, "settings")]).contains(&maps), "its Pod says what it is missing");
    }

    #[test]
    fn only_a_namespace_that_is_asked_about_is_looked_through() {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}});
        let lists = |wants: Vec<Want>| wants.iter().filter(|want| matches!(want, Want::List { .. })).count();
        assert_eq!(lists(asked(&ObjectRef::new("Namespace", "", "a"), vec![namespace.clone()])), NAMESPACE_KINDS.len());
        let beside = ObjectRef::new("Node", "", "n1");
        assert_eq!(lists(asked(&beside, vec![namespace])), 0);
    }
}
