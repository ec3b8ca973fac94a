//! Functions without function calling: offered in the prompt, called by one JSON shape in the answer, their results told
//! as a user's message. The loop above does not notice.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{Arguments, AssistantMessage, Message, ToolCall};
use crate::model::{Function, Garbled};

/// Places in a text where JSON is looked for; a call stands at the beginning or after a few words.
const MAX_PLACES: usize = 64;

/// What is said about the functions and how to call them.
pub(super) fn offer(tools: &[Function]) -> String {
    let mut text = "# Functions\n\nTo call functions, answer with one JSON object of this shape and nothing else:\n\n\
                    {\"tool_calls\": [{\"name\": \"NAME\", \"arguments\": {}}]}\n\n\
                    Several calls may stand in the list. Their results come back in the next message. Call only these \
                    functions, with arguments that fit the JSON schema of each; never describe a call in words."
        .to_owned();
    for tool in tools {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n\n## {}\n{}\nArguments: {}", tool.name, tool.description.trim(), tool.parameters);
    }
    text
}

/// The shape of an answer as a JSON schema, for endpoints that can keep a model to one.
pub(super) fn shape(tools: &[Function]) -> Value {
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    let call = json!({
        "type": "object",
        "properties": { "name": { "type": "string", "enum": names }, "arguments": { "type": "object" } },
        "required": ["name", "arguments"],
    });
    json!({
        "type": "object",
        "properties": { "tool_calls": { "type": "array", "items": call, "minItems": 1 } },
        "required": ["tool_calls"],
    })
}

/// One message without calls and results: calls become the text they were, results a user's words. `names` are those of
/// the turn whose results come next.
pub(super) fn as_text(names: &mut Vec<(String, String)>, message: Message) -> Option<Message> {
    Some(match message {
        Message::Assistant(said) if !said.tool_calls.is_empty() => {
            *names = said.tool_calls.iter().map(|call| (call.id.clone(), call.safe_name())).collect();
            let words = said.content.unwrap_or_default();
            let content = format!("{words}\n\n{}", calls_as_json(&said.tool_calls)).trim().to_owned();
            Message::Assistant(AssistantMessage { content: Some(content), tool_calls: Vec::new(), extra: said.extra })
        }
        Message::Tool { tool_call_id, content } => {
            let name = names.iter().find(|(id, _)| *id == tool_call_id).map_or("a function", |(_, name)| name);
            Message::User { content: format!("Result of {name}:\n{content}") }
        }
        other => other,
    })
}

fn calls_as_json(calls: &[ToolCall]) -> Value {
    let one = |call: &ToolCall| {
        let arguments = match &call.arguments {
            Arguments::Object(object) => object.clone(),
            Arguments::Unreadable(_) => Map::new(),
        };
        json!({ "name": call.safe_name(), "arguments": arguments })
    };
    json!({ "tool_calls": calls.iter().map(one).collect::<Vec<_>>() })
}

/// What an answer in this mode holds.
#[derive(Debug, PartialEq, Default)]
pub(in crate::model) struct Called {
    /// Calls of offered functions that change nothing.
    pub(in crate::model) calls: Vec<ToolCall>,
    /// The words around them.
    pub(in crate::model) words: String,
    /// Why nothing could be called although something was meant to be.
    pub(in crate::model) garbled: Option<Garbled>,
}

impl Called {
    /// Whether the model kept to the form, or tried to.
    pub(in crate::model) fn is_something(&self) -> bool {
        !self.calls.is_empty() || self.garbled.is_some()
    }
}

/// Finds the calls in a text without thinking: those in the shape that was asked for, or else those in another one that
/// are all of the text, for what stands between words may be an example. A call from text reaches no function that
/// changes something: text can be quoted from anywhere.
pub(in crate::model) fn read(text: &str, tools: &[Function]) -> Called {
    let asked_for = find(text, tools, Shape::AskedFor);
    if asked_for.is_something() {
        return asked_for;
    }
    let other = find(text, tools, Shape::Any);
    if without_fence(&other.words).is_empty() { other } else { asked_for }
}

/// What counts as a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// An object with `tool_calls`.
    AskedFor,
    /// A function's name beside its arguments too.
    Any,
}

