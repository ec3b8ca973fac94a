//! When a message that was not delivered is tried again: decided once, for every channel.

use std::time::Duration;

use super::send::SendError;

/// Waits after the first failures: within a second, and five times in the first half minute.
const FIRST_WAITS_MS: &[u64] = &[500, 1_500, 4_000, 8_000, 14_000];
/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(300);
/// About a day of attempts at the longest wait; what fails for longer is put aside where people see it.
const GIVE_UP_AFTER: u32 = 300;

/// How long to wait after the `attempt`-th failure (counted from 1); `None` when trying again is of no use.
#[must_use]
pub fn wait(attempt: u32, error: &SendError) -> Option<Duration> {
    if !error.reason.is_retryable() || attempt >= GIVE_UP_AFTER {
        return None;
    }
    let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let own = FIRST_WAITS_MS.get(index).copied().map_or_else(
        || {
            let doublings = u32::try_from(index - FIRST_WAITS_MS.len()).unwrap_or(u32::MAX).min(8);
            (Duration::from_secs(20) * 2_u32.pow(doublings)).min(LONGEST)
        },
        Duration::from_millis,
    );
    // A destination that names its own time is believed, within reason: a typo there must not silence a channel.
    Some(error.retry_after.map_or(own, |asked| asked.clamp(own, Duration::from_secs(3_600))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::send::Reason;

    fn failed(reason: Reason) -> SendError {
        SendError::new(reason, "x")
    }

    #[test]
    fn the_first_try_comes_within_a_second_and_five_within_half_a_minute() {
        let waits: Vec<_> = (1..=5).map(|attempt| wait(attempt, &failed(Reason::Network)).unwrap()).collect();
        assert!(waits[0] <= Duration::from_secs(1));
        assert!(waits.iter().sum::<Duration>() <= Duration::from_secs(30));
    }

    #[test]
    fn waits_grow_to_a_limit_and_end() {
        assert_eq!(wait(6, &failed(Reason::Server)), Some(Duration::from_secs(20)));
        assert_eq!(wait(200, &failed(Reason::Server)), Some(LONGEST));
        assert_eq!(wait(GIVE_UP_AFTER, &failed(Reason::Server)), None);
    }

    #[test]
    fn what_people_must_mend_is_not_tried_again() {
        assert_eq!(wait(1, &failed(Reason::Auth)), None);
        assert_eq!(wait(1, &failed(Reason::Rejected)), None);
    }

    #[test]
    fn a_destinations_own_time_is_kept() {
        let asked = SendError { retry_after: Some(Duration::from_secs(60)), ..failed(Reason::RateLimited) };
        assert_eq!(wait(1, &asked), Some(Duration::from_secs(60)));
        let absurd = SendError { retry_after: Some(Duration::from_secs(1 << 30)), ..failed(Reason::RateLimited) };
        assert_eq!(wait(1, &absurd), Some(Duration::from_secs(3_600)));
    }
}
