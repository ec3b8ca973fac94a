//! Rows of nodes, namespaces, events, quotas and what else belongs to the cluster itself.

use jiff::Timestamp;
use serde_json::Value;

use super::format::{age, count, list, name, since, text, text_or, time};
use super::{Column, Printer, column, number, wide};

const NONE: &str = "<none>";

pub(super) fn core(kind: &str) -> Option<Printer> {
    Some(match kind {
        "Node" => Printer::new(NODE, node),
        "Namespace" => Printer::new(NAMESPACE, namespace),
        "Event" => Printer::new(EVENT, event),
        "ResourceQuota" => Printer::new(QUOTA, quota),
        "ConfigMap" => Printer::new(CONFIG_MAP, config_map),
        "ServiceAccount" => Printer::new(SERVICE_ACCOUNT, service_account),
        "LimitRange" => Printer::new(CREATED, created),
        _ => return None,
    })
}

pub(super) fn printer(kind: &str) -> Option<Printer> {
    Some(match kind {
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => Printer::new(WEBHOOK, webhook),
        "PriorityClass" => Printer::new(PRIORITY, priority),
        "Lease" => Printer::new(LEASE, lease),
        "RuntimeClass" => Printer::new(RUNTIME, runtime),
        "RoleBinding" | "ClusterRoleBinding" => Printer::new(BINDING, binding),
        "Role" | "ClusterRole" | "CustomResourceDefinition" => Printer::new(CREATED, created),
        "APIService" => Printer::new(API_SERVICE, api_service),
        _ => return None,
    })
}

const NODE: &[Column] = &[
    column("Name"),
    column("Status"),
    column("Roles"),
    column("Age"),
    column("Version"),
    wide("Internal-IP"),
    wide("External-IP"),
    wide("OS-Image"),
    wide("Kernel-Version"),
    wide("Container-Runtime"),
];

fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let info = &object["status"]["nodeInfo"];
    let kernel = match (text_or(info, "/kernelVersion", "<unknown>"), text(info, "/architecture")) {
        (kernel, "") => kernel.to_owned(),
        (kernel, architecture) => format!("{kernel} ({architecture})"),
    };
    vec![
        name(object),
        node_status(object).into(),
        roles(object).into(),
        age(object, now),
        text(info, "/kubeletVersion").into(),
        address(object, "InternalIP").into(),
        address(object, "ExternalIP").into(),
        text_or(info, "/osImage", "<unknown>").into(),
        kernel.into(),
        text_or(info, "/containerRuntimeVersion", "<unknown>").into(),
    ]
}

fn node_status(node: &Value) -> String {
    let ready = list(node, "/status/conditions").iter().find(|condition| condition["type"] == "Ready");
    let ready = match ready.map(|condition| &condition["status"] == "True") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    };
    if node["spec"]["unschedulable"] == true { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role).filter(|role| !role.is_empty()),
            None => value.as_str().filter(|_| key == "kubernetes.io/role"),
        })
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { NONE.to_owned() } else { roles.join(",") }
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let found = list(node, "/status/addresses").iter().find(|address| address["type"] == kind);
    found.map_or(NONE, |address| text(address, "/address"))
}

const NAMESPACE: &[Column] = &[column("Name"), column("Status"), column("Age")];

fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/status/phase").into(), age(object, now)]
}

const EVENT: &[Column] = &[
    column("Last Seen"),
    column("Type"),
    column("Reason"),
    column("Object"),
    wide("Subobject"),
    wide("Source"),
    column("Message"),
    wide("First Seen"),
    Column { name: "Count", kind: "integer", priority: 1 },
    wide("Name"),
];

fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let first = time(object, "/firstTimestamp").or_else(|| time(object, "/eventTime"));
    let series = time(object, "/series/lastObservedTime");
    let last = series.or_else(|| time(object, "/lastTimestamp")).or(first);
    let times = if series.is_some() { count(object, "/series/count") } else { count(object, "/count").max(1) };
    let regarded = &object["involvedObject"];
    vec![
        since(last, now).into(),
        text(object, "/type").into(),
        text(object, "/reason").into(),
        format!("{}/{}", text(regarded, "/kind").to_lowercase(), text(regarded, "/name")).into(),
        text(regarded, "/fieldPath").into(),
        source(object).into(),
        text(object, "/message").trim().into(),
        since(first, now).into(),
        times.into(),
        name(object),
    ]
}

