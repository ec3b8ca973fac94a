//! Markers with JSON after them: Hermes and Qwen, `MiniMax` M1, Hunyuan, Llama 3, `InternLM`, Mistral.

use std::sync::LazyLock;

use regex::Regex;

use super::tokens::{Mark, Markup, markers};
use super::values::{self, NOT_JSON};
use super::{Found, Marked};

static HERMES: LazyLock<Regex> = LazyLock::new(|| markers(r"</?tool_call>"));
static LIST: LazyLock<Regex> = LazyLock::new(|| markers(r"</?tool_calls>"));
static LLAMA: LazyLock<Regex> = LazyLock::new(|| markers(r"<\|python_tag\|>"));
static INTERNLM: LazyLock<Regex> = LazyLock::new(|| {
    markers(r"<\|action_start\|>\s*(?:<\|plugin\|>|<\|interpreter\|>)?|<\|plugin\|>|<\|action_end\|>")
});
static MISTRAL: LazyLock<Regex> = LazyLock::new(|| markers(r"\[TOOL_CALLS\]|\[/TOOL_CALLS\]"));

/// `<tool_call>` around one JSON call each.
pub(super) fn hermes(text: &str) -> Found {
    read(text, &HERMES, |mark| mark.starts_with("</"))
}

/// `<tool_calls>` around lines of JSON calls, or around a list of them.
pub(super) fn listed(text: &str) -> Found {
    read(text, &LIST, |mark| mark.starts_with("</"))
}

/// `<|python_tag|>` before JSON calls with semicolons between.
pub(super) fn llama(text: &str) -> Found {
    read(text, &LLAMA, |_| false)
}

/// Action tokens around one JSON call.
pub(super) fn internlm(text: &str) -> Found {
    read(text, &INTERNLM, |mark| mark == "<|action_end|>" || mark == "<|plugin|>")
}

/// `[TOOL_CALLS]` before a list of JSON calls, or before a name and `[ARGS]`.
pub(super) fn mistral(text: &str) -> Found {
    read(text, &MISTRAL, |mark| mark.starts_with("[/"))
}

fn read(text: &str, pattern: &Regex, closes: impl Fn(&str) -> bool) -> Found {
    let mut markup = Markup::new(text, pattern);
    let mut at = 0;
    while let Some(mark) = markup.outside(at) {
        at = if closes(mark.text) {
            markup.hide(mark.start..mark.end, Marked::Remains);
            mark.end
        } else {
            let end = body(&mut markup, &mark);
            markup.hide(mark.start..end, Marked::Opened);
            end
        };
    }
    markup.finish()
}

/// Reads what an opening marker announces; returns where it ends. After a value that cannot be read it goes on at the
/// next line that begins an object, so that one bad call in a list does not cost the others.
fn body(markup: &mut Markup<'_>, open: &Mark<'_>) -> usize {
    let text = markup.text;
    if let Some(end) = named(markup, open) {
        return end;
    }
    let (mut at, mut found) = (open.end, false);
    loop {
        let start = skip_separators(text, at);
        let rest = &text[start..];
        if rest.starts_with('{') || (!found && (rest.starts_with('[') || rest.starts_with("```"))) {
            match value(markup, start) {
                Ok(next) => at = next,
                Err(end) => return end,
            }
            found = true;
        } else if found || markup.inside(open.end).is_some_and(|next| next.start == start) {
            return at;
        } else {
            markup.broken(None, NOT_JSON);
            return markup.inside(open.end).map_or(text.len(), |next| next.start);
        }
    }
}

/// Reads one value; returns where to go on, or where the body ends.
fn value(markup: &mut Markup<'_>, start: usize) -> Result<usize, usize> {
    let text = markup.text;
    if let Some((value, end)) = values::fenced_json_at(text, start) {
        values::calls_of(value).into_iter().for_each(|attempt| markup.note(attempt));
        return Ok(end);
    }
    // A list of which one member is bad: read one by one.
    if text[start..].strip_prefix('[').is_some_and(|list| list.trim_start().starts_with('{')) {
        return Ok(start + 1);
    }
    resume(markup, start)
}

/// After a value that cannot be read: the next object of a line of its own before the next marker, or where that is.
fn resume(markup: &mut Markup<'_>, start: usize) -> Result<usize, usize> {
    markup.broken(None, NOT_JSON);
    let text = markup.text;
    let end = markup.inside(start + 1).map_or(text.len(), |next| next.start);
    let mut line = start;
    while let Some(next) = text[line..end].find('\n') {
        line += next + 1;
        if text[line..end].trim_start_matches([' ', '\t']).starts_with('{') {
            return Ok(line);
        }
    }
    Err(end)
}

/// Mistral's newer layout: a name, perhaps `[CALL_ID]` and an id, `[ARGS]` and the arguments.
fn named(markup: &mut Markup<'_>, open: &Mark<'_>) -> Option<usize> {
    if open.text != "[TOOL_CALLS]" {
        return None;
    }
    let text = markup.text;
    let rest = text[open.end..].trim_start();
    let name =
        &rest[..rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(rest.len())];
    let mut after = rest[name.len()..].trim_start();
    if let Some(id) = after.strip_prefix("[CALL_ID]") {
        after = id.trim_start_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-')).trim_start();
    }
    let body = after.strip_prefix("[ARGS]").or_else(|| after.starts_with('{').then_some(after))?;
    if name.is_empty() {
        return None;
    }
    let at = text.len() - body.len();
    match values::json_at(text, at) {
        Some((value, end)) => {
            markup.note(values::call("", name, Some(value)));
            Some(end)
        }
        None => {
            markup.broken(Some(values::bare_name(name)), NOT_JSON);
            Some(markup.inside(at).map_or(text.len(), |next| next.start))
        }
    }
}

fn skip_separators(text: &str, at: usize) -> usize {
    text.len() - text[at..].trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ';' | ',' | ']')).len()
}
