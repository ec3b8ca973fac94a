//! Fit: a long tool result cut to a size a model can afford, by whole lines, keeping what looks like an error.

use std::sync::LazyLock;

use regex::Regex;

/// Lines longer than this are cut: one minified JSON line must not eat the whole budget.
const LINE_LIMIT: usize = 2_000;

static ERROR_LIKE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)error|fatal|panic|exception|traceback|fail|denied|refused|timeout|timed out|oom|killed|not found|caused by").ok()
});

/// Cuts a text to about `limit` bytes: its head, its tail, error-like lines between, and how to read the rest.
#[must_use]
pub fn fit(text: &str, limit: usize, reference: &str) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let lines: Vec<&str> = text.lines().map(|line| cut(line, LINE_LIMIT.min(limit))).collect();
    let head = take(lines.iter().copied(), limit * 2 / 5);
    let tail = take(lines[head..].iter().rev().copied(), limit * 2 / 5);
    let middle = &lines[head..lines.len() - tail];
    let kept = error_like(middle, limit / 5);
    let mut out = lines[..head].join("\n");
    out.push_str(&format!(
        "\n[… {} of {} lines left out{}; read them with evidence_read(ref=\"{reference}\", from=…, lines=…, grep=…)]\n",
        middle.len() - kept.len(),
        lines.len(),
        if kept.is_empty() { "" } else { ", error-like ones kept" },
    ));
    for line in kept {
        out.push_str(line);
        out.push('\n');
    }
    out.push_str(&lines[lines.len() - tail..].join("\n"));
    out
}

/// How many lines fit into `budget` bytes.
fn take<'a>(lines: impl Iterator<Item = &'a str>, budget: usize) -> usize {
    let mut left = budget;
    lines
        .take_while(|line| {
            let fits = line.len() < left;
            left = left.saturating_sub(line.len() + 1);
            fits
        })
        .count()
}

fn error_like<'a>(lines: &[&'a str], budget: usize) -> Vec<&'a str> {
    let Some(pattern) = ERROR_LIKE.as_ref() else { return Vec::new() };
    let hits: Vec<&str> = lines.iter().copied().filter(|line| pattern.is_match(line)).collect();
    let fitting = take(hits.iter().copied(), budget);
    hits[..fitting].to_vec()
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
        assert_eq!(fit("a\nb\n", 10, "E1"), "a\nb\n");
    }

    #[test]
    fn head_tail_and_errors_survive() {
        let mut lines: Vec<String> = (0..1_000).map(|n| format!("line {n} ok")).collect();
        lines[500] = "line 500 ERROR boom".to_owned();
        let out = fit(&lines.join("\n"), 1_000, "E7");
        assert!(out.starts_with("line 0 ok"));
        assert!(out.ends_with("line 999 ok"));
        assert!(out.contains("line 500 ERROR boom"), "{out}");
        assert!(out.contains("evidence_read(ref=\"E7\""));
        assert!(out.len() < 1_300, "{}", out.len());
    }

    #[test]
    fn one_endless_line_is_cut_between_characters() {
        let out = fit(&"内存".repeat(10_000), 3_000, "E1");
        assert!(out.len() < 3_400, "{}", out.len());
    }
}
