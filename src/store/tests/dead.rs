//! Messages that were given up: told elsewhere once, in the same commit, and sent again when asked for.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::fixtures::*;
use crate::store::{NoticeRole, NoticeState, Outcome, Outgoing, Revival, Store};

async fn claim(store: &Store, channel: &str) -> Option<Outgoing> {
    store.claim_notice(channel, "w", LEASE).await.unwrap()
}

async fn outcomes(store: &Store) -> BTreeMap<Outcome, u64> {
    store.balance().await.unwrap().outcomes
}

fn two(outcome: Outcome) -> BTreeMap<Outcome, u64> {
    BTreeMap::from([(Outcome::Merged, 1), (outcome, 2)])
}

#[tokio::test]
async fn a_lost_message_goes_once_to_the_channel_beside_it_and_its_alerts_are_told() {
    on_every_engine(async |store| {
        let incident = told_on(&store, &["a"]).await;
        let lost = claim(&store, "a").await.unwrap();
        assert!(store.bury_notice(&lost, "19001", Some("b")).await.unwrap());
        assert!(!store.bury_notice(&lost, "19001", Some("b")).await.unwrap(), "it is settled");
        assert_eq!(outcomes(&store).await, two(Outcome::Pending), "it goes on elsewhere");

        let instead = claim(&store, "b").await.unwrap();
        assert_eq!((instead.incident, instead.role, instead.attempt), (incident, NoticeRole::First, 1));
        assert_ne!(instead.id, lost.id, "a channel that takes an idempotency key must not mix the two up");
        let said = &instead.notice.undelivered;
        assert_eq!((said.len(), said[0].channel.as_str(), said[0].why.as_str()), (1, "a", "19001"));
        assert!(claim(&store, "b").await.is_none());

        assert!(store.bury_notice(&instead, "550", Some("c")).await.unwrap());
        let last = claim(&store, "c").await.unwrap();
        let way: Vec<&str> = last.notice.undelivered.iter().map(|lost| lost.channel.as_str()).collect();
        assert_eq!(way, ["a", "b"], "a chain of fallbacks says its whole way");
        assert!(store.mark_sent(&last, "full").await.unwrap());
        assert_eq!(outcomes(&store).await, two(Outcome::Sent));
        let states: Vec<(String, NoticeState)> = store
            .incident(incident)
            .await
            .unwrap()
            .unwrap()
            .notices
            .into_iter()
            .map(|one| (one.channel, one.state))
            .collect();
        let expected = [("a", NoticeState::Dead), ("b", NoticeState::Dead), ("c", NoticeState::Sent)];
        assert_eq!(states, expected.map(|(channel, state)| (channel.to_owned(), state)));
    })
    .await;
}

#[tokio::test]
async fn a_channel_that_is_told_anyway_is_told_nothing_twice() {
    on_every_engine(async |store| {
        told_on(&store, &["a", "b"]).await;
        assert!(store.bury_notice(&claim(&store, "a").await.unwrap(), "19001", Some("b")).await.unwrap());
        let own = claim(&store, "b").await.unwrap();
        assert!(own.notice.undelivered.is_empty());
        assert!(store.mark_sent(&own, "full").await.unwrap());
        assert!(claim(&store, "b").await.is_none());
        assert_eq!(outcomes(&store).await, two(Outcome::Sent));
    })
    .await;
}

#[tokio::test]
async fn a_dead_message_is_sent_again_and_whoever_held_it_before_settles_nothing() {
    on_every_engine(async |store| {
        let incident = told_on(&store, &["a"]).await;
        let before = claim(&store, "a").await.unwrap();
        assert_eq!(store.send_again(before.id, &[]).await.unwrap(), Revival::NotDead);
        assert!(store.bury_notice(&before, "19001", Some("b")).await.unwrap());
        let instead = claim(&store, "b").await.unwrap();
        assert!(store.bury_notice(&instead, "550", None).await.unwrap());
        assert_eq!(outcomes(&store).await, two(Outcome::Dead));

        assert_eq!(store.send_again(Uuid::now_v7(), &[]).await.unwrap(), Revival::Unknown);
        assert_eq!(store.send_again(before.id, &[]).await.unwrap(), Revival::Again(incident));
        assert_eq!(outcomes(&store).await, two(Outcome::Pending));
        let again = claim(&store, "a").await.unwrap();
        assert_eq!((again.id, again.attempt), (before.id, 2));
        assert!(!store.mark_sent(&before, "full").await.unwrap());
        assert!(store.bury_notice(&again, "19001", Some("b")).await.unwrap());
        assert!(claim(&store, "b").await.is_none(), "the channel beside it had it once");
        assert_eq!(store.send_again(before.id, &[]).await.unwrap(), Revival::Again(incident));
        assert!(store.mark_sent(&claim(&store, "a").await.unwrap(), "full").await.unwrap());
        assert_eq!(outcomes(&store).await, two(Outcome::Sent));
        assert_eq!(store.incident(incident).await.unwrap().unwrap().notices.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn where_an_incident_is_one_message_older_news_does_not_come_back() {
    on_every_engine(async |store| {
        let incident = told_on(&store, &["a"]).await;
        let first = claim(&store, "a").await.unwrap();
        assert!(store.bury_notice(&first, "19001", None).await.unwrap());
        queued(&store, incident, "a", NoticeRole::Resolved, past()).await;
        assert!(store.mark_sent(&claim(&store, "a").await.unwrap(), "full").await.unwrap());
        assert_eq!(store.send_again(first.id, &["a".to_owned()]).await.unwrap(), Revival::Overtaken);
        assert_eq!(store.send_again(first.id, &["b".to_owned()]).await.unwrap(), Revival::Again(incident));
    })
    .await;
}
