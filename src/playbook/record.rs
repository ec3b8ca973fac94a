//! Records of a log: the lines below a logger's line that belong to it. What a record of information repeats, a text that a
//! user sent for one, is nothing that the process says of itself.

use crate::playbook::line::{self, Level};
use crate::playbook::pattern::Pattern;
use crate::playbook::{chinese, logs, prelude, trace};

/// The time a logger puts before what it writes.
static STAMPED: Pattern = Pattern::new(
    r"^\s*[\[(]?(?:\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d|\d\d:\d\d:\d\d[.,]\d{3}|[IWEF]\d{4} \d\d:\d\d:\d\d)|^\w+=\S*\d{4}-\d\d-\d\dT\d\d:",
);
/// A level of information, as loggers write it: in capitals, in brackets, as a field.
static CALM: Pattern = Pattern::new(
    r#"\b(?:INFO|DEBUG|TRACE|NOTICE)\b|[\[<(](?i:info|debug|trace|notice)[\])>]|\b(?i:level|lvl|severity)=\"?(?i:info|debug|trace|notice)\b|^\s*I\d{4} \d\d:|\s(?:info|debug)\s"#,
);
/// What a runtime prints past every logger when it ends or catches: it stands between records without belonging to any.
static RAW: Pattern =
    Pattern::new(r"Traceback \(most recent call last\)|^goroutine \d+ \[|^panic: |^thread '.*panicked at");

/// Which lines of a log belong to a record of information above them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// A record, or what belongs to one that may tell of trouble.
    Own,
    /// Below a record of information, which is not known to go on: past the logger, or part of its text.
    Below,
    /// Within the quotation that a record of information opened.
    Quoted,
}

/// The log without what its records of information only repeat; `None` when nothing is left out.
///
/// What stands below such a record outside of quotations is left in when no record tells of an error: a process that logs with
/// times may end with words past its logger.
#[must_use]
pub fn own(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let known = belongings(&lines);
    if known.iter().all(|line| *line == Line::Own) {
        return None;
    }
    let kept = |wanted: &[Line]| -> String {
        lines.iter().zip(&known).filter(|(_, line)| wanted.contains(line)).map(|(text, _)| *text).collect()
    };
    // What is told after the last line left out can stand for it; an error before it may have been survived.
    let last = known.iter().rposition(|line| *line == Line::Below).map_or(0, |at| at + 1);
    let after = lines[last..].iter().zip(&known[last..]).filter(|(_, line)| **line == Line::Own);
    let is_told = tells_why(&after.map(|(text, _)| *text).collect::<String>());
    let kept = if is_told { kept(&[Line::Own]) } else { kept(&[Line::Own, Line::Below]) };
    (kept.len() < text.len()).then_some(kept)
}

/// Whether a log holds a line that says why, more than that something came to nothing.
fn tells_why(text: &str) -> bool {
    let told = |line: &&str| logs::is_error(line) && !logs::is_consequence(line) && !prelude::is_vague(line);
    logs::lines_told(text).iter().any(told)
}

fn belongings(lines: &[&str]) -> Vec<Line> {
    let mut known = vec![Line::Own; lines.len()];
    let records: Vec<usize> = (0..lines.len()).filter(|at| is_record(lines[*at])).collect();
    for (place, begins) in records.iter().copied().enumerate() {
        let next = records.get(place + 1).copied();
        let below = begins + 1..next.unwrap_or(lines.len());
        if below.is_empty() || !is_calm(lines[begins]) {
            continue;
        }
        let quoted = quoted(&lines[begins..below.end]);
        let rest = begins + 1 + quoted..below.end;
        known[begins + 1..rest.start].fill(Line::Quoted);
        // Past the last record stands what a process said when it ended.
        if next.is_some() && !lines[rest.clone()].iter().any(|line| RAW.hits(line) || trace::is_frame(line)) {
            known[rest].fill(Line::Below);
        }
    }
    known
}

/// Whether a logger began a line.
pub(super) fn is_record(line: &str) -> bool {
    STAMPED.hits(line) || line::time(line).is_some()
}

/// Whether a record is one of information.
pub(super) fn is_calm(line: &str) -> bool {
    match line::level(line).or_else(|| chinese::level(line)) {
        Some(level) => level == Level::Calm,
        None => CALM.hits(line) && !logs::is_error(line),
    }
}

