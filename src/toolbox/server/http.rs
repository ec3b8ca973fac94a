//! Streamable HTTP, by rmcp's client.

use rmcp::ServiceExt;
use rmcp::service::ClientInitializeError;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::ExponentialBackoff;
use rmcp::transport::streamable_http_client::{StreamableHttpClientTransportConfig, StreamableHttpError};

use super::MESSAGE_LIMIT;
use super::error::DialError;
use super::remote::Remote;
use super::session::Connection;

/// A stream that breaks is opened again so often; nothing of ours depends on it, and a lost session is dialled anew.
const STREAM_TRIES: usize = 3;

/// Initializes a session, or finds that the server needs none.
pub(super) async fn connect(remote: &Remote) -> Result<Connection, DialError> {
    let transport = StreamableHttpClientTransport::with_client(remote.client.clone(), config(remote));
    match ().serve(transport).await {
        Ok(service) => Ok(service.into()),
        Err(error) => Err(DialError { speaks_otherwise: speaks_otherwise(&error), ..error.into() }),
    }
}

fn config(remote: &Remote) -> StreamableHttpClientTransportConfig {
    let mut retry = ExponentialBackoff::default();
    retry.max_times = Some(STREAM_TRIES);
    let mut config = StreamableHttpClientTransportConfig::with_uri(remote.url.as_str())
        .custom_headers(remote.headers.clone())
        .reinit_on_expired_session(false)
        .max_sse_event_size(MESSAGE_LIMIT)
        .max_json_response_size(MESSAGE_LIMIT);
    config.allow_stateless = true;
    config.retry_config = std::sync::Arc::new(retry);
    config
}

/// Whether the server is there but gave to `initialize` what is no answer of this transport.
fn speaks_otherwise(error: &ClientInitializeError) -> bool {
    let ClientInitializeError::TransportError { error, .. } = error else { return false };
    error.error.downcast_ref().is_some_and(answers_no_post)
}

/// Servers of the older transport answer a POST without a session 400, 404 or 405; gateways may say it in HTML.
fn answers_no_post(error: &StreamableHttpError<reqwest::Error>) -> bool {
    match error {
        StreamableHttpError::UnexpectedServerResponse(text) => {
            ["HTTP 400", "HTTP 404", "HTTP 405"].iter().any(|status| text.starts_with(status))
        }
        StreamableHttpError::UnexpectedContentType(_) => true,
        _ => false,
    }
}
