//! Keeps what waits in the present, where a clock goes back under it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::wake::Wake;
use crate::store::Store;

/// How often it is looked. People wait so much longer for what was due when the clock went back.
const LOOK: Duration = Duration::from_secs(5);

/// Looks until told to stop.
pub async fn keep(store: Store, wake: Wake, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
        match store.mend_times().await {
            Ok(0) => {}
            Ok(found) => {
                tracing::warn!(found, "the clock went back; what waits was brought into the present");
                wake.ring_all();
                wake.investigations.notify_one();
            }
            Err(error) => tracing::warn!(%error, "could not look for times in the future"),
        }
    }
}
