//! Calls written as tags around raw values: DeepSeek's DSML, Qwen3-Coder, Seed, GLM, `MiniMax` M2, Step3, Kimi K3.

mod grammar;

use serde_json::{Map, Value};

pub(super) use grammar::{DSML, FUNCTION, GLM, Grammar, KIMI_K3, MINIMAX_M2, STEP3};

use super::coerce::coerce;
use super::tokens::{Mark, Markup};
use super::{Attempt, Call, Found, Marked, values};
use crate::model::Function;

/// What a tag is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Opens something around calls, and alone means little.
    Wrap,
    /// Closes it.
    Unwrap,
    /// Opens a call of a function; `whole` when it closes it too.
    Call { name: String, whole: bool },
    /// Closes a call.
    CallEnd,
    /// Opens an argument, of the type the tag declares.
    Argument { key: String, declared: Option<String> },
    /// Closes an argument.
    ArgumentEnd,
    /// Half of something.
    Stray,
    /// A tag without the token that made it a marker.
    Faded,
}

const UNBALANCED: &str = "its tags do not match";

/// Reads a text whose calls are tags.
pub(super) fn read(text: &str, grammar: &Grammar, tools: &[Function]) -> Found {
    let mut markup = Markup::new(text, &grammar.pattern);
    let mut at = 0;
    while let Some(mark) = markup.outside(at) {
        let (end, marked) = match (grammar.kind)(mark.text) {
            Kind::Call { name, whole } => (call(&mut markup, grammar, &mark, (&name, whole), tools), Marked::Opened),
            Kind::Wrap => (markup.inside(mark.end).map_or(text.len(), |next| next.start), Marked::Opened),
            Kind::Argument { .. } => (mark.end, Marked::Opened),
            _ => (mark.end, Marked::Remains),
        };
        markup.hide(mark.start..end, marked);
        at = end;
    }
    markup.finish()
}

/// Reads one call; returns where it ends. A broken one ends where the next thing begins.
fn call(
    markup: &mut Markup<'_>,
    grammar: &Grammar,
    open: &Mark<'_>,
    (name, whole): (&str, bool),
    tools: &[Function],
) -> usize {
    let name = values::bare_name(name);
    let known = values::is_name(name).then_some(name);
    let properties = tools.iter().find(|tool| tool.name == name).and_then(|tool| tool.parameters.get("properties"));
    let read = if whole { Ok((Map::new(), open.end)) } else { arguments(markup, grammar, open.end, properties) };
    match (read, known) {
        (Ok((arguments, end)), Some(name)) => {
            markup.note(Attempt::Call(Call { id: String::new(), name: name.to_owned(), arguments }));
            end
        }
        (Ok((_, end)), None) => {
            markup.broken(None, "it has no function name");
            end
        }
        (Err((why, end)), name) => {
            markup.broken(name, why);
            end
        }
    }
}

type Arguments = Result<(Map<String, Value>, usize), (&'static str, usize)>;

fn arguments(markup: &mut Markup<'_>, grammar: &Grammar, mut at: usize, properties: Option<&Value>) -> Arguments {
    let text = markup.text;
    let mut arguments = Map::new();
    let mut fault = None;
    loop {
        let Some(mark) = markup.inside(at) else { return Err((UNBALANCED, text.len())) };
        let between = text[at..mark.start].trim();
        match (grammar.kind)(mark.text) {
            Kind::Argument { key, declared } if between.is_empty() => {
                let end = value_end(markup, grammar, mark.end).map_err(|stop| (UNBALANCED, stop))?;
                let raw = without_line_breaks(&text[mark.end..end.start]);
                match coerce(properties.and_then(|all| all.get(&key)), declared.as_deref(), raw) {
                    Some(value) => drop(arguments.insert(key, value)),
                    None => fault = Some("a value is not of the type the function takes"),
                }
                at = end.end;
            }
            Kind::CallEnd => {
                let body = if between.is_empty() { Some(arguments) } else { json_body(arguments, between) };
                return match (body, fault) {
                    (Some(arguments), None) => Ok((arguments, mark.end)),
                    (None, None) => Err((values::NOT_AN_OBJECT, mark.end)),
                    (_, Some(why)) => Err((why, mark.end)),
                };
            }
            _ => return Err((UNBALANCED, mark.start)),
        }
    }
}

/// The end of a raw value; another opening tag first means that one was left out.
fn value_end<'t>(markup: &mut Markup<'t>, grammar: &Grammar, mut at: usize) -> Result<Mark<'t>, usize> {
    loop {
        let Some(mark) = markup.inside(at) else { return Err(markup.text.len()) };
        match (grammar.kind)(mark.text) {
            Kind::ArgumentEnd => return Ok(mark),
            Kind::Argument { .. } | Kind::Call { .. } | Kind::Stray => return Err(mark.start),
            _ => at = mark.end,
        }
    }
}

/// One line break on each side belongs to the markup, everything else to the value.
fn without_line_breaks(raw: &str) -> &str {
    let raw = raw.strip_prefix("\r\n").or_else(|| raw.strip_prefix('\n')).unwrap_or(raw);
    raw.strip_suffix("\r\n").or_else(|| raw.strip_suffix('\n')).unwrap_or(raw)
}

/// Some models write one JSON object where the tags of arguments belong.
fn json_body(arguments: Map<String, Value>, between: &str) -> Option<Map<String, Value>> {
    let (value, end) = values::fenced_json_at(between, 0)?;
    (arguments.is_empty() && between[end..].trim().is_empty()).then(|| values::arguments(Some(value))).flatten()
}
