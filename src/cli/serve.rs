//! `firstlook serve`: the service, until it is told to stop.

use std::path::Path;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::CliError;
use super::service::Service;
use crate::config;

/// Serves the configuration until SIGTERM or Ctrl-C.
pub(super) async fn run(path: &Path) -> Result<(), CliError> {
    let config = config::load(path).map_err(CliError::usage)?;
    for warning in &config.warnings {
        tracing::warn!("{}: {warning}", path.display());
    }
    let listen = config.server.listen;
    let service = Service::build(config).await?;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        CliError::Failed(format!(
            "cannot listen on {listen}: {error}; choose another server.listen or stop what uses it"
        ))
    })?;
    let stop = CancellationToken::new();
    tokio::spawn(signals(stop.clone()));
    let address = listener.local_addr().map_err(CliError::failed)?;
    tracing::info!(listen.address = %address, "firstlook serves; point Alertmanager at /webhooks/alertmanager");
    service.run(listener, stop).await
}

/// Cancels on SIGTERM or Ctrl-C; a second one ends the process at once.
async fn signals(stop: CancellationToken) {
    wait_for_signal().await;
    tracing::info!("stopping: requests and messages under way are finished, investigations are handed back");
    stop.cancel();
    wait_for_signal().await;
    std::process::exit(1);
}

async fn wait_for_signal() {
    let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
