//! Texts without markers: JSON that is the whole answer, and what a server leaves of a call when it drops the markers.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::reasoning::without_special_tokens;
use super::tokens::pattern;
use super::{Attempt, Call, Found, Marked, values};
use crate::model::Function;

/// A name before JSON, at the start of a line or after DeepSeek's word for the type: old GLM-4, or markers dropped.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?m)(?:^[ \t]*|function)(?:functions\.)?([\w-]+)(?::\d+)?\s{0,8}(?:```(?:json)?\s{0,8})?\{")
});

/// A recipient of the harmony format.
static RECIPIENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:assistant\w*\s?)?\bto=(?:functions\.)?([\w-]+)"));

/// An answer that begins as a JSON call does.
static BEGUN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"^(?:```(?:json)?)?[\[\s]*\{\s*"name"\s*:\s*"(?:functions\.)?([\w-]+)"\s*,\s*"(?:arguments|parameters)""#)
});

/// An answer that is JSON calls and nothing else, perhaps in one fence.
pub(super) fn json(text: &str) -> Found {
    let Some(calls) = whole_calls(text) else { return Found::plain(text) };
    let attempts = calls.into_iter().flat_map(values::calls_of).collect();
    Found { attempts, marked: Marked::Opened, shown: String::new() }
}

fn whole_calls(text: &str) -> Option<Vec<Value>> {
    let text = without_special_tokens(text);
    let text = unfenced(&text);
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let (mut found, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let (value, end) = values::json_at(text, at)?;
        let calls = match &value {
            Value::Array(items) => !items.is_empty() && items.iter().all(values::looks_like_a_call),
            other => values::looks_like_a_call(other),
        };
        if !calls {
            return None;
        }
        found.push(value);
        at = text.len() - text[end..].trim_start_matches(|c: char| c.is_whitespace() || c == ';').len();
    }
    Some(found)
}

/// What the one fence that is the whole text holds.
fn unfenced(text: &str) -> &str {
    let inside = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    inside.map_or(text, |inside| inside.trim_start_matches(char::is_alphanumeric).trim())
}

/// A text without markers, looked at once more for a call that lost them. It is not carried out: without markers
/// nothing tells a call from a quotation. But people should not read it either.
pub(super) fn remains(found: Found, tools: &[Function]) -> Found {
    let text = found.shown.as_str();
    let begins = whole(text, tools).or_else(|| begun(text, tools)).or_else(|| named(text, tools));
    match begins {
        Some(start) => Found { marked: Marked::Remains, shown: text[..start].to_owned(), ..Found::default() },
        None => found,
    }
}

fn whole(text: &str, tools: &[Function]) -> Option<usize> {
    let mut attempts = whole_calls(text)?.into_iter().flat_map(values::calls_of);
    let offered = |attempt| match attempt {
        Attempt::Call(Call { name, .. }) | Attempt::Broken { name: Some(name), .. } => offers(tools, &name),
        Attempt::Broken { name: None, .. } => false,
    };
    attempts.any(offered).then_some(0)
}

fn begun(text: &str, tools: &[Function]) -> Option<usize> {
    let text = text.trim_start();
    let name = BEGUN.captures(text)?.get(1)?;
    offers(tools, name.as_str()).then_some(0)
}

fn named(text: &str, tools: &[Function]) -> Option<usize> {
    let before_json = NAMED.captures_iter(text).find(|found| {
        let (Some(whole), Some(name)) = (found.get(0), found.get(1)) else { return false };
        let name = name.as_str();
        let name = if offers(tools, name) { name } else { name.strip_prefix("function").unwrap_or(name) };
        offers(tools, name) && ends_with_json(text, whole.end() - 1, whole.as_str().contains("```"))
    });
    let recipient = RECIPIENT
        .captures_iter(text)
        .find(|found| found.get(1).is_some_and(|name| offers(tools, name.as_str())) && text.contains('{'));
    before_json.or(recipient).and_then(|found| found.get(0)).map(|found| found.start())
}

fn offers(tools: &[Function], name: &str) -> bool {
    tools.iter().any(|tool| tool.name == name)
}

/// Whether a JSON object begins at a place and the text ends with it, but for a fence.
fn ends_with_json(text: &str, at: usize, fenced: bool) -> bool {
    values::json_at(text, at).is_some_and(|(_, end)| {
        let rest = text[end..].trim();
        rest.is_empty() || (fenced && rest == "```")
    })
}
