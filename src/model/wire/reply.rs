//! Lenient reading of a whole completion: every shape quirk known of providers ends here.

use serde_json::Value;

use super::{AssistantMessage, Fault};
use crate::model::Garbled;

/// Tokens of one call, as the provider counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenUsage {
    /// Tokens of the question.
    pub prompt: u64,
    /// Tokens of the answer, thinking included.
    pub completion: u64,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// What the model said.
    pub message: AssistantMessage,
    /// Whether it was cut off at the output limit: none of its calls can be trusted then.
    pub truncated: bool,
    /// Whether the provider's censor stopped it.
    pub filtered: bool,
    /// What it cost, where the provider says so.
    pub usage: Option<TokenUsage>,
    /// Why its text is no answer although it holds no calls either.
    pub garbled: Option<Garbled>,
    /// What was wrong with calls in its text that stood beside those that could be read, a sentence each.
    pub complaints: Vec<String>,
}

impl Reply {
    /// Reads a completion object of any shape. Some servers say `stop` or `tool_calls` when they cut at `max_tokens`,
    /// so the token count decides too.
    pub(in crate::model) fn read(mut completion: Value, max_tokens: Option<u32>) -> Result<Self, Fault> {
        refuse_errors(&completion)?;
        let mut choice = first_choice(&mut completion).ok_or(Fault::Empty)?;
        let usage = read_usage(completion.get("usage")).or_else(|| read_usage(choice.get("usage")));
        let finish = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
        let truncated = matches!(finish, "length" | "max_tokens") || reached(usage, max_tokens);
        let filtered = matches!(finish, "content_filter" | "sensitive" | "risk_control");
        let message = choice.get_mut("message").map(Value::take).ok_or(Fault::Empty)?;
        Ok(Self {
            message: AssistantMessage::read(message),
            truncated,
            filtered,
            usage,
            garbled: None,
            complaints: Vec::new(),
        })
    }
}

fn first_choice(completion: &mut Value) -> Option<Value> {
    completion.get_mut("choices")?.as_array_mut()?.drain(..).next()
}

fn reached(usage: Option<TokenUsage>, max_tokens: Option<u32>) -> bool {
    matches!((usage, max_tokens), (Some(usage), Some(max)) if usage.completion >= u64::from(max))
}

fn read_usage(usage: Option<&Value>) -> Option<TokenUsage> {
    let usage = usage?;
    let count = |key: &str| match usage.get(key)? {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|float| float as u64)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let prompt = count("prompt_tokens").or_else(|| count("input_tokens"))?;
    let completion = count("completion_tokens").or_else(|| count("output_tokens")).unwrap_or_default();
    Some(TokenUsage { prompt, completion })
}

/// Gateways answer 200 with an error inside; a plain `code` and `message` without choices is one too.
pub(super) fn refuse_errors(answer: &Value) -> Result<(), Fault> {
    let Value::Object(object) = answer else { return Err(Fault::NotJson) };
    let named = object.get("error").is_some_and(|error| !error.is_null() && error != "" && error != false);
    let bare = !object.contains_key("choices")
        && (object.contains_key("message") || object.contains_key("msg") || object.contains_key("detail"));
    if !named && !bare {
        return Ok(());
    }
    let code = answer.pointer("/error/code").or_else(|| answer.pointer("/code"));
    let status = code
        .and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()))
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (400..600).contains(code));
    Err(Fault::Refused { status, body: answer.to_string() })
}
