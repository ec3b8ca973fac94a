//! The acceptance cases, and what must hold of every text.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn cases() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/toolcall-cases.json")).unwrap()
}

fn tools(cases: &Value) -> Vec<Function> {
    let tool = |(name, schema): (&String, &Value)| Function {
        name: name.clone(),
        description: String::new(),
        parameters: schema.clone(),
        read_only: schema.get("x-mutating").is_none(),
    };
    cases["tools"].as_object().unwrap().iter().map(tool).collect()
}

/// A case's text; the long ones are written as parts to repeat.
fn input(case: &Value) -> String {
    match case["input"].as_str() {
        Some(text) => text.to_owned(),
        None => case["input_parts"].as_array().unwrap().iter().map(part).collect(),
    }
}

fn part(part: &Value) -> String {
    part["text"].as_str().unwrap().repeat(part["times"].as_u64().unwrap_or(1).try_into().unwrap())
}

/// Status and calls as the case file writes them.
fn summary(recovered: &Recovered) -> Value {
    let call = |call: &Call| json!({ "name": call.name, "arguments": call.arguments });
    json!({ "status": recovered.status.label(), "calls": recovered.calls.iter().map(call).collect::<Vec<_>>() })
}

#[test]
fn every_acceptance_case_comes_out_as_written() {
    let all = cases();
    let tools = tools(&all);
    let mut wrong = Vec::new();
    for case in all["text_cases"].as_array().unwrap() {
        let name = case["family"].as_str().unwrap();
        let family = Family::named(name);
        assert_ne!(family, Family::Unknown, "{name} is a family");
        let expect = &case["expect"];
        let expected = json!({ "status": expect["status"], "calls": expect["calls"] });
        let recovered = recover(family, &input(case), case["finish_reason"] == "length", &tools);
        let text = tokens::around(expect["text_before"].as_str().unwrap(), expect["text_after"].as_str().unwrap());
        if summary(&recovered) != expected || recovered.text != text {
            wrong.push(format!("{}: {} {:?}", case["id"], summary(&recovered), recovered.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a03_a_call_quoted_from_a_log_in_a_fence_is_no_call() {
    let call = r#"<tool_call>{"name": "pods_get", "arguments": {"name": "web-0"}}</tool_call>"#;
    let (fenced, tildes) = (format!("The log says:\n```\n{call}\n```\n"), format!("The log says:\n~~~\n{call}\n~~~\n"));
    for text in [&fenced, &tildes] {
        for family in [Family::Hermes, Family::Unknown] {
            let recovered = recover(family, text, false, &tools(&cases()));
            assert!(recovered.calls.is_empty(), "{family:?} took a call from {text}");
            assert!(recovered.text.contains(call), "the quotation stays readable: {}", recovered.text);
        }
    }
    assert_eq!(recover(Family::Hermes, call, false, &tools(&cases())).calls.len(), 1, "outside a fence it is one");
}

#[test]
fn a_family_that_is_not_known_is_found() {
    let all = cases();
    let tools = tools(&all);
    let mut wrong = Vec::new();
    for case in all["text_cases"].as_array().unwrap() {
        let expect = &case["expect"];
        // Of a foreign marker in prose only the profile knows that it is foreign.
        if expect["status"] != "parsed" || case["id"] == "inj-04" {
            continue;
        }
        let recovered = recover(Family::Unknown, &input(case), false, &tools);
        if summary(&recovered)["calls"] != expect["calls"] {
            wrong.push(format!("{}: {}", case["id"], summary(&recovered)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Status, calls and text in one line, for cases of our own.
fn line(family: Family, text: &str) -> String {
    let recovered = recover(family, text, false, &tools(&cases()));
    let calls: Vec<_> =
        recovered.calls.iter().map(|call| format!("{}{}", call.name, Value::Object(call.arguments.clone()))).collect();
    format!("{} [{}] {:?}", recovered.status.label(), calls.join(" "), recovered.text)
}

const WEB: &str = r#"parsed [pods_get{"name":"web-0"}] """#;

#[test]
fn variants_seen_in_the_wild_are_read() {
    let quote = "```\n<tool_call>\n{\"name\": \"pods_get\", \"arguments\": {\"name\": \"web-0\"}}\n</tool_call>\n```";
    let quoted = format!("none [] {quote:?}");
    let cases = [
        (
            Family::DeepseekV31,
            "<｜tool▁calls▁begin｜>pods_get<｜tool▁sep｜>{\"name\":\"web-0\"}<｜tool▁calls▁end｜>",
            WEB,
        ),
        (Family::DeepseekV31, "<|tool_calls_begin|><|tool_call_begin|>pods_get<|tool_sep|>{\"name\":\"web-0\"}", WEB),
        (
            Family::DeepseekV31,
            "<｜tool▁call▁begin｜>namespaces_list<｜tool▁sep｜><｜tool▁call▁end｜>",
            "parsed [namespaces_list{}] \"\"",
        ),
        (Family::DeepseekV3, "先看。functionpods_get\n```json\n{\"name\": \"web-0\"}\n```", "suspected [] \"先看。\""),
        (
            Family::DeepseekV3,
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>pods_get\n```json\n{\"name\": \"web-0\"\n```<｜tool▁call▁end｜>",
            "rejected [] \"\"",
        ),
        (
            Family::DeepseekV32,
            "<｜DSML｜function_calls><｜DSML｜invoke name=\"pods_get\">{\"name\":\"web-0\"}</｜DSML｜invoke>",
            WEB,
        ),
        (
            Family::DeepseekV4,
            "<invoke name=\"pods_get\"><parameter name=\"name\" string=\"true\">web-0</parameter></invoke>",
            "suspected [] \"\"",
        ),
        (Family::Hermes, quote, &quoted),
        (Family::Hermes, "Use the `<tool_call>` tag.", "none [] \"Use the `<tool_call>` tag.\""),
        (
            Family::Hermes,
            "<tool_call>\n```json\n{\"name\":\"functions.pods_get\",\"parameters\":{\"name\":\"web-0\"}}\n```\n</tool_call><|im_end|>",
            WEB,
        ),
        (
            Family::Hermes,
            "<tool_call>{\"name\":\"pods_get\",\"arguments\":{\"name\":\"web-0\",}}</tool_call>",
            "rejected [] \"\"",
        ),
        (Family::Hermes, "<tool_call>{\"name\":\"pods_get\",\"arguments\":[1]}</tool_call>\nok", "rejected [] \"ok\""),
        (Family::Hermes, "{\"name\":\"pods_get\",\"arguments\":{\"name\":\"web-0\"}}", "suspected [] \"\""),
        (Family::Hermes, "</tool_call>", "suspected [] \"\""),
        (
            Family::Qwen3Coder,
            "<function=\"pods_get\">\n<parameter=name>\n007\n</parameter>\n</function>",
            r#"parsed [pods_get{"name":"007"}] """#,
        ),
        (
            Family::Qwen3Coder,
            "<function=pods_get>\n<parameter=name>\nweb-0\n<parameter=namespace>\nprod\n</parameter>\n</function>",
            "rejected [] \"\"",
        ),
        (Family::Qwen3Coder, "<function=pods_log>\n<parameter=tail>many</parameter>\n</function>", "rejected [] \"\""),
        (Family::Glm45, "pods_get\n{\"name\": \"web-0\"}", "suspected [] \"\""),
        (Family::Glm47, "<tool_call>namespaces_list</tool_call>", "parsed [namespaces_list{}] \"\""),
        (Family::Glm45, "<tool_call>{\"name\":\"pods_get\",\"arguments\":{}}</tool_call>", "rejected [] \"\""),
        (
            Family::KimiK2,
            "<|tool_call_begin|>functions.pods_get:0<|tool_call_argument_begin|>{\"name\":\"web-0\"}",
            WEB,
        ),
        (Family::KimiK2, "functions.pods_get:0{\"name\": \"web-0\"}", "suspected [] \"\""),
        (
            Family::KimiK3,
            "<|open|>tools<|sep|><|open|>call tool=\"search_runbook\" index=\"1\"<|sep|><|open|>argument key=\"query\" type=\"string\"<|sep|>a &lt; b<|close|>argument<|sep|><|close|>call<|sep|>",
            r#"parsed [search_runbook{"query":"a &lt; b"}] """#,
        ),
        (
            Family::MinimaxM2,
            "<minimax:tool_call><invoke name='pods_get'><parameter name='name'>web-0</parameter></invoke></minimax:tool_call>",
            WEB,
        ),
        (
            Family::HunyuanA13b,
            "<tool_calls>[{\"name\": \"pods_get\", \"arguments\": {\"name\": \"web-0\"}}, {oops}]</tool_calls>",
            WEB,
        ),
        (Family::Mistral, "[TOOL_CALLS]pods_get[ARGS]{\"name\": \"web-0\"}", WEB),
        (Family::Mistral, "[TOOL_CALLS]pods_get[CALL_ID]a1b2c3[ARGS]{\"name\": \"web-0\"}", WEB),
        (Family::Mistral, "[THINK]hm[/THINK][TOOL_CALLS] not json", "rejected [] \"\""),
        (Family::Llama3, "{\"name\": \"pods_get\", \"parameters\": {\"name\": \"web-0\"}}", WEB),
        (Family::Pythonic, "查看：\n[pods_get(name=\"web-0\")]", r#"parsed [pods_get{"name":"web-0"}] "查看：""#),
        (
            Family::Pythonic,
            "[search_runbook(query='a\\'b', tags=('x',), filter={'a': {'b': None}}, top_k=-3, score=1.5)]",
            r#"parsed [search_runbook{"query":"a'b","tags":["x"],"filter":{"a":{"b":null}},"top_k":-3,"score":1.5}] """#,
        ),
        (Family::Pythonic, "limits[memory(x)] and [a(b=1)]", "none [] \"limits[memory(x)] and [a(b=1)]\""),
        (Family::Pythonic, "[pods_get(name=)]", "rejected [] \"\""),
        (
            Family::GptOss,
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>好了<|return|>",
            "none [] \"好了\"",
        ),
        (
            Family::GptOss,
            "<|start|>assistant to=functions.pods_get<|channel|>commentary json<|message|>{\"name\":\"web-0\"}",
            WEB,
        ),
        (Family::GptOss, "assistantcommentary to=functions.pods_get json{\"name\":\"web-0\"}", "suspected [] \"\""),
        (
            Family::SeedOss,
            "<seed:tool_call><function=pods_get><parameter=name>web-0</parameter></function></seed:tool_call>",
            WEB,
        ),
        (Family::Json, "```json\n[{\"name\": \"pods_get\", \"arguments\": {\"name\": \"web-0\"}}]\n```", WEB),
        (Family::Json, "{\"name\": \"pods_delete\", \"arguments\": {\"name\": \"web-0\"}}", "refused_mutating [] \"\""),
        (Family::Json, "{\"name\": \"pods_get\", \"arguments\": {\"name\": \"we", "suspected [] \"\""),
        (
            Family::Unknown,
            "{\"name\": \"bob\", \"parameters\": {}}",
            r#"none [] "{\"name\": \"bob\", \"parameters\": {}}""#,
        ),
        (Family::Unknown, "<think>hm</think>A\n\nB</think>C", "none [] \"C\""),
    ];
    let mut wrong = Vec::new();
    for (family, text, expected) in cases {
        let got = line(family, text);
        if got != expected {
            wrong.push(format!("{family:?} {text}\n  is   {got}\n  want {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_bad_call_is_reported_beside_a_good_one() {
    let text = "<tool_call>{oops}</tool_call><tool_call>{\"name\":\"pods_get\"}</tool_call>\
        <tool_call>{\"name\":\"nothing\"}</tool_call><tool_call>{\"name\":\"pods_delete\"}</tool_call>";
    let recovered = recover(Family::Hermes, text, false, &tools(&cases()));
    assert_eq!(recovered.status, Status::Parsed);
    assert_eq!(
        recovered.complaints,
        [
            "A call was not carried out: it is not valid JSON; nothing is repaired.",
            "nothing was not carried out: there is no function of that name.",
            "pods_delete was not carried out: a call written as text never changes anything.",
        ]
    );
}

#[test]
fn kimi_gets_its_ids_back_and_the_client_its_calls() {
    let text = "<|tool_call_begin|>functions.pods_get:3<|tool_call_argument_begin|>{}<|tool_call_end|>";
    let (calls, garbled) = recover(Family::KimiK2, text, false, &tools(&cases())).into_calls();
    assert_eq!((calls[0].id.as_str(), calls[0].name.as_str(), garbled), ("functions.pods_get:3", "pods_get", None));
    let (calls, garbled) = recover(Family::Hermes, "<tool_call>", false, &[]).into_calls();
    assert_eq!((calls.len(), garbled), (0, Some(Garbled::Unreadable)));
}

/// Every family's markers, to put together at random.
const PIECES: [&str; 52] = [
    "<tool_call>",
    "</tool_call>",
    "<tool_calls>",
    "</tool_calls>",
    "<think>",
    "</think>",
    "<seed:think>",
    "```",
    "`",
    "```json\n",
    "\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ",",
    ":",
    " ",
    "pods_get",
    "pods_delete",
    "nothing",
    "function",
    "{\"name\": \"pods_get\", \"arguments\": {\"name\": \"web-0\"}}",
    "{\"name\": \"pods_delete\"}",
    "<function=pods_get>",
    "</function>",
    "<parameter=name>",
    "</parameter>",
    "<arg_key>name</arg_key>",
    "<arg_value>",
    "</arg_value>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
    "<｜DSML｜invoke name=\"pods_get\">",
    "</｜DSML｜invoke>",
    "<｜DSML｜parameter name=\"name\" string=\"true\">",
    "<|tool_call_begin|>functions.pods_get:0",
    "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
    "<invoke name=\"pods_get\">",
    "</invoke>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "<|python_tag|>",
    "[pods_get(name='a')]",
    "<|channel|>commentary to=functions.pods_get",
    "<|message|>",
    "<|open|>call tool=\"pods_get\"<|sep|>",
];

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => prop::sample::select(PIECES.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}"];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A case's text with a stretch cut out or doubled.
fn mutated() -> impl Strategy<Value = String> {
    let inputs: Vec<String> =
        cases()["text_cases"].as_array().unwrap().iter().map(input).filter(|text| text.len() < 2_000).collect();
    (prop::sample::select(inputs), any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(text, a, b, doubled)| {
            let chars: Vec<char> = text.chars().collect();
            let (a, b) = (a.index(chars.len() + 1), b.index(chars.len() + 1));
            let (a, b) = (a.min(b), a.max(b));
            let rest = if doubled { &chars[a..] } else { &chars[b..] };
            chars[..b].iter().filter(|_| doubled).chain(chars[..a].iter().filter(|_| !doubled)).chain(rest).collect()
        },
    )
}

fn holds(text: &str, truncated: bool) -> Result<(), TestCaseError> {
    let tools = tools(&cases());
    for family in Family::ALL.into_iter().chain([Family::Unknown]) {
        let recovered = recover(family, text, truncated, &tools);
        for call in &recovered.calls {
            let tool = tools.iter().find(|tool| tool.name == call.name);
            prop_assert!(tool.is_some_and(|tool| tool.read_only), "{family:?} called {}", call.name);
        }
        prop_assert!(recovered.calls.is_empty() || (recovered.status == Status::Parsed && !truncated));
        prop_assert!(!recovered.text.contains("<think>") && !recovered.text.contains("</think>"), "{family:?}");
        // A fence quotes, so only texts without any are free of markers; and only of the family's own, if it has any.
        let markerless = matches!(family, Family::Llama3 | Family::Pythonic | Family::Json | Family::Unknown);
        if !text.contains(['`', '~']) && !markerless {
            let again = family.read(&recovered.text, &[]);
            prop_assert_ne!(again.marked, Marked::Opened, "{:?} shows {}", family, recovered.text);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_yields_only_offered_reading_calls_and_shows_no_markers(text in any_text(), truncated in any::<bool>()) {
        holds(&text, truncated)?;
    }

    #[test]
    fn damaged_markup_does_no_harm(text in mutated(), truncated in any::<bool>()) {
        holds(&text, truncated)?;
    }
}

/// Below this many seconds the clock says nothing; a quadratic reader takes a multiple of it at the test's size.
const FLOOR_SECONDS: f64 = 0.0125;

fn time(family: Family, text: &str, tools: &[Function]) -> f64 {
    let started = Instant::now();
    std::hint::black_box(recover(family, text, false, tools));
    started.elapsed().as_secs_f64()
}

#[test]
fn twice_the_text_takes_about_twice_the_time() {
    let tools = tools(&cases());
    let mut openers: Vec<String> =
        ["<think>", "</think>", "{", "[", "`a", "```\n", "<tool_call>{\"a\":", "{\"a\":\n", "[TOOL_CALLS] [{"]
            .map(str::to_owned)
            .to_vec();
    openers.extend(PIECES.iter().filter(|piece| piece.len() > 8).map(|piece| (*piece).to_owned()));
    for opener in openers {
        let text = |bytes: usize| opener.repeat(bytes / opener.len());
        let (half, whole) = (text(16 << 10), text(32 << 10));
        for family in Family::DISTINCT.into_iter().chain([Family::Unknown, Family::Json]) {
            let ratio = || time(family, &whole, &tools) / time(family, &half, &tools).max(FLOOR_SECONDS);
            // Other tests run beside this one: one quiet moment in a few is enough.
            let least = (0..4).map(|_| ratio()).find(|ratio| *ratio < 4.0);
            assert!(least.is_some(), "{family:?} on {opener:?} takes more than four times as long for twice the text");
        }
    }
}
