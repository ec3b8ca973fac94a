//! Reads of the Kubernetes API, each within a time limit, failing in words a model and a person can use.

use std::time::Duration;

use ::kube::Client;
use http::Request;
use http::header::ACCEPT;
use serde_json::Value;
use thiserror::Error;

/// A request that takes longer is given up; the toolbox allows a call 15 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Objects asked for at once, as kubectl asks.
const PAGE: usize = 500;
/// Objects read for one list; beyond it a list is no evidence any more, only noise.
const MOST_OBJECTS: usize = 2000;
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
    },
    /// No answer.
    #[error("cannot reach the Kubernetes API: {0}; check the API server's address, the network and the credentials")]
    Unreachable(String),
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
}

impl Cluster {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The namespace meant when none is named.
    pub fn namespace_or_default<'a>(&'a self, namespace: &'a str) -> &'a str {
        if namespace.is_empty() { self.client.default_namespace() } else { namespace }
    }

    /// A JSON document.
    pub async fn document(&self, path: &str) -> Result<Value, ReadError> {
        let text = self.read(path, "application/json").await?;
        serde_json::from_str(&text).map_err(|error| ReadError::Unreadable(error.to_string()))
    }

    /// Plain text, such as a log.
    pub async fn text(&self, path: &str, parameters: &[(&str, &str)]) -> Result<String, ReadError> {
        self.read(&with_parameters(path, parameters), "*/*").await
    }

    /// All objects of a collection, page by page.
    pub async fn list(&self, path: &str, query: &Query<'_>) -> Result<Vec<Value>, ReadError> {
        let (document, _) = self.pages(path, query, "application/json", "items").await?;
        Ok(document)
    }

    /// A collection as a server-side Table whose rows carry the full objects, and whether rows were left out.
    pub async fn table(&self, path: &str, query: &Query<'_>) -> Result<Value, ReadError> {
        let (rows, mut table) = self.pages(path, query, TABLE, "rows").await?;
        table["rows"] = Value::Array(rows);
        Ok(table)
    }

    /// Follows `continue` and gathers one array; the last page comes with it, for what stands beside the array.
    async fn pages(
        &self,
        path: &str,
        query: &Query<'_>,
        accept: &str,
        array: &str,
    ) -> Result<(Vec<Value>, Value), ReadError> {
        let (mut gathered, mut next) = (Vec::new(), String::new());
        let page_size = PAGE.to_string();
        loop {
            let parameters = [
                ("labelSelector", query.labels),
                ("fieldSelector", query.fields),
                ("limit", &page_size),
                ("continue", &next),
                ("includeObject", if array == "rows" { "Object" } else { "" }),
            ];
            let text = self.read(&with_parameters(path, &parameters), accept).await?;
            let mut page: Value =
                serde_json::from_str(&text).map_err(|error| ReadError::Unreadable(error.to_string()))?;
            if let Some(Value::Array(items)) = page.get_mut(array).map(Value::take) {
                gathered.extend(items);
            }
            next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if next.is_empty() || gathered.len() >= MOST_OBJECTS {
                return Ok((gathered, page));
            }
        }
    }

    async fn read(&self, path: &str, accept: &str) -> Result<String, ReadError> {
        let request = Request::get(path).header(ACCEPT, accept).body(Vec::new());
        let request = request.map_err(|error| ReadError::NotAsked(format!("{path} is no path: {error}")))?;
        match tokio::time::timeout(REQUEST_TIMEOUT, self.client.request_text(request)).await {
            Ok(answer) => answer.map_err(explain),
            Err(_) => Err(ReadError::TimedOut),
        }
    }
}

fn with_parameters(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

fn explain(error: ::kube::Error) -> ReadError {
    match error {
        ::kube::Error::Api(status) => ReadError::Refused { code: status.code, message: status.message },
        ::kube::Error::FromUtf8(error) => ReadError::Unreadable(error.to_string()),
        other => ReadError::Unreachable(root_cause(&other)),
    }
}

/// The innermost error: "connection refused" helps, the layers around it do not.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
