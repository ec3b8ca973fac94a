//! Kubernetes without a second process: the read-only core tools of kubernetes-mcp-server, over the `kube` crate.
//!
//! Names, arguments and texts are theirs, so that analyzers, prompts and quotations read the same on both. Beyond
//! theirs every answer carries the objects themselves as structured content. What is left out is left out on purpose:
//! `configuration_view` hands out credentials, `nodes_log` needs a right to the kubelet that amounts to `exec` on every
//! Pod, and Secrets are refused before the cluster is asked.

mod answer;
mod arguments;
mod catalog;
mod cluster;
mod events;
mod kinds;
mod pods;
mod resources;
mod source;
#[cfg(test)]
mod tests;
mod text_table;
mod top;
mod yaml;

use std::sync::Arc;

use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorData, Implementation, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt};
use tokio::io::DuplexStream;

pub use self::source::{ClusterSource, KubeError};

use self::arguments::Arguments;
use self::cluster::Cluster;
use self::kinds::Kinds;

/// Bytes in flight between the two ends in one process.
const PIPE: usize = 256 * 1024;

/// The tools over one cluster. Cheap to clone; calls run side by side.
#[derive(Clone)]
pub struct Toolset {
    cluster: Cluster,
    kinds: Arc<Kinds>,
    tools: Arc<Vec<Tool>>,
}

impl Toolset {
    /// Prepares the connection. The cluster need not answer yet: calls made while it is unreachable say so.
    ///
    /// # Errors
    ///
    /// When there is no usable configuration; the error says which and what to do.
    pub async fn connect(source: ClusterSource) -> Result<Self, KubeError> {
        let cluster = source.open().await?;
        Ok(Self { cluster, kinds: Arc::default(), tools: Arc::new(catalog::tools()) })
    }

    /// The cluster's version, for example `v1.36.2`: the proof that it answers.
    ///
    /// # Errors
    ///
    /// When the cluster does not answer or refuses.
    pub async fn version(&self) -> Result<String, KubeError> {
        let version = self.cluster.document("/version").await;
        let version = version.map_err(|error| KubeError::Unanswered { why: error.to_string() })?;
        Ok(version["gitVersion"].as_str().unwrap_or("unknown").to_owned())
    }

    /// Serves the tools to one MCP client in this process and returns the client's end of the pipe.
    ///
    /// Must be called on a Tokio runtime. The server ends when the client's end is dropped.
    #[must_use]
    pub fn spawn(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let toolset = self.clone();
        tokio::spawn(async move {
            match toolset.serve(ours).await {
                Ok(service) => drop(service.waiting().await),
                Err(error) => tracing::debug!(%error, "the built-in toolset's client left before it was initialized"),
            }
        });
        theirs
    }

    async fn answer(&self, tool: &str, arguments: &Arguments) -> Option<answer::Answer> {
        Some(match tool {
            "events_list" => self.events_list(arguments).await,
            "namespaces_list" => self.namespaces_list(arguments).await,
            "nodes_top" => self.nodes_top(arguments).await,
            "pods_get" => self.pods_get(arguments).await,
            "pods_list" => self.pods_list(arguments).await,
            "pods_list_in_namespace" => self.pods_list_in_namespace(arguments).await,
            "pods_log" => self.pods_log(arguments).await,
            "pods_top" => self.pods_top(arguments).await,
            "resources_get" => self.resources_get(arguments).await,
            "resources_list" => self.resources_list(arguments).await,
            _ => return None,
        })
    }
}

impl ServerHandler for Toolset {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("firstlook-kubernetes", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.to_vec()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Arguments::new(request.arguments);
        let answer = self.answer(&request.name, &arguments).await;
        let unknown = || ErrorData::invalid_params(format!("unknown tool \"{}\"", request.name), None);
        answer.map(|answer| answer::to_result(answer).into()).ok_or_else(unknown)
    }
}
