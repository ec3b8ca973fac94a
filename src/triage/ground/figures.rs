//! Figures: the numbers a claim gives must be numbers that were read.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::Timestamp;
use regex::Regex;

use crate::quantity;

/// A number with the unit behind it, or a word that holds one.
static WORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9_./:@%+-]*[0-9][A-Za-z0-9_./:@%+-]*").ok());

/// The unit of a length of time, behind its number.
static UNIT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:(ms|milliseconds?|毫秒)|(s|secs?|seconds?|秒钟?)|(m|min|minutes?|分钟?)|(h|hours?|个?小?时)|(d|days?|天))(?:[^A-Za-z]|$)").ok()
});

/// Seconds of the units, in their order.
const SECONDS: [f64; 5] = [0.001, 1.0, 60.0, 3_600.0, 86_400.0];

/// A length of time as tables and logs have it: `3d4h`, `14h`, `5m0s`, `41ms`.
static LENGTH: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^(?:([0-9.]+)d)?(?:([0-9.]+)h)?(?:([0-9.]+)m)?(?:([0-9.]+)s)?(?:([0-9.]+)ms)?$").ok()
});

/// A moment as the API server writes it.
static MOMENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?(?: ?(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?").ok()
});

/// How far a length may be from what was read, as people round: this share, or half of the unit they round to.
const ROUNDED: f64 = 0.15;

/// Signs that end a sentence or a part of it, and no figure.
const ENDS: [char; 7] = ['.', ':', '-', '/', '+', '_', '@'];

/// A figure in a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// As the claim has it, with the unit of a length of time.
    pub said: String,
    number: String,
    /// The unit in seconds, where it is a length of time.
    unit: Option<f64>,
}

/// The figures in a claim: numbers with and without units, ratios, and lengths of time. Names, moments and references to
/// evidence are none.
#[must_use]
pub fn figures_in(claim: &str) -> Vec<Figure> {
    let Some(word) = WORD.as_ref() else { return Vec::new() };
    let found = word.find_iter(claim).filter_map(|found| {
        let text = found.as_str().trim_end_matches(ENDS);
        let after = &claim[found.start() + text.len()..];
        if let Some((unit, said)) = unit_before(after).filter(|_| is_number(text)) {
            return Some(Figure { said: format!("{text}{said}"), number: text.to_owned(), unit: Some(unit) });
        }
        let is_length = length_of(text).is_some() && text.chars().any(|char| char.is_ascii_alphabetic());
        (is_figure(text) || ratio(text).is_some() || is_length).then(|| Figure {
            said: text.to_owned(),
            number: text.to_owned(),
            unit: None,
        })
    });
    found.collect()
}

/// The unit a text begins with, in seconds and as it stands there.
fn unit_before(text: &str) -> Option<(f64, &str)> {
    let found = UNIT.as_ref()?.captures(text)?;
    let (at, unit) = (1..=SECONDS.len()).find_map(|at| Some((at, found.get(at)?)))?;
    Some((SECONDS[at - 1], &text[..unit.end()]))
}

fn is_number(word: &str) -> bool {
    word.parse::<f64>().is_ok()
}

fn is_figure(word: &str) -> bool {
    value_of(word).is_some()
}

/// Both sides of `0/8`.
fn ratio(word: &str) -> Option<(&str, &str)> {
    let (some, all) = word.split_once('/')?;
    let is_count = |side: &str| !side.is_empty() && side.chars().all(|char| char.is_ascii_digit());
    (is_count(some) && is_count(all)).then_some((some, all))
}

/// A figure as a number: `85%` is 85, `128Mi` is bytes, `500m` is a half.
fn value_of(word: &str) -> Option<f64> {
    let bare = word.trim_end_matches('%');
    let bare = bare.strip_suffix('B').filter(|rest| rest.ends_with('i')).unwrap_or(bare);
    bare.starts_with(|char: char| char.is_ascii_digit()).then(|| quantity::amount(bare)).flatten()
}

/// Seconds of a length of time.
fn length_of(word: &str) -> Option<f64> {
    const PARTS: [f64; 5] = [86_400.0, 3_600.0, 60.0, 1.0, 0.001];
    let found = LENGTH.as_ref()?.captures(word)?;
    let parts = PARTS
        .iter()
        .enumerate()
        .filter_map(|(at, seconds)| Some(found.get(at + 1)?.as_str().parse::<f64>().ok()? * seconds));
    let parts: Vec<f64> = parts.collect();
    (!parts.is_empty()).then(|| parts.iter().sum())
}

/// Numbers that were read, whatever they were written as.
#[derive(Debug, Default)]
pub struct Figures {
    all: BTreeSet<u64>,
    /// Digits that stand alone: those within addresses would hold any.
    digits: BTreeSet<String>,
    /// Seconds of lengths of time.
    lengths: Vec<f64>,
    /// Moments, in seconds: a length is counted from two of them.
    moments: BTreeSet<i64>,
    /// Entries of the longest list: so far somebody may have counted.
    entries: usize,
}

