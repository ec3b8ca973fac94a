//! The calls of one turn: refused, answered from before, or made at the same time; each answered once, in order.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, stream};
use serde_json::{Map, Value};
use tokio::time::Instant;
use tracing::Instrument;

use super::budget::Clock;
use super::conversation::CallAnswer;
use super::envelope::Envelope;
use super::memory::{Memory, News, family};
use super::notes::Notes;
use super::tools::{ToolAnswer, Tools};
use crate::model::{Arguments, ToolCall};

/// From this time on the same call is refused.
const REFUSED_FROM: u32 = 3;

/// The same call for the fifth time: the model walks in circles.
const CIRCLES_FROM: u32 = 5;

/// The most of a call's arguments that stays in the line of a result that was set aside.
const LINE_CHARS: usize = 160;

/// A call seen in this run. How often it was asked counts over the whole run, so that alternating calls count too.
#[derive(Debug, Default)]
struct Seen {
    times: u32,
    answer: Option<(ToolAnswer, News)>,
}

/// What is done with one call.
enum Plan {
    /// It is answered by the loop.
    Say(String),
    /// It is made.
    Run,
    /// It was made before, or is being made in this turn.
    Again,
}

/// A call whose arguments could be read.
struct Wanted {
    name: String,
    arguments: Map<String, Value>,
    key: String,
    /// What it shares with calls that differ in amounts and spelling alone.
    family: String,
    id: String,
}

/// Makes the calls of a run.
pub(super) struct Caller<'a, K> {
    tools: &'a K,
    offered: Vec<String>,
    envelope: &'a Envelope,
    notes: Notes<'a>,
    max_parallel: usize,
    seen: HashMap<String, Seen>,
    memory: Memory,
    executed: u32,
}

impl<'a, K: Tools> Caller<'a, K> {
    pub(super) fn new(tools: &'a K, envelope: &'a Envelope, notes: Notes<'a>, max_parallel: usize) -> Self {
        let offered = tools.specs().into_iter().map(|spec| spec.name).collect();
        Self {
            tools,
            offered,
            envelope,
            notes,
            max_parallel,
            seen: HashMap::new(),
            memory: Memory::default(),
            executed: 0,
        }
    }

    /// How many calls were made.
    pub(super) fn executed(&self) -> u32 {
        self.executed
    }

    /// Whether one call was asked so often, or so many turns brought nothing, that nothing new will come.
    pub(super) fn is_in_circles(&self) -> bool {
        self.memory.is_in_circles() || self.seen.values().any(|seen| seen.times >= CIRCLES_FROM)
    }

    /// Answers to all calls of a turn, in their order. On the last turn (`closing`) none is made.
    pub(super) async fn answer(&mut self, calls: &[&ToolCall], closing: bool, clock: &mut Clock) -> Vec<CallAnswer> {
        let wanted: Vec<_> = calls.iter().map(|call| self.read(call)).collect();
        let mut plans = Vec::with_capacity(calls.len());
        let mut runs: Vec<&Wanted> = Vec::new();
        for want in &wanted {
            let plan = match want {
                Ok(want) => self.plan(want, closing, &runs, clock),
                Err(refusal) => Plan::Say(refusal.clone()),
            };
            if let (Plan::Run, Ok(want)) = (&plan, want) {
                runs.push(want);
            }
            plans.push(plan);
        }
        self.run(&runs, clock.tools_deadline()).await;
        if !calls.is_empty() {
            self.memory.end_turn();
        }
        let answers = calls
            .iter()
            .zip(&wanted)
            .zip(plans)
            .map(|((call, want), plan)| self.render(call, want.as_ref().ok(), plan));
        answers.collect()
    }

    fn read(&self, call: &ToolCall) -> Result<Wanted, String> {
        let bare = call.name.strip_prefix("functions.").filter(|bare| self.is_offered(bare));
        let name = bare.unwrap_or(&call.name).to_owned();
        match &call.arguments {
            Arguments::Object(arguments) => {
                let key = format!("{name} {}", canonical(&Value::Object(arguments.clone())));
                let family = family(&name, arguments);
                Ok(Wanted { name, arguments: arguments.clone(), key, family, id: call.id.clone() })
            }
            Arguments::Unreadable(_) => Err(self.notes.unreadable(&super::envelope::defang(&name))),
        }
    }

    fn is_offered(&self, name: &str) -> bool {
        self.offered.iter().any(|offered| offered == name)
    }

