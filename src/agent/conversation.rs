//! The history of a run: always well-formed, verbatim where it is kept, one line where it had to make room.

use std::collections::HashSet;

use super::notes::Notes;
use crate::model::{AssistantMessage, Function, Message, Request};

/// Tokens kept free for the answer, unless a quarter of the window is less.
const ANSWER_TOKENS: f64 = 4096.0;

/// One result as the model gets it, and the line that stands for it later.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CallAnswer {
    pub(super) text: String,
    pub(super) line: String,
}

#[derive(Debug)]
enum Entry {
    /// A turn with calls, and one answer to each, in order. They leave the history only together.
    Calls { message: AssistantMessage, answers: Vec<CallAnswer> },
    /// A turn in which the model only talked.
    Text(AssistantMessage),
    /// Something the loop said.
    Note(String),
}

/// What was said so far.
#[derive(Debug)]
pub(super) struct Conversation {
    system: String,
    prompt: String,
    set_aside: Vec<String>,
    entries: Vec<Entry>,
    ids: HashSet<String>,
    /// How many tokens the provider counts for one of ours.
    scale: f64,
}

impl Conversation {
    pub(super) fn new(system: &str, prompt: &str) -> Self {
        Self {
            system: system.to_owned(),
            prompt: prompt.to_owned(),
            set_aside: Vec::new(),
            entries: Vec::new(),
            ids: HashSet::new(),
            scale: 1.0,
        }
    }

    /// Gives every call an id of its own, where the provider gave none or one twice.
    pub(super) fn identify(&mut self, message: &mut AssistantMessage, turn: u32) {
        for (number, call) in message.tool_calls.iter_mut().enumerate() {
            if call.id.is_empty() || self.ids.contains(&call.id) {
                call.id = format!("call_{turn}_{number}");
            }
            self.ids.insert(call.id.clone());
        }
    }

    /// Adds a turn with calls; `answers` holds one for each call, in the same order.
    pub(super) fn add_calls(&mut self, message: AssistantMessage, answers: Vec<CallAnswer>) {
        debug_assert_eq!(message.tool_calls.len(), answers.len(), "every call is answered exactly once");
        self.entries.push(Entry::Calls { message, answers });
    }

    /// Adds a turn in which the model only talked; an empty one is left out, because providers refuse it.
    pub(super) fn add_text(&mut self, message: AssistantMessage) {
        if message.content.as_deref().is_some_and(|text| !text.trim().is_empty()) {
            self.entries.push(Entry::Text(message));
        }
    }

    /// Adds something the loop says.
    pub(super) fn add_note(&mut self, note: String) {
        self.entries.push(Entry::Note(note));
    }

    /// The request for the next turn, made to fit `window` tokens by setting old turns aside. The flag is false when
    /// it does not fit even so.
    pub(super) fn request(&mut self, tools: Vec<Function>, window: usize, notes: &Notes<'_>) -> (Request, bool) {
        let window = window as f64;
        let limit = window - ANSWER_TOKENS.min(window / 4.0);
        loop {
            let request = Request { messages: self.messages(notes), tools: tools.clone() };
            if estimate(&request) * self.scale <= limit {
                return (request, true);
            }
            if !self.set_oldest_aside(1) {
                return (request, false);
            }
        }
    }

    /// Learns from the provider's own count how far the estimate was off.
    pub(super) fn learn(&mut self, request: &Request, counted: u64) {
        let estimated = estimate(request);
        if counted > 0 && estimated > 0.0 {
            self.scale = (counted as f64 / estimated).clamp(0.5, 3.0);
        }
    }

    /// Makes as much room as can be made: all old turns, or the newest when there is no other.
    pub(super) fn squeeze(&mut self) -> bool {
        let mut changed = false;
        while self.set_oldest_aside(1) {
            changed = true;
        }
        changed || self.set_oldest_aside(0)
    }

    /// Takes the newest results back: what came before them was accepted, so the offence is among them.
    pub(super) fn withhold_newest(&mut self, instead: &str) -> bool {
        let newest = self.entries.iter_mut().rev().find_map(|entry| match entry {
            Entry::Calls { answers, .. } => Some(answers),
            _ => None,
        });
        let Some(answers) = newest else { return false };
        answers.iter_mut().for_each(|answer| answer.text = instead.to_owned());
        true
    }

    /// Replaces the oldest turn with calls by one line for each, as long as more than `keep` such turns are there.
    fn set_oldest_aside(&mut self, keep: usize) -> bool {
        let turns: Vec<_> =
            (0..self.entries.len()).filter(|&i| matches!(self.entries[i], Entry::Calls { .. })).collect();
        if turns.len() <= keep {
            return false;
        }
        for entry in self.entries.drain(..=turns[0]) {
            if let Entry::Calls { answers, .. } = entry {
                self.set_aside.extend(answers.into_iter().map(|answer| answer.line));
            }
        }
        true
    }

    fn messages(&self, notes: &Notes<'_>) -> Vec<Message> {
        let mut prompt = self.prompt.clone();
        if !self.set_aside.is_empty() {
            prompt.push_str(&format!("\n\n{}", notes.set_aside(&self.set_aside)));
        }
        let mut messages = vec![Message::System { content: self.system.clone() }, Message::User { content: prompt }];
        for entry in &self.entries {
            match entry {
                Entry::Calls { message, answers } => {
                    messages.push(Message::Assistant(message.clone()));
                    messages.extend(message.tool_calls.iter().zip(answers).map(|(call, answer)| Message::Tool {
                        tool_call_id: call.id.clone(),
                        content: answer.text.clone(),
                    }));
                }
                Entry::Text(message) => messages.push(Message::Assistant(message.clone())),
                // Some models refuse two user messages in a row.
                Entry::Note(note) => match messages.last_mut() {
                    Some(Message::User { content }) => content.push_str(&format!("\n\n{note}")),
                    _ => messages.push(Message::User { content: note.clone() }),
                },
            }
        }
        messages
    }
}

