//! A team with a group in Feishu, a group in WeCom and a mailing list: whoever hears of alerts.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::eventually;
use super::feishu::Feishu;
use super::smtp::SmtpServer;
use super::wecom::Wecom;

/// The names of a team's channels.
pub const CHANNELS: [&str; 3] = ["oncall", "ops", "mail"];
const SECRET: &str = "feishu-signing-secret";

/// The places where messages arrive.
pub struct Team {
    pub feishu: Feishu,
    pub wecom: Wecom,
    pub mail: SmtpServer,
    to: &'static str,
}

/// A message as its recipients got it.
#[derive(Debug, Clone)]
pub struct Heard {
    pub at: Timestamp,
    pub text: String,
}

impl Team {
    /// All three, as strict as the real ones.
    pub async fn start() -> Self {
        Self::writing_to("sre@example.com").await
    }

    /// The same with another mailbox; see `smtp_server.py` for those that behave badly.
    pub async fn writing_to(to: &'static str) -> Self {
        let mail = tokio::task::spawn_blocking(|| SmtpServer::start(&[])).await.unwrap();
        Self { feishu: Feishu::with(Some(SECRET), None).await, wecom: Wecom::start().await, mail, to }
    }

    /// What belongs under `channels:`.
    pub fn channels(&self) -> Value {
        json!([
            {"name": "oncall", "type": "feishu-bot", "url": self.feishu.url(), "secret": SECRET},
            {"name": "ops", "type": "wecom-bot", "url": self.wecom.url()},
            {"name": "mail", "type": "email", "smtp": format!("smtp://{}", self.mail.address()),
             "from": "Firstlook <firstlook@example.com>", "to": [self.to]},
        ])
    }

    /// What came in on each channel, in the order of [`CHANNELS`].
    pub fn heard(&self) -> [Vec<Heard>; 3] {
        let feishu = self.feishu.arrivals().into_iter().map(|(at, body)| {
            let shown = body.get("card").or(body.get("content")).cloned().unwrap_or_default();
            Heard { at, text: shown.to_string() }
        });
        let wecom = self.wecom.arrivals().into_iter().map(|(at, body)| {
            let content = body.pointer("/markdown_v2/content").or(body.pointer("/text/content"));
            Heard { at, text: content.and_then(Value::as_str).unwrap_or_default().to_owned() }
        });
        let mail = self.mail.received(0).into_iter().map(|mail| {
            let text = format!("{}\n{}", mail.header("Subject"), mail.text.clone().unwrap_or_default());
            Heard { at: mail.at, text }
        });
        [feishu.collect(), wecom.collect(), mail.collect()]
    }

    /// Waits until every channel has at least so many messages.
    pub async fn each_has(&self, at_least: usize, seconds: u64) -> [Vec<Heard>; 3] {
        let what = format!("{at_least} message(s) on every channel");
        eventually(&what, seconds, || {
            let heard = self.heard();
            heard.iter().all(|channel| channel.len() >= at_least).then_some(heard)
        })
        .await
    }

    /// Waits until each channel has exactly so many messages: the mail server's word may come a moment after its mail.
    pub async fn each_has_just(&self, counts: [usize; 3]) {
        let what = format!("{counts:?} messages, {:?} so far", self.counts());
        eventually(&what, 5, || (self.counts() == counts).then_some(())).await;
    }

    /// Waits until each channel has exactly the messages that were sent to it about these incidents, each once, and that
    /// each incident began once. How many those are depends on whether a look was quick enough for the first one.
    pub async fn each_has_what_was_sent(&self, incidents: &[&Value]) {
        let notices = || incidents.iter().flat_map(|incident| incident["notices"].as_array().unwrap());
        let count = |channel: &str, role: Option<&str>| {
            let of = |notice: &&Value| notice["channel"] == channel && role.is_none_or(|role| notice["role"] == role);
            notices().filter(of).count()
        };
        assert!(CHANNELS.iter().all(|channel| count(channel, Some("first")) == incidents.len()), "{incidents:#?}");
        self.each_has_just(CHANNELS.map(|channel| count(channel, None))).await;
    }

    /// How many messages each channel has.
    pub fn counts(&self) -> [usize; 3] {
        self.heard().map(|channel| channel.len())
    }

    /// Fails when a channel had to refuse something: the real one would have.
    pub fn refused_nothing(&self) {
        assert_eq!((self.feishu.refused(), self.wecom.refused()), (vec![], vec![]));
    }
}

/// What a first message may take here: twice the promised two seconds, because other tests have the same two cores. What
/// it is held for is 1.4 s, and whatever it may not wait for takes longer than this. `scripts/bench.sh` measures the promise.
const IN_TIME: f64 = 4.0;

/// Fails unless the first message of every channel came in time.
pub fn assert_in_time(heard: &[Vec<Heard>; 3], incident: &Value) {
    let opened: Timestamp = incident["opened_at"].as_str().unwrap().parse().unwrap();
    for (name, channel) in CHANNELS.iter().zip(heard) {
        let after = channel[0].at.duration_since(opened).as_secs_f64();
        assert!(after < IN_TIME, "{name} heard of the alert after {after:.3} s");
    }
}
