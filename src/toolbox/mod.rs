//! The toolbox: the only way to a tool, and what every call passes through.
//!
//! A call goes down one path, whoever makes it (gather, or a model in the loop): allow-list and refusals (`policy`),
//! arguments against the schema (`schema`), the run's cache, the server with a time limit (`server`), redaction,
//! reduction (`reduce`), the size limit (`fit`), and at last the evidence log (`evidence`), whose text is what everyone sees.
//!
//! Architecture invariant: redaction sits in the only way out, so nothing a tool returned reaches a model, a card, the
//! store or a log without passing it. Architecture invariant: no tool that changes something is known here.

pub mod config;
pub mod events;
pub mod evidence;
pub mod fit;
pub mod large;
mod page;
mod policy;
pub mod probe;
pub mod reduce;
mod run;
mod schema;
pub mod server;
pub mod table;

pub use evidence::Recorded;
pub use run::{Limits, Run};

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use config::McpSettings;
use server::{Server, ServerError};

use crate::agent::tools::ToolSpec;
use crate::alert::Lang;
use crate::prometheus::{Client, PrometheusError, PrometheusSettings};
use crate::telemetry::Metrics;

/// The configured MCP servers.
pub struct Toolbox {
    servers: Vec<Arc<Server>>,
    metrics: Arc<Metrics>,
}

/// Why a server takes no part in a run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Absent {
    /// It could not be asked.
    #[error(transparent)]
    Away(#[from] ServerError),
    /// It answers, and has nothing to offer.
    #[error("{0} offers none of the tools that are used")]
    Useless(String),
}

impl Absent {
    /// The sentence in this language.
    #[must_use]
    pub fn told(&self, lang: Lang) -> String {
        match self {
            Self::Away(error) => error.told(lang),
            Self::Useless(name) => lang.pick(format!("MCP 服务 {name} 没有提供任何用得上的工具"), self.to_string()),
        }
    }
}

/// Which server answers which tool, as found when a run began.
#[derive(Default)]
pub struct Offer {
    tools: BTreeMap<String, (ToolSpec, Arc<Server>)>,
    /// Servers that could not be asked or offer nothing of use.
    pub gaps: Vec<Absent>,
    /// How many servers answered.
    answered: usize,
}

impl Toolbox {
    /// Reads the settings; nothing is dialled yet, so that a service starts while its servers are down.
    ///
    /// # Errors
    /// Settings that cannot work, or a snapshot that cannot be read.
    pub fn new(settings: &[McpSettings], metrics: Arc<Metrics>) -> Result<Self, ServerError> {
        let servers = settings.iter().map(|one| Server::new(one).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { servers, metrics })
    }

    /// Measurements too.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn with_prometheus(mut self, settings: &PrometheusSettings) -> Result<Self, PrometheusError> {
        self.servers.push(Arc::new(Server::prometheus(Arc::new(Client::new(settings)?))));
        Ok(self)
    }

    /// The present, as a cluster sees it. A snapshot's clock stands still; everything else lives in ours.
    #[must_use]
    pub fn now(&self, cluster: Option<&str>) -> Timestamp {
        let mut servers = self.servers.iter().filter(|server| server.sees(cluster));
        servers.find_map(|server| server.frozen_clock()).unwrap_or_else(Timestamp::now)
    }

    /// Whether nothing can be looked at: measurements alone are no look at the cluster.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.iter().all(|server| server.measures())
    }

    /// The servers, for checks and readiness.
    #[must_use]
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Whether any server looks at the cluster of this name.
    #[must_use]
    pub fn sees(&self, cluster: Option<&str>) -> bool {
        self.servers.iter().any(|server| !server.measures() && server.sees(cluster))
    }

    /// Whether what looks at one cluster looks at the other too.
    #[must_use]
    pub fn sees_the_same(&self, cluster: Option<&str>, other: &str) -> bool {
        self.servers.iter().all(|server| server.sees(cluster) == server.sees(Some(other)))
    }

    /// A run over what the servers of a cluster offer now.
    pub async fn run(&self, limits: Limits, cluster: Option<&str>) -> Run {
        Run::new(self.offer(cluster).await, limits, self.now(cluster), self.metrics.clone())
    }

    /// Asks a cluster's servers at once what they offer. A tool that two servers offer belongs to the first one
    /// configured.
    async fn offer(&self, cluster: Option<&str>) -> Offer {
        let servers: Vec<_> = self.servers.iter().filter(|server| server.sees(cluster)).collect();
        let answers = futures::future::join_all(servers.iter().map(|server| server.tool_names())).await;
        let mut offer = Offer::default();
        for (server, answer) in servers.into_iter().zip(answers) {
            match answer {
                Ok(names) => {
                    offer.answered += 1;
                    let known =
                        |name: &String| if server.measures() { policy::measuring(name) } else { policy::spec(name) };
                    let specs: Vec<ToolSpec> = names.iter().filter_map(known).collect();
                    if specs.is_empty() {
                        let useless = Absent::Useless(server.name().to_owned());
                        probe::note_useless(server.health(), &useless);
                        offer.gaps.push(useless);
                    }
                    for spec in specs {
                        offer.tools.entry(spec.name.clone()).or_insert_with(|| (spec, server.clone()));
                    }
                }
                Err(error) => {
                    probe::note(server.health(), &error, str::to_owned);
                    tracing::warn!(%error, "a server could not be asked");
                    offer.gaps.push(error.into());
                }
            }
        }
        offer
    }
}
