//! The long connection: this side dials, so that callbacks need no public address. It is dialled again whenever it ends,
//! and one on which nothing comes any more has ended, whatever TCP thinks of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{Sink, SinkExt, StreamExt};
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::FeishuApp;
use super::line::Ended;
use super::wire::{ClientConfig, Endpoint, Event, Frame, FrameAnswer, FrameHeader};
use crate::alert::Lang;
use crate::notify::press::Presses;
use crate::notify::text;
use crate::telemetry::Metrics;

/// What the platform's own clients do when they are not told otherwise.
const PING: u64 = 120;
/// The longest wait between two attempts to connect.
const LONGEST: Duration = Duration::from_secs(120);
/// Parts of an event come close together.
const PARTS_FOR: Duration = Duration::from_secs(5);
/// Parts of one event; what claims more is none.
const MOST_PARTS: usize = 64;
/// A dial that is not done by then is begun anew, and a connection that does not take a frame by then is dead.
const DIAL: Duration = Duration::from_secs(15);
/// The rarest pings, whatever the platform says: routers on the way forget connections that are quiet for longer.
const RAREST: u64 = 600;

/// Parts of events that have not come whole.
type Parts = HashMap<String, (Instant, Vec<Option<Vec<u8>>>)>;

impl FeishuApp {
    /// Listens until told to stop.
    pub async fn listen(
        self: Arc<Self>,
        lang: Lang,
        presses: Arc<dyn Presses>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) {
        metrics.long_connection(self.name(), false);
        tokio::select! {
            () = self.connect_again_and_again(lang, &presses, &metrics) => {}
            () = stop.cancelled() => {}
        }
        metrics.long_connection(self.name(), false);
    }

    async fn connect_again_and_again(self: &Arc<Self>, lang: Lang, presses: &Arc<dyn Presses>, metrics: &Metrics) {
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let (config, ended) = self.connection(lang, presses, metrics).await;
            self.line.ended(&ended);
            metrics.long_connection(self.name(), false);
            // A connection that held is no failure: the next one is dialled as soon as the platform likes.
            failures = if begun.elapsed() > Duration::from_secs(60) { 1 } else { failures + 1 };
            let wait = wait(failures, config);
            let advice = ended.advice(Lang::En);
            tracing::warn!(channel = self.name(), error = %ended, advice, wait_ms = wait.as_millis(), "the long connection ended and is dialled again");
            tokio::time::sleep(wait).await;
            metrics.long_connection_redialled(self.name());
        }
    }

    /// Dials once and hangs up: whether presses could arrive over the long connection.
    ///
    /// # Errors
    /// When they could not; [`Ended::advice`] says what to do.
    pub async fn dial(&self) -> Result<(), Ended> {
        let endpoint = self.api.endpoint().await.map_err(Ended::Endpoint)?;
        let mut socket = dial(&endpoint.url).await?;
        // It stood, which was the question; a farewell that is lost changes nothing.
        let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(None)).await;
        Ok(())
    }

    /// One connection, from its dial to its end; says why it ended.
    async fn connection(
        self: &Arc<Self>,
        lang: Lang,
        presses: &Arc<dyn Presses>,
        metrics: &Metrics,
    ) -> (ClientConfig, Ended) {
        let begun = Instant::now();
        let endpoint = match self.api.endpoint().await {
            Ok(endpoint) => endpoint,
            Err(error) => return (ClientConfig::default(), Ended::Endpoint(error)),
        };
        let config = endpoint.client;
        let socket = match dial(&endpoint.url).await {
            Ok(socket) => socket,
            Err(ended) => return (config, ended),
        };
        tracing::info!(channel = self.name(), "the long connection stands; presses on cards arrive");
        self.line.stands(begun.elapsed());
        metrics.long_connection(self.name(), true);
        let outcome = self.converse(socket, &endpoint, lang, presses).await;
        (config, outcome.err().unwrap_or(Ended::Closed))
    }

    /// Pings, events and their answers, until the connection ends or nothing has come for two pings.
    async fn converse(
        self: &Arc<Self>,
        socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
        endpoint: &Endpoint,
        lang: Lang,
        presses: &Arc<dyn Presses>,
    ) -> Result<(), Ended> {
        let service = service(&endpoint.url);
        let (mut out, mut incoming) = socket.split();
        let (answers, mut answered) = mpsc::channel::<Frame>(64);
        let mut every = pause(endpoint.client);
        let mut ping = tokio::time::interval(every);
        let mut heard = Instant::now();
        let mut parts = Parts::new();
        loop {
            tokio::select! {
                _ = ping.tick() => send(&mut out, &pinging(service)).await?,
                Some(frame) = answered.recv() => send(&mut out, &frame).await?,
                () = tokio::time::sleep_until(heard + every * 2) => return Err(Ended::Silent(every * 2)),
                message = incoming.next() => {
                    let bytes = match message {
                        None | Some(Ok(Message::Close(_))) => return Ok(()),
                        Some(Err(error)) => return Err(Ended::Broken(error.to_string())),
                        Some(Ok(message)) => message,
                    };
                    heard = Instant::now();
                    let Message::Binary(bytes) = bytes else { continue };
                    let frame = Frame::decode(bytes).map_err(|error| Ended::Broken(error.to_string()))?;
                    if let Some(config) = told(&frame) {
                        every = pause(config);
                        ping = tokio::time::interval_at(Instant::now() + every, every);
                    }
                    if let Some(payload) = whole(&frame, &mut parts) {
                        self.handle(frame, payload, lang, presses.clone(), answers.clone());
                    }
                },
            }
        }
    }

    /// Answers an event beside the connection: pings and further events do not wait for it.
    fn handle(
        self: &Arc<Self>,
        frame: Frame,
        payload: Vec<u8>,
        lang: Lang,
        presses: Arc<dyn Presses>,
        answers: mpsc::Sender<Frame>,
    ) {
        let app = self.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let (code, answer) = match serde_json::from_slice::<Event>(&payload) {
                Ok(event) => (200, app.answer(event, lang, presses.as_ref()).await),
                // Nothing this version can read will be readable the next time: it is not asked for again.
                Err(error) => {
                    tracing::warn!(channel = app.name(), %error, "an event could not be read");
                    (200, serde_json::json!({}))
                }
            };
            let frame = answering(frame, code, &answer, begun.elapsed());
            // When the connection is gone the platform sends the event again.
            let _ = answers.send(frame).await;
        });
    }
}

