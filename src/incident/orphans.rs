//! Messages of channels that are configured no more: nobody sends them, so they are given up where people see it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(60);
/// A message that is due for so long has no sender.
const GRACE: SignedDuration = SignedDuration::from_secs(60);
/// The same where replicas take over a new configuration one by one: what this one does not know another may send, once it
/// runs or runs again, and to its fallback if not.
const GRACE_OF_REPLICAS: SignedDuration = SignedDuration::from_mins(30);
/// Who holds a message while it is given up, and for how long.
const HOLDER: &str = "orphans";
const LEASE: Duration = Duration::from_secs(15);

/// Looks until told to stop.
pub async fn give_up(store: Store, configured: Vec<String>, stop: CancellationToken) {
    let grace = if store.has_one_writer() { GRACE } else { GRACE_OF_REPLICAS };
    loop {
        match given_up(&store, &configured, Timestamp::now() - grace).await {
            Ok(0) => {}
            Ok(messages) => {
                tracing::error!(messages, "messages of channels that are configured no more were put aside")
            }
            Err(error) => tracing::warn!(%error, "could not look for messages without a channel"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Puts aside what was due before then on other channels than these; how many messages.
async fn given_up(store: &Store, configured: &[String], before: Timestamp) -> Result<usize, StoreError> {
    let mut messages = 0;
    for channel in store.channels_behind(before).await? {
        if configured.contains(&channel) {
            continue;
        }
        let why = format!("channel `{channel}` is not in the configuration any more; put it back and send this again");
        while let Some(outgoing) = store.claim_notice(&channel, HOLDER, LEASE).await? {
            messages += usize::from(store.bury_notice(&outgoing, &why, None).await?);
        }
    }
    Ok(messages)
}
