//! Daily summaries: counted from what happened, sent by one process, tried again by the next.

use std::time::Duration;

use jiff::civil::date;

use super::fixtures::*;
use crate::alert::Source;
use crate::store::{NewIncident, Store};
use jiff::Timestamp;
use uuid::Uuid;

/// An incident that opened then, and resolved when it did.
async fn incident(store: &Store, name: &str, severity: &str, opened: i64, resolved: Option<i64>) {
    let mut group = group(&["api-1"]);
    group.alerts[0].labels.insert("alertname".into(), name.to_owned());
    group.alerts[0].labels.insert("severity".into(), severity.to_owned());
    let id = Uuid::now_v7();
    let key = id.to_string();
    let mut tx = store.begin().await.unwrap();
    let new =
        NewIncident { id, source: Source::Alertmanager, group_key_hash: &key, opened_at: at(opened), group: &group };
    tx.insert_incident(&new).await.unwrap();
    if let Some(resolved) = resolved {
        tx.resolve_incident(id, &group, at(resolved)).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_summary_counts_what_happened_between_two_moments() {
    on_every_engine(async |store| {
        incident(&store, "Old", "critical", -500, None).await;
        incident(&store, "Older", "warning", -900, Some(-100)).await;
        incident(&store, "Noisy", "warning", 10, Some(20)).await;
        incident(&store, "Noisy", "warning", 30, Some(90)).await;
        incident(&store, "Fresh", "critical", 50, None).await;
        incident(&store, "Tomorrow", "critical", 200, None).await;
        let digest = store.digest(date(2026, 11, 25), at(0), at(100)).await.unwrap();
        assert_eq!((digest.opened, digest.resolved, digest.open_now), (3, 2, 3));
        assert_eq!((digest.diagnosed, digest.healthy, digest.put_aside), (0, 0, 0));
        let named = |tallies: &[crate::notify::notice::Tally]| -> Vec<(String, u64)> {
            tallies.iter().map(|tally| (tally.name.clone(), tally.incidents)).collect()
        };
        assert_eq!(named(&digest.noisiest), [("Noisy".to_owned(), 2), ("Fresh".to_owned(), 1)]);
        assert_eq!(named(&digest.severities), [("warning".to_owned(), 2), ("critical".to_owned(), 1)]);
        let names: Vec<&str> = digest.open.iter().map(|line| line.alertname.as_str()).collect();
        assert_eq!(names, ["Old", "Fresh"], "the oldest first, and not what opened later");
        let lasted =
            |line: &crate::notify::notice::Line| line.resolved_at.unwrap().duration_since(line.opened_at).as_secs();
        assert_eq!(digest.slowest.iter().map(lasted).collect::<Vec<_>>(), [60, 10]);
    })
    .await;
}

#[tokio::test]
async fn one_process_sends_a_summary_and_another_takes_it_up_when_that_one_dies() {
    on_every_engine(async |store| {
        let (day, lease) = (date(2026, 11, 25), Duration::from_secs(15));
        let claims = (0..8).map(|_| store.claim_digest("mail", day, "a", lease));
        let claims: Vec<Option<u32>> =
            futures::future::join_all(claims).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(claims.iter().flatten().collect::<Vec<_>>(), [&1], "{claims:?}");
        assert_eq!(store.claim_digest("ops", day, "a", EXPIRED).await.unwrap(), Some(1), "each channel has its own");
        assert_eq!(store.claim_digest("ops", day, "b", lease).await.unwrap(), Some(2), "the lease ran out");
        assert!(!store.settle_digest("ops", day, 1, Ok(())).await.unwrap(), "the first owner writes nothing any more");
        let again = Timestamp::now() + Duration::from_secs(3600);
        assert!(store.settle_digest("ops", day, 2, Err(("429", Some(again)))).await.unwrap());
        assert_eq!(store.claim_digest("ops", day, "b", lease).await.unwrap(), None, "not before its time");
        assert!(store.settle_digest("mail", day, 1, Ok(())).await.unwrap());
        assert_eq!(store.claim_digest("mail", day, "b", lease).await.unwrap(), None, "once a day");
        assert_eq!(store.claim_digest("mail", date(2026, 11, 26), "b", lease).await.unwrap(), Some(1));
    })
    .await;
}
