//! The scenarios that come inside the binary, so that a demo needs no files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rust_embed::Embed;
use serde_json::Value;

/// Those with a number below 100. The others, ten times as many bytes, are for `eval` in a checkout, and any of them is
/// shown by its path.
#[derive(Embed)]
#[folder = "scenarios"]
#[include = "[0-9][0-9]-*"]
struct Scenarios;

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
    let alert = |name: &str| serde_json::from_slice(&Scenarios::get(&format!("{name}/alert.json"))?.data).ok();
    names().into_iter().map(|name| Scenario { alert: alert(&name).unwrap_or_default(), name }).collect()
}

fn names() -> BTreeSet<String> {
    Scenarios::iter().filter_map(|path| Some(path.split_once('/')?.0.to_owned())).collect()
}

/// Writes a scenario below `home` and returns its directory. A name without its number, or a path to a scenario
/// directory, will do too.
pub(super) fn unpack(name: &str, home: &Path) -> Result<PathBuf, String> {
    let outside = Path::new(name);
    if outside.join("objects.json").is_file() {
        return std::path::absolute(outside).map_err(|error| format!("{name}: {error}"));
    }
    let known = names();
    let matches = |full: &&String| *full == name || full.split_once('-').is_some_and(|(_, rest)| rest == name);
    let Some(full) = known.iter().find(matches) else {
        let known: Vec<String> = known.into_iter().collect();
        return Err(format!("there is no scenario `{name}`; choose one of {}, or name a directory", known.join(", ")));
    };
    let target = home.join("scenarios");
    for path in Scenarios::iter().filter(|path| path.starts_with(&format!("{full}/"))) {
        let file = target.join(path.as_ref());
        let content = Scenarios::get(&path).unwrap_or_else(|| unreachable!("it was listed"));
        file.parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&file, content.data))
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(target.join(full))
}
