//! Retention: what has had its time leaves the store, a little at a time, so that nobody waits for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

/// How often it is looked for what has had its time.
const LOOK: Duration = Duration::from_secs(600);
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
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            incidents: SignedDuration::from_hours(90 * 24),
            evidence: SignedDuration::from_hours(30 * 24),
            max_incidents: 100_000,
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
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::fixtures::{at, on_every_engine, opened, resolved};

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
}
