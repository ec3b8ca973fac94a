//! The scenarios that come inside the binary, so that a demo needs no files.

use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use serde_json::Value;

static SCENARIOS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// One scenario.
pub(super) struct Scenario {
    /// Its directory's name.
    pub(super) name: String,
    alert: Value,
}

impl Scenario {
    /// What its first alert says, for a list.
    pub(super) fn alert_summary(&self) -> String {
        let text = |pointer: &str| self.alert.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        format!("{}: {}", text("/alerts/0/labels/alertname"), text("/alerts/0/annotations/summary"))
    }
}

/// All scenarios, in order of name.
pub(super) fn all() -> Vec<Scenario> {
    SCENARIOS
        .dirs()
        .map(|dir| {
            let alert = dir
                .get_file(dir.path().join("alert.json"))
                .and_then(|file| serde_json::from_slice(file.contents()).ok());
            Scenario { name: name_of(dir), alert: alert.unwrap_or_default() }
        })
        .collect()
}

fn name_of(dir: &Dir<'_>) -> String {
    dir.path().display().to_string()
}

/// Writes a scenario below `home` and returns its directory. A name without its number, or a path to a scenario
/// directory, will do too.
pub(super) fn unpack(name: &str, home: &Path) -> Result<PathBuf, String> {
    let outside = Path::new(name);
    if outside.join("objects.json").is_file() {
        return std::path::absolute(outside).map_err(|error| format!("{name}: {error}"));
    }
    let matches = |dir: &&Dir<'_>| {
        let full = name_of(dir);
        full == name || full.split_once('-').is_some_and(|(_, rest)| rest == name)
    };
    let Some(dir) = SCENARIOS.dirs().find(matches) else {
        let known: Vec<String> = SCENARIOS.dirs().map(name_of).collect();
        return Err(format!("there is no scenario `{name}`; choose one of {}", known.join(", ")));
    };
    let target = home.join("scenarios");
    std::fs::create_dir_all(target.join(dir.path())).map_err(|error| format!("{}: {error}", target.display()))?;
    dir.extract(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    Ok(target.join(dir.path()))
}
