//! A signature counts once for all replicas, until its time is over.

use super::fixtures::*;

#[tokio::test]
async fn a42_what_one_replica_took_no_other_takes_while_its_time_holds() {
    on_every_engine(async |store| {
        assert!(!store.signature_taken("aa").await.unwrap());
        for _ in 0..2 {
            store.note_signature("aa", at(100)).await.unwrap();
        }
        assert!(store.signature_taken("aa").await.unwrap() && !store.signature_taken("bb").await.unwrap());
        assert_eq!(store.forget_signatures(at(100)).await.unwrap(), 0);
        assert_eq!(store.forget_signatures(at(101)).await.unwrap(), 1);
        assert!(!store.signature_taken("aa").await.unwrap());
    })
    .await;
}
