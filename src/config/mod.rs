//! Configuration: one YAML file, read once, checked whole; every complaint names file, line, key and remedy.
//!
//! The rooms own the settings they use; this room only assembles and checks them against each other.

mod check;
mod expand;
mod node;
mod problem;
mod reader;
#[cfg(test)]
mod reference;
mod schema;
mod server;
mod triage;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

pub use problem::{ConfigError, Problem};
pub use schema::schema;
pub use server::{BasicAuth, Sender, Server, ServerLimits};
pub use triage::TriageSettings;

use crate::alert::Lang;
use crate::incident::hold::Maintenance;
use crate::incident::retention::Retention;
use crate::incident::routes::Route;
use crate::model::{Catalogue, ModelConfig};
use crate::notify::channel::ChannelSettings;
use crate::prometheus::PrometheusSettings;
use crate::toolbox::config::McpSettings;
use expand::Sources;
use node::Node;
use reader::{Found, Reader};

/// Where alerts are kept when nothing is said: beside where the service was started.
const DEFAULT_STORE: &str = "sqlite:firstlook.db";

/// The keys of the file. They may be added to, never renamed.
const KEYS: &[&str] = &[
    "server",
    "store",
    "language",
    "timezone",
    "models",
    "providers",
    "mcp",
    "prometheus",
    "triage",
    "channels",
    "routes",
    "maintenance",
    "retention",
    "prompts",
    "templates",
    "alertmanager",
];

/// Everything an operator says. Secrets stay in `SecretString`, so that printing this shows none.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
pub struct Config {
    /// Where alerts come in.
    pub server: Server,
    /// Where alerts are kept: `sqlite:PATH`, made when missing, or `postgres://user:pass@host/database`, which several
    /// instances may share.
    #[schemars(with = "String", extend("default" = DEFAULT_STORE))]
    pub store: secrecy::SecretString,
    /// The language people read.
    pub language: Lang,
    /// IANA name of the zone in which people read times. Left out: the machine's, which containers set by `TZ`.
    pub timezone: String,
    /// Language models with an OpenAI-compatible interface, tried in order; none at all leaves the playbook alone.
    pub models: Vec<ModelConfig>,
    /// A folder of files like those of `config/providers`: a file adds a provider, or replaces the built-in one it names.
    pub providers: Option<PathBuf>,
    /// MCP servers through which the cluster is looked at; a tool that two offer belongs to the first.
    pub mcp: Vec<McpSettings>,
    /// A Prometheus: alerts' expressions are evaluated around the moment they fired, and a model may ask further.
    pub prometheus: Option<PrometheusSettings>,
    /// Bounds of an investigation; all of them always hold.
    pub triage: TriageSettings,
    /// Where people are told. Each has a `type` and the keys of that type.
    pub channels: Vec<ChannelSettings>,
    /// Who is told of what: the first entry that matches decides; what none matches goes to every channel.
    pub routes: Vec<Route>,
    /// Times in which somebody works on something: its alerts wait for the end.
    pub maintenance: Vec<Maintenance>,
    /// How long incidents are kept after they are over.
    pub retention: Retention,
    /// A folder of prompts that replace the built-in ones, file by file.
    pub prompts: Option<PathBuf>,
    /// A folder of templates that lay parts of messages out anew, per channel and language; see docs/templates.md. A
    /// template that is broken is said, and the built-in layout is used.
    pub templates: Option<PathBuf>,
    /// The Alertmanager whose pages messages link to.
    pub alertmanager: Option<AlertmanagerLink>,
    /// Files that secrets are taken from.
    #[schemars(skip)]
    pub secret_files: Vec<PathBuf>,
    /// What works but is probably not meant, one sentence each, for the log and for `firstlook check`.
    #[schemars(skip)]
    pub warnings: Vec<String>,
}

/// The Alertmanager that people use.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerLink {
    /// Its address as people reach it. Silence links lead there, never to an address a payload claims.
    pub url: String,
}

/// Reads a configuration file, taking variables from the environment.
///
/// # Errors
/// When the file cannot be read, or with everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    parse(&text, &Sources { variable: &|name| std::env::var(name).ok(), folder })
        .map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
}

fn parse(text: &str, sources: &Sources<'_>) -> Result<Config, Vec<Problem>> {
    let mut tree = Node::parse(text).map_err(|problem| vec![problem])?;
    let found = Found::default();
    let mut secret_files = Vec::new();
    tree.each_text("", &mut |path, line, text| {
        secret_files.extend(sources.files_of(text));
        match sources.expand(text) {
            Ok(expanded) => *text = expanded,
            Err(message) => found.borrow_mut().push(Problem::new(line, path, message)),
        }
    });
    let mut config = read(&Reader::top(&tree, KEYS, &found));
    let mut problems = found.into_inner();
    if problems.is_empty() {
        let mut complaints = check::problems(&config);
        find_profiles(&mut config, &sources.folder, &mut complaints);
        problems = complaints.into_iter().map(|(path, what)| Problem::new(tree.line_of(&path), path, what)).collect();
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.line);
        return Err(problems);
    }
    config.templates = config.templates.map(|own| sources.folder.join(own));
    config.warnings = check::warnings(&config);
    config.secret_files = secret_files;
    Ok(config)
}

fn read(top: &Reader<'_>) -> Config {
    Config {
        server: top.section("server"),
        store: top.section::<Option<String>>("store").unwrap_or_else(|| DEFAULT_STORE.to_owned()).into(),
        language: top.section("language"),
        timezone: top.section::<Option<String>>("timezone").unwrap_or_else(system_timezone),
        models: top.list("models"),
        providers: top.section("providers"),
        mcp: top.list("mcp"),
        triage: top.section("triage"),
        channels: top.list("channels"),
        routes: top.list("routes"),
        maintenance: top.list("maintenance"),
        retention: top.section("retention"),
        prompts: top.section("prompts"),
        templates: top.section("templates"),
        alertmanager: top.section("alertmanager"),
        prometheus: top.section("prometheus"),
        secret_files: Vec::new(),
        warnings: Vec::new(),
    }
}

/// Finds out how each model wants to be spoken to, among the built-in providers and the operator's own.
fn find_profiles(config: &mut Config, folder: &Path, complaints: &mut Vec<(String, String)>) {
    let built_in = Catalogue::built_in();
    let catalogue = match &config.providers {
        Some(own) => built_in.and_then(|known| known.with_folder(&folder.join(own))),
        None => built_in,
    };
    let catalogue = match catalogue {
        Ok(catalogue) => catalogue,
        Err(error) => return complaints.push(("providers".to_owned(), error.to_string())),
    };
    for (index, model) in config.models.iter_mut().enumerate() {
        match catalogue.profile(model) {
            Ok(profile) => {
                complaints.extend(check::thinking(index, model, &profile));
                model.profile = Some(Arc::new(profile));
            }
            Err(_) => {
                let given = model.provider.as_deref().unwrap_or_default();
                let what = problem::not_one_of("provider", given, &catalogue.names());
                complaints.push((format!("models[{index}].provider"), what));
            }
        }
    }
    complaints.extend(check::currencies(config));
}

/// The machine's zone, which containers set by `TZ`; UTC when it has none.
fn system_timezone() -> String {
    jiff::tz::TimeZone::system().iana_name().unwrap_or("UTC").to_owned()
}

impl Default for Config {
    /// What an empty file says.
    fn default() -> Self {
        let nothing = Node { line: 1, value: node::Value::Null };
        read(&Reader::top(&nothing, KEYS, &Found::default()))
    }
}

#[cfg(test)]
mod tests;
