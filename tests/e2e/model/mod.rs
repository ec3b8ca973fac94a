//! The model client against a strict stand-in, and against every way in which providers fail.

mod matrix;
mod reactions;
mod reforms;

use std::sync::Arc;
use std::time::Duration;

use firstlook::agent::tools::{ToolAnswer, ToolSpec, Tools};
use firstlook::agent::{AnswerTool, Budget, Envelope, Outcome, Stop, Task, run};
use firstlook::alert::Lang;
use firstlook::model::profile::ToolSetting;
use firstlook::model::{
    Arguments, Capabilities, Class, Client, DailyLimits, Fallback, Function, Ledger, Message, Model, ModelConfig,
    ModelError, Reply, Request, Roster, ToolMode,
};
use firstlook::report::Diagnosis;
use firstlook::telemetry::Metrics;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::model::{Answer, KEY, ModelServer};

fn config(url: &str) -> ModelConfig {
    serde_json::from_value(json!({ "name": "fast", "base_url": url, "api_key": KEY, "model": "m", "timeout": "5s" }))
        .unwrap()
}

fn hello() -> Request {
    Request { messages: vec![Message::User { content: "hello".to_owned() }], tools: Vec::new() }
}

fn soon(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

async fn ask(server: &ModelServer) -> Result<Reply, ModelError> {
    Client::new(config(&server.url())).unwrap().complete(&hello(), soon(20)).await
}

fn text() -> Answer {
    Answer::Text("当然可以，这是一个足够长的回答，会被分成好几段。".repeat(3))
}

#[tokio::test]
async fn streamed_and_whole_answers_are_the_same() {
    let answers = || {
        let calls = vec![("pods_get".to_owned(), json!({ "name": "容器-0" })), ("nodes_top".to_owned(), json!({}))];
        [text(), Answer::Calls(calls)]
    };
    let whole = answers().map(|answer| Answer::Plain(Box::new(answer)));
    let server = ModelServer::start(answers().into_iter().chain(whole)).await;
    let mut replies = Vec::new();
    for _ in 0..4 {
        replies.push(ask(&server).await.unwrap());
    }
    assert_eq!(replies[0], replies[2]);
    assert_eq!(replies[0].message.content.as_deref().map(str::len), Some(216));
    assert!(replies[0].usage.is_some());
    let names = |reply: &Reply| {
        reply.message.tool_calls.iter().map(|call| (call.name.clone(), call.arguments.clone())).collect::<Vec<_>>()
    };
    assert_eq!(names(&replies[1]), names(&replies[3]));
    assert_eq!(names(&replies[1])[0].1, Arguments::Object(json!({ "name": "容器-0" }).as_object().unwrap().clone()));
    assert!(server.asked().iter().all(|asked| asked.body["stream"] == true));
}

/// Error bodies as providers send them: the status survives every shape, and a 429 in any shape is tried again.
#[tokio::test]
async fn every_shape_of_error_keeps_its_status_and_its_words() {
    let cases = [
        (
            400,
            r#"{"code":20012,"message":"Model does not exist. Please check it carefully.","data":null}"#,
            Class::Rejected,
            "Model does not exist",
        ),
        (401, r#""Invalid token""#, Class::Auth, "Invalid token"),
        (
            400,
            r#"{"object":"error","message":"bad field","type":"BadRequestError","param":null,"code":400}"#,
            Class::Rejected,
            "bad field",
        ),
        (
            404,
            r#"{"error":{"message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}}"#,
            Class::NotFound,
            "does not exist",
        ),
        (400, r#"{"error":"model \"x\" does not support tools"}"#, Class::ToolsUnsupported, "does not support tools"),
        (
            400,
            r#"{"error":{"message":"Content Exists Risk","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
            Class::ContentFilter,
            "Content Exists Risk",
        ),
        (
            402,
            r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
            Class::Quota,
            "Insufficient Balance",
        ),
        (
            422,
            r#"{"detail":[{"loc":["body"],"msg":"field required","type":"value_error"}]}"#,
            Class::Rejected,
            "field required",
        ),
        (403, "", Class::Auth, "no explanation"),
        (400, "plain words", Class::Rejected, "plain words"),
    ];
    for (status, body, class, words) in cases {
        let answer = || Answer::Raw(status, Vec::new(), body.to_owned());
        let server = ModelServer::start([answer(), answer()]).await;
        let error = ask(&server).await.unwrap_err();
        assert_eq!((error.status, error.class), (Some(status), class), "{body}");
        assert!(error.to_string().contains(words), "{error}");
        // What is refused for an unknown reason is asked once more in the plainest form.
        let times = if class == Class::Rejected { 2 } else { 1 };
        assert_eq!(server.asked().len(), times, "{body}");
    }
    let slow_down =
        [r#"{"message":"rate limit","code":50603,"data":null}"#, r#"{"error":"slow down"}"#, "slow down", ""];
    futures::future::join_all(slow_down.map(|body| async move {
        let server = ModelServer::start([Answer::Raw(429, Vec::new(), body.to_owned()), text()]).await;
        ask(&server).await.unwrap();
        assert_eq!(server.asked().len(), 2, "tried again: {body}");
    }))
    .await;
}

#[tokio::test]
async fn f19_what_fails_for_a_moment_is_tried_three_times_and_no_more() {
    let busy = || Answer::error(503, &json!({ "error": { "message": "overloaded" } }));
    let (recovers, stays) =
        (ModelServer::start([busy(), busy(), text()]).await, ModelServer::start([busy(), busy(), busy()]).await);
    let (answered, failed) = tokio::join!(ask(&recovers), ask(&stays));
    answered.unwrap();
    assert_eq!((failed.unwrap_err().class, stays.asked().len()), (Class::Server, 3));
}

#[tokio::test]
async fn the_wait_a_provider_asks_for_is_kept_when_it_fits() {
    let wait = |seconds: &str| Answer::Raw(429, vec![("retry-after", seconds.to_owned())], "{}".to_owned());
    let server = ModelServer::start([wait("2"), text()]).await;
    ask(&server).await.unwrap();
    let asked = server.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(2));

    let server = ModelServer::start([wait("7200")]).await;
    let started = Instant::now();
    let error = ask(&server).await.unwrap_err();
    assert_eq!((error.class, error.retry_after), (Class::RateLimited, Some(Duration::from_secs(7200))));
    assert!(started.elapsed() < Duration::from_secs(1), "it gives up at once");
}

#[tokio::test]
async fn two_hundred_with_something_else_inside_is_an_error() {
    let html = || Answer::Raw(200, vec![("content-type", "text/html".to_owned())], "<html>Sign in</html>".to_owned());
    let server = ModelServer::start([html(), html(), html()]).await;
    let error = ask(&server).await.unwrap_err();
    assert_eq!((error.class, server.asked().len()), (Class::BadAnswer, 3));
    assert!(!error.to_string().contains("Sign in") && error.to_string().contains("/v1"), "{error}");

    let inside = json!({ "error": { "message": "Insufficient credits", "code": 402 } });
    let server = ModelServer::start([Answer::error(200, &inside)]).await;
    let error = ask(&server).await.unwrap_err();
    assert_eq!((error.class, error.status), (Class::Quota, Some(402)));
    assert!(error.detail.contains("Insufficient credits"));
}

#[tokio::test]
async fn f21_a_stream_that_is_cut_gives_no_call_and_is_tried_again() {
    let call = || Answer::call("pods_get", json!({ "name": "a-long-name-that-needs-several-pieces-to-arrive" }));
    let server = ModelServer::start([Answer::Cut(Box::new(call())), call()]).await;
    let reply = ask(&server).await.unwrap();
    assert_eq!((reply.message.tool_calls.len(), server.asked().len()), (1, 2));

    let server = ModelServer::start([Answer::Cut(Box::new(call()))]).await;
    let error = Client::new(config(&server.url())).unwrap().complete(&hello(), soon(1)).await.unwrap_err();
    assert_eq!(error.class, Class::Network);
}

#[tokio::test]
async fn silence_ends_after_half_the_timeout_and_comments_after_the_whole() {
    for (answer, at_least, words) in
        [(Answer::Hang, 500, "silent for 500ms"), (Answer::KeepAlive, 1000, "no whole answer")]
    {
        let server = ModelServer::start([answer]).await;
        let timeout = jiff::SignedDuration::from_secs(1);
        let client = Client::new(ModelConfig { timeout, ..config(&server.url()) }).unwrap();
        let started = Instant::now();
        let error = client.complete(&hello(), Instant::now() + Duration::from_millis(1900)).await.unwrap_err();
        assert_eq!((error.class, error.detail.contains(words)), (Class::Timeout, true), "{error}");
        assert!((at_least..1900).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn comments_keep_a_slow_answer_alive_and_the_deadline_ends_it() {
    let late = |ms| Answer::After(Duration::from_millis(ms), Box::new(text()));
    let server = ModelServer::start([late(300), late(5_000)]).await;
    ask(&server).await.unwrap();
    let client = Client::new(config(&server.url())).unwrap();
    let started = Instant::now();
    let error = client.complete(&hello(), Instant::now() + Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.class, Class::Timeout);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn nothing_a_server_does_costs_more_than_a_bounded_answer() {
    let flood = || Answer::Raw(200, Vec::new(), format!("data: {}", "x".repeat(6 << 20)));
    let server = ModelServer::start([flood(), flood(), flood()]).await;
    // Reading so much takes a busy machine longer than the other tests' five seconds.
    let patient = ModelConfig { timeout: jiff::SignedDuration::from_secs(60), ..config(&server.url()) };
    let client = Client::new(patient).unwrap();
    let error = client.complete(&hello(), soon(60)).await.unwrap_err();
    assert!(error.detail.contains("longer than 4 MiB"), "{error}");
    let refusal = || Answer::Raw(400, Vec::new(), "y".repeat(6 << 20));
    let server = ModelServer::start([refusal(), refusal()]).await;
    assert!(ask(&server).await.unwrap_err().to_string().len() < 1_000);
}

#[tokio::test]
async fn the_key_is_in_no_error_and_goes_to_no_other_place() {
    let echo = Answer::error(401, &json!({ "error": { "message": format!("Incorrect API key provided: {KEY}") } }));
    let elsewhere = ModelServer::start([text()]).await;
    let redirect = Answer::Raw(307, vec![("location", format!("{}/chat/completions", elsewhere.url()))], String::new());
    let server = ModelServer::start([echo, redirect]).await;
    for class in [Class::Auth, Class::NotFound] {
        let error = ask(&server).await.unwrap_err();
        assert_eq!(error.class, class);
        assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_named_without_its_password() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(config(&format!("http://user:hunter2@{closed}/v1"))).unwrap();
    let error = client.complete(&hello(), soon(1)).await.unwrap_err();
    assert_eq!(error.class, Class::Network);
    assert!(error.to_string().contains("refused") && !format!("{error:?}").contains("hunter2"), "{error}");
    for url in ["ftp://x/v1", "not a url"] {
        assert_eq!(Client::new(config(url)).err().map(|error| error.class), Some(Class::Config));
    }
}

#[tokio::test]
async fn a_provider_that_does_not_know_stream_options_is_asked_without_them_from_then_on() {
    let server = ModelServer::scripted(|asked| match asked.body.get("stream_options") {
        Some(_) => Answer::error(422, &json!({ "detail": "Extra inputs are not permitted: stream_options" })),
        None => text(),
    })
    .await;
    let client = Client::new(config(&server.url())).unwrap();
    for _ in 0..2 {
        client.complete(&hello(), soon(10)).await.unwrap();
    }
    assert_eq!(server.asked().len(), 3);
}

fn offered() -> Request {
    let function = Function {
        name: "pods_get".to_owned(),
        description: "Reads a Pod.".to_owned(),
        parameters: json!({ "type": "object", "properties": { "name": { "type": "string" } } }),
        read_only: true,
    };
    Request { tools: vec![function], ..hello() }
}

#[tokio::test]
async fn an_endpoint_without_function_calling_is_asked_in_the_prompt_from_then_on() {
    let server = ModelServer::scripted(|asked| match asked.body.get("tools") {
        Some(_) => Answer::error(400, &json!({ "error": { "message": "m does not support Function Calling" } })),
        None => Answer::Text(
            r#"<think>先看</think>{"tool_calls":[{"name":"pods_get","arguments":{"name":"a"}}]}"#.to_owned(),
        ),
    })
    .await;
    let client = Client::new(config(&server.url())).unwrap();
    assert_eq!(client.mode(), ToolMode::Native);
    for _ in 0..2 {
        let reply = client.complete(&offered(), soon(10)).await.unwrap();
        assert_eq!((reply.message.tool_calls[0].name.as_str(), reply.message.content), ("pods_get", None));
    }
    assert_eq!((server.asked().len(), client.mode()), (3, ToolMode::Prompt));
    let refused = client.raw(&offered(), soon(10)).await.unwrap_err();
    assert_eq!(refused.class, Class::ToolsUnsupported, "what was learnt does not hide what the endpoint does");

    let native = serde_json::from_value(
        json!({ "name": "fast", "base_url": server.url(), "api_key": KEY, "model": "m", "tools": "native" }),
    );
    let refused = Client::new(native.unwrap()).unwrap().complete(&offered(), soon(10)).await.unwrap_err();
    assert_eq!(refused.class, Class::ToolsUnsupported, "the operator has the last word");
}

#[tokio::test]
async fn what_was_found_out_decides_the_mode_and_the_window() {
    let server = ModelServer::start([]).await;
    let client = Client::new(config(&server.url())).unwrap();
    let found: Capabilities = serde_json::from_value(
        json!({ "probed_at": "2026-01-01T00:00:00Z", "native_tools": false, "front_truncated": true }),
    )
    .unwrap();
    client.learn(&found);
    assert_eq!((client.mode(), client.context_tokens()), (ToolMode::Prompt, 4096));
    assert_eq!(client.capabilities(), Some(found));
}

#[tokio::test]
async fn calls_in_the_text_are_found_and_their_markers_are_not_shown() {
    let markup = "我先看一下。\n<tool_call>\n{\"name\": \"pods_get\", \"arguments\": {\"name\": \"a\"}}\n</tool_call>";
    let server = ModelServer::start([Answer::Text(markup.to_owned())]).await;
    let client = Client::new(ModelConfig { model: "qwen3".to_owned(), ..config(&server.url()) }).unwrap();
    let reply = client.complete(&offered(), soon(10)).await.unwrap();
    assert_eq!(reply.message.tool_calls[0].name, "pods_get");
    assert_eq!(reply.message.content.as_deref(), Some("我先看一下。"));
    assert_eq!(client.take_recovered_calls(), 1);
    assert_eq!(client.take_recovered_calls(), 0);
}

/// Tools that answer with a text of a size.
struct Cluster(usize);

impl Tools for Cluster {
    fn specs(&self) -> Vec<ToolSpec> {
        let parameters = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
        vec![ToolSpec {
            name: "pods_get".to_owned(),
            description: "Reads a Pod.".to_owned(),
            parameters,
            read_only: true,
        }]
    }

    fn shown_bytes(&self) -> usize {
        24 << 10
    }

    async fn call(&self, _: &str, arguments: Value) -> ToolAnswer {
        let text = format!("status of {}: Pending\n{}", arguments["name"], "detail\n".repeat(self.0 / 7));
        ToolAnswer { text, reference: Some("E1".to_owned()), is_error: false }
    }
}

async fn investigate(model: &impl Model, cluster: &Cluster) -> Outcome<Diagnosis> {
    let answer = AnswerTool::new("submit_diagnosis", "Submit the diagnosis.").unwrap();
    let (budget, envelope) = (Budget::default(), Envelope::new());
    let task = Task {
        shorter: &[],
        read: |_| None,
        system: "s",
        prompt: "p",
        answer: &answer,
        budget: &budget,
        envelope: &envelope,
        lang: Lang::Zh,
    };
    run(model, cluster, task).await
}

fn submission() -> Answer {
    let cause = json!({ "summary": "PVC 未绑定", "resource": { "kind": "PersistentVolumeClaim", "namespace": "aiops", "name": "test-data" },
        "confidence": "high", "evidence": [{ "ref": "E1", "quote": "Pending" }] });
    Answer::call(
        "submit_diagnosis",
        json!({ "verdict": "fault", "headline": "PVC test-data 未绑定", "causes": [cause] }),
    )
}

/// A model with every bad manner, one in each turn: the strict provider must never see a conversation it would refuse.
fn manners(turn: usize) -> Answer {
    let odd = |calls: Value| {
        let message = json!({ "content": null, "reasoning_content": "想一想", "tool_calls": calls });
        Answer::Message(message, "tool_calls")
    };
    let function = |name: &str, arguments: Value| json!({ "name": name, "arguments": arguments });
    match turn {
        0 => Answer::Message(json!({ "content": "" }), "stop"),
        1 => odd(json!([
            { "id": "x", "function": function("pods_get", json!({ "name": "a" })) },
            { "id": "x", "function": function("pods_get", json!("{\"name\":")) },
            { "function": function("删除 pod!", json!("")) },
        ])),
        2 => odd(
            json!([{ "id": "x", "function": function("functions.pods_get", json!("\"{\\\"name\\\":\\\"b\\\"}\"")) }]),
        ),
        3 => {
            let incomplete = ("submit_diagnosis".to_owned(), json!({ "verdict": "fault" }));
            Answer::Calls(vec![incomplete, ("pods_get".to_owned(), json!({ "name": "c" }))])
        }
        4 => Answer::Text("我认为原因是……".to_owned()),
        5 => Answer::Message(json!({ "content": "half of an answ" }), "length"),
        _ => submission(),
    }
}

#[tokio::test]
async fn bad_manners_never_break_the_conversation() {
    let mut turns = 0..;
    let server = ModelServer::scripted(move |_| manners(turns.next().unwrap())).await;
    let outcome = investigate(&Client::new(config(&server.url())).unwrap(), &Cluster(10)).await;
    assert_eq!(outcome.stop, Stop::Submitted, "{:?}", outcome.error);
    assert_eq!(outcome.submitted.unwrap().causes[0].resource.name, "test-data");
    assert_eq!((outcome.model.as_str(), outcome.spent.turns, outcome.spent.tool_calls), ("fast", 7, 3));
    let asked = server.asked();
    assert!(asked.iter().all(|asked| asked.offered() == ["pods_get", "submit_diagnosis"]));
    let last = asked.last().unwrap();
    let thinking = last.messages().iter().filter(|message| message["reasoning_content"] == "想一想").count();
    assert_eq!(thinking, 2, "thinking goes back unchanged");
    assert_eq!(last.results().len(), 6, "every call is answered: {:?}", last.results());
}

#[tokio::test]
async fn a_long_investigation_fits_a_small_window() {
    let mut turn = 0;
    let server = ModelServer::scripted(move |asked| {
        turn += 1;
        let length = asked.body.to_string().len();
        match turn {
            _ if length > 32_000 => {
                Answer::error(400, &json!({ "error": { "message": "maximum context length is 8000" } }))
            }
            1..=7 => Answer::call("pods_get", json!({ "name": format!("p{turn}") })),
            _ => submission(),
        }
    })
    .await;
    let client = Client::new(ModelConfig { context_tokens: Some(8_000), ..config(&server.url()) }).unwrap();
    let outcome = investigate(&client, &Cluster(4_000)).await;
    assert_eq!((outcome.stop, outcome.spent.turns, server.asked().len()), (Stop::Submitted, 8, 8));
    let prompt = server.asked()[7].messages()[1]["content"].to_string();
    assert!(prompt.contains("E1 pods_get") && prompt.contains("p1"), "{prompt}");
}

#[tokio::test]
async fn the_next_model_answers_for_one_that_cannot() {
    let first = ModelServer::start([Answer::error(
        400,
        &json!({ "error": { "message": "does not support Function Calling" } }),
    )])
    .await;
    let second = ModelServer::start([Answer::call("pods_get", json!({ "name": "a" })), submission()]).await;
    let named = |name: &str, server: &ModelServer| {
        let tools = Some(ToolSetting::Native);
        Client::new(ModelConfig { name: name.to_owned(), tools, ..config(&server.url()) }).unwrap()
    };
    let models = [named("r1", &first), named("qwen", &second)].map(|client| (client, DailyLimits::default()));
    let ledger = Ledger::new(jiff::tz::TimeZone::UTC);
    let roster = Roster::new(models, ledger, DailyLimits::default(), Arc::new(Metrics::new()));
    let models = Fallback::new(Arc::new(roster)).unwrap_or_else(|passed| panic!("{passed:?}"));
    // In the service every triage is a task of its own.
    let outcome = tokio::spawn(async move { investigate(&models, &Cluster(10)).await }).await.unwrap();
    assert_eq!((outcome.stop, outcome.model.as_str()), (Stop::Submitted, "qwen"));
    assert_eq!((first.asked().len(), second.asked().len()), (1, 2));
}

/// The stand-in itself: what it lets pass, real providers let pass.
#[tokio::test]
async fn the_stand_in_refuses_what_real_providers_refuse() {
    let user = json!({ "role": "user", "content": "hi" });
    let call = |id: &str, name: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    let asks = |calls: Value| json!({ "role": "assistant", "content": null, "tool_calls": calls });
    let result = |id: &str| json!({ "role": "tool", "tool_call_id": id, "content": "r" });
    let tool = |parameters: Value| json!([{ "type": "function", "function": { "name": "f", "description": "d", "parameters": parameters } }]);
    let messages = |messages: Value| json!({ "model": "m", "messages": messages });
    let with_tool = |parameters: Value| json!({ "model": "m", "messages": [user], "tools": tool(parameters) });
    let cases = [
        (messages(json!([])), "must not be empty"),
        (messages(json!([{ "role": "robot", "content": "x" }])), "unknown role"),
        (messages(json!([{ "role": "user", "content": "" }])), "non-empty"),
        (messages(json!([user, user])), "successive user"),
        (messages(json!([user, result("a")])), "tool id not found"),
        (messages(json!([user, asks(json!([call("a", "f", "{}")])), user])), "without an answer"),
        (
            messages(json!([
                user,
                asks(json!([call("a", "f", "{}"), call("b", "f", "{}")])),
                result("b"),
                result("a")
            ])),
            "in the order",
        ),
        (
            messages(json!([
                user,
                asks(json!([call("a", "f", "{}"), call("a", "f", "{}")])),
                result("a"),
                result("a")
            ])),
            "duplicate",
        ),
        (messages(json!([user, asks(json!([call("a", "f", "[]")])), result("a")])), "arguments"),
        (messages(json!([user, asks(json!([call("a", "f g", "{}")])), result("a")])), "does not match"),
        (messages(json!([user, { "role": "assistant", "content": "" }, user])), "content or tool_calls"),
        (messages(json!([user, { "role": "assistant", "content": "x" }])), "last message"),
        (json!({ "model": "m", "messages": [user], "tools": [] }), "must not be empty"),
        (json!({ "model": "m", "messages": [user], "foo": 1 }), "unknown parameter"),
        (with_tool(json!({ "type": "object" })), "needs properties"),
        (with_tool(json!({ "type": "objekt", "properties": {} })), "type object"),
        (with_tool(json!({ "type": "object", "properties": { "a": { "enum": ["x"] } } })), "without one type"),
        (with_tool(json!({ "type": "object", "properties": { "a": { "type": "text" } } })), "invalid JSON schema"),
        (
            with_tool(json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/A" } } })),
            "$ref is not supported",
        ),
    ];
    let server = ModelServer::start([]).await;
    let url = format!("{}/chat/completions", server.url());
    firstlook::trust::cryptography();
    let http = reqwest::Client::new();
    for (body, reason) in &cases {
        let response = http.post(&url).bearer_auth(KEY).json(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{body}");
        let said = response.text().await.unwrap();
        assert!(said.contains(reason), "{reason:?} is not in {said}");
    }
    let response = http.post(&url).json(&messages(json!([user]))).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(server.take_refusals().len(), cases.len() + 1);
}
