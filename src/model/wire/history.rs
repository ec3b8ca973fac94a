//! A conversation as providers insist on it: results right after their calls, no two messages of one role in a row,
//! ids in the form they take, thinking where they want it.

use std::collections::HashMap;

use serde_json::Value;

use super::body::Sending;
use super::{AssistantMessage, Message, ToolCall, prompted};
use crate::model::form::Change;
use crate::model::profile::{CallIds, ReplayReasoning};
use crate::model::{Request, ToolMode};

/// The longest id OpenAI takes back.
const SHORT_ID: usize = 40;

/// Fields in which providers give a model's thinking.
const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "reasoning_details"];

/// The messages of a request.
pub(super) fn messages(request: &Request, sending: Sending<'_>) -> Value {
    let mut messages = paired(&request.messages);
    identify(&mut messages, sending.profile.call_ids);
    if sending.mode == ToolMode::Prompt {
        messages = messages.into_iter().scan(Vec::new(), prompted::as_text).collect();
    }
    if let Some(offer) = sending.offer(request) {
        add_to_system(&mut messages, &offer);
    }
    let fold = sending.form.has(Change::MergeMessages);
    let mut merged = Vec::with_capacity(messages.len());
    messages.into_iter().for_each(|message| push(&mut merged, message, fold));
    for message in &mut merged {
        if let Message::Assistant(message) = message {
            settle_reasoning(message, sending);
        }
    }
    serde_json::to_value(merged).unwrap_or_default()
}

/// Every call followed by its own result, no result without a call, no empty turn.
fn paired(messages: &[Message]) -> Vec<Message> {
    let mut paired = Vec::with_capacity(messages.len());
    let mut rest = messages.iter().peekable();
    while let Some(message) = rest.next() {
        match message {
            Message::Tool { .. } => {}
            Message::Assistant(said) if said.tool_calls.is_empty() => {
                if said.content.as_deref().is_some_and(|text| !text.trim().is_empty()) {
                    paired.push(message.clone());
                }
            }
            Message::Assistant(said) => {
                let mut results = Vec::new();
                while let Some(Message::Tool { tool_call_id, content }) =
                    rest.next_if(|next| matches!(next, Message::Tool { .. }))
                {
                    results.push((tool_call_id, content));
                }
                paired.push(message.clone());
                paired.extend(said.tool_calls.iter().map(|call| result_of(call, &mut results)));
            }
            other => paired.push(other.clone()),
        }
    }
    paired
}

fn result_of(call: &ToolCall, results: &mut Vec<(&String, &String)>) -> Message {
    let found = results.iter().position(|(id, _)| **id == call.id).map(|at| results.remove(at).1.as_str());
    let content = found.filter(|content| !content.trim().is_empty()).unwrap_or("(no result)");
    Message::Tool { tool_call_id: call.id.clone(), content: content.to_owned() }
}

/// Gives calls and their results the ids the endpoint takes; they may come from another model.
fn identify(messages: &mut [Message], style: CallIds) {
    let mut count = 0;
    let mut new_ids = HashMap::new();
    for message in messages {
        match message {
            Message::Assistant(said) => {
                new_ids.clear();
                for call in &mut said.tool_calls {
                    let id = id_for(call, style, count);
                    count += 1;
                    new_ids.insert(std::mem::replace(&mut call.id, id.clone()), id);
                }
            }
            Message::Tool { tool_call_id, .. } => {
                if let Some(id) = new_ids.get(tool_call_id) {
                    tool_call_id.clone_from(id);
                }
            }
            _ => {}
        }
    }
}

fn id_for(call: &ToolCall, style: CallIds, number: usize) -> String {
    let id = call.id.as_str();
    let is_fine = match style {
        CallIds::Any => !id.is_empty(),
        CallIds::Short => !id.is_empty() && id.len() <= SHORT_ID,
        CallIds::Kimi => id.starts_with("functions."),
        CallIds::Nine => id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
    };
    match style {
        _ if is_fine => id.to_owned(),
        CallIds::Kimi => format!("functions.{}:{number}", call.safe_name()),
        CallIds::Nine => format!("call{number:05}"),
        CallIds::Any | CallIds::Short => format!("call_{number}"),
    }
}

fn add_to_system(messages: &mut Vec<Message>, more: &str) {
    match messages.first_mut() {
        Some(Message::System { content }) => content.push_str(&format!("\n\n{more}")),
        _ => messages.insert(0, Message::System { content: more.to_owned() }),
    }
}

/// Appends a message; neighbours of one role become one, and with `fold` also what is said right after a result.
fn push(messages: &mut Vec<Message>, message: Message, fold: bool) {
    let join = |one: &mut String, more: &str| one.push_str(&format!("\n\n{more}"));
    match (messages.last_mut(), message) {
        (Some(Message::System { content }), Message::System { content: more })
        | (Some(Message::User { content }), Message::User { content: more }) => join(content, &more),
        (Some(Message::Tool { content, .. }), Message::User { content: more }) if fold => join(content, &more),
        (Some(Message::Assistant(said)), Message::Assistant(mut more)) if said.tool_calls.is_empty() => {
            let text = said.content.take().into_iter().chain(more.content.take()).collect::<Vec<_>>().join("\n\n");
            *said = AssistantMessage { content: Some(text), ..more };
        }
        (_, message) => messages.push(message),
    }
}

/// Thinking goes back as the profile says, unless the endpoint turned out to want the opposite.
fn settle_reasoning(message: &mut AssistantMessage, sending: Sending<'_>) {
    let restore = sending.form.has(Change::RestoreReasoning);
    let strip = sending.form.has(Change::StripReasoning) && !restore;
    let wanted = match sending.profile.replay_reasoning {
        _ if strip => false,
        ReplayReasoning::Never => restore && !message.tool_calls.is_empty(),
        ReplayReasoning::ToolTurns => !message.tool_calls.is_empty(),
        ReplayReasoning::Always => true,
    };
    if !wanted {
        REASONING.iter().for_each(|key| {
            message.extra.remove(*key);
        });
    } else if restore && !message.extra.contains_key(REASONING[0]) {
        // Another provider's turn may have its thinking under another name. Not empty: some endpoints count an empty text
        // as a missing one.
        let known = REASONING[1..].iter().find_map(|key| message.extra.remove(*key));
        message.extra.insert(REASONING[0].to_owned(), known.filter(Value::is_string).unwrap_or_else(|| " ".into()));
    }
}
