//! The full report as a file, for messages that could not hold it.

use jiff::Timestamp;

use super::notice::Notice;
use super::story::{Caps, Role, Section, Story, tell};
use super::text;
use crate::markdown;

/// Bytes of a report's file. WeCom takes 20 MB and mail servers about 10; a report people can read stays below this.
const MOST: usize = 1 << 20;

/// A Markdown file that belongs to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name, in ASCII: `firstlook-3f9a12bc.md`.
    pub name: String,
    /// Its content.
    pub content: String,
}

/// The full report of a notice; `None` when it carries none. What others wrote is no more markup here than in a message:
/// no address becomes a link or an image, no tag is one.
#[must_use]
pub fn full_report(notice: &Notice) -> Option<Attachment> {
    let report = markdown::report(notice.report()?, notice.lang, &notice.timezone);
    let report = text::defang(&text::block(&report, MOST)).replace('<', "‹");
    Some(Attachment { name: format!("firstlook-{}.md", notice.short_id()), content: text::clip_bytes(&report, MOST) })
}

/// Whether a story leaves out something of the report: a part that was given up, or a text or list that was cut.
/// What a message leaves to our page on purpose does not count.
#[must_use]
pub fn is_needed(notice: &Notice, story: &Story) -> bool {
    // Nothing in a section depends on the moment but the alert's age, and that part does not count.
    notice.report().is_some() && lacks(notice, story, notice.opened_at, |role| role != Role::Alert)
}

/// Says at the foot of a message that something was left out, where no link leads to the whole, and why none does.
pub fn say_what_is_cut(notice: &Notice, story: &mut Story, now: Timestamp) {
    say_what_is_cut_of(notice, story, now, |_| true);
}

/// The same for a card that changes as an investigation goes on: what that is at reads otherwise there, and is no loss.
pub fn say_what_is_cut_in_place(notice: &Notice, story: &mut Story, now: Timestamp) {
    let goes_on = notice.is_investigating();
    say_what_is_cut_of(notice, story, now, |role| !goes_on || role == Role::Alert);
}

fn say_what_is_cut_of(notice: &Notice, story: &mut Story, now: Timestamp, counts: impl Fn(Role) -> bool) {
    let on_page = story.links.iter().any(|link| link.primary);
    if !on_page && story.shortened.is_none() && lacks(notice, story, now, counts) {
        story.say_shortened();
    }
}

/// Whether a part that counts is not told, or was cut. Lists say themselves how much they leave out of labels and of
/// other alerts, and of many incidents every name is told.
fn lacks(notice: &Notice, story: &Story, now: Timestamp, counts: impl Fn(Role) -> bool) -> bool {
    if notice.is_collective() {
        return false;
    }
    let on_page = story.links.iter().any(|link| link.primary);
    let counts = |section: &&Section| match section.role {
        Role::Facts | Role::Others => false,
        Role::RuledOut | Role::Members if on_page => false,
        role => counts(role),
    };
    let whole = tell(notice, now, Caps::whole());
    let told: Vec<&Section> = story.lead.iter().chain(&story.folds).collect();
    whole.lead.iter().chain(&whole.folds).filter(counts).any(|section| !told.contains(&section))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{ALL, notice, now};
    use crate::notify::layout::Layout;
    use crate::notify::notice::NoticeBody;
    use crate::notify::send::Form;
    use crate::notify::wecom::render;

    fn long() -> Notice {
        let mut notice = notice("diagnosis-pvc.zh");
        let NoticeBody::Diagnosis { report } = &mut notice.body else { unreachable!("the fixture is a diagnosis") };
        report.steps[1].detail = "先确认没有别的工作负载还在使用这个 StorageClass。".repeat(30);
        notice
    }

    #[test]
    fn a_message_that_holds_the_report_needs_no_file() {
        for (name, _) in ALL {
            let notice = notice(name);
            let (_, cut) = render::rendered(&notice, now(), Form::Full, usize::MAX, &Layout::default())
                .expect("room for everything");
            assert!(!cut, "{name} fits as it is");
        }
    }

    #[test]
    fn a_cut_text_and_a_list_that_was_given_up_both_need_the_file() {
        let (_, cut) =
            render::rendered(&long(), now(), Form::Full, usize::MAX, &Layout::default()).expect("room for everything");
        assert!(cut, "a step was cut to a line");
        let fixture = notice("diagnosis-pvc.zh");
        let (_, cut) =
            render::rendered(&fixture, now(), Form::Compact, 2_000, &Layout::default()).expect("folds can be given up");
        assert!(cut, "folds were given up");
        let (_, cut) = render::rendered(&notice("resolved.zh"), now(), Form::Plain, 2_000, &Layout::default())
            .expect("always fits");
        assert!(!cut, "there is no report to attach");
    }

    #[test]
    fn a_card_of_which_a_part_was_cut_says_so_where_no_link_leads_to_the_whole() {
        use crate::notify::feishu::render::content;
        let foot = "内容过长，已精简";
        let said = |notice: &Notice| {
            let card = content(notice, now(), Form::Full, None, &Layout::default()).expect("room for everything");
            serde_json::to_string(&card).expect("JSON").contains(foot)
        };
        let mut cut = notice("diagnosis-pvc.zh");
        cut.page_url = None;
        assert!(!said(&cut), "nothing is cut yet");
        let NoticeBody::Diagnosis { report } = &mut cut.body else { unreachable!("the fixture is a diagnosis") };
        report.steps[1].detail = "先确认没有别的工作负载还在使用这个 StorageClass。".repeat(60);
        assert!(said(&cut));
        cut.page_url = Some("https://firstlook.example.com/incidents/1".into());
        assert!(!said(&cut), "the link leads to the whole");
    }

    #[test]
    fn the_file_says_all_and_holds_no_markup_of_others() {
        let mut notice = long();
        let NoticeBody::Diagnosis { report } = &mut notice.body else { unreachable!("the fixture is a diagnosis") };
        report.impact = "![x](https://evil.example/?d=1) <img src=x> \u{1b}[31m".into();
        let file = full_report(&notice).expect("a report");
        assert_eq!(file.name, "firstlook-3f9a12bc.md");
        assert_eq!(file.content.matches("先确认没有别的工作负载还在使用这个").count(), 30);
        assert!(file.content.contains("2026-11-23 11:3") && file.content.contains("+08:00"), "{}", file.content);
        for markup in ["https://", "<img", "\u{1b}"] {
            assert!(!file.content.contains(markup), "{markup}: {}", file.content);
        }
        report_of_any_size_fits(notice);
    }

    fn report_of_any_size_fits(mut notice: Notice) {
        let NoticeBody::Diagnosis { report } = &mut notice.body else { unreachable!("the fixture is a diagnosis") };
        report.impact = "磁盘".repeat(1_000_000);
        assert!(full_report(&notice).expect("a report").content.len() <= MOST);
    }
}
