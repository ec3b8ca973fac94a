//! The recipe: everything needed to set up a server's connection, the first time and again.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::builtin;
use super::error::{DialError, ServerError};
use super::remote::Remote;
use super::session::{Connection, Session};
use super::stdio::Program;
use super::{http, sse};
use crate::kube::snapshot::Snapshot;
use crate::kube::toolset::ClusterSource;
use crate::prometheus::Client;
use crate::toolbox::config::{McpSettings, Transport};

/// How a server is reached.
pub(super) enum Recipe {
    Auto(Remote),
    Http(Remote),
    Sse(Remote),
    Stdio(Program),
    Builtin(ClusterSource),
    Snapshot(Arc<Snapshot>),
    Prometheus(Arc<Client>),
}

impl Recipe {
    /// Reads the settings; a snapshot is loaded, nothing is dialled.
    pub(super) fn new(settings: &McpSettings) -> Result<Self, ServerError> {
        let wrong = |problem: String| ServerError::Settings { name: settings.name.clone(), problem };
        if let Some((key, what)) = settings.contradiction() {
            return Err(wrong(format!("{key}: {what}")));
        }
        let remote = || Remote::new(settings).map_err(wrong);
        Ok(match settings.transport {
            Transport::Auto => Self::Auto(remote()?),
            Transport::Http => Self::Http(remote()?),
            Transport::Sse => Self::Sse(remote()?),
            Transport::Stdio => Self::Stdio(Program::new(&settings.command)),
            Transport::Builtin => match &settings.snapshot {
                Some(folder) => Self::Snapshot(load(folder).map_err(wrong)?),
                None => Self::Builtin(builtin::source(settings)),
            },
        })
    }

    /// The clock of a snapshot; none for anything alive.
    pub(super) fn frozen_clock(&self) -> Option<Timestamp> {
        match self {
            Self::Snapshot(snapshot) => Some(snapshot.now()),
            _ => None,
        }
    }

    /// Sets up the connection and asks for the tools.
    pub(super) async fn open(&self) -> Result<Session, String> {
        let connection = self.connect().await.map_err(|error| self.said(error.problem))?;
        Session::open(connection).await.map_err(|problem| self.said(problem))
    }

    /// What the server says, without the credentials it was sent.
    pub(super) fn said(&self, text: String) -> String {
        match self {
            Self::Auto(remote) | Self::Http(remote) | Self::Sse(remote) => remote.said(text),
            Self::Stdio(_) | Self::Builtin(_) | Self::Snapshot(_) | Self::Prometheus(_) => text,
        }
    }

    async fn connect(&self) -> Result<Connection, DialError> {
        match self {
            Self::Auto(remote) => whichever(remote).await,
            Self::Http(remote) => http::connect(remote).await,
            Self::Sse(remote) => sse::connect(remote, &remote.url).await,
            Self::Stdio(program) => program.start().await,
            Self::Builtin(source) => builtin::connect(source.clone()).await,
            Self::Snapshot(snapshot) => builtin::connect_snapshot(snapshot).await,
            Self::Prometheus(client) => builtin::connect_prometheus(client).await,
        }
    }
}

fn load(folder: &Path) -> Result<Arc<Snapshot>, String> {
    Snapshot::load(folder).map(Arc::new).map_err(|error| error.to_string())
}

/// Streamable HTTP, and where something answers that does not speak it, the transport before it.
async fn whichever(remote: &Remote) -> Result<Connection, DialError> {
    let refused = match http::connect(remote).await {
        Err(error) if error.speaks_otherwise => error,
        outcome => return outcome,
    };
    let older = remote.sse_url();
    let why = remote.said(refused.problem.clone());
    tracing::debug!(url = %remote.said(older.to_string()), why, "no streamable HTTP here, trying SSE");
    sse::connect(remote, &older).await.map_err(|error| DialError {
        problem: format!(
            "{} speaks neither streamable HTTP ({}) nor SSE at {} ({}); give the whole address, for \
             kubernetes-mcp-server http://HOST:8080/mcp",
            remote.url,
            refused.problem,
            older.path(),
            error.problem
        ),
        speaks_otherwise: true,
    })
}
