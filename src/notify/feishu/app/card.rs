//! From a notice to the card an app keeps of an incident; pure.

use jiff::Timestamp;

use super::buttons;
use super::stream::GROWING;
use super::wire::Sealed;
use crate::notify::attachment;
use crate::notify::feishu::render;
use crate::notify::feishu::wire::TextContent;
use crate::notify::layout::Layout;
use crate::notify::live::Step;
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::send::Form;
use crate::notify::story::{Caps, Role, Story, tell_in_place};
use crate::report::Report;

/// Bytes of a card as it is sent, JSON within JSON. The platform takes 30 kB of the card and stores more than is sent.
pub const BUDGET: usize = 28_000;

/// What a card shows beside the notice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The diagnosis so far: an incident that is over still shows it.
    pub known: Option<&'a Report>,
    /// What the investigation does now.
    pub step: Option<&'a Step>,
    /// Whether the card has buttons that act.
    pub acts: bool,
    /// Who is called by name; on what is sent anew only, because a change rings nobody's phone.
    pub users: &'a [String],
    /// Whether the card has a text that grows while it is investigated.
    pub streams: bool,
}

/// A notice as a card in one form; `None` when it does not fit in that form. There is no plain card.
#[must_use]
pub fn sealed(notice: &Notice, now: Timestamp, form: Form, beside: Beside<'_>, layout: &Layout) -> Option<Sealed> {
    let mut story = story(notice, now, Caps::page(form), beside);
    let mut charted = form == Form::Full;
    loop {
        let mut card = render::card(notice, &story, None, layout, charted);
        card.body.elements.extend(buttons::of(notice, beside));
        if beside.streams {
            let begins = notice.lang.pick("正在读取集群…", "reading the cluster…").to_owned();
            render::let_grow(&mut card, GROWING, begins);
        }
        render::call_on(&mut card, beside.users);
        let content = serde_json::to_string(&card).ok()?;
        if serde_json::to_string(&content).is_ok_and(|escaped| escaped.len() <= BUDGET) {
            return Some(Sealed { msg_type: "interactive", content });
        }
        // The chart goes first: its sparkline stays.
        let gave_up = std::mem::take(&mut charted) || (form != Form::Full && story.give_up_a_fold());
        if !gave_up {
            return None;
        }
    }
}

/// A notice as plain text, which calls these users by name.
#[must_use]
pub fn plain(notice: &Notice, now: Timestamp, users: &[String], layout: &Layout) -> Sealed {
    let mut text = render::words(notice, &story(notice, now, Caps::page(Form::Plain), Beside::default()), layout);
    render::call_in(&mut text, users);
    text_of(text)
}

/// A line that says that the card shows a diagnosis now, or another one than before.
#[must_use]
pub fn diagnosed(notice: &Notice, again: bool) -> Sealed {
    let summary = story(notice, notice.opened_at, Caps::page(Form::Plain), Beside::default()).summary;
    let news = match again {
        true => notice.lang.pick("诊断有变，卡片已更新：", "The diagnosis changed, the card is updated: "),
        false => notice.lang.pick("已有诊断，卡片已更新：", "There is a diagnosis, the card is updated: "),
    };
    text_of(format!("{news}{summary}").replace('<', "＜"))
}

fn text_of(text: String) -> Sealed {
    // A struct with one string cannot fail to be JSON.
    let content = serde_json::to_string(&TextContent { text }).unwrap_or_default();
    Sealed { msg_type: "text", content }
}

fn story(notice: &Notice, now: Timestamp, caps: Caps, beside: Beside<'_>) -> Story {
    let mut story = match beside.acts {
        // The button silences without a detour, so the link that does is left out.
        true => tell_in_place(&Notice { alertmanager_url: None, ..notice.clone() }, now, caps, beside.step),
        false => tell_in_place(notice, now, caps, beside.step),
    };
    if let (NoticeBody::Resolved { .. }, Some(known)) = (&notice.body, beside.known) {
        keep_diagnosis(&mut story, notice, known, now, caps);
    }
    attachment::say_what_is_cut_in_place(notice, &mut story, now);
    story
}

/// The card of an incident that is over keeps what was found, folded: an edit must not take the diagnosis away.
fn keep_diagnosis(story: &mut Story, notice: &Notice, known: &Report, now: Timestamp, caps: Caps) {
    let diagnosis = Notice { body: NoticeBody::Diagnosis { report: Box::new(known.clone()) }, ..notice.clone() };
    let told = tell_in_place(&diagnosis, now, caps, None);
    story.folds = told.lead.into_iter().filter(|section| section.role != Role::Alert).chain(told.folds).collect();
    story.footer = told.footer;
    if attachment::is_needed(&diagnosis, story) && !story.links.iter().any(|link| link.primary) {
        story.say_shortened();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::notify::fixtures::{ALL, notice, now};

    fn shown(notice: &Notice, beside: Beside<'_>) -> Value {
        let sealed = sealed(notice, now(), Form::Full, beside, &Layout::default()).expect("a fixture fits in full");
        serde_json::from_str(&sealed.content).expect("JSON within JSON")
    }

    #[test]
    fn an_investigation_that_goes_on_says_how_far_it_is() {
        for (lang, said) in [("zh", "已读取 7 项，最近一项 pods_log"), ("en", "7 results read, the last from pods_log")]
        {
            let since = now() - jiff::SignedDuration::from_secs(23);
            let step = Step { read: 7, tool: "pods_log".into(), tools: Vec::new(), since };
            let card =
                shown(&notice(&format!("alert-waiting.{lang}")), Beside { step: Some(&step), ..Beside::default() });
            let text = card.to_string().replace("&#95;", "_");
            assert!(text.contains(said) && text.contains("23"), "{text}");
            assert!(!text.contains("再发一条") && !text.contains("second message"), "{text}");
        }
    }

    #[test]
    fn an_incident_that_is_over_keeps_its_diagnosis() {
        let diagnosis = notice("diagnosis-pvc.en");
        let card = shown(&notice("resolved.en"), Beside { known: diagnosis.report(), ..Beside::default() });
        assert_eq!(card["header"]["template"], "green");
        insta::assert_json_snapshot!("resolved-with-diagnosis.en", card);
    }

    #[test]
    fn every_form_fits_whatever_is_told() {
        for (name, _) in ALL {
            let mut notice = notice(name);
            if let Some(alert) = notice.group.alerts.first_mut() {
                alert.annotations.insert("summary".into(), "\"\\<at id=all>字".repeat(20_000));
                for number in 0..500 {
                    alert.labels.insert(format!("label{number}"), "\"\\".repeat(400));
                }
            }
            let diagnosis = crate::notify::fixtures::notice("diagnosis-pvc.zh");
            for form in [Form::Full, Form::Compact] {
                let beside = Beside { known: diagnosis.report(), acts: true, ..Beside::default() };
                if let Some(sealed) = sealed(&notice, now(), form, beside, &Layout::default()) {
                    let escaped = serde_json::to_string(&sealed.content).unwrap();
                    assert!(escaped.len() <= BUDGET, "{name} takes {} bytes", escaped.len());
                }
            }
            assert!(plain(&notice, now(), &[], &Layout::default()).content.len() <= BUDGET);
        }
    }
}
