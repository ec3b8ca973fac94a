//! How the long connection fares: what is shown of it, and what to do when it ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::alert::Lang;
use crate::notify::send::{Reason, SendError};
use crate::telemetry::{Health, Seen};

/// An app has at most 50 connections.
const TOO_MANY: &str = "1000040350";

/// Why a connection ended, or did not come about. No address stands in it: its query is a credential.
#[derive(Debug, Error)]
pub enum Ended {
    /// The platform said where to connect neither, nor to whom.
    #[error("{0}")]
    Endpoint(#[source] SendError),
    /// Nobody answered the dial.
    #[error("the long connection is not reached: {0}")]
    Unreached(String),
    /// The platform answered the dial and refused it.
    #[error("the platform refused the connection: {status} {code} {said}")]
    Refused {
        /// The status it gave.
        status: String,
        /// Its code, when it gave one.
        code: String,
        /// Its words.
        said: String,
    },
    /// The platform closed it.
    #[error("the platform closed it")]
    Closed,
    /// Neither frames nor pongs came for longer than two pings.
    #[error("nothing came for {} s, not even a pong", .0.as_secs())]
    Silent(Duration),
    /// It broke, or what came over it cannot be read.
    #[error("the connection broke: {0}")]
    Broken(String),
}

impl Ended {
    /// A fixed word for it.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Endpoint(error) => error.reason.label(),
            Self::Unreached(_) => Reason::Network.label(),
            Self::Refused { .. } => "refused",
            Self::Closed => "closed",
            Self::Silent(_) => "silent",
            Self::Broken(_) => "broken",
        }
    }

    /// What to do about it. Fixed words: they stand where anybody may read them.
    #[must_use]
    pub fn advice(&self, lang: Lang) -> &'static str {
        let (zh, en) = match self {
            Self::Endpoint(error) if error.reason == Reason::Auth => (
                "检查 app_id、app_secret，以及应用已发布版本、回调的订阅方式是“使用长连接接收回调”",
                "check app_id and app_secret, that a version of the app is published, and that it subscribes by persistent connection",
            ),
            Self::Endpoint(error) if error.reason != Reason::Network => {
                ("平台繁忙或出错，稍后自动重连", "the platform is busy or fails on its side; it is dialled again")
            }
            Self::Endpoint(_) | Self::Unreached(_) => (
                "检查 DNS、出口网络和代理：长连接要能直连 base_url 返回的 wss 地址的 443 端口，不走 HTTPS_PROXY；做不到时改用 callbacks: http",
                "check DNS, egress and the proxy: the wss address the platform names must be reached on port 443 directly, \
                 HTTPS_PROXY is not used for it; where that cannot be, use callbacks: http",
            ),
            Self::Refused { code, .. } if code == TOO_MANY => (
                "一个应用最多 50 条长连接；停掉别处用同一应用监听的进程",
                "an app has at most 50 connections; end processes that listen for it elsewhere",
            ),
            Self::Refused { .. } => (
                "在开发者后台“事件与回调 → 回调配置”把订阅方式设为“使用长连接接收回调”，并发布版本",
                "in the console, set Events & callbacks → Callback configuration → Subscription mode to persistent connection, and publish a version",
            ),
            Self::Closed | Self::Silent(_) | Self::Broken(_) => (
                "自动重连；反复出现时检查出口网络是否切断长时间的连接",
                "it is dialled again; when this keeps happening, see whether something on the way cuts connections that last",
            ),
        };
        lang.pick(zh, en)
    }
}

/// The connection as this process has it.
#[derive(Debug, Default)]
pub struct Line {
    stands: AtomicBool,
    ends: AtomicU64,
    health: Health,
}

/// What is shown of it.
#[derive(Debug, Clone, Serialize)]
pub struct LineSeen {
    /// Whether presses arrive at this moment.
    pub connected: bool,
    /// How many connections, and attempts at one, have ended since the service started.
    pub ends: u64,
    /// How the last dial went, and why the last connection ended.
    #[serde(flatten)]
    pub seen: Seen,
}

impl Line {
    /// A connection stands, so long after its dial began.
    pub fn stands(&self, took: Duration) {
        self.stands.store(true, Ordering::Relaxed);
        self.health.succeeded(took);
    }

    /// It ended, or did not come about.
    pub fn ended(&self, ended: &Ended) {
        self.stands.store(false, Ordering::Relaxed);
        self.ends.fetch_add(1, Ordering::Relaxed);
        self.health.failed(ended.label(), ended, |lang| ended.advice(lang));
    }

    /// What is known now.
    #[must_use]
    pub fn seen(&self) -> LineSeen {
        let (connected, ends) = (self.stands.load(Ordering::Relaxed), self.ends.load(Ordering::Relaxed));
        LineSeen { connected, ends, seen: self.health.seen() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> Ended {
        Ended::Refused { status: "403".into(), code: code.into(), said: "no".into() }
    }

    #[test]
    fn each_end_says_what_to_do_in_both_languages() {
        let endpoint = |reason| Ended::Endpoint(SendError::new(reason, "x"));
        for (ended, label, zh, en) in [
            (endpoint(Reason::Auth), "auth", "app_id", "app_secret"),
            (endpoint(Reason::Server), "server", "稍后自动重连", "dialled again"),
            (endpoint(Reason::Network), "network", "callbacks: http", "callbacks: http"),
            (Ended::Unreached("x".into()), "network", "wss", "wss"),
            (refused("1000040350"), "refused", "最多 50 条", "at most 50"),
            (refused(""), "refused", "使用长连接接收回调", "persistent connection"),
            (Ended::Silent(Duration::from_secs(240)), "silent", "自动重连", "dialled again"),
            (Ended::Closed, "closed", "自动重连", "dialled again"),
        ] {
            assert_eq!(ended.label(), label);
            assert!(ended.advice(Lang::Zh).contains(zh), "{ended}: {}", ended.advice(Lang::Zh));
            assert!(ended.advice(Lang::En).contains(en), "{ended}: {}", ended.advice(Lang::En));
        }
        assert_eq!(Ended::Silent(Duration::from_secs(240)).to_string(), "nothing came for 240 s, not even a pong");
    }

    #[test]
    fn what_is_shown_follows_the_connection() {
        let line = Line::default();
        line.stands(Duration::from_millis(3));
        assert!(line.seen().connected);
        line.ended(&Ended::Closed);
        let seen = serde_json::to_value(line.seen()).unwrap();
        assert_eq!((&seen["connected"], &seen["ends"], &seen["failure"]), (&false.into(), &1.into(), &"closed".into()));
        assert_eq!((&seen["state"], &seen["latency_ms"]), (&"failing".into(), &3.into()));
    }
}
