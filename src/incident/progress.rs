//! While a model reasons: says once a second how far it is, and keeps what was read for whoever has to go on from there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::worker::Worker;
use crate::report::Report;
use crate::store::Claim;
use crate::toolbox::Recorded;
use crate::triage::Look;

const EVERY: Duration = Duration::from_secs(1);

/// A larger result is not kept: it would be written once more for each investigation, and one call reads it again.
const LARGEST: usize = 256 << 10;

impl Worker {
    /// What an attempt before this one read; nothing when this is the first, or when it cannot be known.
    pub(super) async fn read_before(&self, claim: &Claim) -> Vec<Recorded> {
        if claim.fence == 1 {
            return Vec::new();
        }
        let read = self.store.what_was_read(claim).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what the last attempt read is read anew");
            Vec::new()
        });
        if !read.is_empty() {
            tracing::info!(results = read.len(), "goes on from what the last attempt read");
        }
        read
    }

    /// Lets the model reason.
    pub(super) async fn reason(&self, claim: &Claim, look: &Look, kept: HashSet<String>) -> Report {
        if !look.will_be_reasoned_about() {
            return self.triage.reason(look).await;
        }
        let done = CancellationToken::new();
        let reasoning = async {
            let report = self.triage.reason(look).await;
            done.cancel();
            report
        };
        futures::join!(reasoning, self.accompany(claim, look, kept, &done)).0
    }

    /// Beside the model; a write under way is waited for at its end. What takes less than a second is not worth keeping.
    async fn accompany(&self, claim: &Claim, look: &Look, mut kept: HashSet<String>, done: &CancellationToken) {
        let going = self.live.begin(claim.incident.id);
        let mut second = tokio::time::interval(EVERY);
        for passed in 0_u64.. {
            tokio::select! {
                _ = second.tick() => {}
                () = done.cancelled() => return,
            }
            if let Some((read, tool)) = look.run.log().last_tool() {
                going.note(read, tool);
            }
            if passed > 0 {
                self.keep_what_is_new(claim, look, &mut kept).await;
            }
        }
    }

    /// An error is not kept, unless it says that something is not there: it may be over by then.
    async fn keep_what_is_new(&self, claim: &Claim, look: &Look, kept: &mut HashSet<String>) {
        let is_kept = |one: &Arc<Recorded>| (!one.is_error || one.is_absence()) && one.evidence.full.len() <= LARGEST;
        let mut new: Vec<Arc<Recorded>> = look.run.recorded().into_iter().filter(is_kept).collect();
        new.retain(|one| kept.insert(one.evidence.reference.clone()));
        if new.is_empty() {
            return;
        }
        if let Err(error) = self.store.keep_what_was_read(claim, &new).await {
            tracing::warn!(%error, "what was read is not kept: another attempt would read it anew");
        }
    }
}
