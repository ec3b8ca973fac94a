//! From a notice to the message WeCom shows; pure.

use jiff::Timestamp;

use super::card;
use super::config::MessageType;
use super::markup::{blocks, disc, escape};
use super::wire::{Message, Text};
use crate::notify::layout::{Layout, Part};
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::send::Form;
use crate::notify::story::{Caps, Link, Role, Section, Story, tell};
use crate::notify::text::{clip_bytes, defang, said};
use crate::notify::{attachment, mention, plain, summary};

/// Bytes of markdown. WeCom refuses more than 4 096.
pub const MARKDOWN_BUDGET: usize = 3_800;
/// Bytes of plain text. WeCom refuses more than 2 048.
pub const TEXT_BUDGET: usize = 1_900;

/// A message in one form and at most so many bytes of markdown; `None` when it does not fit.
#[must_use]
pub fn message(notice: &Notice, now: Timestamp, form: Form, budget: usize, layout: &Layout) -> Option<Message> {
    rendered(notice, now, form, budget, layout).map(|(message, _)| message)
}

/// A message of the kind the group wants, with whether it leaves out something of the report; `None` when there is none
/// in this form.
#[must_use]
pub fn of_type(
    kind: MessageType,
    notice: &Notice,
    now: Timestamp,
    form: Form,
    budget: usize,
    layout: &Layout,
) -> Option<(Message, bool)> {
    match (kind, form) {
        (MessageType::Text, Form::Full | Form::Compact) => None,
        // A card has no room for the names of many; markdown has.
        (MessageType::TemplateCard, Form::Full) if notice.is_collective() => None,
        (MessageType::TemplateCard, Form::Full) => {
            let template_card = Box::new(card::card(notice, now, Caps::note(form))?);
            Some((Message::TemplateCard { template_card }, notice.report().is_some()))
        }
        _ => rendered(notice, now, form, budget, layout),
    }
}

/// The same, with whether it leaves out something of the report, so that the full one should follow as a file.
#[must_use]
pub fn rendered(
    notice: &Notice,
    now: Timestamp,
    form: Form,
    budget: usize,
    layout: &Layout,
) -> Option<(Message, bool)> {
    let own = |story: &Story| layout.render(Part::Wecom, notice, story).unwrap_or_else(|| markdown(story));
    let story = match form {
        Form::Full => Some(note(notice, now, Form::Full)).filter(|story| own(story).len() <= budget),
        Form::Compact => [Form::Full, Form::Compact, Form::Plain]
            .into_iter()
            .find_map(|caps| without_folds(note(notice, now, caps), budget, own)),
        // A name that is cut off is told nowhere: many go as fewer then.
        Form::Plain if !plain_holds(notice, now, layout) => None,
        Form::Plain => return Some((text(notice, now, layout), notice.report().is_some())),
    }?;
    let message = Message::MarkdownV2 { markdown_v2: Text::new(own(&story)) };
    Some((message, attachment::is_needed(notice, &story)))
}

/// The richest message that fits, as it would be sent first.
#[must_use]
pub fn richest(notice: &Notice, now: Timestamp, layout: &Layout) -> Message {
    [Form::Full, Form::Compact]
        .into_iter()
        .find_map(|form| message(notice, now, form, MARKDOWN_BUDGET, layout))
        .unwrap_or_else(|| text(notice, now, layout))
}

/// The story for a chat that folds nothing away: what only rounds it off is left to our page when there is one. Labels
/// and other alerts of the group are no loss there; a hypothesis that was ruled out is said to be missing.
fn note(notice: &Notice, now: Timestamp, caps: Form) -> Story {
    let mut story = tell(notice, now, Caps::note(caps));
    let on_page = story.links.iter().any(|link| link.primary);
    if on_page {
        if story.folds.iter().any(|fold| fold.role == Role::RuledOut) {
            story.say_shortened();
        }
        story.folds.retain(|fold| fold.role < Role::Facts);
    }
    // A file may follow, and may not: the rate and the product have their say.
    attachment::say_what_is_cut(notice, &mut story, now);
    story
}

/// An address that names every label of an alert takes as much room as the diagnosis.
fn without_long_addresses(story: &mut Story) {
    const LONG_ADDRESS: usize = 160;
    story.links.retain(|link| link.primary || link.url.len() <= LONG_ADDRESS);
}

/// Gives up long addresses (a silence names every label), then folds, least needed first, until the rest fits.
fn without_folds(mut story: Story, budget: usize, markdown: impl Fn(&Story) -> String) -> Option<Story> {
    without_long_addresses(&mut story);
    loop {
        if markdown(&story).len() <= budget {
            return Some(story);
        }
        if !story.give_up_a_fold() {
            return None;
        }
    }
}

