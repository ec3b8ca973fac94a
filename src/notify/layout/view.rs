//! What a template sees: the story in words, and in markdown parts each section and link as its product writes it too.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, Serde};
use minijinja::{Value, context};

use super::Part;
use crate::alert::Alert;
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::story::{Block, Link, Section, Span, Story};
use crate::notify::{email, feishu, text, wecom};

/// Characters of a label's value; a template needs no more of it, and a message has no room.
const VALUE: usize = 200;

/// The variables of docs/templates.md.
pub(super) fn values(part: Part, notice: &Notice, story: &Story) -> Value {
    let opened_with = notice.opened_with.as_deref().or_else(|| notice.group.leading()).filter(|_| notice.is_of_one());
    context! {
        story => context! {
            lang => story.lang.tag(),
            tone => Serde(story.tone),
            badges => Serde(&story.badges),
            title => story.title.as_str(),
            subtitle => story.subtitle.as_str(),
            summary => story.summary.as_str(),
            lead => sections(part, story, &story.lead),
            folds => sections(part, story, &story.folds),
            links => story.links.iter().map(|one| link(part, one)).collect::<Vec<_>>(),
            footer => Serde(&story.footer),
            shortened => story.shortened.as_deref(),
        },
        kind => kind(&notice.body),
        incident => notice.short_id(),
        labels => Value::from_object(Labels::of(notice.group.leading())),
        opened_with => Value::from_object(Labels::of(opened_with)),
        subject => email::render::usual_subject(notice),
        page_url => notice.page_url.as_deref().and_then(text::web_link).map(|url| Value::from_safe_string(text::address(&url))),
    }
}

fn sections(part: Part, story: &Story, sections: &[Section]) -> Vec<Value> {
    let body = |section: &Section| match part {
        Part::Wecom => wecom::blocks(&section.blocks, story.lang),
        Part::Feishu => feishu::blocks(&section.blocks),
        Part::Plain | Part::Subject | Part::Html => String::new(),
    };
    let value = |section: &Section| {
        let blocks: Vec<Value> = section.blocks.iter().map(|one| block(part, one)).collect();
        let body = part.is_markdown().then(|| Value::from_safe_string(body(section)));
        context! { role => Serde(section.role), title => section.title.as_str(), blocks, body }
    };
    sections.iter().map(value).collect()
}

fn block(part: Part, block: &Block) -> Value {
    match block {
        Block::Line(spans) => {
            context! { kind => "line", value => spans.iter().map(|one| span(part, one)).collect::<Vec<_>>() }
        }
        Block::Item(spans) => {
            context! { kind => "item", value => spans.iter().map(|one| span(part, one)).collect::<Vec<_>>() }
        }
        Block::Command(_) | Block::Quote(_) => Value::from(Serde(block)),
    }
}

fn span(part: Part, span: &Span) -> Value {
    match span {
        Span::Link(to) => context! { kind => "link", value => link(part, to) },
        _ => Value::from(Serde(span)),
    }
}

/// Addresses were checked when the story was told: they hold nothing that ends a link.
fn link(part: Part, link: &Link) -> Value {
    let url = Value::from_safe_string(link.url.clone());
    let label = match part {
        Part::Feishu => feishu::escape(&link.label),
        _ => wecom::escape(&link.label),
    };
    let markdown = part.is_markdown().then(|| Value::from_safe_string(format!("[{label}]({})", link.url)));
    context! { label => link.label.as_str(), url, primary => link.primary, markdown }
}

fn kind(body: &NoticeBody) -> &'static str {
    match body {
        NoticeBody::Alert { .. } => "alert",
        NoticeBody::Diagnosis { .. } => "diagnosis",
        NoticeBody::Resolved { .. } => "resolved",
        NoticeBody::Digest { .. } => "digest",
        NoticeBody::Summary { .. } => "summary",
        NoticeBody::Test => "test",
    }
}

/// An alert's labels, cleaned as everything people read is. A label it does not carry is empty: which ones
/// there are is the alert's affair, and no mistake of the template.
#[derive(Debug)]
struct Labels(BTreeMap<String, String>);

impl Labels {
    fn of(alert: Option<&Alert>) -> Self {
        let labels = alert.map(|alert| &alert.labels);
        let said = |(name, value): (&String, &String)| (text::said(name, VALUE), text::said(value, VALUE));
        Self(labels.into_iter().flatten().map(said).collect())
    }
}

impl Object for Labels {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let value = self.0.get(key.as_str()?).map(String::as_str).unwrap_or_default();
        Some(Value::from(value))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(Value::from).collect())
    }
}
