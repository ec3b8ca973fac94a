//! Culprit: which line of a log says why a process failed. Not what it survived, not what its runtime adds to every end, not
//! the line that only says that something failed where one beside it says how.

use crate::playbook::line::{self, Level};
use crate::playbook::logs::{has_level, is_consequence, is_error, lines_told, said};
use crate::playbook::pattern::Pattern;
use crate::playbook::{chinese, prelude, reach, record, trace};

/// How many lines of other text may stand between the errors of one burst.
const BURST_GAP: usize = 8;
/// How many lines below an error are looked at for what it does not say itself.
const BELOW: usize = 12;
/// How many lines below what Spring Boot's analysis describes its reason stands.
const REASON: usize = 8;
/// How often an error is repeated before it is what a process says all the time.
const OFTEN: usize = 3;

/// The first line of what command line parsers print of themselves.
static USAGE: Pattern = Pattern::new(r"(?i)^\s*usage(?: of [^:]+)?:");
/// What runtimes and those that start programs add to whatever ended one: Java's launcher, Node's and npm's, make, Python's
/// joints between tracebacks, bundler, gunicorn's arbiter, a shell.
static EPILOGUE: Pattern = Pattern::new(concat!(
    r"(?i)could not create the java virtual machine|a fatal exception has occurred\. program will exit",
    r"|^\s*throw \w+;(?: //.*)?$|^emitted 'error' event on |^node\.js v\d|^node:[\w/]+:\d+$",
    r"|^npm (?:err!|error) (?:code (?:\d+|elifecycle)\b|errno\b|path |workspace |location |command |syscall |signal |lifecycle script|exit status|failed at the|this is probably not|a complete log)",
    r"|^make(?:\[\d+\])?: \*\*\* .*\berror \d+$|^error: (?:script|process|recipe) .*\bexit(?:ed)?(?: with)? code \d+",
    r"|during handling of the above exception|was the direct cause of the following exception",
    r"|bundler: failed to load command|\bworker failed to boot\b",
    r"|^(?:aborted|killed|terminated)(?: \(core dumped\))?$",
));
/// The level of an error as loggers write it, not merely its word.
static LEVELLED: Pattern = Pattern::new(
    r#"\b(?:ERROR|FATAL|CRITICAL|SEVERE|PANIC|EMERG)\b|\[(?i:error|fatal|crit|critical|emerg|panic)\]|\b(?i:level|lvl|severity)="?(?i:error|fatal|panic|critical)\b|^[EF]\d{4} \d\d:"#,
);
/// What watches a process is rarely what ends it: exporters of metrics, traces and reports complain while it stops.
static WATCHING: Pattern = Pattern::new(
    r"(?i)\b(?:otel\w*|opentelemetry|sentry|pushgateway|statsd|telemetry|jaeger|zipkin|datadog|dd-trace|span ?exporter|metrics? (?:exporter|reporter|push))\b",
);
/// How the system says that a call failed.
static OF_THE_SYSTEM: Pattern = Pattern::new(
    r"\bE(?:CONN\w+|TIMEDOUT|HOSTUNREACH|NETUNREACH|ACCES|NOENT|NOSPC|MFILE|PIPE|PERM|ROFS|AI_AGAIN|NOTFOUND|ADDRINUSE)\b|\[Errno -?\d+\]|\b(?:Connection(?:Reset|Refused|Aborted)|BrokenPipe|Timeout)Error\b|(?i:connection (?:reset|refused|aborted|closed) by|no space left on device)",
);

/// A record of Spring Boot's with nothing in it: what it found out stands below, in a paragraph of its own.
static ANALYSED: Pattern = Pattern::new(r"FailureAnalysisReporter\s*:\s*$");

/// How runtimes begin a link of a chain of exceptions.
const LINKS: [&str; 3] = ["Caused by:", "---> ", "[cause]:"];

/// Whether a line is what a runtime says at every end, whatever the reason.
pub(super) fn is_epilogue(line: &str) -> bool {
    EPILOGUE.hits(line)
}

