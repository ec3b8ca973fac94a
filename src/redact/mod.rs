//! Redaction: takes secrets out of a text before it reaches a model, a card, the store or a log.
//!
//! A secret becomes a placeholder such as `[REDACTED:jwt:1]`: the same value reads the same everywhere in one run, so
//! that a reader can still see that two places hold the same one, and nothing leads back to it. Time is linear in the
//! length of the text. What it cannot see, by design: a secret of no known shape under a harmless name, one encoded
//! outside a Kubernetes Secret (base64, hex), one that begins on the line after its name, and the rest of a secret that
//! was cut in two before it came here. Numbers of two runs have nothing to do with each other.

mod assignment;
mod echo;
mod rules;
mod secret_objects;
mod value;

pub use echo::Echo;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// Takes secrets out of one text, with numbers of its own.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    Redactor::default().redact(text)
}

/// Takes secrets out of every string of a JSON value, with numbers of its own.
pub fn redact_value(value: &mut serde_json::Value) {
    Redactor::default().redact_value(value);
}

/// Redaction for one run. It remembers hashes of what it took out, never the secrets; cheap to share behind an `Arc`.
#[derive(Debug, Default)]
pub struct Redactor(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    numbers: HashMap<[u8; 32], usize>,
    last_of_kind: HashMap<&'static str, usize>,
    /// Numbers up to this one are taken by texts that were redacted before.
    taken: usize,
}

impl Redactor {
    /// Takes the secrets out of a text; borrows when there are none.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = secret_objects::redact(self, text);
        let present = rules::present(&text);
        for rule in present.shapes() {
            text = rule.apply(self, text);
        }
        if present.has_secret_names() {
            for step in assignment::STEPS {
                text = step(self, text);
            }
        }
        text
    }

    /// Takes the secrets out of a value whose name is known: `password` and its like lose all of it.
    #[must_use]
    pub fn redact_pair<'a>(&self, name: &str, value: &'a str) -> Cow<'a, str> {
        if assignment::is_secret(name, value) {
            return Cow::Owned(self.placeholder("value", value));
        }
        self.redact(value)
    }

    /// Takes the secrets out of every string of a JSON value, whole where its key or its object says it is one.
    pub fn redact_value(&self, value: &mut serde_json::Value) {
        value::redact(self, value);
    }

    /// Gives no number that a text bears which another redactor wrote: two secrets would read as one.
    pub fn number_past(&self, text: &str) {
        let numbers =
            text.split(OPEN).skip(1).filter_map(|rest| rest.split_once(']')?.0.rsplit(':').next()?.parse().ok());
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.taken = numbers.chain([seen.taken]).max().unwrap_or_default();
    }

    /// The stand-in for a secret: a new number for a new value, the old one for a value seen before.
    fn placeholder(&self, kind: &'static str, secret: &str) -> String {
        let hash: [u8; 32] = Sha256::new().chain_update(kind).chain_update([0]).chain_update(secret).finalize().into();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { numbers, last_of_kind, taken } = &mut *seen;
        let number = *numbers.entry(hash).or_insert_with(|| {
            let last = last_of_kind.entry(kind).or_insert(*taken);
            *last += 1;
            *last
        });
        format!("[REDACTED:{kind}:{number}]")
    }
}

/// Whether something was taken out of a text.
#[must_use]
pub fn is_redacted(text: &str) -> bool {
    text.contains(OPEN)
}

/// How every placeholder begins.
const OPEN: &str = "[REDACTED:";

/// Whether a text begins with a placeholder, so that redacting twice changes nothing.
fn is_placeholder(text: &str) -> bool {
    let inner = text.trim_start_matches(['"', '\'', '\\']).strip_prefix(OPEN).and_then(|rest| rest.split_once(']'));
    inner.is_some_and(|(inner, _)| inner.bytes().all(is_placeholder_byte))
}

/// Whether a position lies inside a placeholder: its kind and number look like a name and a value to some patterns.
fn is_in_placeholder(text: &str, position: usize) -> bool {
    /// Longer than any placeholder.
    const REACH: usize = 64;
    let before = &text[text.floor_char_boundary(position.saturating_sub(REACH))..position];
    before.rfind(OPEN).is_some_and(|at| before[at + OPEN.len()..].bytes().all(is_placeholder_byte))
}

fn is_placeholder_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b':')
}

/// Replaces the group `s` (or `t`, for a second way to quote it) of every match that `accept` agrees to, leaving what
/// is around it as it is.
fn replace_secrets<'a>(
    redactor: &Redactor,
    text: Cow<'a, str>,
    pattern: &regex::Regex,
    kind: &'static str,
    accept: impl Fn(&regex::Captures<'_>, &str) -> bool,
) -> Cow<'a, str> {
    let mut replaced = String::new();
    let mut copied = 0;
    for captures in pattern.captures_iter(&text) {
        let Some(secret) = captures.name("s").or_else(|| captures.name("t")) else { continue };
        let known = is_placeholder(secret.as_str()) || is_in_placeholder(&text, secret.start());
        if known || !accept(&captures, secret.as_str()) {
            continue;
        }
        replaced.push_str(&text[copied..secret.start()]);
        replaced.push_str(&redactor.placeholder(kind, secret.as_str()));
        copied = secret.end();
    }
    if copied == 0 {
        return text;
    }
    replaced.push_str(&text[copied..]);
    Cow::Owned(replaced)
}

#[cfg(test)]
mod tests;
