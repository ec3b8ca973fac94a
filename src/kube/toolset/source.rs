//! Where the cluster is: the Pod's own, a kubeconfig's, or a served snapshot.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::kube::config::{KubeConfigOptions, Kubeconfig};
use ::kube::{Client, Config};
use thiserror::Error;

use super::cluster::Cluster;

/// Preparing a connection may run a login helper; start-up waits no longer than this for it.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(5);
/// A host that does not take a connection by then is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Which cluster to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterSource {
    /// The cluster this process runs in, by its service account.
    InCluster,
    /// A kubeconfig.
    Kubeconfig {
        /// The file; `KUBECONFIG` or `~/.kube/config` when none.
        path: Option<PathBuf>,
        /// The context; the file's current one when none.
        context: Option<String>,
    },
    /// A snapshot served at this address.
    Snapshot(SocketAddr),
}

/// Why there is no connection to a cluster.
#[derive(Debug, Error)]
pub enum KubeError {
    /// Not running in a Pod, or without a service account token.
    #[error(
        "cannot use the in-cluster configuration: {why}; run inside a Pod with a mounted service account token, or name a \
         kubeconfig"
    )]
    InCluster {
        /// What is missing.
        why: String,
    },
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig {file}: {why}; check the file and its current context")]
    Kubeconfig {
        /// The file, or where it is looked for.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The credentials cannot be prepared.
    #[error("cannot prepare the connection to the cluster: {why}; check certificates, tokens and login helpers")]
    Credentials {
        /// What went wrong.
        why: String,
    },
    /// The cluster does not answer as it should.
    #[error("{why}")]
    Unanswered {
        /// What it said, or that it said nothing.
        why: String,
    },
}

impl ClusterSource {
    /// A connection to the cluster, without asking it anything.
    pub(super) async fn open(self) -> Result<Cluster, KubeError> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // `Cluster` asks again, within the time of one read.
        config.default_retry = false;
        let url = &config.cluster_url;
        // Without the user and password a URL may carry.
        let address = format!(
            "{}://{}{}",
            url.scheme_str().unwrap_or("https"),
            url.host().unwrap_or_default(),
            url.port().map_or_else(String::new, |port| format!(":{port}"))
        );
        // Login helpers run while the client is built, and they may hang.
        let built = tokio::task::spawn_blocking(move || Client::try_from(config));
        let why = match tokio::time::timeout(PREPARE_TIMEOUT, built).await {
            Ok(Ok(Ok(client))) => return Ok(Cluster::new(client, address)),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no login within {} s", PREPARE_TIMEOUT.as_secs()),
        };
        Err(KubeError::Credentials { why })
    }

    async fn config(self) -> Result<Config, KubeError> {
        match self {
            Self::InCluster => Config::incluster().map_err(|error| KubeError::InCluster { why: error.to_string() }),
            Self::Kubeconfig { path, context } => {
                let file = path
                    .as_ref()
                    .map_or_else(|| "of KUBECONFIG or ~/.kube/config".to_owned(), |path| path.display().to_string());
                from_kubeconfig(path, context).await.map_err(|why| KubeError::Kubeconfig { file, why })
            }
            Self::Snapshot(address) => {
                let url = format!("http://{address}").parse::<http::Uri>();
                let mut config =
                    url.map(Config::new).map_err(|error| KubeError::Unanswered { why: error.to_string() })?;
                // It speaks plain HTTP on loopback: no need to look for the machine's certificates, which may have none.
                config.root_cert = Some(Vec::new());
                Ok(config)
            }
        }
    }
}

async fn from_kubeconfig(path: Option<PathBuf>, context: Option<String>) -> Result<Config, String> {
    let read = path.map_or_else(Kubeconfig::read, Kubeconfig::read_from);
    let kubeconfig = read.map_err(|error| error.to_string())?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| error.to_string())
}
