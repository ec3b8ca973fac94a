//! Secrets that are known by the name they are given to: `PASSWORD=…`, `token: …`, an environment entry, a flag.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{Redactor, is_placeholder, replace_secrets};

type Step = for<'a> fn(&Redactor, Cow<'a, str>) -> Cow<'a, str>;

/// The ways a name and a value are written down, the most explicit first.
pub(super) const STEPS: &[Step] = &[environment_entries, quoted, lines, plain, flags];

/// What a secret's name ends in. `…Name`, `…File`, `…Ref` and counters such as `max_tokens` therefore never match.
pub(super) const WORD: &str = r"(?i)(?:passw(?:or)?d|passwd|passphrase|_pass|-pass|userpass|rootpass|pwd|secret|token|api[_-]?key|apikey|access[_-]?key(?:[_-]?secret)?|secret[_-]?key(?:[_-]?base)?|account[_-]?key|private[_-]?key|signing[_-]?key|encryption[_-]?key|encrypt[_-]?key|master[_-]?key|encoding[_-]?aes[_-]?key|client-key-data|id-token|credentials?|密码|口令|密钥)";

/// A whole name that ends in such a word.
static NAME: LazyLock<String> = LazyLock::new(|| format!("(?P<k>[A-Za-z0-9_.-]*{WORD})"));

static SECRET_NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("(?i)^{}$", *NAME)).ok());

/// Whether `value` is a secret because of what it is called.
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    names_a_secret(name) && !is_placeholder(value) && !is_harmless(name, value)
}

fn names_a_secret(name: &str) -> bool {
    SECRET_NAME.as_ref().is_some_and(|pattern| pattern.is_match(name))
}

/// Values under a secret's name that are none: references, switches, paths, names of objects.
fn is_harmless(name: &str, value: &str) -> bool {
    const WORDS: &[&str] =
        &["null", "nil", "none", "true", "false", "yes", "no", "undefined", "unset", "empty", "redacted", "required"];
    const REFERENCES: &[&str] = &["<", "${", "$(", "{{", "valuefrom", "secretkeyref", "vault:", "file:"];
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    value.chars().count() < 3
        || value.chars().all(|char| matches!(char, '*' | 'x' | 'X' | '.' | '•'))
        || WORDS.contains(&lower.as_str())
        || REFERENCES.iter().any(|start| lower.starts_with(start))
        || is_variable(value)
        || is_path(value)
        || (is_weak(name) && is_object_name(value))
}

fn is_variable(value: &str) -> bool {
    let upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    value.strip_prefix('$').is_some_and(|name| name.bytes().all(upper))
}

fn is_path(value: &str) -> bool {
    const ROOTS: &[&str] = &[
        "./",
        "../",
        "/app/",
        "/data/",
        "/etc/",
        "/home/",
        "/mnt/",
        "/opt/",
        "/root/",
        "/run/",
        "/secrets/",
        "/srv/",
        "/tmp/",
        "/usr/",
        "/var/",
        "/vault/",
    ];
    value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'/') && value.starts_with('/')
        || ROOTS.iter().any(|root| value.starts_with(root))
}

/// `secret`, `tlsSecret`, `existingSecret`, `credentials`: in Kubernetes these mostly name an object.
fn is_weak(name: &str) -> bool {
    const STRONG: &[&str] = &[
        "access", "api", "app", "client", "consumer", "cookie", "hmac", "jwt", "key", "oauth", "session", "shared",
        "webhook",
    ];
    let name = name.to_ascii_lowercase();
    let Some(before) = ["secret", "credentials", "credential"].iter().find_map(|end| name.strip_suffix(end)) else {
        return false;
    };
    let before = before.trim_end_matches(['_', '-', '.']);
    !STRONG.iter().any(|word| before.ends_with(word))
}

/// A word, then words or short generated ends, as objects are called: `regcred`, `db-credentials`, `web-tls-7f9c4`.
fn is_object_name(value: &str) -> bool {
    let mut parts = value.split(['-', '.', '/']);
    let is_lower = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_end = |part: &str| {
        let alphanumeric = part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        is_lower(part) || (alphanumeric && (1..=10).contains(&part.len()))
    };
    parts.next().is_some_and(is_lower) && parts.all(is_end)
}

/// `- name: DB_PASSWORD` and, on the next line or after a comma, `value: …`; as YAML and as JSON, escaped or not.
fn environment_entries<'a>(redactor: &Redactor, text: Cow<'a, str>) -> Cow<'a, str> {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let name = NAME.as_str();
        Regex::new(&format!(
            r#"(?i)(?-u:\b)name\\{{0,3}}"?[ \t]*:[ \t]*\\{{0,3}}["']?{name}\\{{0,3}}["']?[ \t]*(?:,[ \t]*\r?\n?|\r?\n)[ \t]*\\{{0,3}}["']?value\\{{0,3}}["']?[ \t]*:[ \t]*(?:\\{{0,3}}"(?P<s>(?:[^"\\\r\n]|\\[^"])+)|(?P<t>[^\s"\\][^\r\n]*))"#
        ))
        .ok()
    });
    replace(redactor, text, &PATTERN, |name, value| !is_harmless(name, value))
}

