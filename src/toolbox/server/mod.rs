//! One MCP server: its name, its live session, and one call that survives a lost session within its time limit.
//!
//! Each transport is one small file (`http`, `sse`, `stdio`, `builtin`); `recipe` knows which one an entry of `mcp:`
//! means and can set it up again, `slot` keeps the one live session, `session` makes calls on it.
//!
//! Architecture invariant: no transport reconnects by itself. A loss always comes back here, so that one re-dial serves
//! everyone who waits and the list of tools is the new server's.

mod builtin;
mod error;
mod http;
mod recipe;
mod remote;
mod session;
mod slot;
mod sse;
mod stdio;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rmcp::model::JsonObject;

pub use error::ServerError;
pub use session::Answer;

use self::recipe::Recipe;
use self::session::{Failure, Session};
use self::slot::Slot;
use super::config::McpSettings;
use crate::prometheus::Client;
use crate::telemetry::Health;

/// Largest message accepted from a server, in bytes. A 72-pod namespace as YAML is 310 KB; 5 MB of log are 6 as JSON.
const MESSAGE_LIMIT: usize = 8 << 20;

/// An MCP server. Connects at first use and again whenever the session is gone.
pub struct Server {
    name: String,
    /// Those it looks at; none: whichever it is asked about.
    clusters: Vec<String>,
    recipe: Arc<Recipe>,
    slot: Slot,
    health: Health,
}

impl Server {
    /// Reads the settings; nothing is dialled yet.
    ///
    /// # Errors
    /// Settings that contradict each other, with what to write instead.
    pub fn new(settings: &McpSettings) -> Result<Self, ServerError> {
        Ok(Self {
            name: settings.name.clone(),
            clusters: settings.clusters.clone(),
            recipe: Arc::new(Recipe::new(settings)?),
            slot: Slot::default(),
            health: Health::default(),
        })
    }

    /// The tools of a Prometheus, as a server of their own.
    #[must_use]
    pub fn prometheus(client: Arc<Client>) -> Self {
        let (recipe, slot, health) = (Arc::new(Recipe::Prometheus(client)), Slot::default(), Health::default());
        Self { name: "prometheus".to_owned(), clusters: Vec::new(), recipe, slot, health }
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it looks at the cluster of this name; without a name, whether it looks at any.
    #[must_use]
    pub fn sees(&self, cluster: Option<&str>) -> bool {
        self.clusters.is_empty() || cluster.is_some_and(|name| self.clusters.iter().any(|one| one == name))
    }

    /// How its last calls went.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Whether it is the tools of a Prometheus, which no other server may pose as.
    #[must_use]
    pub fn measures(&self) -> bool {
        matches!(*self.recipe, Recipe::Prometheus(_))
    }

    /// The clock of a snapshot, which stands still; none for anything alive.
    #[must_use]
    pub fn frozen_clock(&self) -> Option<Timestamp> {
        self.recipe.frozen_clock()
    }

    /// Names of the tools the server offers, connecting first when needed.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn tool_names(&self) -> Result<Vec<String>, ServerError> {
        Ok(self.session().await?.tools().to_vec())
    }

    /// Calls a tool. Reads only: after a lost session the call is made once more, within the same `limit`.
    ///
    /// # Errors
    /// When the server is unreachable or does not answer within `limit`.
    pub async fn call(&self, tool: &str, arguments: &JsonObject, limit: Duration) -> Result<Answer, ServerError> {
        match tokio::time::timeout(limit, self.call_twice(tool, arguments)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.slot.doubt();
                Err(ServerError::TimedOut { name: self.name.clone(), limit })
            }
        }
    }

    async fn call_twice(&self, tool: &str, arguments: &JsonObject) -> Result<Answer, ServerError> {
        let session = self.session().await?;
        let lost = match session.call(tool, arguments).await {
            Ok(answer) => return Ok(self.said(answer)),
            Err(Failure::TooLarge) => return Ok(too_large()),
            Err(Failure::Lost(why)) => self.recipe.said(why),
        };
        tracing::warn!(mcp.server = %self.name, mcp.tool = tool, why = %lost, "mcp session lost, dialling again");
        session.give_up();
        match self.session().await?.call(tool, arguments).await {
            Ok(answer) => Ok(self.said(answer)),
            Err(Failure::TooLarge) => Ok(too_large()),
            Err(Failure::Lost(problem)) => {
                Err(ServerError::Unreachable { name: self.name.clone(), problem: self.recipe.said(problem) })
            }
        }
    }

    fn said(&self, answer: Answer) -> Answer {
        Answer { text: self.recipe.said(answer.text), ..answer }
    }

    async fn session(&self) -> Result<Arc<Session>, ServerError> {
        self.slot.session(&self.name, &self.recipe).await
    }
}

/// Too much is the caller's to mend by asking for less, so it is an answer and nothing is called again.
fn too_large() -> Answer {
    let text = format!("The answer is larger than {} MiB and was refused; ask for less of it.", MESSAGE_LIMIT >> 20);
    Answer { text, structured: None, is_error: true }
}
