//! What the loop itself says to the model, in the language of the run.

use crate::alert::Lang;

/// Sentences of the loop. They stand outside every envelope: the model may trust them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notes<'a> {
    pub(super) lang: Lang,
    /// The answer tool's name.
    pub(super) answer: &'a str,
}

impl Notes<'_> {
    pub(super) fn last_turn(&self) -> String {
        let answer = self.answer;
        self.lang.pick(
            format!("预算即将用完，这是最后一轮：请只根据已有证据调用 {answer} 提交结论；如果无法调用，就直接输出它的参数（一个 JSON 对象）。没查到的内容如实说明，不要猜测。"),
            format!("The budget is nearly spent and this is the last turn: call {answer} now, from the evidence you have; if you cannot call it, write its arguments as one JSON object. Say what you could not check; do not guess."),
        )
    }

    pub(super) fn nudge(&self) -> String {
        let answer = self.answer;
        self.lang.pick(
            format!("上一条回复没有调用任何工具，文字回复不会被采用。请调用工具继续排查，或调用 {answer} 提交结论。"),
            format!("Your last message called no tool; text is not used. Call a tool to go on, or {answer} to submit your conclusion."),
        )
    }

    pub(super) fn cut_off(&self) -> String {
        let answer = self.answer;
        self.lang.pick(
            format!("上一条回复超出输出长度上限被截断，其中的调用都没有执行。请更简短：一次只调用一个工具，或调用 {answer} 提交精简的结论。"),
            format!("Your last message was cut off at the output limit and nothing in it was executed. Be brief: call one tool, or {answer} with a short conclusion."),
        )
    }

    pub(super) fn invalid(&self, errors: &[String]) -> String {
        let answer = self.answer;
        let list = errors.iter().map(|error| format!("- {error}")).collect::<Vec<_>>().join("\n");
        self.lang.pick(
            format!("{answer} 的参数不符合要求，未被采用：\n{list}\n请修正后重新提交完整的参数。"),
            format!("The arguments of {answer} were not accepted:\n{list}\nCorrect them and submit the whole arguments again."),
        )
    }

    pub(super) fn unreadable(&self, name: &str) -> String {
        self.lang.pick(
            format!("{name} 没有执行：参数不是一个 JSON 对象。请重新给出参数。"),
            format!("{name} was not executed: the arguments are not one JSON object. Give them again."),
        )
    }

    pub(super) fn not_offered(&self, offered: &[String]) -> String {
        let list = offered.join(", ");
        self.lang.pick(
            format!("没有执行：当前没有提供这个工具。可用的工具：{list}。"),
            format!("Not executed: this tool is not available now. Available: {list}."),
        )
    }

    pub(super) fn beside(&self, complaints: &[String]) -> String {
        let list = complaints.join("; ");
        self.lang.pick(
            format!("上一条回复中还有没有执行的调用：{list}"),
            format!("Of the calls in your last answer some were not executed: {list}"),
        )
    }

    pub(super) fn no_calls_left(&self) -> String {
        let answer = self.answer;
        self.lang.pick(
            format!("没有执行：工具调用次数已用完。请根据已有证据调用 {answer}。"),
            format!("Not executed: no tool calls are left. Call {answer} from the evidence you have."),
        )
    }

    pub(super) fn already_called(&self, reference: Option<&str>) -> String {
        let see_zh = reference.map(|reference| format!("见 {reference}，")).unwrap_or_default();
        let see_en = reference.map(|reference| format!("see {reference}; ")).unwrap_or_default();
        self.lang.pick(
            format!("这个调用已经做过，{see_zh}以下是当时的结果，没有重新执行："),
            format!("Already called, {see_en}this is the result from then, nothing was executed again:"),
        )
    }

    pub(super) fn refused_repeat(&self, times: u32) -> String {
        let answer = self.answer;
        self.lang.pick(
            format!("没有执行：相同的调用已经是第 {times} 次，结果不会变化。请换一个角度，或调用 {answer}。"),
            format!("Not executed: the same call has now been asked {times} times and its result will not change. Look elsewhere, or call {answer}."),
        )
    }

    pub(super) fn refused_variation(&self, times: u32) -> String {
        let answer = self.answer;
        self.lang.pick(
            format!("没有执行：这个调用只改了数量或写法，已经是第 {times} 次，之前没有带来新内容。请换一个角度，或调用 {answer}。"),
            format!("Not executed: this is the same call in other amounts or another spelling, for the {times}th time, and it brought nothing new. Look elsewhere, or call {answer}."),
        )
    }

    pub(super) fn nothing_new(&self) -> String {
        self.lang.pick(
            "以下结果几乎都是已经给出过的内容：".to_owned(),
            "Nearly all of this result was given before:".to_owned(),
        )
    }

    pub(super) fn same_as(&self, reference: &str, first: &str) -> String {
        self.lang.pick(
            format!("{reference}：结果与 {first} 完全相同，不再重复。"),
            format!("{reference}: the result is exactly that of {first} and is not repeated."),
        )
    }

    /// Calls were written into the text, in a form that could not be read.
    pub(super) fn garbled(&self) -> String {
        let answer = self.answer;
        self.lang.pick(
            format!("上一条回复的正文里像是写了工具调用，但无法识别，没有执行。请用标准的工具调用格式重新发出（名称加一个 JSON 对象作参数），或调用 {answer}。"),
            format!("Your last message seems to hold tool calls in its text that cannot be read; nothing was executed. Make them as proper tool calls (a name, and one JSON object of arguments), or call {answer}."),
        )
    }

    /// Calls of something that changes the cluster were written into the text.
    pub(super) fn changing(&self, names: &[String], offered: &[String]) -> String {
        let (names, list) = (names.join(", "), offered.join(", "));
        self.lang.pick(
            format!("没有执行 {names}：这里只能查看，不能改动集群。可用的工具：{list}。需要改动的操作请写进建议，由人决定。"),
            format!("{names}: not executed. Here one can look at the cluster, not change it. Available: {list}. What should be changed belongs into your advice, for a person to decide."),
        )
    }

    pub(super) fn no_time(&self) -> String {
        self.lang.pick(
            "没有等到结果：剩余时间必须留给结论。".to_owned(),
            "No result: the time that is left is needed for the answer.".to_owned(),
        )
    }

    pub(super) fn set_aside(&self, lines: &[String]) -> String {
        let list = lines.iter().map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n");
        self.lang.pick(
            format!("为节省篇幅，以下较早的调用结果已移出对话，证据编号仍可引用：\n{list}"),
            format!(
                "To save room, these earlier results were set aside; their evidence ids can still be cited:\n{list}"
            ),
        )
    }

    pub(super) fn withheld(&self) -> String {
        self.lang.pick(
            "（模型服务商的内容审查拒绝了这段结果，已移除；请在结论中如实说明。）".to_owned(),
            "(The model provider's content filter refused this result, so it was removed; say so in your conclusion.)"
                .to_owned(),
        )
    }
}
