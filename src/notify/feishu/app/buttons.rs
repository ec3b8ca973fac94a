//! The buttons of a card that act: silence, investigate again, and what people think of the diagnosis.

use super::card::Beside;
use crate::alert::{AlertStatus, Lang};
use crate::notify::feishu::wire::{Behavior, Column, Confirm, Element, Ours, PlainText};
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::press::Action;

/// Characters of a reason.
const LONGEST_REASON: u16 = 500;

/// The buttons that make sense on a notice; none when nobody may press them.
pub fn of(notice: &Notice, beside: Beside<'_>) -> Vec<Element> {
    // A press is about the one incident a card shows.
    if !beside.acts || notice.is_collective() || matches!(notice.body, NoticeBody::Test) {
        return Vec::new();
    }
    let acting: Vec<Element> = acting(notice).into_iter().map(|action| button(action, notice.lang)).collect();
    let judged = notice.report().is_some() || beside.known.is_some();
    let row = (!acting.is_empty()).then(|| row(acting));
    row.into_iter().chain(judged.then(|| feedback(notice.lang))).collect()
}

fn acting(notice: &Notice) -> Vec<Action> {
    if matches!(notice.body, NoticeBody::Resolved { .. }) {
        return Vec::new();
    }
    let silence = notice.alertmanager_url.is_some() && notice.group.status == AlertStatus::Firing;
    let again = !notice.is_investigating();
    [silence.then_some(Action::Silence), again.then_some(Action::Again)].into_iter().flatten().collect()
}

fn row(buttons: Vec<Element>) -> Element {
    let column =
        |button| Column { width: "auto", weight: None, background_style: None, padding: None, elements: vec![button] };
    Element::ColumnSet {
        flex_mode: "flow",
        horizontal_spacing: "8px",
        columns: buttons.into_iter().map(column).collect(),
    }
}

fn label(action: Action, lang: Lang) -> &'static str {
    match action {
        Action::Silence => lang.pick("静默", "Silence"),
        Action::Again => lang.pick("重新调查", "Investigate again"),
        Action::Useful => lang.pick("👍 有用", "👍 Useful"),
        Action::Useless => lang.pick("👎 没用", "👎 Not useful"),
    }
}

fn text(content: &str) -> PlainText {
    PlainText { content: content.to_owned() }
}

fn button(action: Action, lang: Lang) -> Element {
    let silencing = lang.pick("在 Alertmanager 静默这些告警？", "Silence these alerts in Alertmanager?");
    let confirm =
        (action == Action::Silence).then(|| Confirm { title: text(label(action, lang)), text: text(silencing) });
    Element::Button {
        r#type: "default",
        text: text(label(action, lang)),
        behaviors: Some(vec![Behavior::Callback { value: Ours { firstlook: action.word() } }]),
        name: None,
        form_action_type: None,
        confirm,
    }
}

/// A line for the reason and the two verdicts; a form stands at the root of a card.
fn feedback(lang: Lang) -> Element {
    let submit = |action: Action| Element::Button {
        r#type: "default",
        text: text(label(action, lang)),
        behaviors: None,
        name: Some(action.word()),
        form_action_type: Some("submit"),
        confirm: None,
    };
    let reason = Element::Input {
        name: "reason",
        placeholder: text(lang.pick("这次诊断怎么样？原因（可不填）", "How was this diagnosis? Why (optional)")),
        max_length: LONGEST_REASON,
    };
    Element::Form {
        name: "feedback",
        elements: vec![reason, row(vec![submit(Action::Useful), submit(Action::Useless)])],
    }
}
