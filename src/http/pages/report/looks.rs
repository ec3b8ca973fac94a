//! The looks at an incident in its timeline: when each was asked for, how it ended, and what is under way.

use jiff::Timestamp;

use super::timeline::{Moment, Teller};
use crate::alert::Lang;
use crate::notify::story::Tone;
use crate::notify::text;
use crate::store::{IncidentDetail, IncidentState, Investigation, InvestigationState, PastLook};
use crate::times;

/// One look, whether another followed it or not.
struct Look<'a> {
    number: u64,
    state: InvestigationState,
    attempts: u64,
    error: Option<&'a str>,
    asked_at: Timestamp,
    /// When it may be begun, while it waits.
    due_at: Timestamp,
    /// None while it goes on, and where nobody knows.
    ended_at: Option<Timestamp>,
    /// Whether it took the place of an earlier one's result.
    replaces: bool,
}

impl<'a> Look<'a> {
    fn past(one: &'a PastLook, before: &[PastLook]) -> Self {
        Self {
            number: one.number,
            state: one.state,
            attempts: one.attempts,
            error: one.last_error.as_deref(),
            asked_at: one.asked_at,
            due_at: one.asked_at,
            ended_at: one.ended_at,
            replaces: led_to_a_report(before),
        }
    }

    fn last(one: &'a Investigation, before: &[PastLook]) -> Self {
        let ended = !matches!(one.state, InvestigationState::Ready | InvestigationState::Running);
        Self {
            number: before.len() as u64 + 1,
            state: one.state,
            attempts: one.attempts,
            error: one.last_error.as_deref(),
            asked_at: one.asked_at,
            due_at: one.due_at,
            ended_at: one.ended_at.or(ended.then_some(one.asked_at)),
            replaces: led_to_a_report(before),
        }
    }

    fn is_first(&self) -> bool {
        self.number == 1
    }

    /// Whether it only waits to be begun.
    fn waits(&self) -> bool {
        self.state == InvestigationState::Ready && self.attempts == 0
    }
}

fn led_to_a_report(looks: &[PastLook]) -> bool {
    looks.iter().any(|look| look.state == InvestigationState::Done)
}

impl Teller<'_> {
    /// Every look in order. What was asked of the tools is listed with the last that led to a report, or with what goes on.
    pub(super) fn looks(&self, last: &Investigation, detail: &IncidentDetail) -> Vec<Moment> {
        let past = detail.looks.iter().enumerate().map(|(index, one)| Look::past(one, &detail.looks[..index]));
        let all: Vec<Look<'_>> = past.chain([Look::last(last, &detail.looks)]).collect();
        let mut moments: Vec<(bool, Moment)> = all.iter().flat_map(|look| self.look(look)).collect();
        if let Some((_, moment)) = moments.last_mut() {
            let is_open = detail.incident.state == IncidentState::Open;
            let is_given_up = last.state == InvestigationState::Dead && is_open;
            let label = self.lang.pick("重新研判", "Investigate again");
            moment.again = is_given_up.then(|| self.button("again".to_owned(), label)).flatten();
        }
        let is_found = detail.incident.report.is_some() || detail.first_look.is_some();
        let done = moments.iter().rposition(|(is_done, _)| *is_done).or(moments.len().checked_sub(1));
        if let Some((_, moment)) = done.and_then(|place| moments.get_mut(place)) {
            moment.calls = is_found && !detail.evidence.is_empty();
        }
        moments.into_iter().map(|(_, moment)| moment).collect()
    }

    /// When a look was asked for, and where it stands; with each whether it led to a report.
    fn look(&self, look: &Look<'_>) -> Vec<(bool, Moment)> {
        let is_done = look.state == InvestigationState::Done;
        let asked = self.asked(look).map(|moment| (false, moment));
        let stands = self.stands(look).map(|(at, tone, what)| {
            let detail = self.beside(look).join(" · ");
            (is_done, Moment { detail, error: self.failure(look), ..self.moment(at, tone, what.to_owned()) })
        });
        asked.into_iter().chain(stands).collect()
    }

    /// That a look was asked for, where that is not all there is to say of it.
    fn asked(&self, look: &Look<'_>) -> Option<Moment> {
        let lang = self.lang;
        let what = match look.is_first() {
            true => lang.pick("排队研判", "Investigation queued"),
            false if look.state == InvestigationState::Running || look.waits() => return None,
            false => lang.pick("再次研判排队", "Queued to be looked at once more"),
        };
        Some(self.moment(look.asked_at, Tone::Blue, what.to_owned()))
    }

    /// Where a look stands, and since or until when. Nothing when it only waits to be begun, which was told already, or ended
    /// nobody knows when.
    fn stands(&self, look: &Look<'_>) -> Option<(Timestamp, Tone, &'static str)> {
        let lang = self.lang;
        Some(match (look.state, look.is_first()) {
            (InvestigationState::Done, _) => (look.ended_at?, Tone::Green, lang.pick("研判完成", "Investigation done")),
            (InvestigationState::Dead, _) => {
                (look.ended_at?, Tone::Red, lang.pick("研判失败，不再重试", "Investigation given up"))
            }
            (InvestigationState::Cancelled, true) => {
                (look.ended_at?, Tone::Grey, lang.pick("研判取消：事件已恢复", "Not investigated: it resolved first"))
            }
            (InvestigationState::Cancelled, false) => (
                look.ended_at?,
                Tone::Grey,
                lang.pick("不再复查：事件已恢复", "Not looked at again: it resolved first"),
            ),
            (InvestigationState::Running, true) => {
                (look.asked_at, Tone::Blue, lang.pick("正在研判", "Being investigated"))
            }
            (InvestigationState::Running, false) => {
                (look.asked_at, Tone::Blue, lang.pick("正在再次研判", "Being looked at once more"))
            }
            (InvestigationState::Ready, _) if look.attempts > 0 => {
                (look.due_at, Tone::Orange, lang.pick("研判失败，将重试", "Investigation failed, to be tried again"))
            }
            (InvestigationState::Ready, true) => return None,
            (InvestigationState::Ready, false) => {
                (look.asked_at, Tone::Blue, lang.pick("将再次研判", "To be looked at once more"))
            }
        })
    }

    /// Which look it is, when one that waits begins, and how often it was tried.
    fn beside(&self, look: &Look<'_>) -> Vec<String> {
        let (lang, number) = (self.lang, look.number);
        let is_done = look.state == InvestigationState::Done;
        let which = match look.is_first() || !is_done {
            true => None,
            false if look.replaces => Some(lang.pick(
                format!("第 {number} 次研判，取代了前一次的结果"),
                format!("look {number}, which replaces the one before"),
            )),
            false => Some(lang.pick(format!("第 {number} 次研判"), format!("look {number}"))),
        };
        let due = Some(look.due_at).filter(|due| look.waits() && *due > look.asked_at);
        let due = due.and_then(|due| times::moment(due, self.zone));
        let due = due.map(|due| lang.pick(format!("{due} 开始"), format!("begins {due}")));
        let attempts = (look.attempts > 1)
            .then(|| lang.pick(format!("第 {} 次尝试", look.attempts), format!("attempt {}", look.attempts)));
        [which, due, attempts].into_iter().flatten().collect()
    }

    fn failure(&self, look: &Look<'_>) -> String {
        let error = look.error.map_or_else(String::new, |error| text::line(error, 600));
        match self.lang {
            Lang::Zh if !error.is_empty() => format!("程序记录的原因：{error}"),
            _ => error,
        }
    }
}
