//! Arguments against a tool's schema, before anything leaves the process.

use serde_json::Value;

use crate::agent::tools::ToolSpec;

/// Longest argument accepted, in bytes: selectors of real clusters stay far below, a megabyte is an attack or a slip.
const TEXT_LIMIT: usize = 1_024;

/// Says in one sentence what is wrong with the arguments; `None` when they fit.
#[must_use]
pub fn complaint(spec: &ToolSpec, arguments: &Value) -> Option<String> {
    let too_long = arguments
        .as_object()
        .into_iter()
        .flatten()
        .find(|(_, value)| value.as_str().is_some_and(|text| text.len() > TEXT_LIMIT));
    if let Some((key, _)) = too_long {
        return Some(format!("argument `{key}` is longer than {TEXT_LIMIT} bytes"));
    }
    let validator = jsonschema::validator_for(&spec.parameters).ok()?;
    let problems: Vec<String> = validator
        .iter_errors(arguments)
        .map(|error| {
            let place = error.instance_path().to_string();
            if place.is_empty() { error.to_string() } else { format!("{place}: {error}") }
        })
        .collect();
    (!problems.is_empty()).then(|| format!("{}. The schema is {}", problems.join("; "), spec.parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolbox::policy;
    use serde_json::json;

    #[test]
    fn wrong_arguments_are_named() {
        let spec = policy::spec("pods_get").unwrap();
        assert_eq!(complaint(&spec, &json!({"name": "a", "namespace": "b"})), None);
        assert!(complaint(&spec, &json!({"name": "a"})).unwrap().contains("namespace"));
        assert!(complaint(&spec, &json!({"name": 1, "namespace": "b"})).unwrap().contains("/name"));
        assert!(complaint(&spec, &json!({"name": "a", "namespace": "b", "__proto__": {}})).is_some());
        assert!(complaint(&spec, &json!({"name": "a".repeat(2_000), "namespace": "b"})).unwrap().contains("longer"));
        assert!(complaint(&spec, &json!([1])).is_some());
    }
}
