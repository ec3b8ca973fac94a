//! The parts of messages that may be laid out anew, and how what stands in one is kept from being markup there.

use minijinja::{AutoEscape, HtmlEscape, Output, State, Value};

use crate::notify::text::defang;
use crate::notify::{feishu, wecom};

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The text of a mail, and the plainest form of every chat message.
    Plain,
    /// The subject of a mail.
    Subject,
    /// The HTML of a mail.
    Html,
    /// WeCom's markdown, the whole message.
    Wecom,
    /// The first screen of Feishu's card: what stands between its header and what is folded away.
    Feishu,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Subject, Self::Html, Self::Wecom, Self::Feishu];

    /// The name of its template's file.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Plain => "plain.txt.j2",
            Self::Subject => "subject.txt.j2",
            Self::Html => "mail.html.j2",
            Self::Wecom => "wecom.md.j2",
            Self::Feishu => "feishu.md.j2",
        }
    }

    /// The part that a template of this path is for.
    pub(super) fn of(path: &str) -> Option<Self> {
        let file = path.rsplit('/').next()?;
        Self::ALL.into_iter().find(|part| part.file() == file)
    }

    /// Whether its sections and links are there in its own markup.
    pub(super) fn is_markdown(self) -> bool {
        matches!(self, Self::Wecom | Self::Feishu)
    }

    /// Text of others, written so that the part's product reads no markup in it.
    fn harmless(self, text: &str) -> String {
        match self {
            Self::Plain => defang(text),
            Self::Subject => text.to_owned(),
            Self::Html => HtmlEscape(&defang(text)).to_string(),
            Self::Wecom => wecom::escape(text),
            Self::Feishu => feishu::escape(text),
        }
    }
}

/// Writes every value by the rules of the part whose template it stands in. A template has no way around it: the filters
/// that would give one are taken away, and `autoescape false` changes nothing.
pub(super) fn write(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    let text = value.to_string();
    let part = Part::of(state.name()).filter(|_| !value.is_safe());
    out.write_str(&part.map_or_else(|| text.clone(), |part| part.harmless(&text))).map_err(minijinja::Error::from)
}

/// What makes the engine take a macro's output for what it is, text that was written by these rules already.
pub(super) fn escaping(_: &str) -> AutoEscape {
    AutoEscape::Custom("firstlook".into())
}
