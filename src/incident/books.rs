//! The models' spending kept in step with the store, so that a day's limit holds over restarts and replicas.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::model::Ledger;
use crate::store::{Store, StoreError};
use crate::triage::Triage;

/// Carries what was spent to the store and brings back what all replicas spent.
#[derive(Clone)]
pub(super) struct Books {
    store: Store,
    triage: Arc<Triage>,
    /// One at a time: an older total must not take the place of a newer one.
    turn: Arc<Mutex<()>>,
}

impl Books {
    pub(super) fn new(store: Store, triage: Arc<Triage>) -> Self {
        Self { store, triage, turn: Arc::default() }
    }

    /// Brings back what all replicas spent, where a limit depends on it.
    pub(super) async fn look(&self) {
        if self.triage.ledger_is_limited() {
            self.settle().await;
        }
    }

    /// Carries what is spent to the store answer by answer: who is killed in the next turn has noted what this one cost.
    /// It stops between two answers, never between the store's word and the ledger's, which would count one twice.
    pub(super) async fn keep(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.triage.ledger().added() => self.settle().await,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Carries what was spent to the store and brings the day's total back. Failing is no reason to hold an incident
    /// up: it is carried the next time.
    pub(super) async fn settle(&self) {
        if !self.triage.has_model() {
            return;
        }
        let _turn = self.turn.lock().await;
        if let Err(error) = exchange(&self.store, self.triage.ledger()).await {
            tracing::warn!(%error, "could not keep what models spent; it is tried again with the next answer");
        }
    }
}

async fn exchange(store: &Store, ledger: &Ledger) -> Result<(), StoreError> {
    for (day, spent) in ledger.unsettled() {
        store.add_spending(day, &spent).await?;
        ledger.settled(day);
    }
    let today = ledger.today();
    ledger.learn(today, store.spending(today).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::model::TokenUsage;

    #[tokio::test]
    async fn two_processes_and_the_one_after_them_know_the_same_total() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}/a.db", directory.path().display())).await.unwrap();
        let ledgers = [(); 3].map(|()| Ledger::new(TimeZone::UTC));
        for ledger in &ledgers[..2] {
            ledger.add("fast", TokenUsage { prompt: 900, completion: 100 }, 0.5);
            exchange(&store, ledger).await.unwrap();
            exchange(&store, ledger).await.unwrap();
        }
        exchange(&store, &ledgers[0]).await.unwrap();
        exchange(&store, &ledgers[2]).await.unwrap();
        let totals = ledgers.each_ref().map(|ledger| (ledger.spent("fast").tokens(), ledger.spent("fast").cost));
        assert_eq!(totals, [(2000, 1.0); 3]);
    }

    #[tokio::test]
    async fn what_the_store_does_not_take_is_not_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}/a.db", directory.path().display())).await.unwrap();
        let ledger = Ledger::new(TimeZone::UTC);
        ledger.add("fast", TokenUsage { prompt: 900, completion: 100 }, 0.5);
        store.close().await;
        exchange(&store, &ledger).await.unwrap_err();
        assert_eq!(ledger.spent("fast").tokens(), 1000);
        assert_eq!(ledger.unsettled().len(), 1);
    }
}
