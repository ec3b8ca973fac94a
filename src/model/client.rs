//! The one place where a model's provider is met over HTTP: clocks, size limits, and errors that keep their status.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_openai::config::Config;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::config::{DEFAULT_CONTEXT_TOKENS, ModelConfig};
use super::error::{Class, ModelError};
use super::profile::{Auth, CatalogueError, Profile};
use super::tape::Tape;
use super::wire::{self, Body, Fault, Reply, TokenUsage};
use super::{Model, Request, retry};
use crate::alert::Lang;
use crate::telemetry::Health;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most that is read of an error body.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// A model behind an OpenAI-compatible interface.
pub struct Client {
    config: Arc<ModelConfig>,
    profile: Arc<Profile>,
    api: async_openai::Client<Endpoint>,
    asks_for_usage: AtomicBool,
    health: Health,
}

impl Client {
    /// Prepares a client; nothing is sent.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn new(config: ModelConfig) -> Result<Self, ModelError> {
        Self::taped(config, None)
    }

    /// The same, with every exchange recorded on a tape or played from it.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn taped(config: ModelConfig, tape: Option<Arc<Tape>>) -> Result<Self, ModelError> {
        // The program installs it first thing; a second time changes nothing, and tests have no first thing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unknown = |error: CatalogueError| ModelError::new(&config.name, Class::Config, error.to_string());
        let profile = config.profile().map_err(unknown)?;
        let endpoint = Endpoint::new(&config, &profile)?;
        // A redirect would carry the key and the conversation to another place than the configured one.
        let http = reqwest::Client::builder()
            .user_agent(concat!("firstlook/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ModelError::new(&config.name, Class::Config, root_cause(&error)))?;
        let config = Arc::new(config);
        let service = tower::service_fn({
            let (config, http) = (Arc::clone(&config), http.clone());
            move |factory| exchange(Arc::clone(&config), http.clone(), tape.clone(), factory)
        });
        let api = async_openai::Client::build(http, endpoint).with_http_service(service);
        Ok(Self { config, profile, api, asks_for_usage: AtomicBool::new(true), health: Health::default() })
    }

    /// How this model is spoken to.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// How its last calls went.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Asks once, without trying again.
    async fn attempt(&self, request: &Request, deadline: Instant) -> Result<Reply, ModelError> {
        let limit = deadline.min(Instant::now() + self.config.total_timeout());
        let asks_for_usage = self.asks_for_usage.load(Ordering::Relaxed);
        let body = Body::new(&self.config, request, asks_for_usage);
        let answer = tokio::time::timeout_at(limit, self.api.chat().create_byot::<_, Value>(body)).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(|error| self.own_error(error)),
            Err(_) => Err(ModelError::new(&self.config.name, Class::Timeout, "no whole answer in the time there was")),
        };
        match answer {
            Ok(completion) => self.read(completion),
            Err(error) if asks_for_usage && error.detail.contains("stream_options") => {
                self.asks_for_usage.store(false, Ordering::Relaxed);
                Err(ModelError { class: Class::Server, ..error })
            }
            Err(error) => Err(error),
        }
    }

    fn read(&self, completion: Value) -> Result<Reply, ModelError> {
        let reply =
            Reply::read(completion, self.config.max_tokens).map_err(|fault| fault_error(&self.config, fault))?;
        if reply.filtered {
            let detail = "the provider's content filter stopped the answer";
            return Err(ModelError::new(&self.config.name, Class::ContentFilter, detail));
        }
        Ok(reply)
    }

    fn own_error(&self, error: OpenAIError) -> ModelError {
        let name = &self.config.name;
        match error {
            OpenAIError::Boxed(inner) => match inner.downcast::<ModelError>() {
                Ok(error) => *error,
                Err(other) => ModelError::new(name, Class::Network, other.to_string()),
            },
            OpenAIError::Reqwest(error) => connection_error(&self.config, error),
            OpenAIError::InvalidArgument(detail) => ModelError::new(name, Class::Config, detail),
            _ => ModelError::new(name, Class::BadAnswer, "what came back is not JSON"),
        }
    }
}

impl Model for Client {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn context_tokens(&self) -> usize {
        self.profile.context_tokens.unwrap_or(DEFAULT_CONTEXT_TOKENS)
    }

