//! The tools as they are announced: the names and arguments of kubernetes-mcp-server's read-only core tools.

use std::sync::Arc;

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

const NAMESPACE_OR_ALL: &str = "Namespace to look in; all namespaces when left out";
const FIELDS: &str = "Kubernetes field selector, for example status.phase=Running or spec.nodeName=worker-1. \
                      CrashLoopBackOff is a container's state, not a phase, and cannot be selected";
const EVENT_FIELDS: &str = "Kubernetes field selector, for example type=Warning or involvedObject.name=my-pod. \
                            Known fields: involvedObject.kind, .name, .namespace, .uid, reason, source, type";
const LABELS: &str = "Kubernetes label selector, for example app=web,env=prod or app in (web,api)";
const API_VERSION: &str = "apiVersion of the kind, for example v1, apps/v1 or networking.k8s.io/v1";
const KIND: &str = "Kind in CamelCase singular, for example Pod, Service, Deployment or Ingress";
const FIELD_PATTERN: &str = r"^[.\-A-Za-z0-9]+([=!,]{1,2}[./\-A-Za-z0-9]+)+$";
const LABEL_PATTERN: &str = r"^([/_.\-A-Za-z0-9=, ()!])+$";

/// Every tool, in alphabetical order.
pub(super) fn tools() -> Vec<Tool> {
    let mut tools = event_and_node_tools();
    tools.extend(pod_tools());
    tools.extend(resource_tools());
    tools
}

fn event_and_node_tools() -> Vec<Tool> {
    vec![
        tool(
            "events_list",
            "Events: List",
            "Events of one namespace or of the whole cluster, oldest first. Pass a namespace and a fieldSelector on \
             involvedObject.name to see what happened to one object.",
            [text("namespace", NAMESPACE_OR_ALL), selector("fieldSelector", EVENT_FIELDS, FIELD_PATTERN)],
            &[],
        ),
        tool(
            "namespaces_list",
            "Namespaces: List",
            "All namespaces with their status.",
            [selector("fieldSelector", FIELDS, FIELD_PATTERN)],
            &[],
        ),
        tool(
            "nodes_top",
            "Nodes: Top",
            "CPU and memory in use on nodes, from the metrics API.",
            [text("name", "One node; all nodes when left out"), selector("label_selector", LABELS, LABEL_PATTERN)],
            &[],
        ),
    ]
}

fn pod_tools() -> Vec<Tool> {
    let namespace = || text("namespace", "Namespace of the Pod");
    let labels = || selector("labelSelector", LABELS, LABEL_PATTERN);
    let fields = || selector("fieldSelector", FIELDS, FIELD_PATTERN);
    vec![
        tool(
            "pods_get",
            "Pods: Get",
            "One Pod in full as YAML: spec, conditions, container states.",
            [text("name", "Name of the Pod"), namespace()],
            &["name"],
        ),
        tool("pods_list", "Pods: List", "A table of the Pods of all namespaces.", [labels(), fields()], &[]),
        tool(
            "pods_list_in_namespace",
            "Pods: List in Namespace",
            "A table of the Pods of one namespace.",
            [text("namespace", "Namespace to list Pods from"), labels(), fields()],
            &["namespace"],
        ),
        tool(
            "pods_log",
            "Pods: Log",
            "The end of a container's log. previous=true reads the instance that crashed before the running one.",
            [
                text("name", "Name of the Pod"),
                namespace(),
                text("container", "Container; the Pod's default one when left out. Init containers must be named"),
                property("previous", json!({"type": "boolean", "description": "Read the instance before this one"})),
                property(
                    "tail",
                    json!({
                        "type": "integer", "minimum": 0, "default": 100,
                        "description": "Lines from the end of the log",
                    }),
                ),
            ],
            &["name"],
        ),
        tool(
            "pods_top",
            "Pods: Top",
            "CPU and memory in use by the containers of Pods, from the metrics API.",
            [
                property(
                    "all_namespaces",
                    json!({
                        "type": "boolean", "default": true,
                        "description": "Look in all namespaces when no namespace is given",
                    }),
                ),
                text("namespace", "Namespace to look in"),
                text("name", "One Pod; all Pods when left out"),
                selector("label_selector", LABELS, LABEL_PATTERN),
            ],
            &[],
        ),
    ]
}

fn resource_tools() -> Vec<Tool> {
    vec![
        tool(
            "resources_get",
            "Resources: Get",
            "One object of any kind in full as YAML. Secrets are never read.",
            [
                text("apiVersion", API_VERSION),
                text("kind", KIND),
                text("name", "Name of the object"),
                text("namespace", "Namespace of the object; ignored for cluster-scoped kinds"),
            ],
            &["apiVersion", "kind", "name"],
        ),
        tool(
            "resources_list",
            "Resources: List",
            "A table of the objects of any kind. Secrets are never read.",
            [
                text("apiVersion", API_VERSION),
                text("kind", KIND),
                text("namespace", NAMESPACE_OR_ALL),
                selector("labelSelector", LABELS, LABEL_PATTERN),
                selector("fieldSelector", FIELDS, FIELD_PATTERN),
            ],
            &["apiVersion", "kind"],
        ),
    ]
}

type Property = (&'static str, Value);

fn property(name: &'static str, schema: Value) -> Property {
    (name, schema)
}

fn text(name: &'static str, description: &str) -> Property {
    (name, json!({"type": "string", "description": description}))
}

fn selector(name: &'static str, description: &str, pattern: &str) -> Property {
    (name, json!({"type": "string", "description": description, "pattern": pattern}))
}

fn tool<const N: usize>(
    name: &'static str,
    title: &str,
    description: &'static str,
    properties: [Property; N],
    required: &[&str],
) -> Tool {
    let properties: Map<String, Value> =
        properties.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    let annotations =
        ToolAnnotations::with_title(title).read_only(true).destructive(false).idempotent(true).open_world(true);
    Tool::new(name, description, Arc::new(schema)).with_title(title).with_annotations(annotations)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_those_of_kubernetes_mcp_server() {
        let recorded: Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/mcp-recordings/tools-list.json")).unwrap();
        let theirs =
            |name: &str| recorded.as_array().unwrap().iter().find(|tool| tool["name"] == name).cloned().unwrap();
        for tool in tools() {
            let their_schema = &theirs(&tool.name)["inputSchema"];
            let mut schema = Value::Object((*tool.input_schema).clone());
            assert_eq!(schema["required"], their_schema["required"], "{}", tool.name);
            for (name, property) in schema["properties"].as_object_mut().unwrap() {
                let mut theirs = their_schema["properties"][name].clone();
                property["description"].take();
                theirs["description"].take();
                assert_eq!(*property, theirs, "{} {name}", tool.name);
            }
            let count = |schema: &Value| schema["properties"].as_object().unwrap().len();
            assert_eq!(count(&schema), count(their_schema), "{}", tool.name);
        }
    }
}
