//! What has had its time goes, what waits stays, and the contract's sum does not change.

use super::fixtures::*;
use crate::notify::rule::{Applied, Rule};
use crate::store::{Decision, Delivery, NoticeRole, Outcome, Spending, Store};
use uuid::Uuid;

/// An incident with a report and what was read for it.
async fn diagnosed(store: &Store, key: &str) -> Uuid {
    let incident = investigable(store, key).await;
    let claim = store.claim_investigation("worker", LEASE).await.unwrap().unwrap();
    assert_eq!(claim.incident.id, incident);
    assert!(store.finish_investigation(&claim, &report(), &evidence(), &[], |_| None).await.unwrap());
    incident
}

async fn delivered(store: &Store, incident: Option<Uuid>, outcome: Outcome) {
    let delivery = Delivery { incident, outcome, ..delivery_of_three() };
    let mut tx = store.begin().await.unwrap();
    tx.record_delivery(&delivery).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn f50_what_is_over_goes_and_the_sum_stays() {
    on_every_engine(async |store| {
        let (old, young, open) = (opened(&store, "a").await, opened(&store, "b").await, opened(&store, "c").await);
        for (incident, outcome) in [(old, Outcome::Sent), (old, Outcome::Merged), (young, Outcome::Dead)] {
            delivered(&store, Some(incident), outcome).await;
        }
        delivered(&store, None, Outcome::Suppressed).await;
        resolved(&store, old, at(100)).await;
        resolved(&store, young, at(900)).await;
        let before = store.balance().await.unwrap();
        assert_eq!(store.prune(at(500)).await.unwrap(), 1);
        store.prune_suppressed(at(500)).await.unwrap();
        assert!(store.incident(old).await.unwrap().is_none());
        assert!(store.incident(young).await.unwrap().is_some() && store.incident(open).await.unwrap().is_some());
        let after = store.balance().await.unwrap();
        assert_eq!((after.accepted, &after.outcomes), (before.accepted, &before.outcomes));
        assert_eq!(after.outcomes.values().sum::<u64>(), after.accepted);
        assert_eq!(store.prune(at(500)).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn f50_what_waits_or_runs_is_never_deleted() {
    on_every_engine(async |store| {
        let (waiting, running) = (opened(&store, "a").await, investigable(&store, "b").await);
        queued(&store, waiting, "oncall", NoticeRole::Resolved, in_an_hour()).await;
        for incident in [waiting, running] {
            resolved(&store, incident, at(100)).await;
        }
        assert_eq!(store.prune(at(500)).await.unwrap(), 0);
        assert!(store.incident(waiting).await.unwrap().is_some() && store.incident(running).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn f50_evidence_goes_by_age_and_the_report_stays() {
    on_every_engine(async |store| {
        let (old, young, open) =
            (diagnosed(&store, "a").await, diagnosed(&store, "b").await, diagnosed(&store, "c").await);
        resolved(&store, old, at(100)).await;
        resolved(&store, young, at(900)).await;
        assert!(store.prune_evidence(at(500)).await.unwrap() > 0);
        assert_eq!(store.prune_evidence(at(500)).await.unwrap(), 0);
        for (incident, kept) in [(old, false), (young, true), (open, true)] {
            let left = store.incident(incident).await.unwrap().unwrap();
            assert_eq!(!left.evidence.is_empty(), kept, "{:?}", left.incident.state);
            assert!(left.incident.report.is_some(), "what was quoted of it stays");
        }
    })
    .await;
}

#[tokio::test]
async fn repeats_of_what_never_resolves_are_few_and_the_sum_stays() {
    on_every_engine(async |store| {
        let (loud, quiet) = (opened(&store, "a").await, opened(&store, "b").await);
        for incident in std::iter::repeat_n(loud, 20).chain([quiet; 3]) {
            let mut tx = store.begin().await.unwrap();
            tx.update_group(incident, &group(&["api-1"]), at(1)).await.unwrap();
            let count = store.incident(incident).await.unwrap().unwrap().incident.deliveries;
            let received_at = at(i64::try_from(count).unwrap());
            let repeat = Delivery { incident: Some(incident), decision: Decision::Merged, received_at, ..repeat() };
            tx.record_delivery(&repeat).await.unwrap();
            tx.commit().await.unwrap();
        }
        let mut tx = store.begin().await.unwrap();
        let rules = vec![Applied::just(Rule::SomeEnded)];
        let ended =
            Delivery { incident: Some(loud), decision: Decision::Merged, rules, received_at: at(0), ..repeat() };
        tx.update_group(loud, &group(&["api-1"]), at(1)).await.unwrap();
        tx.record_delivery(&ended).await.unwrap();
        tx.commit().await.unwrap();
        let before = store.balance().await.unwrap();
        let repetitive = store.repetitive(5).await.unwrap();
        assert_eq!(repetitive.len(), 1, "{repetitive:?}");
        assert_eq!(store.prune_repeats(repetitive[0].0, repetitive[0].1).await.unwrap(), 15);
        let left = store.incident(loud).await.unwrap().unwrap();
        assert_eq!((left.deliveries.len(), left.incident.deliveries), (6, 22));
        assert_eq!(left.deliveries[0].received_at, at(0), "the end of some alerts is no repeat");
        assert_eq!(left.deliveries[1].received_at, at(16), "the oldest go");
        assert_eq!(store.balance().await.unwrap(), before);
        let again = store.repetitive(5).await.unwrap();
        assert_eq!(store.prune_repeats(again[0].0, again[0].1).await.unwrap(), 0);
    })
    .await;
}

fn repeat() -> Delivery {
    Delivery { outcome: Outcome::Merged, told: 0, ..delivery_of_three() }
}

/// Two replicas prune the same deliveries at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_carried_over_twice() {
    on_every_engine(async |store| {
        for _ in 0..300 {
            delivered(&store, None, Outcome::Suppressed).await;
        }
        let before = store.balance().await.unwrap();
        let deleted = futures::future::join_all((0..4).map(|_| store.prune_suppressed(at(500)))).await;
        assert_eq!(deleted.into_iter().map(Result::unwrap).sum::<u64>(), 300);
        assert_eq!(store.balance().await.unwrap(), before);
    })
    .await;
}

#[tokio::test]
async fn days_long_gone_are_forgotten() {
    on_every_engine(async |store| {
        let day = |day: &str| day.parse::<jiff::civil::Date>().unwrap();
        let spent = [("fast".to_owned(), Spending { prompt_tokens: 7, ..Spending::default() })].into();
        for one in ["2026-01-31", "2026-02-01"] {
            store.add_spending(day(one), &spent).await.unwrap();
        }
        store.prune_days(day("2026-02-01")).await.unwrap();
        assert_eq!(store.spending(day("2026-01-31")).await.unwrap().len(), 0);
        assert_eq!(store.spending(day("2026-02-01")).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn deleting_makes_the_store_smaller() {
    on_every_engine(async |store| {
        let large = group(&["api-1"; 400]);
        let mut over = Vec::new();
        let empty = store.bytes(0).await.unwrap();
        for number in 0..20 {
            let incident = opened(&store, &number.to_string()).await;
            let mut tx = store.begin().await.unwrap();
            tx.resolve_incident(incident, &large, at(number)).await.unwrap();
            tx.commit().await.unwrap();
            over.push(incident);
        }
        let full = store.bytes(0).await.unwrap();
        assert!(full > empty + 10_000, "{empty} {full}");
        let files = store.bytes(u64::MAX).await.unwrap();
        assert!(files > full / 2, "an estimate from above: {files} {full}");
        assert_eq!((store.incidents_over().await.unwrap(), store.prune(at(100)).await.unwrap()), (20, 20));
        let after = store.bytes(0).await.unwrap();
        assert!(after < empty + (full - empty) / 2, "{empty} {full} {after}");
    })
    .await;
}
