//! What was written under a clock that was ahead comes at its time all the same.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::fixtures::*;
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
