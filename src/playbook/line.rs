//! A log line as a logger wrote it: level, message and error of the structured forms that loggers print.
//!
//! Names of fields: zap, logrus, slog (`msg`, `level`, `err`), Elastic Common Schema (`log.level`, `message`), Serilog (`@l`,
//! `@mt`), pino and bunyan, whose levels are numbers (50 is an error, 40 a warning) and whose errors are objects.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::playbook::pattern::Pattern;
use crate::playbook::trace;

const LEVELS: [&str; 7] = ["level", "log.level", "severity", "lvl", "levelname", "@l", "loglevel"];
const MESSAGES: [&str; 7] = ["msg", "message", "@m", "@mt", "log", "event", "text"];
const ERRORS: [&str; 10] = [
    "error",
    "err",
    "exception",
    "cause",
    "@x",
    "error.message",
    "exc_info",
    "reason",
    "stack_trace",
    "error.stack_trace",
];
/// Where an error that is an object says what it is.
const OF_AN_ERROR: [&str; 3] = ["message", "msg", "detail"];

static MESSAGE: Pattern = Pattern::new(r#"(?:^|\s)(?:msg|message)=(?:"((?:[^"\\]|\\.)*)"|(\S+))"#);
static CAUSE: Pattern = Pattern::new(r#"(?:^|\s)(?:err|error)=(?:"((?:[^"\\]|\\.)*)"|(\S+))"#);

/// What a structured line says of its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Information and less.
    Calm,
    /// A warning.
    Warning,
    /// An error or worse.
    Error,
}

const TIMES: [&str; 6] = ["@timestamp", "time", "timestamp", "ts", "@t", "t"];
/// Seconds since 1970 above this are milliseconds: the year 5138 is not meant.
const SECONDS: f64 = 1e11;

/// The time of a line that is a JSON object and names one, in seconds since 1970.
#[must_use]
pub fn time(line: &str) -> Option<i64> {
    let fields = fields(line)?;
    let found = TIMES.iter().find_map(|name| fields.get(*name))?;
    if let Some(text) = found.as_str() {
        return text.parse::<Timestamp>().ok().map(Timestamp::as_second);
    }
    let number = found.as_f64().filter(|number| number.is_finite() && *number > 0.0)?;
    #[expect(clippy::cast_possible_truncation, reason = "cut to whole seconds on purpose")]
    Some((if number > SECONDS { number / 1000.0 } else { number }) as i64)
}

fn fields(line: &str) -> Option<Map<String, Value>> {
    let line = line.trim();
    if !line.starts_with('{') {
        return None;
    }
    match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// The level of a line that is a JSON object and names one.
#[must_use]
pub fn level(line: &str) -> Option<Level> {
    let fields = fields(line)?;
    let found = LEVELS.iter().find_map(|name| fields.get(*name)).or_else(|| fields.get("log")?.get("level"))?;
    if let Some(number) = found.as_i64() {
        // Syslog and GELF count from 0 (emergency) to 7 (debug), pino and bunyan from 10 to 60.
        return Some(match number {
            50.. | 0..=3 => Level::Error,
            40..50 | 4 => Level::Warning,
            _ => Level::Calm,
        });
    }
    let word = found.as_str()?.to_ascii_lowercase();
    let begins = |words: &[&str]| words.iter().any(|start| word.starts_with(start));
    Some(if begins(&["err", "fatal", "crit", "panic", "alert", "emerg", "severe", "错误", "致命", "严重"]) {
        Level::Error
    } else if begins(&["warn", "警告"]) {
        Level::Warning
    } else {
        Level::Calm
    })
}

/// The message of a structured line (JSON or `key=value`) with the error it carries; any other line as it is.
#[must_use]
pub fn message(line: &str) -> String {
    if let Some(fields) = fields(line) {
        let text = |names: &[&str]| names.iter().find_map(|name| said(fields.get(*name)?));
        let message = filled(&text(&MESSAGES).unwrap_or_default(), &fields);
        return joined(&message, &text(&ERRORS).unwrap_or_default()).unwrap_or_else(|| line.to_owned());
    }
    let field = |pattern: &Pattern| {
        let found = pattern.groups(line);
        found.and_then(|found| found.get(1).or(found.get(2))).map(|value| value.as_str().to_owned()).unwrap_or_default()
    };
    joined(&field(&MESSAGE), &field(&CAUSE)).unwrap_or_else(|| line.to_owned())
}

/// Whether a structured line (JSON or `key=value`) carries an error beside its message: `err="no route"`.
#[must_use]
pub fn carries_error(line: &str) -> bool {
    const NONE: [&str; 6] = ["", "nil", "<nil>", "null", "none", "0"];
    let told = |text: &str| !NONE.contains(&text.trim().to_ascii_lowercase().as_str());
    if let Some(fields) = fields(line) {
        // A reason may be anything: why a cache was cold, why a client left.
        let names = ERRORS.iter().filter(|name| **name != "reason");
        return names.filter_map(|name| said(fields.get(*name)?)).any(|text| told(&text));
    }
    let found = CAUSE.groups(line);
    found.and_then(|found| found.get(1).or(found.get(2))).is_some_and(|value| told(value.as_str()))
}

/// A message with its holes filled from the line's own fields, as Serilog leaves them: `Attempt {Attempt}/5 failed`
/// (<https://messagetemplates.org>).
fn filled(message: &str, fields: &Map<String, Value>) -> String {
    static HOLE: Pattern = Pattern::new(r"\{[@$]?(\w+)(?:[,:][^{}]*)?\}");
    let mut whole = String::new();
    let mut end = 0;
    for hole in HOLE.all(message) {
        let (Some(all), Some(name)) = (hole.get(0), hole.get(1)) else { continue };
        let Some(value) = fields.get(name.as_str()).filter(|value| !value.is_object()) else { continue };
        whole.push_str(&message[end..all.start()]);
        whole.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        end = all.end();
    }
    whole + &message[end..]
}

/// A field that is a text, or an error that is an object.
fn said(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::Object(error) => OF_AN_ERROR.iter().find_map(|name| error.get(*name)?.as_str())?,
        _ => return None,
    };
    Some(telling(text).to_owned()).filter(|text| !text.is_empty())
}

/// The line of a message of several that says why: what is announced as following, otherwise the first.
fn telling(text: &str) -> &str {
    let text = trace::innermost(text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let announced = lines.clone().skip_while(|line| !announces(line)).nth(1);
    announced.or_else(|| lines.next()).unwrap_or_default()
}

/// Whether a line only says that the next one tells more; pydantic, Flyway and Rust's toml put what failed below.
#[must_use]
pub fn announces(line: &str) -> bool {
    static VALIDATION: Pattern = Pattern::new(
        r"\b\d+ validation errors? for \w+$|Migrations have failed validation$|parse error at line \d+, column \d+$",
    );
    let line = line.trim_end();
    line.ends_with(":") || line.ends_with("***") || line.contains(" following ") || VALIDATION.hits(line)
}

fn joined(message: &str, error: &str) -> Option<String> {
    match (message, error) {
        ("", "") => None,
        (one, "") | ("", one) => Some(one.to_owned()),
        (message, error) if message.contains(error) => Some(message.to_owned()),
        (message, error) => Some(format!("{message}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_loggers_write_them() {
        for (line, expected) in [
            (r#"{"level":"error","msg":"x"}"#, Some(Level::Error)),
            (r#"{"level":50,"msg":"x"}"#, Some(Level::Error)),
            (r#"{"level":40,"msg":"x"}"#, Some(Level::Warning)),
            (r#"{"level":3,"short_message":"x"}"#, Some(Level::Error)),
            (r#"{"level":6,"short_message":"x"}"#, Some(Level::Calm)),
            (r#"{"level":30,"res":{"statusCode":500},"msg":"request failed"}"#, Some(Level::Calm)),
            (r#"{"log.level":"ERROR","message":"x"}"#, Some(Level::Error)),
            (r#"{"log":{"level":"warn"},"message":"x"}"#, Some(Level::Warning)),
            (r#"{"@l":"Fatal","@mt":"x"}"#, Some(Level::Error)),
            (r#"{"severity":"NOTICE","message":"x"}"#, Some(Level::Calm)),
            (r#"{"level":"错误","message":"x"}"#, Some(Level::Error)),
            (r#"{"msg":"x"}"#, None),
            ("ERROR x", None),
            ("{broken", None),
        ] {
            assert_eq!(level(line), expected, "{line}");
        }
    }

    #[test]
    fn times_are_read_as_loggers_write_them() {
        for line in [
            r#"{"@timestamp":"2026-12-01T02:14:30Z","message":"x"}"#,
            r#"{"ts":1796091270.5,"msg":"x"}"#,
            r#"{"time":1796091270500,"msg":"x"}"#,
        ] {
            assert_eq!(time(line), Some(1_796_091_270), "{line}");
        }
        assert_eq!(time(r#"{"time":"yesterday"}"#), None);
    }

    #[test]
    fn an_error_beside_a_message_is_seen_and_none_is_not() {
        assert!(carries_error(r#"{"msg":"rejected","err":"used before issued"}"#));
        assert!(carries_error(r#"level=warn msg="push error" err="out of order""#));
        for calm in [r#"{"msg":"x","err":null}"#, r#"{"msg":"x","reason":"cold"}"#, "msg=x err=<nil>", "no error"] {
            assert!(!carries_error(calm), "{calm}");
        }
    }

    #[test]
    fn messages_carry_their_error_in_whatever_shape() {
        for (line, expected) in [
            (
                r#"{"msg":"request errored","err":{"type":"AxiosError","message":"timeout of 15000ms exceeded"}}"#,
                "request errored: timeout of 15000ms exceeded",
            ),
            (
                r#"{"@mt":"Cannot start","@x":"System.Exception: no key\n   at A.B()"}"#,
                "Cannot start: System.Exception: no key",
            ),
            (
                r#"{"@mt":"Attempt {Attempt}/{Most:000} of {@Id} failed {","Attempt":1,"Id":"a"}"#,
                "Attempt 1/{Most:000} of a failed {",
            ),
            (r#"{"message":"cannot open a.db","error":"cannot open a.db"}"#, "cannot open a.db"),
            (r#"level=error msg="cannot start" err="no route""#, "cannot start: no route"),
            (
                r#"{"message":"node validation exception\n[1] checks failed. See the following [1] lines\nvm.max_map_count [65530] is too low"}"#,
                "vm.max_map_count [65530] is too low",
            ),
            ("plain words", "plain words"),
        ] {
            assert_eq!(message(line), expected, "{line}");
        }
    }
}