fn find(text: &str, tools: &[Function], shape: Shape) -> Called {
    let mut found = Finder::default();
    let mut words = String::new();
    let mut rest = text;
    for _ in 0..MAX_PLACES {
        let Some(at) = rest.find(['{', '[']) else { break };
        words.push_str(&rest[..at]);
        rest = &rest[at..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let value = values.next().and_then(Result::ok);
        let length = if value.is_some() { values.byte_offset() } else { 1 };
        if !value.is_some_and(|value| found.take(value, tools, shape)) {
            words.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    words.push_str(rest);
    found.finish(&words)
}

/// Calls by what becomes of them.
#[derive(Default)]
struct Finder {
    calls: Vec<ToolCall>,
    not_offered: Vec<String>,
    changing: Vec<String>,
}

impl Finder {
    /// Whether a value is one or more calls, which are then sorted.
    fn take(&mut self, value: Value, tools: &[Function], shape: Shape) -> bool {
        let calls = match value {
            Value::Object(mut object) => match object.remove("tool_calls") {
                Some(Value::Array(calls)) => calls,
                Some(call @ Value::Object(_)) => vec![call],
                None if shape == Shape::Any => vec![Value::Object(object)],
                _ => return false,
            },
            Value::Array(calls) if shape == Shape::Any => calls,
            _ => return false,
        };
        let calls: Vec<_> = calls.into_iter().filter_map(call_of).collect();
        let is_call = !calls.is_empty();
        calls.into_iter().for_each(|call| self.sort(call, tools));
        is_call
    }

    fn sort(&mut self, call: ToolCall, tools: &[Function]) {
        match tools.iter().find(|tool| tool.name == call.name) {
            None => self.not_offered.push(call.name),
            Some(tool) if !tool.read_only => self.changing.push(call.name),
            Some(_) => self.calls.push(call),
        }
    }

    fn finish(self, words: &str) -> Called {
        let garbled = match () {
            () if !self.calls.is_empty() => None,
            () if !self.changing.is_empty() => Some(Garbled::Changing(self.changing)),
            () if !self.not_offered.is_empty() => Some(Garbled::NotOffered(self.not_offered)),
            () => words.contains("\"tool_calls\"").then_some(Garbled::Unreadable),
        };
        let has_calls = !self.calls.is_empty();
        let words = if has_calls { without_fence(words) } else { words.trim().to_owned() };
        Called { calls: self.calls, words, garbled }
    }
}

/// The fences that stood around calls, now empty, are no words.
fn without_fence(words: &str) -> String {
    words.lines().filter(|line| !line.trim_start().starts_with("```")).collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// A call in the shape asked for, or wrapped as the protocol has it.
fn call_of(value: Value) -> Option<ToolCall> {
    let Value::Object(mut call) = value else { return None };
    if let Some(Value::Object(function)) = call.remove("function") {
        call = function;
    }
    let Some(Value::String(name)) = call.remove("name") else { return None };
    let arguments = ["arguments", "parameters"].iter().find_map(|key| call.remove(*key))?;
    let name = name.strip_prefix("functions.").unwrap_or(&name).to_owned();
    Some(ToolCall { id: String::new(), name, arguments: Arguments::read(Some(arguments)), extra: Map::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Vec<Function> {
        let tool = |name: &str, read_only| Function {
            name: name.to_owned(),
            description: "Reads.".to_owned(),
            parameters: json!({ "type": "object", "properties": {} }),
            read_only,
        };
        vec![tool("pods_get", true), tool("events_list", true), tool("pods_delete", false)]
    }

    fn names(text: &str) -> Vec<String> {
        read(text, &tools()).calls.iter().map(|call| format!("{} {:?}", call.name, call.arguments)).collect()
    }

    #[test]
    fn calls_are_found_however_they_are_wrapped() {
        let one = r#"{"tool_calls":[{"name":"pods_get","arguments":{"name":"a"}}]}"#;
        let expected = names(one);
        assert_eq!(expected.len(), 1);
        for text in [
            &format!("I look first.\n```json\n{one}\n```\n"),
            r#"{"name":"pods_get","arguments":{"name":"a"}}"#,
            r#"{"name":"functions.pods_get","parameters":"{\"name\":\"a\"}"}"#,
            r#"[{"function":{"name":"pods_get","arguments":{"name":"a"}}}]"#,
            r#"The pod {web} is down {"tool_calls":{"name":"pods_get","arguments":{"name":"a"}}} so"#,
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
        let two = r#"{"name":"pods_get","arguments":{}} {"name":"events_list","arguments":{}}"#;
        assert_eq!(names(two).len(), 2);
    }

    #[test]
    fn an_answer_is_no_call_and_stays_whole() {
        let quoted =
            "One would ask\n```json\n{\"name\":\"pods_get\",\"arguments\":{}}\n```\nbut the events say it all.";
        for text in
            [quoted, "The disk is full.", r#"{"verdict":"fault","causes":[{"summary":"x"}]}"#, "limits [1] {a} {"]
        {
            assert_eq!(read(text, &tools()), Called { calls: vec![], words: text.to_owned(), garbled: None });
        }
    }

    #[test]
    fn only_offered_functions_that_change_nothing_are_called() {
        let garbled = |text: &str| read(text, &tools()).garbled;
        let changing = r#"{"tool_calls":[{"name":"pods_delete","arguments":{}}]}"#;
        assert_eq!(garbled(changing), Some(Garbled::Changing(vec!["pods_delete".to_owned()])));
        let unknown = r#"{"tool_calls":[{"name":"shell","arguments":{}}]}"#;
        assert_eq!(garbled(unknown), Some(Garbled::NotOffered(vec!["shell".to_owned()])));
        assert_eq!(garbled(r#"{"tool_calls":[{"name":"pods_get","argu"#), Some(Garbled::Unreadable));
        let both = r#"{"tool_calls":[{"name":"shell","arguments":{}},{"name":"pods_get","arguments":{}}]}"#;
        assert_eq!((names(both).len(), garbled(both)), (1, None));
    }

    #[test]
    fn a_text_of_nothing_but_openers_ends() {
        assert!(names(&"{\"a\":".repeat(100_000)).is_empty());
        assert!(names(&"[".repeat(500_000)).is_empty());
    }
}
