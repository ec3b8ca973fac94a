//! Evidence: what the tools returned, numbered, as the only thing a claim may cite.

use std::sync::Mutex;

use jiff::Timestamp;
use serde_json::Value;

use crate::report::{Citation, EvidenceEntry};

/// One recorded tool result: redacted and reduced, exactly the text that a model or an analyzer saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// `E1`, `E2`, … in the order they were taken.
    pub reference: String,
    /// The tool that was called.
    pub tool: String,
    /// With which arguments.
    pub arguments: Value,
    /// What it returned.
    pub text: String,
    /// The same before it was cut to size; equal to `text` when nothing was cut.
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
            bytes: self.text.len(),
            taken_at: self.taken_at,
        }
    }

    /// Cites this result when `quote` really stands in it.
    #[must_use]
    pub fn cite(&self, quote: &str) -> Option<Citation> {
        quoted_in(&self.text, quote).then(|| Citation { reference: self.reference.clone(), quote: quote.to_owned() })
    }
}

/// The evidence of one run, in the order it was taken. Cheap to share; many calls record at once.
#[derive(Debug, Default)]
pub struct EvidenceLog(Mutex<Vec<Evidence>>);

impl EvidenceLog {
    /// Records a result under the next reference and returns it.
    pub fn record(&self, tool: &str, arguments: &Value, text: String, taken_at: Timestamp) -> Evidence {
        let mut log = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let evidence = Evidence {
            reference: format!("E{}", log.len() + 1),
            tool: tool.to_owned(),
            arguments: arguments.clone(),
            full: text.clone(),
            text,
            taken_at,
        };
        log.push(evidence.clone());
        evidence
    }

    /// The evidence recorded under a reference such as `E3`.
    #[must_use]
    pub fn get(&self, reference: &str) -> Option<Evidence> {
        self.all().into_iter().find(|evidence| evidence.reference.eq_ignore_ascii_case(reference.trim()))
    }

    /// Everything recorded so far.
    #[must_use]
    pub fn all(&self) -> Vec<Evidence> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// Whether a quotation stands in a text. White space does not count: YAML folds long lines, tables pad columns.
#[must_use]
pub fn quoted_in(text: &str, quote: &str) -> bool {
    let quote = squeeze(quote);
    !quote.is_empty() && squeeze(text).contains(&quote)
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
    fn references_count_from_one() {
        let log = EvidenceLog::default();
        log.record("pods_get", &Value::Null, "a".into(), Timestamp::UNIX_EPOCH);
        let second = log.record("pods_get", &Value::Null, "b".into(), Timestamp::UNIX_EPOCH);
        assert_eq!(second.reference, "E2");
        assert_eq!(log.get("e2").map(|evidence| evidence.text), Some("b".to_owned()));
    }
}
