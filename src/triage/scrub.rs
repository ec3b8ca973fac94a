//! Scrubbing: markup of tool calls, thinking and special tokens never reaches a person.
//!
//! Whatever a server failed to take out of a model's text, or the model put into a field, ends here: the one door between
//! a model's diagnosis and a report.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::report::Diagnosis;

/// Thinking, whole; a closing tag alone ends thinking whose beginning was cut off.
const THINKING: [&str; 3] = ["think", "thinking", "seed:think"];

/// Markup of calls in every known family. Between its first and last marker nothing is meant for people.
static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        // DeepSeek, Kimi, InternLM, Step, Llama, harmony: special tokens of calls.
        r"(?i)(?:function)?</?[|｜]{1,2}\s*(?:tool|DSML|python_tag|action|plugin|open|close|sep|channel|constrain|message|call|recipient|start\|>)[^<>\n]{0,200}>",
        // Hermes, Qwen, GLM, MiniMax, Seed, Step: tags.
        r"|</?(?:[a-z]+:)?(?:tool_calls?|toolcall|function_calls?|arg_key|arg_value)\s*>",
        r"|</(?:[a-z]+:)?(?:invoke|parameter|function)\s*>",
        r"|<(?:[a-z]+:)?(?:invoke|parameter|function)(?:=|\s+name\s*=)[^<>\n]{0,200}>",
        // Mistral.
        r"|\[/?(?:TOOL_CALLS|ARGS|CALL_ID|TOOL_RESULTS|AVAILABLE_TOOLS)\]",
    ))
    .ok()
});

/// Special tokens and tags that stand alone.
static LONE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)<[|｜][^<>|｜\n]{0,80}[|｜]>|<[|｜]|[|｜]>",
        r"|</?(?:think|thinking|seed:think|s|bos|eos|start_of_turn|end_of_turn|tool_response|tool_result)\s*/?>",
        r"|<<?/?SYS>?>|\[/?INST\]",
        // What is left of a tag of calls whose end was cut off.
        r"|</?(?:[a-z]+:)?(?:tool_calls?|function_calls?|invoke|arg_key|arg_value|think)|<(?:parameter|function)=",
    ))
    .ok()
});

/// A call and nothing else, as JSON or in Python's notation.
static BARE_CALL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\[\s*[A-Za-z_]\w*\([^\[\]]*\)\s*(?:,\s*[A-Za-z_]\w*\([^\[\]]*\)\s*)*\]$").ok());

/// Takes the markup out of every text of a diagnosis, and what held nothing else. A headline that is lost is replaced by
/// the first cause's summary.
pub(super) fn scrub(diagnosis: Diagnosis) -> Diagnosis {
    let Ok(mut value) = serde_json::to_value(&diagnosis) else { return Diagnosis::default() };
    clean(&mut value);
    let mut clean: Diagnosis = serde_json::from_value(value).unwrap_or_default();
    clean.causes.retain(|cause| !cause.summary.is_empty());
    clean.steps.retain(|step| !step.title.is_empty());
    clean.ruled_out.retain(|one| !one.hypothesis.is_empty());
    for texts in [&mut clean.primary.findings, &mut clean.unresolved, &mut clean.data_gaps] {
        texts.retain(|text| !text.is_empty());
    }
    clean.related.iter_mut().for_each(|related| related.findings.retain(|text| !text.is_empty()));
    if clean.headline.is_empty()
        && let Some(cause) = clean.causes.first()
    {
        clean.headline.clone_from(&cause.summary);
    }
    clean
}

fn clean(value: &mut Value) {
    match value {
        Value::String(one) if has_signs(one) => *one = text(one),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(object) => object.values_mut().for_each(clean),
        _ => {}
    }
}

/// Most texts hold none of the signs that all markup begins or ends with.
fn has_signs(text: &str) -> bool {
    text.contains(['<', '[', '{', '|', '｜'])
}

/// A text without markup, trimmed.
pub(super) fn text(text: &str) -> String {
    let mut text = without_thinking(text);
    text = without_calls(text);
    // Taking one out may bring the halves of another together; each round makes the text shorter.
    while let Some(pattern) = LONE.as_ref()
        && pattern.is_match(&text)
    {
        text = without_calls(pattern.replace_all(&text, "").into_owned());
    }
    let trimmed = text.trim();
    if is_call(trimmed) { String::new() } else { trimmed.to_owned() }
}