/// Opens the connection. The address is a credential: no error repeats it.
async fn dial(url: &str) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, Ended> {
    let dialled = tokio::time::timeout(DIAL, tokio_tungstenite::connect_async(url)).await;
    let (socket, _) = dialled.map_err(|_| Ended::Unreached("no connection in time".to_owned()))?.map_err(refused)?;
    Ok(socket)
}

/// Sends a frame. A connection that takes none, because nobody acknowledges what was sent before, has ended.
async fn send(out: &mut (impl Sink<Message, Error = tungstenite::Error> + Unpin), frame: &Frame) -> Result<(), Ended> {
    match tokio::time::timeout(DIAL, out.send(packed(frame))).await {
        Ok(sent) => sent.map_err(|error| Ended::Broken(error.to_string())),
        Err(_) => Err(Ended::Silent(DIAL)),
    }
}

fn pause(config: ClientConfig) -> Duration {
    Duration::from_secs(config.ping_interval.unwrap_or(PING).clamp(1, RAREST))
}

/// How long to wait before the next dial: at random at first, so that not everybody comes at once, then longer and longer.
fn wait(failures: u32, config: ClientConfig) -> Duration {
    let nonce = config.reconnect_nonce.unwrap_or(30).clamp(1, 120);
    let at_random = Duration::from_millis(u64::try_from(Uuid::new_v4().as_u128() % 1_000).unwrap_or(0) * nonce);
    if failures <= 1 {
        return at_random;
    }
    let interval = Duration::from_secs(config.reconnect_interval.unwrap_or(1).clamp(1, 120));
    (interval * 2_u32.pow(failures.min(8) - 2)).min(LONGEST)
}

fn service(url: &str) -> i32 {
    let url = Url::parse(url).ok();
    let id = url.as_ref().and_then(|url| url.query_pairs().find(|(key, _)| key == "service_id"));
    id.and_then(|(_, id)| id.parse().ok()).unwrap_or(0)
}

fn pinging(service: i32) -> Frame {
    let header = FrameHeader { key: "type".to_owned(), value: "ping".to_owned() };
    Frame { service, headers: vec![header], ..Frame::default() }
}

/// What a pong says about how to behave.
fn told(frame: &Frame) -> Option<ClientConfig> {
    let is_pong = frame.method == 0 && frame.header("type") == "pong";
    let payload = frame.payload.as_deref().filter(|payload| is_pong && !payload.is_empty())?;
    serde_json::from_slice(payload).ok()
}

