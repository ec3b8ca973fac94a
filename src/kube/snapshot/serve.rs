//! The HTTP side of a snapshot: reads answered, writes refused, nothing changed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::kinds::Kind;
use super::request::{ObjectPath, Query, Target, target};
use super::selector::Selector;
use super::status::Refusal;
use super::{Snapshot, review, table};

#[derive(Clone)]
struct Server {
    snapshot: Arc<Snapshot>,
    shutdown: CancellationToken,
}

impl Snapshot {
    /// Serves the snapshot as a Kubernetes API over plain HTTP until the token is cancelled.
    ///
    /// # Errors
    ///
    /// When the listener fails.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let server = Server { snapshot: self, shutdown: shutdown.clone() };
        let router = Router::new().fallback(answer).with_state(server);
        axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }

    /// Serves the snapshot on a free loopback port in the background and returns the address.
    ///
    /// # Errors
    ///
    /// When there is no port to listen on.
    pub async fn spawn(self: Arc<Self>, shutdown: CancellationToken) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            if let Err(error) = self.serve(listener, shutdown).await {
                tracing::error!(%error, "the snapshot server ended");
            }
        });
        Ok(address)
    }
}

async fn answer(State(server): State<Server>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let reads = matches!(method, Method::GET | Method::HEAD);
    let snapshot = &*server.snapshot;
    let document = match target(uri.path()) {
        Target::Objects(path) if reads => {
            return read(&server, path, &uri, &headers).unwrap_or_else(Refusal::into_response);
        }
        Target::Objects(path) => return write(snapshot, path, &method, &body).unwrap_or_else(Refusal::into_response),
        _ if !reads => return Refusal::method_not_allowed().into_response(),
        Target::CoreVersions => Some(snapshot.core_versions()),
        Target::Groups => Some(snapshot.groups()),
        Target::Group(group) => snapshot.group(group),
        Target::Version { group, version } => snapshot.resources(group, version),
        Target::Build => Some(build()),
        Target::Health => return "ok".into_response(),
        Target::Unknown => None,
    };
    document.map_or_else(|| (StatusCode::NOT_FOUND, "404 page not found\n").into_response(), json_response)
}

/// The version the scenarios were recorded from.
fn build() -> Value {
    json!({"major": "1", "minor": "36", "gitVersion": "v1.36.2", "platform": "linux/amd64"})
}

fn json_response(document: Value) -> Response {
    Json(document).into_response()
}

fn read(server: &Server, path: ObjectPath, uri: &Uri, headers: &HeaderMap) -> Result<Response, Refusal> {
    let snapshot = &*server.snapshot;
    let query = Query::parse(uri.query());
    let kind = resolve(snapshot, path)?;
    if kind.review {
        return Err(Refusal::method_not_allowed());
    }
    if kind.kind == "Secret" {
        let verb = if path.name.is_some() { "get" } else { "list" };
        return Err(Refusal::forbidden(verb, kind, path.namespace, path.name));
    }
    if path.subresource == Some("log") && kind.plural == "pods" {
        let pod = snapshot.find(kind, path)?;
        let log = snapshot.logs.answer(&pod, &query.log(), snapshot.now())?;
        return Ok(([(header::CONTENT_TYPE, "text/plain")], log).into_response());
    }
    if !matches!(path.subresource, None | Some("status")) {
        return Err(Refusal::forbidden("get", kind, path.namespace, path.name));
    }
    if query.flag("watch") {
        return Ok(silence(server.shutdown.clone()));
    }
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let wants_table = table::wanted(accept);
    let Some(_) = path.name else {
        let selected = snapshot.select(kind, path.namespace, &query)?;
        let (objects, metadata) = page(&selected, &query)?;
        let mut document = if wants_table {
            table::render(kind, objects, query.text("includeObject"), snapshot.now())
        } else {
            list(kind, objects)
        };
        document["metadata"] = metadata;
        return Ok(json_response(document));
    };
    let object = snapshot.find(kind, path)?;
    if wants_table {
        return Ok(json_response(table::render(kind, &[object], query.text("includeObject"), snapshot.now())));
    }
    Ok(json_response(object))
}

