//! Models examined once: what was found out is taken from the store, and found out in the background where it is not
//! there or old. Nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::alert::Lang;
use crate::model::probe::{self, Examined};
use crate::model::{Capabilities, Client, Ledger, Model};
use crate::store::Store;
use crate::triage::Triage;

/// How long what was found out is believed; servers are upgraded and their settings change.
const FRESH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Longest examination of one model: a long prompt on a small machine takes its time, and nobody waits.
const LIMIT: Duration = Duration::from_secs(120);

/// Until a model that could not be examined is tried again; from one time to the next twice as long, up to [`LOOK`].
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// How often it is looked whether what is known has become old.
const LOOK: Duration = Duration::from_secs(6 * 3600);

/// Makes every model's capabilities known and keeps them so, the models side by side and each one's questions one after
/// the other. It never ends.
pub(super) async fn examine_all(store: Store, triage: Arc<Triage>) {
    join_all(triage.models().map(|client| keep_known(&store, client, triage.ledger()))).await;
}

async fn keep_known(store: &Store, client: &Client, ledger: &Ledger) {
    let mut pause = AGAIN;
    loop {
        let known = examine(store, client, ledger).await;
        tokio::time::sleep(if known { LOOK } else { pause }).await;
        pause = if known { AGAIN } else { LOOK.min(pause * 2) };
    }
}

/// Examines a model unless what is known of it is fresh; whether something is known now.
async fn examine(store: &Store, client: &Client, ledger: &Ledger) -> bool {
    let key = client.identity();
    if let Some(known) = kept(store, &key).await {
        client.learn(&known);
        return true;
    }
    match probe::examine(client, Instant::now() + LIMIT).await {
        Ok(Examined { found, used }) => {
            ledger.add(client.name(), used, client.cost(used));
            tracing::info!(model = client.name(), ?found, "model examined");
            client.learn(&found);
            keep(store, &key, &found).await;
            true
        }
        Err(error) => {
            let advice = error.class.advice(Lang::En);
            tracing::warn!(model = client.name(), %error, advice, "the model could not be examined; it is asked all the same");
            false
        }
    }
}

/// What is known and not too old. A store that fails costs an examination, nothing more.
async fn kept(store: &Store, key: &str) -> Option<Capabilities> {
    let json = store.capabilities(key).await.ok().flatten()?;
    let known: Capabilities = serde_json::from_str(&json).ok()?;
    (Timestamp::now().duration_since(known.probed_at) < FRESH).then_some(known)
}

async fn keep(store: &Store, key: &str, found: &Capabilities) {
    let Ok(json) = serde_json::to_string(found) else { return };
    if let Err(error) = store.put_capabilities(key, &json, found.probed_at).await {
        tracing::warn!(%error, "what a model can do was not kept; it is found out again at the next start");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A month is believed, a day more is asked again; another identity (model, address, profile) is another key.
    #[tokio::test]
    async fn what_was_found_out_is_believed_for_thirty_days() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}/a.db", directory.path().display())).await.unwrap();
        let asked = |days: i64| Capabilities::nothing_yet(Timestamp::now() - SignedDuration::from_hours(24 * days));
        for (days, believed) in [(0, true), (29, true), (31, false)] {
            keep(&store, "a model", &asked(days)).await;
            assert_eq!(kept(&store, "a model").await.is_some(), believed, "after {days} days");
        }
        keep(&store, "a model", &asked(0)).await;
        assert!(kept(&store, "another model").await.is_none());
    }
}
