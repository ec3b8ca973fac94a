//! What happened, in order: deliveries with what was decided, the investigation with its calls, messages with their errors.

use jiff::Timestamp;
use serde::Serialize;

use super::super::words;
use crate::alert::Lang;
use crate::notify::story::{Badge, Tone};
use crate::notify::text;
use crate::store::{
    Decision, Delivery, IncidentDetail, IncidentState, Investigation, InvestigationState, NoticeState, OutboxEntry,
    PressEntry,
};
use crate::times;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Moment {
    #[serde(skip)]
    at: Timestamp,
    time: String,
    tone: Tone,
    what: String,
    badge: Option<Badge>,
    detail: String,
    error: String,
    /// Whether the calls of the investigation are listed here.
    calls: bool,
    /// What was given up can be had once more by this button, by whoever may press it.
    again: Option<Button>,
}

/// A button of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Button {
    /// Where it leads to, below the incident.
    path: String,
    label: &'static str,
}

/// Everything that happened, the earliest first.
pub(super) fn moments(
    detail: &IncidentDetail,
    presses: &[PressEntry],
    lang: Lang,
    zone: &str,
    may_act: bool,
) -> Vec<Moment> {
    let teller = Teller { lang, zone, may_act };
    let mut moments = teller.deliveries(&detail.deliveries);
    moments.extend(detail.investigation.iter().flat_map(|one| teller.investigation(one, detail)));
    moments.extend(detail.notices.iter().map(|notice| teller.message(notice)));
    moments.extend(presses.iter().map(|press| teller.press(press)));
    moments.sort_by_key(|moment| moment.at);
    moments
}

struct Teller<'a> {
    lang: Lang,
    zone: &'a str,
    /// Whether whoever reads may have done again what was given up.
    may_act: bool,
}

