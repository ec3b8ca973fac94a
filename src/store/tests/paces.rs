//! The shared pace: never more than the product takes, however many ask, and no slot is lost.

use std::time::Duration;

use super::fixtures::*;
use crate::store::{Store, Taken};

const QUOTAS: [(u32, Duration); 2] = [(3, Duration::from_millis(300)), (4, Duration::from_secs(60))];

async fn take(store: &Store) -> Taken {
    store.take_slot("c", &QUOTAS).await.unwrap()
}

#[tokio::test]
async fn every_span_holds_and_what_was_not_used_is_free_again() {
    on_every_engine(async |store| {
        let Taken::Slot(first) = take(&store).await else { panic!("nothing was sent yet") };
        let Taken::Slot(second) = take(&store).await else { panic!("three in the short span") };
        assert!(matches!(take(&store).await, Taken::Slot(_)));
        assert!(matches!(store.take_slot("other", &QUOTAS).await.unwrap(), Taken::Slot(_)), "each has its own");
        assert!(matches!(take(&store).await, Taken::Wait(wait) if wait <= Duration::from_millis(300)));
        store.give_slot_back("c", second).await.unwrap();
        assert!(matches!(take(&store).await, Taken::Slot(_)), "it was not used");
        tokio::time::sleep(Duration::from_millis(310)).await;
        store.use_slot("c", Some(first), 1).await.unwrap();
        let Taken::Wait(wait) = take(&store).await else { panic!("with what went beside it there are four") };
        assert!(wait > Duration::from_secs(50), "{wait:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_that_ask_at_once_take_no_more_than_there_is() {
    on_every_engine(async |store| {
        let quotas = [(5, Duration::from_secs(60))];
        let askers = (0..8).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.take_slot("c", &quotas).await.unwrap() })
        });
        let answers = futures::future::join_all(askers.collect::<Vec<_>>()).await;
        let taken = answers.into_iter().filter(|one| matches!(one.as_ref().unwrap(), Taken::Slot(_))).count();
        assert_eq!(taken, 5);
    })
    .await;
}
