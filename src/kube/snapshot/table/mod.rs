//! Server-side tables: what `kubectl get` prints, kind by kind, as the API server computes it.

mod cluster;
mod format;
mod network;
mod pods;
mod storage;
mod workloads;

use jiff::Timestamp;
use serde_json::{Value, json};

use self::format::{age, name};
use super::kinds::Kind;

/// One column; priority 1 is shown only in wide output.
pub(super) struct Column {
    name: &'static str,
    kind: &'static str,
    priority: u8,
}

/// A column of text.
const fn column(name: &'static str) -> Column {
    Column { name, kind: "string", priority: 0 }
}

/// A column of whole numbers.
const fn number(name: &'static str) -> Column {
    Column { name, kind: "integer", priority: 0 }
}

/// A column of text that only wide output shows.
const fn wide(name: &'static str) -> Column {
    Column { name, kind: "string", priority: 1 }
}

/// How a kind is printed: its columns, and an object's cells at a given moment.
pub(super) struct Printer {
    columns: &'static [Column],
    cells: Cells,
}

type Cells = fn(&Value, Timestamp) -> Vec<Value>;

impl Printer {
    const fn new(columns: &'static [Column], cells: Cells) -> Self {
        Self { columns, cells }
    }
}

/// Whether an `Accept` header prefers a table. The first media type decides, as clients put it first.
pub(super) fn wanted(accept: &str) -> bool {
    let first = accept.split(',').next().unwrap_or_default();
    first.split(';').any(|part| part.trim() == "as=Table")
}

/// The table of some objects. `include` is the request's `includeObject`: `None`, `Metadata` (default) or `Object`.
pub(super) fn render(kind: &Kind, objects: &[Value], include: &str, now: Timestamp) -> Value {
    let printer = printer(kind);
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": (printer.cells)(object, now)});
            if include != "None" {
                row["object"] = if include == "Object" { object.clone() } else { metadata_of(object) };
            }
            row
        })
        .collect();
    let columns: Vec<Value> = printer.columns.iter().map(definition).collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": columns, "rows": rows,
    })
}

fn definition(column: &Column) -> Value {
    let format = if column.name == "Name" { "name" } else { "" };
    json!({
        "name": column.name, "type": column.kind, "format": format, "description": "",
        "priority": column.priority,
    })
}

fn metadata_of(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// The columns of kinds nobody gave their own.
const ANY: &[Column] = &[column("Name"), column("Age")];

fn printer(kind: &Kind) -> Printer {
    let special = match &*kind.group {
        "" => cluster::core(&kind.kind)
            .or_else(|| pods::core(&kind.kind))
            .or_else(|| network::core(&kind.kind))
            .or_else(|| storage::core(&kind.kind)),
        "apps" | "batch" | "autoscaling" | "policy" => workloads::printer(&kind.kind),
        "networking.k8s.io" | "discovery.k8s.io" => network::printer(&kind.kind),
        "storage.k8s.io" => storage::printer(&kind.kind),
        _ => cluster::printer(&kind.kind),
    };
    special.unwrap_or(Printer::new(ANY, |object, now| vec![name(object), age(object, now)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_given_only_to_those_who_prefer_it() {
        assert!(wanted("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"));
        assert!(!wanted("application/json"));
        assert!(!wanted("application/json, application/json;as=Table;v=v1;g=meta.k8s.io"));
    }
}
