//! What a run has seen: whether a result says anything new, and when the model walks in circles.
//!
//! Models repeat themselves in small variations: the same log with `tail` 50, then 60, then 70; two calls in turn; a
//! selector with and without a space. What counts is whether a call brought something new, not how it was spelt.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};

use super::tools::ToolAnswer;

/// From this variation without news on, calls that differ in their numbers alone are refused. With the first, that
/// brought something, it is the third.
const REFUSED_FROM: u32 = 2;

/// The fourth variation without news, the fifth call of its family: the model walks in circles.
const CIRCLES_FROM: u32 = 4;

/// Turns in a row in which calls brought nothing new, before the next turn is the last.
const STALE_TURNS: u32 = 3;

/// A result is news when one line in so many is. A log read ten lines further, of sixty, is not.
const NEWS_SHARE: usize = 4;

/// Below this length in bytes a text is an answer of its own (`No objects found`), though another call had the same.
const SHORT: usize = 256;

/// Lines longer than this are compared in pieces: a list in one line of JSON differs as a whole when it grows by one.
const LONG_LINE: usize = 400;

/// What a result is worth to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// It says something.
    Fresh,
    /// Nearly all of it was seen before.
    Stale,
    /// It is, to the byte, the result that was recorded under this reference.
    SameAs(String),
}

/// What was seen in one run.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// For each family of calls: how many came in a row since the last that brought something.
    idle: HashMap<String, u32>,
    lines: HashSet<u64>,
    results: HashMap<u64, String>,
    brought: bool,
    stale_turns: u32,
}

impl Memory {
    /// The number of a call in its family when it must be refused, because those before it brought nothing.
    pub(super) fn refuses(&mut self, family: &str) -> Option<u32> {
        let idle = self.idle.get_mut(family).filter(|idle| **idle + 1 >= REFUSED_FROM)?;
        *idle += 1;
        Some(*idle + 1)
    }

    /// Notes a result and says what it is worth.
    pub(super) fn note(&mut self, family: &str, answer: &ToolAnswer) -> News {
        let is_first = !self.idle.contains_key(family);
        let (new, all) = self.learn(&answer.text);
        let is_news = new * NEWS_SHARE >= all.max(1) || (is_first && answer.text.len() < SHORT);
        let idle = self.idle.entry(family.to_owned()).or_default();
        *idle = if is_news { 0 } else { *idle + 1 };
        self.brought |= is_news;
        let known = self.known_as(answer);
        match known {
            Some(reference) if answer.text.len() >= SHORT => News::SameAs(reference),
            _ if is_news => News::Fresh,
            _ => News::Stale,
        }
    }

    /// Ends a turn in which calls were asked for.
    pub(super) fn end_turn(&mut self) {
        self.stale_turns = if std::mem::take(&mut self.brought) { 0 } else { self.stale_turns + 1 };
    }

    /// Whether nothing new will come.
    pub(super) fn is_in_circles(&self) -> bool {
        self.stale_turns >= STALE_TURNS || self.idle.values().any(|idle| *idle >= CIRCLES_FROM)
    }

    /// Remembers the lines of a text; gives how many were new, and of how many different ones.
    fn learn(&mut self, text: &str) -> (usize, usize) {
        let mut pieces = HashSet::new();
        for line in text.lines() {
            let is_long = line.len() > LONG_LINE;
            let parts = line.split(|c| is_long && matches!(c, ',' | ' ')).map(str::trim);
            pieces.extend(parts.filter(|part| !part.is_empty()).map(hash));
        }
        let all = pieces.len();
        let new = pieces.into_iter().filter(|piece| self.lines.insert(*piece)).count();
        (new, all)
    }

