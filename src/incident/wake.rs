//! Bells: what is queued wakes who works it off.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// Wakes the workers, so that nothing waits for a poll.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    /// An investigation was queued.
    pub investigations: Arc<Notify>,
    /// A message was queued or became due; each channel's worker watches its own. One bell for all of them would make
    /// every channel ask the store at every alert: with 50 channels that was most of the service's CPU time.
    outboxes: Arc<HashMap<String, watch::Sender<()>>>,
}

impl Wake {
    /// Bells for these channels.
    #[must_use]
    pub fn for_channels<'a>(channels: impl IntoIterator<Item = &'a str>) -> Self {
        let outboxes = channels.into_iter().map(|channel| (channel.to_owned(), watch::Sender::default())).collect();
        Self { investigations: Arc::default(), outboxes: Arc::new(outboxes) }
    }

    /// What the worker of a channel watches; none for a channel without a bell.
    #[must_use]
    pub fn outbox(&self, channel: &str) -> Option<watch::Receiver<()>> {
        self.outboxes.get(channel).map(watch::Sender::subscribe)
    }

    /// Tells the workers of these channels that there is something to send.
    pub fn ring<'a>(&self, channels: impl IntoIterator<Item = &'a str>) {
        for bell in channels.into_iter().filter_map(|channel| self.outboxes.get(channel)) {
            bell.send_replace(());
        }
    }

    /// Tells the workers of all channels.
    pub(super) fn ring_all(&self) {
        for bell in self.outboxes.values() {
            bell.send_replace(());
        }
    }
}
