//! What was held back or merged before a message, by what was decided about its incident's deliveries.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::fixtures::*;
use crate::notify::notice::Meanwhile;
use crate::notify::rule::{Applied, Rule};
use crate::store::{Decision, Delivery, NoticeRole, Outcome, Outgoing, Store};

/// Records what was decided about a delivery.
async fn decided(store: &Store, incident: Uuid, decision: Decision, rules: &[Applied]) {
    let mut tx = store.begin().await.unwrap();
    if decision == Decision::Merged {
        tx.update_group(incident, &group(&["api-1"]), at(1)).await.unwrap();
    }
    let (incident, rules) = (Some(incident), rules.to_vec());
    let delivery = Delivery { incident, decision, rules, outcome: Outcome::Merged, told: 0, ..delivery_of_three() };
    tx.record_delivery(&delivery).await.unwrap();
    tx.commit().await.unwrap();
}

/// A message of the incident, which opened so long ago.
async fn message(store: &Store, incident: Uuid, role: NoticeRole, age: SignedDuration) -> Outgoing {
    queued(store, incident, "oncall", role, past()).await;
    let mut outgoing = store.claim_notice("oncall", "w", LEASE).await.unwrap().unwrap();
    outgoing.notice.opened_at = Timestamp::now() - age;
    assert!(store.mark_sent(&outgoing, "full").await.unwrap());
    outgoing
}

#[tokio::test]
async fn repeats_and_what_a_rule_put_off_are_told_with_the_next_message() {
    on_every_engine(async |store| {
        let incident = opened(&store, "k").await;
        let debounce = Applied::wait(Rule::Debounce, SignedDuration::from_secs(30));
        let quiet = Applied::wait(Rule::QuietHours, SignedDuration::from_hours(8));
        decided(&store, incident, Decision::Opened, &[debounce, quiet]).await;
        for _ in 0..14 {
            decided(&store, incident, Decision::Merged, &[Applied::just(Rule::Repeat)]).await;
        }
        // That some of its alerts ended is no repeat.
        decided(&store, incident, Decision::Merged, &[Applied::just(Rule::SomeEnded)]).await;
        let soon = message(&store, incident, NoticeRole::First, SignedDuration::from_secs(2)).await;
        assert!(store.meanwhile(&soon).await.unwrap().is_empty(), "those of a pair of senders are nothing to tell");
        let late = message(&store, incident, NoticeRole::First, SignedDuration::from_mins(20)).await;
        assert_eq!(store.meanwhile(&late).await.unwrap().quiet_s, None, "another channel's hours");
        let morning = message(&store, incident, NoticeRole::First, SignedDuration::from_hours(8)).await;
        let held = Meanwhile { repeats: 14, quiet_s: Some(8 * 3_600), ..Meanwhile::default() };
        assert_eq!(store.meanwhile(&morning).await.unwrap(), held);
        let end = message(&store, incident, NoticeRole::Resolved, SignedDuration::from_hours(9)).await;
        let merged = Meanwhile { repeats: 14, debounced_s: Some(30), ..Meanwhile::default() };
        assert_eq!(store.meanwhile(&end).await.unwrap(), merged);
    })
    .await;
}

#[tokio::test]
async fn firings_that_nobody_was_told_of_are_counted_up_to_the_last_that_was() {
    on_every_engine(async |store| {
        let mut generations = Vec::new();
        for generation in 0..6 {
            let incident = opened(&store, "k").await;
            if [1, 5].contains(&generation) {
                message(&store, incident, NoticeRole::First, SignedDuration::ZERO).await;
            }
            resolved(&store, incident, at(1)).await;
            generations.push(incident);
        }
        let untold = async |incident| {
            let end = message(&store, incident, NoticeRole::Resolved, SignedDuration::ZERO).await;
            store.meanwhile(&end).await.unwrap().untold
        };
        assert_eq!(untold(generations[5]).await, 3, "those after the second");
        assert_eq!(untold(generations[1]).await, 1, "the first");
        assert_eq!(untold(opened(&store, "other").await).await, 0);
    })
    .await;
}