/// `"password": "…"`, `password="…"`, `'token': '…'`, `\"secret\":\"…\"`.
fn quoted<'a>(redactor: &Redactor, text: Cow<'a, str>) -> Cow<'a, str> {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let name = NAME.as_str();
        Regex::new(&format!(
            r#"(?i){name}\\{{0,3}}["']?[ \t]*(?::|=>|:?=)[ \t]*(?:\\{{0,3}}"(?P<s>(?:[^"\\\r\n]|\\[^"])+)|'(?P<t>[^'\r\n]+)')"#
        ))
        .ok()
    });
    replace(redactor, text, &PATTERN, |name, value| !is_harmless(name, value))
}

/// A line of YAML or of `kubectl describe` that holds a name and one word, or a password of several.
fn lines<'a>(redactor: &Redactor, text: Cow<'a, str>) -> Cow<'a, str> {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let name = NAME.as_str();
        let start = r#"(?im)^[ \t]*(?:-[ \t]+)?["']?"#;
        Regex::new(&format!(r#"{start}{name}["']?[ \t]*:[ \t]+(?P<s>[^\s"'|>&*!{{\[][^\r\n]*?)[ \t]*\r?$"#)).ok()
    });
    replace(redactor, text, &PATTERN, |name, value| {
        let several = value.contains([' ', '\t']);
        let is_length = value.ends_with(" bytes");
        !is_harmless(name, value) && (!several || (name.to_ascii_lowercase().contains("passw") && !is_length))
    })
}

/// `PASSWORD=hunter2`, `token:abc123`, and `token: abc123` inside a sentence when the value is no part of it.
fn plain<'a>(redactor: &Redactor, text: Cow<'a, str>) -> Cow<'a, str> {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let name = NAME.as_str();
        let operator = r#"["']?(?P<o>[ \t]*:?=[ \t]*|:[ \t]{0,4}|：[ \t]*)"#;
        Regex::new(&format!(r#"(?i){name}{operator}(?P<s>[^\s"'\\,;&<>(){{}}\[\]|=:][^\s"'\\,;&<>(){{}}\[\]|]*)"#)).ok()
    });
    replace_with(redactor, text, &PATTERN, |captures, name, value| {
        let assigned = captures.name("o").is_some_and(|operator| operator.as_str().contains('='));
        !is_harmless(name, value) && (assigned || !is_prose(value))
    })
}

/// What follows a colon in a sentence and is no secret: a word, an address, a status, the next `key=value`.
fn is_prose(value: &str) -> bool {
    let word =
        value.chars().all(|char| char.is_alphabetic() || matches!(char, '_' | '-' | '.' | '/' | '!' | '?' | '…'));
    let status = value.len() <= 4 && value.bytes().all(|byte| byte.is_ascii_digit());
    word || status || value.ends_with(':') || value.contains("://") || value.trim_end_matches('=').contains('=')
}

/// `--password hunter2`, also as two entries of a list in YAML or JSON.
fn flags<'a>(redactor: &Redactor, text: Cow<'a, str>) -> Cow<'a, str> {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let name = NAME.as_str();
        Regex::new(&format!(
            r#"(?i)--?{name}(?:\\{{0,3}}["'][ \t]*,\s{{0,80}}\\{{0,3}}["']|["']?[ \t]*\r?\n[ \t]*-[ \t]+["']?|[ \t]+["']?)(?P<s>[^\s"'\\,;<>(){{}}\[\]|-][^\s"'\\,;<>(){{}}\[\]|]*)"#
        ))
        .ok()
    });
    replace(redactor, text, &PATTERN, |name, value| !is_harmless(name, value) && !is_prose(value))
}

fn replace<'a>(
    redactor: &Redactor,
    text: Cow<'a, str>,
    pattern: &LazyLock<Option<Regex>>,
    accept: impl Fn(&str, &str) -> bool,
) -> Cow<'a, str> {
    replace_with(redactor, text, pattern, |_, name, value| accept(name, value))
}

fn replace_with<'a>(
    redactor: &Redactor,
    text: Cow<'a, str>,
    pattern: &LazyLock<Option<Regex>>,
    accept: impl Fn(&Captures<'_>, &str, &str) -> bool,
) -> Cow<'a, str> {
    let Some(pattern) = pattern.as_ref() else { return text };
    replace_secrets(redactor, text, pattern, "value", |captures, value| {
        accept(captures, captures.name("k").map_or("", |name| name.as_str()), value)
    })
}
