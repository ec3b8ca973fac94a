//! A provider of chat completions that is as strict as the strictest real one, and fails in all their ways on request.

pub mod dialect;
mod strict;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::post;
use firstlook::model::probe::GREETING;
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// The only key that is accepted.
pub const KEY: &str = "sk-stand-in-0123456789";

/// What the stand-in does with one request.
pub enum Answer {
    /// The model says something.
    Text(String),
    /// The model asks for calls: name and arguments.
    Calls(Vec<(String, Value)>),
    /// One message of any shape, streamed as one delta or sent whole, with its finish reason.
    Message(Value, &'static str),
    /// The answer inside, as one JSON document, although a stream was asked for.
    Plain(Box<Answer>),
    /// The answer inside, cut off in the middle of the stream.
    Cut(Box<Answer>),
    /// The answer inside, after a while and some keep-alive comments.
    After(Duration, Box<Answer>),
    /// Status, headers and body, as they are.
    Raw(u16, Vec<(&'static str, String)>, String),
    /// Nothing, not even headers.
    Hang,
    /// Headers, and then comments for ever.
    KeepAlive,
    /// One event of 200 MB; the bytes that were taken of it are counted.
    Flood(Arc<AtomicUsize>),
}

impl Answer {
    /// One call.
    pub fn call(name: &str, arguments: Value) -> Self {
        Self::Calls(vec![(name.to_owned(), arguments)])
    }

    /// An error with a JSON body.
    pub fn error(status: u16, body: &Value) -> Self {
        Self::Raw(status, vec![("content-type", "application/json".to_owned())], body.to_string())
    }
}

/// One request as it came in, already found acceptable.
#[derive(Debug, Clone)]
pub struct Asked {
    pub body: Value,
    pub at: Instant,
}

impl Asked {
    /// Names of the offered tools.
    pub fn offered(&self) -> Vec<&str> {
        let tools = self.body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        tools.iter().filter_map(|tool| tool["function"]["name"].as_str()).collect()
    }

    pub fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Texts of all tool results so far.
    pub fn results(&self) -> Vec<&str> {
        let tools = self.messages().iter().filter(|message| message["role"] == "tool");
        tools.filter_map(|message| message["content"].as_str()).collect()
    }
}

type Script = Box<dyn FnMut(&Asked) -> Answer + Send>;

#[derive(Default)]
struct Provider {
    queue: Mutex<VecDeque<Answer>>,
    script: Mutex<Option<Script>>,
    asked: Mutex<Vec<Asked>>,
    refused: Mutex<Vec<String>>,
    is_examined: AtomicBool,
}

/// A running stand-in. Dropping it fails the test when it had to refuse a request nobody expected it to refuse.
pub struct ModelServer {
    provider: Arc<Provider>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl ModelServer {
    /// Starts with answers in order; afterwards `script` decides, or the request is refused.
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let provider = Arc::new(Provider { queue: Mutex::new(answers.into_iter().collect()), ..Provider::default() });
        let router = Router::new().route("/v1/chat/completions", post(complete)).with_state(Arc::clone(&provider));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { provider, address, task }
    }

    /// Starts with a script that sees each request and decides.
    pub async fn scripted(script: impl FnMut(&Asked) -> Answer + Send + 'static) -> Self {
        let server = Self::start([]).await;
        *server.provider.script.lock().unwrap() = Some(Box::new(script));
        server
    }

    /// The same, and the questions that find out what the endpoint can do reach the script too. Elsewhere they are
    /// answered as a good model does, apart from everything else, because they come whenever a service starts.
    pub async fn examined(script: impl FnMut(&Asked) -> Answer + Send + 'static) -> Self {
        let server = Self::scripted(script).await;
        server.provider.is_examined.store(true, Ordering::Relaxed);
        server
    }

    /// What belongs under `base_url`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// All acceptable requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.provider.asked.lock().unwrap().clone()
    }

    /// Takes the reasons of the refusals so far: the test expected them.
    pub fn take_refusals(&self) -> Vec<String> {
        std::mem::take(&mut self.provider.refused.lock().unwrap())
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.task.abort();
        let refused = self.take_refusals();
        assert!(refused.is_empty() || std::thread::panicking(), "the provider refused: {refused:#?}");
    }
}

async fn complete(State(provider): State<Arc<Provider>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let refuse = |status: StatusCode, reason: String| {
        provider.refused.lock().unwrap().push(reason.clone());
        let body = json!({ "error": { "message": reason, "type": "invalid_request_error", "code": null } });
        respond(status.as_u16(), &[("content-type", "application/json".to_owned())], Body::from(body.to_string()))
    };
    if !provider.is_examined.load(Ordering::Relaxed)
        && let Some(answer) = examination(&body)
    {
        return answer;
    }
    if headers.get("authorization").is_none_or(|value| value != format!("Bearer {KEY}").as_str()) {
        return refuse(StatusCode::UNAUTHORIZED, "invalid api key".to_owned());
    }
    let body = match strict::check(&body) {
        Ok(body) => body,
        Err(reason) => return refuse(StatusCode::BAD_REQUEST, reason),
    };
    let asked = Asked { body, at: Instant::now() };
    provider.asked.lock().unwrap().push(asked.clone());
    let queued = provider.queue.lock().unwrap().pop_front();
    let answer = queued.or_else(|| provider.script.lock().unwrap().as_mut().map(|script| script(&asked)));
    match answer {
        Some(answer) => perform(answer, &asked.body).await,
        None => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the script of the stand-in has no answer left".to_owned()),
    }
}

/// A good model's answer to a question that finds out what it can do.
fn examination(body: &[u8]) -> Option<Response<Body>> {
    let request: Value = serde_json::from_slice(body).ok()?;
    request["messages"][0]["content"].as_str()?.starts_with(GREETING).then(|| document(&capable(&request), &request))
}

/// What a model without weaknesses answers to an examination.
pub fn capable(request: &Value) -> Answer {
    let call = |part: &str| ("report_ready".to_owned(), json!({ "part": part }));
    match request["tools"].as_array() {
        Some(_) => Answer::Calls(vec![call("first"), call("second")]),
        None => Answer::Text("heron".to_owned()),
    }
}

async fn perform(answer: Answer, request: &Value) -> Response<Body> {
    let streams = request["stream"] == true;
    match answer {
        Answer::Raw(status, headers, body) => respond(status, &headers, Body::from(body)),
        Answer::Hang => std::future::pending().await,
        Answer::KeepAlive => {
            let comments = stream::repeat(()).then(|()| async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, Infallible>(Bytes::from_static(b": keep-alive\n\n"))
            });
            event_stream(comments)
        }
        Answer::Flood(taken) => flood(taken),
        Answer::Plain(inner) => document(&inner, request),
        Answer::Cut(inner) => {
            let mut packets: Vec<_> = packets_of(&inner, request).into_iter().map(Ok).collect();
            packets.truncate(packets.len() / 2);
            packets.push(Err(std::io::Error::other("cut")));
            event_stream(stream::iter(packets))
        }
        Answer::After(wait, inner) => {
            let packets = packets_of(&inner, request);
            let comment = stream::once(async move {
                tokio::time::sleep(wait).await;
                Bytes::from_static(b": keep-alive\n\n")
            });
            event_stream(comment.chain(stream::iter(packets)).map(Ok::<_, Infallible>))
        }
        answer if streams => event_stream(stream::iter(packets_of(&answer, request)).map(Ok::<_, Infallible>)),
        answer => document(&answer, request),
    }
}

fn flood(taken: Arc<AtomicUsize>) -> Response<Body> {
    const PACKET: usize = 64 << 10;
    let packets = std::iter::once(Bytes::from_static(b"data: ")).chain((0..200_000_000 / PACKET).map(move |_| {
        taken.fetch_add(PACKET, Ordering::Relaxed);
        Bytes::from_static(&[b'x'; PACKET])
    }));
    event_stream(stream::iter(packets).map(Ok::<_, Infallible>))
}

fn respond(status: u16, headers: &[(&'static str, String)], body: Body) -> Response<Body> {
    let response =
        headers.iter().fold(Response::builder().status(status), |response, (key, value)| response.header(*key, value));
    response.body(body).unwrap()
}

fn event_stream<E>(packets: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Response<Body>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    respond(200, &[("content-type", "text/event-stream".to_owned())], Body::from_stream(packets))
}

/// The message and the finish reason of an answer.
fn message_of(answer: &Answer) -> (Value, &'static str) {
    match answer {
        Answer::Text(text) => (json!({ "role": "assistant", "content": text }), "stop"),
        Answer::Calls(calls) => {
            let calls = calls.iter().map(|(name, arguments)| {
                let function = json!({ "name": name, "arguments": arguments.to_string() });
                json!({ "id": format!("call_{}", uuid::Uuid::new_v4().simple()), "type": "function", "function": function })
            });
            (json!({ "role": "assistant", "content": null, "tool_calls": calls.collect::<Vec<_>>() }), "tool_calls")
        }
        Answer::Message(message, finish) => (message.clone(), finish),
        _ => panic!("only a message can be wrapped"),
    }
}

fn usage_of(request: &Value) -> Value {
    json!({ "prompt_tokens": request["messages"].to_string().len() / 4, "completion_tokens": 20 })
}

fn document(answer: &Answer, request: &Value) -> Response<Body> {
    let (message, finish) = message_of(answer);
    let choice = json!({ "index": 0, "message": message, "finish_reason": finish });
    let body = json!({ "id": "1", "object": "chat.completion", "choices": [choice], "usage": usage_of(request) });
    respond(200, &[("content-type", "application/json".to_owned())], Body::from(body.to_string()))
}

/// The packets of a stream: a role, text and arguments in small pieces, the end, the usage when asked for, `[DONE]`.
fn packets_of(answer: &Answer, request: &Value) -> Vec<Bytes> {
    let (mut message, finish) = message_of(answer);
    let mut deltas = vec![json!({ "role": "assistant" })];
    if let Some(text) = message["content"].as_str() {
        deltas.extend(pieces(text).into_iter().map(|piece| json!({ "content": piece })));
    }
    let calls = message.as_object_mut().and_then(|message| message.remove("tool_calls"));
    for (index, mut call) in
        calls.and_then(|calls| calls.as_array().cloned()).unwrap_or_default().into_iter().enumerate()
    {
        call["index"] = index.into();
        let arguments = call["function"]["arguments"].as_str().map(str::to_owned);
        if let Some(arguments) = arguments {
            call["function"]["arguments"] = "".into();
            deltas.push(json!({ "tool_calls": [call] }));
            let piece = |piece| json!({ "tool_calls": [{ "index": index, "function": { "arguments": piece } }] });
            deltas.extend(pieces(&arguments).into_iter().map(piece));
        } else {
            deltas.push(json!({ "tool_calls": [call] }));
        }
    }
    let others =
        message.as_object().into_iter().flatten().filter(|(key, _)| !["content", "role"].contains(&key.as_str()));
    deltas.extend(others.map(|(key, value)| json!({ key: value })));
    let chunk = |delta: Value, finish: Value| json!({ "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
    let mut chunks: Vec<_> = deltas.into_iter().map(|delta| chunk(delta, Value::Null)).collect();
    chunks.push(chunk(json!({}), finish.into()));
    if request["stream_options"]["include_usage"] == true {
        chunks.push(json!({ "choices": [], "usage": usage_of(request) }));
    }
    let events = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).chain(["data: [DONE]\n\n".to_owned()]);
    events.map(Bytes::from).collect()
}

fn pieces(text: &str) -> Vec<String> {
    text.chars().collect::<Vec<_>>().chunks(23).map(|piece| piece.iter().collect()).collect()
}