impl Figures {
    /// None yet, at a moment up to which lengths are counted.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { moments: BTreeSet::from([now.as_second()]), ..Self::default() }
    }

    /// Adds every number of a text, and what stands between the signs of a word: `10.0.0.7:8080` holds 8080.
    pub fn read(&mut self, text: &str) {
        let (Some(word), Some(moment)) = (WORD.as_ref(), MOMENT.as_ref()) else { return };
        self.moments.extend(moment.find_iter(text).filter_map(|found| seconds(found.as_str())));
        self.count(text);
        // The hour of a moment is no figure.
        for found in word.find_iter(&moment.replace_all(text, " ")) {
            self.word(found.as_str());
        }
    }

    fn word(&mut self, whole: &str) {
        let bare = whole.trim_end_matches(ENDS);
        let parts = whole.split(['/', ':', '@', '-', '_', '+']).chain([whole, bare]);
        self.all.extend(parts.filter_map(|part| value_of(part.trim_end_matches('.'))).map(key));
        let alone = ratio(bare).map_or_else(|| vec![bare], |(some, all)| vec![some, all]);
        self.digits.extend(alone.into_iter().filter(|part| is_digit(part)).map(str::to_owned));
        let key_and_value = bare.rsplit(['=', ':']).next().unwrap_or(bare);
        self.lengths.extend(length_of(key_and_value));
    }

    /// Rows below a heading, or items of YAML.
    fn count(&mut self, text: &str) {
        let items = text.lines().filter(|line| line.starts_with("- ")).count();
        let rows = text.lines().filter(|line| !line.trim().is_empty()).count().saturating_sub(1);
        let is_table = text.lines().next().is_some_and(|line| line.contains("NAME") && !line.contains(':'));
        self.entries = self.entries.max(if is_table { rows } else { items });
    }

    /// Whether a figure is one of them, or can be counted from them; a percentage may stand there as a fraction.
    #[must_use]
    pub fn hold(&self, figure: &Figure) -> bool {
        let number = figure.number.as_str();
        if let Some(unit) = figure.unit {
            let said = number.parse::<f64>().unwrap_or(f64::MAX) * unit;
            return self.hold_number(number) || self.holds(said) || self.hold_length(said, unit);
        }
        match (ratio(number), length_of(number)) {
            (Some((some, all)), _) => self.hold_number(some) && self.hold_number(all),
            // `500m` may be half a core or five hundred minutes.
            (None, Some(length)) => self.hold_number(number) || self.hold_length(length, 1.0),
            (None, None) => self.hold_number(number),
        }
    }

    fn hold_number(&self, number: &str) -> bool {
        if is_digit(number) {
            let counted = number.parse::<usize>().is_ok_and(|count| count <= self.entries);
            return counted || number == "0" || self.digits.contains(number);
        }
        let Some(value) = value_of(number) else { return true };
        let counted = number.parse::<usize>().is_ok_and(|count| count <= self.entries);
        counted || self.holds(value) || (number.ends_with('%') && self.holds(value / 100.0))
    }

    fn holds(&self, value: f64) -> bool {
        self.all.contains(&key(value))
    }

    fn hold_length(&self, seconds: f64, unit: f64) -> bool {
        let about = (seconds * ROUNDED).max(unit / 2.0);
        let near = |length: f64| (length - seconds).abs() <= about;
        let (least, most) = ((seconds - about).floor() as i64, (seconds + about).ceil() as i64);
        self.lengths.iter().copied().any(near)
            || self.moments.iter().any(|from| self.moments.range(from + least.max(0)..=from + most).next().is_some())
    }
}

fn is_digit(word: &str) -> bool {
    word.len() == 1 && word.chars().all(|char| char.is_ascii_digit())
}

fn seconds(moment: &str) -> Option<i64> {
    let moment = moment.replacen(' ', "T", 1).replace(',', ".").replace([' '], "").replace("UTC", "Z");
    let moment =
        if moment.len() > 19 && moment[19..].contains(['Z', '+', '-']) { moment } else { format!("{moment}Z") };
    moment.parse::<Timestamp>().ok().map(Timestamp::as_second)
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
        let mut figures = Figures::at("2026-02-09T10:00:00Z".parse().unwrap());
        figures.read(read);
        figures_in(claim).into_iter().filter(|figure| !figures.hold(figure)).map(|figure| figure.said).collect()
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
        assert_eq!(missing("4 of 8 Pods failed 6 times, 0/8 are ready", read), ["4", "8", "6", "0/8"]);
    }

    #[test]
    fn what_can_be_counted_in_a_list_is_no_invention() {
        let table = "NAME   READY  STATUS\nweb-0  0/1    Error\nweb-1  1/1    Running\nweb-2  1/1    Running\nweb-3  1/1    Running\n";
        assert_eq!(missing("1 of 4 Pods is not ready (3/4)", table), Vec::<String>::new());
        assert_eq!(missing("5 of 6 Pods are not ready (1/6)", table), ["5", "6", "1/6"]);
        assert_eq!(missing("2 Pods", "- name: a\n- name: b\n"), Vec::<String>::new());
    }

    #[test]
    fn a_length_of_time_lies_between_moments_or_stands_there() {
        let read =
            "startedAt: 2026-02-09T09:03:05Z\nfinishedAt: 2026-02-09T09:03:35Z\nactiveDeadlineSeconds: 600\nAGE 3d4h";
        for claim in [
            "down for 57 minutes",
            "ran for 30 seconds",
            "a deadline of 10 minutes",
            "3 days old",
            "持续 57 分钟",
            "about 1 hour",
        ] {
            assert_eq!(missing(claim, read), Vec::<String>::new(), "{claim}");
        }
        assert_eq!(missing("down for 14 hours", read), ["14 hours"]);
        assert_eq!(missing("持续 14 小时", read), ["14 小时"]);
        assert_eq!(missing("it took 41ms", "GET / 200 41ms"), Vec::<String>::new());
        assert_eq!(
            missing("at 23 the clock", "at: 2026-02-09T23:00:00Z"),
            ["23"],
            "an hour is no figure that was read"
        );
    }

    #[test]
    fn names_moments_and_references_are_not_figures() {
        for claim in [
            "pod web-7d4b9c-x2x1z of v1.2.3 fails since 02:10, see E12 and F1",
            "sha256:0123456789abcdef registry:5000/web:1.27-alpine",
            "since 2026-11-27T02:00:00Z",
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
