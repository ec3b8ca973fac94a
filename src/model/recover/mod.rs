//! Calls a model wrote into its text instead of its answer's own field: found by the rules of one family, or by all in turn.
//!
//! A turn is assembled whole before it is read, so the result cannot depend on how a stream was cut. Reasoning goes
//! first, quotations in code fences stay quotations, JSON is never repaired, and whatever is found is believed only
//! of functions that were offered and change nothing.

mod bare;
mod coerce;
mod family;
mod harmony;
mod json;
mod pythonic;
mod reasoning;
mod sections;
mod tagged;
#[cfg(test)]
mod tests;
mod tokens;
mod values;

use serde_json::{Map, Value};

use super::{Arguments, Function, Garbled, ToolCall};

pub use family::Family;

/// The most complaints worth a model's attention; a text of nothing but broken openers would make one of each.
const MAX_COMPLAINTS: usize = 16;

/// What a text was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It calls functions.
    Parsed,
    /// It is an answer.
    None,
    /// It holds markers of calls and no call that could be read.
    Rejected,
    /// It was cut off, so nothing in it is believed.
    Truncated,
    /// It holds what is left of a call, or an old layout without markers.
    Suspected,
    /// It calls only functions that were not offered, these.
    UnknownTool(Vec<String>),
    /// It calls functions that change something, these; text is never enough for that.
    RefusedMutating(Vec<String>),
}

impl Status {
    /// A fixed word for logs, metrics and the acceptance cases.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Parsed => "parsed",
            Self::None => "none",
            Self::Rejected => "rejected",
            Self::Truncated => "truncated",
            Self::Suspected => "suspected",
            Self::UnknownTool(_) => "unknown_tool",
            Self::RefusedMutating(_) => "refused_mutating",
        }
    }
}

/// A call found in text.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The id the model gave it; Kimi K2 wants its own back. Empty in every other family.
    pub id: String,
    /// An offered function's name.
    pub name: String,
    /// What it is called with.
    pub arguments: Map<String, Value>,
}

/// What a text holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// What the text is.
    pub status: Status,
    /// The calls to carry out, in order; empty unless the status is [`Status::Parsed`].
    pub calls: Vec<Call>,
    /// What may be shown to people: no reasoning, no markers, trimmed.
    pub text: String,
    /// What was wrong with calls that are not carried out, a sentence each, for the model to read; at most 16.
    pub complaints: Vec<String>,
}

impl Recovered {
    /// The calls as a conversation keeps them, or why the text is no answer although it holds none.
    #[must_use]
    pub fn into_calls(self) -> (Vec<ToolCall>, Option<Garbled>) {
        let garbled = match self.status {
            Status::Parsed | Status::None | Status::Truncated => None,
            Status::Rejected => Some(Garbled::Unreadable),
            Status::Suspected => Some(Garbled::Suspected),
            Status::UnknownTool(names) => Some(Garbled::NotOffered(names)),
            Status::RefusedMutating(names) => Some(Garbled::Changing(names)),
        };
        let call = |Call { id, name, arguments }| ToolCall {
            id,
            name,
            arguments: Arguments::Object(arguments),
            extra: Map::new(),
        };
        (self.calls.into_iter().map(call).collect(), garbled)
    }
}

/// Reads a whole answer's text. `truncated` says it was cut at the output limit; `tools` are the functions offered in
/// this turn. Only the markers of `family` count, of [`Family::Unknown`] those of all. Time is linear in the text.
#[must_use]
pub fn recover(family: Family, text: &str, truncated: bool, tools: &[Function]) -> Recovered {
    let text = reasoning::without(text, family);
    let found = family.read(&text, tools);
    judge(found, truncated, tools)
}

/// A text without the model's thinking.
pub(super) fn without_thinking(text: &str, family: Family) -> String {
    reasoning::without(text, family).trim().to_owned()
}

