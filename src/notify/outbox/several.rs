//! Several messages in one: what a window collected, and what is more than the channel takes one by one.

use std::time::Duration;

use tokio::time::Instant;

use super::claim::is_old;
use super::{ATTEMPT_LIMIT, FRESH, OutboxWorker};
use crate::failpoint;
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::rule::Rule;
use crate::notify::send::Reason;
use crate::notify::{batch, summary};
use crate::store::Outgoing;

/// Whether there is time to claim more before the first of these is too old to be sent: on a slow database fewer go together.
fn are_fresh(claimed: &[Outgoing]) -> bool {
    claimed.first().is_none_or(|first| first.claimed_at.elapsed() < FRESH / 2)
}

/// How long a claimed message waits for a turn of its own; its claim is fresh enough then.
const APART: Duration = Duration::from_secs(2);

impl OutboxWorker {
    /// Everything that is due and not critical, beginning with this; and what was claimed on the way and goes with nobody.
    pub(super) async fn claim_batch(&mut self, first: Outgoing) -> (Vec<Outgoing>, Option<Outgoing>) {
        let mut claimed = Vec::new();
        let mut next = Some(first);
        while let Some(head) = next.take() {
            if !batch::waits(&head.notice) || !summary::is_a_line(&head.notice) || head.ends > 0 {
                return (claimed, Some(head));
            }
            // What came of the same incident goes along: two mails about it would be one too many.
            let behind = self.claim_behind(&head).await;
            claimed.push(head);
            claimed.extend(behind);
            if summary::count(&claimed) < batch::MOST && are_fresh(&claimed) {
                next = self.claim().await;
            }
        }
        (claimed, None)
    }

    /// This message, and many more when more wait than the channel takes: when nothing was sent for a while that is half a
    /// minute's worth, and it becomes less as the minute's messages are spent, so that some are always left. And one that
    /// was claimed on the way and goes alone: what changes a card people have is told there and nowhere else.
    pub(super) async fn claim_some(&mut self, first: Outgoing) -> (Vec<Outgoing>, Option<Outgoing>) {
        let (mut claimed, mut alone) = (vec![first], None);
        let Some(most) = self.merge_above.map(|most| self.scaled(most)) else { return (claimed, None) };
        if self.goes_alone(&claimed[0]).await {
            return (claimed, None);
        }
        let waiting = self.store.waiting(self.channel.name(), most + 1).await.unwrap_or_else(|error| {
            tracing::error!(channel = self.channel.name(), %error, "could not count waiting messages");
            0
        });
        if waiting >= u64::from(most) {
            let together = if self.short { summary::SURE } else { self.channel.most_together() };
            while claimed.len() < together
                && are_fresh(&claimed)
                && let Some(next) = self.claim().await
            {
                if self.goes_alone(&next).await {
                    alone = Some(next);
                    break;
                }
                claimed.push(next);
            }
            self.put_back_what_has_no_room(&mut claimed).await;
        }
        (claimed, alone)
    }

    /// Whether a message shares none with others: it has more names than a line holds, changes a card, or may be what ended
    /// its last sender. One the store does not tell of may.
    async fn goes_alone(&self, outgoing: &Outgoing) -> bool {
        if outgoing.ends > 0 || !summary::is_a_line(&outgoing.notice) {
            return true;
        }
        if !self.channel.changes_in_place() {
            return false;
        }
        let card = self.store.card(outgoing.incident, self.channel.name()).await;
        card.map_or(true, |card| card.is_some())
    }

    /// A share of what may wait, as large as that of the messages that are left.
    fn scaled(&self, most: u32) -> u32 {
        let (left, all) = self.pace.left();
        let share = u64::from(most) * u64::from(left) / u64::from(all.max(1));
        u32::try_from(share).unwrap_or(u32::MAX).max(1)
    }

    /// Every name stands in some message: those that this one has no room for stay in the store.
    async fn put_back_what_has_no_room(&self, claimed: &mut Vec<Outgoing>) {
        let sure = summary::sure(claimed);
        let mut held = if self.short { sure } else { claimed.len() };
        while held > sure && summary::summary(&claimed[..held]).is_none_or(|notice| !self.channel.names_all(&notice)) {
            held -= (held / 8).max(1);
        }
        self.put_back(claimed.drain(held.max(sure)..)).await;
    }

    pub(super) async fn put_back(&self, unsent: impl IntoIterator<Item = Outgoing>) {
        for outgoing in unsent {
            self.keep(&outgoing, self.store.put_back(&outgoing).await);
        }
    }

    /// Sends what was claimed on the way and goes with nobody: a message more, and so a turn more. Where that is not there
    /// soon it waits in the store, where it is nobody's.
    pub(super) async fn send_apart(&mut self, apart: Option<Outgoing>) {
        let Some(apart) = apart else { return };
        let begun = Instant::now();
        while begun.elapsed() < APART {
            let mut wait = self.pace.wait();
            if wait.is_zero() {
                match self.pace.take().await {
                    None => return self.send_one(apart).await,
                    Some(turn) => wait = turn,
                }
            }
            tokio::time::sleep(wait.min(APART)).await;
        }
        self.put_back([apart]).await;
    }

    /// Sends one message that stands for many; each of them ends as that one does.
    pub(super) async fn send_together(&mut self, claimed: Vec<Outgoing>, notice: &Notice) {
        failpoint::pass("before-send").await;
        if claimed.iter().any(|outgoing| is_old(outgoing.claimed_at)) {
            tracing::warn!(
                channel = self.channel.name(),
                messages = claimed.len(),
                "this process was held up since it claimed messages, which are left to the next"
            );
            return self.put_back(claimed).await;
        }
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
                for outgoing in &claimed {
                    // Whoever looks for one incident finds where it was told.
                    tracing::info!(channel = self.channel.name(), incident.id = %outgoing.incident, role = outgoing.role.word(), form = "summary", "message sent");
                    if let NoticeBody::Summary { collected: false, .. } = notice.body {
                        self.metrics.rule(Rule::Summary.word());
                    }
                    self.note_first(outgoing);
                    self.mark(outgoing, "summary").await;
                }
            }
            // Its limits are tighter than they are documented: from now on fewer go together.
            Err(error)
                if error.reason == Reason::Rejected && claimed.len() > summary::sure(&claimed) && !self.short =>
            {
                tracing::warn!(channel = self.channel.name(), messages = claimed.len(), %error, "so many messages as one are refused; fewer go together from now on");
                self.short = true;
                self.put_back(claimed).await;
            }
            Err(error) => {
                for outgoing in &claimed {
                    self.failed(outgoing, &error).await;
                }
            }
        }
    }
}
