//! Providers as they are: each refuses what the real one refuses, in its words, and answers in the shape the real one has.
//! Behind all of them is the same model, which looks at the claim and its class and then submits what it read.

pub mod demands;
pub mod markup;
pub mod shape;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use firstlook::model::probe::GREETING;
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use self::shape::Shape;
use super::{KEY, event_stream, respond, strict};
use crate::support::{pending, serve};

/// What the model thinks in every turn. Nobody but the model may ever see it.
pub const THOUGHT: &str = "The user is on call, so I had better read the claim first.";

/// What only the model finds. It adds to what the playbook says, so that people get a message of the model's own.
pub const FINDING: &str = "Nobody runs the driver that this class names";

/// Parameters every provider knows. What is in nobody's list is refused: the real ones differ in whether they do.
const KNOWN: [&str; 7] = ["model", "messages", "tools", "stream", "stream_options", "max_tokens", "temperature"];

/// One request as it came in.
pub struct Inquiry {
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Inquiry {
    pub fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether functions are offered by the protocol.
    pub fn has_tools(&self) -> bool {
        self.body.get("tools").is_some()
    }

    /// Whether functions are offered in the prompt.
    pub fn has_prompt_tools(&self) -> bool {
        self.messages().iter().any(|message| message["role"] == "system" && says(message, "# Functions"))
    }

    /// Whether it is a question that finds out what the endpoint can do.
    fn is_examination(&self) -> bool {
        self.messages().iter().any(|message| says(message, GREETING))
    }

    /// Results of calls so far, told by the protocol or in a user's words.
    fn results(&self) -> Vec<&str> {
        let after_question = self.messages().iter().skip_while(|message| message["role"] != "assistant");
        let text = |message: &'_ Value| message["content"].as_str().is_some();
        after_question
            .filter(|message| text(message))
            .flat_map(|message| match (message["role"].as_str(), message["content"].as_str().unwrap_or_default()) {
                (Some("tool"), content) => vec![content],
                (Some("user"), content) => content.split("Result of ").skip(1).collect(),
                _ => Vec::new(),
            })
            .collect()
    }
}

fn says(message: &Value, words: &str) -> bool {
    message["content"].as_str().is_some_and(|content| content.contains(words))
}

/// A refusal before it has the provider's shape.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub words: String,
}

impl Refusal {
    /// The usual kind.
    pub fn bad(code: &'static str, words: impl Into<String>) -> Self {
        Self { status: 400, code, words: words.into() }
    }
}

/// Something a provider insists on.
pub type Demand = fn(&Inquiry) -> Result<(), Refusal>;

/// How the model calls functions that are offered to it by the protocol.
#[derive(Clone, Copy)]
pub enum Voice {
    /// By the protocol.
    Native,
    /// In its text, in this markup.
    Text(fn(&[(String, Value)]) -> String),
}

/// A provider and a model there.
#[derive(Clone, Copy)]
pub struct Dialect {
    /// Its name in `config/providers`.
    pub provider: &'static str,
    /// What the model is called there.
    pub model: &'static str,
    /// The path of `base_url`.
    pub base: &'static str,
    pub voice: Voice,
    /// Whether it gives its thinking beside its answer.
    pub thinks: bool,
    pub shape: Shape,
    /// What it insists on beside what all do, in the order it is checked.
    pub demands: &'static [Demand],
    /// Parameters it knows beside those that all do.
    pub parameters: &'static [&'static str],
    /// Its errors.
    pub error: fn(&Refusal) -> Value,
    /// Tokens that fit, where what does not fit is cut from the front without a word.
    pub window: Option<usize>,
    /// What the operator says beside address, key and name.
    pub settings: &'static [(&'static str, &'static str)],
    /// What goes wrong with the first questions about an alert, one each.
    pub hiccups: &'static [(u16, &'static str, &'static str)],
}

struct Playing {
    dialect: Dialect,
    hiccups: Mutex<VecDeque<Refusal>>,
    asked: Mutex<Vec<Value>>,
    refused: Mutex<Vec<String>>,
}

/// A dialect that is being played. It ends with the test's runtime.
pub struct Provider {
    host: String,
    playing: Arc<Playing>,
}

impl Dialect {
    /// Plays it on a port of its own.
    pub async fn play(self) -> Provider {
        let hiccup = |&(status, code, words): &(u16, &'static str, &str)| Refusal { status, code, words: words.into() };
        let hiccups = Mutex::new(self.hiccups.iter().map(hiccup).collect());
        let playing = Arc::new(Playing { dialect: self, hiccups, asked: Mutex::default(), refused: Mutex::default() });
        let router = Router::new().fallback(complete).with_state(Arc::clone(&playing));
        Provider { host: serve(router).await, playing }
    }
}

impl Provider {
    /// The entry under `models:`.
    pub fn config(&self) -> Value {
        let dialect = &self.playing.dialect;
        let mut entry = json!({
            "name": "fast", "provider": dialect.provider, "base_url": format!("{}{}", self.host, dialect.base),
            "api_key": KEY, "model": dialect.model, "max_tokens": 4096, "temperature": 0.2, "timeout": "10s",
        });
        for (key, value) in dialect.settings {
            entry[key] = (*value).into();
        }
        entry
    }

