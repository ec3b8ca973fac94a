//! What a Feishu app shows of a notice: its card in each state a person may meet it in, and what it says in the thread.

use jiff::Timestamp;
use serde_json::Value;

use super::card::feishu;
use super::posted::Shown;
use crate::notify::feishu::app::card::{Beside, diagnosed, ended, plain, sealed};
use crate::notify::feishu::app::wire::Sealed;
use crate::notify::feishu::app::{GROWING, steps};
use crate::notify::layout::Layout;
use crate::notify::live::Step;
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::send::Form;
use crate::report::{News, Report};

/// The card as it is put first: in the richest form that fits, or in words where no card takes it. Somebody may press.
#[must_use]
pub fn card(notice: &Notice, now: Timestamp, known: Option<&Report>, layout: &Layout) -> Sealed {
    with(notice, now, Beside { known, acts: true, ..Beside::default() }, layout)
}

fn with(notice: &Notice, now: Timestamp, beside: Beside<'_>, layout: &Layout) -> Sealed {
    let forms = [Form::Full, Form::Compact];
    let card = forms.into_iter().find_map(|form| sealed(notice, now, form, beside, layout));
    card.unwrap_or_else(|| plain(notice, now, beside.users, layout))
}

/// The card in every state, and what stands beneath it in its thread; `known` is what was found of an incident that is
/// over.
pub fn states(notice: &Notice, now: Timestamp, known: Option<&Report>, layout: &Layout) -> Vec<Shown> {
    let (lang, zone) = (notice.lang, notice.timezone.as_str());
    let show = |caption: &str, sealed: &Sealed| Shown {
        caption: caption.to_owned(),
        bytes: sealed.content.len(),
        html: feishu(&unsealed(sealed), zone),
    };
    if notice.joins() {
        let caption = lang.pick("加入的告警，在话题里回复", "an alert that joins, told in the card's thread");
        return vec![show(caption, &with(notice, now, Beside::default(), layout))];
    }
    let whole = lang.pick("应用卡片，原地更新", "an app's card, changed in place");
    let mut shown = vec![show(whole, &card(notice, now, known, layout))];
    let thread = lang.pick("话题里的回复", "the reply in its thread");
    match &notice.body {
        NoticeBody::Alert { investigating: true, .. } => {
            let step = step(notice, now);
            let reading = Beside { step: Some(&step), acts: true, ..Beside::default() };
            let caption = lang.pick("同一张卡片，调查进行中", "the same card while it is investigated");
            shown.push(show(caption, &with(notice, now, reading, layout)));
            let typing = with(notice, now, Beside { acts: true, streams: true, ..Beside::default() }, layout);
            let caption = lang.pick("`stream: true`：步骤逐字写上", "`stream: true`: steps are typed on");
            shown.push(show(caption, &grown(typing, &step)));
        }
        NoticeBody::Diagnosis { .. } => shown.push(show(thread, &diagnosed(notice, Some(&News::Another)))),
        NoticeBody::Resolved { .. } => shown.extend(ended(notice, now).map(|line| show(thread, &line))),
        _ => {}
    }
    shown
}

/// An investigation that has read a few things.
fn step(notice: &Notice, now: Timestamp) -> Step {
    let read = ["events_list", "pods_get", "resources_list", "pods_log"].map(str::to_owned).to_vec();
    let tool = "pods_log".to_owned();
    Step { read: read.len(), tool, tools: read, since: notice.opened_at.max(now - jiff::SignedDuration::from_secs(23)) }
}

/// A card whose text has grown to these steps.
fn grown(mut card: Sealed, step: &Step) -> Sealed {
    if let Ok(mut content) = serde_json::from_str::<Value>(&card.content) {
        let elements = content.pointer_mut("/body/elements").and_then(Value::as_array_mut);
        for element in elements.into_iter().flatten().filter(|element| element["element_id"] == GROWING) {
            element["content"] = steps(step).into();
        }
        card.content = content.to_string();
    }
    card
}

/// The content as the bot's messages have it, which is what is drawn.
fn unsealed(sealed: &Sealed) -> Value {
    let content: Value = serde_json::from_str(&sealed.content).unwrap_or_default();
    match sealed.msg_type {
        "interactive" => serde_json::json!({"card": content}),
        _ => serde_json::json!({"content": content}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::notice;

    #[test]
    fn a_card_is_shown_in_each_state_with_what_can_be_pressed() {
        let shown = |name: &str, known| states(&notice(name), now(), known, &Layout::default());
        let waiting = shown("alert-waiting.en", None);
        assert_eq!(waiting.len(), 3, "received, investigated, typed on");
        assert!(
            waiting[1].html.contains("4 results read") && waiting[2].html.contains("events"),
            "{}",
            waiting[2].html
        );
        let diagnosis = shown("diagnosis-pvc.en", None);
        assert!(diagnosis[0].html.contains("Investigate again") && diagnosis[0].html.contains("Not useful"));
        assert!(diagnosis[1].html.contains("The diagnosis changed"), "{}", diagnosis[1].html);
        assert!(!shown("summary.en", None)[0].html.contains("Investigate again"), "it is about no one incident");
        let found = notice("diagnosis-pvc.en");
        let over = shown("resolved.en", found.report());
        assert!(over[0].html.contains("Not useful") && !over[0].html.contains("Investigate again"), "it is over");
        assert_eq!(over.len(), 2);
        let mut joined = notice("alert-waiting.en");
        joined.body = NoticeBody::Alert { report: None, investigating: false, missing: Vec::new() };
        let joined = states(&joined, now(), None, &Layout::default());
        assert!(joined.len() == 1 && joined[0].caption.contains("thread"), "{joined:?}");
        assert!(!joined[0].html.contains("Investigate again"), "the buttons are on the card");
    }

    fn now() -> Timestamp {
        crate::notify::fixtures::now()
    }
}
