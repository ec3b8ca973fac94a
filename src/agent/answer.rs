//! The tool by which a model answers: a schema to fill in, a check, and errors the model can correct.

use std::marker::PhantomData;

use jsonschema::Validator;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use super::envelope::defang;
use super::schema::{forgive, parameters_of};
use crate::model::Function;

/// The most errors told to the model at once; the rest usually follows from the first.
const MAX_ERRORS: usize = 8;

/// The schema of an answer type is not a valid JSON schema.
#[derive(Debug, Error)]
#[error(
    "the schema of the answer tool {tool} cannot be compiled: {reason}; this is a defect of Firstlook, please report it"
)]
pub struct SchemaError {
    tool: String,
    reason: String,
}

/// A final tool whose arguments are the answer, as a `T`.
#[derive(Debug, Clone)]
pub struct AnswerTool<T> {
    function: Function,
    validator: Validator,
    answer: PhantomData<fn() -> T>,
}

impl<T: JsonSchema + DeserializeOwned> AnswerTool<T> {
    /// Derives the tool from the answer's type.
    ///
    /// # Errors
    /// When the type's schema cannot be compiled.
    pub fn new(name: &str, description: &str) -> Result<Self, SchemaError> {
        let parameters = parameters_of::<T>();
        let validator = jsonschema::validator_for(&parameters)
            .map_err(|error| SchemaError { tool: name.to_owned(), reason: error.to_string() })?;
        let function =
            Function { name: name.to_owned(), description: description.to_owned(), parameters, read_only: true };
        Ok(Self { function, validator, answer: PhantomData })
    }

    /// The tool as it is offered.
    #[must_use]
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// The answer in a call's arguments, or what is wrong with it, one sentence each.
    ///
    /// # Errors
    /// When it does not match the schema.
    pub fn accept(&self, arguments: Value) -> Result<T, Vec<String>> {
        let mut answer = arguments;
        forgive(&self.function.parameters, &mut answer);
        let errors: Vec<_> =
            self.validator.iter_errors(&answer).take(MAX_ERRORS).map(|error| describe(&error)).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        serde_json::from_value(answer).map_err(|error| vec![error.to_string()])
    }

    /// An answer that was written as text instead of submitted: a JSON object, alone or in a fence, that has at least
    /// one of the required keys. `None` when the text is something else, whatever markup it contains.
    pub fn find_in(&self, text: &str) -> Option<Result<T, Vec<String>>> {
        let text = without_thinking(text);
        let attempts: Vec<Value> = candidates(text).into_iter().filter_map(|json| self.attempt_in(json)).collect();
        let mut refused = None;
        for attempt in attempts {
            match self.accept(attempt) {
                Ok(answer) => return Some(Ok(answer)),
                Err(errors) => refused = Some(Err(errors)),
            }
        }
        refused
    }

    fn attempt_in(&self, json: &str) -> Option<Value> {
        let object: Map<String, Value> = serde_json::from_str(json).ok()?;
        let is_own_call = object.get("name").is_some_and(|name| name == self.function.name.as_str());
        let object = match object.get("arguments").or_else(|| object.get("parameters")) {
            Some(Value::Object(inner)) if is_own_call => inner.clone(),
            _ => object,
        };
        let required = self.function.parameters.get("required").and_then(Value::as_array)?;
        let is_attempt = required.iter().filter_map(Value::as_str).any(|key| object.contains_key(key));
        is_attempt.then_some(Value::Object(object))
    }
}

fn describe(error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let place = if path.is_empty() { "/" } else { &path };
    let rule: String = error.to_string().chars().take(240).collect();
    defang(&format!("{place}: {rule}"))
}

/// Drops thinking that a server left in the text: up to the last closing tag, or all after one that is never closed.
pub(super) fn without_thinking(text: &str) -> &str {
    let after = text.rsplit_once("</think>").map_or(text, |(_, after)| after);
    after.split_once("<think>").map_or(after, |(before, _)| before)
}

/// Places in a text where an answer may stand: fenced blocks first, then from the first to the last brace.
fn candidates(text: &str) -> Vec<&str> {
    let fenced =
        text.split("```").skip(1).step_by(2).map(|block| block.trim_start_matches(|c: char| c.is_alphanumeric()));
    let bare = text.find('{').zip(text.rfind('}')).and_then(|(start, end)| text.get(start..=end));
    fenced.chain(bare).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::{Diagnosis, Verdict};

    fn tool() -> AnswerTool<Diagnosis> {
        AnswerTool::new("submit_diagnosis", "Submit the diagnosis.").unwrap()
    }

    #[test]
    fn errors_name_the_place_and_the_rule() {
        let errors = tool().accept(json!({"verdict": "broken", "causes": [{"resource": {}}]})).unwrap_err();
        let all = errors.join("\n");
        assert!(all.contains("/verdict") && all.contains("no_fault"), "{all}");
        assert!(all.contains("headline"), "{all}");
        assert!(all.contains("/causes/0"), "{all}");
    }

    #[test]
    fn an_answer_written_as_text_is_found_in_its_usual_places() {
        let json = r#"{"verdict":"no_fault","headline":"all is well"}"#;
        for text in [
            json.to_owned(),
            format!("Here it is:\n```json\n{json}\n```\nDone."),
            format!("<think>hm {{}}</think>\n{json}"),
            format!("```\n{{\"name\":\"submit_diagnosis\",\"arguments\":{json}}}\n```"),
            format!("<tool_call>\n{{\"name\": \"submit_diagnosis\", \"arguments\": {json}}}\n</tool_call>"),
        ] {
            let found = tool().find_in(&text).unwrap_or_else(|| panic!("nothing found in {text}")).unwrap();
            assert_eq!(found.verdict, Verdict::NoFault);
        }
    }

    #[test]
    fn other_text_is_no_answer() {
        for text in [
            "The pod is broken.",
            r#"<tool_call>{"name":"pods_delete","arguments":{"name":"db-0"}}</tool_call>"#,
            r#"<｜tool▁calls▁begin｜>function<｜tool▁sep｜>pods_get{"name":"a"}"#,
            r#"<think>{"verdict":"no_fault","headline":"draft"}"#,
            "} {",
            "```",
        ] {
            assert!(tool().find_in(text).is_none(), "{text}");
        }
        assert!(tool().find_in(r#"{"verdict":"fault"}"#).unwrap().is_err(), "an attempt without a headline");
    }
}
