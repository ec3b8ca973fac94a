//! From a notice to the card Feishu shows; pure.

use jiff::Timestamp;

use super::wire::{
    Behavior, Body, Border, Card, CardConfig, Column, Content, Element, Header, Icon, PanelHeader, PlainText, Summary,
    TextContent, TextTag,
};
use super::{chart, markup};
use crate::notify::attachment;
use crate::notify::layout::{Layout, Part};
use crate::notify::notice::Notice;
use crate::notify::plain;
use crate::notify::send::Form;
use crate::notify::story::{Block, Caps, Link, Role, Section, Span, Story, tell};

/// Bytes of the serialised content. Feishu documents 20 kB for the request; signature and doubt take the rest.
pub const BUDGET: usize = 17_800;

/// The content of a message in one form; `None` when it does not fit in that form.
#[must_use]
pub fn content(notice: &Notice, now: Timestamp, form: Form, keyword: Option<&str>, layout: &Layout) -> Option<Content> {
    let interactive =
        |story: &Story, charted| Content::Interactive { card: Box::new(card(notice, story, keyword, layout, charted)) };
    let told = |caps: Caps| {
        let mut story = tell(notice, now, caps);
        attachment::say_what_is_cut(notice, &mut story, now);
        story
    };
    let caps = Caps::page(form);
    match form {
        // Who else is hit is worth more than a chart, whose sparkline stays.
        Form::Full => [caps.naming_all(), caps]
            .into_iter()
            .map(told)
            .find_map(|story| [true, false].into_iter().map(|charted| interactive(&story, charted)).find(fits)),
        Form::Compact => {
            let mut story = told(caps);
            loop {
                let card = interactive(&story, false);
                if fits(&card) {
                    return Some(card);
                }
                if !story.give_up_a_fold() {
                    return None;
                }
            }
        }
        Form::Plain => Some(text(notice, &told(caps), keyword, layout)),
    }
}

/// The content with these users called by name, above everything else. Ids were checked when they were configured.
#[must_use]
pub fn calling(mut content: Content, users: &[String]) -> Content {
    if users.is_empty() {
        return content;
    }
    match &mut content {
        Content::Interactive { card } => call_on(card, users),
        Content::Text { content } => call_in(&mut content.text, users),
    }
    content
}

/// Calls these users above everything else on a card.
pub(super) fn call_on(card: &mut Card, users: &[String]) {
    if !users.is_empty() {
        let tags: Vec<String> = users.iter().map(|user| format!("<at id={user}></at>")).collect();
        card.body.elements.insert(0, markdown(tags.join(" "), None));
    }
}

/// Gives a card a text that may grow, beneath the alert; it stays while the card is not replaced.
pub(super) fn let_grow(card: &mut Card, id: &'static str, begins: String) {
    card.config.streaming_mode = Some(true);
    let growing = Element::Markdown { content: begins, text_size: Some("notation"), element_id: Some(id) };
    card.body.elements.insert(1.min(card.body.elements.len()), growing);
}

/// Calls these users at the beginning of a text, in which the tag is another one than on a card.
pub(super) fn call_in(text: &mut String, users: &[String]) {
    let tags: String = users.iter().map(|user| format!("<at user_id=\"{user}\"></at> ")).collect();
    text.insert_str(0, &tags);
}

/// The richest content that fits, as it would be sent first.
#[must_use]
pub fn richest(notice: &Notice, now: Timestamp, keyword: Option<&str>, layout: &Layout) -> Content {
    [Form::Full, Form::Compact]
        .into_iter()
        .find_map(|form| content(notice, now, form, keyword, layout))
        .unwrap_or_else(|| text(notice, &tell(notice, now, Caps::page(Form::Plain)), keyword, layout))
}

fn fits(content: &Content) -> bool {
    serde_json::to_vec(content).is_ok_and(|bytes| bytes.len() <= BUDGET)
}

fn text(notice: &Notice, story: &Story, keyword: Option<&str>, layout: &Layout) -> Content {
    let mut text = words(notice, story, layout);
    if let Some(keyword) = keyword.filter(|keyword| !text.contains(*keyword)) {
        text.push_str(&format!("\n{keyword}"));
    }
    Content::Text { content: TextContent { text } }
}

/// A story as plain text that is read as no tag. JSON escapes at most double a character that survives cleaning.
pub(super) fn words(notice: &Notice, story: &Story, layout: &Layout) -> String {
    plain::by(layout, notice, story, BUDGET / 2 - 200).replace('<', "＜")
}

