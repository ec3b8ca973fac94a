//! A stand-in for Feishu's long connection: the endpoint, the handshake, and frames of protobuf written by hand from the
//! wire format, not with our own types.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response as Upgrade};

use super::eventually;
use super::feishu_app::{APP_ID, APP_SECRET};

/// The platform's side of the connection.
#[derive(Clone)]
pub struct LongConnection {
    state: Arc<Mutex<Inner>>,
    /// Counts connections; whoever was on an older one is put off.
    current: watch::Sender<usize>,
}

#[derive(Default)]
struct Inner {
    address: String,
    sender: Option<mpsc::UnboundedSender<Vec<u8>>>,
    connections: usize,
    pings: usize,
    /// Connections up to this one get no pong any more.
    silent: usize,
    answers: Vec<Frame>,
    asked: usize,
    /// Codes that the next questions for the address are answered with.
    endpoint_faults: Vec<i64>,
    /// Handshakes that are refused next: status and code.
    handshake_faults: Vec<(u16, &'static str)>,
}

/// A frame, taken apart.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    pub service: u64,
    pub method: u64,
    pub headers: Vec<(String, String)>,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn header(&self, key: &str) -> &str {
        self.headers.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }
}

impl LongConnection {
    /// Its router, and the connection.
    pub async fn start() -> (Router, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inner = Inner { address, ..Inner::default() };
        let this = Self { state: Arc::new(Mutex::new(inner)), current: watch::Sender::new(0) };
        let accepting = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().converse(stream));
            }
        });
        let router = Router::new().route("/callback/ws/endpoint", post(endpoint)).with_state(this.clone());
        (router, this)
    }

    async fn converse(self, stream: TcpStream) {
        let refused = self.state.lock().unwrap().handshake_faults.pop();
        #[allow(clippy::result_large_err)]
        let known = |request: &Request, answer: Upgrade| {
            if let Some((status, code)) = refused {
                let refusal = tokio_tungstenite::tungstenite::http::Response::builder()
                    .status(400)
                    .header("Handshake-Status", status.to_string())
                    .header("Handshake-Msg", "as the test wants it")
                    .header("Handshake-Autherrcode", code);
                return Err(refusal.body(None).unwrap());
            }
            let query = request.uri().query().unwrap_or_default();
            assert!(query.contains("ticket=") && query.contains("service_id=7"), "{query}");
            Ok(answer)
        };
        let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, known).await else { return };
        let (mut out, mut incoming) = socket.split();
        let (sender, mut frames) = mpsc::unbounded_channel();
        let number = {
            let mut inner = self.state.lock().unwrap();
            inner.sender = Some(sender);
            inner.connections += 1;
            inner.connections
        };
        let mut current = self.current.subscribe();
        loop {
            tokio::select! {
                Some(frame) = frames.recv() => if out.send(Message::Binary(frame.into())).await.is_err() { return },
                () = async { drop(current.wait_for(|current| *current >= number).await) } => return,
                message = incoming.next() => {
                    let Some(Ok(message)) = message else { return };
                    let Message::Binary(bytes) = message else { continue };
                    let frame = read(&bytes);
                    assert_eq!(frame.service, 7, "{frame:?}");
                    match frame.method {
                        0 => {
                            assert_eq!(frame.header("type"), "ping");
                            let is_silent = {
                                let mut inner = self.state.lock().unwrap();
                                inner.pings += 1;
                                number <= inner.silent
                            };
                            if is_silent { continue }
                            let config = json!({"PingInterval": 1, "ReconnectInterval": 1, "ReconnectNonce": 1});
                            let pong = written(0, &[("type", "pong")], config.to_string().as_bytes());
                            if out.send(Message::Binary(pong.into())).await.is_err() { return }
                        }
                        _ => self.state.lock().unwrap().answers.push(frame),
                    }
                }
            }
        }
    }

    /// Answers the next questions for the address with these codes, the last first.
    pub fn fail_endpoint(&self, codes: &[i64]) {
        self.state.lock().unwrap().endpoint_faults.extend(codes);
    }

    /// Refuses the next handshakes with these statuses and codes, the last first.
    pub fn fail_handshakes(&self, refusals: &[(u16, &'static str)]) {
        self.state.lock().unwrap().handshake_faults.extend(refusals);
    }

    /// The connection that stands goes silent: pings are taken and nothing comes back, as when the other side is gone
    /// without a word.
    pub fn go_silent(&self) {
        let mut inner = self.state.lock().unwrap();
        inner.silent = inner.connections;
        inner.sender = None;
    }

    /// From now on the address that is told is one where nothing listens.
    pub fn lead_nowhere(&self) {
        self.state.lock().unwrap().address = "127.0.0.1:1".to_owned();
    }

    /// Ends the connection that stands.
    pub fn drop_connection(&self) {
        let connections = self.connections();
        self.state.lock().unwrap().sender = None;
        self.current.send_replace(connections);
    }

    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    pub fn pings(&self) -> usize {
        self.state.lock().unwrap().pings
    }

    /// How often its address was asked for.
    pub fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    /// Waits for a connection.
    pub async fn stands(&self) {
        eventually("a long connection", 15, || self.state.lock().unwrap().sender.is_some().then_some(())).await;
    }

    /// Sends an event, in so many parts, and waits for its answer, which must come within 3 seconds.
    pub async fn send(&self, id: &str, event: &Value, parts: usize) -> Value {
        self.stands().await;
        let before = self.state.lock().unwrap().answers.len();
        let bytes = event.to_string().into_bytes();
        let size = bytes.len().div_ceil(parts);
        for (seq, part) in bytes.chunks(size).enumerate() {
            let (sum, seq) = (parts.to_string(), seq.to_string());
            let headers = [("type", "event"), ("message_id", id), ("sum", &sum), ("seq", &seq), ("trace_id", "t")];
            let frame = written(1, &headers, part);
            self.state.lock().unwrap().sender.as_ref().expect("a connection").send(frame).unwrap();
        }
        let answer = tokio::time::timeout(Duration::from_secs(3), async {
            loop {
                let found = self
                    .state
                    .lock()
                    .unwrap()
                    .answers
                    .iter()
                    .skip(before)
                    .find(|frame| frame.header("message_id") == id)
                    .cloned();
                if let Some(found) = found {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let answer = answer.await.expect("an answer within 3 seconds");
        assert!(answer.header("biz_rt").parse::<u64>().is_ok() && answer.header("trace_id") == "t", "{answer:?}");
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["code"], 200, "{answer}");
        serde_json::from_slice(&STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()).unwrap()
    }
}

async fn endpoint(State(connection): State<LongConnection>, body: Bytes) -> Response {
    let mut inner = connection.state.lock().unwrap();
    inner.asked += 1;
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    if asked["AppID"] != APP_ID || asked["AppSecret"] != APP_SECRET {
        return axum::Json(json!({"code": 1_000_040_344, "msg": "app not found or secret wrong"})).into_response();
    }
    if let Some(code) = inner.endpoint_faults.pop() {
        return axum::Json(json!({"code": code, "msg": "as the test wants it"})).into_response();
    }
    let url = format!("ws://{}/ws/v2?device_id=1&service_id=7&ticket=long-secret-ticket", inner.address);
    let config = json!({"ReconnectCount": -1, "ReconnectInterval": 1, "ReconnectNonce": 1, "PingInterval": 1});
    axum::Json(json!({"code": 0, "msg": "", "data": {"URL": url, "ClientConfig": config}})).into_response()
}

/// The event of a press.
pub fn press(event: &str, message: &str, person: &str, action: &Value) -> Value {
    json!({
        "schema": "2.0",
        "header": {"event_id": event, "event_type": "card.action.trigger", "token": "verification-token", "app_id": APP_ID,
                   "create_time": "1700000000000000", "tenant_key": "t"},
        "event": {"operator": {"tenant_key": "t", "open_id": person, "union_id": "on_x"}, "token": "c-x", "host": "im_message",
                  "action": action, "context": {"open_message_id": message, "open_chat_id": "oc_x"}},
    })
}

/// What a button of the card sends.
pub fn button(action: &str) -> Value {
    json!({"tag": "button", "value": {"firstlook": action}})
}

/// What a button of the form sends.
pub fn verdict(action: &str, reason: &str) -> Value {
    json!({"tag": "button", "name": action, "form_value": {"reason": reason}})
}

fn written(method: u64, headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, value) in [(1, 42), (2, 43), (3, 7), (4, method)] {
        varint(&mut out, field << 3);
        varint(&mut out, value);
    }
    for (key, value) in headers {
        let mut header = Vec::new();
        chunk(&mut header, 1, key.as_bytes());
        chunk(&mut header, 2, value.as_bytes());
        chunk(&mut out, 5, &header);
    }
    chunk(&mut out, 8, payload);
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn chunk(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Fields of a message: number, value of a number, bytes of a chunk.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let value = number(&mut bytes);
        match key & 7 {
            0 => found.push((key >> 3, value, Vec::new())),
            2 => {
                let (chunk, rest) = bytes.split_at(value as usize);
                found.push((key >> 3, 0, chunk.to_vec()));
                bytes = rest;
            }
            other => panic!("wire type {other}"),
        }
    }
    found
}

fn number(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a whole number");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

fn read(bytes: &[u8]) -> Frame {
    let all = fields(bytes);
    for required in 1..=4 {
        assert!(all.iter().any(|(field, ..)| *field == required), "field {required} is required");
    }
    let mut frame = Frame::default();
    for (field, value, chunk) in all {
        match field {
            3 => frame.service = value,
            4 => frame.method = value,
            5 => {
                let text = |wanted: u64| {
                    let found = fields(&chunk).into_iter().find(|(field, ..)| *field == wanted).unwrap();
                    String::from_utf8(found.2).unwrap()
                };
                frame.headers.push((text(1), text(2)));
            }
            8 => frame.payload = chunk,
            _ => {}
        }
    }
    frame
}
