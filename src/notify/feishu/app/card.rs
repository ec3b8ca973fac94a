//! From a notice to the card an app keeps of an incident; pure.

use jiff::Timestamp;

use super::buttons;
use super::stream::GROWING;
use super::wire::Sealed;
use crate::alert::Alert;
use crate::notify::attachment;
use crate::notify::feishu::render;
use crate::notify::feishu::wire::TextContent;
use crate::notify::layout::Layout;
use crate::notify::live::Step;
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::send::Form;
use crate::notify::story::{Caps, Role, Story, ending, tell_in_place};
use crate::notify::text;
use crate::report::{News, Report};

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
    let caps = Caps::page(form);
    let roomy =
        (form == Form::Full).then(|| sealed_of(notice, now, (form, caps.naming_all()), beside, layout)).flatten();
    roomy.or_else(|| sealed_of(notice, now, (form, caps), beside, layout))
}

fn sealed_of(
    notice: &Notice,
    now: Timestamp,
    (form, caps): (Form, Caps),
    beside: Beside<'_>,
    layout: &Layout,
) -> Option<Sealed> {
    let mut story = story(notice, now, caps, beside);
    let mut charted = form == Form::Full;
    loop {
        let mut card = render::card(notice, &story, None, layout, charted);
        // The footer ends a card: what can be pressed stands above it, beside the links.
        let footer = card.body.elements.len().saturating_sub(1);
        card.body.elements.splice(footer..footer, buttons::of(notice, beside));
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

/// A line that says that the card shows a diagnosis now, or what is new in the one it shows.
#[must_use]
pub fn diagnosed(notice: &Notice, news: Option<&News>) -> Sealed {
    let summary = story(notice, notice.opened_at, Caps::page(Form::Plain), Beside::default()).summary;
    let lang = notice.lang;
    let news = match news {
        None => lang.pick("已有诊断，卡片已更新：", "There is a diagnosis, the card is updated: ").to_owned(),
        Some(News::Another) => {
            lang.pick("诊断有变，卡片已更新：", "The diagnosis changed, the card is updated: ").to_owned()
        }
        Some(News::Surer) => {
            lang.pick("诊断更有把握，卡片已更新：", "The diagnosis is surer now, the card is updated: ").to_owned()
        }
        Some(News::Further(object)) => {
            let object = text::said(&object.to_string(), 120);
            lang.pick(
                format!("另有可能的原因：{object}，卡片已更新。诊断仍是："),
                format!("{object} may be a cause too, the card is updated. The diagnosis is still: "),
            )
        }
    };
    line(format!("{news}{summary}"))
}

/// A line that says that the incident is over, and how long it lasted; none for a notice of anything else.
#[must_use]
pub fn ended(notice: &Notice, now: Timestamp) -> Option<Sealed> {
    ending(notice, now, Caps::page(Form::Full)).map(|said| line(format!("✅ {said}")))
}

/// That there is something to read, in words of ours alone but for the alert's name.
#[must_use]
pub fn bare(notice: &Notice) -> Sealed {
    let lang = notice.lang;
    let (alert, id) = (notice.group.leading().map_or("", Alert::name), notice.short_id());
    let place = notice.place();
    line(lang.pick(
        format!("告警 {alert}（事件 {id}）：内容被平台过滤，无法在此显示，请看 {place}"),
        format!(
            "Alert {alert} (incident {id}): the platform's filter refuses what is said of it; it stands at {place}"
        ),
    ))
}

/// A line of ours, for a thread. What it repeats calls nobody.
#[must_use]
pub fn line(said: String) -> Sealed {
    text_of(said.replace('<', "＜"))
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
    let found = told.lead.into_iter().filter(|section| section.role != Role::Alert).chain(told.folds).collect();
    let members = std::mem::replace(&mut story.folds, found);
    story.footer = told.footer;
    if attachment::is_needed(&diagnosis, story) && !story.links.iter().any(|link| link.primary) {
        story.say_shortened();
    }
    // Who shared the investigation is told as it is at the end: some came after the diagnosis.
    if members.iter().any(|section| !section.blocks.is_empty()) {
        story.folds.retain(|section| section.role != Role::Members);
        story.folds.splice(0..0, members);
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
    fn what_can_be_pressed_stands_above_the_footer() {
        let card = shown(&notice("diagnosis-pvc.en"), Beside { acts: true, ..Beside::default() });
        let elements = card["body"]["elements"].as_array().unwrap();
        let (footer, above) = elements.split_last().unwrap();
        assert!(footer["content"].as_str().unwrap().contains("Incident"), "{footer}");
        let forms = above.iter().rposition(|one| one["tag"] == "form");
        assert_eq!(forms, Some(above.len() - 1), "{card:#}");
    }

    #[test]
    fn the_end_is_one_line_with_what_was_investigated_as_well() {
        let said = |notice: &Notice| {
            let content: Value = serde_json::from_str(&ended(notice, now()).unwrap().content).unwrap();
            content["text"].as_str().unwrap().to_owned()
        };
        let mut over = notice("resolved.zh");
        assert!(said(&over).starts_with("✅ 已恢复，共持续 1 小时 42 分钟："), "{}", said(&over));
        over.meanwhile.led = vec!["KubePodNotReady · Pod shop/web-0".to_owned()];
        assert!(said(&over).ends_with("（一并研判的告警：KubePodNotReady · Pod shop/web-0）"), "{}", said(&over));
        for text in [said(&over), said(&notice("resolved.en"))] {
            assert_eq!(text.lines().count(), 1, "{text}");
        }
        assert!(said(&notice("resolved.en")).starts_with("✅ Resolved after 1 h 42 min: "));
        assert!(ended(&notice("diagnosis-pvc.en"), now()).is_none());
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
