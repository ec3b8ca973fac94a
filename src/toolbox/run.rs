//! One run: the calls of one investigation, their cache, their evidence and their limits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::evidence::{EvidenceLog, Recorded};
use super::server::{Answer, ServerError};
use super::{Absent, Offer, large, page, policy, probe, reduce, schema};
use crate::agent::tools::{ToolAnswer, ToolSpec, Tools};
use crate::failpoint;
use crate::prometheus;
use crate::redact::Redactor;
use crate::telemetry::{Metrics, progress};

/// What one tool call may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Seconds a call may take.
    pub call: Duration,
    /// Bytes of a result a model is shown.
    pub shown: usize,
    /// Bytes of a result that are kept for paging and quotes.
    pub kept: usize,
}

/// Bytes kept of a log: some 2 500 lines, of which a model pages through a few.
const LOG_KEPT: usize = 256 << 10;

impl Limits {
    /// 15 s a call; at most a tenth of the model's window and 24 KiB shown; 1 MiB of a result kept, 256 KiB of a log.
    #[must_use]
    pub fn for_window(context_tokens: usize) -> Self {
        // A token is about four bytes of English or YAML.
        Self { call: Duration::from_secs(15), shown: (context_tokens * 4 / 10).clamp(2 << 10, 24 << 10), kept: 1 << 20 }
    }

    fn kept_of(&self, tool: &str) -> usize {
        if tool == "pods_log" { self.kept.min(LOG_KEPT) } else { self.kept }
    }
}

type Cached = Arc<OnceCell<Result<Arc<Recorded>, String>>>;

/// The tools of one investigation. Shared by gather and the model's loop, so that neither reads twice.
pub struct Run {
    offer: Offer,
    limits: Limits,
    now: Timestamp,
    log: EvidenceLog,
    redactor: Redactor,
    cache: Mutex<HashMap<String, Cached>>,
    calls: AtomicU32,
    metrics: Arc<Metrics>,
}

impl Run {
    /// A run over what the servers offer now.
    #[must_use]
    pub(super) fn new(offer: Offer, limits: Limits, now: Timestamp, metrics: Arc<Metrics>) -> Self {
        Self {
            offer,
            limits,
            now,
            log: EvidenceLog::default(),
            redactor: Redactor::default(),
            cache: Mutex::default(),
            calls: AtomicU32::new(0),
            metrics,
        }
    }

    /// Goes on from what an earlier attempt at the same investigation recorded: those calls are not made again, keep their
    /// references, and count among this run's.
    #[must_use]
    pub fn recalling(self, recorded: Vec<Recorded>) -> Self {
        for one in recorded {
            if self.log.adopt(one.evidence.clone()) {
                self.redactor.number_past(&one.evidence.full);
                self.calls.fetch_add(1, Ordering::Relaxed);
                let cell = self.cell(&one.evidence.tool, &one.evidence.arguments);
                // Of the same call kept twice the first one stands.
                cell.set(Ok(Arc::new(one))).ok();
            }
        }
        self
    }