    /// Every request that was not refused, examinations left out.
    pub fn asked(&self) -> Vec<Value> {
        self.playing.asked.lock().unwrap().clone()
    }

    /// The words of every refusal, in order, examinations included.
    pub fn refused(&self) -> Vec<String> {
        self.playing.refused.lock().unwrap().clone()
    }
}

async fn complete(State(playing): State<Arc<Playing>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let dialect = &playing.dialect;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let query = uri.query().unwrap_or_default().to_owned();
    let mut inquiry = Inquiry { path: uri.path().to_owned(), query, headers, body };
    if let Err(refusal) = judge(&playing, &inquiry) {
        playing.refused.lock().unwrap().push(refusal.words.clone());
        let body = Body::from((dialect.error)(&refusal).to_string());
        return respond(refusal.status, &[("content-type", "application/json".to_owned())], body);
    }
    if !inquiry.is_examination() {
        playing.asked.lock().unwrap().push(inquiry.body.clone());
    }
    let read = dialect.window.map_or(usize::MAX, |window| cut_front(&mut inquiry.body, window));
    let counted = read.min(tokens_in(&inquiry.body));
    let wants_usage = inquiry.body["stream_options"]["include_usage"] == true;
    let packets = dialect.shape.packets(&said(dialect, &inquiry), wants_usage.then_some(counted));
    event_stream(stream::iter(packets).map(Ok::<_, Infallible>))
}

fn judge(playing: &Playing, inquiry: &Inquiry) -> Result<(), Refusal> {
    let dialect = &playing.dialect;
    if inquiry.path != format!("{}/chat/completions", dialect.base) {
        return Err(Refusal { status: 404, code: "not_found", words: format!("no such path: {}", inquiry.path) });
    }
    dialect.demands.iter().try_for_each(|demand| demand(inquiry))?;
    let known: Vec<&str> = KNOWN.iter().chain(dialect.parameters).copied().collect();
    strict::check_known(&inquiry.body, &known).map_err(|reason| Refusal::bad("invalid_request_error", reason))?;
    let hiccup = if inquiry.is_examination() { None } else { playing.hiccups.lock().unwrap().pop_front() };
    hiccup.map_or(Ok(()), Err)
}

/// Four bytes a token, as the stand-ins count.
fn tokens_in(body: &Value) -> usize {
    body["messages"].to_string().len() / 4
}

/// Drops messages, and then the beginning of the last, until the rest fits; how many tokens are left.
fn cut_front(body: &mut Value, window: usize) -> usize {
    while tokens_in(body) > window {
        let Some(messages) = body["messages"].as_array_mut() else { break };
        if messages.len() > 1 {
            messages.remove(0);
            continue;
        }
        let Some(text) = messages[0]["content"].as_str() else { break };
        let from = text.ceil_char_boundary(text.len().saturating_sub(window * 3));
        messages[0]["content"] = text[from..].into();
    }
    tokens_in(body)
}

/// What the model says, before it has the shape of a stream.
#[derive(Debug, Default)]
pub struct Said {
    pub thinking: Option<&'static str>,
    pub words: String,
    pub calls: Vec<(String, Value)>,
}

fn said(dialect: &Dialect, inquiry: &Inquiry) -> Said {
    let thinking = dialect.thinks.then_some(THOUGHT);
    let calls = wanted(inquiry);
    match dialect.voice {
        _ if calls.is_empty() => {
            let knows = inquiry.messages().iter().any(|message| says(message, "heron"));
            Said { thinking, words: if knows { "heron" } else { "unknown" }.to_owned(), calls }
        }
        _ if inquiry.has_prompt_tools() => Said { thinking, words: markup::as_asked_for(&calls), calls: Vec::new() },
        Voice::Text(markup) => {
            Said { thinking, words: format!("我先看一下。\n\n{}", markup(&calls)), calls: Vec::new() }
        }
        Voice::Native => Said { thinking, words: String::new(), calls },
    }
}

/// What the model wants to call; nothing when nothing is offered.
fn wanted(inquiry: &Inquiry) -> Vec<(String, Value)> {
    if !inquiry.has_tools() && !inquiry.has_prompt_tools() {
        return Vec::new();
    }
    if inquiry.is_examination() {
        let parts = ["first", "second"].map(|part| ("report_ready".to_owned(), json!({ "part": part })));
        return parts.to_vec();
    }
    match inquiry.results() {
        results if results.is_empty() => pending::reads(),
        results => vec![("submit_diagnosis".to_owned(), diagnosis(&results))],
    }
}

/// What the results say, and the class as a second cause.
fn diagnosis(results: &[&str]) -> Value {
    let mut diagnosis = pending::diagnosis(results);
    let evidence = diagnosis["causes"][0]["evidence"][1].clone();
    let class = json!({ "kind": "StorageClass", "namespace": "", "name": "cbs" });
    let cause = json!({ "summary": FINDING, "resource": class, "confidence": "high", "evidence": [evidence] });
    diagnosis["causes"].as_array_mut().expect("causes").push(cause);
    diagnosis
}
