//! Refusals in the API server's own words: `v1` Status objects with the code and wording clients know.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::kinds::Kind;

/// A failed request, rendered as a `v1` Status.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Map<String, Value>,
}

impl Refusal {
    /// A refusal without details.
    pub fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Map::new() }
    }

    /// The request makes no sense to the server.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// There is no object of that name.
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.qualified());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(kind, name)
    }

    /// There is no such group, version or resource.
    pub fn no_such_resource() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    /// The identity may not do that; the snapshot answers like an RBAC `view` role.
    pub fn forbidden(verb: &str, kind: &Kind, namespace: Option<&str>, name: Option<&str>) -> Self {
        let scope =
            namespace.map_or_else(|| "at the cluster scope".to_owned(), |ns| format!("in the namespace \"{ns}\""));
        let subject = name.map_or_else(|| kind.qualified(), |name| format!("{} \"{name}\"", kind.qualified()));
        let message = format!(
            "{subject} is forbidden: User \"snapshot-viewer\" cannot {verb} resource \"{}\" in API group \"{}\" {scope}",
            kind.plural, kind.group
        );
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(kind, name.unwrap_or_default())
    }

    /// The resource knows no such method.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        let named = [("name", name), ("group", &kind.group), ("kind", &kind.plural)];
        self.details = named
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), Value::from(value)))
            .collect();
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
        });
        if !self.reason.is_empty() {
            status["reason"] = Value::from(self.reason);
        }
        if !self.details.is_empty() {
            status["details"] = Value::Object(self.details);
        }
        status["code"] = Value::from(self.code.as_u16());
        (self.code, Json(status)).into_response()
    }
}
