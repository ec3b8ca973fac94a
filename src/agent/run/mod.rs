//! One run of the loop, turn by turn, until it is answered or a bound holds.

mod reply;

use std::ops::ControlFlow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::Instrument;

use super::budget::{Clock, Price};
use super::calls::Caller;
use super::conversation::{Addressee, Conversation, Draft, tokens_in};
use super::notes::Notes;
use super::tools::Tools;
use super::{Outcome, Spent, Stop, Task};
use crate::model::{Class, Function, Model, ModelError, Reply, Request, TokenUsage};
use crate::telemetry::progress;

/// How often a question may be made to fit a model that took over from another with a larger window.
const MAX_HANDOVERS: u32 = 4;

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
    /// Turns in a row whose text meant to call something and could not be read.
    garbled: u32,
    nudged: bool,
    squeezed: bool,
    withheld: bool,
    handovers: u32,
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
            conversation: Conversation::new(task.system, task.prompt, task.shorter),
            spent: Spent::default(),
            closing: None,
            shortfall: None,
            invalid: 0,
            truncated: 0,
            garbled: 0,
            nudged: false,
            squeezed: false,
            withheld: false,
            handovers: 0,
            task,
        }
    }

    async fn turn(&mut self) -> Flow<T> {
        let number = self.spent.turns + 1;
        tracing::debug!(target: progress::TARGET, step = format!("{} turn {number}", self.model.name()).as_str());
        let started = Instant::now();
        let draft = self.question();
        if let Some(stop) = self.clock.cannot_ask(self.price(draft.tokens)) {
            return stopped(self.shortfall.or(self.closing).unwrap_or(stop), None);
        }
        let asked = self.model.name();
        let reply = match self.model.complete(&draft.request, self.clock.deadline()).await {
            Ok(reply) => reply,
            Err(error) => return self.react(error, asked),
        };
        let spent = self.count(&draft.request, &reply);
        let flow = self.take(reply).await;
        // When another model took over, this turn's time says nothing about the turns to come.
        let took = if asked == self.model.name() { started.elapsed() } else { Duration::ZERO };
        self.clock.note_turn(Price { took, ..spent });
        flow
    }

    /// The next question. When too little is left for two more turns it is the last, and offers the answer tool alone:
    /// a tool that is not there is a bound every provider keeps, a `tool_choice` is not.
    fn question(&mut self) -> Draft {
        if self.closing.is_none() {
            let draft = self.draft();
            let circles = self.caller.is_in_circles().then_some(Stop::Repetition);
            let short = circles.or_else(|| self.clock.short_of(self.price(draft.tokens)));
            match short.or((!draft.fits).then_some(Stop::Context)) {
                None => return draft,
                reason => self.close(reason),
            }
        }
        self.draft()
    }

    fn draft(&mut self) -> Draft {
        let addressee = Addressee { name: self.model.name(), window: self.model.context_tokens() };
        self.conversation.draft(self.offered(), addressee, &self.notes)
    }

    /// What a question of so many tokens takes, before its answer.
    fn price(&self, tokens: u64) -> Price {
        let usage = TokenUsage { prompt: tokens, completion: 0 };
        Price { took: Duration::ZERO, tokens, cost: self.model.cost(usage) }
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

    /// Books what a turn cost. The model is named after its answer: another may have taken over.
    fn count(&mut self, request: &Request, reply: &Reply) -> Price {
        if let Some(usage) = reply.usage {
            self.conversation.learn(self.model.name(), request, usage.prompt);
        }
        let usage = reply.usage.unwrap_or_else(|| guess(request, reply));
        let cost = self.model.cost(usage);
        self.spent.turns += 1;
        self.spent.prompt_tokens += usage.prompt;
        self.spent.completion_tokens += usage.completion;
        self.spent.cost += cost;
        tracing::debug!(
            prompt = usage.prompt,
            completion = usage.completion,
            calls = reply.message.tool_calls.len(),
            "model answered"
        );
        Price { took: Duration::ZERO, tokens: usage.prompt + usage.completion, cost }
    }

    /// What can be done about a failed call: make room once, take back what the censor refused once, else stop. A model
    /// that took over in the middle of the call (`asked` was another) may have a smaller window: it is asked anew.
    fn react(&mut self, error: ModelError, asked: &str) -> Flow<T> {
        let is_other = asked != self.model.name() && self.handovers < MAX_HANDOVERS;
        match error.class {
            Class::ContextLength if is_other => {
                self.handovers += 1;
                ControlFlow::Continue(())
            }
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
        prompt: request
            .messages
            .iter()
            .map(|message| tokens(serde_json::to_string(message).unwrap_or_default()))
            .sum::<u64>()
            + tokens(serde_json::to_string(&request.tools).unwrap_or_default()),
        completion: tokens(serde_json::to_string(&reply.message).unwrap_or_default()),
    }
}
