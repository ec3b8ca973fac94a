//! The shapes providers are known to answer in, and any other.

use std::convert::Infallible;

use bytes::Bytes;
use futures::{StreamExt, stream};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

/// A body that arrives in pieces of a size.
fn assembled(body: &[u8], piece: usize) -> Result<Value, Fault> {
    let pieces: Vec<_> = body.chunks(piece).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    block_on(assemble(stream::iter(pieces).map(|piece| Ok(piece.unwrap()))))
}

fn read(body: &str) -> Result<Reply, Fault> {
    Reply::read(assembled(body.as_bytes(), 8192)?, Some(1000))
}

fn whole(message: Value, finish: &str) -> String {
    json!({ "choices": [{ "message": message, "finish_reason": finish }] }).to_string()
}

fn streamed(deltas: &[Value], finish: &str) -> String {
    let mut chunks: Vec<_> = deltas.iter().map(|delta| json!({ "choices": [{ "delta": delta }] })).collect();
    chunks.push(json!({ "choices": [{ "delta": {}, "finish_reason": finish }] }));
    let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    format!("{events}data: [DONE]\n\n")
}

/// Name and arguments of every call, unreadable ones in quotation marks.
fn calls(reply: &Reply) -> Vec<String> {
    let show = |call: &ToolCall| match &call.arguments {
        Arguments::Object(object) => format!("{} {}", call.name, Value::Object(object.clone())),
        Arguments::Unreadable(text) => format!("{} {text:?}", call.name),
    };
    reply.message.tool_calls.iter().map(show).collect()
}

const WEB: &str = r#"pods_get {"name":"web-0"}"#;

