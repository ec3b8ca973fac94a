//! The history of a run: always well-formed, verbatim where it is kept, one line where it had to make room.

use std::collections::{HashMap, HashSet, VecDeque};

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

/// A question as it would be sent.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) request: Request,
    /// What it costs, by our estimate and this model's correction of it.
    pub(super) tokens: u64,
    /// Whether it leaves the model room to answer.
    pub(super) fits: bool,
}

/// The model a question is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addressee<'a> {
    pub(super) name: &'a str,
    /// Its window, in tokens.
    pub(super) window: usize,
}

/// What was said so far.
#[derive(Debug)]
pub(super) struct Conversation {
    system: String,
    /// The question, the fullest first; the first that is left is the one asked.
    prompts: VecDeque<String>,
    set_aside: Vec<String>,
    entries: Vec<Entry>,
    ids: HashSet<String>,
    /// How many tokens each model counts for one of ours; two models have two tokenizers.
    scales: HashMap<String, f64>,
}

impl Conversation {
    /// A conversation that begins with a question; `shorter` says it in fewer words, in this order.
    pub(super) fn new(system: &str, prompt: &str, shorter: &[String]) -> Self {
        Self {
            system: system.to_owned(),
            prompts: std::iter::once(prompt.to_owned()).chain(shorter.iter().cloned()).collect(),
            set_aside: Vec::new(),
            entries: Vec::new(),
            ids: HashSet::new(),
            scales: HashMap::new(),
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

    /// The request for the next turn, made to fit the model's window: old turns are set aside, then the question is
    /// asked in fewer words.
    pub(super) fn draft(&mut self, tools: Vec<Function>, model: Addressee<'_>, notes: &Notes<'_>) -> Draft {
        let window = model.window as f64;
        let limit = window - ANSWER_TOKENS.min(window / 4.0);
        let scale = self.scales.get(model.name).copied().unwrap_or(1.0);
        let offered = tools_estimate(&tools);
        loop {
            let messages = self.messages(notes);
            let tokens = (messages_estimate(&messages) + offered) * scale;
            let fits = tokens <= limit;
            if fits || !(self.set_oldest_aside(1) || self.shorten_prompt()) {
                return Draft { request: Request { messages, tools }, tokens: tokens.ceil() as u64, fits };
            }
        }
    }

    /// Learns from a model's own count how far the estimate was off.
    pub(super) fn learn(&mut self, model: &str, request: &Request, counted: u64) {
        let estimated = messages_estimate(&request.messages) + tools_estimate(&request.tools);
        if counted > 0 && estimated > 0.0 {
            self.scales.insert(model.to_owned(), (counted as f64 / estimated).clamp(0.5, 3.0));
        }
    }

    /// Makes as much room as can be made: all old turns and the long question, or the newest turn when that was all.
    pub(super) fn squeeze(&mut self) -> bool {
        let mut changed = false;
        while self.set_oldest_aside(1) || self.shorten_prompt() {
            changed = true;
        }
        changed || self.set_oldest_aside(0)
    }

    /// Asks the question in fewer words from now on, if there are any fewer.
    fn shorten_prompt(&mut self) -> bool {
        let can = self.prompts.len() > 1;
        if can {
            self.prompts.pop_front();
        }
        can
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

    /// Replaces the oldest turn with calls by one line for each, as long as more than `keep` such turns are there. It
    /// leaves whole: calls, results, and the thinking that belongs to them.
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
        let mut prompt = self.prompts.front().cloned().unwrap_or_default();
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

/// Tokens of messages, before any correction.
fn messages_estimate(messages: &[Message]) -> f64 {
    messages.iter().map(|message| tokens_in(&serde_json::to_string(message).unwrap_or_default())).sum()
}

fn tools_estimate(tools: &[Function]) -> f64 {
    tools.iter().map(|tool| tokens_in(&tool.description) + tokens_in(&tool.parameters.to_string())).sum()
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

    const fn window(window: usize) -> Addressee<'static> {
        Addressee { name: "m", window }
    }

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
        let mut conversation = Conversation::new("system", "prompt", &[]);
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
        let draft = conversation_of(3, 10).draft(Vec::new(), window(32_000), &NOTES);
        assert!(draft.fits);
        assert_well_formed(&draft.request.messages);
    }

    #[test]
    fn old_turns_become_lines_until_it_fits() {
        let mut conversation = conversation_of(4, 4_000);
        conversation.add_note("go on".to_owned());
        let Draft { request, fits, .. } = conversation.draft(Vec::new(), window(8_000), &NOTES);
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
        assert!(!conversation.draft(Vec::new(), window(8_000), &NOTES).fits);
        assert!(conversation.squeeze());
        assert!(conversation.draft(Vec::new(), window(8_000), &NOTES).fits);
        assert!(!conversation.squeeze(), "nothing is left to set aside");
    }

    #[test]
    fn the_providers_count_corrects_the_estimate() {
        let mut conversation = conversation_of(3, 4_000);
        let draft = conversation.draft(Vec::new(), window(100_000), &NOTES);
        conversation.learn("m", &draft.request, draft.tokens * 2);
        let other = conversation.draft(Vec::new(), Addressee { name: "other", window: 13_000 }, &NOTES);
        assert!(other.fits && other.request.messages.len() == draft.request.messages.len(), "another counts otherwise");
        let shorter = conversation.draft(Vec::new(), window(13_000), &NOTES);
        let fewer = shorter.request.messages.len() < draft.request.messages.len();
        assert!(shorter.fits && fewer, "6 000 by our count are 12 000 by theirs");
    }

    #[test]
    fn where_setting_turns_aside_is_not_enough_the_question_is_asked_in_fewer_words() {
        let shorter = ["p".repeat(8_000), "brief".to_owned()];
        let mut conversation = Conversation::new("system", &"p".repeat(40_000), &shorter);
        let first = conversation.draft(Vec::new(), window(32_000), &NOTES);
        assert!(first.fits && first.tokens > 10_000, "a large window sees all of it");
        let second = conversation.draft(Vec::new(), window(4_000), &NOTES);
        assert!(second.fits && (2_000..3_000).contains(&second.tokens), "{}", second.tokens);
        assert!(conversation.squeeze());
        assert!(conversation.draft(Vec::new(), window(4_000), &NOTES).tokens < 100);
        assert!(!conversation.squeeze(), "there are no fewer words");
    }

    #[test]
    fn thinking_stays_with_its_calls_and_leaves_with_them() {
        let mut conversation = conversation_of(0, 0);
        for n in 1..=3 {
            let mut message = turn(&[""]);
            message.extra.insert("reasoning_content".to_owned(), format!("thought {n}").into());
            conversation.identify(&mut message, n);
            conversation.add_calls(message, vec![answer(&format!("E{n}"), 6_000)]);
        }
        let draft = conversation.draft(Vec::new(), window(5_000), &NOTES);
        for message in &draft.request.messages {
            let Message::Assistant(said) = message else { continue };
            assert_eq!((said.reasoning().is_some(), said.tool_calls.len()), (true, 1));
        }
        let text = serde_json::to_string(&draft.request.messages).unwrap();
        assert!(!text.contains("thought 1") && text.contains("thought 3"), "{text}");
        assert_well_formed(&draft.request.messages);
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
        assert!(!Conversation::new("s", "p", &[]).withhold_newest("(removed)"));
    }
}