/// What the text of one call looked like.
#[derive(Debug, Clone, PartialEq)]
enum Attempt {
    /// A whole call, of whatever function.
    Call(Call),
    /// Something that began like one.
    Broken {
        /// The function, where it could be read.
        name: Option<String>,
        /// What is wrong, as a sentence's end.
        why: &'static str,
    },
}

/// How much of a call the text shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Marked {
    /// No marker.
    #[default]
    Nothing,
    /// Remains: closing markers alone, or names and arguments where markers were.
    Remains,
    /// Markers that open a call.
    Opened,
}

/// What one family's grammar finds.
#[derive(Debug, Clone, PartialEq, Default)]
struct Found {
    attempts: Vec<Attempt>,
    marked: Marked,
    /// The text around the markup.
    shown: String,
}

impl Found {
    /// A text without calls.
    fn plain(text: &str) -> Self {
        Self { shown: text.to_owned(), ..Self::default() }
    }

    fn is_marked(&self) -> bool {
        self.marked != Marked::Nothing
    }
}

/// What a turn may do of what was found in it.
fn judge(found: Found, truncated: bool, tools: &[Function]) -> Recovered {
    let mut text = reasoning::without_special_tokens(&found.shown);
    if truncated {
        text = reasoning::without_half_a_marker(&text).to_owned();
        return Recovered { status: Status::Truncated, calls: Vec::new(), text, complaints: Vec::new() };
    }
    let mut sorted = Sorted::default();
    for attempt in found.attempts {
        sorted.take(attempt, tools);
    }
    let status = sorted.status(found.marked);
    Recovered { status, calls: sorted.calls, text, complaints: sorted.complaints }
}

/// Attempts by what becomes of them.
#[derive(Default)]
struct Sorted {
    calls: Vec<Call>,
    unknown: Vec<String>,
    changing: Vec<String>,
    broken: bool,
    complaints: Vec<String>,
}

impl Sorted {
    fn take(&mut self, attempt: Attempt, tools: &[Function]) {
        match attempt {
            Attempt::Call(call) => match tools.iter().find(|tool| tool.name == call.name) {
                None => self.refuse_unknown(call.name),
                Some(tool) if !tool.read_only => self.refuse_changing(call.name),
                Some(_) => self.calls.push(call),
            },
            Attempt::Broken { name: Some(name), why } => match tools.iter().find(|tool| tool.name == name) {
                None => self.refuse_unknown(name),
                Some(tool) if !tool.read_only => self.refuse_changing(name),
                Some(_) => self.refuse(&format!("The call of {name} was not carried out: {why}.")),
            },
            Attempt::Broken { name: None, why } => self.refuse(&format!("A call was not carried out: {why}.")),
        }
    }

    fn refuse_unknown(&mut self, name: String) {
        self.complain(format!("{name} was not carried out: there is no function of that name."));
        note(&mut self.unknown, name);
    }

    fn refuse_changing(&mut self, name: String) {
        self.complain(format!("{name} was not carried out: a call written as text never changes anything."));
        note(&mut self.changing, name);
    }

    fn refuse(&mut self, complaint: &str) {
        self.broken = true;
        self.complain(complaint.to_owned());
    }

    fn complain(&mut self, complaint: String) {
        if self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.push(complaint);
        }
    }

    fn status(&mut self, marked: Marked) -> Status {
        if !self.calls.is_empty() {
            Status::Parsed
        } else if !self.changing.is_empty() {
            Status::RefusedMutating(std::mem::take(&mut self.changing))
        } else if !self.unknown.is_empty() {
            Status::UnknownTool(std::mem::take(&mut self.unknown))
        } else if self.broken || marked == Marked::Opened {
            Status::Rejected
        } else if marked == Marked::Remains {
            Status::Suspected
        } else {
            Status::None
        }
    }
}

fn note(names: &mut Vec<String>, name: String) {
    if names.len() < MAX_COMPLAINTS && !names.contains(&name) {
        names.push(name);
    }
}
