//! What happened, in order: deliveries with what was decided, the investigation with its calls, messages with their errors.

use jiff::Timestamp;
use serde::Serialize;

use super::super::words;
use crate::alert::Lang;
use crate::notify::rule::Rule;
use crate::notify::story::words::counted;
use crate::notify::story::{Badge, Tone};
use crate::notify::{send, text};
use crate::store::{Changes, Decision, Delivery, IncidentDetail, Named, NoticeState, OutboxEntry, PressEntry};
use crate::times;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Moment {
    #[serde(skip)]
    pub(super) at: Timestamp,
    pub(super) time: String,
    pub(super) tone: Tone,
    pub(super) what: String,
    pub(super) badge: Option<Badge>,
    pub(super) detail: String,
    pub(super) error: String,
    /// Whether the calls of the investigation are listed here.
    pub(super) calls: bool,
    /// What was given up can be had once more by this button, by whoever may press it.
    pub(super) again: Option<Button>,
}

/// A button of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Button {
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
    moments.extend(detail.investigation.iter().flat_map(|one| teller.looks(one, detail)));
    moments.extend(detail.notices.iter().map(|notice| teller.message(notice)));
    moments.extend(presses.iter().map(|press| teller.press(press)));
    moments.sort_by_key(|moment| moment.at);
    moments
}

/// Puts what happened into words.
pub(super) struct Teller<'a> {
    pub(super) lang: Lang,
    pub(super) zone: &'a str,
    /// Whether whoever reads may have done again what was given up.
    may_act: bool,
}

impl Teller<'_> {
    pub(super) fn moment(&self, at: Timestamp, tone: Tone, what: String) -> Moment {
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

    pub(super) fn button(&self, path: String, label: &'static str) -> Option<Button> {
        self.may_act.then_some(Button { path, label })
    }

    /// Deliveries that follow each other with the same decision and reason are told once.
    fn deliveries(&self, deliveries: &[Delivery]) -> Vec<Moment> {
        let same =
            |a: &Delivery, b: &Delivery| (a.decision, &a.reason, &a.changes) == (b.decision, &b.reason, &b.changes);
        deliveries.chunk_by(same).filter_map(|run| self.delivery(run.first()?, run.last()?, run.len())).collect()
    }

    fn delivery(&self, first: &Delivery, last: &Delivery, times: usize) -> Option<Moment> {
        let lang = self.lang;
        let some_ended = first.rules.iter().any(|applied| applied.rule == Rule::SomeEnded);
        let tone = match first.decision {
            Decision::Opened | Decision::Joined => Tone::Red,
            Decision::Resolved => Tone::Green,
            Decision::Merged if some_ended => Tone::Green,
            Decision::Merged | Decision::Suppressed => Tone::Grey,
        };
        let decided = if some_ended { words::some_ended(lang) } else { words::decision(lang, first.decision) };
        let what = lang.pick(format!("收到告警，{decided}"), format!("Delivery: {decided}"));
        let mut said = vec![lang.pick(format!("{} 条告警", first.alerts), counted(first.alerts as u64, "alert"))];
        said.extend(Some(self.why(first)).filter(|reason| !reason.is_empty()));
        if times > 1 {
            let until = self::times::moment(last.received_at, self.zone)?;
            said.push(lang.pick(format!("共 {times} 次，最后一次 {until}"), format!("{times} times, last {until}")));
        }
        Some(Moment { detail: said.join(" · "), ..self.moment(first.received_at, tone, what) })
    }

    /// Why it was decided so. The sentence the store keeps is English; its rules are words of every language.
    fn why(&self, delivery: &Delivery) -> String {
        if self.lang == Lang::En {
            return text::line(&delivery.reason, 700);
        }
        let rules = delivery.rules.iter().filter(|applied| applied.rule != Rule::SomeEnded);
        let rules = rules.map(|applied| {
            let wait = applied.seconds.and_then(|seconds| i64::try_from(seconds).ok());
            let wait = wait.map_or_else(String::new, |seconds| format!("（{}）", times::duration(self.lang, seconds)));
            format!("{}{wait}", words::rule(applied.rule))
        });
        let Changes { joined, ended } = &delivery.changes;
        let joined =
            Some(joined).filter(|named| !named.is_empty()).map(|named| format!("新告警：{}", in_chinese(named)));
        let ended = Some(ended).filter(|named| !named.is_empty()).map(|named| format!("已恢复：{}", in_chinese(named)));
        joined.into_iter().chain(ended).chain(rules).collect::<Vec<_>>().join("；")
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
            error: text::line(&send::told_whole(lang, notice.last_error.as_deref().unwrap_or_default()), 600),
            again: (notice.state == NoticeState::Dead)
                .then(|| self.button(format!("messages/{}/again", notice.id), lang.pick("重新发送", "Send again")))
                .flatten(),
            ..self.moment(notice.sent_at.unwrap_or(notice.due_at), tone, what)
        }
    }
}

/// Alerts by name; what the store keeps of them is somebody else's text.
fn in_chinese(named: &Named) -> String {
    let names: Vec<String> = named.alerts.iter().map(|name| text::line(name, 160)).collect();
    let all = named.alerts.len() + named.more;
    let count = if named.more > 0 { format!(" 等 {all} 条") } else { String::new() };
    format!("{}{count}", names.join("、"))
}
