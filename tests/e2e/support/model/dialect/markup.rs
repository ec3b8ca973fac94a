//! Calls as model families write them into their text.

use serde_json::{Value, json};

type Calls = [(String, Value)];

fn all(calls: &Calls, between: &str, one: impl Fn(&str, &Value) -> String) -> String {
    calls.iter().map(|(name, arguments)| one(name, arguments)).collect::<Vec<_>>().join(between)
}

/// The parameters of a call: raw text where it is text, JSON where it is not.
fn parameters(arguments: &Value, between: &str, one: impl Fn(&str, &str, bool) -> String) -> String {
    let one = |(name, value): (&String, &Value)| match value.as_str() {
        Some(text) => one(name, text, true),
        None => one(name, &value.to_string(), false),
    };
    arguments.as_object().into_iter().flatten().map(one).collect::<Vec<_>>().join(between)
}

/// The shape a prompt asks for, after thinking that a server left in the text, and in a fence.
pub fn as_asked_for(calls: &Calls) -> String {
    let calls: Vec<_> = calls.iter().map(|(name, arguments)| json!({ "name": name, "arguments": arguments })).collect();
    format!("<think>\n{}\n</think>\n\n```json\n{}\n```", super::THOUGHT, json!({ "tool_calls": calls }))
}

/// DeepSeek V3, V3-0324 and R1.
pub fn deepseek_v3(calls: &Calls) -> String {
    let calls = all(calls, "\n", |name, arguments| {
        format!("<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{arguments}\n```<｜tool▁call▁end｜>")
    });
    format!("<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜><｜end▁of▁sentence｜>")
}

/// DeepSeek V3.1.
pub fn deepseek_v31(calls: &Calls) -> String {
    let calls = all(calls, "", |name, arguments| {
        format!("<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>")
    });
    format!("<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜>")
}

/// DeepSeek V3.2.
pub fn deepseek_v32(calls: &Calls) -> String {
    let calls = all(calls, "\n", |name, arguments| {
        let parameters = parameters(arguments, "\n", |name, value, is_text| {
            format!("<｜DSML｜parameter name=\"{name}\" string=\"{is_text}\">{value}</｜DSML｜parameter>")
        });
        format!("<｜DSML｜invoke name=\"{name}\">\n{parameters}\n</｜DSML｜invoke>")
    });
    format!("<｜DSML｜function_calls>\n{calls}\n</｜DSML｜function_calls>")
}

/// Hermes, Qwen2.5 and Qwen3.
pub fn hermes(calls: &Calls) -> String {
    all(calls, "\n", |name, arguments| {
        format!("<tool_call>\n{}\n</tool_call>", json!({ "name": name, "arguments": arguments }))
    })
}

/// Qwen3-Coder and later Qwens.
pub fn qwen3_coder(calls: &Calls) -> String {
    all(calls, "\n", |name, arguments| {
        let parameters =
            parameters(arguments, "\n", |name, value, _| format!("<parameter={name}>\n{value}\n</parameter>"));
        format!("<tool_call>\n<function={name}>\n{parameters}\n</function>\n</tool_call>")
    })
}

/// GLM-4.5 and GLM-4.6.
pub fn glm45(calls: &Calls) -> String {
    all(calls, "\n", |name, arguments| {
        let parameters = parameters(arguments, "\n", |name, value, _| {
            format!("<arg_key>{name}</arg_key>\n<arg_value>{value}</arg_value>")
        });
        format!("<tool_call>{name}\n{parameters}\n</tool_call>")
    })
}

/// Kimi K2.
pub fn kimi_k2(calls: &Calls) -> String {
    let mut number = 0..;
    let calls: String = calls
        .iter()
        .map(|(name, arguments)| {
            let number = number.next().unwrap_or_default();
            format!(
                "<|tool_call_begin|>functions.{name}:{number}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"
            )
        })
        .collect();
    format!("<|tool_calls_section_begin|>{calls}<|tool_calls_section_end|>")
}

/// MiniMax M2.
pub fn minimax_m2(calls: &Calls) -> String {
    let calls = all(calls, "\n", |name, arguments| {
        let parameters =
            parameters(arguments, "\n", |name, value, _| format!("<parameter name=\"{name}\">{value}</parameter>"));
        format!("<invoke name=\"{name}\">\n{parameters}\n</invoke>")
    });
    format!("<minimax:tool_call>\n{calls}\n</minimax:tool_call>")
}

/// Mistral.
pub fn mistral(calls: &Calls) -> String {
    let calls: Vec<_> = calls.iter().map(|(name, arguments)| json!({ "name": name, "arguments": arguments })).collect();
    format!("[TOOL_CALLS] {}", Value::Array(calls))
}
