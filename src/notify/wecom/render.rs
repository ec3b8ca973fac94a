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
use crate::notify::text::clip_bytes;
use crate::notify::{attachment, mention, plain, summary};

/// Bytes of markdown. WeCom refuses more than 4 096.
pub const MARKDOWN_BUDGET: usize = 3_800;
/// Bytes of plain text. WeCom refuses more than 2 048.
pub const TEXT_BUDGET: usize = 1_900;
/// Bytes of what a line that calls people says of the message above it.
const CALL_BUDGET: usize = 200;

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
        Form::Full => [Caps::unclipped_note(), Caps::roomy_note()]
            .into_iter()
            .map(|caps| note(notice, now, caps))
            .find(|roomy| own(roomy).len() <= budget)
            .or_else(|| without_what_rounds_off(note(notice, now, Caps::note(Form::Full)), budget, own)),
        Form::Compact => [Form::Full, Form::Compact, Form::Plain]
            .into_iter()
            .find_map(|form| without_folds(note(notice, now, Caps::note(form)), budget, own)),
        // A name that is cut off is told nowhere: many go as fewer then.
        Form::Plain if !plain_holds(notice, now, layout) => None,
        Form::Plain => return Some(text(notice, now, layout)),
    }?;
    let message = Message::MarkdownV2 { markdown_v2: Text::new(own(&story)) };
    Some((message, attachment::is_needed(notice, &story)))
}

/// The richest message of the kind the group wants, as it would be sent first.
#[must_use]
pub fn richest_of(kind: MessageType, notice: &Notice, now: Timestamp, layout: &Layout) -> Message {
    [Form::Full, Form::Compact]
        .into_iter()
        .find_map(|form| of_type(kind, notice, now, form, MARKDOWN_BUDGET, layout))
        .map_or_else(|| text(notice, now, layout).0, |(message, _)| message)
}

/// The richest markdown that fits.
#[must_use]
pub fn richest(notice: &Notice, now: Timestamp, layout: &Layout) -> Message {
    richest_of(MessageType::MarkdownV2, notice, now, layout)
}

/// The story for a chat that folds nothing away.
fn note(notice: &Notice, now: Timestamp, caps: Caps) -> Story {
    let mut story = tell(notice, now, caps);
    // A file may follow, and may not: the rate and the product have their say.
    attachment::say_what_is_cut(notice, &mut story, now);
    story
}

/// Leaves to our page, where there is one, what only rounds the report off, until the rest fits; all of it stays where
/// it has room.
fn without_what_rounds_off(mut story: Story, budget: usize, markdown: impl Fn(&Story) -> String) -> Option<Story> {
    while markdown(&story).len() > budget {
        if left_to_the_page(&mut story) {
            continue;
        }
        // What was ruled out is on the page too, and the message says that it is not the whole.
        if !(is_on_page(&story) && leave_out(&mut story, Role::RuledOut)) {
            return None;
        }
        story.say_shortened();
    }
    Some(story)
}

/// Leaves out the other alerts, then the labels, then who shares the investigation: where the page has them they are no loss. False when there is no page, or
/// nothing of them left.
fn left_to_the_page(story: &mut Story) -> bool {
    is_on_page(story) && [Role::Others, Role::Facts, Role::Members].into_iter().any(|role| leave_out(story, role))
}

fn is_on_page(story: &Story) -> bool {
    story.links.iter().any(|link| link.primary)
}

fn leave_out(story: &mut Story, role: Role) -> bool {
    let all = story.folds.len();
    story.folds.retain(|fold| fold.role != role);
    story.folds.len() < all
}

/// An address that names every label of an alert takes as much room as the diagnosis.
fn without_long_addresses(story: &mut Story) {
    const LONG_ADDRESS: usize = 160;
    story.links.retain(|link| link.primary || link.url.len() <= LONG_ADDRESS);
}

/// Gives up long addresses (a silence names every label), what our page has anyway, then folds, least needed first, until
/// the rest fits.
fn without_folds(mut story: Story, budget: usize, markdown: impl Fn(&Story) -> String) -> Option<Story> {
    without_long_addresses(&mut story);
    loop {
        if markdown(&story).len() <= budget {
            return Some(story);
        }
        if !left_to_the_page(&mut story) && !story.give_up_a_fold() {
            return None;
        }
    }
}

