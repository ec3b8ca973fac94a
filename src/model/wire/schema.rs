//! Schemas of arguments in the dialects that endpoints take.

use serde_json::{Map, Value, json};

/// An object with `type` and `properties`: MiniMax and others refuse a function without them.
pub(super) fn plain(schema: &Value) -> Value {
    let mut schema = schema.as_object().cloned().unwrap_or_default();
    schema.entry("type").or_insert_with(|| "object".into());
    schema.entry("properties").or_insert_with(|| json!({}));
    Value::Object(schema)
}

/// Kimi's dialect: a type everywhere, none beside `anyOf`, references put in place.
pub(super) fn moonshot(schema: &Value) -> Value {
    let root = plain(schema);
    let mut schema = Rewriter { root: &root, open: Vec::new() }.rewritten(&root);
    if let Some(schema) = schema.as_object_mut() {
        ["$defs", "definitions", "$schema"].iter().for_each(|key| {
            schema.remove(*key);
        });
    }
    schema
}

/// Puts references in place, each once on the way down: a schema may contain itself.
struct Rewriter<'a> {
    root: &'a Value,
    open: Vec<String>,
}

impl Rewriter<'_> {
    fn rewritten(&mut self, schema: &Value) -> Value {
        let Value::Object(schema) = schema else { return json!({ "type": "string" }) };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            return self.referred(target);
        }
        let mut schema = schema.clone();
        let branches = ["anyOf", "oneOf"].iter().find_map(|key| schema.remove(*key));
        if let Some(Value::Array(branches)) = branches {
            return self.with_branches(schema, &branches);
        }
        for key in ["properties", "patternProperties"] {
            if let Some(Value::Object(properties)) = schema.get_mut(key) {
                properties.values_mut().for_each(|value| *value = self.rewritten(value));
            }
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get_mut(key).filter(|inner| inner.is_object()) {
                *inner = self.rewritten(inner);
            }
        }
        let inferred = type_of(&schema);
        schema.entry("type").or_insert(inferred);
        Value::Object(schema)
    }

    fn referred(&mut self, target: &str) -> Value {
        if self.open.iter().any(|open| open == target) {
            return json!({ "type": "object" });
        }
        self.open.push(target.to_owned());
        let root = self.root;
        let schema = self.rewritten(root.pointer(target.trim_start_matches('#')).unwrap_or(&Value::Null));
        self.open.pop();
        schema
    }

    /// The parent's type moves into the branches that have none.
    fn with_branches(&mut self, mut parent: Map<String, Value>, branches: &[Value]) -> Value {
        let kind = parent.remove("type");
        let mut branch = |branch: &Value| {
            let mut branch = branch.clone();
            if let (Some(object), Some(kind)) = (branch.as_object_mut(), &kind)
                && !object.contains_key("$ref")
            {
                object.entry("type").or_insert_with(|| kind.clone());
            }
            self.rewritten(&branch)
        };
        let branches = branches.iter().map(&mut branch).collect();
        parent.insert("anyOf".to_owned(), branches);
        Value::Object(parent)
    }
}

/// The type a schema without one means.
fn type_of(schema: &Map<String, Value>) -> Value {
    let example = schema.get("const").or_else(|| schema.get("enum").and_then(|values| values.get(0)));
    let kind = match example {
        Some(Value::String(_)) => "string",
        Some(Value::Bool(_)) => "boolean",
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => "integer",
        Some(Value::Number(_)) => "number",
        Some(Value::Array(_)) => "array",
        Some(Value::Null) => "null",
        Some(Value::Object(_)) => "object",
        None if schema.contains_key("properties") => "object",
        None if schema.contains_key("items") => "array",
        None => "string",
    };
    kind.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_without_arguments_is_an_object_all_the_same() {
        assert_eq!(plain(&json!({})), json!({ "type": "object", "properties": {} }));
        assert_eq!(plain(&Value::Null), json!({ "type": "object", "properties": {} }));
    }

    #[test]
    fn kimi_gets_a_type_everywhere_and_no_reference() {
        let schema = json!({
            "$schema": "x", "type": "object", "$defs": { "Kind": { "enum": ["Pod", "Node"] } },
            "properties": {
                "kind": { "$ref": "#/$defs/Kind" },
                "since": { "type": "string", "description": "when", "anyOf": [{ "format": "date" }, { "type": "null" }] },
                "level": { "enum": [1, 2] },
                "list": { "items": { "$ref": "#/$defs/Kind" } },
                "any": {},
                "lost": { "$ref": "#/$defs/Nothing" },
            },
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "kind": { "enum": ["Pod", "Node"], "type": "string" },
                "since": { "description": "when", "anyOf": [{ "format": "date", "type": "string" }, { "type": "null" }] },
                "level": { "enum": [1, 2], "type": "integer" },
                "list": { "items": { "enum": ["Pod", "Node"], "type": "string" }, "type": "array" },
                "any": { "type": "string" },
                "lost": { "type": "string" },
            },
        });
        assert_eq!(moonshot(&schema), expected);
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let schema = json!({ "properties": { "next": { "$ref": "#" } } });
        assert_eq!(moonshot(&schema)["properties"]["next"]["type"], "object");
    }
}
