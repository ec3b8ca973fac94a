//! Reads of the Kubernetes API, each within a time limit, failing in words a model and a person can use.

use std::time::{Duration, Instant};

use ::kube::Client;
use futures::AsyncReadExt;
use http::Request;
use http::header::ACCEPT;
use serde_json::Value;
use thiserror::Error;

use crate::unreached::root_cause;

/// A request that takes longer is given up; the toolbox allows a call 15 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a read is asked that the API server refuses for the moment.
const TRIES: u32 = 3;
/// The pause between, where the API server does not say.
const PAUSE: Duration = Duration::from_secs(1);
/// Objects asked for at once, as kubectl asks.
const PAGE: usize = 500;
/// Objects read for one list; beyond it a list is no evidence any more, only noise.
const MOST_OBJECTS: usize = 2000;
const JSON: &str = "application/json";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Why a read failed. The text is what the caller reads.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    /// The API server refused, in its own words.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// The Status message.
        message: String,
        /// After how long it may be asked again, where the refusal is for the moment.
        again: Option<Duration>,
    },
    /// No answer.
    #[error("cannot reach the Kubernetes API at {address}: {why}; check the address, the network and the credentials")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// No answer in time.
    #[error("the Kubernetes API did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut,
    /// An answer that is not Kubernetes.
    #[error("the Kubernetes API gave an answer that cannot be read: {0}")]
    Unreadable(String),
    /// Nothing was asked, and why.
    #[error("{0}")]
    NotAsked(String),
}

/// A collection or object path with its selectors.
#[derive(Debug, Default, Clone)]
pub(super) struct Query<'a> {
    /// Label selector, empty for all.
    pub labels: &'a str,
    /// Field selector, empty for all.
    pub fields: &'a str,
}

/// The connection to one cluster. Cheap to clone; calls run side by side.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
    address: String,
}

impl Cluster {
    /// A client and the address it was made for, which error texts name.
    pub fn new(client: Client, address: String) -> Self {
        Self { client, address }
    }

    /// The namespace meant when none is named.
    pub fn namespace_or_default<'a>(&'a self, namespace: &'a str) -> &'a str {
        if namespace.is_empty() { self.client.default_namespace() } else { namespace }
    }

    /// A JSON document.
    pub async fn document(&self, path: &str) -> Result<Value, ReadError> {
        parse(&self.read(path, JSON).await?)
    }

    /// Plain text, such as a log. Bytes that are no text are replaced, not refused: logs hold anything.
    pub async fn text(&self, path: &str, parameters: &[(&str, &str)]) -> Result<String, ReadError> {
        let bytes = self.read(&with_parameters(path, parameters), "*/*").await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The objects of a collection.
    pub async fn list(&self, path: &str, query: &Query<'_>) -> Result<Collection, ReadError> {
        self.pages(path, query, JSON, "items").await
    }

    /// A collection as a server-side Table, whose rows carry the full objects.
    pub async fn table(&self, path: &str, query: &Query<'_>) -> Result<Collection, ReadError> {
        self.pages(path, query, TABLE, "rows").await
    }

    /// Follows `continue` and gathers one array of every page.
    async fn pages(&self, path: &str, query: &Query<'_>, accept: &str, array: &str) -> Result<Collection, ReadError> {
        let (mut entries, mut next) = (Vec::new(), String::new());
        let page_size = PAGE.to_string();
        loop {
            let parameters = [
                ("labelSelector", query.labels),
                ("fieldSelector", query.fields),
                ("limit", &page_size),
                ("continue", &next),
                ("includeObject", if array == "rows" { "Object" } else { "" }),
            ];
            let mut page: Value = parse(&self.read(&with_parameters(path, &parameters), accept).await?)?;
            if let Some(Value::Array(found)) = page.get_mut(array).map(Value::take) {
                entries.extend(found);
            }
            next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if next.is_empty() || entries.len() >= MOST_OBJECTS {
                return Ok(Collection { entries, page });
            }
        }
    }

    /// Asks again where the API server is busy, while there is time; then its own words are said, not that time is up. (The
    /// library's retries, fifteen and each as late as the server wishes, would end in silence.)
    async fn read(&self, path: &str, accept: &str) -> Result<Vec<u8>, ReadError> {
        let begun = Instant::now();
        let mut tries = 1;
        loop {
            let left = REQUEST_TIMEOUT.saturating_sub(begun.elapsed());
            let read = tokio::time::timeout(left, self.ask(path, accept)).await.unwrap_or(Err(ReadError::TimedOut));
            match &read {
                Err(ReadError::Refused { again: Some(pause), .. })
                    if tries < TRIES && begun.elapsed() + *pause * 2 < REQUEST_TIMEOUT =>
                {
                    tokio::time::sleep(*pause).await;
                    tries += 1;
                }
                _ => return read,
            }
        }
    }

    async fn ask(&self, path: &str, accept: &str) -> Result<Vec<u8>, ReadError> {
        let request = Request::get(path).header(ACCEPT, accept).body(Vec::new());
        let request = request.map_err(|error| ReadError::NotAsked(format!("{path} is no path: {error}")))?;
        let body = self.client.request_stream(request).await.map_err(|error| self.explain(error))?;
        let mut bytes = Vec::new();
        std::pin::pin!(body).read_to_end(&mut bytes).await.map_err(|error| self.unreachable(&error))?;
        Ok(bytes)
    }

    fn explain(&self, error: ::kube::Error) -> ReadError {
        match error {
            // The API server's own "Unauthorized" tells nobody what to do; this is how kubectl says it.
            ::kube::Error::Api(status) if status.code == 401 => ReadError::Refused {
                code: status.code,
                message: "the server has asked for the client to provide credentials".to_owned(),
                again: None,
            },
            ::kube::Error::Api(status) => {
                let passes = matches!(status.code, 429 | 503 | 504);
                let said = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
                let pause = if said == 0 { PAUSE } else { Duration::from_secs(said.into()) };
                let again = passes.then_some(pause);
                ReadError::Refused { code: status.code, message: status.message, again }
            }
            other => self.unreachable(&other),
        }
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> ReadError {
        ReadError::Unreachable { address: self.address.clone(), why: root_cause(error) }
    }
}

/// The gathered entries of a collection, and the last page for what stands beside them.
pub(super) struct Collection {
    /// Objects, or rows of a Table.
    pub entries: Vec<Value>,
    /// The last page without its entries.
    pub page: Value,
}

impl Collection {
    /// Says that entries were left out, empty when none were.
    pub fn left_out(&self) -> String {
        if self.page["metadata"]["continue"].as_str().unwrap_or_default().is_empty() {
            return String::new();
        }
        let shown = self.entries.len();
        format!(
            "# Only the first {shown} are shown; narrow the list with a namespace, a labelSelector or a fieldSelector\n"
        )
    }
}

fn parse(bytes: &[u8]) -> Result<Value, ReadError> {
    serde_json::from_slice(bytes).map_err(|error| ReadError::Unreadable(error.to_string()))
}

fn with_parameters(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}
