//! A streamed answer put together again: the same completion object the provider would have sent whole.

use std::pin::pin;

use bytes::Bytes;
use eventsource_stream::{EventStreamError, Eventsource};
use futures::{Stream, StreamExt, stream};
use serde_json::{Map, Value, json};

use super::Fault;
use super::reply::refuse_errors;

/// How the lines of an event stream begin (WHATWG HTML, section 9.2).
const FIELDS: [&[u8]; 5] = [b"data", b"event", b"id", b"retry", b":"];

/// The byte order mark that may stand before the first line; `eventsource-stream` 0.2 panics on it.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a body to its end and gives a plain completion object, whether it was streamed or not. Its beginning decides
/// which it is: servers that ignore `stream: true` are not always honest about the content type.
pub(in crate::model) async fn assemble(body: impl Stream<Item = Result<Bytes, Fault>>) -> Result<Value, Fault> {
    let mut body = pin!(body);
    let mut head = Vec::new();
    while head.iter().all(u8::is_ascii_whitespace) || MARK.starts_with(&head) {
        match body.next().await {
            Some(chunk) => head.extend_from_slice(&chunk?),
            None => return Err(Fault::Empty),
        }
    }
    if head.starts_with(MARK) {
        head.drain(..MARK.len());
    }
    let begun = head.trim_ascii_start();
    let is_stream = FIELDS.iter().any(|field| begun.starts_with(field) || field.starts_with(begun));
    let whole = stream::iter([Ok(Bytes::from(head))]).chain(body);
    if is_stream { from_events(whole).await } else { from_document(whole).await }
}

async fn from_document(body: impl Stream<Item = Result<Bytes, Fault>>) -> Result<Value, Fault> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    serde_json::from_slice(&bytes).map_err(|error| if error.is_eof() { Fault::Cut } else { Fault::NotJson })
}

async fn from_events(body: impl Stream<Item = Result<Bytes, Fault>>) -> Result<Value, Fault> {
    let mut events = pin!(body.eventsource());
    let mut assembly = Assembly::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) if event.data.trim() == "[DONE]" => return assembly.finish(true),
            Ok(event) if event.data.trim().is_empty() => {}
            Ok(event) => assembly.push(serde_json::from_str(&event.data).map_err(|_| Fault::NotJson)?)?,
            // Some servers reset the connection instead of closing it; a finished answer is still an answer.
            Err(_) if assembly.finish_reason.is_some() => break,
            Err(EventStreamError::Transport(fault)) => return Err(fault),
            Err(_) => return Err(Fault::NotJson),
        }
    }
    assembly.finish(false)
}

/// One call while its fragments arrive.
#[derive(Debug, Default)]
struct CallParts {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: Value,
    extra: Map<String, Value>,
}

impl CallParts {
    fn add_arguments(&mut self, fragment: Value) {
        match (&mut self.arguments, fragment) {
            (_, Value::Null) => {}
            (Value::String(text), Value::String(more)) => text.push_str(&more),
            (whole, fragment) => *whole = fragment,
        }
    }

    fn is_complete(&self) -> bool {
        match &self.arguments {
            Value::String(text) => serde_json::from_str::<Map<String, Value>>(text).is_ok(),
            other => other.is_object(),
        }
    }

    fn into_value(self) -> Value {
        let mut call = self.extra;
        call.insert("id".to_owned(), self.id.into());
        call.insert("function".to_owned(), json!({ "name": self.name, "arguments": self.arguments }));
        Value::Object(call)
    }
}

/// An answer while its chunks arrive.
#[derive(Debug, Default)]
struct Assembly {
    message: Map<String, Value>,
    calls: Vec<CallParts>,
    finish_reason: Option<String>,
    usage: Option<Value>,
    has_choice: bool,
}

impl Assembly {
    fn push(&mut self, mut chunk: Value) -> Result<(), Fault> {
        refuse_errors(&chunk)?;
        if let Some(usage) = chunk.get_mut("usage").map(Value::take).filter(Value::is_object) {
            self.usage = Some(usage);
        }
        let Some(Value::Array(choices)) = chunk.get_mut("choices").map(Value::take) else { return Ok(()) };
        let is_first = |choice: &Value| choice.get("index").and_then(Value::as_u64).unwrap_or_default() == 0;
        choices.into_iter().filter(is_first).for_each(|choice| self.push_choice(choice));
        Ok(())
    }

