//! The built-in toolset behind a pipe: the same protocol as over a network, without one.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rmcp::ServiceExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::error::DialError;
use super::session::Connection;
use crate::kube::snapshot::Snapshot;
use crate::kube::toolset::{ClusterSource, Toolset};
use crate::prometheus::{self, Client};
use crate::toolbox::config::McpSettings;

/// The cluster of a kubeconfig, or the one this process runs in.
pub(super) fn source(settings: &McpSettings) -> ClusterSource {
    // Kubernetes sets this in every pod.
    let in_cluster = settings.kubeconfig.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if in_cluster {
        return ClusterSource::InCluster;
    }
    ClusterSource::Kubeconfig { path: settings.kubeconfig.clone(), context: settings.context.clone() }
}

/// Connects to a cluster.
pub(super) async fn connect(source: ClusterSource) -> Result<Connection, DialError> {
    let toolset = Toolset::connect(source).await.map_err(|error| DialError::new(&error))?;
    let service = ().serve(toolset.spawn()).await.map_err(|error| DialError::new(&error))?;
    Ok(service.into())
}

/// Connects to the tools of a Prometheus; nothing is dialled before the first question.
pub(super) async fn connect_prometheus(client: &Arc<Client>) -> Result<Connection, DialError> {
    let toolset = prometheus::Toolset::new(client.clone());
    let service = ().serve(toolset.spawn()).await.map_err(|error| DialError::new(&error))?;
    Ok(service.into())
}

/// Serves a snapshot for as long as the connection lives, and connects to it.
pub(super) async fn connect_snapshot(snapshot: &Arc<Snapshot>) -> Result<Connection, DialError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| DialError::new(&error))?;
    let address = listener.local_addr().map_err(|error| DialError::new(&error))?;
    let stop = CancellationToken::new();
    tokio::spawn(snapshot.clone().serve(listener, stop.clone()));
    let connection = connect(ClusterSource::Snapshot(address)).await?;
    Ok(Connection { _kept: Some(stop.drop_guard()), ..connection })
}
