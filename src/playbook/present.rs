//! The present of a log: what it says now, and what of it is over.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::Pod;

use crate::playbook::line;
use crate::playbook::logs::is_error;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;

/// How many lines in a row without an error, and over how many seconds, say that the errors before them are over.
const CALM: (usize, i64) = (10, 300);
/// How many of the longest pauses between errors a calm must outlast: what fails once an hour is calm for most of it.
const PAUSES: i64 = 3;

/// A date and a time as loggers begin a line with it, with or without its zone.
static STAMP: Pattern = Pattern::new(
    r#"^\W{0,2}(?:time=\W?)?(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,]\d+)?\s?(Z|[+-]\d\d:?\d\d)?"#,
);
/// How servers say that they are up: what they complained of before is what they were up against on the way.
static STARTED: Pattern = Pattern::new(
    r"(?i)\bserver started\b|\bstarted \w+ in [\d.,]+ ?(?:s\b|ms\b|seconds)|\bstartup (?:is )?complete|\bready to accept connections\b|\bready for connections\b|\bfrom starting to (?:started|running)\b|\bapplication startup complete\b|\brecovery (?:is )?complete|\beverything is ready\b|启动(?:完成|成功)",
);

/// When a line was written: in seconds, and whether it names its zone. Only times of one form can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    seconds: i64,
    zoned: bool,
}

/// What a log says of the present: of one whose errors are over, as its own times show, only what came after them.
#[must_use]
pub fn of(text: &str) -> &str {
    let (mut end, mut begins, mut errors, mut latest) = (0, 0, Vec::new(), None);
    for line in text.split_inclusive('\n') {
        end += line.len();
        latest = moment(line).or(latest);
        if is_error(line) {
            begins = end;
            // One without a time of its own, as in a trace, is as old as what stands before it at the most.
            let Some(moment) = latest else { return text };
            errors.push(moment);
        }
    }
    let after = &text[begins..];
    let gap = |pair: &[Moment]| if pair[0].zoned == pair[1].zoned { pair[1].seconds - pair[0].seconds } else { 0 };
    let pause = errors.windows(2).map(gap).max().unwrap_or(0);
    let ended = after.lines().rev().find_map(moment);
    let lasting = |last: &Moment, end: Moment| {
        last.zoned == end.zoned && end.seconds - last.seconds >= CALM.1.max(PAUSES * pause)
    };
    let calm = errors.last().zip(ended).is_some_and(|(last, end)| lasting(last, end));
    if calm && after.lines().count() >= CALM.0 { after } else { text }
}

/// Whether what a line of a container that is well told of is over: a later line says that the server is up, or the Pod
/// became ready since. The second is only said of times that name their zone.
#[must_use]
pub fn is_over(pod: &Pod, text: &str, line: &str) -> bool {
    let Some(at) = offset(text, line) else { return false };
    // What is said again and again is work that starts and ends, no server.
    let starts = |text: &str| text.lines().filter(|later| STARTED.hits(later) && !is_error(later)).take(2).count();
    let started = starts(&text[at + line.len()..]) == 1 && starts(text) == 1;
    started || is_before_ready(pod, line)
}

fn is_before_ready(pod: &Pod, line: &str) -> bool {
    let ready = pods::condition(pod, "Ready").filter(|ready| ready.status == "True");
    let since = ready.and_then(|ready| Some(ready.last_transition_time.as_ref()?.0.as_second()));
    let told = moment(line).filter(|moment| moment.zoned);
    told.zip(since).is_some_and(|(told, since)| told.seconds < since)
}

