//! One run of the loop, turn by turn, until it is answered or a bound holds.

use std::ops::ControlFlow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument;

use super::budget::Clock;
use super::calls::Caller;
use super::conversation::{CallAnswer, Conversation, tokens_in};
use super::notes::Notes;
use super::tools::Tools;
use super::{Outcome, Spent, Stop, Task};
use crate::model::{
    Arguments, AssistantMessage, Class, Function, Model, ModelError, Reply, Request, TokenUsage, ToolCall,
};
use crate::telemetry::progress;

/// Answers that do not have the form asked for, before the run gives up.
const MAX_INVALID: u32 = 3;

/// Answers cut off at the output limit, before the run gives up.
const MAX_TRUNCATED: u32 = 2;

/// Runs the loop: the model looks through the tools and answers through the answer tool, within the budget.
pub async fn run<M, K, T>(model: &M, tools: &K, task: Task<'_, T>) -> Outcome<T>
where
    M: Model,
    K: Tools,
    T: JsonSchema + DeserializeOwned + Send,
{
    let mut run = Run::new(model, tools, task);
    let ending = loop {
        if let Some(stop) = run.clock.exhausted() {
            break Ending::Stopped(run.shortfall.or(run.closing).unwrap_or(stop), None);
        }
        let span = tracing::info_span!("turn", number = run.spent.turns + 1, model = model.name());
        if let ControlFlow::Break(ending) = run.turn().instrument(span).await {
            break ending;
        }
    };
    run.outcome(ending)
}

/// How a run ends.
enum Ending<T> {
    Submitted(T),
    Stopped(Stop, Option<ModelError>),
}

type Flow<T> = ControlFlow<Ending<T>>;

struct Run<'a, M, K, T> {
    model: &'a M,
    task: Task<'a, T>,
    notes: Notes<'a>,
    functions: Vec<Function>,
    caller: Caller<'a, K>,
    clock: Clock,
    conversation: Conversation,
    spent: Spent,
    /// Why only the answer tool is offered now.
    closing: Option<Stop>,
    /// What the newest turn lacked; tells more than the budget that ran out after it.
    shortfall: Option<Stop>,
    invalid: u32,
    truncated: u32,
    nudged: bool,
    squeezed: bool,
    withheld: bool,
}

