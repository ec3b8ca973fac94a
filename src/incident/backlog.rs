//! How many messages wait to be delivered: nothing that needs another one is taken beyond the limit, so that a storm no
//! channel can swallow fills neither disk nor memory. Its sender keeps it and comes again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::{StoreError, Tx};

/// How long a count is believed. Counting all of a storm's messages for each delivery would slow the storm's intake.
const FRESH: Duration = Duration::from_secs(1);

/// What waits, counted now and then and added up between.
#[derive(Debug, Default)]
pub(super) struct Backlog(Mutex<Option<Counted>>);

#[derive(Debug, Clone, Copy)]
struct Counted {
    at: Instant,
    waiting: u64,
}

impl Backlog {
    /// Room for another message.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there is none; else when the store fails.
    pub(super) async fn room(&self, tx: &mut Tx<'_>, limit: u64) -> Result<(), StoreError> {
        if limit == 0 {
            return Ok(());
        }
        let known = (*self.counted()).filter(|counted| counted.at.elapsed() < FRESH);
        let waiting = match known {
            Some(counted) => counted.waiting,
            None => {
                let waiting = tx.all_waiting().await?;
                *self.counted() = Some(Counted { at: Instant::now(), waiting });
                waiting
            }
        };
        if waiting < limit { Ok(()) } else { Err(StoreError::Full { waiting }) }
    }

    /// Notes messages that were written since the last count.
    pub(super) fn grew(&self, messages: usize) {
        if let Some(counted) = self.counted().as_mut() {
            counted.waiting = counted.waiting.saturating_add(messages as u64);
        }
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, Option<Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
