//! A configuration that changes under a running service: on SIGHUP, and when a file a secret is taken from holds another one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::CliError;
use crate::config::{self, Config};
use crate::telemetry::Metrics;

/// How often secret files are looked at. They are small and few; a mounted Secret changes within a minute anyway.
const LOOK: Duration = Duration::from_secs(5);

/// How long a right configuration waits that could not be served, as while its database is away.
const POSTPONED: Duration = Duration::from_secs(10);

/// Waits for configurations.
pub(super) struct Reloader {
    path: PathBuf,
    hangups: Signal,
    secrets: Vec<Secret>,
    metrics: Arc<Metrics>,
    postponed: Option<Config>,
}

/// A file and what it held.
type Secret = (PathBuf, Option<[u8; 32]>);

impl Reloader {
    /// Follows the file that a configuration was read from.
    pub(super) fn of(path: &Path, config: &Config, metrics: Arc<Metrics>) -> Result<Self, CliError> {
        let hangups = signal(SignalKind::hangup()).map_err(CliError::failed)?;
        Ok(Self { path: path.to_owned(), hangups, secrets: read(&config.secret_files), metrics, postponed: None })
    }

    /// The next configuration that can be used. One that cannot is said and counted, and the present one goes on.
    pub(super) async fn next(&mut self) -> Config {
        loop {
            let why = tokio::select! {
                _ = self.hangups.recv() => "SIGHUP",
                () = changed(&self.secrets) => "a secret file changed",
                Some(config) = later(&mut self.postponed) => return config,
            };
            self.postponed = None;
            match config::load(&self.path) {
                Ok(config) => {
                    tracing::info!(why, "the configuration was read again");
                    self.secrets = read(&config.secret_files);
                    return config;
                }
                Err(error) => {
                    self.secrets = self.secrets.iter().map(|(path, _)| (path.clone(), hash(path))).collect();
                    self.refused(&error.to_string());
                }
            }
        }
    }

    /// Notes that a configuration is not used.
    fn refused(&self, error: &str) {
        self.metrics.config_read(false);
        tracing::error!(error, "the new configuration is not used; the one before it goes on");
    }

    /// Notes that a configuration cannot be served now. It comes again, unless another comes before.
    pub(super) fn postpone(&mut self, config: Config, error: &str) {
        self.refused(error);
        self.postponed = Some(config);
    }

    /// Notes that one is in use.
    pub(super) fn used(&self) {
        self.metrics.config_read(true);
    }
}

/// What was postponed, when its time has come.
async fn later(postponed: &mut Option<Config>) -> Option<Config> {
    if postponed.is_some() {
        tokio::time::sleep(POSTPONED).await;
    }
    postponed.take()
}

fn read(files: &[PathBuf]) -> Vec<Secret> {
    files.iter().map(|path| (path.clone(), hash(path))).collect()
}

fn hash(path: &Path) -> Option<[u8; 32]> {
    std::fs::read(path).ok().map(|bytes| Sha256::digest(bytes).into())
}

/// Ends when a file holds something else. One that is gone for a moment, as while it is replaced, has not changed.
async fn changed(secrets: &[Secret]) {
    loop {
        tokio::time::sleep(LOOK).await;
        let differs = |(path, before): &Secret| hash(path).is_some_and(|now| Some(now) != *before);
        if secrets.iter().any(differs) {
            return;
        }
    }
}
