//! `docs/configuration.md`, written from the types and the tested example, so that it cannot fall behind either.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::KEYS;
use super::schema::{DURATION, schema};

const EXAMPLE: &str = include_str!("../../config/full.yaml");
const FILE: &str = "docs/configuration.md";

const OPENING: &str = "\
# Configuration reference

*[中文](configuration.zh-CN.md)*

This page is written from the types that read the file: a test fails when it differs. Write it anew with
`FIRSTLOOK_WRITE_DOCS=1 cargo test --lib config::reference`.

Firstlook reads one YAML file, given to `--config`. Every key may be left out unless it says *required*; unknown keys are
errors that name the line and the nearest valid key. [config/minimal.yaml](../config/minimal.yaml) is the least that is
useful, [config/full.yaml](../config/full.yaml) shows every key.

- `${NAME}` takes an environment variable, `${NAME:-default}` has a fallback, `${file:PATH}` reads a mounted secret (a
  relative path starts at the configuration's folder). They are put in after the YAML is read, so no value can break it;
  only within an address (`store`, `smtp`) special characters of a password are percent-encoded, as in any address.
  `$${` is a plain `${`. Numbers and switches may come from variables too.
- Durations have a unit: `90s`, `3m`, `1h 30m`.
- `firstlook check --config FILE` tries everything the file names and says what to do about what fails; `--send` also
  sends a test message to every channel.
- `firstlook config-schema` prints the JSON schema. With `# yaml-language-server: $schema=firstlook.schema.json` as first
  line, editors complete and check while you type.
";

/// The whole page.
fn page() -> String {
    let schema = schema().to_value();
    let mut page = OPENING.to_owned();
    for key in KEYS {
        section(&mut page, &schema, key);
    }
    page
}

fn section(page: &mut String, root: &Value, key: &str) {
    let property = &root["properties"][key];
    let (shape, is_list) = shape(root, property);
    write!(page, "\n## `{key}`\n").unwrap();
    if is_list || shape["properties"].is_object() {
        write!(page, "\n{}\n", about(property)).unwrap();
    }
    if let Some(kinds) = shape["oneOf"].as_array().filter(|_| is_list) {
        for kind in kinds {
            let name = kind["properties"]["type"]["const"].as_str().unwrap();
            write!(page, "\n### `type: {name}`\n\n{}\n", about(kind)).unwrap();
            table(page, root, kind, &format!("{key}[]"));
        }
    } else if shape["properties"].is_object() {
        table(page, root, shape, &if is_list { format!("{key}[]") } else { key.to_owned() });
    } else {
        page.push_str(HEAD);
        row(page, root, key, property, false);
    }
    write!(page, "\n```yaml\n{}\n```\n", example(key)).unwrap();
}

const HEAD: &str = "\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n";

fn table(page: &mut String, root: &Value, object: &Value, path: &str) {
    page.push_str(HEAD);
    rows(page, root, object, path);
}

/// The keys of an object; those of objects inside follow theirs.
fn rows(page: &mut String, root: &Value, object: &Value, path: &str) {
    let required = object["required"].as_array();
    // The word that chooses the kind is its heading.
    let settings = object["properties"].as_object().unwrap().iter().filter(|(_, property)| property["const"].is_null());
    for (key, property) in settings {
        let path = format!("{path}.{key}");
        let needed = required.is_some_and(|names| names.iter().any(|name| name == key));
        row(page, root, &path, property, needed);
        let (inner, is_list) = shape(root, property);
        // An object inside one of its own kind has the same keys.
        if inner["properties"].is_object() && !std::ptr::eq(inner, object) {
            rows(page, root, inner, &if is_list { format!("{path}[]") } else { path });
        }
    }
}

fn row(page: &mut String, root: &Value, path: &str, property: &Value, required: bool) {
    let (inner, _) = shape(root, property);
    let default = match &property["default"] {
        _ if required => "*required*".to_owned(),
        Value::Null => "–".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    };
    let words =
        inner["oneOf"].as_array().into_iter().flatten().filter_map(|word| word["const"].as_str().zip(Some(word)));
    let words: Vec<String> = words.map(|(word, schema)| format!("<br>`{word}`: {}", about(schema))).collect();
    let meaning = format!("{}{}", about(property), words.concat()).replace('|', "\\|");
    writeln!(page, "| `{path}` | {} | {default} | {meaning} |", kind(root, property)).unwrap();
}

fn about(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_else(|| panic!("no doc comment: {schema}")).replace('\n', " ")
}

/// What stands behind references, options and lists; and whether it is a list.
fn shape<'a>(root: &'a Value, schema: &'a Value) -> (&'a Value, bool) {
    if let Some(name) = schema["$ref"].as_str() {
        return shape(root, root.pointer(name.trim_start_matches('#')).unwrap());
    }
    if let Some(options) = schema["anyOf"].as_array() {
        return shape(root, &options[0]);
    }
    if schema["items"].is_object() {
        return (shape(root, &schema["items"]).0, true);
    }
    (schema, false)
}

