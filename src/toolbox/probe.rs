//! One look at an MCP server, for people who set it up: what it offers, and whether it may read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use thiserror::Error;

use super::config::{McpSettings, Transport};
use super::server::ServerError;
use super::{Limits, Toolbox, policy};
use crate::alert::Lang;
use crate::telemetry::{Health, Metrics};

/// Enough for a list of namespaces; nobody reads it.
const SHOWN: usize = 4 << 10;
/// The harmless read: small in every cluster, and refused to an account that may read nothing.
const READ: &str = "namespaces_list";

/// A server that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// How many of the tools that a diagnosis uses it offers.
    pub offered: usize,
    /// Those it lacks.
    pub missing: Vec<&'static str>,
    /// How long the harmless read took; none when the server does not offer it.
    pub read: Option<Duration>,
}

/// Why a server is of no use as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProbeError {
    /// Not reached. Holds what happened.
    #[error("{0}")]
    Unreachable(String),
    /// It refuses whoever asks. Holds what it said.
    #[error("{0}")]
    Refused(String),
    /// It answers, and offers nothing a diagnosis uses.
    #[error("it offers none of the tools a diagnosis uses")]
    NoTools,
    /// The cluster behind it does not let it read. Holds what the cluster said.
    #[error("{0}")]
    Forbidden(String),
    /// The read failed. Holds what it said.
    #[error("{0}")]
    Failed(String),
}

impl ProbeError {
    /// What a person can do about it.
    #[must_use]
    pub fn advice(&self, transport: Transport, lang: Lang) -> &'static str {
        let (zh, en) = match self {
            Self::Unreachable(_) => return unreachable_advice(transport, lang),
            Self::Refused(_) => ("检查 headers 里的 Authorization", "check Authorization under headers"),
            Self::NoTools => (
                "确认对端是 kubernetes-mcp-server，且启用了 core 工具集（--toolsets core）",
                "make sure it is a kubernetes-mcp-server with its core toolset (--toolsets core)",
            ),
            Self::Forbidden(_) => (
                "给它的账号绑定 ClusterRole view（get、list、watch，不含 Secret）",
                "bind the ClusterRole view to its account (get, list, watch; no Secrets)",
            ),
            Self::Failed(_) => {
                ("检查它背后的 Kubernetes API 与凭据", "check the Kubernetes API behind it, and its credentials")
            }
        };
        lang.pick(zh, en)
    }
}

fn unreachable_advice(transport: Transport, lang: Lang) -> &'static str {
    let (zh, en) = match transport {
        Transport::Builtin => (
            "检查 kubeconfig 与 context；在集群内运行时检查 ServiceAccount",
            "check kubeconfig and context, or the service account when it runs in the cluster",
        ),
        Transport::Stdio => ("确认 command 在本机可以启动", "make sure command starts on this machine"),
        Transport::Auto | Transport::Http | Transport::Sse => (
            "确认服务已启动，并检查 url 的主机、端口和路径（通常是 /mcp）",
            "make sure it runs, and check host, port and path of url (usually /mcp)",
        ),
    };
    lang.pick(zh, en)
}

/// Connects, counts tools, reads once. The way is the one of every call: allow-list, schema, redaction.
///
/// # Errors
/// When the server would be of no use to an investigation.
pub async fn probe(settings: &McpSettings, limit: Duration) -> Result<Probed, ProbeError> {
    let unreachable = |error: &dyn std::fmt::Display| unreachable(&error.to_string());
    let toolbox = Toolbox::new(std::slice::from_ref(settings), Arc::new(Metrics::new()));
    let toolbox = toolbox.map_err(|error| unreachable(&error))?;
    let cluster = settings.clusters.first().map(String::as_str);
    let run = toolbox.run(Limits { call: limit, shown: SHOWN, kept: SHOWN }, cluster).await;
    let missing: Vec<&str> = policy::names().filter(|name| !run.offers(name)).collect();
    let offered = policy::names().count() - missing.len();
    if run.is_answered() && offered == 0 {
        return Err(ProbeError::NoTools);
    }
    if let Some(gap) = run.gaps().first() {
        return Err(unreachable(gap));
    }
    if !run.offers(READ) {
        return Ok(Probed { offered, missing, read: None });
    }
    let started = Instant::now();
    let answer = run.record(READ, json!({})).await.map_err(|error| unreachable(&error))?;
    if answer.is_error {
        return Err(refused(&answer.evidence.text));
    }
    Ok(Probed { offered, missing, read: Some(started.elapsed()) })
}

