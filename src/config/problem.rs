//! What can be wrong with a configuration, said with the file, the line, the key and the remedy.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Expected, Unexpected};
use thiserror::Error;

/// What is asked for in place of jiff's own words, which explain its parser.
const DURATION: &str = "a duration with its unit, such as 180s or 3m";

/// A configuration that cannot be used. No text of it ever quotes a value that could be a secret.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file itself cannot be read.
    #[error("{}: cannot read the configuration ({cause}); check the path given to --config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It was read; this is all that is wrong with it.
    #[error("{}", listed(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// In the order of their lines, never empty.
        problems: Vec<Problem>,
    },
}

fn listed(path: &Path, problems: &[Problem]) -> String {
    let line = |problem: &Problem| match problem.line {
        Some(line) => format!("{}:{line}: {problem}", path.display()),
        None => format!("{}: {problem}", path.display()),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One thing that is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1, when it is known.
    pub line: Option<usize>,
    /// The key, for example `channels[1].url`; empty for the file as a whole.
    pub path: String,
    /// The complaint and the remedy.
    pub message: String,
    /// The key below `path` that a derived reader complained about without knowing where it stands.
    pub(super) key: Option<String>,
}

impl Problem {
    /// A complaint about the key at a path.
    pub(super) fn new(line: usize, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line: Some(line), path: path.into(), message: message.into(), key: None }
    }

    /// Text that is not YAML.
    pub(super) fn syntax(line: Option<usize>, message: &str) -> Self {
        let message = match message.split_once(": ") {
            Some((place, what)) if place.contains("line ") => what,
            _ => message,
        };
        let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
        let message = message.split("; use from_str_multiple").next().unwrap_or_default();
        let message = message.lines().next().unwrap_or_default();
        Self { line, path: String::new(), message: format!("not valid YAML: {message}"), key: None }
    }

    fn unplaced(message: String) -> Self {
        Self { line: None, path: String::new(), message, key: None }
    }

    /// Whether it complains about what a key holds, not about a key that is missing or unknown.
    pub(super) fn is_about_a_value(&self) -> bool {
        self.key.is_none() && self.message.starts_with("expected ")
    }

    /// Gives a complaint its place, unless it has one from further inside.
    pub(super) fn or_at(mut self, line: usize, path: &str) -> Self {
        if self.line.is_none() {
            self.line = Some(line);
            path.clone_into(&mut self.path);
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        if message.contains("duration format") {
            return Self::unplaced(format!("expected {DURATION}"));
        }
        Self::unplaced(message)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let hint = match found {
            Unexpected::Bool(_) | Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_)
                if expected.to_string() == "a string" =>
            {
                "; put it in quotes"
            }
            _ => "",
        };
        Self::unplaced(format!("expected {}, found {}{hint}", wanted(expected), kind(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::unplaced(format!("expected {}, found {} that is none", wanted(expected), kind(found)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unplaced(not_one_of("value", variant, expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self { key: Some(field.to_owned()), ..Self::unplaced(unknown_key(field, expected)) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::unplaced(format!("the key \"{field}\" is missing; add it"))
    }
}

/// The complaint about a key nobody reads.
pub(super) fn unknown_key(key: &str, valid: &[&str]) -> String {
    not_one_of("key", key, valid)
}

/// The complaint about a word that is none of the valid ones, with the nearest of them.
pub(super) fn not_one_of<T: AsRef<str>>(what: &str, given: &str, valid: &[T]) -> String {
    let given: String = given.chars().take(60).collect();
    let hint = nearest(&given, valid).map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
    let valid: Vec<&str> = valid.iter().map(AsRef::as_ref).collect();
    match valid.as_slice() {
        [] => format!("unknown {what} \"{given}\"{hint}"),
        valid => format!("unknown {what} \"{given}\"{hint} (valid: {})", valid.join(", ")),
    }
}

/// The valid word most like the given one, if any is like it at all.
pub(super) fn nearest<'a, T: AsRef<str>>(given: &str, valid: &'a [T]) -> Option<&'a str> {
    /// Below these a suggestion reads like a guess: Jaro-Winkler for beginnings, Damerau-Levenshtein for slips.
    const ALIKE: (f64, f64) = (0.7, 0.6);
    let given = given.to_lowercase();
    let score = |word: &'a str| {
        let lower = word.to_lowercase();
        let beginning = strsim::jaro_winkler(&given, &lower);
        let slip = strsim::normalized_damerau_levenshtein(&given, &lower);
        (beginning >= ALIKE.0 || slip >= ALIKE.1).then_some((beginning + slip, word))
    };
    let scored = valid.iter().map(AsRef::as_ref).filter(|word| !word.is_empty()).filter_map(score);
    scored.max_by(|one, two| one.0.total_cmp(&two.0)).map(|(_, word)| word)
}

/// serde's expectations in words of configuration.
fn wanted(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i64" | "i32" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a string" => "text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        other if other.contains("variant") || other.starts_with("enum ") => "one of the known words".to_owned(),
        other if other.contains("duration") => DURATION.to_owned(),
        other if other.starts_with("struct ") || other.contains("tagged enum") => "a mapping of keys".to_owned(),
        other => other.to_owned(),
    }
}

/// What was found, by kind: the value itself may be a secret.
fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Str(_) | Unexpected::Char(_) => "text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a mapping",
        _ => "something else",
    }
}
