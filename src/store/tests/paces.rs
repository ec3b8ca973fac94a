//! The shared pace: never more than the product takes, however many ask, and no slot is lost.

use std::time::Duration;

use super::fixtures::*;
use crate::store::{Store, Taken, next_turn};

const QUOTAS: [(u32, Duration); 2] = [(3, Duration::from_millis(300)), (4, Duration::from_secs(60))];

async fn take(store: &Store) -> Taken {
    store.take_slot("c", &QUOTAS, false).await.unwrap()
}

#[tokio::test]
async fn every_span_holds_and_what_was_not_used_is_free_again() {
    on_every_engine(async |store| {
        let Taken::Slot(first, _) = take(&store).await else { panic!("nothing was sent yet") };
        let Taken::Slot(second, _) = take(&store).await else { panic!("three in the short span") };
        assert!(matches!(take(&store).await, Taken::Slot(..)));
        assert!(matches!(store.take_slot("other", &QUOTAS, false).await.unwrap(), Taken::Slot(..)), "each has its own");
        assert!(matches!(take(&store).await, Taken::Wait(wait) if wait <= Duration::from_millis(300)));
        store.give_slot_back("c", second).await.unwrap();
        assert!(matches!(take(&store).await, Taken::Slot(..)), "it was not used");
        tokio::time::sleep(Duration::from_millis(310)).await;
        store.use_slot("c", Some(first), 1).await.unwrap();
        let Taken::Wait(wait) = take(&store).await else { panic!("with what went beside it there are four") };
        assert!(wait > Duration::from_secs(50), "{wait:?}");
    })
    .await;
}

#[tokio::test]
async fn f39_what_was_sent_under_a_clock_that_went_back_holds_nobody_up() {
    on_every_engine(async |store| {
        for _ in 0..4 {
            store.use_slot("c", None, 0).await.unwrap();
        }
        assert!(matches!(take(&store).await, Taken::Wait(_)));
        let sent: Vec<i64> =
            (0..4).map(|number| jiff::Timestamp::now().as_millisecond() + 3_600_000 + number).collect();
        let slots: Vec<(uuid::Uuid, i64)> = sent.into_iter().map(|at| (uuid::Uuid::now_v7(), at)).collect();
        let later = sqlx::query("UPDATE pace SET sent = $1").bind(serde_json::to_string(&slots).unwrap());
        store.write("move the slots", later).await.unwrap();
        assert!(matches!(take(&store).await, Taken::Slot(..)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_that_ask_at_once_take_no_more_than_there_is() {
    on_every_engine(async |store| {
        let quotas = [(5, Duration::from_secs(60))];
        let askers = (0..8).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.take_slot("c", &quotas, false).await.unwrap() })
        });
        let answers = futures::future::join_all(askers.collect::<Vec<_>>()).await;
        let taken = answers.into_iter().filter(|one| matches!(one.as_ref().unwrap(), Taken::Slot(..))).count();
        assert_eq!(taken, 5);
    })
    .await;
}

#[test]
fn the_last_quarter_of_a_minute_is_dealt_out_over_what_is_left_of_it() {
    let minute = Duration::from_secs(60);
    let after = |sent: &[i64], now, spread| next_turn(sent, 20, minute, now, spread).as_millis();
    let burst: Vec<i64> = (0..14).map(|number| number * 100).collect();
    assert_eq!(after(&burst, 1_400, true), 0, "six are left");
    let burst: Vec<i64> = (0..15).map(|number| number * 100).collect();
    assert_eq!(after(&burst, 1_400, false), 0);
    assert_eq!(after(&burst, 1_400, true), (60_000 - 1_400) / 6, "five are left, and a minute to fill");
    assert_eq!(after(&burst, 20_000, true), 0, "nobody sent for a while");
    let full: Vec<i64> = (0..20).map(|number| number * 100).collect();
    assert_eq!(after(&full, 2_000, true), 58_000);
    assert_eq!(after(&full, 60_150, true), 0, "the first two have left");
    assert_eq!(next_turn(&[0, 1, 2, 3], 5, Duration::from_secs(1), 3, true), Duration::ZERO, "a second is short");
}
