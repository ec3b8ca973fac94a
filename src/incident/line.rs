//! The line before the desk: deliveries that wait together for SQLite's one writer share a transaction.
//!
//! Making a commit durable costs more than everything written in it, and while one is under way the next deliveries
//! gather. Under a storm a commit so holds dozens of them; a lone delivery waits for nobody.
//!
//! Architecture invariant: a sender is answered after the commit that holds its delivery, and a delivery that cannot be
//! kept fails alone.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::desk::{Desk, Receipt};
use crate::alert::AlertGroup;
use crate::failpoint;
use crate::store::{StoreError, Tx};

/// Deliveries in one transaction: about 10 ms of writing, which is what everybody else then waits for the writer.
const MOST: usize = 64;
/// Two deliveries of one group at the same moment, on PostgreSQL: the second sees what the first did when it tries again.
const CONFLICT_TRIES: u32 = 4;

/// Where deliveries wait. The lock is the turn: who holds it serves all that wait, its own among them.
pub(super) struct Line {
    joining: mpsc::UnboundedSender<Waiting>,
    waiting: Mutex<mpsc::UnboundedReceiver<Waiting>>,
}

struct Waiting {
    group: AlertGroup,
    answer: oneshot::Sender<Result<Receipt, Arc<StoreError>>>,
}

impl Default for Line {
    fn default() -> Self {
        let (joining, waiting) = mpsc::unbounded_channel();
        Self { joining, waiting: Mutex::new(waiting) }
    }
}

impl Line {
    /// Takes a delivery, together with those that wait beside it. PostgreSQL writes many at once, so none waits there.
    pub(super) async fn receive(self: &Arc<Self>, desk: &Desk, group: AlertGroup) -> Result<Receipt, Arc<StoreError>> {
        if !desk.store().has_one_writer() {
            return alone(desk, &group).await.map_err(Arc::new);
        }
        let (answer, answered) = oneshot::channel();
        // The other end is in `self`, so it is there.
        let _ = self.joining.send(Waiting { group, answer });
        // A task of its own: a sender that hangs up does not take along those it was about to serve.
        let (line, desk) = (self.clone(), desk.clone());
        tokio::spawn(async move { line.serve(&desk).await });
        answered.await.unwrap_or_else(|_| Err(Arc::new(StoreError::Overlooked)))
    }

    /// Serves those who wait now, unless somebody did so while this one waited for its turn.
    async fn serve(&self, desk: &Desk) {
        let mut line = self.waiting.lock().await;
        if line.is_empty() {
            return;
        }
        let begun = desk.store().begin().await;
        // Those who came while the store was busy with others go along.
        let mut batch = Vec::new();
        while batch.len() < MOST
            && let Ok(next) = line.try_recv()
        {
            batch.push(next);
        }
        match begun {
            Ok(tx) => together(desk, tx, batch).await,
            Err(error) => {
                let error = Arc::new(error);
                batch.into_iter().for_each(|waiting| waiting.tell(Err(error.clone())));
            }
        }
    }
}

impl Waiting {
    /// A sender that hung up meanwhile hears nothing, and comes again.
    fn tell(self, outcome: Result<Receipt, Arc<StoreError>>) {
        let _ = self.answer.send(outcome);
    }
}

/// Keeps a batch in one transaction. What fails together is tried one by one.
async fn together(desk: &Desk, tx: Tx<'_>, batch: Vec<Waiting>) {
    let groups: Vec<&AlertGroup> = batch.iter().map(|waiting| &waiting.group).collect();
    match keep(desk, tx, &groups).await {
        Ok(receipts) => {
            for (waiting, receipt) in batch.into_iter().zip(receipts) {
                waiting.tell(Ok(receipt));
            }
        }
        Err(error) => {
            tracing::debug!(%error, deliveries = batch.len(), "a batch failed, its deliveries are taken one by one");
            for waiting in batch {
                let outcome = alone(desk, &waiting.group).await;
                waiting.tell(outcome.map_err(Arc::new));
            }
        }
    }
}

/// Keeps one delivery in a transaction of its own.
async fn alone(desk: &Desk, group: &AlertGroup) -> Result<Receipt, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match keep(desk, desk.store().begin().await?, &[group]).await {
            Err(StoreError::Conflict) if tries < CONFLICT_TRIES => tokio::time::sleep(Duration::from_millis(5)).await,
            outcome => return outcome?.pop().ok_or(StoreError::Overlooked),
        }
    }
}

