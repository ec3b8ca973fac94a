//! Who investigates a cause for whom, and investigations that are repeated.

use uuid::Uuid;

use super::fixtures::*;
use crate::store::{InvestigationState, Store};

/// Whom an incident follows, when it shows this cause at this second and leaders of the last minute count.
async fn shows(store: &Store, incident: Uuid, key: &str, second: i64) -> Option<Uuid> {
    let title = format!("alert of {key} at {second}");
    let leader = store.lead_or_follow(key, incident, &title, at(second), at(second - 60)).await.unwrap();
    leader.map(|leader| leader.incident)
}

#[tokio::test]
async fn the_first_to_show_a_cause_leads_while_it_is_open_and_young() {
    on_every_engine(async |store| {
        let [first, second, third, fourth] = [
            opened(&store, "a").await,
            opened(&store, "b").await,
            opened(&store, "c").await,
            opened(&store, "d").await,
        ];
        assert_eq!(shows(&store, first, "node n1", 0).await, None);
        assert_eq!(shows(&store, second, "node n1", 1).await, Some(first));
        assert_eq!(shows(&store, third, "node n2", 2).await, None, "another cause");
        assert_eq!(shows(&store, first, "node n1", 3).await, None, "tried again, it still leads");
        assert_eq!(shows(&store, fourth, "node n1", 4).await, Some(first));
        let followers: Vec<_> = store.followers(first).await.unwrap().into_iter().map(|one| one.incident).collect();
        assert_eq!(followers, [second, fourth]);
        assert_eq!(shows(&store, fourth, "node n1", 64).await, None, "the first leads for too long, so this one does");
        assert_eq!(shows(&store, second, "node n1", 65).await, Some(fourth));
        resolved(&store, fourth, at(66)).await;
        assert_eq!(shows(&store, second, "node n1", 67).await, None, "it is over, so it leads no more");
    })
    .await;
}

#[tokio::test]
async fn of_many_at_once_one_leads() {
    on_every_engine(async |store| {
        let mut incidents = Vec::new();
        for number in 0..12 {
            incidents.push(opened(&store, &number.to_string()).await);
        }
        let shown = incidents.iter().map(|incident| shows(&store, *incident, "node n1", 0));
        let leaders = futures::future::join_all(shown).await;
        assert_eq!(leaders.iter().filter(|leader| leader.is_none()).count(), 1, "{leaders:?}");
        let named: std::collections::HashSet<_> = leaders.into_iter().flatten().collect();
        assert_eq!(named.len(), 1, "all others follow the same one");
    })
    .await;
}

#[tokio::test]
async fn what_came_to_an_end_is_repeated_once() {
    on_every_engine(async |store| {
        let incident = investigable(&store, "k").await;
        let repeat = async || {
            let mut tx = store.begin().await.unwrap();
            let repeated = tx.repeat_investigation(incident, past(), 1).await.unwrap();
            tx.commit().await.unwrap();
            repeated
        };
        assert!(!repeat().await, "it has not begun");
        for expected in [true, false] {
            let claim = store.claim_investigation("w", std::time::Duration::from_secs(9)).await.unwrap().unwrap();
            assert!(!repeat().await, "it goes on");
            assert!(store.finish_investigation(&claim, &report(), &[], &[], |_| None).await.unwrap());
            assert_eq!(repeat().await, expected);
        }
        let detail = store.incident(incident).await.unwrap().unwrap();
        let last = detail.investigation.unwrap();
        assert_eq!((last.state, last.repeats), (InvestigationState::Done, 1));
        let [first] = detail.looks.as_slice() else { panic!("{:?}", detail.looks) };
        assert_eq!((first.number, first.state, first.attempts), (1, InvestigationState::Done, 1));
        assert_eq!(first.asked_at, last.created_at);
        assert!(first.ended_at.is_some_and(|at| at <= last.asked_at) && last.ended_at >= Some(last.asked_at));
        assert!(store.investigate_again(incident).await.unwrap(), "a person may ask as often as they like");
        let detail = store.incident(incident).await.unwrap().unwrap();
        assert_eq!(detail.looks.iter().map(|look| look.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(detail.investigation.map(|one| (one.state, one.repeats)), Some((InvestigationState::Ready, 1)));
        assert!(!store.investigate_again(incident).await.unwrap(), "it waits already");
    })
    .await;
}
