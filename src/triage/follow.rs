//! Following: from what was read to what is worth reading next. Pure, so that a wave of reads can be tested without a cluster.

use serde_json::Value;

use super::seen::Seen;
use super::want::{Want, kind_info};
use crate::alert::ObjectRef;

/// Pods read by name for one selector: one that fails and one to compare with say what ten would.
const PODS_PER_SELECTOR: usize = 3;
/// Objects of a list read by name when an event points at their kind.
const OBJECTS_PER_HINT: usize = 6;

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
    wants.extend(from_events(seen));
    wants.extend(from_logs(seen));
    wants
}

fn from_object(seen: &Seen, object: &ObjectRef, value: &Value) -> Vec<Want> {
    let mut wants: Vec<Want> = owners(object, value).map(Want::Object).collect();
    wants.extend(match object.kind.as_str() {
        "Pod" => from_pod(object, value),
        "Deployment" => from_deployment(seen, object, value),
        "StatefulSet" | "DaemonSet" | "ReplicaSet" => {
            pods(seen, &object.namespace, &selector(value, "/spec/selector/matchLabels"))
        }
        "Job" => pods(seen, &object.namespace, &[("job-name".to_owned(), object.name.clone())]),
        "CronJob" => from_cron_job(seen, object),
        "PersistentVolumeClaim" => from_claim(value),
        "Service" => from_service(seen, object, value),
        "HorizontalPodAutoscaler" => {
            named(value, "/spec/scaleTargetRef/kind", "/spec/scaleTargetRef/name", &object.namespace)
        }
        "Ingress" => from_ingress(object, value),
        "Node" => vec![Want::EventsAbout { name: object.name.clone() }],
        "Namespace" => from_namespace(seen, object),
        _ => Vec::new(),
    });
    wants
}

/// A `service` label is often just what an application calls itself: where no object has the name, the pods that are named
/// after it are meant.
fn named_after(seen: &Seen, object: &ObjectRef) -> Vec<Want> {
    let prefix = format!("{}-", object.name);
    let pods = seen
        .rows
        .keys()
        .filter(|row| row.kind == "Pod" && row.namespace == object.namespace && row.name.starts_with(&prefix));
    pods.take(PODS_PER_SELECTOR).map(|row| Want::Object(row.clone())).collect()
}

/// The objects that own one, of kinds gather knows.
fn owners<'a>(object: &'a ObjectRef, value: &'a Value) -> impl Iterator<Item = ObjectRef> + 'a {
    array(value, "/metadata/ownerReferences").filter_map(|owner| {
        let (kind, name) = (text(owner, "/kind"), text(owner, "/name"));
        kind_info(kind).map(|_| ObjectRef::new(kind, if kind == "Node" { "" } else { &object.namespace }, name))
    })
}

fn from_pod(object: &ObjectRef, value: &Value) -> Vec<Want> {
    let namespace = object.namespace.as_str();
    let mut wants = Vec::new();
    if let Some(node) = value.pointer("/spec/nodeName").and_then(Value::as_str) {
        wants.push(Want::Object(ObjectRef::new("Node", "", node)));
    }
    for claim in
        array(value, "/spec/volumes").filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName")?.as_str())
    {
        wants.push(Want::Object(ObjectRef::new("PersistentVolumeClaim", namespace, claim)));
    }
    for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for status in array(value, list) {
            wants.extend(logs(object, status));
        }
    }
    wants
}

