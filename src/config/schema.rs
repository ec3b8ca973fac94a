//! The file's JSON schema, for editors that complete and check while one types, and for the reference.

use jiff::SignedDuration;
use schemars::Schema;
use schemars::transform::{Transform, transform_subschemas};

use super::Config;

/// The format of durations. Editors check the standard's own `duration`, which is ISO 8601 and not what people write.
pub(super) const DURATION: &str = "duration such as 180s or 3m";

/// The schema of the configuration file, made from the types that read it.
#[must_use]
pub fn schema() -> Schema {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".to_owned(), "Firstlook configuration".into());
    durations_as_written.transform(&mut schema);
    if let Some(timezone) = schema.pointer_mut("/properties/timezone").and_then(serde_json::Value::as_object_mut) {
        // The default is this machine's; the schema is the same on all.
        timezone.remove("default");
    }
    schema
}

fn durations_as_written(schema: &mut Schema) {
    if schema.get("format").is_some_and(|format| format == "duration") {
        schema.insert("format".to_owned(), DURATION.into());
        let default = schema.get("default").and_then(|default| default.as_str()?.parse::<SignedDuration>().ok());
        if let Some(default) = default {
            schema.insert("default".to_owned(), format!("{}s", default.as_secs()).into());
        }
    }
    transform_subschemas(&mut durations_as_written, schema);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(text: &str) -> Value {
        yaml_serde::from_str(text).unwrap()
    }

    #[test]
    fn it_takes_what_the_reader_takes_and_refuses_what_it_refuses() {
        let schema = jsonschema::validator_for(schema().as_value()).unwrap();
        for example in [include_str!("../../config/full.yaml"), include_str!("../../config/minimal.yaml")] {
            let problems: Vec<String> =
                schema.iter_errors(&read(example)).map(|error| format!("{}: {error}", error.instance_path())).collect();
            assert!(problems.is_empty(), "{problems:#?}");
        }
        for wrong in [
            "chanels: []",
            "server: { lisen: ':80' }",
            "models: [{ name: fast }]",
            "mcp: [{ name: k, transport: carrier-pigeon }]",
            "channels: [{ name: a, type: fax, url: x }]",
            "triage: { max_turns: many }",
        ] {
            assert!(!schema.is_valid(&read(wrong)), "{wrong}");
        }
    }
}
