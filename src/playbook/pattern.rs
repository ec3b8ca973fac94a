//! Patterns: regular expressions compiled once, asked without a way to panic.

use std::sync::OnceLock;

use regex::{Captures, Regex};

/// A regular expression of ours; one that does not compile matches nothing (and fails the test that tries all).
#[derive(Debug)]
pub struct Pattern {
    text: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Names the expression; it is compiled at its first use.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self { text, compiled: OnceLock::new() }
    }

    /// Whether a text contains a match.
    #[must_use]
    pub fn hits(&self, text: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }

    /// The groups of the first match.
    #[must_use]
    pub fn groups<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.regex()?.captures(text)
    }

    /// A group of the first match, as text of its own.
    #[must_use]
    pub fn group(&self, text: &str, index: usize) -> Option<String> {
        self.groups(text)?.get(index).map(|found| found.as_str().to_owned())
    }

    /// The groups of all matches.
    #[must_use]
    pub fn all<'t>(&self, text: &'t str) -> Vec<Captures<'t>> {
        self.regex().map(|regex| regex.captures_iter(text).collect()).unwrap_or_default()
    }

    /// A text without what matches.
    #[must_use]
    pub fn removed_from(&self, text: &str) -> String {
        self.regex().map_or_else(|| text.to_owned(), |regex| regex.replace_all(text, "").into_owned())
    }

    /// Whether the expression compiles.
    #[cfg(test)]
    pub fn compiles(&self) -> bool {
        self.regex().is_some()
    }

    fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| Regex::new(self.text).ok()).as_ref()
    }
}
