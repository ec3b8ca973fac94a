//! `firstlook serve`: the service, until it is told to stop.

use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::CliError;
use super::reload::Reloader;
use super::service::{self, Service};
use crate::config::{self, Config};
use crate::store::Store;
use crate::telemetry::Metrics;

/// Serves the configuration until SIGTERM or Ctrl-C, and the next one when it changes.
pub(super) async fn run(path: &Path) -> Result<(), CliError> {
    let mut config = load(path)?;
    let metrics = Arc::new(Metrics::new());
    let mut store = service::open(&config).await?;
    let mut service = Service::build(config.clone(), store.clone(), metrics.clone()).await?;
    let mut reloader = Reloader::of(path, &config, metrics.clone())?;
    reloader.used();
    let listener = bind(&config).await?;
    let stop = CancellationToken::new();
    tokio::spawn(signals(stop.clone()));
    let address = listener.local_addr().map_err(CliError::failed)?;
    tracing::info!(listen.address = %address, "firstlook serves; point Alertmanager at /webhooks/alertmanager");
    let mut leaving = JoinSet::new();
    loop {
        let turn = stop.child_token();
        let mut running = tokio::spawn(service.run(again(&listener)?, turn.clone()));
        let next = tokio::select! {
            ended = &mut running => return closed(ended, leaving, store).await,
            () = stop.cancelled() => {
                // With its last handle the door is shut: whoever comes now is refused at once, and goes to another replica
                // or comes again, instead of waiting in a line that nobody serves.
                drop(listener);
                return closed(running.await, leaving, store).await;
            }
            next = following(&mut reloader, &config, &store, &metrics) => next,
        };
        // The next one is at the door before this one leaves it: whatever holds this one up holds up no alert.
        turn.cancel();
        let left = (!next.store.is(&store)).then_some(store);
        leaving.spawn(async move {
            if let Err(error) = running.await {
                tracing::error!(%error, "the service of the configuration before did not end well");
            }
            if let Some(store) = left {
                store.close().await;
            }
        });
        Next { config, store, service } = next;
    }
}

/// After the last service: those before it have left too, and the store is whole.
async fn closed(ended: Result<(), JoinError>, mut leaving: JoinSet<()>, store: Store) -> Result<(), CliError> {
    while leaving.join_next().await.is_some() {}
    store.close().await;
    ended.map_err(CliError::failed)
}

/// What is served next.
struct Next {
    config: Config,
    store: Store,
    service: Service,
}

/// The next configuration that can be served, with its service over the same store where that is no other. One that cannot
/// be served is said, and the one before goes on without a pause.
async fn following(reloader: &mut Reloader, before: &Config, store: &Store, metrics: &Arc<Metrics>) -> Next {
    loop {
        let config = reloader.next().await;
        if config.server.listen != before.server.listen {
            tracing::warn!("server.listen is another now, which takes effect at the next start");
        }
        let address = config.store.expose_secret();
        let same = address == before.store.expose_secret() || store.is_file(address);
        let built = async {
            let store = if same { store.clone() } else { service::open(&config).await? };
            let service = Service::build(config.clone(), store.clone(), metrics.clone()).await?;
            Ok::<_, CliError>((store, service))
        };
        match built.await {
            Ok((store, service)) => {
                reloader.used();
                return Next { config, store, service };
            }
            Err(error) => reloader.postpone(config, &error.to_string()),
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
