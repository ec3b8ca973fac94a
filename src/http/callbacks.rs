//! The doors of chat products: presses on cards, where they do not arrive over a connection dialled from here.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::Value;

use super::App;
use super::body;
use super::error::ApiError;
use crate::notify::feishu::app::Signed;

/// A press is a few kilobytes.
const LARGEST: usize = 256 * 1024;

/// Takes a Feishu app's callback: encrypted, signed, and answered within 3 seconds.
#[utoipa::path(
    post,
    path = "/callbacks/feishu/{channel}",
    request_body(content_type = "application/json", description = "Feishu's encrypted callback"),
    responses(
        (status = 200, description = "The answer the person is shown, or the challenge"),
        (status = 401, description = "Not encrypted and signed with the channel's `encrypt_key`, or old"),
        (status = 404, description = "No channel of this name takes callbacks over HTTP"),
    )
)]
pub async fn feishu(
    State(app): State<Arc<App>>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let found = app.apps.iter().find(|one| one.name() == channel);
    let found = found.ok_or_else(|| ApiError::not_found("no channel of this name takes callbacks over HTTP"))?;
    let body = body::read(body, LARGEST).await?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = Signed {
        timestamp: header("x-lark-request-timestamp"),
        nonce: header("x-lark-request-nonce"),
        signature: header("x-lark-signature"),
    };
    let lang = app.desk.settings().lang;
    let answer = found.callback(signed, &body, lang, app.presses.as_ref()).await;
    answer.map(Json).map_err(|denied| {
        tracing::warn!(channel, %denied, "a callback was refused");
        ApiError::denied(denied.to_string())
    })
}
