//! What a rule held back is taken back when it is over by then, and only that.

use std::collections::HashMap;

use jiff::SignedDuration;

use super::fixtures::*;
use crate::alert::Source;
use crate::store::{NoticeRole, NoticeState};

#[tokio::test]
async fn what_nobody_heard_of_is_taken_back_and_the_rest_stays() {
    on_every_engine(async |store| {
        let incident = opened(&store, "k").await;
        queued(&store, incident, "quiet", NoticeRole::First, in_an_hour()).await;
        queued(&store, incident, "quiet", NoticeRole::Joined, in_an_hour()).await;
        queued(&store, incident, "loud", NoticeRole::First, past()).await;
        // In its channel's window for two hours at most; the other waits for longer than its window, so by another rule.
        queued(&store, incident, "mail", NoticeRole::First, in_an_hour()).await;
        queued(&store, incident, "night", NoticeRole::First, in_an_hour()).await;
        let batches = HashMap::from([
            ("mail".to_owned(), SignedDuration::from_hours(2)),
            ("night".to_owned(), SignedDuration::from_mins(10)),
        ]);
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.withdraw_held(incident, "over", &batches).await.unwrap(), ["night", "quiet"]);
        tx.commit().await.unwrap();
        let left = store.incident(incident).await.unwrap().unwrap().notices;
        let left: Vec<_> = left.iter().map(|one| (one.channel.as_str(), one.state)).collect();
        assert_eq!(left, [("loud", NoticeState::Ready), ("mail", NoticeState::Ready)]);
    })
    .await;
}

#[tokio::test]
async fn firings_of_a_group_are_counted_over_a_span() {
    on_every_engine(async |store| {
        let mut tx = store.begin().await.unwrap();
        insert(&mut tx, "k").await;
        insert(&mut tx, "other").await;
        let count = async |tx: &mut crate::store::Tx<'_>, second| {
            tx.firings_since(Source::Alertmanager, "k", at(second)).await.unwrap()
        };
        assert_eq!((count(&mut tx, 0).await, count(&mut tx, 1).await), (1, 0));
    })
    .await;
}