/// Tokens of a request, before any correction.
fn estimate(request: &Request) -> f64 {
    let messages =
        request.messages.iter().map(|message| tokens_in(&serde_json::to_string(message).unwrap_or_default()));
    let tools = request.tools.iter().map(|tool| tokens_in(&tool.description) + tokens_in(&tool.parameters.to_string()));
    messages.sum::<f64>() + tools.sum::<f64>()
}

/// Four bytes of ASCII a token; Chinese about 1.5 characters a token.
pub(super) fn tokens_in(text: &str) -> f64 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let other = text.chars().filter(|c| !c.is_ascii()).count();
    ascii as f64 / 4.0 + other as f64 / 1.5
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::alert::Lang;
    use crate::model::{Arguments, ToolCall};

    const NOTES: Notes<'static> = Notes { lang: Lang::En, answer: "submit" };

    fn turn(ids: &[&str]) -> AssistantMessage {
        let call = |id: &&str| ToolCall {
            id: (*id).to_owned(),
            name: "pods_get".to_owned(),
            arguments: Arguments::Object(Map::new()),
            extra: Map::new(),
        };
        AssistantMessage { tool_calls: ids.iter().map(call).collect(), ..AssistantMessage::default() }
    }

    fn answer(line: &str, length: usize) -> CallAnswer {
        CallAnswer { text: "x".repeat(length), line: line.to_owned() }
    }

    fn conversation_of(turns: usize, length: usize) -> Conversation {
        let mut conversation = Conversation::new("system", "prompt");
        for n in 1..=turns {
            let mut message = turn(&["", "same"]);
            conversation.identify(&mut message, u32::try_from(n).unwrap());
            conversation
                .add_calls(message, vec![answer(&format!("E{n} a"), length), answer(&format!("E{n} b"), length)]);
        }
        conversation
    }

    /// What every provider asks of a conversation.
    fn assert_well_formed(messages: &[Message]) {
        let mut open: Vec<String> = Vec::new();
        let mut all = HashSet::new();
        for message in messages {
            match message {
                Message::Tool { tool_call_id, .. } => assert_eq!(&open.remove(0), tool_call_id),
                other => {
                    assert!(open.is_empty(), "{open:?} are unanswered");
                    if let Message::Assistant(said) = other {
                        open = said.tool_calls.iter().map(|call| call.id.clone()).collect();
                        assert!(open.iter().all(|id| all.insert(id.clone())), "{open:?} are not unique");
                    }
                }
            }
        }
        assert!(open.is_empty());
        let is_user = |message: &Message| matches!(message, Message::User { .. });
        assert!(!messages.windows(2).any(|pair| is_user(&pair[0]) && is_user(&pair[1])), "two user messages in a row");
    }

    #[test]
    fn ids_are_unique_over_the_whole_run() {
        let (request, fits) = conversation_of(3, 10).request(Vec::new(), 32_000, &NOTES);
        assert!(fits);
        assert_well_formed(&request.messages);
    }

    #[test]
    fn old_turns_become_lines_until_it_fits() {
        let mut conversation = conversation_of(4, 4_000);
        conversation.add_note("go on".to_owned());
        let (request, fits) = conversation.request(Vec::new(), 8_000, &NOTES);
        assert!(fits);
        assert_well_formed(&request.messages);
        let Message::User { content } = &request.messages[1] else { panic!("the prompt comes second") };
        assert!(content.contains("- E1 a\n- E1 b\n- E2 a"), "{content}");
        let text = serde_json::to_string(&request.messages).unwrap();
        assert!(text.contains(&"x".repeat(4_000)), "the newest turn is whole");
    }

    #[test]
    fn what_cannot_fit_is_said_and_squeezed_on_demand() {
        let mut conversation = conversation_of(2, 40_000);
        assert!(!conversation.request(Vec::new(), 8_000, &NOTES).1);
        assert!(conversation.squeeze());
        assert!(conversation.request(Vec::new(), 8_000, &NOTES).1);
        assert!(!conversation.squeeze(), "nothing is left to set aside");
    }

    #[test]
    fn the_providers_count_corrects_the_estimate() {
        let mut conversation = conversation_of(3, 4_000);
        let (request, _) = conversation.request(Vec::new(), 100_000, &NOTES);
        conversation.learn(&request, (estimate(&request) * 2.0) as u64);
        let (shorter, fits) = conversation.request(Vec::new(), 13_000, &NOTES);
        assert!(fits && shorter.messages.len() < request.messages.len(), "6 000 by our count are 12 000 by theirs");
    }

    #[test]
    fn chinese_costs_more_than_ascii() {
        assert!((tokens_in("aaaa") - 1.0).abs() < f64::EPSILON);
        assert!((tokens_in("调度失败了啊") - 4.0).abs() < f64::EPSILON);
    }

    #[test]
    fn refused_results_are_withheld_whole_turn_and_no_more() {
        let mut conversation = conversation_of(2, 10);
        assert!(conversation.withhold_newest("(removed)"));
        let text = serde_json::to_string(&conversation.messages(&NOTES)).unwrap();
        assert_eq!((text.matches("(removed)").count(), text.matches("xxxxxxxxxx").count()), (2, 2));
        assert!(!Conversation::new("s", "p").withhold_newest("(removed)"));
    }
}
