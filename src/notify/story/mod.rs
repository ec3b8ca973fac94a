//! A story: what a message says, in order and in words, before any channel gives it a shape.
//!
//! One layout serves every channel. A story holds text only — structure is in its types, never in the text — so that a
//! channel escapes every string it meets and nothing a label, a log or a model says can become markup.

mod alert;
mod caps;
mod diagnosis;
mod digest;
mod links;
mod summary;
mod tell;
pub(crate) mod words;

pub use caps::Caps;
pub use links::all as links;
use serde::Serialize;
pub use tell::{ending, tell, tell_in_place};
pub(crate) use tell::{known, labelled_object, object_of};

use crate::alert::Lang;

/// The colour of a message, or of a word in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Gravest: critical, page, P0.
    Red,
    /// Severe: error, high, P1.
    Orange,
    /// Warning.
    Yellow,
    /// Information.
    Blue,
    /// Resolved, certain.
    Green,
    /// Looked at and healthy.
    Turquoise,
    /// Without a severity we know; asides.
    Grey,
}

/// A piece of a line. Its text is clean and short, but not escaped: that is the channel's. Addresses are broken up in
/// prose; code keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Span {
    /// Ordinary words.
    Text(String),
    /// Emphasised words.
    Strong(String),
    /// A name or value, set in the code face.
    Code(String),
    /// An aside in small grey.
    Aside(String),
    /// A reference to evidence, for example `E3`.
    Ref(String),
    /// A word on a coloured ground.
    Badge(Badge),
    /// A name that leads to a page of ours.
    Link(Link),
    /// A moment, which some channels show in the reader's own zone.
    Moment(Moment),
}

/// A moment in words, and the moment itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub at: i64,
    /// In the configured zone, with its offset.
    pub said: String,
}

/// A word on a coloured ground.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Badge {
    /// The word.
    pub text: String,
    /// Its colour.
    pub tone: Tone,
}

/// A line, a list item, a command or a quotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Block {
    /// A line of its own.
    Line(Vec<Span>),
    /// An item of a list.
    Item(Vec<Span>),
    /// A command to copy.
    Command(String),
    /// Words copied from evidence.
    Quote(Quote),
}

/// Words copied from evidence, and where they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// `E3`.
    pub reference: String,
    /// The tool that returned it; empty when the report does not say.
    pub tool: String,
    /// The words.
    pub text: String,
}

/// A titled part of the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// What kind of part it is.
    pub role: Role,
    /// Its heading.
    pub title: String,
    /// What it says, never empty.
    pub blocks: Vec<Block>,
}

/// What a part is for. The order is the order in which parts are given up when a message is too long, last first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// 告警概览: the alert in three lines.
    Alert,
    /// 诊断分析: what is wrong and why.
    Diagnosis,
    /// 处理建议: the first step.
    Step,
    /// The steps after the first.
    MoreSteps,
    /// Quotations.
    Evidence,
    /// What was not checked, and what a person must answer.
    Unknown,
    /// Findings at the object the alert is about.
    Primary,
    /// Causes after the first.
    MoreCauses,
    /// Findings at objects beside it.
    Related,
    /// Every alert that shares the investigation.
    Members,
    /// Labels and annotations.
    Facts,
    /// What it is not.
    RuledOut,
    /// Other alerts of the group.
    Others,
}

/// An address people may follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// What it leads to; names the host when the address came with the alert.
    pub label: String,
    /// http or https, without characters that could end a link in markdown or HTML.
    pub url: String,
    /// Whether it is our own page.
    pub primary: bool,
}

/// A message in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// Language of our own words.
    pub lang: Lang,
    /// Colour of the whole message.
    pub tone: Tone,
    /// What kind of message it is, how grave the alert is, and the verdict: at most three.
    pub badges: Vec<Badge>,
    /// The alert's name.
    pub title: String,
    /// The object it is about, and the cluster.
    pub subtitle: String,
    /// One line for a list of chats or mails: severity, name, object and headline.
    pub summary: String,
    /// What is read without a click.
    pub lead: Vec<Section>,
    /// What is folded away where a channel can, in reading order.
    pub folds: Vec<Section>,
    /// Where to go from here.
    pub links: Vec<Link>,
    /// Incident, who answered, how long it took.
    pub footer: Vec<String>,
    /// Says that something was left out, when it was.
    pub shortened: Option<String>,
}

impl Story {
    /// Gives up the least needed fold and says so; false when there is none left.
    pub fn give_up_a_fold(&mut self) -> bool {
        let Some(least) = self.folds.iter().enumerate().max_by_key(|(_, fold)| fold.role).map(|(at, _)| at) else {
            return false;
        };
        self.folds.remove(least);
        self.say_shortened();
        true
    }

    /// The moments of its first screen, in the configured zone.
    pub fn moments(&self) -> impl Iterator<Item = &str> {
        let blocks = self.lead.iter().flat_map(|section| &section.blocks);
        let spans = blocks.flat_map(|block| match block {
            Block::Line(spans) | Block::Item(spans) => spans.as_slice(),
            Block::Command(_) | Block::Quote(_) => &[],
        });
        spans.filter_map(|span| match span {
            Span::Moment(moment) => Some(moment.said.as_str()),
            _ => None,
        })
    }

    /// Notes that this message leaves something out, and where the whole is.
    pub fn say_shortened(&mut self) {
        let whole = self.links.iter().any(|link| link.primary);
        self.shortened = Some(words::shortened(self.lang, whole).to_owned());
    }
}

/// Splits prose at its pairs of backticks, as models write names; a lone backtick stays what it is.
#[must_use]
pub fn prose(text: &str) -> Vec<Span> {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return vec![Span::Text(text.to_owned())];
    }
    parts
        .iter()
        .enumerate()
        .filter(|(_, part)| !part.trim().is_empty())
        .map(|(at, part)| if at % 2 == 1 { Span::Code(part.trim().to_owned()) } else { Span::Text((*part).to_owned()) })
        .collect()
}

/// Joins the written forms of spans, with a space wherever prose does not bring its own: emphasis needs one around it.
#[must_use]
pub fn join(spans: &[Span], write: impl Fn(&Span) -> String) -> String {
    let mut out = String::new();
    let mut after_prose = true;
    for span in spans {
        let written = write(span);
        let is_prose = matches!(span, Span::Text(_) | Span::Code(_));
        let spaced = out.ends_with(char::is_whitespace) || written.starts_with(char::is_whitespace);
        let runs_on = spaced || (after_prose && is_prose);
        if !out.is_empty() && !runs_on {
            out.push(' ');
        }
        out.push_str(&written);
        after_prose = is_prose;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_backticks_are_code() {
        let spans = prose("PVC `test-data` asks for `cbs`");
        assert_eq!(spans[1], Span::Code("test-data".into()));
        assert_eq!(spans.len(), 4);
        assert_eq!(prose("a ` b"), vec![Span::Text("a ` b".into())], "a lone backtick opens nothing");
    }
}