    fn plan(&mut self, want: &Wanted, closing: bool, runs: &[&Wanted], clock: &mut Clock) -> Plan {
        let seen = self.seen.entry(want.key.clone()).or_default();
        seen.times += 1;
        let times = seen.times;
        let is_known = seen.answer.as_ref().is_some_and(|(answer, _)| !answer.is_error);
        if closing {
            return Plan::Say(self.notes.not_offered(&[self.notes.answer.to_owned()]));
        }
        if !self.is_offered(&want.name) {
            return Plan::Say(self.notes.not_offered(&self.offered));
        }
        if times >= REFUSED_FROM {
            return Plan::Say(self.notes.refused_repeat(times));
        }
        if is_known || runs.iter().any(|run| run.key == want.key) {
            return Plan::Again;
        }
        if let Some(times) = self.memory.refuses(&want.family) {
            return Plan::Say(self.notes.refused_variation(times));
        }
        if clock.take_call() { Plan::Run } else { Plan::Say(self.notes.no_calls_left()) }
    }

    async fn run(&mut self, runs: &[&Wanted], deadline: Instant) {
        let calls: Vec<_> = runs.iter().map(|want| self.call(want, deadline)).collect();
        let answers: Vec<_> = stream::iter(calls).buffered(self.max_parallel.max(1)).collect().await;
        for (want, answer) in runs.iter().zip(answers) {
            self.executed += 1;
            let news = self.memory.note(&want.family, &answer);
            self.seen.entry(want.key.clone()).or_default().answer = Some((answer, news));
        }
    }

    fn call(&self, want: &Wanted, deadline: Instant) -> impl Future<Output = ToolAnswer> + Send + use<'a, K> {
        let span = tracing::info_span!("tool_call", tool = %want.name, id = %want.id);
        let (tools, name, arguments) = (self.tools, want.name.clone(), Value::Object(want.arguments.clone()));
        let no_time = self.notes.no_time();
        async move {
            let started = Instant::now();
            let answer = tokio::time::timeout_at(deadline, tools.call(&name, arguments)).await.unwrap_or(ToolAnswer {
                text: no_time,
                reference: None,
                is_error: true,
            });
            let evidence = answer.reference.as_deref().unwrap_or("none");
            tracing::debug!(evidence, failed = answer.is_error, ms = started.elapsed().as_millis(), "tool answered");
            answer
        }
        .instrument(span)
    }

    fn render(&self, call: &ToolCall, want: Option<&Wanted>, plan: Plan) -> CallAnswer {
        let made = want.and_then(|want| self.seen.get(&want.key)).and_then(|seen| seen.answer.as_ref());
        let (text, reference) = match (plan, made) {
            (Plan::Say(text), _) => (text, None),
            (Plan::Run, Some((answer, news))) => (self.show_new(answer, news), answer.reference.as_deref()),
            (Plan::Again, Some((answer, _))) => {
                let note = self.notes.already_called(answer.reference.as_deref());
                (format!("{note}\n{}", self.show(answer)), answer.reference.as_deref())
            }
            (Plan::Run | Plan::Again, None) => (self.notes.no_time(), None),
        };
        CallAnswer { text, line: line_of(call, reference) }
    }

    /// What was shown before is not paid for again; what says little new is said to.
    fn show_new(&self, answer: &ToolAnswer, news: &News) -> String {
        match news {
            News::Fresh => self.show(answer),
            News::Stale if answer.is_error => self.show(answer),
            News::Stale => format!("{}\n{}", self.notes.nothing_new(), self.show(answer)),
            News::SameAs(first) => self.notes.same_as(answer.reference.as_deref().unwrap_or_default(), first),
        }
    }

    /// The reference stands outside the envelope, where no log can forge it.
    fn show(&self, answer: &ToolAnswer) -> String {
        let wrapped = self.envelope.wrap_within(&answer.text, self.tools.shown_bytes(), answer.reference.as_deref());
        match (&answer.reference, answer.is_error) {
            (Some(reference), false) => format!("{reference}\n{wrapped}"),
            (Some(reference), true) => format!("{reference} (error)\n{wrapped}"),
            (None, true) => format!("(error)\n{wrapped}"),
            (None, false) => wrapped,
        }
    }
}

/// What stays of a result that was set aside: nothing foreign, only what the model itself asked.
fn line_of(call: &ToolCall, reference: Option<&str>) -> String {
    let arguments = match &call.arguments {
        Arguments::Object(object) => Value::Object(object.clone()).to_string(),
        Arguments::Unreadable(_) => "{}".to_owned(),
    };
    let short: String = arguments.chars().take(LINE_CHARS).collect();
    let call = super::envelope::defang(&format!("{} {short}", call.name));
    format!("{} {call}", reference.unwrap_or("-"))
}

/// The same text for the same arguments, in whatever order they were written.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.iter().map(|(key, inner)| (key, canonical(inner))).collect();
            format!("{sorted:?}")
        }
        Value::Array(items) => format!("{:?}", items.iter().map(canonical).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}
