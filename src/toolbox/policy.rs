//! Policy: which tools may be called, how they are described to a model, and which reads are refused.
//!
//! This table decides, not the server's hints: a hint can make a tool stricter, never more open. Descriptions are ours,
//! so that a server cannot put instructions into the prompt through them.

use serde_json::{Map, Value, json};

use crate::agent::tools::ToolSpec;
use crate::prometheus;

/// One argument of a known tool.
struct Argument {
    name: &'static str,
    kind: &'static str,
    required: bool,
    about: &'static str,
}

/// A read-only tool of kubernetes-mcp-server's core set, whose name and arguments the built-in toolset shares.
struct Known {
    name: &'static str,
    about: &'static str,
    arguments: &'static [Argument],
}

const fn need(name: &'static str, about: &'static str) -> Argument {
    Argument { name, kind: "string", required: true, about }
}

const fn may(name: &'static str, about: &'static str) -> Argument {
    Argument { name, kind: "string", required: false, about }
}

const LABELS: Argument = may("labelSelector", "for example app=web");
const FIELDS: Argument = may("fieldSelector", "for example involvedObject.name=web-0");

const KNOWN: &[Known] = &[
    Known {
        name: "events_list",
        about: "Events of a namespace. Narrow it with a fieldSelector.",
        arguments: &[may("namespace", "namespace; required unless a fieldSelector is given"), FIELDS],
    },
    Known { name: "namespaces_list", about: "All namespaces.", arguments: &[] },
    Known {
        name: "nodes_top",
        about: "CPU and memory use of nodes.",
        arguments: &[may("name", "one node"), may("label_selector", "")],
    },
    Known {
        name: "pods_get",
        about: "One pod, whole, as YAML.",
        arguments: &[need("name", "pod"), need("namespace", "its namespace")],
    },
    Known {
        name: "pods_list",
        about: "Pods of all namespaces that match a selector, as a table.",
        arguments: &[LABELS, may("fieldSelector", "for example spec.nodeName=worker-1")],
    },
    Known {
        name: "pods_list_in_namespace",
        about: "Pods of a namespace, as a table.",
        arguments: &[need("namespace", "namespace"), LABELS, may("fieldSelector", "for example status.phase=Pending")],
    },
    Known {
        name: "pods_log",
        about: "The last lines of a container's log; previous=true for the run before the last restart.",
        arguments: &[
            need("name", "pod"),
            need("namespace", "its namespace"),
            may("container", "container; required when the pod has several"),
            Argument { name: "previous", kind: "boolean", required: false, about: "the run before the last restart" },
            Argument { name: "tail", kind: "integer", required: false, about: "lines from the end, default 100" },
        ],
    },
    Known {
        name: "pods_top",
        about: "CPU and memory use of pods.",
        arguments: &[need("namespace", "namespace"), may("name", "one pod"), may("label_selector", "")],
    },
    Known {
        name: "resources_get",
        about: "One object of any kind, whole, as YAML. Secrets are refused.",
        arguments: &[
            need("apiVersion", "for example apps/v1"),
            need("kind", "CamelCase singular, for example Deployment"),
            need("name", "object"),
            may("namespace", "required for namespaced kinds"),
        ],
    },
    Known {
        name: "resources_list",
        about: "Objects of a kind, as a table. Secrets are refused.",
        arguments: &[
            need("apiVersion", "for example v1"),
            need("kind", "CamelCase singular, for example Service"),
            may("namespace", "left out: all namespaces"),
            LABELS,
            FIELDS,
        ],
    },
];

/// What Prometheus' own API answers; offered only where one is configured.
const MEASURING: &[Known] = &[
    Known {
        name: prometheus::QUERY,
        about: "The value of a PromQL expression now. Keep it narrow: 20 series are shown.",
        arguments: &[need("query", "PromQL"), SERIES_LABELS],
    },
    Known {
        name: prometheus::QUERY_RANGE,
        about: "The course of a PromQL expression: figures and a dozen values of each series.",
        arguments: &[
            need("query", "PromQL"),
            Argument {
                name: "minutes",
                kind: "integer",
                required: false,
                about: "back from end, default 60, at most 1440",
            },
            may("start", "RFC 3339, instead of minutes"),
            may("end", "RFC 3339, default now"),
            Argument { name: "step", kind: "integer", required: false, about: "seconds; chosen when left out" },
            SERIES_LABELS,
        ],
    },
];

const SERIES_LABELS: Argument =
    may("labels", "leaves out series that say otherwise, for example pod=web-0, namespace=shop");

/// Names of all tools that a diagnosis may use on a cluster.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.name)
}

/// The description of a tool when it is one that a diagnosis may use.
#[must_use]
pub fn spec(name: &str) -> Option<ToolSpec> {
    described(KNOWN, name)
}

/// The description of a tool that measures.
#[must_use]
pub fn measuring(name: &str) -> Option<ToolSpec> {
    described(MEASURING, name)
}

fn described(table: &[Known], name: &str) -> Option<ToolSpec> {
    let known = table.iter().find(|known| known.name == name)?;
    let properties: Map<String, Value> = known
        .arguments
        .iter()
        .map(|argument| (argument.name.to_owned(), json!({"type": argument.kind, "description": argument.about})))
        .collect();
    let required: Vec<&str> =
        known.arguments.iter().filter(|argument| argument.required).map(|argument| argument.name).collect();
    Some(ToolSpec {
        name: known.name.to_owned(),
        description: known.about.to_owned(),
        parameters: json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false}),
        // The table holds no tool that changes something.
        read_only: true,
    })
}

/// Why a call is refused although its tool is known and its arguments fit; `None` when it may go out.
#[must_use]
pub fn refusal(tool: &str, arguments: &Value) -> Option<&'static str> {
    let text = |key: &str| arguments.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = text("kind").to_ascii_lowercase();
    if tool.starts_with("resources_") && matches!(kind.trim_end_matches('s'), "secret" | "secretlist") {
        return Some("Secrets are never read. Whether one exists shows in pod events and statuses.");
    }
    if tool == "pods_list" && text("labelSelector").is_empty() && text("fieldSelector").is_empty() {
        return Some("pods_list needs a labelSelector or fieldSelector; for one namespace use pods_list_in_namespace.");
    }
    if tool == "events_list" && text("namespace").is_empty() && text("fieldSelector").is_empty() {
        return Some("events_list needs a namespace or a fieldSelector.");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_change_or_reveal_are_not_known() {
        for name in [
            "pods_exec",
            "pods_run",
            "pods_delete",
            "resources_delete",
            "resources_create_or_update",
            "configuration_view",
            "nodes_log",
        ] {
            assert!(spec(name).is_none(), "{name}");
        }
    }

    #[test]
    fn secrets_are_refused_however_they_are_spelt() {
        for kind in ["Secret", "secret", "Secrets", "SECRET"] {
            assert!(
                refusal("resources_get", &json!({"apiVersion": "v1", "kind": kind, "name": "x"})).is_some(),
                "{kind}"
            );
            assert!(refusal("resources_list", &json!({"apiVersion": "v1", "kind": kind})).is_some(), "{kind}");
        }
        assert!(refusal("resources_get", &json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x"})).is_none());
    }

    #[test]
    fn unbounded_lists_are_refused() {
        assert!(refusal("pods_list", &json!({})).is_some());
        assert!(refusal("events_list", &json!({})).is_some());
        assert!(refusal("events_list", &json!({"namespace": "a"})).is_none());
    }
}