impl<'a, M, K, T> Run<'a, M, K, T>
where
    M: Model,
    K: Tools,
    T: JsonSchema + DeserializeOwned + Send,
{
    fn new(model: &'a M, tools: &'a K, task: Task<'a, T>) -> Self {
        let notes = Notes { lang: task.lang, answer: &task.answer.function().name };
        let looks = tools.specs().into_iter().map(|spec| Function {
            name: spec.name,
            description: spec.description,
            parameters: spec.parameters,
            read_only: spec.read_only,
        });
        Self {
            model,
            notes,
            functions: looks.chain([task.answer.function().clone()]).collect(),
            caller: Caller::new(tools, task.envelope, notes, task.budget.max_parallel),
            clock: Clock::start(task.budget),
            conversation: Conversation::new(task.system, task.prompt),
            spent: Spent::default(),
            closing: None,
            shortfall: None,
            invalid: 0,
            truncated: 0,
            nudged: false,
            squeezed: false,
            withheld: false,
            task,
        }
    }

    async fn turn(&mut self) -> Flow<T> {
        let number = self.spent.turns + 1;
        tracing::debug!(target: progress::TARGET, step = format!("{} turn {number}", self.model.name()).as_str());
        let started = Instant::now();
        let request = self.request();
        let asked = self.model.name().to_owned();
        let reply = match self.model.complete(&request, self.clock.deadline()).await {
            Ok(reply) => reply,
            Err(error) => return self.react(error),
        };
        self.count(&request, &reply);
        let flow = self.take(reply).await;
        // When another model took over, this turn's time says nothing about the turns to come.
        let took = if asked == self.model.name() { started.elapsed() } else { Duration::ZERO };
        self.clock.note_turn(took);
        flow
    }

    /// The next question. When too little is left for two more turns it is the last, and offers the answer tool alone:
    /// a tool that is not there is a bound every provider keeps, a `tool_choice` is not.
    fn request(&mut self) -> Request {
        if self.closing.is_none() {
            let circles = self.caller.is_in_circles().then_some(Stop::Repetition);
            self.close(circles.or_else(|| self.clock.short_of()));
        }
        let window = self.model.context_tokens();
        let (request, fits) = self.conversation.request(self.offered(), window, &self.notes);
        if fits || self.closing.is_some() {
            return request;
        }
        self.close(Some(Stop::Context));
        self.conversation.request(self.offered(), window, &self.notes).0
    }

    fn close(&mut self, reason: Option<Stop>) {
        if reason.is_some() {
            self.closing = reason;
            self.conversation.add_note(self.notes.last_turn());
        }
    }

    fn offered(&self) -> Vec<Function> {
        match self.closing {
            Some(_) => vec![self.task.answer.function().clone()],
            None => self.functions.clone(),
        }
    }

    fn count(&mut self, request: &Request, reply: &Reply) {
        if let Some(usage) = reply.usage {
            self.conversation.learn(request, usage.prompt);
        }
        let usage = reply.usage.unwrap_or_else(|| guess(request, reply));
        self.spent.turns += 1;
        self.spent.prompt_tokens += usage.prompt;
        self.spent.completion_tokens += usage.completion;
        tracing::debug!(
            prompt = usage.prompt,
            completion = usage.completion,
            calls = reply.message.tool_calls.len(),
            "model answered"
        );
    }

    /// What can be done about a failed call: make room once, take back what the censor refused once, else stop.
    fn react(&mut self, error: ModelError) -> Flow<T> {
        match error.class {
            Class::ContextLength if !self.squeezed && self.conversation.squeeze() => {
                self.squeezed = true;
                if self.closing.is_none() {
                    self.close(Some(Stop::Context));
                }
                ControlFlow::Continue(())
            }
            Class::ContentFilter if !self.withheld && self.conversation.withhold_newest(&self.notes.withheld()) => {
                self.withheld = true;
                ControlFlow::Continue(())
            }
            Class::Timeout if self.clock.is_late() => stopped(Stop::Deadline, Some(error)),
            _ => stopped(Stop::ModelError, Some(error)),
        }
    }

    async fn take(&mut self, reply: Reply) -> Flow<T> {
        self.shortfall = None;
        if reply.truncated {
            return self.take_truncated();
        }
        if reply.message.tool_calls.is_empty() {
            return self.take_text(reply.message);
        }
        self.nudged = false;
        self.take_calls(reply.message).await
    }

    /// Nothing of a turn that was cut off is used: its last call, or its last argument, may be half of one.
    fn take_truncated(&mut self) -> Flow<T> {
        self.truncated += 1;
        if self.truncated >= MAX_TRUNCATED {
            return stopped(Stop::Truncated, None);
        }
        self.shortfall = Some(Stop::Truncated);
        self.conversation.add_note(self.notes.cut_off());
        ControlFlow::Continue(())
    }

    /// Text is used only when it is an answer in the form asked for; some servers leave it in the thinking at the end.
    fn take_text(&mut self, message: AssistantMessage) -> Flow<T> {
        let thinking = message.reasoning().filter(|_| self.closing.is_some());
        let text = message.content.as_deref().filter(|text| !text.trim().is_empty()).or(thinking);
        let note = match text.and_then(|text| self.task.answer.find_in(text)) {
            Some(Ok(answer)) => return ControlFlow::Break(Ending::Submitted(answer)),
            Some(Err(errors)) => self.refuse(&errors)?,
            None if self.nudged => return stopped(Stop::NoAnswer, None),
            None => {
                self.nudged = true;
                self.shortfall = Some(Stop::NoAnswer);
                self.notes.nudge()
            }
        };
        self.conversation.add_text(message);
        self.conversation.add_note(note);
        ControlFlow::Continue(())
    }

    async fn take_calls(&mut self, mut message: AssistantMessage) -> Flow<T> {
        self.conversation.identify(&mut message, self.spent.turns);
        let (submissions, looks): (Vec<_>, Vec<_>) =
            message.tool_calls.iter().partition(|call| self.is_submission(call));
        let refusal = self.submit(&submissions)?;
        if submissions.is_empty()
            && let Some(reason) = self.closing
        {
            return stopped(reason, None);
        }
        let mut answers = self.caller.answer(&looks, self.closing.is_some(), &mut self.clock).await.into_iter();
        self.spent.tool_calls = self.caller.executed();
        let line = format!("- {}", self.notes.answer);
        let refused = || CallAnswer { text: refusal.clone().unwrap_or_default(), line: line.clone() };
        let in_order = message.tool_calls.iter().map(|call| match self.is_submission(call) {
            true => refused(),
            false => answers.next().unwrap_or_else(refused),
        });
        let in_order = in_order.collect();
        self.conversation.add_calls(message, in_order);
        ControlFlow::Continue(())
    }

    fn is_submission(&self, call: &ToolCall) -> bool {
        call.name.strip_prefix("functions.").unwrap_or(&call.name) == self.notes.answer
    }

    /// Ends the run with the first acceptable submission of a turn, or says what is wrong with the last.
    fn submit(&mut self, submissions: &[&ToolCall]) -> ControlFlow<Ending<T>, Option<String>> {
        let mut errors = Vec::new();
        for call in submissions {
            let Arguments::Object(arguments) = &call.arguments else {
                errors = vec![self.notes.unreadable(self.notes.answer)];
                continue;
            };
            match self.task.answer.accept(Value::Object(arguments.clone())) {
                Ok(answer) => return ControlFlow::Break(Ending::Submitted(answer)),
                Err(found) => errors = found,
            }
        }
        match submissions {
            [] => ControlFlow::Continue(None),
            _ => self.refuse(&errors).map_continue(Some),
        }
    }

    /// Counts an unusable answer and words what is wrong with it.
    fn refuse(&mut self, errors: &[String]) -> ControlFlow<Ending<T>, String> {
        self.invalid += 1;
        if self.invalid >= MAX_INVALID {
            return ControlFlow::Break(Ending::Stopped(Stop::InvalidAnswer, None));
        }
        self.shortfall = Some(Stop::InvalidAnswer);
        ControlFlow::Continue(self.notes.invalid(errors))
    }

    fn outcome(self, ending: Ending<T>) -> Outcome<T> {
        let (submitted, stop, error) = match ending {
            Ending::Submitted(answer) => (Some(answer), Stop::Submitted, None),
            Ending::Stopped(stop, error) => (None, stop, error),
        };
        tracing::info!(stop = stop.label(), turns = self.spent.turns, tool_calls = self.spent.tool_calls, "run ended");
        Outcome { submitted, stop, spent: self.spent, model: self.model.name().to_owned(), error }
    }
}

fn stopped<T>(stop: Stop, error: Option<ModelError>) -> Flow<T> {
    ControlFlow::Break(Ending::Stopped(stop, error))
}

/// Tokens of a turn whose provider does not count.
fn guess(request: &Request, reply: &Reply) -> TokenUsage {
    let tokens = |text: String| tokens_in(&text) as u64;
    TokenUsage {
        prompt: request.messages.iter().map(|message| tokens(serde_json::to_string(message).unwrap_or_default())).sum(),
        completion: tokens(serde_json::to_string(&reply.message).unwrap_or_default()),
    }
}
