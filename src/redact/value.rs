//! Redaction of JSON values, where keys and neighbours tell more than the text does.

use serde_json::{Map, Value};

use super::{Redactor, assignment, is_placeholder};

/// No secret is shorter, unless its name says so.
const SHORTEST: usize = 8;

pub(super) fn redact(redactor: &Redactor, value: &mut Value) {
    match value {
        Value::String(text) if text.len() >= SHORTEST => {
            if let std::borrow::Cow::Owned(clean) = redactor.redact(text) {
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(redactor, item)),
        Value::Object(object) => redact_object(redactor, object),
        _ => {}
    }
}

fn redact_object(redactor: &Redactor, object: &mut Map<String, Value>) {
    let is_secret_object = object.get("kind").and_then(Value::as_str) == Some("Secret");
    let entry_name = object.get("name").and_then(Value::as_str).map(str::to_owned);
    for (key, value) in object.iter_mut() {
        if is_secret_object && matches!(key.as_str(), "data" | "stringData") {
            hide_all(redactor, value);
            continue;
        }
        let name = match &entry_name {
            Some(name) if key == "value" => name.as_str(),
            _ => key.as_str(),
        };
        match value {
            Value::String(text) if assignment::is_secret(name, text) || is_registry_auth(key, text) => {
                *text = redactor.placeholder("value", text);
            }
            other => redact(redactor, other),
        }
    }
}

/// Every value of a Secret's data; the keys stay, they often are the answer.
fn hide_all(redactor: &Redactor, data: &mut Value) {
    match data {
        Value::String(text) if !is_placeholder(text) => *text = redactor.placeholder("kubernetes_secret", text),
        Value::Object(entries) => entries.values_mut().for_each(|entry| hide_all(redactor, entry)),
        Value::Array(items) => items.iter_mut().for_each(|item| hide_all(redactor, item)),
        Value::Number(number) => *data = Value::String(redactor.placeholder("kubernetes_secret", &number.to_string())),
        _ => {}
    }
}

/// `auths.*.auth` of a Docker configuration: user and password in base64.
fn is_registry_auth(key: &str, text: &str) -> bool {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    key == "auth" && text.len() >= SHORTEST && text.bytes().all(base64)
}