/// Whether plain text holds what must not be cut: the names of a message that stands for many.
pub(super) fn plain_holds(notice: &Notice, now: Timestamp, layout: &Layout) -> bool {
    let NoticeBody::Summary { told, .. } = &notice.body else { return true };
    summary::named(told) <= summary::SURE || {
        let mut story = tell(notice, now, Caps::note(Form::Plain));
        without_long_addresses(&mut story);
        harmless(&plain::by(layout, notice, &story, usize::MAX)).len() <= TEXT_BUDGET
    }
}

/// Plain text, with whether it leaves out something of the report.
fn text(notice: &Notice, now: Timestamp, layout: &Layout) -> (Message, bool) {
    let on_page = notice.page_url.is_some();
    let told = |caps: Caps| {
        let mut caps = caps;
        // Text shows an address in all its length: where the foot leads to all incidents, names stand alone.
        caps.links &= !(notice.is_collective() && on_page);
        let mut story = tell(notice, now, caps);
        attachment::say_what_is_cut(notice, &mut story, now);
        without_long_addresses(&mut story);
        story
    };
    // The cause and the first step stand whole where they can: what merely rounds them off goes before them.
    let lead_fits = |story: &Story| {
        let mut lead = story.clone();
        while lead.give_up_a_fold() {}
        harmless(&plain::by(layout, notice, &lead, usize::MAX)).len() <= TEXT_BUDGET
    };
    // A message that stands for many has no lead to keep: it is told in full where all of it fits.
    let fits = |story: &Story| harmless(&plain::by(layout, notice, story, usize::MAX)).len() <= TEXT_BUDGET;
    let may = |story: &Story| if notice.is_collective() { fits(story) } else { lead_fits(story) };
    let kept = |story: &Story| {
        let mut kept = story.clone();
        while !fits(&kept) && kept.give_up_a_fold() {}
        kept
    };
    // Labels and other alerts may go: what counts is the report.
    let lacks = |kept: &Story| notice.report().is_some() && (!fits(kept) || attachment::is_needed(notice, kept));
    let unclipped = told(Caps::unclipped_note());
    let whole = Some(unclipped).filter(may).map(|story| kept(&story)).filter(|kept| !lacks(kept));
    let is_whole = whole.is_some();
    let shorter = || [Form::Full, Form::Compact].into_iter().map(Caps::note).map(told).find(may);
    let story = whole.unwrap_or_else(|| kept(&shorter().unwrap_or_else(|| told(Caps::note(Form::Plain)))));
    let is_cut = !is_whole && lacks(&story);
    let mut room = TEXT_BUDGET;
    loop {
        let said = harmless(&plain::by(layout, notice, &story, room));
        // A full-width bracket takes three bytes for one: what is over is left out of the text, so that its link stays.
        match said.len().saturating_sub(TEXT_BUDGET) {
            over if over > 0 && room > TEXT_BUDGET / 4 => room -= over.min(room / 8),
            _ => return (Message::Text { text: Text::new(clip_bytes(&said, TEXT_BUDGET)) }, is_cut),
        }
    }
}

/// The line behind a message that calls people: markdown_v2 cannot.
#[must_use]
pub fn call(notice: &Notice, users: &[String]) -> Message {
    // Who is called reads this line on a locked screen: it says what it is about.
    let about = tell(notice, notice.opened_at, Caps::note(Form::Plain)).summary;
    let see = notice.lang.pick("请看上一条：", "See above: ");
    let content = format!("{see}{}", harmless(&clip_bytes(&about, CALL_BUDGET)));
    let name = |user: &String| if user == mention::ALL { "@all".to_owned() } else { user.clone() };
    Message::Text { text: Text { content, mentioned_list: users.iter().map(name).collect() } }
}

