//! Fixed words of the pages beside those every message uses: verdicts, states, decisions, in both languages.

use crate::alert::{Lang, severity_rank};
use crate::notify::press::Action;
use crate::notify::rule::Rule;
use crate::notify::story::{Badge, Tone, words as said};
use crate::notify::text;
use crate::report::Verdict;
use crate::store::{Decision, NoticeRole, NoticeState, PressState};
use crate::times;

/// How grave an alert is.
pub(super) fn severity_badge(lang: Lang, raw: &str) -> Badge {
    Badge { text: said::severity(lang, &text::line(raw, 24)), tone: said::severity_tone(raw) }
}

/// That it was graver before than the alert that leads now.
pub(super) fn graver_before(lang: Lang, severity: &str, gravest: &str) -> Option<Badge> {
    let graver = severity_rank(Some(gravest)) < severity_rank(Some(severity));
    let was = said::severity(lang, &text::line(gravest, 24));
    let text = lang.pick(format!("曾为{was}"), format!("was {was}"));
    graver.then_some(Badge { text, tone: Tone::Grey })
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

/// The same where some alerts ended and others fire on.
pub(super) fn some_ended(lang: Lang) -> &'static str {
    lang.pick("部分告警恢复，其余仍在触发", "some alerts ended, others of the group still fire")
}

/// A rule in Chinese; in English the store's own sentence says more.
pub(super) fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::Repeat => "重复的告警",
        Rule::SomeEnded => "部分告警恢复，其余仍在触发",
        Rule::Heartbeat => "心跳告警",
        Rule::UnknownEnd => "此前未收到的告警恢复",
        Rule::NoChannel => "路由没有渠道",
        Rule::MinSeverity => "低于渠道的最低级别",
        Rule::QuietHours => "安静时段，推迟通知",
        Rule::Batch => "合并窗口，推迟通知",
        Rule::Maintenance => "维护窗口，推迟",
        Rule::Flapping => "反复触发，推迟",
        Rule::OverBefore => "到时已恢复，不再通知",
        Rule::Cooldown => "上次的诊断仍然有效",
        Rule::Route => "路由规定不研判",
        Rule::Debounce => "持续一段时间后再研判",
        Rule::SameCause => "同一原因已在研判",
        Rule::Summary => "并入汇总消息",
    }
}

/// Why an investigation ended; a word that is not known stays as it is. `docs/stop-reasons.md` says more of each.
pub(super) fn stopped_by(lang: Lang, word: &str) -> String {
    let known = STOPPED_BY.iter().find(|(known, _, _)| *known == word);
    known.map_or_else(|| word.to_owned(), |(_, zh, en)| lang.pick(format!("{zh}（{word}）"), format!("{en} ({word})")))
}

const STOPPED_BY: [(&str, &str, &str); 19] = [
    ("submitted", "模型给出诊断", "the model submitted a diagnosis"),
    ("analyzed", "首条消息，尚未询问模型", "the first look, before the model"),
    ("no_model", "没有配置模型", "no model is configured"),
    ("same_cause", "同因事件已在研判", "investigated with another incident of the same cause"),
    ("models_resting", "所有模型此前均失败，暂停使用", "every model failed before and rests"),
    ("daily_limit", "当日额度已用完", "the daily limit is used up"),
    ("max_turns", "轮次用完", "all turns were used"),
    ("max_tool_calls", "工具调用次数用完", "all tool calls were used"),
    ("max_tokens", "token 额度用完", "the tokens were used"),
    ("max_cost", "费用额度用完", "the money was used"),
    ("deadline", "时间用完", "the time was used"),
    ("repetition", "模型反复做同样的查询", "the model repeated itself"),
    ("context", "对话超出模型的上下文", "the conversation outgrew the model"),
    ("model_error", "所有模型都失败", "every model failed"),
    ("invalid_answer", "模型的答案格式不符", "the model's answers had the wrong form"),
    ("no_answer", "模型没有作答", "the model did not answer"),
    ("garbled_calls", "模型的工具调用无法识别", "the model's calls could not be read"),
    ("truncated", "模型的回答被截断", "the model's answers were cut off"),
    ("prompt_error", "提示词模板出错", "a prompt template failed"),
];

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
