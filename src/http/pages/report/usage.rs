//! What an investigation took: who answered, how long, how many tokens, what for.

use super::super::words;
use super::{Fact, fact};
use crate::alert::Lang;
use crate::notify::story::words as said;
use crate::notify::text;
use crate::report::{AnsweredBy, Usage};

/// Everything that is known of it, each with its name.
pub(super) fn facts(usage: &Usage, lang: Lang) -> Vec<Fact> {
    let model = usage.model.as_deref().map(|name| text::line(name, 80));
    let who = match (usage.source, model) {
        (AnsweredBy::Model, Some(model)) => lang.pick(format!("模型 {model}"), format!("model {model}")),
        (_, Some(model)) if usage.is_outweighed() => lang.pick(
            format!("规则库 (playbook)，其证据比模型 {model} 的更直接"),
            format!("the playbook, whose evidence is more direct than {model}'s"),
        ),
        (_, Some(model)) => lang.pick(
            format!("规则库 (playbook)，模型 {model} 未给出结论"),
            format!("the playbook; {model} gave no conclusion"),
        ),
        (_, None) => lang.pick("规则库 (playbook)", "the playbook").to_owned(),
    };
    let mut facts = vec![
        fact(lang.pick("作答", "Answered by"), who),
        fact(
            lang.pick("用时", "Took"),
            lang.pick(format!("{:.1} 秒", usage.seconds), format!("{:.1} s", usage.seconds)),
        ),
        fact(lang.pick("工具调用", "Tool calls"), usage.tool_calls.to_string()),
    ];
    if usage.turns > 0 {
        let (question, answer) = (said::tokens(usage.prompt_tokens), said::tokens(usage.completion_tokens));
        facts.push(fact(lang.pick("模型轮次", "Model turns"), usage.turns.to_string()));
        let tokens =
            lang.pick(format!("提问 {question}，回答 {answer}"), format!("{question} asked, {answer} answered"));
        facts.push(fact("Tokens", tokens));
    }
    facts.extend(usage.money().map(|money| fact(lang.pick("费用", "Cost"), text::line(&money, 40))));
    facts.push(fact(lang.pick("结束原因", "Ended by"), words::stopped_by(lang, &text::line(&usage.stopped_by, 60))));
    for passed in &usage.passed_over {
        facts.push(fact(&text::line(&passed.model, 80), text::line(&passed.why, 200)));
    }
    facts
}
