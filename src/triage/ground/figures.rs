//! Figures: the numbers a claim gives must be numbers that were read.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use crate::quantity;

/// A number with the unit behind it, or a word that holds one.
static WORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9_./:@%+-]*[0-9][A-Za-z0-9_./:@%+-]*").ok());

/// What follows a length of time; lengths are counted from two times, and stand in no result.
static TIME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\s*(?:ms|s|sec|min|h|d|seconds?|minutes?|hours?|days?|秒|分|小?时|天)").ok());

/// What stands before one digit that some field holds: a count of restarts, an exit code.
static FIELD_BEFORE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:restart(?:s|ed)?(?: count)?|exit(?:ed)? ?(?:with )?(?:code|status)|重启(?:了)?(?:次数)?|退出码)(?: of| is| was|为)?\s*[:：=]?\s*$").ok()
});

/// What stands behind one digit that some field holds.
static FIELD_AFTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)^\s*restarts?\b").ok());

/// Signs that end a sentence or a part of it, and no figure.
const ENDS: [char; 7] = ['.', ':', '-', '/', '+', '_', '@'];

/// The figures in a claim that can be checked: at least two digits, a unit or percent sign behind them, or one digit that
/// says how often something was restarted or how it ended. Names, times of day, references to evidence and lengths of time
/// are none.
#[must_use]
pub fn figures_in(claim: &str) -> Vec<String> {
    let Some(word) = WORD.as_ref() else { return Vec::new() };
    let found = word.find_iter(claim).filter_map(|found| {
        let text = found.as_str().trim_end_matches(ENDS);
        let (before, after) = (&claim[..found.start()], &claim[found.start() + text.len()..]);
        let matches = |pattern: &Option<Regex>, text: &str| pattern.as_ref().is_some_and(|it| it.is_match(text));
        let is_field = is_digit(text) && (matches(&FIELD_BEFORE, before) || matches(&FIELD_AFTER, after));
        (!matches(&TIME, after) && (is_figure(text) || is_field)).then(|| text.to_owned())
    });
    found.collect()
}

fn is_digit(word: &str) -> bool {
    word.len() == 1 && word.chars().all(|char| char.is_ascii_digit())
}

fn is_figure(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let Some(_) = value_of(word) else { return false };
    digits >= 2 || word.chars().any(|char| char.is_ascii_alphabetic() || char == '%')
}

/// A figure as a number: `85%` is 85, `128Mi` is bytes, `500m` is a half.
fn value_of(word: &str) -> Option<f64> {
    let bare = word.trim_end_matches('%');
    let bare = bare.strip_suffix('B').filter(|rest| rest.ends_with('i')).unwrap_or(bare);
    bare.starts_with(|char: char| char.is_ascii_digit()).then(|| quantity::amount(bare)).flatten()
}

/// Numbers that were read, whatever they were written as.
#[derive(Debug, Default)]
pub struct Figures {
    all: BTreeSet<u64>,
    /// Digits that stand alone: those within times and addresses would hold any.
    digits: BTreeSet<String>,
}

impl Figures {
    /// Adds every number of a text, and what stands between the signs of a word: `10.0.0.7:8080` holds 8080.
    pub fn read(&mut self, text: &str) {
        let Some(word) = WORD.as_ref() else { return };
        for found in word.find_iter(text) {
            let whole = found.as_str();
            let parts = whole.split(['/', ':', '@', '-', '_', '+']).chain([whole, whole.trim_end_matches(ENDS)]);
            self.all.extend(parts.filter_map(|part| value_of(part.trim_end_matches('.'))).map(key));
            let alone = whole.trim_end_matches(ENDS);
            if is_digit(alone) {
                self.digits.insert(alone.to_owned());
            }
        }
    }

    /// Whether a figure is one of them; a percentage may stand there as a fraction.
    #[must_use]
    pub fn hold(&self, figure: &str) -> bool {
        if is_digit(figure) {
            return self.digits.contains(figure);
        }
        let Some(value) = value_of(figure) else { return true };
        let known = |value: f64| self.all.contains(&key(value));
        known(value) || (figure.ends_with('%') && known(value / 100.0))
    }
}

/// Six digits decide: nobody writes a figure more exactly than that.
fn key(value: f64) -> u64 {
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    let scale = 10_f64.powf(5.0 - value.abs().log10().floor());
    ((value * scale).round() / scale).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(claim: &str, read: &str) -> Vec<String> {
        let mut figures = Figures::default();
        figures.read(read);
        figures_in(claim).into_iter().filter(|figure| !figures.hold(figure)).collect()
    }

    #[test]
    fn the_same_value_in_another_unit_is_the_same_figure() {
        let read =
            "limits: {memory: 128Mi, cpu: 500m}\nexitCode: 137\nrestartCount: 12\nport: 10.0.0.7:8080\nratio 0.85";
        let claim = "limit 134217728 (128MiB), 0.5 CPU, exit code 137, restarted 12 times, port 8080, at 85%";
        assert_eq!(missing(claim, read), Vec::<String>::new());
        assert_eq!(missing("退出码 137，重启 12 次，内存上限 128Mi", read), Vec::<String>::new());
        assert_eq!(missing("took 25e-1: slow", "took 25e-1:"), Vec::<String>::new());
    }

    #[test]
    fn a_figure_that_was_never_read_is_named() {
        assert_eq!(
            missing("exit code 139, limit 256Mi, 95% full", "exitCode: 137\nmemory: 128Mi"),
            ["139", "256Mi", "95%"]
        );
    }

    #[test]
    fn one_digit_is_a_figure_where_a_field_holds_it() {
        let read = "restartCount: 7\nexitCode: 1\nstartedAt: 2026-02-09T09:03:05Z\nport: 10.0.0.9:3";
        assert_eq!(missing("restarted 7 times, exit code 1", read), Vec::<String>::new());
        assert_eq!(missing("it restarted 9 times and ended with exit code 3", read), ["9", "3"]);
        assert_eq!(missing("重启了 9 次，退出码为 2", read), ["9", "2"]);
        assert_eq!(missing("5 restarts; restart count: 7", read), ["5"]);
        assert_eq!(missing("4 of 8 Pods restarted 3 minutes ago", read), Vec::<String>::new());
    }

    #[test]
    fn names_lengths_of_time_and_counts_are_not_figures() {
        for claim in [
            "pod web-7d4b9c-x2x1z of v1.2.3 fails since 45 minutes, see E12 and F1",
            "3 of 4 Pods are not ready",
            "sha256:0123456789abcdef registry:5000/web:1.27-alpine",
            "持续 45 分钟",
        ] {
            assert_eq!(missing(claim, ""), Vec::<String>::new(), "{claim}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_stands_in_a_text_is_held(text in "[a-z0-9 .:%Mi-]{0,60}") {
            proptest::prop_assert_eq!(missing(&text, &text), Vec::<String>::new());
        }
    }
}