fn without_thinking(text: &str) -> String {
    let mut text = text.to_owned();
    for tag in THINKING {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        while let Some(end) = text.find(&close) {
            let start = text[..end].find(&open).unwrap_or(0);
            text.replace_range(start..end + close.len(), "");
        }
        if let Some(start) = text.find(&open) {
            text.truncate(start);
        }
    }
    text
}

/// Cuts from the first marker of a call to the last; to the end where the last does not close anything.
fn without_calls(mut text: String) -> String {
    let Some(pattern) = CALL.as_ref() else { return text };
    let Some(first) = pattern.find(&text).map(|found| found.start()) else { return text };
    let last = pattern.find_iter(&text).last().map(|found| (found.end(), closes(found.as_str())));
    match last {
        Some((end, true)) => text.replace_range(first..end, ""),
        _ => text.truncate(first),
    }
    text
}

fn closes(marker: &str) -> bool {
    let marker = marker.to_ascii_lowercase();
    marker.starts_with("</") || marker.contains("end") || marker.contains("close") || marker.contains("<|call")
}

fn is_call(text: &str) -> bool {
    let inner = text.trim_start_matches("```json").trim_matches('`').trim();
    let has = |object: &Value, key: &str| object.get(key).is_some();
    let as_json = serde_json::from_str::<Value>(inner)
        .is_ok_and(|object| has(&object, "name") && (has(&object, "arguments") || has(&object, "parameters")));
    as_json || BARE_CALL.as_ref().is_some_and(|pattern| pattern.is_match(inner))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::alert::Lang;
    use crate::notify::fixtures::{notice, now};
    use crate::notify::layout::Layout;
    use crate::notify::notice::NoticeBody;
    use crate::notify::{attachment, email, feishu, wecom};
    use crate::report::{Overview, Report, Usage};

    /// What nobody may see.
    const TEETH: &[&str] = &[
        "<|",
        "<｜",
        "|>",
        "｜>",
        "<tool_call",
        "</tool_call",
        "<function=",
        "<function_call",
        "<invoke",
        "<think",
        "</think",
        "<arg_key",
        "<arg_value",
        "minimax:tool_call",
        "seed:tool_call",
        "<parameter=",
        "[TOOL_CALLS]",
        "[ARGS]",
        "[INST]",
    ];

    /// Calls as text, one of each known family and more, the same cases the parser of calls is held to.
    fn families() -> Vec<String> {
        let cases: Value = serde_json::from_str(include_str!("../../tests/fixtures/toolcall-cases.json")).unwrap();
        let marked = |input: &&str| TEETH.iter().any(|tooth| input.contains(tooth));
        let cases = cases["text_cases"].as_array().unwrap().iter().filter_map(|case| case["input"].as_str());
        let own = [
            "<|im_start|>system",
            "text<|im_end|>",
            "<｜end▁of▁sentence｜>",
            "</s>",
            "[INST] x [/INST]",
            "<think>plan",
            "plan</think>",
            "<think>a</think>b",
        ];
        cases.filter(|input| input.len() < 4_000).filter(marked).chain(own).map(str::to_owned).collect()
    }

    fn with_text_in(place: usize, text: &str) -> Diagnosis {
        let resource = json!({ "kind": "Pod", "namespace": "a", "name": "b" });
        let mut value = json!({
            "verdict": "fault", "headline": "h", "impact": "i", "unresolved": ["u"], "data_gaps": ["d"],
            "causes": [{ "summary": "s", "resource": resource, "evidence": [{ "ref": "E1", "quote": "q" }] }],
            "primary": { "resource": resource, "findings": ["f"] },
            "related": [{ "resource": resource, "why": "w", "findings": ["f"] }],
            "steps": [{ "title": "t", "detail": "d", "command": "kubectl get pods" }],
            "ruled_out": [{ "hypothesis": "h", "because": "b" }],
        });
        let places = [
            "/headline",
            "/impact",
            "/unresolved/0",
            "/data_gaps/0",
            "/causes/0/summary",
            "/causes/0/resource/name",
            "/causes/0/evidence/0/quote",
            "/primary/findings/0",
            "/related/0/why",
            "/related/0/findings/0",
            "/steps/0/title",
            "/steps/0/detail",
            "/steps/0/command",
            "/ruled_out/0/because",
        ];
        *value.pointer_mut(places[place % places.len()]).unwrap() = text.into();
        serde_json::from_value(value).unwrap()
    }

    /// What people get to see of a diagnosis: the report, and all its renderings.
    fn shown(diagnosis: Diagnosis) -> String {
        let report = Report::assemble(Overview::default(), scrub(diagnosis), Vec::new(), Usage::default());
        let json = serde_json::to_string(&report).unwrap();
        json + &crate::markdown::report(&report, Lang::Zh, "UTC") + &sent(report)
    }

    /// The richest message of each channel, and the file beside it.
    fn sent(report: Report) -> String {
        let mut notice = notice("diagnosis-pvc.zh");
        notice.body = NoticeBody::Diagnosis { report: Box::new(report) };
        let card = serde_json::to_string(&feishu::render::richest(&notice, now(), None, &Layout::default())).unwrap();
        let message = serde_json::to_string(&wecom::render::richest(&notice, now(), &Layout::default())).unwrap();
        let mail = email::render::richest(&notice, now(), &Layout::default());
        let file = attachment::full_report(&notice).map(|file| file.content);
        [card, message, mail.text, mail.html.unwrap_or_default(), file.unwrap_or_default()].concat()
    }

    #[test]
    fn no_familys_markup_reaches_people_from_any_field() {
        for text in families() {
            for place in 0..14 {
                let shown = shown(with_text_in(place, &format!("before {text}")));
                for tooth in TEETH {
                    assert!(!shown.contains(tooth), "{tooth} of {text:?} in field {place}: {shown}");
                }
            }
        }
    }

    #[test]
    fn what_stands_before_and_after_a_call_stays() {
        for (raw, clean) in [
            ("磁盘满了。<tool_call>{\"name\":\"pods_get\"}</tool_call> 请清理", "磁盘满了。 请清理"),
            ("it is full<｜tool▁calls▁begin｜>function<｜tool▁sep｜>pods_get\n```json\n{}\n```", "it is full"),
            ("<think>I guess</think>It is full.<|im_end|>", "It is full."),
            ("half a thought</think>It is full.", "It is full."),
            ("{\"name\":\"pods_get\",\"arguments\":{}}", ""),
            ("[pods_get(name=\"a\"), events_list()]", ""),
            (
                "a < b, image <IMAGE:TAG>, list [a, b], {x}, <none>",
                "a < b, image <IMAGE:TAG>, list [a, b], {x}, <none>",
            ),
        ] {
            assert_eq!(text(raw), clean, "{raw}");
        }
    }

    #[test]
    fn fields_that_held_nothing_else_go_and_a_lost_headline_is_replaced() {
        let call = "<tool_call>{\"name\":\"pods_get\"}</tool_call>";
        assert_eq!(scrub(with_text_in(0, call)).headline, "s");
        assert!(scrub(with_text_in(7, call)).primary.findings.is_empty());
        assert!(scrub(with_text_in(10, call)).steps.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn markup_of_any_mixture_in_any_field_reaches_no_channel(
            parts in proptest::collection::vec(proptest::sample::select(families()), 1..4), place in 0usize..14,
        ) {
            let shown = shown(with_text_in(place, &parts.join(" and ")));
            for tooth in TEETH {
                prop_assert!(!shown.contains(tooth), "{} in field {}: {}", tooth, place, shown);
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_of_markup_do_not_join_to_new_markup(parts in proptest::collection::vec(proptest::sample::select(vec![
            "<|", "|>", "<", "</", ">", "｜", "|", "tool_call", "think", "im_end", "function=", "invoke name=\"a\"", "x", " ", "[", "INST]", "TOOL_CALLS]",
        ]), 0..24)) {
            let text = text(&parts.concat());
            for tooth in TEETH {
                prop_assert!(!text.contains(tooth), "{:?} in {:?}", tooth, text);
            }
        }
    }
}
