//! The shapes in which providers stream one and the same answer.

use axum::body::Bytes;
use serde_json::{Value, json};

use super::Said;

/// What stands under `index` of a call's fragments.
#[derive(Clone, Copy, PartialEq)]
pub enum Index {
    /// The call's number.
    Counted,
    /// Always 0 (ollama/ollama#15457).
    Zero,
    /// Nothing (ollama/ollama#7881, openai/openai-python#3246).
    Missing,
}

/// What stands under `id` of a call's fragments.
#[derive(Clone, Copy, PartialEq)]
pub enum Ids {
    /// One of the protocol's usual length, on the first fragment.
    Usual,
    /// The same, and an empty one on every later fragment, as DashScope has it.
    ThenEmpty,
    /// A new one on every fragment (zai-org/GLM-4#194).
    Fresh,
    /// `functions.NAME:NUMBER`, as Kimi K2 counts.
    Kimi,
    /// Nine letters and digits, as Mistral's tokenizer wants it.
    Nine,
    /// None at all.
    Missing,
}

/// How arguments come.
#[derive(Clone, Copy, PartialEq)]
pub enum Arguments {
    /// A text in pieces.
    Pieces,
    /// A text at once.
    Whole,
    /// An object, as in Ollama's own interface.
    Object,
}

/// Where tokens are counted.
#[derive(Clone, Copy, PartialEq)]
pub enum Usage {
    /// In a chunk of its own at the end, without choices, where that was asked for.
    OwnChunk,
    /// In the last choice, as Moonshot does.
    InChoice,
    /// Nowhere.
    Missing,
}

/// One provider's stream.
#[derive(Clone, Copy)]
pub struct Shape {
    pub line_end: &'static str,
    /// What stands between the events to keep the connection alive.
    pub keep_alive: &'static str,
    pub index: Index,
    pub ids: Ids,
    pub arguments: Arguments,
    pub usage: Usage,
    /// Whether the first event has no choices, as Azure's has its filter's results instead.
    pub empty_first: bool,
    /// What is said at the end of a turn with calls.
    pub finish: &'static str,
    /// The field of the model's thinking.
    pub thinking: &'static str,
    /// Whether the stream ends with `[DONE]`.
    pub done: bool,
}

/// As the protocol's inventor streams.
pub const USUAL: Shape = Shape {
    line_end: "\n",
    keep_alive: "",
    index: Index::Counted,
    ids: Ids::Usual,
    arguments: Arguments::Pieces,
    usage: Usage::OwnChunk,
    empty_first: false,
    finish: "tool_calls",
    thinking: "reasoning_content",
    done: true,
};

impl Shape {
    /// The packets of an answer; `counted` are the tokens of the question where they were asked for.
    pub fn packets(&self, said: &Said, counted: Option<usize>) -> Vec<Bytes> {
        let mut chunks = Vec::new();
        if self.empty_first {
            chunks.push(json!({ "choices": [], "prompt_filter_results": [{ "prompt_index": 0 }] }));
        }
        chunks.extend(self.deltas(said).into_iter().map(|delta| chunk(delta, Value::Null)));
        chunks.push(chunk(json!({}), if said.calls.is_empty() { "stop" } else { self.finish }.into()));
        self.count(&mut chunks, counted);
        let end = self.done.then(|| "[DONE]".to_owned());
        let events = chunks.iter().map(Value::to_string).chain(end);
        events.map(|data| Bytes::from(format!("{}data: {data}{1}{1}", self.keep_alive, self.line_end))).collect()
    }

    fn count(&self, chunks: &mut Vec<Value>, counted: Option<usize>) {
        let usage = json!({ "prompt_tokens": counted.unwrap_or(1), "completion_tokens": 20 });
        match self.usage {
            Usage::OwnChunk if counted.is_some() => chunks.push(json!({ "choices": [], "usage": usage })),
            Usage::InChoice => {
                let last = chunks.last_mut().expect("an end");
                last["choices"][0]["usage"] = usage;
            }
            Usage::OwnChunk | Usage::Missing => {}
        }
    }

    fn deltas(&self, said: &Said) -> Vec<Value> {
        let mut deltas = vec![json!({ "role": "assistant", "content": "" })];
        let thought = said.thinking.map(pieces).unwrap_or_default();
        deltas.extend(thought.into_iter().map(|piece| json!({ (self.thinking): piece, "content": null })));
        deltas.extend(pieces(&said.words).into_iter().map(|piece| json!({ "content": piece })));
        for (number, (name, arguments)) in said.calls.iter().enumerate() {
            deltas.extend(self.fragments(number, name, arguments));
        }
        deltas
    }

    /// The fragments of one call, each in a delta of its own.
    fn fragments(&self, number: usize, name: &str, arguments: &Value) -> Vec<Value> {
        let id = self.id(number, name);
        let first =
            |arguments: Value| json!({ "type": "function", "function": { "name": name, "arguments": arguments } });
        let mut fragments = match self.arguments {
            Arguments::Object => vec![first(arguments.clone())],
            Arguments::Whole => vec![first(arguments.to_string().into())],
            Arguments::Pieces => {
                let rest = pieces(&arguments.to_string());
                let rest = rest.into_iter().map(|piece| json!({ "function": { "arguments": piece } }));
                std::iter::once(first("".into())).chain(rest).collect()
            }
        };
        for (place, fragment) in fragments.iter_mut().enumerate() {
            match self.index {
                Index::Counted => fragment["index"] = number.into(),
                Index::Zero => fragment["index"] = 0.into(),
                Index::Missing => {}
            }
            match self.ids {
                Ids::Fresh => fragment["id"] = self.id(number, name).into(),
                Ids::ThenEmpty if place > 0 => fragment["id"] = "".into(),
                Ids::Missing => {}
                _ if place == 0 => fragment["id"] = id.as_str().into(),
                _ => {}
            }
        }
        fragments.into_iter().map(|fragment| json!({ "tool_calls": [fragment] })).collect()
    }

    fn id(&self, number: usize, name: &str) -> String {
        let random = uuid::Uuid::new_v4().simple().to_string();
        match self.ids {
            Ids::Kimi => format!("functions.{name}:{number}"),
            Ids::Nine => random[..9].to_owned(),
            _ => format!("call_{}", &random[..24]),
        }
    }
}

fn chunk(delta: Value, finish: Value) -> Value {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    json!({ "id": "1", "object": "chat.completion.chunk", "created": 1, "choices": [choice], "usage": null })
}

fn pieces(text: &str) -> Vec<String> {
    text.chars().collect::<Vec<_>>().chunks(23).map(|piece| piece.iter().collect()).collect()
}
