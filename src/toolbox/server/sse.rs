//! The transport before streamable HTTP: answers come on one event stream, requests are posted to the address it names.
//!
//! kubernetes-mcp-server up to 0.0.66 offers it at `/sse`, the oldest ones nothing else. rmcp has no client for it any more.

use std::time::Duration;

use futures::StreamExt;
use rmcp::ServiceExt;
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::common::client_side_sse::BoxedSseResponse;
use rmcp::transport::streamable_http_client::StreamableHttpClient;
use thiserror::Error;
use url::Url;

use super::MESSAGE_LIMIT;
use super::error::{DialError, chain};
use super::remote::Remote;
use super::session::{Connection, LastWords};

/// A request is acknowledged at once; its answer comes on the stream.
const POST_LIMIT: Duration = Duration::from_secs(10);

/// What goes wrong on this transport.
#[derive(Debug, Error)]
enum SseError {
    #[error("the event stream at {url} ended before it named an endpoint")]
    NoEndpoint { url: Url },
    #[error("the endpoint {endpoint} is no address")]
    BadEndpoint { endpoint: String },
    #[error(
        "{url} names an endpoint of another origin, {endpoint}, and gets no requests sent there; start the server without \
         --sse-base-url, or give the address it names as url"
    )]
    Foreign { url: Url, endpoint: String },
    #[error("POST answered HTTP {status}")]
    Refused { status: u16 },
    #[error("could not post: {0}")]
    Post(String),
}

/// Opens the stream and initializes a session on it.
pub(super) async fn connect(remote: &Remote, url: &Url) -> Result<Connection, DialError> {
    let mut events = remote
        .client
        .get_stream_with_max_sse_event_size(
            url.as_str().into(),
            None,
            None,
            None,
            remote.headers.clone(),
            MESSAGE_LIMIT,
        )
        .await
        .map_err(|error| DialError::new(&error))?;
    let endpoint = endpoint(&mut events, url).await.map_err(|error| DialError::new(&error))?;
    let last_words = LastWords::default();
    let post = remote.client.post(endpoint).headers(remote.headers.clone().into_iter().collect()).timeout(POST_LIMIT);
    let transport = SseTransport { post, events, last_words: last_words.clone() };
    match ().serve(transport).await {
        Ok(service) => Ok(Connection { service, last_words, _kept: None }),
        Err(error) => Err(DialError::from(error).with(&last_words)),
    }
}

/// Waits for the address requests go to. Another origin than the stream's would be sent our credentials.
async fn endpoint(events: &mut BoxedSseResponse, url: &Url) -> Result<Url, SseError> {
    while let Some(Ok(event)) = events.next().await {
        if event.event.as_deref() != Some("endpoint") {
            continue;
        }
        let endpoint = event.data.unwrap_or_default();
        let Ok(resolved) = url.join(endpoint.trim()) else { return Err(SseError::BadEndpoint { endpoint }) };
        if resolved.origin() != url.origin() {
            return Err(SseError::Foreign { url: url.clone(), endpoint: resolved.origin().ascii_serialization() });
        }
        return Ok(resolved);
    }
    Err(SseError::NoEndpoint { url: url.clone() })
}

/// The stream and where to post. It never reconnects: its end is the session's end.
struct SseTransport {
    /// The request without its body.
    post: reqwest::RequestBuilder,
    events: BoxedSseResponse,
    last_words: LastWords,
}

impl Transport<RoleClient> for SseTransport {
    type Error = SseError;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        // A request without a body of ours can always be copied.
        let request = self.post.try_clone().map(|post| post.json(&message));
        async move {
            let request = request.ok_or_else(|| SseError::Post("the request cannot be repeated".to_owned()))?;
            let response = request.send().await.map_err(|error| SseError::Post(chain(&error.without_url())))?;
            let status = response.status();
            if status.is_success() { Ok(()) } else { Err(SseError::Refused { status: status.as_u16() }) }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            let event = match self.events.next().await? {
                Ok(event) => event,
                Err(error) => {
                    self.last_words.say(format!("the event stream broke: {}", chain(&error)));
                    return None;
                }
            };
            if !matches!(event.event.as_deref(), None | Some("message")) {
                continue;
            }
            match serde_json::from_str(event.data.as_deref().unwrap_or_default()) {
                Ok(message) => return Some(message),
                Err(error) => tracing::debug!(%error, "an event on the stream is no message"),
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.events = futures::stream::empty().boxed();
        Ok(())
    }
}