/// Whether plain text holds what must not be cut: the names of a message that stands for many.
fn plain_holds(notice: &Notice, now: Timestamp, layout: &Layout) -> bool {
    let NoticeBody::Summary { told, .. } = &notice.body else { return true };
    told.len() <= summary::SURE || {
        let mut story = tell(notice, now, Caps::note(Form::Plain));
        without_long_addresses(&mut story);
        harmless(&plain::by(layout, notice, &story, usize::MAX)).len() <= TEXT_BUDGET
    }
}

fn text(notice: &Notice, now: Timestamp, layout: &Layout) -> Message {
    let told = |caps| {
        let mut story = tell(notice, now, Caps::note(caps));
        attachment::say_what_is_cut(notice, &mut story, now);
        // Text shows an address in all its length.
        without_long_addresses(&mut story);
        story
    };
    // The cause and the first step stand whole where they can: what merely rounds them off goes before them.
    let lead_fits = |story: &Story| {
        let mut lead = story.clone();
        while lead.give_up_a_fold() {}
        harmless(&plain::by(layout, notice, &lead, usize::MAX)).len() <= TEXT_BUDGET
    };
    let richer = [Form::Full, Form::Compact].into_iter().filter(|_| !notice.is_collective());
    let story = richer.map(told).find(lead_fits).unwrap_or_else(|| told(Form::Plain));
    let mut room = TEXT_BUDGET;
    loop {
        let said = harmless(&plain::by(layout, notice, &story, room));
        // A full-width bracket takes three bytes for one: what is over is left out of the text, so that its link stays.
        match said.len().saturating_sub(TEXT_BUDGET) {
            over if over > 0 && room > TEXT_BUDGET / 4 => room -= over.min(room / 8),
            _ => return Message::Text { text: Text::new(clip_bytes(&said, TEXT_BUDGET)) },
        }
    }
}

/// The line behind a message that calls people: markdown_v2 cannot.
#[must_use]
pub fn call(notice: &Notice, users: &[String]) -> Message {
    let title = match notice.is_collective() {
        true => notice.lang.pick("告警汇总", "several alerts"),
        false => notice.group.leading().map_or("", |alert| alert.name()),
    };
    let content = format!(
        "{}{}",
        notice.lang.pick("请看上一条：", "See above: "),
        harmless(&clip_bytes(&defang(&said(title, 120)), 200))
    );
    let name = |user: &String| if user == mention::ALL { "@all".to_owned() } else { user.clone() };
    Message::Text { text: Text { content, mentioned_list: users.iter().map(name).collect() } }
}

/// The line behind a shortened message whose report could not follow as a file.
#[must_use]
pub fn without_file(notice: &Notice) -> Message {
    let id = notice.short_id();
    let place = match &notice.page_url {
        Some(page) => page.clone(),
        None => format!("GET /api/v1/incidents/{}", notice.incident),
    };
    let content = notice.lang.pick(
        format!("事件 {id} 的完整报告文件未能上传，可在此查看：{place}"),
        format!("The full report of incident {id} could not be uploaded as a file; it is here: {place}"),
    );
    Message::Text { text: Text::new(clip_bytes(&content, TEXT_BUDGET)) }
}

fn harmless(said: &str) -> String {
    said.replace('<', "＜").replace("@all", "＠all").replace("@所有人", "＠所有人")
}

fn markdown(story: &Story) -> String {
    let badges: Vec<String> = story.badges.iter().map(|badge| escape(&badge.text)).collect();
    let mut out = format!("### {} {} · {}\n", disc(story.tone), badges.join(" · "), escape(&story.title));
    if !story.subtitle.is_empty() {
        out.push_str(&format!("{}\n", escape(&story.subtitle)));
    }
    for part in story.lead.iter().chain(&story.folds) {
        out.push_str(&section(story, part));
    }
    out.push_str("\n---\n");
    let links: Vec<String> = story.links.iter().map(link).collect();
    if !links.is_empty() {
        out.push_str(&format!("{}\n", links.join(" · ")));
    }
    let footer: Vec<String> = story.footer.iter().chain(&story.shortened).map(|part| escape(part)).collect();
    out.push_str(&footer.join(" · "));
    out
}

fn section(story: &Story, part: &Section) -> String {
    format!("\n**{}**\n{}", escape(&part.title), blocks(&part.blocks, story.lang))
}

fn link(link: &Link) -> String {
    format!("[{}]({})", escape(&link.label), link.url)
}
