//! Losses: sessions lost in the ways seen in the wild, hangs, floods, servers that are down, endpoints that lead away.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::routing::{any, get, post};
use firstlook::toolbox::server::{Answer, Server, ServerError};
use futures::StreamExt;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use crate::support::mcp::{McpServer, Unknown};
use crate::support::original::entry;
use crate::support::serve;

const LIMIT: Duration = Duration::from_secs(15);

/// What gateways and SDKs answer to a session they do not know.
const WAYS_TO_LOSE: [Unknown; 9] = [
    Unknown::Text(404, "session not found"),
    Unknown::Text(401, "Session not found"),
    Unknown::Text(400, "Missing session ID"),
    Unknown::Text(503, "no such session on this replica"),
    Unknown::Error(200, -32600, "Invalid Request"),
    Unknown::Error(404, -32001, "Session not found"),
    Unknown::Error(400, -32000, "Bad Request: No valid session ID provided"),
    Unknown::Error(400, -32602, "Invalid session ID"),
    Unknown::Error(200, 0, "method \"tools/call\" is invalid during session initialization"),
];

fn server(url: &str) -> Server {
    Server::new(&entry(json!({"url": url}))).unwrap()
}

async fn call(server: &Server, tool: &str, limit: Duration) -> Result<Answer, ServerError> {
    server.call(tool, &Map::new(), limit).await
}

#[tokio::test]
async fn f28_a_lost_session_is_made_anew_once_for_everyone() {
    for unknown in WAYS_TO_LOSE {
        let fake = McpServer::start(unknown).await;
        let server = server(&fake.url);
        assert_eq!(server.tool_names().await.unwrap(), ["pods_get", "events_list", "pods_log"]);
        for sessions in 1..=3 {
            let calls = (0..8).map(|_| call(&server, "pods_get", LIMIT));
            for answer in futures::future::join_all(calls).await {
                let answer = answer.unwrap_or_else(|error| panic!("{unknown:?}: {error}"));
                assert_eq!((answer.text.as_str(), answer.is_error), ("kind: Pod", false), "{unknown:?}");
            }
            assert_eq!(fake.initialized(), sessions, "{unknown:?}");
            assert_eq!(fake.calls().len(), 8 * sessions, "{unknown:?}");
            fake.forget();
        }
    }
}

#[tokio::test]
async fn a_server_that_never_keeps_a_session_is_asked_twice_and_no_more() {
    for unknown in WAYS_TO_LOSE {
        let fake = McpServer::start(unknown).await;
        fake.forget_always();
        let error = call(&server(&fake.url), "pods_get", LIMIT).await.unwrap_err();
        assert!(matches!(error, ServerError::Unreachable { .. }), "{unknown:?}: {error}");
        assert_eq!(fake.initialized(), 2, "{unknown:?}");
        assert!(fake.calls().is_empty());
    }
}

#[tokio::test]
async fn a_call_nobody_waits_for_is_cancelled_at_the_server() {
    let fake = McpServer::start(WAYS_TO_LOSE[0]).await;
    let server = server(&fake.url);
    let error = call(&server, "events_list", Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, ServerError::TimedOut { .. }), "{error}");
    {
        let dropped = call(&server, "events_list", LIMIT);
        let _ = tokio::time::timeout(Duration::from_millis(300), dropped).await.unwrap_err();
    }
    for _ in 0..50 {
        if fake.cancelled() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fake.cancelled(), 2);
    assert!(call(&server, "pods_get", LIMIT).await.is_ok());
    assert_eq!(fake.initialized(), 1, "a slow call is no reason to leave a session that still answers");
}

#[tokio::test]
async fn f31_a_flood_is_refused_and_asked_for_once() {
    let fake = McpServer::start(WAYS_TO_LOSE[0]).await;
    let server = server(&fake.url);
    let answer = call(&server, "pods_log", LIMIT).await.unwrap();
    assert!(answer.is_error && answer.text.contains("larger than 8 MiB"), "{}", answer.text);
    assert_eq!(fake.calls(), ["pods_log"]);
    assert!(call(&server, "pods_get", LIMIT).await.is_ok());
    assert_eq!(fake.initialized(), 1);
}

/// What is no text is said to be left out, what only stands in structured content is read, and an error is one.
#[tokio::test]
async fn f31_a_picture_structured_content_and_an_error_are_each_told_for_what_they_are() {
    let fake = McpServer::start(WAYS_TO_LOSE[0]).await.offering(&["pods_list", "namespaces_list", "nodes_top"]);
    let server = server(&fake.url);
    let picture = call(&server, "pods_list", LIMIT).await.unwrap();
    assert!(!picture.is_error && picture.text.contains("not text") && !picture.text.contains("iVBOR"), "{picture:?}");
    let structured = call(&server, "namespaces_list", LIMIT).await.unwrap();
    assert!(!structured.is_error && structured.text.contains("\"name\": \"shop\""), "{structured:?}");
    let failed = call(&server, "nodes_top", LIMIT).await.unwrap();
    assert!(failed.is_error && failed.text.contains("could not find the requested resource"), "{failed:?}");
}

/// A server that takes connections and says nothing; counts them.
async fn silent() -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            held.push(connection);
        }
    });
    (url, taken)
}

