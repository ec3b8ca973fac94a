//! Applied: the copy of an object that `kubectl apply` keeps in an annotation, and what was changed past it since then.
//!
//! An object that agrees with its copy says nothing new by it; one that differs was edited, scaled or patched by hand, or
//! by a controller, and that is the only trace a change in place leaves where field managers are not shown.
//! <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-last-applied-configuration>

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::quantity;
use crate::redact::is_redacted;

/// The annotation that holds the copy, as JSON.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The fields by which elements of Kubernetes' lists are told apart, the likeliest first.
const KEYS: [&str; 5] = ["name", "containerPort", "mountPath", "port", "type"];

/// Fields that controllers fill in by design: a webhook's certificate authority.
const FILLED_IN: [&str; 1] = ["caBundle"];

/// The parts of an object that are nobody's wish: what it is, and what became of it.
const ASIDE: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// One field that no longer is as it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it stands: `spec.replicas`, `data.app.yaml`, `spec.template.spec.containers[web].image`.
    pub path: String,
    /// Its value as applied; `Null` when it is not in the copy.
    pub applied: Value,
    /// Its value now; `Null` when it is gone.
    pub live: Value,
}

/// What of an object differs from the copy that was applied, in the copy's order; nothing when there is no copy.
#[must_use]
pub fn changes(object: &Value) -> Vec<Change> {
    let copy = object.pointer("/metadata/annotations").and_then(|all| all.get(LAST_APPLIED)).and_then(Value::as_str);
    let Some(Value::Object(copy)) = copy.and_then(|copy| serde_json::from_str(copy).ok()) else { return Vec::new() };
    let mut found = Vec::new();
    for (key, applied) in copy.iter().filter(|(key, _)| !ASIDE.contains(&key.as_str())) {
        compare(key, applied, object.get(key).unwrap_or(&Value::Null), &mut found);
    }
    found
}

/// Takes the copy out of an object that agrees with it. One that differs keeps it: it is the evidence.
pub fn forget_agreeing(object: &mut Value) {
    let is_told = !changes(object).is_empty();
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| !is_told) else { return };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
    annotations.shift_remove(LAST_APPLIED);
    if annotations.is_empty() {
        metadata.shift_remove("annotations");
    }
}

fn compare(path: &str, applied: &Value, live: &Value, found: &mut Vec<Change>) {
    match (applied, live) {
        (Value::Object(applied), Value::Object(live)) => compare_maps(path, applied, live, found),
        (Value::Array(applied), Value::Array(live)) => compare_lists(path, applied, live, found),
        _ if is_same(applied, live) => {}
        _ => found.push(Change { path: path.to_owned(), applied: applied.clone(), live: live.clone() }),
    }
}

/// What was applied must be there. Of a map of the team's own words (`data`, a selector) nothing may have come either;
/// elsewhere the API server fills in defaults.
fn compare_maps(path: &str, applied: &Map<String, Value>, live: &Map<String, Value>, found: &mut Vec<Change>) {
    for (key, value) in applied.iter().filter(|(key, _)| !FILLED_IN.contains(&key.as_str())) {
        compare(&format!("{path}.{key}"), value, live.get(key).unwrap_or(&Value::Null), found);
    }
    let is_own = ["data", "selector", "matchLabels", "nodeSelector"].iter().any(|own| path.ends_with(own));
    let came = live.iter().filter(|(key, value)| is_own && value.is_string() && !applied.contains_key(*key));
    found.extend(came.map(|(key, value)| Change {
        path: format!("{path}.{key}"),
        applied: Value::Null,
        live: value.clone(),
    }));
}

fn compare_lists(path: &str, applied: &[Value], live: &[Value], found: &mut Vec<Change>) {
    let key_of = |list: &[Value]| KEYS.into_iter().find(|key| !list.is_empty() && are_told_apart(list, key));
    let Some(key) = key_of(applied).filter(|key| live.is_empty() || are_told_apart(live, key)) else {
        if applied.len() == live.len() {
            let pairs = applied.iter().zip(live).enumerate();
            pairs.for_each(|(at, (applied, live))| compare(&format!("{path}[{at}]"), applied, live, found));
        } else {
            found.push(Change { path: path.to_owned(), applied: applied.into(), live: live.into() });
        }
        return;
    };
    let at = |value: &Value| format!("{path}[{}]", plain(&value[key]));
    for item in applied {
        let same = live.iter().find(|it| it[key] == item[key]);
        compare(&at(item), item, same.unwrap_or(&Value::Null), found);
    }
    let came = live.iter().filter(|item| !applied.iter().any(|it| it[key] == item[key]));
    found.extend(came.map(|item| Change { path: at(item), applied: Value::Null, live: item.clone() }));
}

