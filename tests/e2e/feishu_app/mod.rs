//! The living card: one message per incident, changed in place, whatever the platform answers.

mod card;
mod failures;
mod http;
mod line;
mod presses;
mod stream;

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin};
use crate::support::feishu_app::FeishuApp;
use crate::support::model::ModelServer;
use crate::support::pending;
use crate::support::service::Home;

/// A configuration with the app as its only channel.
fn parts(app: &FeishuApp, models: Value) -> Value {
    json!({"mcp": builtin(PENDING), "models": models, "channels": [app.channel()]})
}

/// The one who may press.
const OPERATOR: &str = "ou_0perat0r";

/// The same with buttons that act.
fn with_buttons(app: &FeishuApp, models: Value) -> Value {
    let mut parts = parts(app, models);
    parts["channels"][0]["operators"] = json!([OPERATOR]);
    parts
}

/// A home of a service with the app and a model.
fn home(app: &FeishuApp, model: &ModelServer) -> Home {
    Home::new(&parts(app, pending::models(model)))
}
