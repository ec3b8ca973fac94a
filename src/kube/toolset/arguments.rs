//! Arguments of a call, read with the tolerance and the wording of kubernetes-mcp-server.

use serde_json::{Map, Value};

/// What a model sent. Unknown arguments are ignored.
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    pub fn new(arguments: Option<Map<String, Value>>) -> Self {
        Self(arguments.unwrap_or_default())
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text that must be given.
    pub fn required(&self, name: &str) -> Result<&str, String> {
        let value = self.get(name).ok_or_else(|| format!("{name} parameter required"))?;
        value.as_str().ok_or_else(|| format!("{name} parameter must be a string"))
    }

    /// A text that may be left out.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        let Some(value) = self.get(name) else { return Ok("") };
        value.as_str().ok_or_else(|| format!("{name} parameter must be a string"))
    }

    /// A yes or no that may be left out.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value.as_bool().ok_or_else(|| format!("{name} parameter must be a boolean"))
    }

    /// A whole number that may be left out. JSON numbers such as `5.0` count, as models send them.
    pub fn number(&self, name: &str) -> Result<i64, String> {
        let Some(value) = self.get(name) else { return Ok(0) };
        let whole = |float: f64| (float.fract() == 0.0).then_some(float as i64);
        value
            .as_i64()
            .or_else(|| value.as_f64().and_then(whole))
            .ok_or_else(|| format!("{name} parameter must be an integer: expected integer, got {}", type_name(value)))
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mistakes_are_named_in_the_known_words() {
        let arguments = Arguments::new(json!({"tail": "5", "name": 3, "ok": 7.0, "none": null}).as_object().cloned());
        assert_eq!(arguments.required("namespace").unwrap_err(), "namespace parameter required");
        assert_eq!(arguments.required("name").unwrap_err(), "name parameter must be a string");
        let wrong = "tail parameter must be an integer: expected integer, got string";
        assert_eq!(arguments.number("tail").unwrap_err(), wrong);
        assert_eq!(arguments.number("ok").unwrap(), 7);
        assert_eq!(arguments.text("none").unwrap(), "");
    }
}