fn kind(root: &Value, property: &Value) -> String {
    let (inner, is_list) = shape(root, property);
    let name = match &inner["type"] {
        Value::Array(types) => types[0].as_str().unwrap(),
        one => one.as_str().unwrap_or("string"),
    };
    let word = match name {
        _ if inner["format"] == DURATION => "duration",
        _ if inner["oneOf"].is_array() => "one of",
        "string" => "text",
        "integer" => "whole number",
        "boolean" => "true or false",
        "object" if inner["additionalProperties"].is_object() => "mapping of text",
        "object" => "mapping",
        other => other,
    };
    if is_list { format!("list of {word}") } else { word.to_owned() }
}

/// The part of the example that sets a key: from its line to the next empty one or the next key.
fn example(key: &str) -> String {
    let begins = |line: &&str| line.starts_with(&format!("{key}:"));
    let mut lines = EXAMPLE.lines().skip_while(|line| !begins(line));
    let first = lines.next().unwrap_or_else(|| panic!("config/full.yaml lacks {key}"));
    let rest = lines.take_while(|line| line.starts_with(' '));
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_reference_is_what_the_types_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let page = page();
    if std::env::var_os("FIRSTLOOK_WRITE_DOCS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = page.lines().zip(written.lines()).position(|(one, other)| one != other);
    assert!(
        page == written,
        "{FILE} differs from the types (line {:?}); run FIRSTLOOK_WRITE_DOCS=1 cargo test --lib config::reference",
        differs.map(|line| line + 1)
    );
}

#[test]
fn the_full_example_and_the_chinese_page_name_every_key() {
    let chinese = include_str!("../../docs/configuration.zh-CN.md");
    let page = page();
    let keys = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).map(|(path, _)| path);
    for path in keys {
        let key = path.rsplit('.').next().unwrap().trim_end_matches("[]");
        assert!(EXAMPLE.contains(&format!("{key}:")), "config/full.yaml lacks {path}");
        assert!(chinese.contains(&format!("`{key}`")), "docs/configuration.zh-CN.md lacks {path}");
    }
}

#[test]
fn the_compose_file_hands_over_what_its_configuration_takes() {
    let compose: Value = yaml_serde::from_str(include_str!("../../deploy/compose.yaml")).unwrap();
    let firstlook = &compose["services"]["firstlook"];
    let given = firstlook["environment"].as_object().unwrap();
    let settings = include_str!("../../deploy/compose/firstlook.yaml");
    let taken = settings
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split("${").skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name)));
    for name in taken {
        assert!(given.contains_key(name), "compose.yaml does not set {name}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    for volume in compose["services"].as_object().unwrap().values().flat_map(|one| one["volumes"].as_array().unwrap()) {
        let from = volume.as_str().unwrap().split(':').next().unwrap();
        assert!(!from.starts_with('.') || folder.join(from).exists(), "{from} is not there");
    }
    let token = given["FIRSTLOOK_TOKEN"].as_str().unwrap();
    assert!(include_str!("../../deploy/compose/alertmanager.yml").contains(&format!("credentials: {token}\n")));
}
