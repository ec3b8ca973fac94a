//! One exchange over HTTP: its silences, its length, and errors that keep their status.

use std::sync::Arc;
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::model::config::ModelConfig;
use crate::model::error::{Class, ModelError};
use crate::model::retry;
use crate::model::tape::Tape;
use crate::model::wire::{self, Fault};
use crate::redact::Echo;
use crate::unreached::root_cause;

/// The most that is read of an error body.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// One exchange. Whatever comes back leaves here either as a plain completion object or as our own error, so that
/// nothing above sees a stream, and no library logs a body it could not read.
pub(super) async fn exchange(
    config: Arc<ModelConfig>,
    http: reqwest::Client,
    tape: Option<Arc<Tape>>,
    factory: HttpRequestFactory,
) -> Result<reqwest::Response, OpenAIError> {
    let request = factory.build().await?;
    let outcome = match tape {
        Some(tape) => {
            let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default().to_vec();
            tape.exchange(&config.name, &body, ask(&config, &http, request)).await
        }
        None => ask(&config, &http, request).await,
    };
    let completion = outcome.map_err(|error| OpenAIError::Boxed(Box::new(error)))?;
    Ok(http::Response::new(reqwest::Body::from(completion.to_string())).into())
}

async fn ask(config: &ModelConfig, http: &reqwest::Client, request: reqwest::Request) -> Result<Value, ModelError> {
    let idle = config.idle_timeout();
    let response = tokio::time::timeout(idle, http.execute(request))
        .await
        .map_err(|_| fault_error(config, Fault::Silent(idle)))?
        .map_err(|error| connection_error(config, error))?;
    let status = response.status();
    if !status.is_success() {
        let retry_after = retry::wait_asked_for(response.headers());
        let body = error_body(response, idle).await;
        return Err(scrubbed(config, ModelError::refused(&config.name, Some(status.as_u16()), retry_after, &body)));
    }
    wire::assemble(metered(response, idle)).await.map_err(|fault| fault_error(config, fault))
}

/// The body in chunks, with an end to its length and to its silences. Keep-alive comments count as life here; the
/// time limit of the whole call ends a provider that sends nothing else.
fn metered(response: reqwest::Response, idle: Duration) -> impl Stream<Item = Result<Bytes, Fault>> {
    stream::try_unfold((response, 0_usize), move |(mut response, read)| async move {
        let chunk = tokio::time::timeout(idle, response.chunk())
            .await
            .map_err(|_| Fault::Silent(idle))?
            .map_err(|error| Fault::Broken(root_cause(&error)))?;
        let Some(chunk) = chunk else { return Ok(None) };
        let read = read + chunk.len();
        if read > wire::MAX_ANSWER_BYTES {
            return Err(Fault::TooLong);
        }
        Ok(Some((chunk, (response, read))))
    })
}

async fn error_body(response: reqwest::Response, idle: Duration) -> String {
    let mut chunks = std::pin::pin!(metered(response, idle));
    let mut bytes = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ERROR_BYTES {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn fault_error(config: &ModelConfig, fault: Fault) -> ModelError {
    let class = match &fault {
        Fault::Refused { status, body } => {
            return scrubbed(config, ModelError::refused(&config.name, *status, None, body));
        }
        Fault::NotJson | Fault::Empty | Fault::TooLong => Class::BadAnswer,
        Fault::Cut | Fault::Broken(_) => Class::Network,
        Fault::Silent(_) => Class::Timeout,
    };
    ModelError::new(&config.name, class, fault.to_string())
}

pub(super) fn connection_error(config: &ModelConfig, error: reqwest::Error) -> ModelError {
    let class = match () {
        () if error.is_builder() => Class::Config,
        () if error.is_timeout() => Class::Timeout,
        () => Class::Network,
    };
    scrubbed(config, ModelError::new(&config.name, class, root_cause(&error)))
}

fn scrubbed(config: &ModelConfig, error: ModelError) -> ModelError {
    let secrets = config.api_key.iter().chain(config.headers.values());
    let error = secrets.fold(error, |error, secret| error.without(secret.expose_secret()));
    // Some providers take the key in the address, and repeat that too.
    let Ok(mut address) = config.base_url.parse::<url::Url>() else { return error };
    address.query_pairs_mut().extend_pairs(&config.query);
    let echo = Echo::default().and_of_address(&address);
    ModelError { detail: echo.without(error.detail), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a37_a_key_that_a_provider_repeats_is_told_to_nobody() {
        let config = "{ name: a, base_url: 'https://x.example/v1?api_key=in-the-address', model: m, api_key: sk-secret,
                        headers: { x-gateway: of-the-gateway }, query: { token: of-the-query, api-version: preview } }";
        let config: ModelConfig = yaml_serde::from_str(config).unwrap();
        let said = "no sk-secret of-the-gateway at /v1?api_key=in-the-address&token=of-the-query&api-version=preview";
        let error = scrubbed(&config, ModelError::new("a", Class::Auth, said));
        for secret in ["sk-secret", "of-the-gateway", "in-the-address", "of-the-query"] {
            assert!(!error.to_string().contains(secret), "{error}");
        }
        assert!(error.to_string().contains("api-version=preview"), "what is no secret stays: {error}");
    }
}