/// Whoever stands before the server may have refused us: that is no matter of addresses.
fn unreachable(said: &str) -> ProbeError {
    let lower = said.to_lowercase();
    let mut words = lower.split(|char: char| !char.is_alphanumeric());
    let is_refusal = lower.contains("auth required")
        || words.any(|word| ["401", "403", "unauthorized", "forbidden", "authrequired"].contains(&word));
    if is_refusal { ProbeError::Refused(said.to_owned()) } else { ProbeError::Unreachable(said.to_owned()) }
}

fn refused(said: &str) -> ProbeError {
    let said = said.trim().to_owned();
    if said.to_lowercase().contains("forbidden") { ProbeError::Forbidden(said) } else { ProbeError::Failed(said) }
}

/// Notes that a server answers and offers nothing that is used.
pub(super) fn note_useless(health: &Health, useless: &super::Absent) {
    health.failed("no_tools", useless, |lang| ProbeError::NoTools.advice(Transport::Auto, lang));
}

/// Notes a failure, with advice in words that may be shown to anybody; what was said is redacted first.
pub(super) fn note(health: &Health, error: &ServerError, redact: impl Fn(&str) -> String) {
    let said = redact(&error.to_string());
    match error {
        ServerError::TimedOut { .. } => health.failed("timeout", said, |lang| {
            lang.pick(
                "查看该服务及其背后的 Kubernetes API 是否应答；firstlook check 会逐一尝试",
                "see whether the server and the Kubernetes API behind it answer; firstlook check tries both",
            )
        }),
        ServerError::Unreachable { problem, .. } if is_answered(problem) => {
            health.failed("refused", redact(problem), |lang| {
                lang.pick(
                    "该地址有服务应答，但拒绝了请求：检查 url 的路径（通常是 /mcp）和 headers；详情见 firstlook check",
                    "something answers there and refuses: check the path of url (usually /mcp) and headers; firstlook check \
                     says more",
                )
            })
        }
        _ => health.failed("unreachable", said, |lang| {
            lang.pick(
                "确认该服务已启动且可以连通；详情见 firstlook check",
                "make sure the server runs and is reachable; firstlook check says more",
            )
        }),
    }
}

/// Whether something answered at the address of a server that was not reached, though not as one does.
fn is_answered(problem: &str) -> bool {
    let lower = problem.to_lowercase();
    let status = lower.split("http ").skip(1).any(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()));
    status || lower.contains("auth required")
}

/// Notes that a Prometheus is not there, and what was said of it.
pub(super) fn note_away(health: &Health, said: &str) {
    health.failed("unreachable", said, |lang| {
        lang.pick(
            "检查 prometheus.url 及其凭据；详情见 firstlook check",
            "check prometheus.url and its credentials; firstlook check says more",
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario() -> McpSettings {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/03-oomkilled");
        let settings = serde_json::json!({"name": "k", "transport": "builtin", "snapshot": folder});
        serde_json::from_value(settings).unwrap()
    }

    #[tokio::test]
    async fn a_server_with_every_tool_is_read_once() {
        let probed = probe(&scenario(), Duration::from_secs(10)).await.unwrap();
        assert_eq!((probed.offered, probed.missing.len()), (policy::names().count(), 0));
        assert!(probed.read.is_some());
    }

    #[test]
    fn a_refusal_is_no_matter_of_addresses_and_a_port_is_no_status() {
        for refusal in ["HTTP 401", "Auth required", "status: 403 Forbidden", "Unauthorized"] {
            assert!(matches!(unreachable(refusal), ProbeError::Refused(_)), "{refusal}");
        }
        let port = "MCP server k is unreachable: tcp connect error, 127.0.0.1:40123";
        assert!(matches!(unreachable(port), ProbeError::Unreachable(_)));
        assert!(matches!(refused("nodes is forbidden: User x cannot list"), ProbeError::Forbidden(_)));
        assert!(matches!(refused("the Kubernetes API did not answer within 10 s"), ProbeError::Failed(_)));
    }

    #[test]
    fn a_server_that_answers_is_not_called_unreachable() {
        let noted = |problem: &str| {
            let health = Health::default();
            note(&health, &ServerError::Unreachable { name: "k".into(), problem: problem.into() }, str::to_owned);
            (health.seen().failure, health.seen().said)
        };
        let not_found = "unexpected server response: HTTP 404 Not Found: 404 page not found";
        assert_eq!(noted(not_found), (Some("refused"), not_found.to_owned()));
        assert_eq!(noted("Auth required").0, Some("refused"));
        let (word, said) = noted("error sending request for http://k:8080/: Connection refused");
        assert!(word == Some("unreachable") && said.contains("Connection refused"), "{said}");
    }
}