/// The line that says why: the decisive one of a trace, unless the process went on and failed over something else; otherwise
/// the first of the last burst of errors.
pub(super) fn decisive(text: &str) -> Option<&str> {
    let lines = lines_told(text);
    let line = traced(&lines).or_else(|| first_of_burst(lines.clone()))?;
    let line = prelude::wrapped(&lines, line).unwrap_or(line);
    let line = with_address(&lines, line).unwrap_or(line);
    let line = analysed(&lines, line).unwrap_or(line);
    prelude::leading(&lines, line).or(Some(line))
}

/// The line of the same record that says where a connection failed to, where the one that decides names nobody: the links
/// of a chain of exceptions tell of one failure, and the last of them is the barest.
fn with_address<'a>(lines: &[&'a str], line: &str) -> Option<&'a str> {
    let is_link = LINKS.iter().any(|mark| line.trim_start().starts_with(mark));
    let is_bare = is_link && reach::tells_of_no_connection(line) && reach::hosts(line).is_empty();
    let at = lines.iter().rposition(|known| std::ptr::eq(*known, line)).filter(|_| is_bare)?;
    let begins = lines[..at].iter().rposition(|line| record::is_record(line)).unwrap_or(0);
    let names =
        |line: &&&str| !trace::is_frame(line) && reach::tells_of_no_connection(line) && !reach::hosts(line).is_empty();
    lines[begins..at].iter().rev().find(names).copied()
}

/// What Spring Boot's analysis of a failed start describes, where the line that decides only announces it.
fn analysed<'a>(lines: &[&'a str], line: &str) -> Option<&'a str> {
    let at = lines.iter().rposition(|known| std::ptr::eq(*known, line)).filter(|_| ANALYSED.hits(line))?;
    let mut below =
        lines[at + 1..].iter().copied().take(BELOW).skip_while(|line| line.trim() != "Description:").skip(1);
    let said = below.find(|line| !line.trim().is_empty())?;
    // Of a property that does not bind the reason stands below, with the value.
    let reason = || below.take(REASON).find(|line| line.trim_start().starts_with("Reason: "));
    if said.trim_end().ends_with(':') { reason().or(Some(said)) } else { Some(said) }
}

/// The decisive line of the traces, as far as one of them decides.
fn traced<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let line = trace::decisive(lines).filter(|line| !record::is_calm(line))?;
    let at = lines.iter().rposition(|known| std::ptr::eq(*known, line))?;
    if let Some(rest) = outlived(lines, at) {
        return traced(rest).or_else(|| first_of_burst(rest.to_vec()));
    }
    let before = || traced(&lines[..at]).or_else(|| first_of_burst(lines[..at].to_vec()));
    if is_epilogue(line) { before().or(Some(line)) } else { Some(line) }
}

/// What a log holds past a trace that the process outlived, where it failed over something else then.
fn outlived<'l, 'a>(lines: &'l [&'a str], trace: usize) -> Option<&'l [&'a str]> {
    if trace::heap(lines).is_some() {
        return None;
    }
    let goes_on = |line: &str| record::is_calm(line) && !is_consequence(line);
    let on = (trace + 1..lines.len()).find(|at| goes_on(lines[*at]))?;
    lines[on..].iter().any(|line| is_last_word(line)).then_some(&lines[on..])
}

/// Whether a logger's line may be what a process ended over.
fn is_last_word(line: &str) -> bool {
    let levelled = match line::level(line).or_else(|| chinese::level(line)) {
        Some(level) => level == Level::Error,
        None => LEVELLED.hits(line),
    };
    let says_nothing = is_consequence(line) || prelude::is_vague(line) || prelude::is_wrapper(line);
    levelled && is_error(line) && !says_nothing && !WATCHING.hits(line)
}

fn first_of_burst(lines: Vec<&str>) -> Option<&str> {
    let told = |line: &str| is_error(line) && !is_consequence(line);
    let lines = without_usage(lines, told);
    let errors: Vec<usize> = (0..lines.len()).filter(|index| told(lines[*index])).collect();
    let Some(last) = errors.last().copied() else {
        return lines.iter().copied().find(|line| is_error(line));
    };
    let mut first = last;
    for index in errors.into_iter().rev() {
        if first - index > BURST_GAP {
            break;
        }
        first = index;
    }
    let burst = &lines[first..=last];
    Some(more_telling(burst, prefer_levels(burst)))
}