    fn cost(&self, usage: TokenUsage) -> f64 {
        self.profile.prices.as_ref().map_or(0.0, |prices| prices.of(usage))
    }

    async fn complete(&self, request: &Request, deadline: Instant) -> Result<Reply, ModelError> {
        let started = Instant::now();
        let outcome = retry::persist(deadline, || self.attempt(request, deadline)).await;
        match &outcome {
            Ok(_) => self.health.succeeded(started.elapsed()),
            // These are about what was asked, not about who was asked.
            Err(error) if matches!(error.class, Class::ContextLength | Class::ContentFilter) => {}
            Err(error) => self.health.failed(error.class.label(), error.class.advice(Lang::En)),
        }
        outcome
    }
}

/// One exchange. Whatever comes back leaves here either as a plain completion object or as our own error, so that
/// nothing above sees a stream, and no library logs a body it could not read.
async fn exchange(
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
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| retry::wait_asked_for(value.to_str().ok()?));
        let body = error_body(response, idle).await;
        return Err(scrubbed(config, ModelError::refused(&config.name, status.as_u16(), retry_after, &body)));
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

fn fault_error(config: &ModelConfig, fault: Fault) -> ModelError {
    let class = match &fault {
        Fault::Refused { status, body } => {
            return scrubbed(config, ModelError::refused(&config.name, status.unwrap_or(500), None, body));
        }
        Fault::NotJson | Fault::Empty | Fault::TooLong => Class::BadAnswer,
        Fault::Cut | Fault::Broken(_) => Class::Network,
        Fault::Silent(_) => Class::Timeout,
    };
    ModelError::new(&config.name, class, fault.to_string())
}

fn connection_error(config: &ModelConfig, error: reqwest::Error) -> ModelError {
    let class = match () {
        () if error.is_builder() => Class::Config,
        () if error.is_timeout() => Class::Timeout,
        () => Class::Network,
    };
    scrubbed(config, ModelError::new(&config.name, class, root_cause(&error)))
}

fn scrubbed(config: &ModelConfig, error: ModelError) -> ModelError {
    let secrets = config.api_key.iter().chain(config.headers.values());
    secrets.fold(error, |error, secret| error.without(secret.expose_secret()))
}

/// The innermost reason ("connection refused"); the outer ones repeat the address, which may hold a password.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Where requests go and what proves who sends them.
#[derive(Clone)]
struct Endpoint {
    base: String,
    key: SecretString,
    headers: HeaderMap,
    query: Vec<(String, String)>,
}

impl Endpoint {
    fn new(config: &ModelConfig, profile: &Profile) -> Result<Self, ModelError> {
        let refuse = |detail: &str| ModelError::new(&config.name, Class::Config, detail);
        let mut url = Url::parse(&config.base_url).map_err(|error| refuse(&format!("base_url: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("base_url must begin with http:// or https://"));
        }
        let in_address = url.query_pairs().into_owned();
        let query = in_address.chain(profile.query.clone()).collect();
        url.set_query(None);
        let key = config.api_key.clone().unwrap_or_default();
        let headers = headers(config, profile, &key)?;
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), key, headers, query })
    }
}

/// What proves who asks, and what the operator adds.
fn headers(config: &ModelConfig, profile: &Profile, key: &SecretString) -> Result<HeaderMap, ModelError> {
    let refuse = |what: &str| ModelError::new(&config.name, Class::Config, format!("{what} cannot be sent"));
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, value: &str, what: &str| {
        let mut value = HeaderValue::from_str(value).map_err(|_| refuse(&format!("{what} holds characters that")))?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok::<_, ModelError>(())
    };
    let key = key.expose_secret().trim();
    match profile.auth {
        _ if key.is_empty() => {}
        Auth::Bearer => add(AUTHORIZATION, &format!("Bearer {key}"), "api_key")?,
        Auth::ApiKeyHeader => add(HeaderName::from_static("api-key"), key, "api_key")?,
    }
    for (name, value) in &config.headers {
        let parsed = name.parse().map_err(|_| refuse(&format!("the header {name}")))?;
        add(parsed, value.expose_secret(), &format!("the header {name}"))?;
    }
    Ok(headers)
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}
