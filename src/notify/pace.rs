//! Pace: so many messages in so long, counted over a sliding window as the chat services count them.
//!
//! A token bucket would let nearly twice the allowed number through in its first minute; WeCom drops those.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::Quota;

/// When messages went out, as far back as any quota looks.
pub struct Pace {
    quotas: &'static [Quota],
    sent: VecDeque<Instant>,
}

impl Pace {
    /// Nothing sent yet.
    #[must_use]
    pub fn new(quotas: &'static [Quota]) -> Self {
        Self { quotas, sent: VecDeque::new() }
    }

    /// How long until the next message may go; zero when it may go now.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let now = Instant::now();
        self.quotas.iter().map(|quota| self.wait_for(quota, now)).max().unwrap_or_default()
    }

    fn wait_for(&self, quota: &Quota, now: Instant) -> Duration {
        let allowed = usize::try_from(quota.messages).unwrap_or(usize::MAX).max(1);
        // The message that must have left the window before another fits into it.
        let Some(index) = self.sent.len().checked_sub(allowed) else { return Duration::ZERO };
        self.sent.get(index).map_or(Duration::ZERO, |sent| (*sent + quota.per).saturating_duration_since(now))
    }

    /// Notes that a message goes out now.
    pub fn note(&mut self) {
        self.sent.push_back(Instant::now());
        let most = self.quotas.iter().map(|quota| quota.messages).max().unwrap_or(0);
        while self.sent.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            self.sent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static QUOTAS: [Quota; 2] =
        [Quota { messages: 2, per: Duration::from_secs(1) }, Quota { messages: 3, per: Duration::from_secs(60) }];

    #[tokio::test(start_paused = true)]
    async fn every_window_holds() {
        let mut pace = Pace::new(&QUOTAS);
        pace.note();
        assert_eq!(pace.wait(), Duration::ZERO);
        pace.note();
        assert_eq!(pace.wait(), Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pace.wait(), Duration::ZERO);
        pace.note();
        assert_eq!(pace.wait(), Duration::from_secs(59), "the first three fill the minute");
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(pace.wait(), Duration::ZERO);
    }
}
