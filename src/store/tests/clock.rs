//! What was written under a clock that was ahead comes at its time all the same.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use jiff::civil::date;

use super::fixtures::*;
use crate::store::columns::Columns;
use crate::store::{NoticeRole, Store};

const LEASE: Duration = Duration::from_secs(15);

/// Everything as if it had been written an hour from now.
async fn an_hour_ahead(store: &Store) {
    for table in ["outbox", "investigation"] {
        let later = format!("UPDATE {table} SET created_at = created_at + 3600000, due_at = due_at + 3600000");
        store.write("move times", sqlx::query(AssertSqlSafe(later))).await.unwrap();
    }
}

#[tokio::test]
async fn f39_what_waits_under_a_clock_that_went_back_is_brought_into_the_present() {
    on_every_engine(async |store| {
        assert_eq!(store.mend_times().await.unwrap(), 0);
        let incident = opened(&store, "k").await;
        let mut tx = store.begin().await.unwrap();
        tx.enqueue_investigation(incident, jiff::Timestamp::now()).await.unwrap();
        tx.commit().await.unwrap();
        queued(&store, incident, "oncall", NoticeRole::First, jiff::Timestamp::now()).await;
        an_hour_ahead(&store).await;
        assert!(store.claim_notice("oncall", "w", LEASE).await.unwrap().is_none(), "in an hour");
        assert_eq!(store.mend_times().await.unwrap(), 2);
        assert!(store.claim_notice("oncall", "w", LEASE).await.unwrap().is_some());
        assert!(store.claim_investigation("w", LEASE).await.unwrap().is_some());

        assert_eq!(store.mend_times().await.unwrap(), 0, "leases of the present stay");
        an_hour_ahead(&store).await;
        assert_eq!(store.mend_times().await.unwrap(), 2, "those of another time end soon");
        let due = store.next_investigation_due().await.unwrap().unwrap();
        assert!(due.duration_since(jiff::Timestamp::now()).as_secs() <= 15, "{due}");
    })
    .await;
}

/// Three summaries: one that waits for its next try, made under the wrong clock; one that does and was made before; one
/// that is being sent.
#[tokio::test]
async fn f39_daily_summaries_of_a_clock_that_went_back_come_soon() {
    on_every_engine(async |store| {
        let day = date(2026, 11, 25);
        for channel in ["made", "waits", "sent"] {
            store.claim_digest(channel, day, "w", LEASE).await.unwrap().unwrap();
        }
        for channel in ["made", "waits"] {
            let again = Some(Duration::from_secs(10));
            assert!(store.settle_digest(channel, day, 1, Err(("502", again))).await.unwrap());
        }
        assert_eq!(store.mend_times().await.unwrap(), 0, "all of it is of the present");
        let later = "UPDATE digest SET due_at = due_at + 3600000,
                     created_at = created_at + CASE channel WHEN 'waits' THEN 0 ELSE 3600000 END";
        store.write("move times", store.query(later)).await.unwrap();
        assert_eq!(store.mend_times().await.unwrap(), 3);
        assert_eq!(store.mend_times().await.unwrap(), 0);
        let query = store.query("SELECT MAX(due_at) AS last, COUNT(*) AS n FROM digest WHERE state = 'sending'");
        let row = store.row("read times", query).await.unwrap().unwrap();
        let (last, count) = (Columns(&row).time("last").unwrap(), Columns(&row).count("n").unwrap());
        assert!(last.duration_since(jiff::Timestamp::now()).as_secs() <= 15 && count == 3, "{last}");
    })
    .await;
}

#[tokio::test]
async fn what_a_rule_holds_for_hours_stays_held() {
    on_every_engine(async |store| {
        let incident = opened(&store, "k").await;
        queued(&store, incident, "oncall", NoticeRole::First, in_an_hour()).await;
        assert_eq!(store.mend_times().await.unwrap(), 0);
        assert!(store.claim_notice("oncall", "w", LEASE).await.unwrap().is_none());
    })
    .await;
}
