//! Several messages in one: what a window collected, and what is more than the channel takes one by one.

use tokio::time::Instant;

use super::{ATTEMPT_LIMIT, LEASE, OutboxWorker};
use crate::failpoint;
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::rule::Rule;
use crate::notify::{batch, summary};
use crate::store::Outgoing;

impl OutboxWorker {
    /// Everything that is due and not critical, beginning with this; and what was claimed on the way and waits for nobody.
    pub(super) async fn claim_batch(&self, first: Outgoing) -> (Vec<Outgoing>, Option<Outgoing>) {
        let mut claimed = Vec::new();
        let mut next = Some(first);
        while let Some(head) = next.take() {
            if !batch::waits(&head.notice) {
                return (claimed, Some(head));
            }
            // What came of the same incident goes along: two mails about it would be one too many.
            let behind = self.store.claim_behind(&head, &self.name, LEASE).await.unwrap_or_else(|error| {
                tracing::error!(channel = self.channel.name(), %error, "could not claim the messages behind one");
                Vec::new()
            });
            claimed.push(head);
            claimed.extend(behind);
            if claimed.len() < batch::MOST {
                next = self.claim().await;
            }
        }
        (claimed, None)
    }

    /// This message, and many more when more wait than the channel takes in half a minute.
    pub(super) async fn claim_some(&self, first: Outgoing) -> Vec<Outgoing> {
        let mut claimed = vec![first];
        let Some(most) = self.merge_above else { return claimed };
        let waiting = self.store.waiting(self.channel.name(), most + 1).await.unwrap_or_else(|error| {
            tracing::error!(channel = self.channel.name(), %error, "could not count waiting messages");
            0
        });
        if waiting >= u64::from(most) {
            while claimed.len() < summary::MOST
                && let Some(next) = self.claim().await
            {
                claimed.push(next);
            }
        }
        claimed
    }

    /// Sends one message that stands for many; each of them ends as that one does.
    pub(super) async fn send_together(&mut self, claimed: &[Outgoing], notice: &Notice) {
        failpoint::pass("before-send").await;
        let begun = Instant::now();
        let attempt = tokio::time::timeout(ATTEMPT_LIMIT, self.channel.send(notice)).await;
        match self.counted(begun, attempt).await {
            Ok(form) => {
                self.metrics.notice_sent(self.channel.name());
                tracing::info!(
                    channel = self.channel.name(),
                    messages = claimed.len(),
                    form = form.label(),
                    "messages sent as one"
                );
                failpoint::pass("before-mark").await;
                for outgoing in claimed {
                    if let NoticeBody::Summary { collected: false, .. } = notice.body {
                        self.metrics.rule(Rule::Summary.word());
                    }
                    self.note_first(outgoing);
                    self.keep(outgoing, self.store.mark_sent(outgoing, "summary").await);
                }
            }
            Err(error) => {
                for outgoing in claimed {
                    self.failed(outgoing, &error).await;
                }
            }
        }
    }
}