#[test]
fn arguments_come_in_many_forms() {
    let cases = [
        (json!("{\"name\":\"web-0\"}"), WEB),
        (json!({ "name": "web-0" }), WEB),
        (json!("\"{\\\"name\\\":\\\"web-0\\\"}\""), WEB),
        (json!(""), "pods_get {}"),
        (json!(null), "pods_get {}"),
        (json!("null"), "pods_get {}"),
        (json!("{\"name\":\"a\"}{\"name\":\"b\"}"), r#"pods_get "{\"name\":\"a\"}{\"name\":\"b\"}""#),
        (json!("[1]"), r#"pods_get "[1]""#),
        (json!("{\"name\": \"we"), r#"pods_get "{\"name\": \"we""#),
        (json!(7), r#"pods_get "7""#),
    ];
    for (arguments, expected) in cases {
        let call = json!({ "function": { "name": "pods_get", "arguments": arguments } });
        let reply = read(&whole(json!({ "content": null, "tool_calls": [call] }), "stop")).unwrap();
        assert_eq!(calls(&reply), [expected]);
    }
}

#[test]
fn fragments_find_their_call_whatever_the_server_does_with_index_and_id() {
    let call = |index: Option<u64>, id: &str, name: Value, arguments: &str| {
        let mut fragment = json!({ "function": { "name": name, "arguments": arguments } });
        if let Some(index) = index {
            fragment["index"] = index.into();
        }
        if !id.is_empty() {
            fragment["id"] = id.into();
        }
        json!({ "tool_calls": [fragment] })
    };
    let (a, b) = (r#"pods_get {"name":"a"}"#, r#"pods_get {"name":"b"}"#);
    let cases: Vec<(&str, Vec<Value>, Vec<&str>)> = vec![
        (
            "as documented",
            vec![
                call(Some(0), "c1", "pods_get".into(), ""),
                call(Some(0), "", Value::Null, "{\"name\""),
                call(Some(0), "", Value::Null, ":\"a\"}"),
                call(Some(1), "c2", "pods_get".into(), "{\"name\":\"b\"}"),
            ],
            vec![a, b],
        ),
        (
            "no index",
            vec![
                call(None, "c1", "pods_get".into(), "{\"name\":\"a\"}"),
                call(None, "c2", "pods_get".into(), "{\"name\":\"b\"}"),
            ],
            vec![a, b],
        ),
        (
            "no index, in fragments",
            vec![
                call(None, "c1", "pods_get".into(), "{\"na"),
                call(None, "", Value::Null, "me\":\"a\"}"),
                call(None, "c2", "pods_get".into(), "{\"name\":\"b\"}"),
            ],
            vec![a, b],
        ),
        (
            "always index 0",
            vec![
                call(Some(0), "c1", "pods_get".into(), "{\"name\":\"a\"}"),
                call(Some(0), "c2", "pods_get".into(), "{\"name\":\"b\"}"),
            ],
            vec![a, b],
        ),
        (
            "always index 0 and no id",
            vec![
                call(Some(0), "", "pods_get".into(), "{\"name\":\"a\"}"),
                call(Some(0), "", "pods_get".into(), "{\"name\":\"b\"}"),
            ],
            vec![a, b],
        ),
        (
            "a new id on every fragment",
            vec![
                call(Some(0), "a1", "pods_get".into(), ""),
                call(Some(0), "a2", Value::Null, "{\"name\""),
                call(Some(0), "a3", Value::Null, ":\"a\"}"),
            ],
            vec![a],
        ),
        (
            "the name on every fragment",
            vec![
                call(Some(0), "c1", "pods_get".into(), "{\"name\""),
                call(Some(0), "c1", "pods_get".into(), ":\"a\"}"),
                call(Some(0), "c1", "pods_get".into(), ""),
            ],
            vec![a],
        ),
        (
            "one id for two calls",
            vec![
                call(Some(0), "x", "pods_get".into(), "{\"name\":\"a\"}"),
                call(Some(1), "x", "pods_get".into(), "{\"name\":\"b\"}"),
            ],
            vec![a, b],
        ),
    ];
    for (what, deltas, expected) in cases {
        let body = streamed(&deltas, "tool_calls");
        assert_eq!(calls(&read(&body).unwrap()), expected, "{what}");
    }
}

#[test]
fn the_result_does_not_depend_on_where_the_stream_is_cut_into_packets() {
    let deltas = [
        json!({ "role": "assistant", "content": null, "reasoning_content": "先看 Pod" }),
        json!({ "reasoning_content": "，再看事件 🙂" }),
        json!({ "content": "好的" }),
        json!({ "tool_calls": [{ "index": 0, "id": "c", "function": { "name": "pods_get", "arguments": "{\"name\":\"容器\"}" } }] }),
    ];
    let body = format!(": keep-alive\r\n\r\n\n{}", streamed(&deltas, "tool_calls"));
    let expected = assembled(body.as_bytes(), body.len()).unwrap();
    for piece in [1, 2, 7, 23] {
        assert_eq!(assembled(body.as_bytes(), piece).unwrap(), expected, "pieces of {piece} bytes");
    }
    let reply = Reply::read(expected, None).unwrap();
    assert_eq!(reply.message.reasoning(), Some("先看 Pod，再看事件 🙂"));
    assert_eq!(reply.message.content.as_deref(), Some("好的"));
}

#[test]
fn what_came_goes_back_verbatim_without_what_was_empty() {
    let message = json!({
        "role": "assistant", "content": null, "reasoning_content": "think", "refusal": null, "annotations": [],
        "tool_calls": [{ "id": "c", "type": "function", "extra_content": { "signature": "s" },
            "function": { "name": "pods get!", "arguments": "broken" } }]
    });
    let reply = read(&whole(message, "tool_calls")).unwrap();
    assert_eq!(
        serde_json::to_value(Message::Assistant(reply.message)).unwrap(),
        json!({
            "role": "assistant", "content": null, "reasoning_content": "think",
            "tool_calls": [{ "id": "c", "type": "function", "extra_content": { "signature": "s" },
                "function": { "name": "pods_get_", "arguments": "{}" } }]
        })
    );
}

#[test]
fn ends_are_told_apart() {
    let text = json!({ "content": "x" });
    assert!(read(&whole(text.clone(), "length")).unwrap().truncated);
    assert!(!read(&whole(text.clone(), "stop")).unwrap().truncated);
    assert!(read(&whole(text.clone(), "content_filter")).unwrap().filtered);
    assert!(!read(&whole(text.clone(), "insufficient_system_resource")).unwrap().truncated);
    let full = json!({ "choices": [{ "message": text, "finish_reason": "tool_calls" }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 1000 } });
    assert!(read(&full.to_string()).unwrap().truncated, "cut at max_tokens and called something else");
}

#[test]
fn usage_is_read_where_it_is_and_missed_where_it_is_not() {
    let usage = |prompt, completion| Some(TokenUsage { prompt, completion });
    let message = json!({ "content": "x" });
    let cases = [
        (
            json!({ "choices": [{ "message": message }], "usage": { "prompt_tokens": 5, "completion_tokens": 6 } }),
            usage(5, 6),
        ),
        (json!({ "choices": [{ "message": message }], "usage": { "prompt_tokens": 5.0 } }), usage(5, 0)),
        (
            json!({ "choices": [{ "message": message, "usage": { "prompt_tokens": "5", "completion_tokens": 1 } }] }),
            usage(5, 1),
        ),
        (json!({ "choices": [{ "message": message }], "usage": null }), None),
    ];
    for (completion, expected) in cases {
        assert_eq!(read(&completion.to_string()).unwrap().usage, expected);
    }
    let azure = format!(
        "data: {}\n\ndata: {}\n\ndata: {}\n\ndata: [DONE]\n\n",
        json!({ "choices": [], "prompt_filter_results": [] }),
        json!({ "choices": [{ "delta": { "content": "x" }, "finish_reason": "stop" }], "usage": null }),
        json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 4 } }),
    );
    assert_eq!(read(&azure).unwrap().usage, usage(3, 4));
}

#[test]
fn two_hundred_is_not_always_an_answer() {
    let refused = |status, body: &Value| Fault::Refused { status, body: body.to_string() };
    let nested = json!({ "error": { "message": "busy", "code": 429 } });
    assert_eq!(read(&nested.to_string()).unwrap_err(), refused(Some(429), &nested));
    let bare = json!({ "code": 20012, "message": "Model does not exist.", "data": null });
    assert_eq!(read(&bare.to_string()).unwrap_err(), refused(None, &bare));
    assert_eq!(read(&format!("data: {nested}\n\n")).unwrap_err(), refused(Some(429), &nested));
    assert_eq!(read(r#"{"choices":[]}"#).unwrap_err(), Fault::Empty);
    assert_eq!(read(r#"{"choices":[{}]}"#).unwrap_err(), Fault::Empty);
    assert_eq!(read("<html>502 Bad Gateway</html>").unwrap_err(), Fault::NotJson);
    for words in ["Hello, this is a proxy.", "error: upstream", "no healthy upstream", "42"] {
        assert_eq!(read(words).unwrap_err(), Fault::NotJson, "words, no stream: {words}");
    }
    for begun in [": keep-alive\n\n", "event: message\n", "d"] {
        assert_eq!(read(begun).unwrap_err(), Fault::Cut, "a stream that stopped: {begun}");
    }
    assert_eq!(read("  \n").unwrap_err(), Fault::Empty);
    assert_eq!(read("data: [DONE]\n\n").unwrap_err(), Fault::Empty);
    assert_eq!(read("data: {oops\n\n").unwrap_err(), Fault::NotJson);
    assert_eq!(read(r#"{"choices":[{"message":{"content":"ha"#).unwrap_err(), Fault::Cut);
}

#[test]
fn a_byte_order_mark_is_no_part_of_an_answer() {
    let streamed = streamed(&[json!({ "content": "ok" })], "stop");
    for body in [streamed.as_str(), r#"{"choices":[{"message":{"content":"ok"},"finish_reason":"stop"}]}"#] {
        let marked = format!("\u{feff}{body}");
        for piece in [1, 2, 8192] {
            let whole = assembled(marked.as_bytes(), piece).unwrap();
            assert_eq!(whole["choices"][0]["message"]["content"], "ok", "pieces of {piece} bytes");
        }
    }
    assert_eq!(assembled("\u{feff}".as_bytes(), 1).unwrap_err(), Fault::Empty);
}

#[test]
fn f23_bytes_that_are_no_utf8_are_no_answer_and_no_panic() {
    let broken = |text: &str| {
        let (before, after) = text.split_once("HERE").unwrap();
        [before.as_bytes(), b"\xff\xfe", after.as_bytes()].concat()
    };
    let said = json!({ "content": "all HERE is well" });
    for body in [streamed(std::slice::from_ref(&said), "stop"), whole(said, "stop")] {
        for piece in [1, 2, 8192] {
            assert_eq!(assembled(&broken(&body), piece).unwrap_err(), Fault::NotJson, "pieces of {piece} bytes");
        }
    }
    for begun in ["HERE", "HEREdata: {}\n\n", "data: HERE", "HERE{\"choices\":[]}"] {
        assert!(assembled(&broken(begun), 1).is_err(), "{begun}");
    }
}

#[test]
fn a_stream_that_just_stops_is_no_answer_and_one_that_forgets_done_is() {
    let body = streamed(&[json!({ "content": "half" })], "stop");
    let without_done = body.replace("data: [DONE]\n\n", "");
    assert_eq!(read(&without_done).unwrap().message.content.as_deref(), Some("half"));
    let first = without_done.split_inclusive("\n\n").next().unwrap();
    assert_eq!(read(first).unwrap_err(), Fault::Cut);
}

#[test]
fn content_in_parts_is_text() {
    let parts = json!({ "content": [{ "type": "thinking", "thinking": [] }, { "type": "text", "text": "a" }, "b"] });
    assert_eq!(read(&whole(parts, "stop")).unwrap().message.content.as_deref(), Some("ab"));
}

/// Any JSON, with the protocol's own keys often enough to go deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z{}\"\\\\\\[\\]:, ]{0,12}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "choices",
        "message",
        "delta",
        "content",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "index",
        "usage",
        "prompt_tokens",
        "error",
        "code",
        "finish_reason",
        "role",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_an_answer_or_a_fault(answer in any_json(), chunks in prop::collection::vec(any_json(), 0..5)) {
        let choice = json!({ "choices": [{ "message": answer.clone(), "delta": answer.clone() }] });
        for body in [answer.to_string(), choice.to_string()] {
            if let Ok(reply) = read(&body) {
                let sent_back = serde_json::to_value(Message::Assistant(reply.message)).unwrap();
                prop_assert_eq!(&sent_back["role"], "assistant");
            }
        }
        let events: String = chunks.iter().map(|delta| format!("data: {}\n\n", json!({ "choices": [{ "delta": delta }] }))).collect();
        let _ = read(&format!("{events}data: [DONE]\n\n"));
    }

    #[test]
    fn any_bytes_are_an_answer_or_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1usize..20) {
        let _ = assembled(&bytes, piece);
        let _ = assembled(&[b"data: ".as_slice(), &bytes, b"\n\n"].concat(), piece);
    }
}
