//! Prometheus' JSON: what `/api/v1/query` and `/api/v1/query_range` answer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// An answer, successful or not.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    /// `success` or `error`.
    pub status: String,
    #[serde(default)]
    pub data: Option<Data>,
    /// `bad_data`, `execution`, `timeout`, …
    #[serde(default, rename = "errorType")]
    pub error_type: String,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The result by its kind; what is not known is kept as it came.
#[derive(Debug, Deserialize)]
pub(super) struct Data {
    #[serde(rename = "resultType")]
    pub kind: String,
    #[serde(default)]
    pub result: Value,
}

/// One series of a vector or a matrix.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    #[serde(default)]
    pub metric: BTreeMap<String, String>,
    /// Of a vector: seconds since 1970, and the value as text.
    #[serde(default)]
    pub value: Option<(f64, String)>,
    /// Of a matrix.
    #[serde(default)]
    pub values: Vec<(f64, String)>,
}
