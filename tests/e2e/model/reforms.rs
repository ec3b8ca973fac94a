//! A refusal that says what it wants: the same question goes out in that form, at once, and the form is kept. Through the
//! built program; which words lead to which form is told beside the table of refusals.

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, webhook};
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, Asked, KEY, ModelServer};
use crate::support::pending;
use crate::support::service::Home;

/// Whether a body has the form the endpoint wants.
type Form = fn(&Value) -> bool;

/// What the model thinks in its first turn.
const THOUGHT: &str = "The claim first.";

/// Looks, and gives its thinking under this name.
fn look(thinking: &str) -> Answer {
    let calls = pending::reads().into_iter().enumerate().map(|(index, (name, arguments))| {
        json!({"index": index, "id": format!("call_{index}"), "type": "function",
            "function": {"name": name, "arguments": arguments.to_string()}})
    });
    let calls: Vec<Value> = calls.collect();
    Answer::Message(json!({"role": "assistant", "content": null, thinking: THOUGHT, "tool_calls": calls}), "tool_calls")
}

fn answer(asked: &Asked) -> Answer {
    if asked.results().is_empty() { look("reasoning_content") } else { pending::submit(asked) }
}

fn refuse(words: &str) -> Answer {
    Answer::error(400, &json!({"error": {"message": words, "code": "invalid_request_error"}}))
}

async fn investigated(models: Value) -> (Value, String) {
    let feishu = Feishu::start().await;
    let home = Home::new(&json!({
        // Two turns, so that the loop says something behind the results of the first.
        "mcp": builtin(PENDING), "models": models, "triage": {"deadline": "40s", "max_turns": 2},
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
    }));
    let service = home.serve().await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    (service.settled(&id, 45).await, service.log())
}

/// An endpoint that refuses every other form than one, in these words.
async fn reforms(what: &str, settings: Value, words: &'static str, wants: Form) {
    let server =
        ModelServer::scripted(move |asked| if wants(&asked.body) { answer(asked) } else { refuse(words) }).await;
    let mut model = json!({"name": "fast", "base_url": server.url(), "api_key": KEY, "model": "m", "timeout": "10s"});
    model.as_object_mut().unwrap().extend(settings.as_object().cloned().unwrap());
    let (incident, log) = investigated(json!([model])).await;
    let usage = &incident["report"]["usage"];
    assert_eq!((&usage["source"], &usage["passed_over"]), (&json!("model"), &json!([])), "{what}: {incident:#}\n{log}");
    assert_eq!(incident["report"]["causes"][0]["resource"]["name"], "test-data", "{what}");
    let refused = server.asked().iter().filter(|asked| !wants(&asked.body)).count();
    assert_eq!(refused, 1, "{what}: the form is kept\n{log}");
}

fn with_calls(body: &Value) -> impl Iterator<Item = &Value> {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().filter(|message| message["role"] == "assistant" && message["tool_calls"].is_array())
}

fn in_a_row(body: &Value, first: &str, second: &str) -> bool {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages.windows(2).any(|pair| pair[0]["role"] == first && pair[1]["role"] == second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_what_a_refusal_asks_for_is_done_once_and_kept() {
    tokio::join!(
        reforms(
            "no thinking back",
            json!({"replay_reasoning": "always"}),
            "reasoning_content is not allowed in the input messages",
            |body| !body["messages"].to_string().contains("reasoning_content"),
        ),
        reforms(
            "thinking back",
            json!({"replay_reasoning": "never"}),
            "Missing `reasoning_content` field in the assistant message at message index 2",
            |body| with_calls(body).all(|message| message["reasoning_content"].is_string()),
        ),
        reforms(
            "results and words in one",
            json!({}),
            "deepseek-reasoner does not support successive user or assistant messages (messages[4] and messages[5] in \
             your input).",
            |body| !in_a_row(body, "tool", "user"),
        ),
        reforms(
            "a lower limit",
            json!({"max_tokens": 100_000}),
            "max_tokens is too large: 100000. This model supports at most 8192 completion tokens",
            |body| body["max_tokens"].as_u64().is_some_and(|limit| limit <= 8192),
        ),
        reforms("words nobody knows", json!({"temperature": 0.3}), "gateway: request shape 7 is off", |body| body
            .get("temperature")
            .is_none(),),
    );
}

/// A turn of one provider goes to the next, which wants the thinking under a name of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_of_one_dialect_is_understood_by_the_next() {
    let first = ModelServer::scripted(|asked| match asked.results().is_empty() {
        true => look("reasoning"),
        false => Answer::error(503, &json!({"error": {"message": "overloaded"}})),
    })
    .await;
    let wants = |body: &Value| with_calls(body).all(|message| message["reasoning_content"] == THOUGHT);
    let words = "The `reasoning_content` in the thinking mode must be passed back to the API.";
    let second =
        ModelServer::scripted(move |asked| if wants(&asked.body) { answer(asked) } else { refuse(words) }).await;
    let entry = |name: &str, server: &ModelServer| json!({"name": name, "base_url": server.url(), "api_key": KEY, "model": "m", "timeout": "10s"});
    let (incident, log) = investigated(json!([entry("first", &first), entry("second", &second)])).await;
    let usage = &incident["report"]["usage"];
    assert_eq!((&usage["source"], &usage["model"]), (&json!("model"), &json!("second")), "{incident:#}\n{log}");
    assert!(second.asked().len() <= 2, "{log}");
}
