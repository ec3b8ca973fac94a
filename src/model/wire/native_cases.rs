//! The acceptance cases of answers that call in their own field, and of refusals, read as the client reads them.

use std::convert::Infallible;

use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::*;
use crate::model::{Class, ModelError};

fn cases() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../../tests/fixtures/toolcall-cases.json")).unwrap();
    all["native_cases"].as_array().unwrap().clone()
}

/// The body a provider would send.
fn body(case: &Value) -> Option<String> {
    if let Some(choice) = case.get("message").filter(|message| message.is_object()) {
        return Some(json!({ "choices": [choice] }).to_string());
    }
    let deltas = case.get("stream_chunks")?.as_array()?;
    let events = deltas.iter().map(|delta| json!({ "choices": [{ "delta": delta }] }));
    let end = json!({ "choices": [{ "delta": {}, "finish_reason": "tool_calls" }] });
    let events: String = events.chain([end]).map(|event| format!("data: {event}\n\n")).collect();
    Some(format!("{events}data: [DONE]\n\n"))
}

fn read(body: &str, piece: usize) -> Result<Reply, Fault> {
    let pieces: Vec<_> = body.as_bytes().chunks(piece).map(Bytes::copy_from_slice).map(Ok::<_, Infallible>).collect();
    let completion = futures::executor::block_on(assemble(stream::iter(pieces).map(|piece| Ok(piece.unwrap()))))?;
    Reply::read(completion, Some(1000))
}

/// What the wire knows of a turn; how often a call may be made and how many are carried out, the loop decides.
fn summary(reply: &Reply) -> (&'static str, Vec<Value>) {
    let unreadable = |call: &ToolCall| matches!(call.arguments, Arguments::Unreadable(_));
    let calls = &reply.message.tool_calls;
    let status = match () {
        () if reply.truncated => "truncated",
        () if reply.filtered => "content_filter",
        () if calls.iter().any(unreadable) => "bad_arguments",
        () if calls.is_empty() && reply.message.content.as_deref().unwrap_or_default().trim().is_empty() => {
            "empty_turn"
        }
        () => "parsed",
    };
    if status != "parsed" {
        return (status, Vec::new());
    }
    let call = |call: &ToolCall| match &call.arguments {
        // The loop takes the prefix off where it looks the function up.
        Arguments::Object(arguments) => {
            json!({ "name": call.name.trim_start_matches("functions."), "arguments": arguments })
        }
        Arguments::Unreadable(_) => Value::Null,
    };
    (status, calls.iter().map(call).collect())
}

#[test]
fn every_answer_comes_out_as_written_however_it_arrives() {
    let mut read_cases = 0;
    for case in cases() {
        let Some(body) = body(&case) else { continue };
        read_cases += 1;
        let whole = read(&body, body.len()).unwrap();
        for piece in [1, 7, 23] {
            assert_eq!(read(&body, piece).unwrap(), whole, "{} in pieces of {piece} bytes", case["id"]);
        }
        let (status, calls) = summary(&whole);
        let expected = case["expect"]["calls"].as_array().unwrap();
        match case["expect"]["status"].as_str().unwrap() {
            // Only the first ones are carried out; the wire hands all of them on.
            "too_many_calls" => assert_eq!(calls[..expected.len()], expected[..], "{}", case["id"]),
            other => assert_eq!((status, &calls), (other, expected), "{}", case["id"]),
        }
    }
    assert!(read_cases > 12, "{read_cases} cases");
}

#[test]
fn comments_of_a_stream_are_no_answer() {
    let case = cases().into_iter().find(|case| case["id"] == "nat-19").unwrap();
    let answer = json!({ "choices": [{ "delta": { "content": "ok" }, "finish_reason": "stop" }] }).to_string();
    let body = case["message"].as_str().unwrap().replace("{...}", &answer);
    assert_eq!(read(&body, 1).unwrap().message.content.as_deref(), Some("ok"));
}

/// The class that leads to each reaction; what the client and the loop do about it is tested where they do it.
#[test]
fn f22_every_refusal_is_of_the_class_that_leads_to_its_reaction() {
    for case in cases() {
        let Some(response) = case.get("response") else { continue };
        let status = u16::try_from(response["http_status"].as_u64().unwrap()).unwrap();
        let body = response["body"].as_str().map_or_else(|| response["body"].to_string(), str::to_owned);
        if status == 200 {
            assert_eq!(read(&body, 7).unwrap_err(), Fault::NotJson, "{}", case["id"]);
            continue;
        }
        let class = ModelError::refused("m", Some(status), None, &body).class;
        let expected = match case["expect"]["status"].as_str().unwrap() {
            "switch_profile" => Class::ToolsUnsupported,
            "backoff" | "give_up" => Class::RateLimited,
            "content_filter" => Class::ContentFilter,
            // History, streaming and forced tools are the request's own faults; it is never sent again unchanged.
            "fix_history_and_retry" | "switch_to_stream" | "tool_choice_auto" => {
                assert!(!class.is_retryable(), "{}: {class:?}", case["id"]);
                continue;
            }
            other => panic!("{other} has no class"),
        };
        assert_eq!(class, expected, "{}", case["id"]);
    }
}
