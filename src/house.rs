//! The house rules a machine can hold, checked on the source as it stands.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

/// Rooms from top to bottom: each may use those below it, as `lib.rs` draws them.
const ROOMS: [&str; 26] = [
    "cli",
    "config",
    "http",
    "intake",
    "incident",
    "triage",
    "playbook",
    "agent",
    "model",
    "toolbox",
    "kube",
    "prometheus",
    "notify",
    "store",
    "markdown",
    "applied",
    "redact",
    "telemetry",
    "report",
    "series",
    "quantity",
    "times",
    "alert",
    "failpoint",
    "trust",
    "unreached",
];

/// Files of plain words that every room may speak; they use nothing but the last rooms themselves.
const WORDS: [&str; 4] = ["agent/tools.rs", "notify/notice.rs", "notify/rule.rs", "toolbox/evidence.rs"];

/// Lines of a file, tests aside.
const LONGEST: usize = 350;

/// Where a file's own module of tests begins.
static TESTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^#\[cfg\(test\)\]\n(?:#\[.*\n)*(?:pub\(\w+\) )?mod \w+ \{").unwrap());

/// One file of `src`.
struct Source {
    path: String,
    text: String,
    /// Without comments and tests; empty for a file of tests.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    let declared = Regex::new(r"#\[cfg\(test\)\]\n(?:pub )?mod (\w+);").unwrap();
    let tests: Vec<String> = found
        .iter()
        .flat_map(|file| {
            let folder = match file.path.rsplit_once('/') {
                Some((folder, "mod.rs")) => format!("{folder}/"),
                _ if file.path == "lib.rs" => String::new(),
                _ => format!("{}/", file.path.trim_end_matches(".rs")),
            };
            declared.captures_iter(&file.text).map(move |found| format!("{folder}{}", &found[1])).collect::<Vec<_>>()
        })
        .collect();
    for file in &mut found {
        let stem = file.path.trim_end_matches(".rs");
        let is_test = tests.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/")));
        if is_test || stem.ends_with("_tests") {
            file.code.clear();
        }
    }
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path, code: code(&text), text });
        }
    }
}

/// What a file says outside comments and its own module of tests, which stands last.
fn code(text: &str) -> String {
    let end = TESTS.find(text).map_or(text.len(), |found| found.start());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn assert_none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn the_source_is_read() {
    let sources = sources();
    assert!(sources.len() > 200, "{} files", sources.len());
    let code_of = |path: &str| sources.iter().find(|file| file.path == path).map(|file| file.code.len());
    assert_eq!(code_of("house.rs"), Some(0), "this file is a test");
    assert!(code_of("store/outbox.rs") > Some(1_000));
}

#[test]
fn every_file_opens_with_its_reason_to_exist() {
    let silent = sources().into_iter().filter(|file| !file.text.starts_with("//! ")).map(|file| file.path);
    assert_none(&silent.collect::<Vec<_>>(), "the first line of a file says why it exists, after `//!`");
}

#[test]
fn no_file_is_longer_than_a_few_screens() {
    let length = |file: &Source| {
        let end = TESTS.find(&file.text).map_or(file.text.len(), |found| found.start());
        if file.code.is_empty() { 0 } else { file.text[..end].lines().count() }
    };
    let long = sources().into_iter().filter(|file| length(file) > LONGEST);
    let long: Vec<String> = long.map(|file| format!("{}: {} lines", file.path, length(&file))).collect();
    assert_none(&long, "a file past 350 lines becomes a folder");
}

#[test]
fn only_the_store_speaks_sql() {
    let sql = Regex::new(r#"sqlx::|"\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE)\s"#).unwrap();
    let outside = sources().into_iter().filter(|file| !file.path.starts_with("store/") && sql.is_match(&file.code));
    assert_none(&outside.map(|file| file.path).collect::<Vec<_>>(), "SQL stands in store/ only");
}

#[test]
fn a_room_uses_only_the_rooms_below_it() {
    let used = Regex::new(r"\bcrate::(\w+)(?:::(\w+))?").unwrap();
    let rank = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut upwards = Vec::new();
    for file in sources() {
        let room = file.path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        let Some(own) = rank(room) else {
            assert!(matches!(room, "lib" | "main" | "house"), "{room} has no place in the order of rooms");
            continue;
        };
        let own = if WORDS.contains(&file.path.as_str()) { rank("markdown").unwrap() } else { own };
        for found in used.captures_iter(&file.code) {
            let word = format!("{}/{}.rs", &found[1], found.get(2).map_or("", |name| name.as_str()));
            let other = rank(&found[1]).unwrap_or_else(|| panic!("{} uses crate::{}", file.path, &found[1]));
            if other < own && !WORDS.contains(&word.as_str()) {
                upwards.push(format!("{} uses {}", file.path, &found[0]));
            }
        }
    }
    assert_none(&upwards, "a room may use the rooms below it, never those above");
}

#[test]
fn the_loop_knows_no_http_and_no_database() {
    let foreign = Regex::new(r"\b(?:reqwest|axum|hyper|http|sqlx|kube|rmcp)::").unwrap();
    let knowing = sources().into_iter().filter(|file| file.path.starts_with("agent/") && foreign.is_match(&file.code));
    assert_none(&knowing.map(|file| file.path).collect::<Vec<_>>(), "agent/ knows no HTTP and no database");
}

#[test]
fn settings_that_are_secrets_are_kept_as_such() {
    let setting = Regex::new(r"(?m)^    pub(?:\(\w+\))? (\w*(?:key|secret|password|token|tokens)): (.*),$").unwrap();
    let derived = Regex::new(r"derive\([^)]*\bDeserialize\b").unwrap();
    let of_settings = |path: &str| path.starts_with("config/") || path.ends_with("/config.rs");
    let mut seen = 0;
    let mut open = Vec::new();
    for file in sources().into_iter().filter(|file| of_settings(&file.path) && derived.is_match(&file.code)) {
        for found in setting.captures_iter(&file.code) {
            seen += 1;
            if !found[2].contains("SecretString") && found[2].contains("String") {
                open.push(format!("{}: {}: {}", file.path, &found[1], &found[2]));
            }
        }
    }
    assert!(seen > 2, "the settings were found");
    assert_none(&open, "a setting called key, secret, password or token is a SecretString");
}