/// What stands before a program's explanation of itself, which it prints below what it was told wrongly.
fn without_usage(mut lines: Vec<&str>, told: impl Fn(&str) -> bool) -> Vec<&str> {
    let usage = lines.iter().position(|line| USAGE.hits(line));
    if let Some(usage) = usage.filter(|at| lines[..*at].iter().any(|line| told(line))) {
        lines.truncate(usage);
    }
    lines
}

/// Within a burst, a line with a level or an exception's name says more than one with a mere word of trouble.
fn prefer_levels<'a>(burst: &[&'a str]) -> &'a str {
    burst
        .iter()
        .find(|line| has_level(line) && is_error(line) && !is_consequence(line))
        .or_else(|| burst.first())
        .copied()
        .unwrap_or_default()
}

/// Where a line says neither how nor of what something failed: the line of the same record that names a peer or an error of
/// the system, or of others like it, where it is repeated.
fn more_telling<'a>(burst: &[&'a str], line: &'a str) -> &'a str {
    let Some(at) = burst.iter().position(|known| std::ptr::eq(*known, line)).filter(|_| is_empty(line)) else {
        return line;
    };
    let below = &burst[at + 1..];
    let mut of_record = below.iter().copied().take(BELOW).take_while(|line| !record::is_record(line));
    if let Some(found) = of_record.find(|other| record::is_record(line) && names_a_failure(other)) {
        return found;
    }
    let is_repeated = burst.iter().filter(|other| shape(other) == shape(line)).count() >= OFTEN;
    let other = below.iter().copied().find(|line| is_error(line) && !is_consequence(line) && names_a_failure(line));
    other.filter(|_| is_repeated).unwrap_or(line)
}

/// Whether a line only says that something failed.
fn is_empty(line: &str) -> bool {
    !prelude::says_how(line) && !names_a_failure(line) && !line::announces(line)
}

/// Whether a line names an error of the system, or a call that failed and whom it was for.
fn names_a_failure(line: &str) -> bool {
    OF_THE_SYSTEM.hits(line) || (reach::failure(line).is_some() && !reach::hosts(line).is_empty())
}