/// The line behind a shortened message whose report could not follow as a file.
#[must_use]
pub fn without_file(notice: &Notice) -> Message {
    let (id, place) = (notice.short_id(), notice.place());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{notice, now};

    /// Nothing is left out that has room, and nothing of the report without a word.
    #[test]
    fn parts_go_only_until_the_rest_fits() {
        let notice = notice("diagnosis-pvc.en");
        let mut seen = Vec::new();
        for budget in (500..9_000).step_by(20).rev() {
            let Some(Message::MarkdownV2 { markdown_v2 }) =
                message(&notice, now(), Form::Full, budget, &Layout::default())
            else {
                continue;
            };
            let has = |said: &str| markdown_v2.content.contains(said);
            let told = ["Other alerts of the group", "Labels and annotations", "Ruled out", "Shortened"].map(has);
            if seen.last() != Some(&told) {
                seen.push(told);
            }
        }
        let [all, labels, report, cut] = [
            [true, true, true, false],
            [false, true, true, false],
            [false, false, true, false],
            [false, false, false, true],
        ];
        assert_eq!(seen, [all, labels, report, cut]);
    }

    /// Text shows addresses in all their length: the foot leads to all incidents, and the list stays one.
    #[test]
    fn a_text_of_many_has_one_address() {
        for name in ["digest.zh", "summary.en", "summary-batch.zh"] {
            let (kind, budget) = (MessageType::Text, MARKDOWN_BUDGET);
            let (said, _) =
                of_type(kind, &notice(name), now(), Form::Plain, budget, &Layout::default()).expect("a text");
            let Message::Text { text } = said else { panic!("{name} is no text") };
            assert_eq!(text.content.matches("https://").count(), 1, "{name}: {}", text.content);
        }
    }

    #[test]
    fn every_label_is_told_where_there_is_room_and_a_few_where_there_is_not() {
        for (length, told) in [(8, 20), (300, 8)] {
            let mut notice = notice("alert-waiting.en");
            (notice.page_url, notice.alertmanager_url) = (None, None);
            notice.group.alerts.truncate(1);
            let label = |number: usize| (format!("aaa_{number:02}"), "x".repeat(length));
            notice.group.alerts[0].labels.extend((0..20).map(label));
            let Some(Message::MarkdownV2 { markdown_v2 }) =
                message(&notice, now(), Form::Full, MARKDOWN_BUDGET, &Layout::default())
            else {
                panic!("no markdown")
            };
            assert_eq!(markdown_v2.content.matches("**aaa").count(), told, "{}", markdown_v2.content);
        }
    }

    /// A diagnosis that says little more than its cause.
    fn brief(quote: &str) -> Notice {
        let mut notice = notice("diagnosis-pvc.en");
        let NoticeBody::Diagnosis { report } = &mut notice.body else { unreachable!("the fixture is a diagnosis") };
        report.causes.truncate(1);
        report.causes[0].evidence.truncate(1);
        report.causes[0].evidence[0].quote = quote.to_owned();
        report.steps.truncate(1);
        (report.steps[0].detail, report.impact) = (String::new(), String::new());
        report.primary.findings.clear();
        report.related.clear();
        report.ruled_out.clear();
        report.unresolved.clear();
        report.data_gaps.clear();
        report.series.clear();
        report.same_cause = None;
        notice.group.alerts.truncate(1);
        notice
    }

    #[test]
    fn a_quotation_is_not_clipped_where_it_has_room_and_no_file_goes_for_it() {
        let quote = format!("{} the end of it", "x".repeat(204));
        let (said, is_cut) = rendered(&brief(&quote), now(), Form::Full, MARKDOWN_BUDGET, &Layout::default()).unwrap();
        let Message::MarkdownV2 { markdown_v2 } = said else { panic!("no markdown") };
        assert!(markdown_v2.content.contains("the end of it") && !is_cut, "{}", markdown_v2.content);
    }

    #[test]
    fn a_text_that_holds_the_whole_report_brings_no_file() {
        let text = |notice: &Notice| {
            let (kind, layout) = (MessageType::Text, Layout::default());
            of_type(kind, notice, now(), Form::Plain, MARKDOWN_BUDGET, &layout).expect("a text")
        };
        let (Message::Text { text: said }, is_cut) = text(&brief("no such driver")) else { panic!("no text") };
        assert!(said.content.contains("no such driver") && !is_cut, "{}", said.content);
        assert!(text(&notice("diagnosis-pvc.en")).1, "this one has no room for all of it");
        assert!(text(&brief(&"x".repeat(2_000))).1);
    }

    #[test]
    fn who_is_called_reads_what_it_is_about() {
        let Message::Text { text } = call(&notice("alert-oom.zh"), &["zhangsan".to_owned()]) else { panic!("no text") };
        for said in ["请看上一条：", "严重", "KubePodCrashLooping", "cart-7c9d8b6f5-2mxkq"] {
            assert!(text.content.contains(said), "{said}: {}", text.content);
        }
        assert!(text.content.len() <= "请看上一条：".len() + CALL_BUDGET);
    }
}
