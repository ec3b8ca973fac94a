//! The contract, from what anybody can see: every accepted alert is sent, merged, suppressed, dead or still pending.

use super::service::Service;

/// Where the alerts stand that a service ever accepted, as `/metrics` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    pub accepted: u64,
    pub pending: u64,
    pub sent: u64,
    pub merged: u64,
    pub suppressed: u64,
    pub dead: u64,
}

impl Balance {
    fn of(metrics: &str) -> Self {
        let value = |start: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(start));
            let line = line.unwrap_or_else(|| panic!("{start} is not among\n{metrics}"));
            line.trim().parse().unwrap_or_else(|_| panic!("{start}{line} is no count"))
        };
        let standing = |outcome: &str| value(&format!("firstlook_alerts{{outcome=\"{outcome}\"}} "));
        Self {
            accepted: value("firstlook_alerts_accepted_total "),
            pending: standing("pending"),
            sent: standing("sent"),
            merged: standing("merged"),
            suppressed: standing("suppressed"),
            dead: standing("dead"),
        }
    }

    /// Alerts that have come to their end.
    pub fn ended(self) -> u64 {
        self.sent + self.merged + self.suppressed + self.dead
    }
}

/// The balance of a service now. Fails when its sum is wrong: whatever is going on, it never may be.
pub async fn balance(service: &Service) -> Balance {
    let answer = service.request(reqwest::Method::GET, "/metrics").send().await.unwrap();
    let balance = Balance::of(&answer.text().await.unwrap());
    assert_eq!(balance.accepted, balance.ended() + balance.pending, "{balance:?}\n{}", service.log());
    balance
}

/// The same where senders may have come again: so many alerts at least were accepted, and every one has its end.
pub async fn holds_at_least(service: &Service, accepted: u64, seconds: u64) -> Balance {
    let begun = tokio::time::Instant::now();
    loop {
        let balance = balance(service).await;
        assert!(balance.accepted >= accepted, "accepted: {balance:?}\n{}", service.log());
        if balance.pending == 0 {
            return balance;
        }
        let in_time = begun.elapsed().as_secs() < seconds;
        assert!(in_time, "still pending after {seconds} s: {balance:?}\n{}", service.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Waits until nothing is pending, and fails unless so many alerts were accepted and every one has its end.
pub async fn holds(service: &Service, accepted: usize, seconds: u64) -> Balance {
    let balance = holds_at_least(service, accepted as u64, seconds).await;
    assert_eq!(balance.accepted, accepted as u64, "accepted: {balance:?}\n{}", service.log());
    balance
}
