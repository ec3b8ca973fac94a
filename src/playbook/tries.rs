//! Tries: calls that failed and that a later try made up for. What came to a good end is seen, and no trouble.

use crate::playbook::environment;
use crate::playbook::line;
use crate::playbook::logs::{self, instructs, is_error, is_warning};
use crate::playbook::pattern::Pattern;
use crate::playbook::present;
use crate::playbook::reach;
use crate::playbook::scene::Scene;
use crate::playbook::scope::Scope;

/// Words of a good end.
static DONE: Pattern = Pattern::new(
    r"(?i)\b(?:succeeded|succeeds|successful(?:ly)?|success|connected|reconnected|established|recovered|completed)\b|成功|已连接|已恢复",
);
/// Words of one of several tries.
static AGAIN: Pattern =
    Pattern::new(r"(?i)\b(?:attempts?|retry|retries|try|tries|reconnected|recovered)\b|重试|第\s*\d+\s*次|已恢复");
/// Words that turn a good end into none.
static NOT: Pattern =
    Pattern::new(r"(?i)\bnot (?:yet )?(?:connected|established|completed|successful)\b|未(?:连接|成功)");
/// How a connection is said to be there.
static CONNECTED: Pattern = Pattern::new(
    r"(?i)\b(?:re)?connected\b|\bconnection (?:to \S+ )?(?:is |was )?(?:re-?)?(?:established|restored)\b|\brecovered\b|已(?:重新)?连接|连接(?:成功|已恢复)",
);

/// Whether a line tells of a try that others follow: `attempt 1/5 failed`. What becomes of it, the last one tells.
#[must_use]
pub fn is_one_of_several_tries(line: &str) -> bool {
    static TRY: Pattern =
        Pattern::new(r"(?i)(?:\b(?:attempt|retry|try)\b\D{0,8}|第\s*)(\d{1,4})\s*(?:/|of|次?[,，/]?\s*共)\s*(\d{1,4})");
    let said = line::message(line);
    let figure = |index: usize| TRY.group(&said, index)?.parse::<u32>().ok();
    figure(1).zip(figure(2)).is_some_and(|(this, all)| this < all)
}

/// The lines of tries that failed and whose work was done by a later one: a success is told after the last of them, and no
/// other error after the first. Nothing where one try was the last that is told of.
#[must_use]
pub fn made_up_for(text: &str) -> Vec<&str> {
    static RETRIED: Pattern = Pattern::new(
        r"(?i)\b(?:retrying|will (?:re)?try(?: again)?|retry in|trying again|next (?:try|attempt))\b|(?:将|正在|稍后|秒后|后)重试",
    );
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty() && !instructs(line)).collect();
    let is_try = |line: &str| is_error(line) && (is_one_of_several_tries(line) || RETRIED.hits(line));
    let tries: Vec<usize> = (0..lines.len()).filter(|at| is_try(lines[*at])).collect();
    let (Some(first), Some(last)) = (tries.first(), tries.last()) else { return Vec::new() };
    let failed = lines[*first..].iter().any(|line| is_error(line) && !is_try(line));
    // Other work that is done meanwhile says nothing of this: a success speaks of tries, or of whom they called.
    let hosts: Vec<String> = tries.iter().flat_map(|at| reach::hosts(lines[*at])).collect();
    let is_same = |line: &str| AGAIN.hits(line) || hosts.iter().any(|host| environment::has_word(line, host));
    let is_success = |line: &str| DONE.hits(line) && is_good(line);
    let done = lines[last + 1..].iter().any(|line| is_success(line) && is_same(line));
    if done && !failed { tries.into_iter().map(|at| lines[at]).collect() } else { Vec::new() }
}

fn is_good(line: &str) -> bool {
    !NOT.hits(line) && !is_error(line) && !is_warning(line)
}

/// Whether a connection that failed is told to be there by a later line, of the same host or of the same part of the program,
/// and is not told to fail again after that.
#[must_use]
pub fn came_about(text: &str, line: &str) -> bool {
    let Some(at) = present::offset(text, line) else { return false };
    let later = &text[at + line.len()..];
    let (hosts, part) = (reach::hosts(line), part(line));
    let is_same = |other: &str| {
        (part.is_some() && self::part(other) == part) || hosts.iter().any(|host| environment::has_word(other, host))
    };
    let is_there = |other: &&str| CONNECTED.hits(other) && is_good(other) && is_same(other);
    let fails = |other: &&str| reach::tells_of_failure(other) && is_same(other);
    // Most that fail do so to the end of the log, and are done with here: a look at each line after each would be long.
    let mut backwards = later.lines().rev().filter(|line| !instructs(line));
    if backwards.find(|other| fails(other) || is_there(other)).is_none_or(|other| fails(&other)) {
        return false;
    }
    let mut lines = later.lines().filter(|line| !instructs(line)).skip_while(|other| !is_there(other));
    !lines.any(|other| fails(&other))
}

