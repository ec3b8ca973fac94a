//! Evidence: what the tools returned, numbered, as the only thing a claim may cite.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fit::fit;
use crate::report::{Citation, EvidenceEntry};

/// One recorded tool result: redacted and reduced, exactly the text that a model or an analyzer saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// `E1`, `E2`, … in the order they were taken.
    pub reference: String,
    /// The tool that was called.
    pub tool: String,
    /// With which arguments.
    pub arguments: Value,
    /// What it returned, cut to the size a model is shown.
    pub text: String,
    /// All that it returned, redacted: what `evidence_read` pages through and quotes are checked against.
    pub full: String,
    /// When.
    pub taken_at: Timestamp,
}

impl Evidence {
    /// The entry the report lists for it.
    #[must_use]
    pub fn entry(&self) -> EvidenceEntry {
        EvidenceEntry {
            reference: self.reference.clone(),
            tool: self.tool.clone(),
            arguments: self.arguments.clone(),
            bytes: self.full.len(),
            taken_at: self.taken_at,
        }
    }

    /// Cites this result when `quote` really stands in it.
    #[must_use]
    pub fn cite(&self, quote: &str) -> Option<Citation> {
        quoted_in(&self.full, quote).then(|| Citation { reference: self.reference.clone(), quote: quote.to_owned() })
    }
}

/// A recorded result, with the objects behind its text where the server gave them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// What was recorded.
    pub evidence: Evidence,
    /// The result as data, redacted.
    pub structured: Option<Value>,
    /// Whether the tool said that it failed.
    pub is_error: bool,
}

impl Recorded {
    /// Whether it failed because the object that was asked for is not there, which is worth as much as one that is.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        self.is_error && self.evidence.text.contains("not found")
    }
}

/// The evidence of one run. Cheap to share; many calls record at once.
///
/// References are given out when calls start, so that the same calls always carry the same numbers, whichever answers first.
#[derive(Debug, Default)]
pub struct EvidenceLog {
    given_out: AtomicUsize,
    entries: Mutex<BTreeMap<usize, Evidence>>,
}

/// A reference that waits for its result.
#[derive(Debug, Clone, Copy)]
pub struct Slot(usize);

impl EvidenceLog {
    /// Gives out the next reference.
    pub fn reserve(&self) -> Slot {
        Slot(self.given_out.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Records a result under its reference; `limit` is what a model is shown of it, in bytes.
    pub fn record(
        &self,
        slot: Slot,
        tool: &str,
        arguments: &Value,
        full: String,
        limit: usize,
        at: Timestamp,
    ) -> Evidence {
        let reference = format!("E{}", slot.0);
        let text = fit(&full, limit, Some(&reference));
        let evidence =
            Evidence { reference, tool: tool.to_owned(), arguments: arguments.clone(), text, full, taken_at: at };
        self.entries().insert(slot.0, evidence.clone());
        evidence
    }

    /// Takes in what an earlier attempt recorded, under the reference it had. False when it has none of ours.
    pub fn adopt(&self, evidence: Evidence) -> bool {
        let Some(number) = number_of(&evidence.reference) else { return false };
        self.given_out.fetch_max(number, Ordering::Relaxed);
        self.entries().insert(number, evidence);
        true
    }

    /// The evidence recorded under a reference such as `E3`.
    #[must_use]
    pub fn get(&self, reference: &str) -> Option<Evidence> {
        self.entries().get(&number_of(reference)?).cloned()
    }

    /// Everything recorded so far, in order.
    #[must_use]
    pub fn all(&self) -> Vec<Evidence> {
        self.entries().values().cloned().collect()
    }

    /// The references recorded so far, in order.
    #[must_use]
    pub fn references(&self) -> Vec<String> {
        self.entries().keys().map(|number| format!("E{number}")).collect()
    }

    /// How many results were recorded so far, and the tool of the last.
    #[must_use]
    pub fn last_tool(&self) -> Option<(usize, String)> {
        let entries = self.entries();
        entries.last_key_value().map(|(_, last)| (entries.len(), last.tool.clone()))
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<usize, Evidence>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number_of(reference: &str) -> Option<usize> {
    reference.trim().trim_start_matches(['E', 'e']).parse().ok()
}

/// Whether a quotation stands in a text. White space does not count: YAML folds long lines, tables pad columns; nor does what
/// YAML puts before a quotation mark within quotation marks.
#[must_use]
pub fn quoted_in(text: &str, quote: &str) -> bool {
    let (text, quote) = (squeeze(text), squeeze(quote));
    let has_marks = quote.contains(['\'', '"']);
    !quote.is_empty() && (text.contains(&quote) || (has_marks && bare(&text).contains(&quote)))
}

/// A text without YAML's signs for a quotation mark within quotation marks: one doubled, one behind a backslash.
fn bare(text: &str) -> String {
    text.replace("''", "'").replace("\\\"", "\"")
}

/// Where a quotation stands in a text, from byte to byte, when runs of white space count as one.
#[must_use]
pub fn position(text: &str, quote: &str) -> Option<(usize, usize)> {
    let words: Vec<&str> = quote.split_whitespace().collect();
    let first = words.first()?;
    let letter = first.chars().next()?;
    text.match_indices(letter).find_map(|(start, _)| {
        let mut end = start + begins(&text[start..], first)?;
        for word in &words[1..] {
            let rest = &text[end..];
            let gap = rest.len() - rest.trim_start().len();
            end += gap + begins(&rest[gap..], word).filter(|_| gap > 0)?;
        }
        Some((start, end))
    })
}

/// How many bytes of a text a word takes that it begins with, YAML's signs before quotation marks included.
fn begins(text: &str, word: &str) -> Option<usize> {
    let mut rest = text;
    for letter in word.chars() {
        let sign = match letter {
            '\'' if rest.starts_with("''") => 1,
            '"' if rest.starts_with("\\\"") => 1,
            _ => 0,
        };
        rest = rest[sign..].strip_prefix(letter)?;
    }
    Some(text.len() - rest.len())
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_may_cross_folded_lines_but_must_be_there() {
        let text = "Message: Waiting for a volume\n    or manually";
        assert!(quoted_in(text, "a volume or manually"));
        assert!(!quoted_in(text, "a volume and manually"));
        assert!(!quoted_in(text, "  "), "an empty quote says nothing");
    }

    #[test]
    fn marks_within_marks_are_no_part_of_a_quote() {
        let (single, double) = ("m: '3 node(s) didn''t match'", r#"m: "key \"a\" of 'b'""#);
        for (text, quote) in [(single, "node(s) didn't match"), (double, r#"key "a" of 'b'"#), ("it's 'b'", "it's 'b'")]
        {
            assert!(quoted_in(text, quote), "{text}");
            let (start, end) = position(text, quote).unwrap();
            assert!(text[start..end].len() >= quote.len(), "{}", &text[start..end]);
        }
        assert!(!quoted_in(single, "didnt match"));
        assert_eq!(position(single, "\"didn"), None);
    }

    #[test]
    fn references_follow_the_order_of_asking() {
        let log = EvidenceLog::default();
        let (first, second) = (log.reserve(), log.reserve());
        log.record(second, "pods_get", &Value::Null, "b".into(), 99, Timestamp::UNIX_EPOCH);
        log.record(first, "pods_get", &Value::Null, "a".into(), 99, Timestamp::UNIX_EPOCH);
        let order: Vec<String> = log.all().into_iter().map(|evidence| evidence.reference + &evidence.text).collect();
        assert_eq!(order, ["E1a", "E2b"]);
        assert_eq!(log.get("e2").map(|evidence| evidence.text), Some("b".to_owned()));
    }
}
