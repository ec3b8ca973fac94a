//! What a tool gives back: text for reading, and the objects themselves for code.

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};

use crate::applied;

/// Structured content larger than this is left out; the text still says it all, and one message must stay readable.
const MOST_STRUCTURED_BYTES: usize = 8 * 1024 * 1024;

/// A tool's result: the answer, or the sentence that says what failed.
pub(super) type Answer = Result<Success, String>;

/// An answer.
pub(super) struct Success {
    text: String,
    structured: Option<Value>,
}

impl Success {
    /// Text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), structured: None }
    }

    /// Text, and the objects it shows.
    pub fn items(text: impl Into<String>, items: Vec<Value>) -> Self {
        Self { text: text.into(), structured: Some(json!({"items": items})) }
    }

    /// Text, and the object it shows.
    pub fn object(text: impl Into<String>, object: Value) -> Self {
        Self { text: text.into(), structured: Some(object) }
    }
}

/// The MCP result of an answer.
pub(super) fn to_result(answer: Answer) -> CallToolResult {
    match answer {
        Ok(success) => {
            let mut result = CallToolResult::success(vec![ContentBlock::text(success.text)]);
            result.structured_content = success.structured.filter(fits);
            result
        }
        Err(text) => CallToolResult::error(vec![ContentBlock::text(text)]),
    }
}

fn fits(value: &Value) -> bool {
    serde_json::to_vec(value).is_ok_and(|bytes| bytes.len() <= MOST_STRUCTURED_BYTES)
}

/// Takes out what only machines read: field managers, and the copy of the object that kubectl keeps, if it agrees.
pub(super) fn strip(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    metadata.shift_remove("managedFields");
    applied::forget_agreeing(object);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

    #[test]
    fn only_what_machines_read_is_stripped() {
        let mut object = json!({"metadata": {"name": "a", "managedFields": [1], "annotations": {LAST_APPLIED: "{}"}}});
        strip(&mut object);
        assert_eq!(object, json!({"metadata": {"name": "a"}}));
        let mut object = json!({"metadata": {"annotations": {LAST_APPLIED: "{}", "team": "web"}}});
        strip(&mut object);
        assert_eq!(object, json!({"metadata": {"annotations": {"team": "web"}}}));
    }

    #[test]
    fn structured_content_stays_readable() {
        let big = "x".repeat(MOST_STRUCTURED_BYTES);
        assert!(to_result(Ok(Success::object("a", json!(big)))).structured_content.is_none());
        assert!(to_result(Ok(Success::object("a", json!("x")))).structured_content.is_some());
    }
}
