//! Every code that an analyzer gives is documented in `docs/causes.md`, and nothing else is; each is proven by name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::playbook::pattern::Pattern;

/// Words in snake_case that are no codes: what a registry or a proxy answers, settings.
const NO_CODES: [&str; 4] =
    ["insufficient_scope", "filter_chain_not_found", "vm_memory_high_watermark", "disk_free_limit"];

static LITERAL: Pattern = Pattern::new(r#""([a-z0-9]+(?:_[a-z0-9]+)+)""#);
static ROW: Pattern = Pattern::new(r"(?m)^\| `([a-z0-9_]+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$");

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

fn found(pattern: &Pattern, text: &str) -> BTreeSet<String> {
    pattern.all(text).iter().map(|groups| groups[1].to_owned()).collect()
}

fn documented() -> BTreeSet<String> {
    found(&ROW, &fs::read_to_string(root("docs/causes.md")).unwrap())
}

#[test]
fn every_code_is_expected_by_name_in_a_test_or_a_scenario() {
    // A code may stand alone or before the object it blames, as `World::cause` tells it.
    let named = Pattern::new(r#""([a-z0-9]+(?:_[a-z0-9]+)+)(?: [A-Z][^"]*)?""#);
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for file in sources(&root("src/playbook/analyzer")) {
        let text = fs::read_to_string(file).unwrap();
        expected.extend(text.split_once("#[cfg(test)]").into_iter().flat_map(|(_, tests)| found(&named, tests)));
    }
    for folder in fs::read_dir(root("scenarios")).unwrap() {
        let truth = fs::read_to_string(folder.unwrap().path().join("truth.json")).unwrap_or_default();
        expected.extend(found(&LITERAL, &truth));
    }
    let untested: Vec<_> = documented().difference(&expected).cloned().collect();
    assert!(untested.is_empty(), "write a test of the fault, its healthy twin and the near miss for {untested:?}");
}

#[test]
fn the_table_of_conditions_names_codes_there_are() {
    static NAMED: Pattern = Pattern::new(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`");
    let named = found(&NAMED, &fs::read_to_string(root("docs/conditions.md")).unwrap());
    assert!(named.len() > 100, "{} codes", named.len());
    let documented = documented();
    let unknown: Vec<_> = named.difference(&documented).collect();
    assert!(unknown.is_empty(), "docs/conditions.md names {unknown:?}, which docs/causes.md does not know");
}

#[test]
fn every_code_of_the_source_is_documented_and_every_documented_one_exists() {
    let folder = root("src/playbook/analyzer");
    let registry = folder.join("mod.rs");
    let mut given: BTreeSet<String> = BTreeSet::new();
    for file in sources(&folder).into_iter().filter(|file| *file != registry) {
        let text = fs::read_to_string(file).unwrap();
        given.extend(found(&LITERAL, text.split("#[cfg(test)]").next().unwrap()));
    }
    given.retain(|code| !NO_CODES.contains(&code.as_str()));
    let documented = documented();
    let lacking: Vec<_> = given.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&given).collect();
    assert!(lacking.is_empty(), "add a row to docs/causes.md for {lacking:?}");
    assert!(invented.is_empty(), "no analyzer gives {invented:?}: drop the row, or keep a renamed code's old name");
}