#[tokio::test]
async fn a_silent_server_costs_ten_seconds_once() {
    firstlook::trust::cryptography();
    let (url, taken) = silent().await;
    let server = server(&url);
    let started = Instant::now();
    let waiting = futures::future::join_all((0..8).map(|_| server.tool_names())).await;
    assert!(waiting.iter().all(Result::is_err));
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    assert_eq!(taken.load(Ordering::Relaxed), 1, "eight incidents share one dial");

    let again = Instant::now();
    assert!(server.tool_names().await.is_err());
    assert!(again.elapsed() < Duration::from_millis(100), "a failure just now is remembered: {:?}", again.elapsed());
    assert_eq!(taken.load(Ordering::Relaxed), 1);

    tokio::time::sleep(Duration::from_secs(5)).await;
    let later = Instant::now();
    assert!(server.tool_names().await.is_err());
    assert!(later.elapsed() < Duration::from_millis(1_500), "the next dial goes on alone: {:?}", later.elapsed());
    assert!(server.tool_names().await.is_err());
    assert_eq!(taken.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_endpoint_of_another_origin_gets_nothing() {
    firstlook::trust::cryptography();
    let stolen = Arc::new(AtomicUsize::new(0));
    let counter = stolen.clone();
    let steal = move || async move { counter.fetch_add(1, Ordering::Relaxed).to_string() };
    let away = serve(Router::new().fallback(any(steal))).await;
    for endpoint in [format!("{away}/message?sessionId=1"), away.replacen("http:", "", 1), "http://[".to_owned()] {
        let events = endpoint.clone();
        let stream = move || async move {
            let event = Event::default().event("endpoint").data(events);
            Sse::new(futures::stream::iter([Ok::<_, Infallible>(event)]).chain(futures::stream::pending()))
        };
        let url = serve(Router::new().route("/sse", get(stream))).await + "/sse";
        let headers = json!({"Authorization": "Bearer secret-of-ours"});
        let server = Server::new(&entry(json!({"url": url, "transport": "sse", "headers": headers}))).unwrap();
        let error = server.tool_names().await.unwrap_err().to_string();
        assert!(error.contains("another origin") || error.contains("no address"), "{endpoint}: {error}");
        assert!(!error.contains("secret-of-ours"));
    }
    assert_eq!(stolen.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_speaks_neither_is_told_apart_from_what_is_down() {
    firstlook::trust::cryptography();
    let page = serve(Router::new().route("/", any(|| async { "welcome" }))).await;
    let error = server(&page).tool_names().await.unwrap_err().to_string();
    assert!(error.contains("neither streamable HTTP") && error.contains("/mcp"), "{error}");

    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = server(&format!("http://{closed}/mcp")).tool_names().await.unwrap_err().to_string();
    assert!(error.contains("refused") && !error.contains("SSE"), "{error}");
}

/// A server of the older transport whose `pods_log` is 50 MB; counts its streams.
async fn flooding_sse() -> (String, Arc<AtomicUsize>) {
    let streams = Arc::new(AtomicUsize::new(0));
    let (answers, _) = broadcast::channel::<Arc<str>>(16);
    let (counter, listeners) = (streams.clone(), answers.clone());
    let stream = move || async move {
        counter.fetch_add(1, Ordering::Relaxed);
        let first = Event::default().event("endpoint").data("/message?sessionId=1");
        let messages = futures::stream::unfold(listeners.subscribe(), |mut inbox| async {
            let text = inbox.recv().await.ok()?;
            Some((Ok::<_, Infallible>(Event::default().event("message").data(text)), inbox))
        });
        Sse::new(futures::stream::iter([Ok(first)]).chain(messages))
    };
    let message = move |axum::Json(message): axum::Json<Value>| async move {
        let result = match (message["method"].as_str().unwrap(), message["params"]["name"].as_str()) {
            ("initialize", _) => {
                json!({"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}, "serverInfo": {"name": "old", "version": "1"}})
            }
            ("tools/list", _) => json!({"tools": [{"name": "pods_log", "inputSchema": {"type": "object"}}]}),
            (_, Some("pods_log")) => json!({"content": [{"type": "text", "text": "x".repeat(50 << 20)}]}),
            (_, Some(_)) => json!({"content": [{"type": "text", "text": "kind: Pod"}]}),
            _ => return StatusCode::ACCEPTED,
        };
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
        answers.send(answer.into()).map_or(StatusCode::BAD_REQUEST, |_| StatusCode::ACCEPTED)
    };
    let router = Router::new().route("/sse", get(stream)).route("/message", post(message));
    (serve(router).await + "/sse", streams)
}

#[tokio::test]
async fn a_flood_over_sse_ends_the_stream_and_nothing_else() {
    firstlook::trust::cryptography();
    let (url, streams) = flooding_sse().await;
    let server = server(&url);
    let error = call(&server, "pods_log", LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("exceeded the maximum size of 8388608 bytes"), "{error}");
    assert_eq!(streams.load(Ordering::Relaxed), 2);
    assert_eq!(call(&server, "pods_get", LIMIT).await.unwrap().text, "kind: Pod");
}
