//! A text's markers in order, and which of them are only quoted.

use std::ops::Range;

use regex::Regex;

use super::{Attempt, Found, Marked};

/// A pattern of this room.
#[allow(clippy::expect_used, reason = "the patterns are constants, and every one of them is used in a test")]
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is correct")
}

/// The pattern of a family's markers, with the fences that quote them.
pub(super) fn markers(text: &str) -> Regex {
    pattern(&format!("{text}|`+|~{{3,}}"))
}

/// One marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark<'t> {
    /// Where it begins, in bytes.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// What it says.
    pub(super) text: &'t str,
}

/// Reads a text marker by marker. All are found in one pass, so looking for an end that never comes costs nothing twice.
pub(super) struct Markup<'t> {
    /// The text.
    pub(super) text: &'t str,
    marks: Vec<Range<usize>>,
    /// The first of them that is not yet behind; there is one for each way of reading, and both only go forward.
    next: usize,
    next_inside: usize,
    attempts: Vec<Attempt>,
    marked: Marked,
    first: Option<usize>,
    last: usize,
}

impl<'t> Markup<'t> {
    /// Finds the markers of a pattern made by [`markers`].
    pub(super) fn new(text: &'t str, pattern: &Regex) -> Self {
        let marks = pattern.find_iter(text).map(|found| found.range()).collect();
        Self {
            text,
            marks,
            next: 0,
            next_inside: 0,
            attempts: Vec::new(),
            marked: Marked::Nothing,
            first: None,
            last: 0,
        }
    }

    fn mark(&self, index: usize) -> Option<Mark<'t>> {
        let range = self.marks.get(index)?.clone();
        Some(Mark { start: range.start, end: range.end, text: &self.text[range] })
    }

    /// The next marker at or after a place, unless a fence quotes it.
    pub(super) fn outside(&mut self, mut at: usize) -> Option<Mark<'t>> {
        loop {
            while self.marks.get(self.next).is_some_and(|mark| mark.start < at) {
                self.next += 1;
            }
            let mark = self.mark(self.next)?;
            if !is_fence(&mark) {
                return Some(mark);
            }
            at = self.quotation_end(self.next, &mark).unwrap_or(mark.end);
        }
    }

    /// The next marker at or after a place, inside a call, where a fence quotes nothing.
    pub(super) fn inside(&mut self, at: usize) -> Option<Mark<'t>> {
        while self.mark(self.next_inside).is_some_and(|mark| mark.start < at || is_fence(&mark)) {
            self.next_inside += 1;
        }
        self.mark(self.next_inside)
    }

    /// Where what a fence or a backtick opens is over; `None` when it opens nothing.
    fn quotation_end(&self, index: usize, open: &Mark<'_>) -> Option<usize> {
        let long = open.text.len() >= 3;
        self.inline_end(index, open).or_else(|| (long && self.begins_line(open)).then(|| self.fence_end(index, open)))
    }

    /// A run of backticks of the same length on the same line.
    fn inline_end(&self, index: usize, open: &Mark<'_>) -> Option<usize> {
        let mut from = open.start;
        for later in (index + 1..).map_while(|later| self.mark(later)) {
            if open.text.len() > 3 || self.text[from..later.start].contains('\n') {
                return None;
            }
            if later.text == open.text {
                return Some(later.end);
            }
            from = later.start;
        }
        None
    }

    /// The next fence that is as long and begins a line; without one, everything is quoted.
    fn fence_end(&self, index: usize, open: &Mark<'_>) -> usize {
        (index + 1..)
            .map_while(|later| self.mark(later))
            .find(|later| later.text.starts_with(open.text) && self.begins_line(later) && self.is_bare(later))
            .map_or(self.text.len(), |close| close.end)
    }

    fn begins_line(&self, mark: &Mark<'_>) -> bool {
        let before = self.text[..mark.start].trim_end_matches([' ', '\t', '>']);
        before.is_empty() || before.ends_with('\n')
    }

    /// Whether no word follows, as one does where a fence opens.
    fn is_bare(&self, mark: &Mark<'_>) -> bool {
        !self.text[mark.end..].starts_with(char::is_alphanumeric)
    }

    /// Takes a stretch out of what is shown.
    pub(super) fn hide(&mut self, range: Range<usize>, marked: Marked) {
        self.first.get_or_insert(range.start);
        self.last = self.last.max(range.end);
        self.marked = self.marked.max(marked);
    }

    /// Notes a call, whole or broken.
    pub(super) fn note(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
    }

    /// Notes something that should have been a call.
    pub(super) fn broken(&mut self, name: Option<&str>, why: &'static str) {
        self.attempts.push(Attempt::Broken { name: name.map(str::to_owned), why });
    }

    /// Everything found, with the text before the first and after the last marker.
    pub(super) fn finish(self) -> Found {
        let shown = match self.first {
            None => self.text.to_owned(),
            Some(first) => around(self.text[..first].trim(), self.text[self.last.max(first)..].trim()),
        };
        Found { attempts: self.attempts, marked: self.marked, shown }
    }
}

fn is_fence(mark: &Mark<'_>) -> bool {
    mark.text.starts_with(['`', '~'])
}

/// Two texts as one.
pub(super) fn around(before: &str, after: &str) -> String {
    let gap = if before.is_empty() || after.is_empty() { "" } else { "\n" };
    format!("{before}{gap}{after}")
}
