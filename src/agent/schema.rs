//! JSON schemas that every provider accepts, and slips of models that a schema can forgive.

use std::collections::HashSet;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// The schema of a type as function parameters: everything inline, one type per value, plain enums. Some providers
/// refuse references, type lists, enums without a type or `anyOf` beside one.
pub(super) fn parameters_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    let mut value = std::mem::take(&mut schema).to_value();
    simplify(&mut value);
    if let Value::Object(object) = &mut value {
        object.remove("description");
    }
    say_once(&mut value, &mut HashSet::new());
    value
}

/// Takes out descriptions that say what stands there already: of the answer as a whole (the tool has one), of a list's
/// items (the list has one), and of the same part as before. The schema is paid for every turn.
fn say_once(schema: &mut Value, said: &mut HashSet<String>) {
    let Value::Object(object) = schema else { return };
    for (name, property) in object.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        let again = property.get("description").is_some_and(|text| !said.insert(format!("{name}: {text}")));
        if again && let Some(property) = property.as_object_mut() {
            property.remove("description");
        }
        say_once(property, said);
    }
    if let Some(Value::Object(items)) = object.get_mut("items") {
        items.remove("description");
    }
    if let Some(items) = object.get_mut("items") {
        say_once(items, said);
    }
}

fn simplify(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    for noise in ["$schema", "title", "default", "format", "minimum"] {
        object.remove(noise);
    }
    drop_null(object);
    plain_enum(object);
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(simplify);
    }
    if let Some(items) = object.get_mut("items") {
        simplify(items);
    }
    if object.get("type").is_some_and(|kind| kind == "object") {
        object.entry("properties").or_insert_with(|| Map::new().into());
    }
}

/// `["string", "null"]` and `anyOf: [X, null]` become X: an absent key says the same.
fn drop_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_mut_slice() {
            let only = only.take();
            object.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = object.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
    if let [Value::Object(only)] = choices.as_mut_slice() {
        let only = std::mem::take(only);
        object.remove("anyOf");
        object.extend(only);
    }
}

/// Documented variants come as `oneOf` of constants; the documentation moves into the description.
fn plain_enum(object: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = object.get("oneOf") else { return };
    let constants: Option<Vec<Value>> = variants.iter().map(|variant| variant.get("const").cloned()).collect();
    let Some(constants) = constants else { return };
    let documented = variants.iter().filter_map(|variant| {
        let (name, text) = (variant.get("const")?.as_str()?, variant.get("description")?.as_str()?);
        Some(format!("{name}: {text}"))
    });
    let own = object.get("description").and_then(Value::as_str).map(str::to_owned);
    let description = own.into_iter().chain(documented).collect::<Vec<_>>().join(" ");
    object.remove("oneOf");
    object.insert("type".to_owned(), "string".into());
    object.insert("enum".to_owned(), constants.into());
    object.insert("description".to_owned(), description.into());
}

/// Forgives slips that mean no harm, because each would cost a turn: `null` for an absent key, a list or object sent as
/// its own JSON text, one sentence where a list of them is wanted, and an enum value in other capitals.
pub(super) fn forgive(schema: &Value, value: &mut Value) {
    if let Value::String(text) = value
        && let Some(meant) = meant_by(schema, text)
    {
        *value = meant;
    }
    match value {
        Value::Object(object) => {
            object.retain(|_, inner| !inner.is_null());
            for (key, inner) in object.iter_mut() {
                if let Some(schema) = schema.get("properties").and_then(|properties| properties.get(key)) {
                    forgive(schema, inner);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| forgive(schema, item));
            }
        }
        _ => {}
    }
}

/// What a text stands for where the schema wants something else.
fn meant_by(schema: &Value, text: &str) -> Option<Value> {
    let wanted = schema.get("type").and_then(Value::as_str)?;
    let decoded = || serde_json::from_str::<Value>(text).ok();
    match wanted {
        "object" => decoded().filter(Value::is_object),
        "array" => decoded().filter(Value::is_array).or_else(|| {
            let of_texts = schema.pointer("/items/type").is_some_and(|kind| kind == "string");
            (of_texts && !text.trim().is_empty()).then(|| vec![Value::from(text)].into())
        }),
        "string" => {
            let allowed = schema.get("enum")?.as_array()?;
            allowed
                .iter()
                .find(|value| value.as_str().is_some_and(|name| name.eq_ignore_ascii_case(text.trim())))
                .cloned()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::Diagnosis;

    /// What Kimi, Gemini and strict gateways refuse, anywhere in the schema.
    fn assert_safe(schema: &Value, path: &str) {
        let object = schema.as_object().unwrap_or_else(|| panic!("{path} is not an object"));
        for forbidden in ["$ref", "$defs", "$schema", "anyOf", "oneOf", "allOf", "const", "format", "default"] {
            assert!(!object.contains_key(forbidden), "{path} has {forbidden}");
        }
        assert!(object.get("type").is_some_and(Value::is_string), "{path} has no single type: {schema}");
        for (name, inner) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert_safe(inner, &format!("{path}.{name}"));
        }
        if let Some(items) = object.get("items") {
            assert_safe(items, &format!("{path}[]"));
        }
    }

    #[test]
    fn the_diagnosis_schema_is_safe_for_every_provider() {
        let schema = parameters_of::<Diagnosis>();
        assert_safe(&schema, "");
        assert_eq!(schema["required"], json!(["verdict", "headline"]));
        assert_eq!(schema["properties"]["verdict"]["enum"], json!(["fault", "no_fault", "inconclusive"]));
        assert!(
            schema["properties"]["causes"]["items"]["properties"]["evidence"]["items"]["properties"]["ref"].is_object()
        );
    }

    #[test]
    fn nothing_is_said_twice() {
        let schema = parameters_of::<Diagnosis>();
        let text = schema.to_string();
        for once in ["CamelCase kind", "A quotation from", "The object that is to blame"] {
            assert!(text.matches(once).count() <= 1, "{once}");
        }
        assert!(schema["properties"]["causes"]["description"].is_string());
        assert!(text.len() < 3_600, "{} bytes", text.len());
    }

    #[test]
    fn harmless_slips_are_forgiven_and_no_others() {
        let schema = parameters_of::<Diagnosis>();
        let mut value = json!({
            "verdict": "Fault", "headline": "[not a list]", "impact": null, "steps": "restart it",
            "causes": "[{\"summary\":\"s\",\"code\":null,\"confidence\":\"HIGH\"}]",
            "unresolved": "who deleted it?", "data_gaps": " ",
        });
        forgive(&schema, &mut value);
        assert_eq!(
            value,
            json!({
                "verdict": "fault", "headline": "[not a list]", "steps": "restart it",
                "causes": [{ "summary": "s", "confidence": "high" }],
                "unresolved": ["who deleted it?"], "data_gaps": " ",
            })
        );
    }
}
