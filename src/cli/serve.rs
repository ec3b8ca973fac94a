//! `firstlook serve`: the service, until it is told to stop.

use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::CliError;
use super::reload::Reloader;
use super::service::Service;
use crate::config::{self, Config};
use crate::telemetry::Metrics;

/// Serves the configuration until SIGTERM or Ctrl-C, and the next one when it changes.
pub(super) async fn run(path: &Path) -> Result<(), CliError> {
    let mut config = load(path)?;
    let metrics = Arc::new(Metrics::new());
    let mut service = Service::build(config.clone(), metrics.clone()).await?;
    let mut reloader = Reloader::of(path, &config, metrics.clone())?;
    reloader.used();
    let listener = bind(&config).await?;
    let stop = CancellationToken::new();
    tokio::spawn(signals(stop.clone()));
    let address = listener.local_addr().map_err(CliError::failed)?;
    tracing::info!(listen.address = %address, "firstlook serves; point Alertmanager at /webhooks/alertmanager");
    loop {
        let turn = stop.child_token();
        let mut running = Box::pin(service.run(again(&listener)?, turn.clone()));
        let next = tokio::select! {
            ended = &mut running => return ended,
            next = reloader.next() => next,
        };
        // Connections that come meanwhile wait in the listener's queue, which stays open.
        turn.cancel();
        running.await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        (service, config) = follow(config, next, &reloader, &metrics).await?;
    }
}

/// The service of the next configuration, or of the one before where the next cannot be served.
async fn follow(
    before: Config,
    next: Config,
    reloader: &Reloader,
    metrics: &Arc<Metrics>,
) -> Result<(Service, Config), CliError> {
    if next.server.listen != before.server.listen {
        tracing::warn!("server.listen is another now, which takes effect at the next start");
    }
    match Service::build(next.clone(), metrics.clone()).await {
        Ok(service) => {
            reloader.used();
            Ok((service, next))
        }
        Err(error) => {
            reloader.refused(&error.to_string());
            Ok((Service::build(before.clone(), metrics.clone()).await?, before))
        }
    }
}

fn load(path: &Path) -> Result<Config, CliError> {
    let config = config::load(path).map_err(CliError::usage)?;
    for warning in &config.warnings {
        tracing::warn!("{}: {warning}", path.display());
    }
    Ok(config)
}

async fn bind(config: &Config) -> Result<std::net::TcpListener, CliError> {
    let listen = config.server.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        CliError::Failed(format!(
            "cannot listen on {listen}: {error}; choose another server.listen or stop what uses it"
        ))
    })?;
    listener.into_std().map_err(CliError::failed)
}

/// Another handle of the same listener.
fn again(listener: &std::net::TcpListener) -> Result<TcpListener, CliError> {
    listener.try_clone().and_then(TcpListener::from_std).map_err(CliError::failed)
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
