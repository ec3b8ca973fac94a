//! `firstlook triage`: the report of one webhook body, printed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::{CliError, ReportFormat};
use crate::agent::Budget;
use crate::alert::{AlertGroup, Lang};
use crate::config::{self, Config};
use crate::intake::{self, Limits};
use crate::markdown;
use crate::model::{DailyLimits, ModelConfig, Tape};
use crate::prometheus::PrometheusSettings;
use crate::telemetry::{Metrics, progress};
use crate::toolbox::config::{McpSettings, Transport};
use crate::triage::{Triage, TriageConfig};

/// Where pages would be without a configuration: a message is shown with all the links it can have.
const EXAMPLE: &str = "https://firstlook.example.com";

/// Arguments of `triage`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file: its models, MCP servers and language.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Look at this scenario directory instead of a cluster.
    #[arg(long)]
    snapshot: Option<PathBuf>,
    /// Language of the report.
    #[arg(long)]
    lang: Option<Lang>,
    /// How to print it.
    #[arg(long, value_enum, default_value = "markdown")]
    output: ReportFormat,
    /// A file with the webhook's body, or `-` for standard input.
    alert: PathBuf,
}

/// Prints the report.
pub(super) async fn run(arguments: Arguments) -> Result<(), CliError> {
    let group = read_alert(&arguments.alert)?;
    let setup = Setup::load(arguments.config.as_deref(), arguments.lang)?;
    let mcp = match &arguments.snapshot {
        Some(dir) => vec![snapshot_server(dir)],
        None if setup.mcp.is_empty() => vec![in_cluster()],
        None => setup.mcp.clone(),
    };
    let triage = setup.triage(&setup.models, &mcp, None)?;
    super::stage(setup.lang.pick("查看集群", "looking at the cluster"));
    let (report, _) = triage.run(&group).await;
    progress::clear();
    match arguments.output {
        ReportFormat::Json => println!("{}", serde_json::to_string_pretty(&report).map_err(CliError::failed)?),
        ReportFormat::Markdown => println!("{}", markdown::report(&report, setup.lang, &setup.timezone)),
    }
    Ok(())
}

/// The alert group of a webhook body in a file.
pub(super) fn read_alert(path: &Path) -> Result<AlertGroup, CliError> {
    let body = if path == Path::new("-") {
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body).map(|_| body)
    } else {
        std::fs::read(path)
    };
    let body = body.map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?;
    intake::alertmanager::parse(&body, &Limits::default())
        .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}

/// What the commands without a service take from a configuration, or from defaults.
pub(super) struct Setup {
    /// Models, in order.
    pub(super) models: Vec<ModelConfig>,
    /// MCP servers.
    pub(super) mcp: Vec<McpSettings>,
    /// What a loop may spend.
    pub(super) budget: Budget,
    /// Language of reports.
    pub(super) lang: Lang,
    /// IANA name of the zone to show times in.
    pub(super) timezone: String,
    /// Where our pages are, so that a message leads to one.
    pub(super) public_url: Option<String>,
    /// Where people reach Alertmanager.
    pub(super) alertmanager_url: Option<String>,
    cluster_label: String,
    prompts: Option<PathBuf>,
    prometheus: Option<PrometheusSettings>,
}

impl Setup {
    /// Reads the configuration, when there is one. A language asked for on the command line comes first.
    pub(super) fn load(path: Option<&Path>, lang: Option<Lang>) -> Result<Self, CliError> {
        let Some(path) = path else {
            return Ok(Self {
                models: Vec::new(),
                mcp: Vec::new(),
                budget: Budget::default(),
                lang: super::language(lang),
                timezone: Config::default().timezone,
                public_url: Some(EXAMPLE.to_owned()),
                alertmanager_url: None,
                cluster_label: Config::default().triage.cluster_label,
                prompts: None,
                prometheus: None,
            });
        };
        let config = config::load(path).map_err(CliError::usage)?;
        Ok(Self {
            lang: lang.unwrap_or(config.language),
            budget: config.triage.budget(),
            timezone: config.timezone,
            public_url: config.server.public_url.map(|url| url.trim_end_matches('/').to_owned()),
            alertmanager_url: config.alertmanager.map(|link| link.url),
            cluster_label: config.triage.cluster_label,
            models: config.models,
            mcp: config.mcp,
            prompts: config.prompts,
            prometheus: config.prometheus,
        })
    }

    /// Triage over these models and servers, recorded on a tape or played from it where there is one.
    pub(super) fn triage(
        &self,
        models: &[ModelConfig],
        mcp: &[McpSettings],
        tape: Option<Arc<Tape>>,
    ) -> Result<Triage, CliError> {
        let config = TriageConfig {
            models,
            mcp,
            cluster_label: &self.cluster_label,
            prometheus: self.prometheus.as_ref(),
            budget: self.budget.clone(),
            lang: self.lang,
            prompts: self.prompts.as_deref(),
            // One command is no day's work.
            daily: DailyLimits::default(),
            timezone: &self.timezone,
            metrics: Arc::new(Metrics::new()),
            tape,
        };
        Triage::new(&config).map_err(CliError::usage)
    }
}

/// The built-in toolset over a scenario directory.
pub(super) fn snapshot_server(dir: &Path) -> McpSettings {
    McpSettings { snapshot: Some(dir.to_owned()), ..in_cluster() }
}

fn in_cluster() -> McpSettings {
    McpSettings {
        name: "kubernetes".to_owned(),
        clusters: Vec::new(),
        transport: Transport::Builtin,
        url: None,
        headers: Default::default(),
        kubeconfig: None,
        context: None,
        snapshot: None,
        command: Vec::new(),
    }
}
