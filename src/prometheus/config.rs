//! Settings of `prometheus:`: where measurements are asked for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

/// A Prometheus, or what answers its API: Thanos, Mimir, VictoriaMetrics.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrometheusSettings {
    /// Its address, with the prefix of its pages where it has one; `/api/v1/query` is added.
    pub url: String,
    /// A bearer token.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretString>,
    /// User of basic authentication.
    #[serde(default)]
    pub username: Option<String>,
    /// Password of basic authentication.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// Further headers, for example `X-Scope-OrgID` for a tenant.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: BTreeMap<String, SecretString>,
}