/// How many lines below a record stand within the quotation that it opened: up to the closing mark, which must be there.
fn quoted(record: &[&str]) -> usize {
    let mut open = false;
    for (at, line) in record.iter().enumerate() {
        open ^= marks(line).count() % 2 == 1;
        if !open {
            return if at == 0 || ends_quotation(line) { at } else { 0 };
        }
    }
    0
}

/// Whether the first mark of a line ends a quotation: nothing but a blank or a field's end follows it.
fn ends_quotation(line: &str) -> bool {
    let next = marks(line).next().map(|at| line[at + 1..].chars().next());
    next.is_some_and(|next| next.is_none_or(|next| next.is_whitespace() || ",;})]".contains(next)))
}

/// Where the quotation marks stand that are not escaped.
fn marks(line: &str) -> impl Iterator<Item = usize> {
    let mut escaped = false;
    line.char_indices().filter_map(move |(at, letter)| {
        let is_mark = letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        is_mark.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "2026-11-23T02:38:40Z INFO order 7 note=\"my server says:\nFATAL: password authentication failed\nERROR dial tcp 10.0.0.9:5432: connection refused\"\n";

    #[test]
    fn every_pattern_compiles() {
        assert!([&STAMPED, &CALM, &RAW].iter().all(|pattern| pattern.compiles()));
    }

    #[test]
    fn what_a_user_sent_is_not_the_processs_own() {
        let log = format!("{SENT}2026-11-23T02:38:42Z FATAL cannot start without rules\n");
        let own = own(&log).unwrap();
        assert_eq!(own.lines().count(), 2);
        assert!(!own.contains("password") && own.contains("without rules"), "{own}");
    }

    #[test]
    fn a_quotation_is_left_out_at_the_end_as_well() {
        assert!(!own(SENT).unwrap().contains("password"));
    }

    #[test]
    fn without_a_quotation_the_record_decides_where_another_tells_of_the_error() {
        let below = "2026-11-23 02:38:40,100 INFO body:\nERROR disk full\n2026-11-23 02:38:41,100 ";
        assert!(!own(&format!("{below}ERROR no key\n")).unwrap().contains("disk"));
        assert_eq!(own(&format!("{below}INFO stopped\n")), None, "nothing else says why");
        assert_eq!(own(&format!("{below}FATAL exiting\n")), None, "that only follows from it");
    }

    #[test]
    fn an_error_that_was_survived_stands_for_nothing_after_it() {
        let log = "2026-11-23T02:30:00Z ERROR otel: export: connection refused\n2026-11-23T02:38:40Z INFO running migrations\nERROR: relation exists already\n2026-11-23T02:38:41Z INFO bye\n";
        assert_eq!(own(log), None);
    }

    #[test]
    fn what_stands_past_the_logger_counts() {
        for log in [
            "2026-11-23T02:38:40Z INFO starting\npanic: no key\n\ngoroutine 1 [running]:\n",
            "2026-11-23T02:38:40Z INFO starting\nFATAL: no key\n",
            "2026-11-23T02:38:40Z INFO starting\nTraceback (most recent call last):\n  File \"a.py\"\nKeyError: 'K'\n2026-11-23T02:38:41Z ERROR worker lost\n",
            "2026-11-23T02:38:40Z ERROR boot\njava.lang.X: a\n\tat b.C\nCaused by: y\n2026-11-23T02:38:41Z INFO bye\n",
            "INFO starting\nERROR no key\n",
        ] {
            assert_eq!(own(log), None, "{log}");
        }
    }

    #[test]
    fn a_mark_without_its_pair_opens_nothing() {
        let cut = "2026-11-23T02:38:40Z INFO loaded {\"name\":\"a\",\"body\":\"x\npanic: invalid character '\"' after object key\n";
        assert_eq!(own(cut), None, "the mark that stands in an error closes nothing");
        let log = "2026-11-23T02:38:40Z INFO screen 15\" found\nFATAL: no key\n";
        assert_eq!(own(log), None);
        assert_eq!(marks(r#"a=\"x\" b="y"#).count(), 1);
    }
}