fn source(event: &Value) -> String {
    let component = text_or(event, "/source/component", text(event, "/reportingComponent"));
    match text_or(event, "/source/host", text(event, "/reportingInstance")) {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    }
}

const QUOTA: &[Column] = &[column("Name"), column("Request"), column("Limit"), column("Age")];

fn quota(object: &Value, now: Timestamp) -> Vec<Value> {
    let hard = object["status"]["hard"].as_object();
    let mut resources: Vec<&str> = hard.into_iter().flatten().map(|(resource, _)| resource.as_str()).collect();
    resources.sort_unstable();
    let amount = |of: &str, resource: &str| object["status"][of][resource].as_str().unwrap_or("0").to_owned();
    let shown = |limits: bool| {
        let chosen = resources.iter().filter(|resource| resource.starts_with("limits.") == limits);
        let lines =
            chosen.map(|resource| format!("{resource}: {}/{}", amount("used", resource), amount("hard", resource)));
        lines.collect::<Vec<_>>().join(", ")
    };
    vec![name(object), shown(false).into(), shown(true).into(), age(object, now)]
}

const CONFIG_MAP: &[Column] = &[column("Name"), number("Data"), column("Age")];

fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    let entries = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len);
    vec![name(object), (entries("data") + entries("binaryData")).into(), age(object, now)]
}

const SERVICE_ACCOUNT: &[Column] = &[column("Name"), number("Secrets"), column("Age")];

fn service_account(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), list(object, "/secrets").len().into(), age(object, now)]
}

const CREATED: &[Column] = &[column("Name"), column("Created At")];

fn created(object: &Value, _: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/metadata/creationTimestamp").into()]
}

const WEBHOOK: &[Column] = &[column("Name"), number("Webhooks"), column("Age")];

fn webhook(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), list(object, "/webhooks").len().into(), age(object, now)]
}

const PRIORITY: &[Column] =
    &[column("Name"), number("Value"), column("Global-Default"), column("Age"), column("PreemptionPolicy")];

fn priority(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        count(object, "/value").into(),
        (object["globalDefault"] == true).into(),
        age(object, now),
        text(object, "/preemptionPolicy").into(),
    ]
}

const LEASE: &[Column] = &[column("Name"), column("Holder"), column("Age")];

fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/spec/holderIdentity").into(), age(object, now)]
}

const RUNTIME: &[Column] = &[column("Name"), column("Handler"), column("Age")];

fn runtime(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/handler").into(), age(object, now)]
}

const BINDING: &[Column] =
    &[column("Name"), column("Role"), column("Age"), wide("Users"), wide("Groups"), wide("ServiceAccounts")];

fn binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str| {
        let of_kind = list(object, "/subjects").iter().filter(|subject| subject["kind"] == kind);
        let names = of_kind.map(|subject| match text(subject, "/namespace") {
            "" => text(subject, "/name").to_owned(),
            namespace => format!("{namespace}/{}", text(subject, "/name")),
        });
        names.collect::<Vec<_>>().join(", ")
    };
    vec![
        name(object),
        format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name")).into(),
        age(object, now),
        subjects("User").into(),
        subjects("Group").into(),
        subjects("ServiceAccount").into(),
    ]
}

const API_SERVICE: &[Column] = &[column("Name"), column("Service"), column("Available"), column("Age")];

fn api_service(object: &Value, now: Timestamp) -> Vec<Value> {
    let service = &object["spec"]["service"];
    let service = if service.is_object() {
        format!("{}/{}", text(service, "/namespace"), text(service, "/name"))
    } else {
        "Local".to_owned()
    };
    let condition = list(object, "/status/conditions").iter().find(|condition| condition["type"] == "Available");
    let available = match condition.map(|condition| (text(condition, "/status"), text(condition, "/reason"))) {
        Some(("True", _)) => "True".to_owned(),
        Some((status, reason)) if !reason.is_empty() => format!("{status} ({reason})"),
        Some((status, _)) => status.to_owned(),
        None => "Unknown".to_owned(),
    };
    vec![name(object), service.into(), available.into(), age(object, now)]
}
