//! Trying again, in this one place and nowhere else: nested retries multiply into a flood.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use tokio::time::Instant;

use super::error::ModelError;

/// Tries after the first. An answer is only used whole, so that a repeated question never runs a tool twice.
const RETRIES: usize = 2;

/// The first pause; the second is three times as long, both with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What must be left after a pause to make another try worth it.
const WORTH_TRYING: Duration = Duration::from_secs(1);

/// Runs a call up to three times, as long as what failed can succeed and the pause fits before the deadline.
pub(super) async fn persist<T, F>(deadline: Instant, call: impl FnMut() -> F) -> Result<T, ModelError>
where
    F: Future<Output = Result<T, ModelError>>,
{
    let pauses =
        ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_factor(3.0).with_max_times(RETRIES).with_jitter();
    call.retry(pauses)
        .when(|error| error.class.is_retryable())
        .adjust(|error, pause| {
            let pause = error.retry_after.map_or(pause?, |asked| asked.max(pause.unwrap_or_default()));
            (Instant::now() + pause + WORTH_TRYING <= deadline).then_some(pause)
        })
        .notify(|error, pause| {
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(model = %error.model, class = error.class.label(), pause_ms, "model call failed, trying again");
        })
        .await
}

/// How long a `Retry-After` header asks to wait: seconds, or the time until an HTTP date.
pub(super) fn wait_asked_for(header: &str) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let date = jiff::fmt::rfc2822::parse(header).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::model::Class;

    #[test]
    fn both_forms_of_retry_after_are_read() {
        assert_eq!(wait_asked_for("7200"), Some(Duration::from_secs(7200)));
        assert_eq!(wait_asked_for("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait_asked_for("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO), "past dates ask for nothing");
        let soon = Timestamp::now() + jiff::SignedDuration::from_secs(30);
        let date = jiff::fmt::rfc2822::to_string(&soon.to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
        let wait = wait_asked_for(&date.replace("+0000", "GMT")).unwrap();
        assert!(wait > Duration::from_secs(28) && wait <= Duration::from_secs(30), "{wait:?}");
        assert_eq!(wait_asked_for("soon"), None);
    }

    async fn tries(class: Class, retry_after: Option<Duration>, left: Duration) -> usize {
        let count = Cell::new(0);
        let call = || async {
            count.set(count.get() + 1);
            Err::<(), _>(ModelError { retry_after, ..ModelError::new("m", class, "") })
        };
        persist(Instant::now() + left, call).await.unwrap_err();
        count.get()
    }

    #[tokio::test]
    async fn a_wait_that_does_not_fit_is_not_begun() {
        let minute = Duration::from_secs(60);
        assert_eq!(tries(Class::RateLimited, Some(Duration::from_secs(7200)), minute).await, 1);
        assert_eq!(tries(Class::Auth, None, minute).await, 1);
        assert_eq!(tries(Class::Server, None, Duration::from_secs(1)).await, 1);
    }

    #[tokio::test]
    async fn three_tries_are_all() {
        assert_eq!(tries(Class::Server, None, Duration::from_secs(60)).await, 3);
    }
}