/// A story as a card, with a chart of what the alert measures when there is room for one. Its first screen may be the
/// operator's; what frames it is what Feishu wants of a card.
pub(super) fn card(notice: &Notice, story: &Story, keyword: Option<&str>, layout: &Layout, charted: bool) -> Card {
    let mut elements: Vec<Element> = match layout.render(Part::Feishu, notice, story) {
        Some(own) => vec![markdown(own, None)],
        None => story.lead.iter().map(|section| lead(story, section)).collect(),
    };
    let series = notice.report().and_then(|report| report.series.first()).filter(|_| charted);
    let chart = series.and_then(|series| chart::chart(series, notice.lang, &notice.timezone));
    // Below the cause and the first step: what to do comes before what it looks like.
    elements.extend(chart);
    elements.extend(story.folds.iter().map(fold));
    if !story.links.is_empty() {
        elements.push(buttons(&story.links));
    }
    // The first screen shows the reader's own time; here it stands as everybody else says it.
    let moments: Vec<&str> = story.moments().collect();
    let moments = Some(moments.join(" – ")).filter(|said| !said.is_empty());
    let footer: Vec<&str> = story.footer.iter().chain(&moments).chain(&story.shortened).map(String::as_str).collect();
    let footer = markup::escape(&footer.join(" · "));
    elements.push(markdown(format!("<font color='grey'>{footer}</font>"), Some("notation")));
    let config = CardConfig {
        update_multi: true,
        streaming_mode: None,
        width_mode: "fill",
        summary: Summary { content: story.summary.clone() },
    };
    let body = Body { direction: "vertical", vertical_spacing: "10px", elements };
    Card { schema: "2.0", config, header: header(story, keyword), body }
}

fn header(story: &Story, keyword: Option<&str>) -> Header {
    let said = [&story.title, &story.subtitle].map(String::as_str).join(" ");
    // The keyword check reads plain text; entities in markdown would hide the word from it.
    let keyword = keyword.filter(|keyword| !said.contains(*keyword)).map(str::to_owned);
    let subtitle: Vec<String> =
        Some(story.subtitle.clone()).filter(|text| !text.is_empty()).into_iter().chain(keyword).collect();
    let tags = story.badges.iter().take(3);
    Header {
        template: markup::header_colour(story.tone),
        title: plain_text(&story.title),
        subtitle: (!subtitle.is_empty()).then(|| plain_text(&subtitle.join(" · "))),
        text_tag_list: tags
            .map(|badge| TextTag { text: plain_text(&badge.text), color: markup::tag_colour(badge.tone) })
            .collect(),
    }
}

fn lead(story: &Story, section: &Section) -> Element {
    let heading = Block::Line(vec![Span::Aside(section.title.clone())]);
    let blocks: Vec<Block> = std::iter::once(heading).chain(section.blocks.iter().cloned()).collect();
    let text = markdown(markup::blocks(&blocks), None);
    if section.role != Role::Diagnosis {
        return text;
    }
    let column = Column {
        width: "weighted",
        weight: Some(1),
        background_style: Some(markup::ground(story.tone)),
        padding: Some("10px 12px 10px 12px"),
        elements: vec![text],
    };
    Element::ColumnSet { flex_mode: "none", horizontal_spacing: "8px", columns: vec![column] }
}

fn fold(section: &Section) -> Element {
    Element::CollapsiblePanel {
        expanded: false,
        header: PanelHeader {
            title: plain_text(&section.title),
            vertical_align: "center",
            padding: "4px 8px 4px 8px",
            icon: Icon { token: "down-small-ccm_outlined", size: "16px 16px" },
            icon_position: "right",
            icon_expanded_angle: -180,
        },
        border: Border { color: "grey", corner_radius: "6px" },
        vertical_spacing: "8px",
        padding: "8px 8px 8px 8px",
        elements: vec![markdown(markup::blocks(&section.blocks), None)],
    }
}

fn buttons(links: &[Link]) -> Element {
    let column = |link: &Link| Column {
        width: "auto",
        weight: None,
        background_style: None,
        padding: None,
        elements: vec![Element::Button {
            r#type: if link.primary { "primary" } else { "default" },
            text: plain_text(&link.label),
            behaviors: Some(vec![Behavior::OpenUrl { default_url: link.url.clone() }]),
            name: None,
            form_action_type: None,
            confirm: None,
        }],
    };
    Element::ColumnSet { flex_mode: "flow", horizontal_spacing: "8px", columns: links.iter().map(column).collect() }
}

fn markdown(content: String, text_size: Option<&'static str>) -> Element {
    Element::Markdown { content, text_size, element_id: None }
}

fn plain_text(text: &str) -> PlainText {
    PlainText { content: text.to_owned() }
}
