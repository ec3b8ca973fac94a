//! The other ends of Firstlook's connections, on one port of loopback in the measuring process.

#[path = "../../../tests/e2e/support/card.rs"]
mod card;
#[path = "../../../tests/e2e/support/card_app.rs"]
mod card_app;
pub mod chat;
pub mod cluster;
pub mod model;
pub mod rooms;
#[path = "../../../tests/e2e/support/model/strict.rs"]
mod strict;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use firstlook::model::ModelConfig;
use firstlook::toolbox::config::McpSettings;
use serde_json::json;
use tokio::net::TcpListener;

pub use chat::{Chat, Stage};
use cluster::Cluster;
use model::{Model, Script};
use rooms::Rooms;

/// All stand-ins, serving.
#[derive(Clone)]
pub struct StandIns {
    address: SocketAddr,
    model: Arc<Model>,
    chat: Arc<Chat>,
    rooms: Arc<Rooms>,
}

impl StandIns {
    /// Starts them; they end with the program.
    pub async fn start() -> Self {
        let (model, chat) = (Arc::new(Model::default()), Arc::new(Chat::default()));
        let rooms = Arc::new(Rooms::default());
        let cluster = Arc::new(Cluster::load());
        let router = Router::new()
            .merge(model::router(model.clone()))
            .merge(chat::router(chat.clone()))
            .merge(rooms::router(rooms.clone()))
            .merge(cluster::router(cluster));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, model, chat, rooms }
    }

    /// What the model counts.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What the chats show.
    pub fn chat(&self) -> &Chat {
        &self.chat
    }

    /// One group of each product, with its limits.
    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Where all of them are.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `base_url` of a model that follows a script and thinks so many milliseconds about each turn.
    pub fn model_url(&self, script: Script, thinks: u64) -> String {
        format!("http://{}/{}/{thinks}/v1", self.address, script.word())
    }

    /// The same as the service reads it from its configuration.
    pub fn model_config(&self, script: Script) -> ModelConfig {
        let (name, key) = (model::NAME, model::KEY);
        let config = json!({ "name": name, "base_url": self.model_url(script, 0), "api_key": key, "model": name });
        serde_json::from_value(config).unwrap()
    }

    pub fn mcp_settings(&self) -> McpSettings {
        serde_json::from_value(json!({ "name": "kubernetes", "url": self.mcp_url() })).unwrap()
    }

    pub fn mcp_url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// The bot of one team's chat.
    pub fn chat_url(&self, team: usize) -> String {
        format!("http://{}/open-apis/bot/v2/hook/{team}", self.address)
    }

    /// Figures of a run in which a counterpart had to refuse something would be wrong.
    pub fn assert_nothing_was_refused(&self) {
        let refused = [self.model.refused(), self.chat.refused(), self.rooms.refused()].concat();
        assert!(refused.is_empty(), "refused: {refused:#?}");
    }
}