    /// The results recorded so far, with what stands behind them.
    #[must_use]
    pub fn recorded(&self) -> Vec<Arc<Recorded>> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.values().filter_map(|cell| cell.get()?.as_ref().ok().cloned()).collect()
    }

    /// What was recorded so far.
    #[must_use]
    pub fn log(&self) -> &EvidenceLog {
        &self.log
    }

    /// Whether a server answered at all.
    #[must_use]
    pub(super) fn is_answered(&self) -> bool {
        self.offer.answered > 0
    }

    /// The servers that could not be asked when the run began.
    #[must_use]
    pub fn gaps(&self) -> &[Absent] {
        &self.offer.gaps
    }

    /// How many calls went out to a server.
    #[must_use]
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Whether no server lets the cluster be looked at.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.offer.tools.values().all(|(_, server)| server.measures())
    }

    /// Whether a tool is offered.
    #[must_use]
    pub fn offers(&self, tool: &str) -> bool {
        self.offer.tools.contains_key(tool)
    }

    /// Calls a tool and records what it returned; the same call again returns the same record.
    ///
    /// # Errors
    /// One sentence for people and models: refused, wrong arguments, unreachable, timed out.
    pub async fn record(&self, tool: &str, arguments: Value) -> Result<Arc<Recorded>, String> {
        let arguments = without_nulls(arguments);
        let Some((spec, _)) = self.offer.tools.get(tool) else {
            let known: Vec<&str> = self.offer.tools.keys().map(String::as_str).collect();
            return Err(format!("there is no tool `{tool}`; offered are {}", known.join(", ")));
        };
        if let Some(complaint) = schema::complaint(spec, &arguments) {
            return Err(complaint);
        }
        if let Some(why) = policy::refusal(tool, &arguments) {
            return Err(why.to_owned());
        }
        let cell = self.cell(tool, &arguments);
        cell.get_or_init(|| self.fetch(tool, arguments)).await.clone()
    }

    fn cell(&self, tool: &str, arguments: &Value) -> Cached {
        let key = format!("{tool} {}", canonical(arguments));
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.entry(key).or_default().clone()
    }

    async fn fetch(&self, tool: &str, arguments: Value) -> Result<Arc<Recorded>, String> {
        let Some((_, server)) = self.offer.tools.get(tool) else { return Err(format!("there is no tool `{tool}`")) };
        self.calls.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(target: progress::TARGET, step = said(tool, &arguments).as_str());
        let slot = self.log.reserve();
        let empty = Map::new();
        let started = Instant::now();
        let answer = server.call(tool, arguments.as_object().unwrap_or(&empty), self.limits.call).await;
        failpoint::pass("in-tool-call").await;
        let outcome = match &answer {
            Ok(answer) if answer.is_error => "error",
            Ok(_) => "ok",
            Err(ServerError::TimedOut { .. }) => "timeout",
            Err(_) => "unreachable",
        };
        self.metrics.tool_call(tool, outcome, started.elapsed());
        match &answer {
            Ok(answer) if is_away(answer) => probe::note_away(server.health(), &self.redact(&answer.text)),
            Ok(_) => server.health().succeeded(started.elapsed()),
            Err(error) => probe::note(server.health(), error, |said| self.redact(said)),
        }
        let answer = answer.map_err(|error| self.redact(&error.to_string()))?;
        let kept = self.limits.kept_of(tool);
        let full = reduce::reduce(tool, &large::redacted(&self.redactor, &answer.text, kept));
        let full = super::fit::fit(&full, kept, None);
        let structured = answer.structured.map(|mut value| {
            self.redactor.redact_value(&mut value);
            value
        });
        let evidence = self.log.record(slot, tool, &arguments, full, self.limits.shown, self.now);
        Ok(Arc::new(Recorded { evidence, structured, is_error: answer.is_error }))
    }

    fn redact(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }
}

impl Tools for Run {
    fn specs(&self) -> Vec<ToolSpec> {
        let mut specs: Vec<ToolSpec> = self.offer.tools.values().map(|(spec, _)| spec.clone()).collect();
        specs.push(page::spec());
        specs
    }

    fn shown_bytes(&self) -> usize {
        self.limits.shown
    }

    async fn call(&self, name: &str, arguments: Value) -> ToolAnswer {
        if name == page::NAME {
            return self.read_page(arguments);
        }
        match self.record(name, arguments).await {
            Ok(recorded) => ToolAnswer {
                text: recorded.evidence.text.clone(),
                reference: Some(recorded.evidence.reference.clone()),
                is_error: recorded.is_error,
            },
            Err(text) => ToolAnswer { text, reference: None, is_error: true },
        }
    }
}

impl Run {
    fn read_page(&self, arguments: Value) -> ToolAnswer {
        let reference = arguments.get("ref").and_then(Value::as_str).map(str::to_owned);
        let answer = match schema::complaint(&page::spec(), &arguments) {
            Some(complaint) => Err(complaint),
            None => page::read(&self.log, &arguments, self.limits.shown),
        };
        match answer {
            Ok(text) => ToolAnswer { text, reference, is_error: false },
            Err(text) => ToolAnswer { text, reference: None, is_error: true },
        }
    }
}

/// Whether the tools of a Prometheus say that it is not there.
fn is_away(answer: &Answer) -> bool {
    answer.is_error && tells_of_absence(answer.structured.as_ref())
}

fn tells_of_absence(structured: Option<&Value>) -> bool {
    structured.is_some_and(|said| said[prometheus::AWAY] == true)
}

impl Recorded {
    /// Whether it failed because the Prometheus it asks is not there or refuses us.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.is_error && tells_of_absence(self.structured.as_ref())
    }
}

/// Models write `null` for what they leave out; servers and schemas want it gone.
fn without_nulls(mut arguments: Value) -> Value {
    if let Some(map) = arguments.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    if arguments.is_null() { Value::Object(Map::new()) } else { arguments }
}

/// A call in a few words; the kind says enough without its API version.
fn said(tool: &str, arguments: &Value) -> String {
    let named = arguments.as_object().into_iter().flatten().filter(|(key, _)| *key != "apiVersion");
    let values = named.filter_map(|(_, value)| value.as_str());
    std::iter::once(tool).chain(values).collect::<Vec<_>>().join(" ")
}

/// One text for equal arguments, whatever the order of their keys.
fn canonical(arguments: &Value) -> String {
    let mut pairs: Vec<String> =
        arguments.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    pairs.join("&")
}
