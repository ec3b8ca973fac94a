//! What has had its time goes, what waits stays, and the contract's sum does not change.

use super::fixtures::*;
use crate::store::{Delivery, NoticeRole, Outcome, Store};
use uuid::Uuid;

async fn delivered(store: &Store, incident: Option<Uuid>, outcome: Outcome) {
    let delivery = Delivery { incident, outcome, ..delivery_of_three() };
    let mut tx = store.begin().await.unwrap();
    tx.record_delivery(&delivery).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn f50_what_is_over_goes_and_the_sum_stays() {
    on_every_engine(async |store| {
        let (old, young, open) = (opened(&store, "a").await, opened(&store, "b").await, opened(&store, "c").await);
        for (incident, outcome) in [(old, Outcome::Sent), (old, Outcome::Merged), (young, Outcome::Dead)] {
            delivered(&store, Some(incident), outcome).await;
        }
        delivered(&store, None, Outcome::Suppressed).await;
        resolved(&store, old, at(100)).await;
        resolved(&store, young, at(900)).await;
        let before = store.balance().await.unwrap();
        assert_eq!(store.prune(at(500)).await.unwrap(), 1);
        store.prune_suppressed(at(500)).await.unwrap();
        assert!(store.incident(old).await.unwrap().is_none());
        assert!(store.incident(young).await.unwrap().is_some() && store.incident(open).await.unwrap().is_some());
        let after = store.balance().await.unwrap();
        assert_eq!((after.accepted, &after.outcomes), (before.accepted, &before.outcomes));
        assert_eq!(after.outcomes.values().sum::<u64>(), after.accepted);
        assert_eq!(store.prune(at(500)).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn f50_what_waits_or_runs_is_never_deleted() {
    on_every_engine(async |store| {
        let (waiting, running) = (opened(&store, "a").await, investigable(&store, "b").await);
        queued(&store, waiting, "oncall", NoticeRole::Resolved, in_an_hour()).await;
        for incident in [waiting, running] {
            resolved(&store, incident, at(100)).await;
        }
        assert_eq!(store.prune(at(500)).await.unwrap(), 0);
        assert!(store.incident(waiting).await.unwrap().is_some() && store.incident(running).await.unwrap().is_some());
    })
    .await;
}