/// Where a line stands in the text it is a part of.
pub(super) fn offset(text: &str, line: &str) -> Option<usize> {
    let at = (line.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    (at + line.len() <= text.len()).then_some(at)
}

/// The time a line begins with.
fn moment(line: &str) -> Option<Moment> {
    if let Some(seconds) = line::time(line) {
        return Some(Moment { seconds, zoned: true });
    }
    let found = STAMP.groups(line)?;
    let part = |group: usize| found.get(group).map(|it| it.as_str());
    let civil = format!("{}-{}-{}T{}", part(1)?, part(2)?, part(3)?, part(4)?);
    match part(5) {
        Some(zone) => {
            let zone = if zone.len() == 5 { format!("{}:{}", &zone[..3], &zone[3..]) } else { zone.to_owned() };
            let seconds = format!("{civil}{zone}").parse::<Timestamp>().ok()?.as_second();
            Some(Moment { seconds, zoned: true })
        }
        None => {
            let seconds = civil.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
            Some(Moment { seconds, zoned: false })
        }
    }
}

/// The time a line begins with; of one that names no zone, as in UTC. Where containers keep another clock it is hours off.
#[must_use]
pub fn time(line: &str) -> Option<Timestamp> {
    Timestamp::from_second(moment(line)?.seconds).ok()
}

/// The seconds from one line to another, where both name their times in one form.
#[must_use]
pub fn between(earlier: &str, later: &str) -> Option<i64> {
    let (earlier, later) = (moment(earlier)?, moment(later)?);
    (earlier.zoned == later.zoned).then_some(later.seconds - earlier.seconds)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::world::pod;

    #[test]
    fn every_pattern_compiles() {
        assert!(STAMP.compiles() && STARTED.compiles());
    }

    #[test]
    fn errors_that_are_over_are_no_part_of_the_present() {
        let error = "2026-11-23T02:40:00Z ERROR upstream timed out\n";
        let calm = |from: u32, lines: u32| {
            (0..lines).map(|at| format!("2026-11-23T02:{}:00Z GET / 200\n", from + at)).collect::<String>()
        };
        let over = format!("{error}{}", calm(41, 12));
        assert_eq!(of(&over), calm(41, 12));
        let few = format!("{error}{}", calm(41, 3));
        assert_eq!(of(&few), few, "three lines are no calm");
        let trace = "OperationalError: database is read-only\n".repeat(4);
        let later = format!("{error}{}{trace}{}", calm(41, 17), calm(59, 1).repeat(12));
        assert_eq!(of(&later), later, "an error without a time is as old as the line before it");
        let soon = format!("{error}{}", "2026-11-23T02:41:00Z GET / 200\n".repeat(30));
        assert_eq!(of(&soon), soon, "a minute is no calm");
        let timeless = format!("ERROR upstream timed out\n{}", "GET / 200\n".repeat(30));
        assert_eq!(of(&timeless), timeless);
        let again = format!("{over}{}", error.replace("02:40", "02:55"));
        assert_eq!(of(&again), again);
        let rare = format!("{}{over}", error.replace("02:40", "02:32"));
        assert_eq!(of(&rare), rare, "what fails every eight minutes may fail again");
        assert_eq!(of("GET / 200"), "GET / 200");
    }

    #[test]
    fn a_time_is_read_in_the_forms_of_the_usual_loggers_and_never_across_two() {
        let log = |error: &str, calm: &str| format!("{error} ERROR node 1: not reachable\n{}", calm.repeat(12));
        let comma = log("2026-11-26 19:45:12,114", "2026-11-26 19:59:00,000 INFO loaded\n");
        assert!(!of(&comma).contains("ERROR"), "{}", of(&comma));
        let bracket = log("[2026-11-26 19:45:12 +0000]", "[2026-11-26 19:59:00 +0000] INFO loaded\n");
        assert!(!of(&bracket).contains("ERROR"));
        let slash = log("2026/11/26 19:45:12", "2026/11/26 19:59:00 [info] loaded\n");
        assert!(!of(&slash).contains("ERROR"));
        let mixed = log("2026-11-26 14:45:12,114", "2026-11-26T19:46:00Z INFO loaded\n");
        assert_eq!(of(&mixed), mixed, "one of them may be of another zone");
    }

    #[test]
    fn what_was_in_the_way_of_a_server_that_is_up_is_over() {
        let pod: Pod = serde_json::from_value(pod(json!({}))).unwrap();
        let error = "2026-11-26 19:45:12,114 ERROR Connection to node 1 could not be established";
        let text = format!("{error}\n2026-11-26 20:08:24,448 INFO [KafkaRaftServer nodeId=2] Kafka Server started\n");
        assert!(is_over(&pod, &text, &text[..error.len()]));
        let before = format!("INFO Kafka Server started\n{error}\n");
        assert!(!is_over(&pod, &before, before[before.find(error).unwrap()..].trim_end()));
        let never = format!("{error}\nINFO trying again\n");
        assert!(!is_over(&pod, &never, &never[..error.len()]));
    }
}