    fn push_choice(&mut self, mut choice: Value) {
        self.has_choice = true;
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str).filter(|reason| !reason.is_empty()) {
            self.finish_reason = Some(reason.to_owned());
        }
        if let Some(usage) = choice.get_mut("usage").map(Value::take).filter(Value::is_object) {
            self.usage = Some(usage);
        }
        for part in ["delta", "message"] {
            if let Some(Value::Object(delta)) = choice.get_mut(part).map(Value::take) {
                self.push_delta(delta);
            }
        }
    }

    fn push_delta(&mut self, mut delta: Map<String, Value>) {
        if let Some(Value::Array(fragments)) = delta.remove("tool_calls") {
            fragments.into_iter().for_each(|fragment| self.push_fragment(fragment));
        }
        for (key, value) in delta {
            merge(self.message.entry(key).or_insert(Value::Null), value);
        }
    }

    fn push_fragment(&mut self, fragment: Value) {
        let Value::Object(mut extra) = fragment else { return };
        let index = extra.remove("index").and_then(|index| index.as_u64());
        let id = extra.remove("id").and_then(into_text).unwrap_or_default();
        let mut function = match extra.remove("function") {
            Some(Value::Object(function)) => function,
            _ => Map::new(),
        };
        let name = function.remove("name").and_then(into_text).unwrap_or_default();
        extra.remove("type");
        let arguments = function.remove("arguments").unwrap_or_default();
        let adds_nothing = arguments.is_null() || arguments == "";
        let position = self.position_of(index, &id, &name, adds_nothing);
        let call = &mut self.calls[position];
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        call.add_arguments(arguments);
        for (key, value) in extra {
            merge(call.extra.entry(key).or_insert(Value::Null), value);
        }
    }

    /// Which call a fragment belongs to. A name begins a new call, unless a server repeats it on every fragment;
    /// indexes can be missing or always 0, and ids can be new on every fragment.
    fn position_of(&mut self, index: Option<u64>, id: &str, name: &str, adds_nothing: bool) -> usize {
        let same_index = |call: &CallParts| index.is_some() && call.index == index;
        let same_id = |call: &CallParts| !id.is_empty() && call.id == id;
        let found = if name.is_empty() {
            let by_index = self.calls.iter().rposition(same_index);
            let last = self.calls.len().checked_sub(1).filter(|_| index.is_none());
            by_index.or_else(|| self.calls.iter().rposition(same_id)).or(last)
        } else {
            self.calls.iter().rposition(|call| {
                let one_id = same_id(call) && (index.is_none() || call.index.is_none() || same_index(call));
                let anonymous = id.is_empty() && same_index(call);
                let goes_on = !call.is_complete() || (one_id && adds_nothing);
                call.name == name && (one_id || anonymous) && goes_on
            })
        };
        found.unwrap_or_else(|| {
            self.calls.push(CallParts { index, ..CallParts::default() });
            self.calls.len() - 1
        })
    }

    fn finish(self, done: bool) -> Result<Value, Fault> {
        if !self.has_choice {
            return Err(if done { Fault::Empty } else { Fault::Cut });
        }
        if !done && self.finish_reason.is_none() {
            return Err(Fault::Cut);
        }
        let mut message = self.message;
        let calls: Vec<_> = self.calls.into_iter().map(CallParts::into_value).collect();
        message.insert("tool_calls".to_owned(), calls.into());
        Ok(json!({
            "choices": [{ "message": message, "finish_reason": self.finish_reason }],
            "usage": self.usage,
        }))
    }
}

fn into_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Adds a fragment to what came before: text to text, list to list, anything else takes its place.
fn merge(whole: &mut Value, fragment: Value) {
    match (whole, fragment) {
        (_, Value::Null) => {}
        (Value::String(text), Value::String(more)) => text.push_str(&more),
        (Value::Array(items), Value::Array(more)) => items.extend(more),
        (whole, fragment) => *whole = fragment,
    }
}
