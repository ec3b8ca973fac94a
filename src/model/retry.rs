//! Trying again, in this one place and nowhere else: nested retries multiply into a flood.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

use super::error::ModelError;
use super::form::Form;
use super::reaction::Reaction;

/// Tries after the first in the same form. An answer is only used whole, so that a repeated question never runs a tool
/// twice.
const RETRIES: usize = 2;

/// Changes of form within one call; each is made once, and one is nearly always enough.
const MAX_CHANGES: usize = 4;

/// The first pause; the second is three times as long, both with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What a limit of tokens per minute takes to pass.
const A_MINUTE: Duration = Duration::from_secs(60);

/// What must be left after a pause to make another try worth it.
const WORTH_TRYING: Duration = Duration::from_secs(1);

/// Runs a call up to three times in one form, as long as what failed can succeed and the pause fits before the
/// deadline, and once more for each change of form. `reform` gives the next form after a failure, if there is one.
/// What is returned beside the answer is the form that worked.
pub(super) async fn persist<T, F>(
    deadline: Instant,
    mut form: Form,
    mut call: impl FnMut(Form) -> F,
    reform: impl Fn(&ModelError, &Form) -> Option<Form>,
) -> Result<(T, Form), ModelError>
where
    F: Future<Output = Result<T, ModelError>>,
{
    let mut pauses = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_factor(3.0)
        .with_max_times(RETRIES)
        .with_jitter()
        .build();
    let mut changes = 0;
    loop {
        let error = match call(form.clone()).await {
            Ok(answer) => return Ok((answer, form)),
            Err(error) => error,
        };
        let pause = match error.reaction {
            Reaction::Resend(_) if changes < MAX_CHANGES => match reform(&error, &form) {
                Some(next) => {
                    changes += 1;
                    form = next;
                    Duration::ZERO
                }
                None => return Err(error),
            },
            reaction => match pauses.next().and_then(|own| pause_before(reaction, own, error.retry_after)) {
                Some(pause) => pause,
                None => return Err(error),
            },
        };
        // A minute is worth waiting only where more than another is left: a second model may answer meanwhile.
        let needed = if error.reaction == Reaction::WaitMinute { pause * 2 } else { pause };
        if Instant::now() + needed + WORTH_TRYING > deadline {
            return Err(error);
        }
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(model = %error.model, class = error.class.label(), reaction = ?error.reaction, pause_ms, "model call failed, trying again");
        tokio::time::sleep(pause).await;
    }
}

/// How long to wait before the same is asked again; `None` when asking again cannot help.
fn pause_before(reaction: Reaction, own: Duration, asked: Option<Duration>) -> Option<Duration> {
    let at_least = match reaction {
        Reaction::RetryBackoff | Reaction::WaitRetryAfter => Duration::ZERO,
        Reaction::WaitMinute => A_MINUTE,
        Reaction::Resend(_) | Reaction::ShrinkOnce | Reaction::WithholdNewest | Reaction::NextModel => return None,
    };
    Some(own.max(at_least).max(asked.unwrap_or_default()))
}

/// How long the headers of a refusal ask to wait; the one in milliseconds is the more exact.
pub(super) fn wait_asked_for(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let milliseconds = text("retry-after-ms").and_then(|value| value.trim().parse::<f64>().ok());
    let exact = milliseconds.and_then(|value| Duration::try_from_secs_f64(value.max(0.0) / 1000.0).ok());
    exact.or_else(|| text(RETRY_AFTER.as_str()).and_then(wait_in))
}

/// What a `Retry-After` says: seconds, or the time until an HTTP date.
fn wait_in(header: &str) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::form::Change;
    use super::*;
    use crate::model::Class;

    #[test]
    fn every_form_of_retry_after_is_read() {
        assert_eq!(wait_in("7200"), Some(Duration::from_secs(7200)));
        assert_eq!(wait_in("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait_in("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO), "past dates ask for nothing");
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(30);
        let soon = soon.to_zoned(jiff::tz::TimeZone::UTC);
        // IMF-fixdate, RFC 850 and asctime: RFC 9110 has all three read.
        for form in ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"] {
            let wait = wait_in(&soon.strftime(form).to_string()).unwrap_or_else(|| panic!("{form}"));
            assert!(wait > Duration::from_secs(27) && wait <= Duration::from_secs(30), "{form}: {wait:?}");
        }
        assert_eq!(wait_in("soon"), None);
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "2".parse().unwrap());
        assert_eq!(wait_asked_for(&headers), Some(Duration::from_secs(2)));
        headers.insert("retry-after-ms", "1250".parse().unwrap());
        assert_eq!(wait_asked_for(&headers), Some(Duration::from_millis(1250)));
    }

    /// The forms in which a call that always fails is made.
    async fn tries(error: ModelError, left: Duration) -> Vec<Form> {
        let seen = RefCell::new(Vec::new());
        let call = |form: Form| async {
            seen.borrow_mut().push(form);
            Err::<(), _>(error.clone())
        };
        let reform = |error: &ModelError, form: &Form| match error.reaction {
            Reaction::Resend(change) => form.with(change),
            _ => None,
        };
        persist(Instant::now() + left, Form::default(), call, reform).await.unwrap_err();
        seen.into_inner()
    }

    fn error(class: Class, retry_after: Option<Duration>) -> ModelError {
        ModelError { retry_after, ..ModelError::new("m", class, "") }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_wait_that_does_not_fit_is_not_begun() {
        let hours = Some(Duration::from_secs(7200));
        assert_eq!(tries(error(Class::RateLimited, hours), MINUTE).await.len(), 1);
        assert_eq!(tries(error(Class::Auth, None), MINUTE).await.len(), 1);
        assert_eq!(tries(error(Class::Server, None), Duration::from_secs(1)).await.len(), 1);
        let tpm = ModelError { reaction: Reaction::WaitMinute, ..error(Class::RateLimited, None) };
        assert_eq!(tries(tpm, MINUTE).await.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn three_tries_are_all() {
        assert_eq!(tries(error(Class::Server, None), MINUTE).await.len(), 3);
        let tpm = ModelError { reaction: Reaction::WaitMinute, ..error(Class::RateLimited, None) };
        let began = Instant::now();
        assert_eq!(tries(tpm, MINUTE * 5).await.len(), 3);
        assert!(began.elapsed() >= MINUTE * 2, "a limit by the minute is waited for by the minute");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_form_is_tried_once_and_at_once() {
        let change = Change::DropParameter("temperature");
        let refused = ModelError { reaction: Reaction::Resend(change), ..error(Class::Rejected, None) };
        let began = Instant::now();
        let forms = tries(refused, MINUTE).await;
        assert_eq!(forms, [Form::default(), Form::default().with(change).unwrap()]);
        assert!(began.elapsed() < FIRST_PAUSE);
    }
}
