//! What is done with a model's reply: calls are made, an answer ends the run, everything else is told what it lacks.

use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Ending, Flow, Run, stopped};
use crate::agent::Stop;
use crate::agent::answer::without_thinking;
use crate::agent::conversation::CallAnswer;
use crate::agent::envelope::defang;
use crate::agent::tools::Tools;
use crate::model::{Arguments, AssistantMessage, Garbled, Model, Reply, ToolCall};

/// Answers that do not have the form asked for, before the run gives up: two are given back.
const MAX_INVALID: u32 = 3;

/// Answers cut off at the output limit, before the run gives up.
const MAX_TRUNCATED: u32 = 2;

/// Turns in a row whose calls in the text are given back as unusable.
const MAX_GARBLED: u32 = 2;

/// The most of a call's arguments that stays in the conversation, in bytes: four times a long diagnosis.
const MAX_ARGUMENT_BYTES: usize = 32 << 10;

impl<M, K, T> Run<'_, M, K, T>
where
    M: Model,
    K: Tools,
    T: JsonSchema + DeserializeOwned + Send,
{
    pub(super) async fn take(&mut self, reply: Reply) -> Flow<T> {
        self.shortfall = None;
        if reply.truncated {
            return self.take_truncated();
        }
        if reply.message.tool_calls.is_empty() {
            return self.take_text(reply.message, reply.garbled);
        }
        (self.nudged, self.garbled) = (false, 0);
        let flow = self.take_calls(reply.message).await;
        if flow.is_continue() && !reply.complaints.is_empty() {
            let complaints: Vec<String> = reply.complaints.iter().map(|complaint| defang(complaint)).collect();
            self.conversation.add_note(self.notes.beside(&complaints));
        }
        flow
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

    /// Text is used only when it is an answer in the form asked for, or in the sections people know.
    fn take_text(&mut self, mut message: AssistantMessage, garbled: Option<Garbled>) -> Flow<T> {
        let note = match (self.answer_in(&message, garbled.is_some()), garbled) {
            (Some(Ok(answer)), _) => return ControlFlow::Break(Ending::Submitted(answer)),
            (Some(Err(errors)), _) => self.refuse(&errors)?,
            (None, Some(garbled)) => {
                // Its markers would be structure again for a server that renders the history.
                message.content = message.content.as_deref().map(defang);
                self.tell(&garbled)?
            }
            (None, None) if self.nudged => return stopped(Stop::NoAnswer, None),
            (None, None) => {
                self.nudged = true;
                self.shortfall = Some(Stop::NoAnswer);
                self.notes.nudge()
            }
        };
        self.conversation.add_text(message);
        self.conversation.add_note(note);
        ControlFlow::Continue(())
    }

    /// An answer in a text; some servers leave it in the thinking, where it is looked for at the end
    /// and once the model was told that an answer is missing. Sections around calls that could not be
    /// read are a plan, not an answer.
    fn answer_in(&self, message: &AssistantMessage, is_garbled: bool) -> Option<Result<T, Vec<String>>> {
        let thinking = message.reasoning().filter(|_| self.closing.is_some() || self.nudged);
        let text = message.content.as_deref().filter(|text| !text.trim().is_empty()).or(thinking)?;
        let in_sections = || (!is_garbled).then(|| (self.task.read)(without_thinking(text))).flatten();
        self.task.answer.find_in(text).or_else(|| in_sections().map(Ok))
    }

    /// Says to the model what was wrong with calls in its text: twice where they could be told from it, once where
    /// there were only remains.
    fn tell(&mut self, garbled: &Garbled) -> ControlFlow<Ending<T>, String> {
        let most = if *garbled == Garbled::Suspected { 1 } else { MAX_GARBLED };
        self.garbled += 1;
        if self.garbled > most {
            return ControlFlow::Break(Ending::Stopped(Stop::GarbledCalls, None));
        }
        self.shortfall = Some(Stop::GarbledCalls);
        let offered: Vec<String> = self.offered().into_iter().map(|function| function.name).collect();
        ControlFlow::Continue(match garbled {
            Garbled::Unreadable | Garbled::Suspected => self.notes.garbled(),
            Garbled::NotOffered(_) => self.notes.not_offered(&offered),
            Garbled::Changing(names) => {
                let names: Vec<String> = names.iter().map(|name| defang(name)).collect();
                self.notes.changing(&names, &offered)
            }
        })
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
        forget_endless_arguments(&mut message);
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
}

/// No tool takes arguments of this length, and a conversation that carries them has room for nothing else: they are sent
/// back as an empty object, beside the answer that says what was wrong with them.
fn forget_endless_arguments(message: &mut AssistantMessage) {
    for call in &mut message.tool_calls {
        let length = match &call.arguments {
            Arguments::Object(object) => object.iter().map(|(key, value)| key.len() + value.to_string().len()).sum(),
            Arguments::Unreadable(_) => 0,
        };
        if length > MAX_ARGUMENT_BYTES {
            call.arguments = Arguments::Object(serde_json::Map::new());
        }
    }
}