/// The event of a data frame, once all its parts are there.
fn whole(frame: &Frame, parts: &mut Parts) -> Option<Vec<u8>> {
    if frame.method != 1 || !["event", "card"].contains(&frame.header("type")) {
        return None;
    }
    let payload = frame.payload.clone().unwrap_or_default();
    let number = |key: &str| frame.header(key).parse::<usize>().unwrap_or(0);
    let (sum, seq) = (number("sum"), number("seq"));
    if sum <= 1 {
        return Some(payload);
    }
    parts.retain(|_, (at, _)| at.elapsed() < PARTS_FOR);
    if sum > MOST_PARTS || parts.len() > MOST_PARTS {
        return None;
    }
    let id = frame.header("message_id").to_owned();
    let (_, kept) = parts.entry(id.clone()).or_insert_with(|| (Instant::now(), vec![None; sum]));
    *kept.get_mut(seq)? = Some(payload);
    if kept.iter().any(Option::is_none) {
        return None;
    }
    parts.remove(&id).map(|(_, kept)| kept.into_iter().flatten().flatten().collect())
}

/// The frame that answers one: itself, with the outcome in the place of the event.
fn answering(frame: Frame, code: u16, answer: &serde_json::Value, took: Duration) -> Frame {
    let data = STANDARD.encode(answer.to_string());
    // A struct of a number and a text cannot fail to be JSON.
    let payload = serde_json::to_vec(&FrameAnswer { code, data }).unwrap_or_default();
    let mut answer = Frame { payload: Some(payload), ..frame };
    answer.headers.push(FrameHeader { key: "biz_rt".to_owned(), value: took.as_millis().to_string() });
    answer
}

fn packed(frame: &Frame) -> Message {
    Message::Binary(frame.encode_to_vec().into())
}

/// Why a dial failed.
fn refused(error: tungstenite::Error) -> Ended {
    match error {
        tungstenite::Error::Http(answer) => {
            let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
            let status = header("handshake-status").map_or_else(|| answer.status().as_str().to_owned(), str::to_owned);
            let code = header("handshake-autherrcode").unwrap_or_default().to_owned();
            Ended::Refused { status, code, said: text::line(header("handshake-msg").unwrap_or_default(), 200) }
        }
        tungstenite::Error::Url(_) => Ended::Unreached("the platform named no address that can be dialled".to_owned()),
        other => Ended::Unreached(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(seq: usize, sum: usize, payload: &str) -> Frame {
        let header = |key: &str, value: String| FrameHeader { key: key.to_owned(), value };
        let headers = vec![
            header("type", "event".into()),
            header("message_id", "m1".into()),
            header("sum", sum.to_string()),
            header("seq", seq.to_string()),
        ];
        Frame { method: 1, headers, payload: Some(payload.as_bytes().to_vec()), ..Frame::default() }
    }

    #[test]
    fn a_frame_is_written_as_the_platform_s_clients_write_it() {
        // Fields 1 to 4 are required: their zeros are written too.
        assert_eq!(pinging(7).encode_to_vec(), b"\x08\x00\x10\x00\x18\x07\x20\x00\x2a\x0c\x0a\x04type\x12\x04ping");
        let bytes = b"\x08\x01\x10\x02\x18\x07\x20\x01\x2a\x0d\x0a\x04type\x12\x05event\x42\x02{}\x4a\x01x";
        let frame = Frame::decode(&bytes[..]).unwrap();
        assert_eq!((frame.seq_id, frame.header("type"), frame.payload.as_deref()), (1, "event", Some(&b"{}"[..])));
        let ack = answering(frame, 200, &serde_json::json!({}), Duration::from_millis(5));
        assert_eq!(ack.payload.as_deref(), Some(&br#"{"code":200,"data":"e30="}"#[..]));
        assert_eq!((ack.header("biz_rt"), ack.log_id_new.as_deref()), ("5", Some("x")));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_in_parts_is_whole_when_its_last_part_is_there_in_time() {
        let mut parts = Parts::new();
        assert_eq!(whole(&part(1, 2, "b"), &mut parts), None);
        assert_eq!(whole(&part(0, 2, "a"), &mut parts).as_deref(), Some(&b"ab"[..]));
        assert_eq!(whole(&part(0, 2, "a"), &mut parts), None);
        tokio::time::advance(PARTS_FOR).await;
        assert_eq!(whole(&part(1, 2, "b"), &mut parts), None, "the first part is forgotten");
        assert_eq!(whole(&part(9, 2, "b"), &mut parts), None);
        assert_eq!(whole(&part(0, 1 << 40, "b"), &mut parts), None);
    }

    #[test]
    fn dials_are_spread_at_first_and_then_rarer() {
        let config = ClientConfig { reconnect_interval: Some(2), reconnect_nonce: Some(5), ping_interval: None };
        assert!(wait(1, config) < Duration::from_secs(5));
        assert_eq!(wait(2, config), Duration::from_secs(2));
        assert_eq!(wait(4, config), Duration::from_secs(8));
        assert_eq!(wait(99, config), LONGEST);
    }
}
