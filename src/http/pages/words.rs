//! Fixed words of the pages beside those every message uses: verdicts, states, decisions, in both languages.

use crate::alert::Lang;
use crate::notify::press::Action;
use crate::notify::story::{Badge, Tone, words as said};
use crate::notify::text;
use crate::report::Verdict;
use crate::store::{Decision, NoticeRole, NoticeState, PressState};
use crate::times;

/// How grave an alert is.
pub(super) fn severity_badge(lang: Lang, raw: &str) -> Badge {
    Badge { text: said::severity(lang, &text::line(raw, 24)), tone: said::severity_tone(raw) }
}

/// What was found, where it is not simply a fault.
pub(super) fn verdict_badge(lang: Lang, verdict: Verdict) -> Option<Badge> {
    let (text, tone) = match verdict {
        Verdict::Fault => return None,
        Verdict::NoFault => (lang.pick("未发现故障", "no fault found"), Tone::Turquoise),
        Verdict::Inconclusive => (lang.pick("尚无定论", "inconclusive"), Tone::Grey),
    };
    Some(Badge { text: text.to_owned(), tone })
}

/// How long ago something was.
pub(super) fn ago(lang: Lang, seconds: i64) -> String {
    let time = times::duration(lang, seconds);
    lang.pick(format!("{time}前"), format!("{time} ago"))
}

/// What was decided about a delivery.
pub(super) fn decision(lang: Lang, decision: Decision) -> &'static str {
    match decision {
        Decision::Opened => lang.pick("开启事件", "opened the incident"),
        Decision::Merged => lang.pick("合并：已知的告警", "merged: nothing new in it"),
        Decision::Joined => lang.pick("并入：组里有新告警", "joined: new alerts of the group"),
        Decision::Resolved => lang.pick("恢复", "resolved"),
        Decision::Suppressed => lang.pick("抑制", "suppressed"),
    }
}

/// Which message it is.
pub(super) fn role(lang: Lang, role: NoticeRole) -> &'static str {
    match role {
        NoticeRole::First => lang.pick("首条消息", "First message"),
        NoticeRole::Joined => lang.pick("新告警", "New alerts"),
        NoticeRole::Second => lang.pick("诊断结论", "Diagnosis"),
        NoticeRole::Resolved => lang.pick("恢复通知", "Resolved"),
    }
}

/// What somebody asked for by a button.
pub(super) fn press(lang: Lang, action: &str) -> (&'static str, Tone) {
    match Action::of(action) {
        Some(Action::Silence) => (lang.pick("静默告警", "silence the alerts"), Tone::Grey),
        Some(Action::Again) => (lang.pick("重新调查", "investigate again"), Tone::Blue),
        Some(Action::Useful) => (lang.pick("👍 诊断有用", "👍 the diagnosis helped"), Tone::Green),
        Some(Action::Useless) => (lang.pick("👎 诊断有误", "👎 the diagnosis did not help"), Tone::Orange),
        None => (lang.pick("按钮", "a button"), Tone::Grey),
    }
}

/// What became of it.
pub(super) fn press_state(lang: Lang, state: PressState) -> (&'static str, Tone) {
    match state {
        PressState::Taken => (lang.pick("处理中", "under way"), Tone::Blue),
        PressState::Done => (lang.pick("已完成", "done"), Tone::Green),
        PressState::Refused => (lang.pick("未执行", "refused"), Tone::Grey),
        PressState::Failed => (lang.pick("失败", "failed"), Tone::Red),
    }
}

/// Where a message stands.
pub(super) fn notice_state(lang: Lang, state: NoticeState) -> (&'static str, Tone) {
    match state {
        NoticeState::Ready => (lang.pick("等待发送", "waiting"), Tone::Grey),
        NoticeState::Sending => (lang.pick("正在发送", "being sent"), Tone::Blue),
        NoticeState::Sent => (lang.pick("已送达", "delivered"), Tone::Green),
        NoticeState::Dead => (lang.pick("未能送达", "put aside"), Tone::Red),
    }
}
