//! Models examined once: what was found out is taken from the store, and found out in the background where it is not
//! there or old. Nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::alert::Lang;
use crate::model::{Capabilities, Client, Model, probe};
use crate::store::Store;
use crate::triage::Triage;

/// How long what was found out is believed; servers are upgraded and their settings change.
const FRESH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Longest examination of one model: a long prompt on a small machine takes its time, and nobody waits.
const LIMIT: Duration = Duration::from_secs(120);

/// Makes every model's capabilities known, the models side by side and each one's questions one after the other.
pub(super) async fn examine_all(store: Store, triage: Arc<Triage>) {
    join_all(triage.models().map(|client| examine(&store, client))).await;
}

async fn examine(store: &Store, client: &Client) {
    let key = client.identity();
    if let Some(known) = kept(store, &key).await {
        client.learn(&known);
        return;
    }
    match probe::examine(client, Instant::now() + LIMIT).await {
        Ok(found) => {
            tracing::info!(model = client.name(), ?found, "model examined");
            client.learn(&found);
            keep(store, &key, &found).await;
        }
        Err(error) => {
            let advice = error.class.advice(Lang::En);
            tracing::warn!(model = client.name(), %error, advice, "the model could not be examined; it is asked all the same");
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
