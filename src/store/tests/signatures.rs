//! A signature counts once for all replicas, until its time is over.

use super::fixtures::*;
use crate::store::{Hold, Store};

async fn hold(store: &Store, signature: &str) -> Hold {
    store.hold_signature(signature, at(100), LEASE).await.unwrap()
}

#[tokio::test]
async fn a42_what_one_replica_took_no_other_takes_while_its_time_holds() {
    on_every_engine(async |store| {
        assert_eq!(hold(&store, "aa").await, Hold::Ours);
        store.take_signature("aa").await.unwrap();
        for _ in 0..2 {
            assert_eq!(hold(&store, "aa").await, Hold::Taken);
        }
        store.give_back_signature("aa").await.unwrap();
        assert_eq!(hold(&store, "aa").await, Hold::Taken, "what was taken is not given back");
        assert_eq!(hold(&store, "bb").await, Hold::Ours);
        store.give_back_signature("bb").await.unwrap();
        assert_eq!(store.forget_signatures(at(100)).await.unwrap(), 0);
        assert_eq!(store.forget_signatures(at(101)).await.unwrap(), 1);
        assert_eq!(hold(&store, "aa").await, Hold::Ours);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a42_of_many_with_one_signature_at_once_one_is_taken() {
    on_every_engine(async |store| {
        let holds = futures::future::join_all((0..8).map(|_| hold(&store, "aa"))).await;
        assert_eq!(holds.iter().filter(|one| **one == Hold::Ours).count(), 1, "{holds:?}");
        assert!(!holds.contains(&Hold::Taken), "nobody took it yet: {holds:?}");
        store.give_back_signature("aa").await.unwrap();
        assert_eq!(store.hold_signature("aa", at(100), EXPIRED).await.unwrap(), Hold::Ours, "it was not taken");
        assert_eq!(hold(&store, "aa").await, Hold::Ours, "whoever held it is gone");
        assert_eq!(hold(&store, "aa").await, Hold::Anothers);
    })
    .await;
}
