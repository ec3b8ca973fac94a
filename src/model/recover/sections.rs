//! A name, a separator and JSON inside a section of special tokens: DeepSeek up to V3.1, and Kimi K2.

use std::sync::LazyLock;

use regex::Regex;

use super::tokens::{Mark, Markup, markers};
use super::values::{self, NOT_JSON};
use super::{Found, Marked};

static DEEPSEEK: LazyLock<Regex> =
    LazyLock::new(|| markers(r"<[｜|]tool[▁_](?:(?:calls|call|outputs|output)[▁_](?:begin|end)|sep)[｜|]>"));
static KIMI: LazyLock<Regex> =
    LazyLock::new(|| markers(r"<\|tool_calls?_section_(?:begin|end)\|>|<\|tool_call_(?:begin|argument_begin|end)\|>"));

/// DeepSeek V3 and V3.1. Which of the two it is shows after the separator: a name, or already the arguments.
pub(super) fn deepseek(text: &str) -> Found {
    read(text, &DEEPSEEK, |mark| mark.contains("sep"), deepseek_head)
}

/// Kimi K2.
pub(super) fn kimi(text: &str) -> Found {
    read(text, &KIMI, |mark| mark.contains("argument"), kimi_head)
}

/// What stands around a separator.
struct Head<'t> {
    /// Where the call begins, in bytes.
    start: usize,
    /// The model's id for the call.
    id: &'t str,
    /// The function.
    name: Option<&'t str>,
    /// Where the arguments begin.
    body: usize,
}

type ReadHead = for<'t> fn(&'t str, usize, &Mark<'_>) -> Head<'t>;

fn read(text: &str, pattern: &Regex, separates: impl Fn(&str) -> bool, head: ReadHead) -> Found {
    let mut markup = Markup::new(text, pattern);
    let mut at = 0;
    while let Some(mark) = markup.outside(at) {
        at = if separates(mark.text) {
            let head = head(text, at, &mark);
            let end = call(&mut markup, &head);
            markup.hide(head.start..end, Marked::Opened);
            end
        } else if mark.text.contains("end") {
            markup.hide(mark.start..mark.end, Marked::Remains);
            mark.end
        } else {
            begin(&mut markup, &mark, &separates)
        };
    }
    markup.finish()
}

/// What a marker opens is a call only if a separator follows; the text up to it belongs to the call.
fn begin(markup: &mut Markup<'_>, mark: &Mark<'_>, separates: impl Fn(&str) -> bool) -> usize {
    let next = markup.inside(mark.end);
    let end = next.map_or(markup.text.len(), |next| next.start);
    let opens_call = !mark.text.contains("section") && !mark.text.contains("calls");
    if opens_call && !next.is_some_and(|next| separates(next.text)) {
        markup.broken(None, "it has no separator and no arguments");
    }
    markup.hide(mark.start..end, Marked::Opened);
    // The separator's name stands between the two markers.
    mark.end
}

fn call(markup: &mut Markup<'_>, head: &Head<'_>) -> usize {
    let text = markup.text;
    if let (Some(name), Some((value, end))) = (head.name, values::fenced_json_at(text, head.body)) {
        markup.note(values::call(head.id, name, Some(value)));
        return end;
    }
    let next = markup.inside(head.body);
    let end = next.map_or(text.len(), |next| next.start);
    let is_empty =
        text[head.body..end].trim_matches(|c: char| c.is_whitespace() || c == '`').trim_start_matches("json");
    match head.name {
        Some(name) if is_empty.is_empty() && next.is_some_and(|next| next.text.contains("end")) => {
            markup.note(values::call(head.id, name, None));
        }
        name => markup.broken(name.map(values::bare_name), NOT_JSON),
    }
    end
}

fn deepseek_head<'t>(text: &'t str, from: usize, mark: &Mark<'_>) -> Head<'t> {
    let before = last_word(&text[from..mark.start]);
    let after = text[mark.end..].trim_start();
    let name = first_word(after);
    if name.is_empty() {
        let start = from + offset(&text[from..mark.start], before);
        return Head { start, id: "", name: named(before), body: mark.end };
    }
    let start = text[from..mark.start].trim_end().strip_suffix("function").map_or(mark.start, |kept| from + kept.len());
    Head { start, id: "", name: named(name), body: text.len() - after.len() + name.len() }
}

/// Kimi's id is the function and the call's number; anything else is no id, and names are not guessed.
fn kimi_head<'t>(text: &'t str, from: usize, mark: &Mark<'_>) -> Head<'t> {
    let before = &text[from..mark.start];
    let id = last_word(before);
    let name = id.rsplit_once(':').filter(|(_, number)| is_number(number)).and_then(|(name, _)| named(name));
    Head { start: from + offset(before, id), id, name, body: mark.end }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn named(word: &str) -> Option<&str> {
    values::is_name(values::bare_name(word)).then_some(word)
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/')
}

fn first_word(text: &str) -> &str {
    &text[..text.find(|c| !is_of_word(c)).unwrap_or(text.len())]
}

fn last_word(text: &str) -> &str {
    let text = text.trim_end();
    text.rfind(|c| !is_of_word(c)).map_or(text, |at| &text[at + text[at..].chars().next().map_or(1, char::len_utf8)..])
}

/// Where a word that ends a text begins.
fn offset(text: &str, word: &str) -> usize {
    text.trim_end().len() - word.len()
}