/// The logs of a container that has run: the run before the last restart too, for that is the one that failed.
fn logs(pod: &ObjectRef, status: &Value) -> Vec<Want> {
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

fn from_claim(value: &Value) -> Vec<Want> {
    let mut wants = Vec::new();
    if let Some(class) = value.pointer("/spec/storageClassName").and_then(Value::as_str).filter(|name| !name.is_empty())
    {
        wants.push(Want::Object(ObjectRef::new("StorageClass", "", class)));
    }
    if let Some(volume) = value.pointer("/spec/volumeName").and_then(Value::as_str).filter(|name| !name.is_empty()) {
        wants.push(Want::Object(ObjectRef::new("PersistentVolume", "", volume)));
    }
    if text(value, "/status/phase") != "Bound" {
        wants.extend(["StorageClass", "CSIDriver", "PersistentVolume"].iter().filter_map(|kind| Want::list(kind, "")));
    }
    wants
}

fn from_service(seen: &Seen, object: &ObjectRef, value: &Value) -> Vec<Want> {
    let labels = selector(value, "/spec/selector");
    let mut wants = vec![Want::Object(ObjectRef::new("Endpoints", object.namespace.as_str(), object.name.as_str()))];
    wants.extend(Want::list("NetworkPolicy", &object.namespace));
    let chosen = pods(seen, &object.namespace, &labels);
    if chosen.is_empty() {
        // Nothing matches: the pods that nearly do show which label is wrong.
        for label in labels {
            wants.extend(pods(seen, &object.namespace, &[label]));
        }
    }
    wants.extend(chosen);
    wants.extend(listed(seen, "NetworkPolicy", &object.namespace));
    wants
}

fn from_ingress(object: &ObjectRef, value: &Value) -> Vec<Want> {
    let backends = array(value, "/spec/rules").flat_map(|rule| array(rule, "/http/paths"));
    let names = backends
        .map(|path| text(path, "/backend/service/name"))
        .chain([text(value, "/spec/defaultBackend/service/name")]);
    let mut wants: Vec<Want> =
        Want::list("IngressClass", "").into_iter().chain(Want::list("Service", &object.namespace)).collect();
    wants.extend(
        names
            .filter(|name| !name.is_empty())
            .map(|name| Want::Object(ObjectRef::new("Service", object.namespace.as_str(), name))),
    );
    wants
}

/// Nothing more specific is known: the namespace's pods that are not well, and what runs them.
fn from_namespace(seen: &Seen, object: &ObjectRef) -> Vec<Want> {
    let namespace = object.name.as_str();
    let mut wants = vec![Want::Events { namespace: namespace.to_owned() }];
    wants.extend(["Pod", "Deployment", "ResourceQuota"].iter().filter_map(|kind| Want::list(kind, namespace)));
    wants.extend(pods(seen, namespace, &[]));
    wants.extend(listed(seen, "ResourceQuota", namespace));
    wants
}

/// What warnings about relevant objects ask for: the rule that refused, the nodes that did not fit.
fn from_events(seen: &Seen) -> Vec<Want> {
    let mut wants = Vec::new();
    for object in &seen.relevant {
        for event in seen.facts.events_about(object).filter(|event| event.kind == "Warning") {
            let message = event.message.to_ascii_lowercase();
            for (words, kind) in HINTS {
                if message.contains(words) || event.reason == *words {
                    wants.extend(Want::list(kind, &object.namespace));
                    let scope = if kind_info(kind).is_some_and(|(.., namespaced)| namespaced) {
                        object.namespace.as_str()
                    } else {
                        ""
                    };
                    wants.extend(listed(seen, kind, scope));
                }
            }
        }
    }
    wants
}

/// Words of a warning (or its reason) and the kind of object that explains it.
const HINTS: &[(&str, &str)] = &[
    ("exceeded quota", "ResourceQuota"),
    ("failed quota", "ResourceQuota"),
    ("limitrange", "LimitRange"),
    ("per container is", "LimitRange"),
    ("per pod is", "LimitRange"),
    ("failed calling webhook", "ValidatingWebhookConfiguration"),
    ("failed calling webhook", "MutatingWebhookConfiguration"),
    ("denied the request", "ValidatingWebhookConfiguration"),
    ("serviceaccount", "ServiceAccount"),
    ("configmap", "ConfigMap"),
    ("FailedScheduling", "Node"),
];

/// What logs of relevant pods ask for: a network error makes the namespace's services and policies interesting, and a service
/// the log names is followed. Words of a log are only ever compared with names the API server listed.
fn from_logs(seen: &Seen) -> Vec<Want> {
    let mut wants = Vec::new();
    for pod in seen.relevant.iter().filter(|object| object.kind == "Pod") {
        for lines in seen.facts.logs_of(&pod.namespace, &pod.name).filter_map(|log| log.lines.as_ref().ok()) {
            if !NETWORK_WORDS.iter().any(|words| lines.to_ascii_lowercase().contains(words)) {
                continue;
            }
            wants.extend(Want::list("Service", &pod.namespace));
            wants.extend(Want::list("NetworkPolicy", &pod.namespace));
            let services = seen.rows.keys().filter(|row| row.kind == "Service" && row.namespace == pod.namespace);
            wants.extend(services.filter(|row| contains_word(lines, &row.name)).map(|row| Want::Object(row.clone())));
        }
    }
    wants
}

const NETWORK_WORDS: &[&str] = &[
    "timeout",
    "timed out",
    "connection refused",
    "no route to host",
    "connection reset",
    "no such host",
    "unreachable",
    "502",
    "503",
    "504",
];

fn contains_word(text: &str, word: &str) -> bool {
    let part = |char: char| char.is_ascii_alphanumeric() || char == '-';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part) && !text[at + word.len()..].chars().next().is_some_and(part)
    })
}

/// Pods that carry the labels, those that are not well first.
fn pods(seen: &Seen, namespace: &str, labels: &[(String, String)]) -> Vec<Want> {
    let mut found: Vec<_> = seen
        .rows
        .iter()
        .filter(|(row, cells)| row.kind == "Pod" && row.namespace == namespace && has_labels(cells, labels))
        .collect();
    found.sort_by_key(|(_, cells)| is_well(cells));
    let wanted = found.into_iter().filter(|(_, cells)| !labels.is_empty() || !is_well(cells));
    wanted.take(PODS_PER_SELECTOR).map(|(row, _)| Want::Object(row.clone())).collect()
}

fn is_well(cells: &crate::toolbox::table::Row) -> bool {
    let ready = cell(cells, "READY").split_once('/').is_some_and(|(ready, all)| ready == all);
    (ready && cell(cells, "STATUS") == "Running") || cell(cells, "STATUS") == "Completed"
}

fn listed(seen: &Seen, kind: &str, namespace: &str) -> Vec<Want> {
    let rows = seen.rows.keys().filter(|row| row.kind == kind && row.namespace == namespace);
    // ConfigMaps are looked for by name only: what stands in them is the team's own.
    rows.filter(|_| kind != "ConfigMap").take(OBJECTS_PER_HINT).map(|row| Want::Object(row.clone())).collect()
}

fn named(value: &Value, kind: &str, name: &str, namespace: &str) -> Vec<Want> {
    vec![Want::Object(ObjectRef::new(text(value, kind), namespace, text(value, name)))]
}

fn selector(value: &Value, pointer: &str) -> Vec<(String, String)> {
    let labels = value.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn has_labels(cells: &crate::toolbox::table::Row, labels: &[(String, String)]) -> bool {
    let carried: Vec<&str> = cell(cells, "LABELS").split(',').collect();
    labels.iter().all(|(key, value)| carried.contains(&format!("{key}={value}").as_str()))
}

fn cell<'a>(cells: &'a crate::toolbox::table::Row, heading: &str) -> &'a str {
    cells.get(heading).map(String::as_str).unwrap_or_default()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn array<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + 'a {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}
