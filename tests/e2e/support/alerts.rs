//! Webhook bodies: those of the scenarios, and changes to them.

use std::path::PathBuf;

use serde_json::{Value, json};

/// The scenario of a Pod whose claim waits for a provisioner that does not exist.
pub const PENDING: &str = "01-pvc-provisioner-missing";

/// A scenario's directory.
pub fn scenario(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name)
}

/// A scenario's cluster, for `mcp:`.
pub fn builtin(name: &str) -> Value {
    json!([{"name": "kubernetes", "transport": "builtin", "snapshot": scenario(name)}])
}

/// A scenario's webhook body.
pub fn webhook(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(scenario(name).join("alert.json")).unwrap()).unwrap()
}

/// The same alerts in a group of their own.
pub fn in_group(name: &str, group: &str) -> Value {
    let mut body = webhook(name);
    body["groupKey"] = format!("{{}}:{{group=\"{group}\"}}").into();
    body
}

/// The same group, over.
pub fn resolved(body: &Value) -> Value {
    let mut body = body.clone();
    body["status"] = "resolved".into();
    for alert in body["alerts"].as_array_mut().unwrap() {
        alert["status"] = "resolved".into();
        alert["endsAt"] = "2026-11-23T03:59:00Z".into();
    }
    body
}

/// A body with one alert whose labels are these.
pub fn one_alert(group: &str, labels: &Value) -> Value {
    let mut body = in_group(PENDING, group);
    let mut alert = body["alerts"][0].clone();
    alert["labels"].as_object_mut().unwrap().extend(labels.as_object().cloned().unwrap());
    alert["fingerprint"] = "00000000000000aa".into();
    body["alerts"] = json!([alert]);
    body
}
