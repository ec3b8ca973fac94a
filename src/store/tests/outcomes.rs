//! The contract's sum: one end for every accepted alert, whatever its channels do, and in whatever order.

use std::collections::BTreeMap;

use super::fixtures::*;
use crate::store::{Outcome, Outgoing, Store};

async fn standing(store: &Store) -> BTreeMap<Outcome, u64> {
    let balance = store.balance().await.unwrap();
    assert_eq!(balance.outcomes.values().sum::<u64>(), balance.accepted, "{balance:?}");
    balance.outcomes
}

async fn claim(store: &Store, channel: &str) -> Outgoing {
    store.claim_notice(channel, "w", LEASE).await.unwrap().unwrap()
}

fn two(outcome: Outcome) -> BTreeMap<Outcome, u64> {
    BTreeMap::from([(Outcome::Merged, 1), (outcome, 2)])
}

#[tokio::test]
async fn alerts_are_sent_when_one_channel_has_them() {
    on_every_engine(async |store| {
        told_on(&store, &["a", "b"]).await;
        assert_eq!(standing(&store).await, two(Outcome::Pending));
        assert!(store.bury_notice(&claim(&store, "a").await, "no such group", None).await.unwrap());
        assert_eq!(standing(&store).await, two(Outcome::Pending), "the other channel still tries");
        let b = claim(&store, "b").await;
        assert!(store.retry_notice(&b, "timeout", past()).await.unwrap());
        assert_eq!(standing(&store).await, two(Outcome::Pending));
        assert!(!store.mark_sent(&b, "full").await.unwrap(), "a lease that was given back settles nothing");
        assert_eq!(standing(&store).await, two(Outcome::Pending));
        assert!(store.mark_sent(&claim(&store, "b").await, "full").await.unwrap());
        assert_eq!(standing(&store).await, two(Outcome::Sent));
    })
    .await;
}

#[tokio::test]
async fn alerts_are_dead_when_the_last_channel_gives_up_and_sent_stays_sent() {
    on_every_engine(async |store| {
        told_on(&store, &["a", "b"]).await;
        for channel in ["a", "b"] {
            assert!(store.bury_notice(&claim(&store, channel).await, "no such group", None).await.unwrap());
        }
        assert_eq!(standing(&store).await, two(Outcome::Dead));
        let other = told_on(&store, &["a", "b"]).await;
        assert!(store.mark_sent(&claim(&store, "a").await, "full").await.unwrap());
        assert!(store.bury_notice(&claim(&store, "b").await, "no such group", None).await.unwrap());
        let all = BTreeMap::from([(Outcome::Merged, 2), (Outcome::Dead, 2), (Outcome::Sent, 2)]);
        assert_eq!(standing(&store).await, all);
        let log = store.incident(other).await.unwrap().unwrap().deliveries;
        assert_eq!((log[0].told, log[0].outcome), (2, Outcome::Sent));
    })
    .await;
}

/// Neither of two channels that give up at once sees that the other does; one of them must.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_that_give_up_at_the_same_moment_leave_nothing_pending() {
    on_every_engine(async |store| {
        for _ in 0..25 {
            told_on(&store, &["a", "b", "c"]).await;
            let (a, b, c) = (claim(&store, "a").await, claim(&store, "b").await, claim(&store, "c").await);
            let bury = |out: Outgoing| {
                let store = store.clone();
                tokio::spawn(async move { store.bury_notice(&out, "gone", None).await.unwrap() })
            };
            for buried in [bury(a), bury(b), bury(c)] {
                assert!(buried.await.unwrap());
            }
        }
        assert_eq!(standing(&store).await, BTreeMap::from([(Outcome::Merged, 25), (Outcome::Dead, 50)]));
    })
    .await;
}