/// The part of a program that a line begins with: `redis` in `redis: connected (attempt 2)`.
fn part(line: &str) -> Option<String> {
    let said = logs::said(line);
    let (part, _) = said.split_once(": ")?;
    let is_name = part.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    (is_name && part.chars().any(char::is_alphabetic)).then(|| part.to_ascii_lowercase())
}

/// A try that failed and that a later one made up for: seen, and no trouble.
#[must_use]
pub fn told(scene: &Scene<'_>, scope: &Scope) -> Option<String> {
    let logs = scope.pods(scene).flat_map(|pod| reach::present_logs(scene, &pod.object));
    let line = logs.into_iter().find_map(|(_, text)| made_up_for(text).into_iter().next_back())?;
    let said = logs::said(line);
    Some(scene.text(
        format!("日志中有一次失败的尝试，随后重试成功：{said}"),
        format!("its log tells of a try that failed and that a later one made up for: {said}"),
    ))
}

/// Whether the end of a log is little but lines of one kind: whoever writes it does nothing else any more.
#[must_use]
pub fn ends_in(text: &str, is_such: impl Fn(&str) -> bool) -> bool {
    const LAST: usize = 8;
    let last: Vec<&str> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(LAST).collect();
    last.len() == LAST && last.iter().filter(|line| is_such(line)).count() >= LAST - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert!([&DONE, &AGAIN, &NOT, &CONNECTED].iter().all(|pattern| pattern.compiles()));
    }

    #[test]
    fn a_connection_that_came_about_later_is_no_failed_call() {
        let failed = "2026-11-27T08:09:36.953Z ERROR redis: connect ETIMEDOUT 10.96.203.73:6379 (attempt 1)";
        let told = |rest: &str| {
            let text = format!("{failed}\n{rest}\n");
            came_about(&text, &text[..failed.len()])
        };
        assert!(told("2026-11-27T08:09:37Z INFO  redis: connected (attempt 2)\nERROR listen: EADDRINUSE"));
        assert!(told("INFO connection to 10.96.203.73:6379 established"));
        assert!(!told("INFO kafka: connected"), "another part");
        assert!(!told("WARN redis: not connected yet"));
        assert!(!told("INFO redis: connected\nERROR redis: connect ETIMEDOUT 10.96.203.73:6379"), "and fails again");
        assert!(!told("INFO redis: retrying"));
    }

    #[test]
    fn a_try_that_failed_and_was_made_up_for_is_told_apart() {
        let tried = "ERROR attempt 1/3 failed: GET http://web/x: connection refused, retrying";
        let log = format!("INFO up\n{tried}\nINFO attempt 2/3 succeeded\nINFO order 7 stored\n");
        assert_eq!(made_up_for(&log), [tried]);
        assert!(
            made_up_for(&format!("INFO connected\n{tried}\nINFO GET /healthz 200\n")).is_empty(),
            "nothing says it went well"
        );
        assert!(made_up_for(&format!("{tried}\nINFO connected\nERROR giving up: connection refused\n")).is_empty());
        let other = "ERROR POST http://payments/charge: connection refused, retrying in 2s";
        assert!(made_up_for(&format!("{other}\nINFO GET /cart completed status=200\n")).is_empty(), "other work");
        assert!(made_up_for(&format!("{other}\nINFO payments: not connected\n")).is_empty());
        assert_eq!(made_up_for(&format!("{other}\nINFO connected to payments\n")), [other]);
        let plain = "ERROR GET http://web/x: connection refused";
        assert!(made_up_for(&format!("{plain}\nINFO connected\n")).is_empty(), "no try among several");
    }

    #[test]
    fn a_log_that_ends_in_nothing_else_is_told_from_one_that_goes_on() {
        let fails = "WARN dial kafka:9092: i/o timeout\n".repeat(9);
        let is_such = |line: &str| line.starts_with("WARN");
        assert!(ends_in(&fails, is_such) && ends_in(&format!("INFO begin\n{fails}INFO one more\n"), is_such));
        assert!(!ends_in(&format!("{fails}INFO a\nINFO b\n"), is_such), "it got on");
        assert!(!ends_in("WARN dial kafka:9092: i/o timeout\n", is_such), "once");
    }
}
