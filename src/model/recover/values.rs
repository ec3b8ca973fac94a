//! JSON as models write it into text: read where it stands, strictly, and never deeper than a call can be.

use serde_json::{Map, Value};

use super::{Attempt, Call};

/// The deepest nesting of arguments; nothing a tool takes comes near it.
const MAX_DEPTH: usize = 64;

/// What is said of arguments that are no object.
pub(super) const NOT_AN_OBJECT: &str = "its arguments are not one JSON object";

/// What is said of JSON that cannot be read.
pub(super) const NOT_JSON: &str = "it is not valid JSON; nothing is repaired";

/// A JSON value that begins at a place, after blanks, and where it ends.
pub(super) fn json_at(text: &str, at: usize) -> Option<(Value, usize)> {
    let mut values = serde_json::Deserializer::from_str(text.get(at..)?).into_iter();
    let value = values.next()?.ok()?;
    fits(&value, MAX_DEPTH).then(|| (value, at + values.byte_offset()))
}

/// The same, with or without a code fence around it.
pub(super) fn fenced_json_at(text: &str, at: usize) -> Option<(Value, usize)> {
    let rest = text.get(at..)?;
    let Some(fenced) = rest.trim_start().strip_prefix("```") else { return json_at(text, at) };
    let (value, end) = json_at(text, text.len() - fenced.trim_start_matches(char::is_alphanumeric).len())?;
    let after = text[end..].trim_start();
    Some((value, after.strip_prefix("```").map_or(end, |after| text.len() - after.len())))
}

/// A text that is one JSON value and nothing else.
pub(super) fn whole_json(text: &str) -> Option<Value> {
    let value = serde_json::from_str(text).ok()?;
    fits(&value, MAX_DEPTH).then_some(value)
}

fn fits(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| fits(item, depth - 1)),
        Value::Object(object) => depth > 0 && object.values().all(|item| fits(item, depth - 1)),
        _ => true,
    }
}

/// Arguments: an object, its JSON text encoded once more, or nothing, which means none.
pub(super) fn arguments(value: Option<Value>) -> Option<Map<String, Value>> {
    match value {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(object)) => Some(object),
        Some(Value::String(text)) if text.trim().is_empty() => Some(Map::new()),
        Some(Value::String(text)) => match whole_json(&text)? {
            Value::Object(object) => Some(object),
            Value::Null => Some(Map::new()),
            _ => None,
        },
        Some(_) => None,
    }
}

/// A function's name without the prefix some models give it.
pub(super) fn bare_name(name: &str) -> &str {
    let name = name.trim();
    name.strip_prefix("functions.").unwrap_or(name)
}

/// Whether a word can be a function's name at all.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/'))
}

/// A call whose name and arguments are known; arguments that are none make it a broken one.
pub(super) fn call(id: &str, name: &str, value: Option<Value>) -> Attempt {
    let name = bare_name(name);
    if !is_name(name) {
        return Attempt::Broken { name: None, why: "it has no function name" };
    }
    match arguments(value) {
        Some(arguments) => Attempt::Call(Call { id: id.to_owned(), name: name.to_owned(), arguments }),
        None => Attempt::Broken { name: Some(name.to_owned()), why: NOT_AN_OBJECT },
    }
}

/// Whether a value is written as a call is: a name, and arguments under either key.
pub(super) fn looks_like_a_call(value: &Value) -> bool {
    let Value::Object(object) = value else { return false };
    let function = object.get("function").and_then(Value::as_object).unwrap_or(object);
    function.get("name").is_some_and(Value::is_string)
        && ["arguments", "parameters"].iter().any(|key| function.contains_key(*key))
}

/// A call from a JSON object that names it.
pub(super) fn call_of(value: Value) -> Attempt {
    let Value::Object(mut object) = value else {
        return Attempt::Broken { name: None, why: "it is not a JSON object with name and arguments" };
    };
    if let Some(Value::Object(function)) = object.get_mut("function") {
        object = std::mem::take(function);
    }
    let arguments = object.remove("arguments").or_else(|| object.remove("parameters"));
    match object.get("name").and_then(Value::as_str) {
        Some(name) => call("", name, arguments),
        None => Attempt::Broken { name: None, why: "it has no function name" },
    }
}

/// The calls of a JSON value: one, or a list of them.
pub(super) fn calls_of(value: Value) -> Vec<Attempt> {
    match value {
        Value::Array(items) => items.into_iter().map(call_of).collect(),
        other => vec![call_of(other)],
    }
}
