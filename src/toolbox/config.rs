//! Settings of `mcp:`: the servers through which the cluster is looked at.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// One entry of `mcp:`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpSettings {
    /// Name by which logs, metrics and reports call the server.
    pub name: String,
    /// Clusters it looks at, as the label `triage.cluster_label` of alerts names them; left out: whatever cluster an alert
    /// names.
    #[serde(default)]
    pub clusters: Vec<String>,
    /// How it is spoken to.
    #[serde(default)]
    pub transport: Transport,
    /// Address, for `auto`, `http` and `sse`.
    #[serde(default)]
    pub url: Option<String>,
    /// Headers sent with every request, for `auto`, `http` and `sse`; usually `Authorization`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: BTreeMap<String, SecretString>,
    /// A kubeconfig, for `builtin`; the in-cluster account when absent.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context, for `builtin`; its current one when absent.
    #[serde(default)]
    pub context: Option<String>,
    /// A folder of recorded cluster state instead of a cluster, for `builtin`.
    #[serde(default)]
    pub snapshot: Option<PathBuf>,
    /// The program and its arguments, for `stdio`.
    #[serde(default)]
    pub command: Vec<String>,
}

/// How an MCP server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Streamable HTTP, or SSE where a server at the address (or at `/sse` beside its `/mcp`) speaks only that.
    #[default]
    Auto,
    /// Streamable HTTP.
    Http,
    /// The toolset inside Firstlook, which speaks to the Kubernetes API itself.
    Builtin,
    /// HTTP with server-sent events, the transport before streamable HTTP.
    Sse,
    /// A program's standard input and output.
    Stdio,
}

impl McpSettings {
    /// What does not go together, as the key to blame and what to do; the first thing only.
    #[must_use]
    pub fn contradiction(&self) -> Option<(&'static str, String)> {
        match self.transport {
            Transport::Auto | Transport::Http | Transport::Sse => self.remote_contradiction(),
            Transport::Stdio => self.stdio_contradiction(),
            Transport::Builtin => self.builtin_contradiction(),
        }
    }

    fn remote_contradiction(&self) -> Option<(&'static str, String)> {
        let Some(url) = &self.url else {
            let what = if self.command.is_empty() {
                "the key \"url\" is missing; give the server's address, or say transport: builtin"
            } else {
                "the key \"url\" is missing; give the server's address, or say transport: stdio to run the command"
            };
            return Some(("name", what.to_owned()));
        };
        match url::Url::parse(url) {
            Err(why) => return Some(("url", format!("not a URL ({why}); it must begin with https:// or http://"))),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                return Some(("url", "must begin with https:// or http://".to_owned()));
            }
            Ok(_) => {}
        }
        if !self.command.is_empty() {
            let what = "belongs to transport: stdio; remove it, or remove url and say transport: stdio";
            return Some(("command", what.to_owned()));
        }
        let what = "belongs to transport: builtin; remove it, or remove url and say transport: builtin";
        self.builtin_key().map(|key| (key, what.to_owned()))
    }

    fn stdio_contradiction(&self) -> Option<(&'static str, String)> {
        if self.command.first().is_none_or(|program| program.trim().is_empty()) {
            let what = "transport: stdio needs a command, for example [kubernetes-mcp-server, --read-only]";
            return Some((if self.command.is_empty() { "transport" } else { "command" }, what.to_owned()));
        }
        if self.url.is_some() {
            return Some(("url", "transport: stdio has no address; remove url, or the transport".to_owned()));
        }
        if !self.headers.is_empty() {
            return Some(("headers", "transport: stdio sends no headers; remove them".to_owned()));
        }
        let what = "belongs to transport: builtin; give it to the command as an argument of its own";
        self.builtin_key().map(|key| (key, what.to_owned()))
    }

    fn builtin_contradiction(&self) -> Option<(&'static str, String)> {
        if self.url.is_some() {
            return Some(("url", "transport: builtin has no address; remove url, or the transport".to_owned()));
        }
        if !self.headers.is_empty() {
            return Some(("headers", "transport: builtin sends no headers of yours; remove them".to_owned()));
        }
        if !self.command.is_empty() {
            return Some(("command", "belongs to transport: stdio; remove it, or say transport: stdio".to_owned()));
        }
        if self.snapshot.is_some() && (self.kubeconfig.is_some() || self.context.is_some()) {
            return Some((
                "snapshot",
                "either a snapshot or a cluster: remove it, or kubeconfig and context".to_owned(),
            ));
        }
        None
    }

    /// The first key given that only the built-in toolset has.
    fn builtin_key(&self) -> Option<&'static str> {
        let given = [
            ("kubeconfig", self.kubeconfig.is_some()),
            ("context", self.context.is_some()),
            ("snapshot", self.snapshot.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(key, _)| key)
    }
}
