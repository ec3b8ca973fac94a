//! Gives raw text between tags the type its function's schema declares, and no other.

use serde_json::Value;

use super::values::whole_json;

/// How deep alternatives are followed.
const MAX_ALTERNATIVES: usize = 4;

/// The value of a raw text: by the schema where it says a type, else by what the tag itself declares, else text.
/// `None` when the text cannot be of the type.
pub(super) fn coerce(schema: Option<&Value>, declared: Option<&str>, raw: &str) -> Option<Value> {
    let mut kinds = Vec::new();
    collect(schema, MAX_ALTERNATIVES, &mut kinds);
    if kinds.is_empty() {
        return match declared {
            Some("json") => whole_json(raw),
            Some(kind) if kind != "string" => as_kind(kind, raw),
            _ => Some(raw.into()),
        };
    }
    // Text last: everything is text, and a number that may also be one is meant as a number.
    let others = kinds.iter().filter(|kind| **kind != "string");
    others
        .clone()
        .find_map(|kind| as_kind(kind, raw))
        .or_else(|| kinds.contains(&"string").then(|| text(declared, raw)))
}

fn collect<'s>(schema: Option<&'s Value>, depth: usize, kinds: &mut Vec<&'s str>) {
    let Some(schema) = schema else { return };
    match schema.get("type") {
        Some(Value::String(kind)) => kinds.push(kind),
        Some(Value::Array(several)) => kinds.extend(several.iter().filter_map(Value::as_str)),
        _ => {}
    }
    if kinds.is_empty() {
        let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
        for value in listed.chain(schema.get("const")) {
            kinds.push(kind_of(value));
        }
    }
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        kinds.push("null");
    }
    if depth > 0 {
        let alternatives = ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema.get(*key)?.as_array()).flatten();
        alternatives.for_each(|one| collect(Some(one), depth - 1, kinds));
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn as_kind(kind: &str, raw: &str) -> Option<Value> {
    let raw = raw.trim();
    match kind {
        "null" => matches!(raw, "null" | "None").then_some(Value::Null),
        "boolean" => match raw {
            "true" | "True" => Some(true.into()),
            "false" | "False" => Some(false.into()),
            _ => None,
        },
        "integer" => whole_json(raw).filter(|value| value.as_f64().is_some_and(|number| number.fract() == 0.0)),
        "number" => whole_json(raw).filter(Value::is_number),
        "object" => whole_json(raw).filter(Value::is_object),
        "array" => whole_json(raw).filter(Value::is_array),
        _ => None,
    }
}

/// DeepSeek's tags may say that even a text is written as JSON.
fn text(declared: Option<&str>, raw: &str) -> Value {
    let encoded = (declared == Some("json")).then(|| whole_json(raw)).flatten();
    encoded.filter(Value::is_string).unwrap_or_else(|| raw.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schema_alone_decides_what_a_text_is() {
        let cases = [
            (json!({ "type": "string" }), "007", Some(json!("007"))),
            (json!({ "type": "string" }), "true", Some(json!("true"))),
            (json!({ "type": "integer" }), " 7 ", Some(json!(7))),
            (json!({ "type": "integer" }), "007", None),
            (json!({ "type": "integer" }), "1.5", None),
            (json!({ "type": "number" }), "1e3", Some(json!(1e3))),
            (json!({ "type": "number" }), "\"1\"", None),
            (json!({ "type": "boolean" }), "True", Some(json!(true))),
            (json!({ "type": "array" }), "[1, \"a\"]", Some(json!([1, "a"]))),
            (json!({ "type": "array" }), "{}", None),
            (json!({ "type": "object" }), "{not json", None),
            (json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }), "null", Some(Value::Null)),
            (json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }), "nil", Some(json!("nil"))),
            (json!({ "type": ["integer", "string"] }), "80", Some(json!(80))),
            (json!({ "type": ["integer", "string"] }), "http", Some(json!("http"))),
            (json!({ "enum": ["1", "2"] }), "1", Some(json!("1"))),
            (json!({ "type": "string", "nullable": true }), "null", Some(Value::Null)),
            (json!({}), "42", Some(json!("42"))),
        ];
        for (schema, raw, expected) in cases {
            assert_eq!(coerce(Some(&schema), None, raw), expected, "{raw} as {schema}");
        }
    }

    #[test]
    fn what_the_tag_declares_counts_where_the_schema_is_silent() {
        assert_eq!(coerce(None, Some("json"), "[1]"), Some(json!([1])));
        assert_eq!(coerce(None, Some("json"), "[1"), None);
        assert_eq!(coerce(None, Some("number"), "4"), Some(json!(4)));
        assert_eq!(coerce(None, Some("string"), "4"), Some(json!("4")));
        assert_eq!(coerce(Some(&json!({ "type": "string" })), Some("json"), "\"a\""), Some(json!("a")));
    }
}