/// Decides about deliveries in their order, each seeing what those before it did, and commits. A panic on one of them
/// counts as a failure: it must not reach the others.
async fn keep(desk: &Desk, mut tx: Tx<'_>, groups: &[&AlertGroup]) -> Result<Vec<Receipt>, StoreError> {
    let writing = async {
        let mut receipts = Vec::with_capacity(groups.len());
        for group in groups {
            receipts.push(desk.take(&mut tx, group).await?);
        }
        failpoint::pass("before-commit").await;
        tx.commit().await?;
        failpoint::pass("after-commit").await;
        Ok(receipts)
    };
    let receipts = AssertUnwindSafe(writing).catch_unwind().await.unwrap_or(Err(StoreError::Overlooked))?;
    for (group, receipt) in groups.iter().zip(&receipts) {
        desk.committed(group, receipt);
    }
    Ok(receipts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{DeskSettings, Wake};
    use crate::store::tests::fixtures::{group, on_every_engine, only_one_named};
    use crate::store::{Decision, Store};
    use crate::telemetry::Metrics;

    fn desk(store: &Store) -> Desk {
        let settings = DeskSettings { channels: vec!["oncall".into()], investigates: true, ..DeskSettings::default() };
        Desk::new(store.clone(), settings, Wake::default(), Arc::new(Metrics::new()))
    }

    /// An alert of a group of its own.
    fn numbered(number: usize) -> AlertGroup {
        AlertGroup { group_key: format!("group {number}"), ..group(&["api-1"]) }
    }

    fn named(name: &str, number: usize) -> AlertGroup {
        let mut named = numbered(number);
        named.alerts[0].labels.insert("alertname".into(), name.into());
        named
    }

    type Answer = Result<Receipt, Arc<StoreError>>;

    /// Sends all while another writer holds the store, so that they wait together, and lets them go.
    async fn sent_together(
        store: &Store,
        desk: &Desk,
        groups: Vec<AlertGroup>,
    ) -> Vec<tokio::task::JoinHandle<Answer>> {
        let busy = store.begin().await.unwrap();
        let senders = groups.into_iter().map(|group| {
            let desk = desk.clone();
            tokio::spawn(async move { desk.receive(group).await })
        });
        let senders = senders.collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(busy);
        senders
    }

    async fn answers(senders: Vec<tokio::task::JoinHandle<Answer>>) -> Vec<Answer> {
        futures::future::join_all(senders).await.into_iter().map(Result::unwrap).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn fifty_of_one_group_at_once_are_one_incident_and_each_sees_those_before_it() {
        on_every_engine(async |store| {
            let desk = desk(&store);
            let senders = (0..50).map(|_| {
                let desk = desk.clone();
                tokio::spawn(async move { desk.receive(group(&["api-1"])).await })
            });
            let receipts = answers(senders.collect()).await;
            let opened = |answer: &&Answer| answer.as_ref().unwrap().decision == Decision::Opened;
            assert_eq!(receipts.iter().filter(opened).count(), 1);
            let incidents = store.incidents(9, None, None).await.unwrap();
            assert_eq!(incidents.iter().map(|incident| incident.deliveries).collect::<Vec<_>>(), [50]);
            assert_eq!(store.counts().await.unwrap().deliveries[&Decision::Merged], 49);
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn deliveries_that_wait_together_are_committed_together() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}/test.db", directory.path().display())).await.unwrap();
        let senders = sent_together(&store, &desk(&store), (0..40).map(numbered).collect()).await;
        let mut seen = 0;
        while seen == 0 {
            seen = store.incidents(100, None, None).await.unwrap().len();
        }
        assert_eq!(seen, 40, "the first commit that can be seen holds all of them");
        assert!(answers(senders).await.iter().all(Result::is_ok));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_delivery_that_cannot_be_kept_fails_alone() {
        on_every_engine(async |store| {
            only_one_named(&store, "Twin").await;
            let groups = vec![numbered(1), named("Twin", 2), numbered(3), named("Twin", 4), numbered(5)];
            let senders = sent_together(&store, &desk(&store), groups).await;
            let kept: Vec<bool> = answers(senders).await.iter().map(Result::is_ok).collect();
            assert_eq!((kept[0], kept[2], kept[4]), (true, true, true));
            assert!(kept[1] != kept[3], "the database takes one of the two");
            assert_eq!(store.incidents(9, None, None).await.unwrap().len(), 4);
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_sender_that_hangs_up_takes_nobody_along() {
        on_every_engine(async |store| {
            let busy = store.begin().await.unwrap();
            let desk = desk(&store);
            let mut senders = Vec::new();
            for number in 0..10 {
                let desk = desk.clone();
                senders.push(tokio::spawn(async move { desk.receive(numbered(number)).await }));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // The first one came first and serves all the others.
            senders.remove(0).abort();
            drop(busy);
            assert!(answers(senders).await.iter().all(Result::is_ok));
        })
        .await;
    }
}