fn are_told_apart(list: &[Value], key: &str) -> bool {
    let keys: BTreeSet<String> = list.iter().filter_map(|item| item.get(key).map(plain)).collect();
    keys.len() == list.len()
}

/// Whether two values say the same: the API server writes quantities its own way and leaves out what is empty.
fn is_same(applied: &Value, live: &Value) -> bool {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(flag) => !flag,
        Value::Number(_) => false,
    };
    if applied == live || (is_empty(applied) && is_empty(live)) {
        return true;
    }
    let (applied, live) = (plain(applied), plain(live));
    let amounts = quantity::amount(&applied).zip(quantity::amount(&live));
    applied.trim() == live.trim()
        || is_redacted(&applied)
        || is_redacted(&live)
        || amounts.is_some_and(|(one, other)| (one - other).abs() <= 1e-9 * one.abs())
}

/// A value as people write it.
#[must_use]
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(mut object: Value, copy: &Value) -> Value {
        object["metadata"]["annotations"] = json!({LAST_APPLIED: copy.to_string()});
        object
    }

    fn told(object: Value, copy: &Value) -> Vec<String> {
        let all = changes(&kept(object, copy));
        all.iter().map(|it| format!("{} {} -> {}", it.path, plain(&it.applied), plain(&it.live))).collect()
    }

    #[test]
    fn what_was_changed_past_the_copy_is_told() {
        let copy = json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [
            {"name": "web", "image": "a:1", "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}}}]}}}});
        let live = json!({"spec": {"replicas": 12, "template": {"spec": {"dnsPolicy": "ClusterFirst", "containers": [
            {"name": "web", "image": "a:1", "resources": {"limits": {"cpu": "50m", "memory": "1Gi"}}}]}}}});
        let limit = "spec.template.spec.containers[web].resources.limits.cpu 1 -> 50m";
        assert_eq!(told(live, &copy), ["spec.replicas 2 -> 12", limit]);
        let map = told(json!({"data": {"a": "1", "c": "3"}}), &json!({"data": {"a": "2", "b": "3"}}));
        assert_eq!(map, ["data.a 2 -> 1", "data.b 3 -> null", "data.c null -> 3"]);
        let ports = told(json!({"spec": {"ports": [{"port": 81}]}}), &json!({"spec": {"ports": [{"port": 80}]}}));
        assert_eq!(ports, ["spec.ports[80] {\"port\":80} -> null", "spec.ports[81] null -> {\"port\":81}"]);
    }

    #[test]
    fn what_the_api_server_fills_in_or_writes_its_own_way_is_no_change() {
        let copy = json!({"apiVersion": "v1", "metadata": {"annotations": {}, "creationTimestamp": null},
            "spec": {"ports": [{"port": 80, "targetPort": 8080}], "cpu": "0.5", "tolerations": [], "paused": false},
            "data": null, "webhooks": [{"name": "a", "clientConfig": {"caBundle": ""}}], "status": {"x": 1}});
        let live = json!({"apiVersion": "v1", "spec": {"ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}],
            "cpu": "500m", "clusterIP": "10.0.0.1"}, "webhooks": [{"name": "a", "clientConfig": {"caBundle": "Zm9v"}}]});
        assert_eq!(told(live, &copy), Vec::<String>::new());
        let hidden = json!({"data": {"pass": "[REDACTED:value:1]"}});
        assert_eq!(told(hidden, &json!({"data": {"pass": "other"}})), Vec::<String>::new());
    }

    #[test]
    fn a_copy_that_tells_nothing_new_is_taken_out() {
        let copy = json!({"spec": {"replicas": 2}});
        let mut same = kept(json!({"metadata": {"name": "a"}, "spec": {"replicas": 2}}), &copy);
        forget_agreeing(&mut same);
        assert!(same["metadata"].get("annotations").is_none(), "{same}");
        let scaled = kept(json!({"spec": {"replicas": 3}}), &copy);
        let mut after = scaled.clone();
        forget_agreeing(&mut after);
        assert_eq!(after, scaled);
        let mut broken = json!({"metadata": {"annotations": {LAST_APPLIED: "{", "team": "web"}}});
        forget_agreeing(&mut broken);
        assert_eq!(broken, json!({"metadata": {"annotations": {"team": "web"}}}));
    }
}