    /// The reference under which the same text was recorded before; remembers this one otherwise.
    fn known_as(&mut self, answer: &ToolAnswer) -> Option<String> {
        let own = answer.reference.clone().filter(|_| !answer.is_error)?;
        let first = self.results.entry(hash(&answer.text)).or_insert_with(|| own.clone());
        (*first != own).then(|| first.clone())
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// What calls share that ask for the same thing: the tool and the arguments that identify it. Numbers say how much of
/// it is wanted, unless they say from where; spaces, capitals and what is left empty say nothing.
pub(super) fn family(tool: &str, arguments: &Map<String, Value>) -> String {
    let mut parts: Vec<String> = arguments
        .iter()
        .filter(|(key, value)| identifies(key, value))
        .map(|(key, value)| format!("{key}={}", plain(&value.to_string())))
        .collect();
    parts.sort();
    format!("{tool} {}", parts.join(" "))
}

fn identifies(key: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(_) => matches!(key, "from" | "offset" | "page" | "start" | "skip"),
        Value::String(text) => !text.trim().is_empty(),
        _ => true,
    }
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn family_of(arguments: &Value) -> String {
        family("pods_log", arguments.as_object().unwrap())
    }

    fn lines(numbers: std::ops::Range<usize>) -> ToolAnswer {
        let text = numbers.map(|n| format!("line {n} of a log that is long enough")).collect::<Vec<_>>().join("\n");
        ToolAnswer { text, reference: Some("E9".to_owned()), is_error: false }
    }

    #[test]
    fn spelling_and_amounts_do_not_make_another_call() {
        let first = family_of(&json!({"name": "web-0", "labelSelector": "app=web", "tail": 50}));
        for same in [
            json!({"tail": 60, "labelSelector": "app=web", "name": "web-0"}),
            json!({"name": " web-0 ", "labelSelector": "app = web"}),
            json!({"name": "Web-0", "labelSelector": "app=web", "previous": false, "container": ""}),
        ] {
            assert_eq!(family_of(&same), first, "{same}");
        }
        for other in [
            json!({"name": "web-1", "labelSelector": "app=web"}),
            json!({"name": "web-0", "labelSelector": "app=web", "previous": true}),
            json!({"name": "web-0", "labelSelector": "app=web", "from": 121}),
        ] {
            assert_ne!(family_of(&other), first, "{other}");
        }
    }

    #[test]
    fn a_few_lines_more_are_no_news_and_the_third_try_is_refused() {
        let mut memory = Memory::default();
        assert_eq!(memory.note("log", &lines(50..100)), News::Fresh);
        assert_eq!(memory.refuses("log"), None);
        assert_eq!(memory.note("log", &lines(40..100)), News::Stale);
        assert_eq!(memory.refuses("log"), Some(3));
        assert_eq!(memory.refuses("log"), Some(4));
        assert!(!memory.is_in_circles());
        assert_eq!(memory.refuses("log"), Some(5));
        assert!(memory.is_in_circles());
    }

    #[test]
    fn reading_on_is_progress_however_long_it_takes() {
        let mut memory = Memory::default();
        for page in 0..20 {
            assert_eq!(memory.refuses("log"), None);
            assert_eq!(memory.note("log", &lines(page * 100..page * 100 + 120)), News::Fresh);
            memory.end_turn();
        }
        assert!(!memory.is_in_circles());
    }

    #[test]
    fn turns_without_news_end_the_run_whatever_was_called() {
        let mut memory = Memory::default();
        for number in 0..4 {
            assert!(!memory.is_in_circles());
            memory.note(&format!("from={number}"), &lines(number..number + 100));
            memory.end_turn();
        }
        assert!(memory.is_in_circles(), "one line further each time is no news");
    }

    #[test]
    fn the_same_text_under_another_call_is_named_and_a_short_answer_is_its_own() {
        let mut memory = Memory::default();
        memory.note("a", &lines(0..20));
        let twin = ToolAnswer { reference: Some("E10".to_owned()), ..lines(0..20) };
        assert_eq!(memory.note("b", &twin), News::SameAs("E9".to_owned()));
        let nothing = ToolAnswer { text: "No objects found".to_owned(), reference: None, is_error: false };
        assert_eq!(memory.note("c", &nothing), News::Fresh);
        assert_eq!(memory.note("d", &nothing), News::Fresh);
        assert_eq!(memory.note("d", &nothing), News::Stale);
    }

    #[test]
    fn a_list_in_one_line_of_json_is_compared_in_pieces() {
        let mut memory = Memory::default();
        let list = |count: usize| ToolAnswer {
            text: json!((0..count).map(|n| format!("pod-{n}")).collect::<Vec<_>>()).to_string(),
            reference: None,
            is_error: false,
        };
        assert_eq!(memory.note("a", &list(100)), News::Fresh);
        assert_eq!(memory.note("a", &list(101)), News::Stale);
    }
}