impl Teller<'_> {
    fn moment(&self, at: Timestamp, tone: Tone, what: String) -> Moment {
        let time = times::moment(at, self.zone).unwrap_or_default();
        Moment {
            at,
            time,
            tone,
            what,
            badge: None,
            detail: String::new(),
            error: String::new(),
            calls: false,
            again: None,
        }
    }

    fn button(&self, path: String, label: &'static str) -> Option<Button> {
        self.may_act.then_some(Button { path, label })
    }

    /// Deliveries that follow each other with the same decision and reason are told once.
    fn deliveries(&self, deliveries: &[Delivery]) -> Vec<Moment> {
        let same = |a: &Delivery, b: &Delivery| (a.decision, &a.reason) == (b.decision, &b.reason);
        deliveries.chunk_by(same).filter_map(|run| self.delivery(run.first()?, run.last()?, run.len())).collect()
    }

    fn delivery(&self, first: &Delivery, last: &Delivery, times: usize) -> Option<Moment> {
        let lang = self.lang;
        let tone = match first.decision {
            Decision::Opened | Decision::Joined => Tone::Red,
            Decision::Resolved => Tone::Green,
            Decision::Merged | Decision::Suppressed => Tone::Grey,
        };
        let decided = words::decision(lang, first.decision);
        let what = lang.pick(format!("收到告警，{decided}"), format!("Delivery: {decided}"));
        let mut said = vec![lang.pick(format!("{} 条告警", first.alerts), format!("{} alerts", first.alerts))];
        said.extend(Some(text::line(&first.reason, 300)).filter(|reason| !reason.is_empty()));
        if times > 1 {
            let until = self::times::moment(last.received_at, self.zone)?;
            said.push(lang.pick(format!("共 {times} 次，最后一次 {until}"), format!("{times} times, last {until}")));
        }
        Some(Moment { detail: said.join(" · "), ..self.moment(first.received_at, tone, what) })
    }

    fn investigation(&self, one: &Investigation, detail: &IncidentDetail) -> Vec<Moment> {
        let lang = self.lang;
        let begun = self.moment(one.created_at, Tone::Blue, lang.pick("排队研判", "Investigation queued").to_owned());
        let error = text::line(one.last_error.as_deref().unwrap_or_default(), 600);
        let attempts = match one.attempts {
            0 | 1 => String::new(),
            many => lang.pick(format!("第 {many} 次尝试"), format!("attempt {many}")),
        };
        let (at, tone, what) = match one.state {
            InvestigationState::Done => (one.ended_at, Tone::Green, lang.pick("研判完成", "Investigation done")),
            InvestigationState::Dead => {
                (one.ended_at, Tone::Red, lang.pick("研判失败，不再重试", "Investigation given up"))
            }
            InvestigationState::Cancelled => {
                (one.ended_at, Tone::Grey, lang.pick("研判取消：事件已恢复", "Not investigated: it resolved first"))
            }
            InvestigationState::Running => (None, Tone::Blue, lang.pick("正在研判", "Being investigated")),
            InvestigationState::Ready if one.attempts > 0 => (
                Some(one.due_at),
                Tone::Orange,
                lang.pick("研判失败，将重试", "Investigation failed, to be tried again"),
            ),
            InvestigationState::Ready => return vec![begun],
        };
        let last = Moment {
            detail: attempts,
            error,
            calls: one.state == InvestigationState::Done && !detail.evidence.is_empty(),
            again: (one.state == InvestigationState::Dead && detail.incident.state == IncidentState::Open)
                .then(|| self.button("again".to_owned(), lang.pick("重新研判", "Investigate again")))
                .flatten(),
            ..self.moment(at.unwrap_or(one.created_at), tone, what.to_owned())
        };
        vec![begun, last]
    }

    /// Who pressed what on a card, what they wrote beside it and what came of it.
    fn press(&self, press: &PressEntry) -> Moment {
        let (what, tone) = words::press(self.lang, &press.action);
        let (state, state_tone) = words::press_state(self.lang, press.state);
        let said = [&press.channel, &press.reason, &press.outcome].map(|said| text::line(said, 300));
        Moment {
            badge: Some(Badge { text: state.to_owned(), tone: state_tone }),
            detail: said.into_iter().filter(|said| !said.is_empty()).collect::<Vec<_>>().join(" · "),
            ..self.moment(press.pressed_at, tone, format!("{} · {what}", text::line(&press.person, 80)))
        }
    }

    fn message(&self, notice: &OutboxEntry) -> Moment {
        let lang = self.lang;
        let (state, tone) = words::notice_state(lang, notice.state);
        let channel = text::line(&notice.channel, 60);
        let what = format!("{channel} · {}", words::role(lang, notice.role));
        let mut said = Vec::new();
        if notice.attempts > 1 {
            said.push(lang.pick(format!("{} 次尝试", notice.attempts), format!("{} attempts", notice.attempts)));
        }
        said.extend(notice.form.as_deref().filter(|form| *form != "full").map(|form| match form {
            "compact" => lang.pick("精简版", "compact form").to_owned(),
            "plain" => lang.pick("纯文本", "plain text").to_owned(),
            other => text::line(other, 40),
        }));
        let waits = matches!(notice.state, NoticeState::Ready) && notice.attempts > 0;
        if waits {
            let due = times::moment(notice.due_at, self.zone).unwrap_or_default();
            said.push(lang.pick(format!("将于 {due} 重试"), format!("tried again at {due}")));
        }
        Moment {
            badge: Some(Badge { text: state.to_owned(), tone }),
            detail: said.join(" · "),
            error: text::line(notice.last_error.as_deref().unwrap_or_default(), 600),
            again: (notice.state == NoticeState::Dead)
                .then(|| self.button(format!("messages/{}/again", notice.id), lang.pick("重新发送", "Send again")))
                .flatten(),
            ..self.moment(notice.sent_at.unwrap_or(notice.due_at), tone, what)
        }
    }
}
