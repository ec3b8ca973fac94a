//! Layouts of the operator's own: templates that replace the built-in layout of a part, per channel and language.
//!
//! Architecture invariant: a template that is broken costs nobody a message. It is tried when it is read, and whatever
//! it does later, the built-in layout stands behind it; what is broken is named by `check`, readiness and a metric.

mod part;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use minijinja::{Environment, UndefinedBehavior};
pub use part::Part;

use super::notice::Notice;
use super::rehearsal;
use super::send::Form;
use super::story::{Caps, Story, tell};
use crate::alert::Lang;

/// Steps one template may take; a loop in it must not hold up an alert.
const FUEL: u64 = 500_000;
/// Filters whose result counts as safe: with them a label could become markup.
const UNSAFE: [&str; 4] = ["safe", "escape", "e", "tojson"];
/// Bytes of a template's file.
const LONGEST: u64 = 256 * 1024;

/// All templates of a folder.
#[derive(Debug, Default)]
pub struct Layouts {
    env: Environment<'static>,
    /// Paths of the templates that could be read, below the folder.
    read: BTreeSet<String>,
    /// What is wrong with those that do not work, by their paths: when they were read, or when they were last used.
    broken: Mutex<BTreeMap<String, String>>,
}

/// The layouts of one channel.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    all: Arc<Layouts>,
    channel: String,
}

impl Layouts {
    /// Reads a folder: `LANG/PART` for every channel, `CHANNEL/LANG/PART` for one. Nothing in it is an error that stops
    /// anything; see [`Layouts::broken`].
    #[must_use]
    pub fn load(folder: &Path, channels: &[&str], timezone: &str) -> Self {
        let mut layouts = Self { env: environment(), ..Self::default() };
        match files(folder) {
            Ok(files) => files.into_iter().for_each(|(path, file)| layouts.add(path, &file, channels)),
            Err(error) => layouts.note(&folder.display().to_string(), Some(error.to_string())),
        }
        layouts.rehearse(timezone);
        for (path, why) in layouts.broken() {
            tracing::warn!(template = path, why, "a template is broken; the built-in layout is used instead");
        }
        layouts
    }

    /// Templates that are not used, or failed when they were last used, with what is wrong.
    #[must_use]
    pub fn broken(&self) -> BTreeMap<String, String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Paths of the templates that are used.
    #[must_use]
    pub fn used(&self) -> Vec<&str> {
        let broken = self.broken();
        self.read.iter().map(String::as_str).filter(|path| !broken.contains_key(*path)).collect()
    }

    /// The layouts of a channel.
    #[must_use]
    pub fn of(self: &Arc<Self>, channel: &str) -> Layout {
        Layout { all: self.clone(), channel: channel.to_owned() }
    }

    fn add(&mut self, path: String, file: &Path, channels: &[&str]) {
        let source = place(&path, channels).and_then(|()| read(file));
        let added = source
            .and_then(|source| self.env.add_template_owned(path.clone(), source).map_err(|error| error.to_string()));
        match added {
            Ok(()) => drop(self.read.insert(path)),
            Err(why) => self.note(&path, Some(why)),
        }
    }

    /// Lays every kind of message out once, so that a misspelt variable is known before an alert comes.
    fn rehearse(&self, timezone: &str) {
        for path in &self.read {
            let (Some(part), Some(lang)) = (Part::of(path), language(path)) else { continue };
            for notice in rehearsal::every_kind(lang, timezone) {
                let story = tell(&notice, Timestamp::now(), Caps::page(Form::Full));
                if self.try_out(path, part, &notice, &story).is_none() {
                    break;
                }
            }
        }
    }

    /// A part by this template; none when it fails or says nothing, which is noted.
    fn try_out(&self, path: &str, part: Part, notice: &Notice, story: &Story) -> Option<String> {
        let rendered = self.env.get_template(path).and_then(|one| one.render(view::values(part, notice, story)));
        let outcome = match rendered {
            Ok(text) if text.trim().is_empty() => Err("it says nothing".to_owned()),
            Ok(text) => Ok(text),
            Err(error) => Err(error.to_string()),
        };
        self.note(path, outcome.as_ref().err().cloned());
        outcome.ok()
    }

    /// Logs what is new.
    fn note(&self, path: &str, why: Option<String>) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) if broken.get(path) != Some(&why) => {
                tracing::debug!(template = path, why, "a template does not work");
                broken.insert(path.to_owned(), why);
            }
            Some(_) => {}
            None => drop(broken.remove(path)),
        }
    }
}

impl Layout {
    /// A part as the operator lays it out, the channel's own template before that of all channels; none where there is
    /// no template that works: the built-in layout is used then.
    #[must_use]
    pub fn render(&self, part: Part, notice: &Notice, story: &Story) -> Option<String> {
        let (lang, file) = (story.lang.tag(), part.file());
        let own = [format!("{}/{lang}/{file}", self.channel), format!("{lang}/{file}")];
        let path = own.iter().find(|path| self.all.read.contains(*path))?;
        self.all.try_out(path, part, notice, story)
    }
}

fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // By itself it says where an error stands in development alone; who wrote the template has to know.
    env.set_debug(true);
    env.set_fuel(Some(FUEL));
    env.set_auto_escape_callback(part::escaping);
    env.set_formatter(part::write);
    env.add_filter("defang", |text: String| super::text::defang(&text));
    UNSAFE.into_iter().for_each(|filter| env.remove_filter(filter));
    env
}

/// Whether a template lies where one is looked for.
fn place(path: &str, channels: &[&str]) -> Result<(), String> {
    let folders: Vec<&str> = path.split('/').collect();
    let known = match folders.as_slice() {
        [lang, _] => language_of(lang).is_some(),
        [channel, lang, _] => channels.contains(channel) && language_of(lang).is_some(),
        _ => false,
    };
    let parts = Part::ALL.map(Part::file).join(", ");
    match (known, Part::of(path)) {
        (true, Some(_)) => Ok(()),
        (_, None) => Err(format!("no part of a message has this name; they are {parts}")),
        (false, _) => {
            Err("lies in no folder that is looked into: zh-CN or en, or CHANNEL/zh-CN or CHANNEL/en".to_owned())
        }
    }
}

fn language(path: &str) -> Option<Lang> {
    language_of(path.rsplit('/').nth(1)?)
}

fn language_of(tag: &str) -> Option<Lang> {
    [Lang::Zh, Lang::En].into_iter().find(|lang| lang.tag() == tag)
}

fn read(file: &Path) -> Result<String, String> {
    let bytes = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if bytes > LONGEST {
        return Err(format!("has {bytes} bytes; {LONGEST} are read"));
    }
    std::fs::read_to_string(file).map_err(|error| error.to_string())
}

/// Every template below a folder, by its path there; three levels are looked at, and nothing hidden: Kubernetes mounts
/// a ConfigMap with such folders beside its files.
fn files(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    const DEEPEST: usize = 3;
    let mut found = Vec::new();
    let mut open = vec![(String::new(), folder.to_owned(), 1)];
    while let Some((prefix, folder, depth)) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'))
            else {
                continue;
            };
            let below = format!("{prefix}{name}");
            if path.is_dir() && depth < DEEPEST {
                open.push((format!("{below}/"), path, depth + 1));
            } else if name.ends_with(".j2") {
                found.push((below, path));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