/// The kind at a path, when the path's scope is the kind's.
fn resolve<'a>(snapshot: &'a Snapshot, path: ObjectPath) -> Result<&'a Kind, Refusal> {
    let kind = snapshot.kind_at(path.group, path.version, path.plural).ok_or_else(Refusal::no_such_resource)?;
    let misplaced = (path.namespace.is_some() && !kind.namespaced)
        || (path.namespace.is_none() && path.name.is_some() && kind.namespaced);
    if misplaced { Err(Refusal::no_such_resource()) } else { Ok(kind) }
}

fn list(kind: &Kind, objects: &[Value]) -> Value {
    json!({
        "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(),
        "items": objects,
    })
}

/// The page that `limit` and `continue` ask for, and the list's metadata. The token is the place where to go on.
fn page<'a>(objects: &'a [Value], query: &Query) -> Result<(&'a [Value], Value), Refusal> {
    let from = match query.text("continue") {
        "" => 0,
        token => token.parse().map_err(|_| Refusal::bad_request("continue key is not valid"))?,
    };
    let rest = objects.get(from..).unwrap_or_default();
    let limit = query.text("limit").parse().ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let shown = &rest[..rest.len().min(limit)];
    let mut metadata = json!({"resourceVersion": "1"});
    if shown.len() < rest.len() {
        metadata["continue"] = json!((from + shown.len()).to_string());
        metadata["remainingItemCount"] = json!(rest.len() - shown.len());
    }
    Ok((shown, metadata))
}

/// A watch on a cluster whose clock stands still: open, and nothing ever happens.
fn silence(shutdown: CancellationToken) -> Response {
    let nothing = futures::stream::pending::<io::Result<Bytes>>().take_until(shutdown.cancelled_owned());
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(nothing)).into_response()
}

fn write(snapshot: &Snapshot, path: ObjectPath, method: &Method, body: &[u8]) -> Result<Response, Refusal> {
    let kind = resolve(snapshot, path)?;
    if kind.review && method == Method::POST {
        return review::answer(kind, body);
    }
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => return Err(Refusal::method_not_allowed()),
    };
    Err(Refusal::forbidden(verb, kind, path.namespace, path.name))
}

impl Snapshot {
    /// The object at a path.
    fn find(&self, kind: &Kind, path: ObjectPath) -> Result<Value, Refusal> {
        let name = path.name.unwrap_or_default();
        let found = self.objects_of(kind).into_iter().find(|object| {
            object["metadata"]["name"] == name && object["metadata"]["namespace"].as_str() == path.namespace
        });
        found.ok_or_else(|| Refusal::not_found(kind, name))
    }

    fn select(&self, kind: &Kind, namespace: Option<&str>, query: &Query) -> Result<Vec<Value>, Refusal> {
        let selector = Selector::parse(kind, query.text("labelSelector"), query.text("fieldSelector"))
            .map_err(Refusal::bad_request)?;
        let inside = |object: &Value| namespace.is_none() || object["metadata"]["namespace"].as_str() == namespace;
        let objects = self.objects_of(kind).into_iter();
        Ok(objects.filter(|object| inside(object) && selector.matches(object)).collect())
    }

    /// All objects of a kind. Events are stored once and served in both of their groups.
    fn objects_of(&self, kind: &Kind) -> Vec<Value> {
        if kind.group == "events.k8s.io" {
            return self.stored("v1", "Event").iter().map(modern_event).collect();
        }
        self.stored(&kind.api_version(), &kind.kind).to_vec()
    }
}

/// A core Event under the names `events.k8s.io` has for its fields.
fn modern_event(event: &Value) -> Value {
    const NAMES: &[(&str, &str)] = &[
        ("involvedObject", "regarding"),
        ("message", "note"),
        ("source", "deprecatedSource"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
        ("reportingComponent", "reportingController"),
    ];
    let mut modern = event.clone();
    modern["apiVersion"] = Value::from("events.k8s.io/v1");
    if let Some(fields) = modern.as_object_mut() {
        for (old, new) in NAMES {
            if let Some(value) = fields.shift_remove(*old) {
                fields.insert((*new).to_owned(), value);
            }
        }
    }
    modern
}
