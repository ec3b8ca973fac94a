//! What triage is set up from, and why it cannot be.

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use thiserror::Error;

use super::prompt::PromptError;
use crate::agent::{Budget, SchemaError};
use crate::alert::Lang;
use crate::model::{Client, DailyLimits, Ledger, ModelConfig, ModelError, Roster, Tape};
use crate::prometheus::{PrometheusError, PrometheusSettings};
use crate::telemetry::Metrics;
use crate::toolbox::Toolbox;
use crate::toolbox::config::McpSettings;
use crate::toolbox::server::ServerError;

/// Why triage cannot be set up.
#[derive(Debug, Error)]
pub enum TriageError {
    /// An MCP server's settings.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The settings of Prometheus.
    #[error(transparent)]
    Prometheus(#[from] PrometheusError),
    /// A model's settings.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A prompt.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The answer's schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// What triage is set up from.
pub struct TriageConfig<'a> {
    /// The models, in the order they are tried.
    pub models: &'a [ModelConfig],
    /// The MCP servers.
    pub mcp: &'a [McpSettings],
    /// The label by which alerts name their cluster.
    pub cluster_label: &'a str,
    /// Where measurements are asked for.
    pub prometheus: Option<&'a PrometheusSettings>,
    /// What the loop may spend.
    pub budget: Budget,
    /// Language of reports and prompts.
    pub lang: Lang,
    /// A directory whose prompts replace the built-in ones.
    pub prompts: Option<&'a Path>,
    /// What all models together may use up in a day.
    pub daily: DailyLimits,
    /// IANA name of the zone at whose midnight a day ends; UTC when it is not known.
    pub timezone: &'a str,
    /// Counts tool calls and questions to models.
    pub metrics: Arc<Metrics>,
    /// Where the models' exchanges are recorded or played from; a tape holds one run.
    pub tape: Option<Arc<Tape>>,
}

/// The servers tools are called at. Nothing is dialled.
pub(super) fn toolbox(config: &TriageConfig<'_>) -> Result<Toolbox, TriageError> {
    let toolbox = Toolbox::new(config.mcp, config.metrics.clone())?;
    Ok(match config.prometheus {
        Some(settings) => toolbox.with_prometheus(settings)?,
        None => toolbox,
    })
}

/// The models with what all runs know of them. Nothing is dialled.
pub(super) fn roster(config: &TriageConfig<'_>) -> Result<Roster<Client>, ModelError> {
    let client = |model: &ModelConfig| Ok((Client::taped(model.clone(), config.tape.clone())?, model.daily));
    let clients = config.models.iter().map(client).collect::<Result<Vec<_>, ModelError>>()?;
    let zone = TimeZone::get(config.timezone).unwrap_or(TimeZone::UTC);
    Ok(Roster::new(clients, Ledger::new(zone), config.daily, config.metrics.clone()))
}
