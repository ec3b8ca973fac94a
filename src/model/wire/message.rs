//! Messages of a conversation, kept so that sending them back never breaks it.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};

/// The longest function name providers accept.
const NAME_CHARS: usize = 64;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Message {
    /// What the model is told about itself.
    System {
        /// Text.
        content: String,
    },
    /// What it is asked.
    User {
        /// Text.
        content: String,
    },
    /// What it said.
    Assistant(AssistantMessage),
    /// What a call gave.
    Tool {
        /// The call it answers.
        tool_call_id: String,
        /// Text.
        content: String,
    },
}

/// What a model said, with every field it came with: some providers refuse a conversation that lost one of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AssistantMessage {
    /// Text for people; absent when there is none.
    pub content: Option<String>,
    /// The calls it asks for.
    pub tool_calls: Vec<ToolCall>,
    /// Everything else (`reasoning_content`, signatures), sent back as it came.
    pub extra: Map<String, Value>,
}

impl AssistantMessage {
    /// The model's thinking, under either name providers give it.
    #[must_use]
    pub fn reasoning(&self) -> Option<&str> {
        ["reasoning_content", "reasoning"].iter().find_map(|key| self.extra.get(*key)).and_then(Value::as_str)
    }

    /// Reads a message object of any shape; what is not understood stays in `extra`.
    pub(super) fn read(message: Value) -> Self {
        let Value::Object(mut extra) = message else { return Self::default() };
        let content = extra.remove("content").and_then(text_of);
        let tool_calls = match extra.remove("tool_calls") {
            Some(Value::Array(calls)) => calls.into_iter().filter_map(ToolCall::read).collect(),
            _ => Vec::new(),
        };
        extra.remove("role");
        extra.retain(|_, value| !is_blank(value));
        Self { content, tool_calls, extra }
    }
}

impl Serialize for AssistantMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("content", &self.content)?;
        if !self.tool_calls.is_empty() {
            map.serialize_entry("tool_calls", &self.tool_calls)?;
        }
        for (key, value) in &self.extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// A call's arguments.
#[derive(Debug, Clone, PartialEq)]
pub enum Arguments {
    /// An object, as they must be.
    Object(Map<String, Value>),
    /// What came instead. It is sent back as `{}`: servers that re-read a broken text fail for ever after.
    Unreadable(String),
}

impl Arguments {
    /// Objects, their JSON text (encoded once or twice) and nothing at all are accepted; nothing is repaired.
    pub(super) fn read(value: Option<Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Object(Map::new()),
            Some(Value::Object(object)) => Self::Object(object),
            Some(Value::String(text)) => Self::decode(text),
            Some(other) => Self::Unreadable(other.to_string()),
        }
    }

    fn decode(text: String) -> Self {
        if text.trim().is_empty() {
            return Self::Object(Map::new());
        }
        let once = serde_json::from_str(&text);
        let twice = match once {
            Ok(Value::String(inner)) => serde_json::from_str(&inner),
            other => other,
        };
        match twice {
            Ok(Value::Object(object)) => Self::Object(object),
            Ok(Value::Null) => Self::Object(Map::new()),
            _ => Self::Unreadable(text),
        }
    }
}

/// One call a model asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// Its id; empty when the provider gave none, until the conversation does.
    pub id: String,
    /// The function's name, as the model spelt it.
    pub name: String,
    /// What it is called with.
    pub arguments: Arguments,
    /// Fields beside these (Gemini signs its calls), sent back as they came.
    pub extra: Map<String, Value>,
}

impl ToolCall {
    fn read(call: Value) -> Option<Self> {
        let Value::Object(mut extra) = call else { return None };
        let mut function = match extra.remove("function") {
            Some(Value::Object(function)) => function,
            _ => return None,
        };
        let id = extra.remove("id").and_then(text_of).unwrap_or_default();
        extra.remove("type");
        extra.remove("index");
        extra.retain(|_, value| !is_blank(value));
        let name = function.remove("name").and_then(text_of).unwrap_or_default();
        Some(Self { id, name, arguments: Arguments::read(function.remove("arguments")), extra })
    }

    /// The name in a form every provider takes back; an invented one must not poison the conversation.
    pub(super) fn safe_name(&self) -> String {
        let keep = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
        let name: String = self.name.chars().take(NAME_CHARS).map(keep).collect();
        if name.is_empty() { "unnamed".to_owned() } else { name }
    }
}

impl Serialize for ToolCall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let arguments = match &self.arguments {
            Arguments::Object(object) => serde_json::to_string(object).map_err(serde::ser::Error::custom)?,
            Arguments::Unreadable(_) => "{}".to_owned(),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("type", "function")?;
        map.serialize_entry("function", &json!({ "name": self.safe_name(), "arguments": arguments }))?;
        for (key, value) in &self.extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Text in any of the forms providers use: a string, or a list of parts of which the text ones count.
fn text_of(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(parts) => {
            let texts: Vec<_> = parts
                .iter()
                .filter_map(|part| part.as_str().or_else(|| part.get("text").and_then(Value::as_str)))
                .collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}
