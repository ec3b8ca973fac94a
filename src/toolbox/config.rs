//! Settings of an MCP server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

/// How an MCP server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// What fits the other settings: `http` with a `url`, `builtin` without one.
    #[default]
    Auto,
    /// Streamable HTTP.
    Http,
    /// The toolset inside this process, over the Kubernetes API itself.
    Builtin,
}

/// One entry of `mcp:`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpSettings {
    /// Name shown in messages, metrics and `data_gaps`.
    pub name: String,
    /// How to reach it.
    #[serde(default)]
    pub transport: Transport,
    /// Address of a streamable HTTP endpoint, usually ending in `/mcp`.
    #[serde(default)]
    pub url: Option<String>,
    /// Headers sent with every request, for example `Authorization`.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretString>,
    /// `builtin`: a kubeconfig file; left out: in-cluster, else the default kubeconfig.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// `builtin`: the kubeconfig's context to use.
    #[serde(default)]
    pub context: Option<String>,
    /// `builtin`: a scenario directory served as the cluster.
    #[serde(default)]
    pub snapshot: Option<PathBuf>,
}
