//! Fit: a long tool result cut to a size a model can afford, by whole lines, keeping what looks like an error.

use std::sync::LazyLock;

use regex::Regex;

/// The longest row, in bytes. A longer line counts as several: one minified JSON line must neither eat the whole budget
/// nor hide everything behind its beginning.
const ROW: usize = 1_000;

/// What the sentence about the gap takes, in bytes.
const NOTE: usize = 160;

static ERROR_LIKE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i-u)error|fatal|panic|exception|traceback|fail|denied|refused|timeout|timed out|oom|killed|not found|caused by").ok()
});

/// The rows of a text, as they are counted, shown and paged through: its lines, long ones in pieces.
pub fn rows(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(pieces)
}

fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let (piece, more) = cut_at(rest?, ROW);
        rest = (!more.is_empty()).then_some(more);
        Some(piece)
    })
}

fn cut_at(text: &str, limit: usize) -> (&str, &str) {
    text.split_at(cut(text, limit).len())
}

/// What of a text is kept when it is cut: rows of it, in order.
pub(super) struct Pieces<'a> {
    /// The first ones.
    pub(super) head: Vec<&'a str>,
    /// Error-like ones between.
    pub(super) errors: Vec<&'a str>,
    /// The last ones.
    pub(super) tail: Vec<&'a str>,
    /// How many are in none of these.
    pub(super) left_out: usize,
}

/// Chooses what is kept of a text that has to be cut to `limit` bytes.
pub(super) fn pieces_of(text: &str, limit: usize) -> Pieces<'_> {
    let budget = limit.saturating_sub(NOTE);
    let head = take(rows(text), budget * 2 / 5);
    let after = head.last().map_or(0, |row| end_of(row, text));
    let mut tail = take(rows_backwards(&text[after..]), budget * 2 / 5);
    let until = tail.last().map_or(text.len(), |row| start_of(row, text));
    tail.reverse();
    let middle = text.get(after..until).unwrap_or_default();
    let errors = error_like(middle, budget / 5);
    let left_out = rows(middle).count().saturating_sub(errors.len());
    Pieces { head, errors, tail, left_out }
}

/// Cuts a text to at most `limit` bytes: its head, its tail, error-like rows between. `reference` is the evidence under
/// which the rest can be read; without one the rest is gone, and that is said.
#[must_use]
pub fn fit(text: &str, limit: usize, reference: Option<&str>) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let Pieces { head, errors: kept, tail, left_out } = pieces_of(text, limit);
    let errors = if kept.is_empty() { "" } else { ", error-like ones kept" };
    let rest = match reference {
        Some(reference) => format!("; read them with evidence_read(ref=\"{reference}\", from=…, lines=…, grep=…)"),
        None => " and not kept".to_owned(),
    };
    let total = left_out + kept.len() + head.len() + tail.len();
    let note = format!("[… {left_out} of {total} lines left out{errors}{rest}]");
    let parts = head.into_iter().chain([note.as_str()]).chain(kept).chain(tail);
    parts.collect::<Vec<_>>().join("\n")
}

/// Where a row begins.
pub(super) fn start_of(row: &str, text: &str) -> usize {
    row.as_ptr().addr() - text.as_ptr().addr()
}

/// Where what follows a row begins.
pub(super) fn end_of(row: &str, text: &str) -> usize {
    let end = start_of(row, text) + row.len();
    let line_end = ["\r\n", "\n"].into_iter().find(|line_end| text[end..].starts_with(line_end));
    end + line_end.map_or(0, str::len)
}

/// The rows from the last to the first.
fn rows_backwards(text: &str) -> impl Iterator<Item = &str> {
    text.lines().rev().flat_map(|line| pieces(line).collect::<Vec<_>>().into_iter().rev())
}

/// The rows that fit into `budget` bytes, with their line ends.
fn take<'a>(rows: impl Iterator<Item = &'a str>, budget: usize) -> Vec<&'a str> {
    let mut left = budget;
    let fitting = rows.take_while(|row| {
        let fits = row.len() < left;
        left = left.saturating_sub(row.len() + 1);
        fits
    });
    fitting.collect()
}

fn error_like(text: &str, budget: usize) -> Vec<&str> {
    let Some(pattern) = ERROR_LIKE.as_ref() else { return Vec::new() };
    take(rows(text).filter(|row| pattern.is_match(row)), budget)
}

/// The longest prefix of at most `limit` bytes that ends on a character boundary.
#[must_use]
pub fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit.min(text.len()))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_left_alone() {
        assert_eq!(fit("a\nb\n", 10, Some("E1")), "a\nb\n");
    }

    #[test]
    fn head_tail_and_errors_survive() {
        let mut lines: Vec<String> = (0..1_000).map(|n| format!("line {n} ok")).collect();
        lines[500] = "line 500 ERROR boom".to_owned();
        let out = fit(&lines.join("\n"), 1_000, Some("E7"));
        assert!(out.starts_with("line 0 ok"));
        assert!(out.ends_with("line 999 ok"));
        assert!(out.contains("line 500 ERROR boom"), "{out}");
        assert!(out.contains("of 1000 lines left out") && out.contains("evidence_read(ref=\"E7\""), "{out}");
        assert!(out.len() <= 1_000, "{}", out.len());
        assert!(fit(&lines.join("\n"), 1_000, None).contains("not kept"));
    }

    #[test]
    fn one_endless_line_is_shown_at_both_ends() {
        let text = format!("begin{}end", "内存".repeat(10_000));
        let out = fit(&text, 6_000, Some("E1"));
        assert!(out.len() <= 6_000 && out.starts_with("begin") && out.ends_with("end"), "{}", out.len());
    }

    proptest::proptest! {
        #[test]
        fn the_limit_holds_whatever_the_text(parts in proptest::collection::vec(proptest::sample::select(vec![
            "\n", "error\n", "a line of a log\n", "内存", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "\r\n",
        ]), 0..600), limit in 500usize..4_000) {
            let text = parts.concat();
            let out = fit(&text, limit, Some("E12"));
            proptest::prop_assert!(out.len() <= limit, "{} > {}", out.len(), limit);
        }
    }
}
