//! Retention: what has had its time leaves the store, a little at a time, so that nobody waits for it.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

/// How often it is looked for what has had its time.
const LOOK: Duration = Duration::from_secs(600);
/// Signatures are good for five minutes before and after they were made (`intake::signature`).
const SIGNATURES: SignedDuration = SignedDuration::from_mins(15);
/// Repeats kept of an incident that goes on; its page shows 200.
const REPEATS: u32 = 1_000;
/// Between two batches the store is left to those who deliver.
const BREATH: Duration = Duration::from_millis(100);

/// How long things are kept. What waits or runs always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Incidents, from when they were over.
    pub incidents: SignedDuration,
    /// Their tool results, which take most of the space; the reports keep their quotations.
    pub evidence: SignedDuration,
    /// Most incidents that are over; the oldest go first.
    pub max_incidents: u64,
    /// Most bytes of the store; beyond them the incidents that were over first go before their time. 0: any number.
    pub max_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            incidents: SignedDuration::from_hours(90 * 24),
            evidence: SignedDuration::from_hours(30 * 24),
            max_incidents: 100_000,
            max_bytes: 10 << 30,
        }
    }
}

/// Deletes what has had its time until it is told to stop. Replicas may all do so: none takes another's batch.
pub async fn keep_to(retention: Retention, store: Store, stop: CancellationToken) {
    loop {
        match prune(retention, &store, &stop, Timestamp::now()).await {
            Ok(0) => {}
            Ok(incidents) => tracing::info!(incidents, "incidents were deleted after their time"),
            Err(error) => tracing::warn!(%error, "what has had its time could not be deleted; it is tried again"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// One round; how many incidents it deleted.
async fn prune(
    retention: Retention,
    store: &Store,
    stop: &CancellationToken,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let by_age = now - retention.incidents;
    let by_count = store.over_beyond(retention.max_incidents).await?;
    let before = by_count.map_or(by_age, |end| end.max(by_age));
    let mut deleted = 0;
    while !stop.is_cancelled() {
        let batch = store.prune(before).await?;
        deleted += batch;
        if batch < Store::PRUNED_AT_ONCE {
            break;
        }
        tokio::time::sleep(BREATH).await;
    }
    while !stop.is_cancelled() && store.prune_evidence(now - retention.evidence).await? > 0 {
        tokio::time::sleep(BREATH).await;
    }
    while !stop.is_cancelled() && store.prune_suppressed(by_age).await? == Store::SUPPRESSED_AT_ONCE {
        tokio::time::sleep(BREATH).await;
    }
    for (incident, since) in store.repetitive(REPEATS).await? {
        while !stop.is_cancelled() && store.prune_repeats(incident, since).await? == Store::SUPPRESSED_AT_ONCE {
            tokio::time::sleep(BREATH).await;
        }
    }
    store.prune_what_was_read().await?;
    store.prune_days(by_age.to_zoned(TimeZone::UTC).date()).await?;
    store.forget_signatures(now - SIGNATURES).await?;
    Ok(deleted + prune_to_size(retention.max_bytes, store, stop, now).await?)
}

/// Deletes what was over first until the rest is small enough; how many incidents. Measuring costs more than deleting, so
/// as many go between two measurements as would do if all were of one size.
async fn prune_to_size(
    most: u64,
    store: &Store,
    stop: &CancellationToken,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut deleted = 0;
    while most > 0 && !stop.is_cancelled() {
        let (bytes, over) = (store.bytes(most).await?, store.incidents_over().await?);
        let Some(excess) = bytes.checked_sub(most).filter(|excess| *excess > 0) else { break };
        let share = (over as f64 * (excess as f64 / bytes as f64)).ceil() as usize;
        let mut round = 0;
        while round < share && !stop.is_cancelled() {
            let batch = store.prune(now).await?;
            round += batch;
            if batch < Store::PRUNED_AT_ONCE {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
        if round == 0 {
            tracing::warn!(bytes, most, "what goes on takes more than retention.max_bytes; nothing of it is deleted");
            break;
        }
        deleted += round;
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::fixtures::{at, group, on_every_engine, opened, resolved};

    #[tokio::test]
    async fn the_oldest_go_when_there_are_too_many() {
        on_every_engine(async |store| {
            for (key, second) in [("a", 100), ("b", 200), ("c", 300)] {
                let incident = opened(&store, key).await;
                resolved(&store, incident, at(second)).await;
            }
            let (stop, now) = (CancellationToken::new(), at(1_000));
            let keeping = |max_incidents| Retention { max_incidents, ..Retention::default() };
            assert_eq!(prune(keeping(3), &store, &stop, now).await.unwrap(), 0);
            assert_eq!(
                prune(keeping(1), &store, &stop, now).await.unwrap(),
                1,
                "two at least stay: the bound is not sharp"
            );
            let old = Retention { incidents: SignedDuration::from_secs(750), ..Retention::default() };
            assert_eq!(prune(old, &store, &stop, now).await.unwrap(), 1, "b was over 800 s ago");
        })
        .await;
    }

    #[tokio::test]
    async fn f50_a_store_that_is_too_large_loses_what_was_over_first_and_nothing_that_goes_on() {
        on_every_engine(async |store| {
            let large = group(&["api-1"; 400]);
            let open = opened(&store, "open").await;
            let (mut oldest, mut newest) = (open, open);
            for number in 0..200 {
                newest = opened(&store, &number.to_string()).await;
                oldest = if number == 0 { newest } else { oldest };
                let mut tx = store.begin().await.unwrap();
                tx.resolve_incident(newest, &large, at(number)).await.unwrap();
                tx.commit().await.unwrap();
            }
            let (stop, now) = (CancellationToken::new(), at(1_000));
            let keeping = |max_bytes| Retention { max_bytes, ..Retention::default() };
            let bytes = store.bytes(0).await.unwrap();
            assert_eq!(prune(keeping(bytes), &store, &stop, now).await.unwrap(), 0);
            assert_eq!(prune(keeping(0), &store, &stop, now).await.unwrap(), 0, "no limit");
            let deleted = prune(keeping(bytes * 2 / 3), &store, &stop, now).await.unwrap();
            assert!((50..=150).contains(&deleted), "{deleted}");
            assert!(store.bytes(0).await.unwrap() <= bytes * 2 / 3);
            assert!(store.incident(oldest).await.unwrap().is_none(), "the oldest goes");
            assert!(store.incident(newest).await.unwrap().is_some(), "the newest stays");
            prune(keeping(1), &store, &stop, now).await.unwrap();
            let left = store.incidents(500, None, None).await.unwrap();
            assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), [open], "what goes on stays");
        })
        .await;
    }
}