/// What a line says without its figures: repeats differ in them alone.
fn shape(line: &str) -> String {
    said(line).chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::logs::culprit;

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&USAGE, &EPILOGUE, &LEVELLED, &WATCHING, &OF_THE_SYSTEM, &ANALYSED] {
            assert!(pattern.compiles());
        }
    }

    const SURVIVED: &str = "2026-11-26 02:00:12,212 ERROR metrics: could not push\n  Traceback (most recent call last):\n    File \"/app/metrics.py\", line 31, in push\n  ConnectionRefusedError: [Errno 111] Connection refused\n2026-11-26 02:00:12,212 INFO metrics: disabled for this run\n";

    #[test]
    fn a_trace_that_was_outlived_gives_way_to_what_the_process_ended_over() {
        let last = "2026-11-26 02:01:54,551 ERROR lake: partition dt=2026-11-25 was never completed";
        let log = format!("{SURVIVED}{last}\n2026-11-26 02:02:03,404 INFO load: exit 42 (input missing)\n");
        assert_eq!(culprit(&log), Some(last));
        let json = "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'a'\n{\"level\":\"info\",\"msg\":\"using default\"}\n{\"level\":\"info\",\"msg\":\"listening\"}\n{\"level\":\"fatal\",\"msg\":\"disk is full\"}\n";
        assert!(culprit(json).is_some_and(|line| line.contains("disk is full")), "{:?}", culprit(json));
    }

    #[test]
    fn a_trace_that_nothing_but_noise_follows_stays() {
        let cause = "  ConnectionRefusedError: [Errno 111] Connection refused";
        assert_eq!(culprit(&format!("{SURVIVED}2026-11-26 02:00:13,000 INFO load: exit 1\n")), Some(cause));
        for end in ["INFO shutting down\nERROR pool: closed", "INFO flushing\nERROR otel: export failed", "ERROR lost"]
        {
            let log = format!("Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'a'\n{end}\n");
            assert_eq!(culprit(&log), Some("KeyError: 'a'"), "{end}");
        }
    }

    #[test]
    fn what_spring_boot_describes_below_an_empty_record_is_the_culprit() {
        let empty = "2026-11-24T08:32:42.204Z ERROR 1 --- [points-api] [           main] o.s.b.d.LoggingFailureAnalysisReporter   : ";
        let bar = "***************************";
        let why = "Web server failed to start. Port 8080 was already in use.";
        let log = format!(
            "{empty}\n\n{bar}\nAPPLICATION FAILED TO START\n{bar}\n\nDescription:\n\n{why}\n\nAction:\n\nStop what listens on port 8080.\n"
        );
        assert_eq!(culprit(&log), Some(why));
        assert_eq!(culprit(&format!("{empty}\n")).map(str::trim_end), Some(empty.trim_end()), "nothing more is told");
    }

    #[test]
    fn information_is_no_culprit_where_an_error_is_told() {
        let log = "2026-11-26 02:00:12,212 ERROR sync: cannot read zone\n  Traceback (most recent call last):\n2026-11-26 02:00:12,300 INFO sync: metrics disabled\n";
        assert_eq!(culprit(log), Some("2026-11-26 02:00:12,212 ERROR sync: cannot read zone"));
    }

    #[test]
    fn what_a_runtime_adds_to_every_end_is_passed_over() {
        for (log, why) in [
            (
                "[entrypoint] exec java -XX:+UseConcMarkSweepGC -jar a.jar\nUnrecognized VM option 'UseConcMarkSweepGC'\nError: Could not create the Java Virtual Machine.\nError: A fatal exception has occurred. Program will exit.\n",
                "Unrecognized VM option 'UseConcMarkSweepGC'",
            ),
            (
                "> web@1 start\nError: Cannot find module '/app/dist/main.js'\n\nNode.js v20.18.1\nnpm error Lifecycle script `start` failed with error:\nnpm error code 1\nnpm error path /app\n",
                "Error: Cannot find module '/app/dist/main.js'",
            ),
            (
                "config.c:12: unknown option \"workers\"\nmake: *** [Makefile:3: run] Error 1\n",
                "config.c:12: unknown option \"workers\"",
            ),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nModuleNotFoundError: No module named 'shop'\n[2026-11-26 02:01:37 +0000] [7] [INFO] Worker exiting (pid: 7)\nTraceback (most recent call last):\n  File \"gunicorn/arbiter.py\", line 1\ngunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>\n",
                "ModuleNotFoundError: No module named 'shop'",
            ),
        ] {
            assert_eq!(culprit(log), Some(why), "{log}");
        }
    }

    #[test]
    fn an_epilogue_is_told_where_nothing_else_is() {
        let alone = "Error: Could not create the Java Virtual Machine.";
        assert_eq!(culprit(alone), Some(alone));
        assert_eq!(culprit("npm error Missing script: \"start\"\n"), Some("npm error Missing script: \"start\""));
    }

    #[test]
    fn an_empty_error_gives_way_to_the_one_that_names_a_peer_or_the_systems_error() {
        let one = |at: u32| {
            format!(
                "2026-11-26 13:20:{at} ERROR build failed account=44{at}\n  cause: dial tcp db.data:5432: connect: connection refused\n"
            )
        };
        assert!(culprit(&one(33)).is_some_and(|line| line.contains("db.data:5432")), "{:?}", culprit(&one(33)));
        let apart = (10..14)
            .map(|at| format!("ERROR build failed account={at}\nERROR GET http://ledger/: ECONNRESET\n"))
            .collect::<String>();
        assert!(culprit(&apart).is_some_and(|line| line.contains("ECONNRESET")), "{:?}", culprit(&apart));
        let once = "ERROR rules are empty\nERROR GET http://ledger/: ECONNRESET\n";
        assert_eq!(culprit(once), Some("ERROR rules are empty"), "the first one stands where it is said once");
        let telling = "ERROR config: TOKEN is not set\nERROR GET http://ledger/: ECONNRESET\n".repeat(4);
        assert_eq!(culprit(&telling), Some("ERROR config: TOKEN is not set"));
    }
}
