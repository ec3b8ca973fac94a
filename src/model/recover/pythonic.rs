//! Calls as Python writes them, in a list: `[f(a=1), g(b='x')]`.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Number, Value};

use super::tokens::{Markup, markers};
use super::{Attempt, Call, Found, Marked, values};
use crate::model::Function;

static LIST: LazyLock<Regex> =
    LazyLock::new(|| markers(r"<\|python_(?:start|end)\|>|\[\s{0,8}[A-Za-z_][\w.]{0,128}\("));

/// The deepest nesting of a value.
const MAX_DEPTH: usize = 64;

/// Reads lists of calls that stand on lines of their own. Prose has brackets too: in it, only a list of offered
/// functions counts, and only one with nothing but named arguments.
pub(super) fn read(text: &str, tools: &[Function]) -> Found {
    let mut markup = Markup::new(text, &LIST);
    let first = text.len() - text.trim_start().trim_start_matches("<|python_start|>").trim_start().len();
    let mut at = 0;
    while let Some(mark) = markup.outside(at) {
        at = mark.end;
        if mark.text.starts_with('<') {
            let marked = if mark.text.contains("end") { Marked::Remains } else { Marked::Opened };
            markup.hide(mark.start..mark.end, marked);
            continue;
        }
        let leads = mark.start == first;
        if !leads && !begins_line(text, mark.start) {
            continue;
        }
        let offered = |name: &str| tools.iter().any(|tool| tool.name == values::bare_name(name));
        match list(text, mark.start).filter(|(_, end)| ends_line(text, *end)) {
            Some((calls, end)) if (leads && is_last(text, end)) || calls.iter().all(|call| offered(&call.name)) => {
                calls.into_iter().for_each(|call| markup.note(Attempt::Call(call)));
                markup.hide(mark.start..end, Marked::Opened);
                at = end;
            }
            None if leads && offered(mark.text.trim_matches(['[', '(']).trim()) => {
                markup.broken(None, "it is not a list of calls with named arguments");
                markup.hide(mark.start..text.len(), Marked::Opened);
                at = text.len();
            }
            _ => {}
        }
    }
    markup.finish()
}

fn begins_line(text: &str, at: usize) -> bool {
    let before = text[..at].trim_end_matches([' ', '\t']);
    before.is_empty() || before.ends_with('\n') || before.ends_with("<|python_start|>")
}

fn is_last(text: &str, at: usize) -> bool {
    text[at..].trim().trim_end_matches("<|python_end|>").trim().is_empty()
}

fn ends_line(text: &str, at: usize) -> bool {
    let after = text[at..].trim_start_matches([' ', '\t', '\r']);
    after.is_empty() || after.starts_with('\n') || after.starts_with("<|")
}

fn list(text: &str, at: usize) -> Option<(Vec<Call>, usize)> {
    let mut python = Python { text, at: at + 1 };
    let mut calls = Vec::new();
    while !python.takes(']') {
        calls.push(python.call()?);
        if !python.takes(',') {
            python.takes(']').then_some(())?;
            break;
        }
    }
    (!calls.is_empty()).then_some((calls, python.at))
}

/// Reads literals, strictly.
struct Python<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Python<'t> {
    fn rest(&mut self) -> &'t str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn takes(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn word(&mut self) -> Option<&'t str> {
        let rest = self.rest();
        let word = &rest[..rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.'))).unwrap_or(rest.len())];
        self.at += word.len();
        (!word.is_empty()).then_some(word)
    }

    fn call(&mut self) -> Option<Call> {
        let name = values::bare_name(self.word()?).to_owned();
        self.takes('(').then_some(())?;
        let mut arguments = Map::new();
        while !self.takes(')') {
            let key = self.word()?.to_owned();
            self.takes('=').then_some(())?;
            arguments.insert(key, self.value(MAX_DEPTH)?);
            if !self.takes(',') {
                self.takes(')').then_some(())?;
                break;
            }
        }
        Some(Call { id: String::new(), name, arguments })
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let rest = self.rest();
        match rest.chars().next()? {
            quote @ ('\'' | '"') => self.string(quote).map(Value::from),
            '[' => self.items(']', depth.checked_sub(1)?),
            '(' => self.items(')', depth.checked_sub(1)?),
            '{' => self.dictionary(depth.checked_sub(1)?),
            '0'..='9' | '-' | '+' | '.' => self.number(rest),
            _ => match self.word()? {
                "True" | "true" => Some(true.into()),
                "False" | "false" => Some(false.into()),
                "None" | "null" => Some(Value::Null),
                _ => None,
            },
        }
    }

    fn items(&mut self, close: char, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.takes(close) {
            items.push(self.value(depth)?);
            if !self.takes(',') {
                self.takes(close).then_some(())?;
                break;
            }
        }
        Some(items.into())
    }

    fn dictionary(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut object = Map::new();
        while !self.takes('}') {
            let quote = self.rest().chars().next().filter(|c| matches!(c, '\'' | '"'))?;
            let key = self.string(quote)?;
            self.takes(':').then_some(())?;
            object.insert(key, self.value(depth)?);
            if !self.takes(',') {
                self.takes('}').then_some(())?;
                break;
            }
        }
        Some(object.into())
    }

    fn number(&mut self, rest: &str) -> Option<Value> {
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_')))
            .unwrap_or(rest.len());
        self.at += end;
        let text = rest[..end].replace('_', "");
        let text = text.trim_start_matches('+');
        match text.parse::<i64>() {
            Ok(number) => Some(number.into()),
            Err(_) => Number::from_f64(text.parse().ok()?).map(Value::Number),
        }
    }

    fn string(&mut self, quote: char) -> Option<String> {
        self.at += 1;
        let mut text = String::new();
        let mut chars = self.text[self.at..].char_indices();
        while let Some((offset, c)) = chars.next() {
            match c {
                '\n' => return None,
                '\\' => text.push_str(&escaped(&mut chars)?),
                c if c == quote => {
                    self.at += offset + 1;
                    return Some(text);
                }
                c => text.push(c),
            }
        }
        None
    }
}

fn escaped(chars: &mut std::str::CharIndices<'_>) -> Option<String> {
    let (_, c) = chars.next()?;
    let digits = match c {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        'n' => return Some("\n".to_owned()),
        't' => return Some("\t".to_owned()),
        'r' => return Some("\r".to_owned()),
        '0' => return Some("\0".to_owned()),
        '\n' => return Some(String::new()),
        '\\' | '\'' | '"' => return Some(c.to_string()),
        other => return Some(format!("\\{other}")),
    };
    let code: String = chars.take(digits).map(|(_, digit)| digit).collect();
    char::from_u32(u32::from_str_radix(&code, 16).ok()?).map(String::from)
}
