//! The ladder every channel climbs down: a message that is refused for its form is tried again in a plainer one.

use std::future::Future;

use thiserror::Error;

use super::send::{Form, Reason, SendError};

/// Why one attempt failed.
#[derive(Debug, Error)]
pub enum Refusal {
    /// It does not fit in this form and was not sent.
    #[error("it does not fit")]
    Unfit,
    /// The destination refuses this form (too long, invalid card): a plainer one may pass.
    #[error("{0}")]
    Form(String),
    /// Anything else: a plainer form would fail the same way.
    #[error(transparent)]
    Other(SendError),
}

impl Refusal {
    /// Whether the same may be taken in a while, without anybody doing anything.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Other(error) if error.reason.is_retryable())
    }
}

/// Sends the richest form the destination accepts. Each form is tried once; the attempt is told whether the destination
/// has refused one already, which says that its limits are tighter than documented.
///
/// # Errors
/// What the destination said to the last form, or to any form for reasons a plainer one would not change.
pub async fn descend<Attempt>(mut attempt: impl FnMut(Form, bool) -> Attempt) -> Result<Form, SendError>
where
    Attempt: Future<Output = Result<(), Refusal>>,
{
    let mut last = None;
    for form in [Form::Full, Form::Compact, Form::Plain] {
        match attempt(form, last.is_some()).await {
            Ok(()) => return Ok(form),
            Err(Refusal::Other(error)) => return Err(error),
            Err(Refusal::Unfit) => tracing::debug!(?form, "a message does not fit in this form"),
            Err(Refusal::Form(said)) => {
                tracing::info!(?form, %said, "the destination refuses this form of a message");
                last = Some(said);
            }
        }
    }
    Err(SendError::new(Reason::Rejected, last.unwrap_or_else(|| "the message fits in no form".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_form_is_tried_until_one_passes() {
        let mut tried = Vec::new();
        let sent = descend(|form, _| {
            tried.push(form);
            std::future::ready(if form == Form::Plain { Ok(()) } else { Err(Refusal::Form("too long".into())) })
        })
        .await;
        assert_eq!(sent.expect("the plain form passes"), Form::Plain);
        assert_eq!(tried, [Form::Full, Form::Compact, Form::Plain]);
    }

    #[tokio::test]
    async fn a_failure_that_is_not_about_the_form_ends_the_attempt() {
        let mut tried = 0;
        let sent = descend(|_, _| {
            tried += 1;
            std::future::ready(Err(Refusal::Other(SendError::new(Reason::Auth, "wrong key"))))
        })
        .await;
        assert_eq!((sent.expect_err("refused").reason, tried), (Reason::Auth, 1));
    }

    #[tokio::test]
    async fn a_message_refused_in_every_form_says_what_was_said_last() {
        let refused = descend(|_, _| std::future::ready(Err(Refusal::Form("19036".into())))).await;
        let error = refused.expect_err("refused");
        assert_eq!((error.reason, error.detail.as_str()), (Reason::Rejected, "19036"));
    }
}
