//! The slot: keeps one live session per server, dials once for everyone who waits, and remembers a failure for a while.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::error::ServerError;
use super::recipe::Recipe;
use super::session::Session;

/// The handshake and the tool list together may take this long.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// So long after a failed dial everyone gets its error at once instead of dialling again.
const FAILURE_KEPT: Duration = Duration::from_secs(5);
/// So long a dial after a failed one is waited for; it goes on without those who wait.
const WAIT_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A server that worked a moment ago is restarting more often than gone: so long it is dialled again and again.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two of these dials.
const PAUSE: Duration = Duration::from_millis(100);

type Outcome = Result<Arc<Session>, Failed>;

/// A dial's error and when it came.
#[derive(Clone)]
struct Failed {
    error: ServerError,
    at: Instant,
}

/// The latest dial, under way or done, shared by everyone who needs a session.
#[derive(Default)]
pub(super) struct Slot {
    latest: Mutex<Option<Dial>>,
}

#[derive(Clone)]
struct Dial {
    outcome: Shared<BoxFuture<'static, Outcome>>,
    /// The error of the dial before it, when that failed.
    before: Option<ServerError>,
}

impl Slot {
    /// The live session, dialling when there is none.
    pub(super) async fn session(&self, name: &str, recipe: &Arc<Recipe>) -> Result<Arc<Session>, ServerError> {
        let Dial { outcome, before } = self.dial(name, recipe)?;
        let outcome = match before {
            None => outcome.await,
            Some(error) => match tokio::time::timeout(WAIT_AFTER_FAILURE, outcome).await {
                Ok(outcome) => outcome,
                Err(_) => return Err(error),
            },
        };
        outcome.map_err(|failed| failed.error)
    }

    /// Finds out in the background whether the server still answers, after a call that got no answer in time.
    pub(super) fn doubt(&self) {
        let Some(Ok(session)) = self.latest().as_ref().and_then(|dial| dial.outcome.peek().cloned()) else { return };
        tokio::spawn(async move { session.check().await });
    }

    /// The dial to wait for, begun here unless there is one; an error when the last one failed just now.
    fn dial(&self, name: &str, recipe: &Arc<Recipe>) -> Result<Dial, ServerError> {
        let mut latest = self.latest();
        let (patience, before) = match latest.as_ref().map(|dial| (dial, dial.outcome.peek())) {
            None => (Duration::ZERO, None),
            Some((dial, None)) => return Ok(dial.clone()),
            Some((dial, Some(Ok(session)))) if session.is_usable() => return Ok(dial.clone()),
            Some((_, Some(Ok(_)))) => (PATIENCE, None),
            Some((_, Some(Err(failed)))) if failed.at.elapsed() < FAILURE_KEPT => return Err(failed.error.clone()),
            Some((_, Some(Err(failed)))) => (Duration::ZERO, Some(failed.error.clone())),
        };
        let dial = Dial { outcome: begin(name.to_owned(), recipe.clone(), patience), before };
        Ok(latest.insert(dial).clone())
    }

    fn latest(&self) -> MutexGuard<'_, Option<Dial>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins a dial that goes on whoever stops waiting for it.
fn begin(name: String, recipe: Arc<Recipe>, patience: Duration) -> Shared<BoxFuture<'static, Outcome>> {
    let outcome = async move {
        // A panic would be everyone's who asks again; as an error it is over in a while.
        let outcome = AssertUnwindSafe(dial(name.clone(), &recipe, patience)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| {
            Err(ServerError::Unreachable { name, problem: "dialling broke off, see the log".to_owned() })
        });
        outcome.map(Arc::new).map_err(|error| Failed { error, at: Instant::now() })
    };
    let outcome = outcome.boxed().shared();
    tokio::spawn(outcome.clone());
    outcome
}

async fn dial(name: String, recipe: &Recipe, patience: Duration) -> Result<Session, ServerError> {
    let started = Instant::now();
    loop {
        let error = match tokio::time::timeout(DIAL_LIMIT, recipe.open()).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(problem)) => ServerError::Unreachable { name: name.clone(), problem },
            Err(_) => return Err(ServerError::TimedOut { name, limit: DIAL_LIMIT }),
        };
        if started.elapsed() >= patience {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
