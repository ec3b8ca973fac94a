//! The outcome of one attempt to send, decided in the same words for every channel.

use std::time::Duration;

use thiserror::Error;

use crate::alert::Lang;

/// Why a message was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The destination was not reached or did not answer in time.
    Network,
    /// The destination asks to slow down.
    RateLimited,
    /// The destination failed on its side.
    Server,
    /// The destination refuses our credentials, address or signature.
    Auth,
    /// The destination refuses the message itself, in its plainest form.
    Rejected,
}

impl Reason {
    const ALL: [Self; 5] = [Self::Network, Self::RateLimited, Self::Server, Self::Auth, Self::Rejected];

    /// A fixed word for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::RateLimited => "rate_limited",
            Self::Server => "server",
            Self::Auth => "auth",
            Self::Rejected => "rejected",
        }
    }

    /// What to do about it, in words that hold for every destination: its own are with the message.
    #[must_use]
    pub fn advice(self, lang: Lang) -> &'static str {
        match self {
            Self::Network => lang.pick(
                "请检查 DNS、出网和代理设置，消息会自动重试",
                "check DNS, egress and the proxy settings; messages wait and are tried again",
            ),
            Self::RateLimited => lang.pick(
                "无需处理：消息按对方要求的时间等待，积压时合并发送",
                "nothing: messages wait as long as the product asks, and merge when many do",
            ),
            Self::Server => lang.pick(
                "无需处理：对方恢复后消息会自动重试",
                "nothing: the product fails on its side, and messages are tried again",
            ),
            Self::Auth | Self::Rejected => lang.pick(
                "请按对方的答复核对渠道配置，改好后可重新发送",
                "mend what the product complains of, and send the message again: from the incident's page or by the API",
            ),
        }
    }

    /// What it comes to, in a reader's language.
    #[must_use]
    pub fn meaning(self, lang: Lang) -> &'static str {
        match self {
            Self::Network => lang.pick("连接不上，或没有应答", "it is not reached or does not answer"),
            Self::RateLimited => lang.pick("对方限流", "it asks to slow down"),
            Self::Server => lang.pick("对方服务出错", "it fails on its side"),
            Self::Auth => lang.pick("地址、凭据或签名不被接受", "it refuses the address, credentials or signature"),
            Self::Rejected => lang.pick("消息本身被拒绝", "it refuses the message itself"),
        }
    }

    /// Whether the same message can succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Network | Self::RateLimited | Self::Server)
    }
}

/// A failed attempt. Its text never holds a secret: addresses are cut to scheme and host.
#[derive(Debug, Clone, Error)]
#[error("{} ({})", detail, reason.label())]
pub struct SendError {
    /// What kind of failure it is.
    pub reason: Reason,
    /// What the destination said, and what to do about it.
    pub detail: String,
    /// How long the destination asks to wait.
    pub retry_after: Option<Duration>,
    /// Whether the message may have arrived all the same: no answer came that says otherwise.
    pub perhaps_arrived: bool,
}

impl SendError {
    /// A failure without a wish to wait.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), retry_after: None, perhaps_arrived: false }
    }

    /// The same for an attempt to which no answer came.
    #[must_use]
    pub fn perhaps_arrived(self, perhaps_arrived: bool) -> Self {
        Self { perhaps_arrived, ..self }
    }
}

/// Why a message was not delivered, for people who read messages: in Chinese what it comes to, with the product's answer,
/// and what to do about it.
#[must_use]
pub fn told(lang: Lang, error: &str) -> String {
    match (lang, parts(error)) {
        (Lang::Zh, Some((reason, detail))) => {
            let answer = detail.split_once("\": ").map_or(detail, |(answer, _)| &error[..=answer.len()]);
            in_chinese(reason, answer)
        }
        _ => error.to_owned(),
    }
}

/// The same for a page, which has room for every word that was recorded.
#[must_use]
pub fn told_whole(lang: Lang, error: &str) -> String {
    match (lang, parts(error)) {
        (Lang::Zh, Some((reason, detail))) => in_chinese(reason, detail),
        _ => error.to_owned(),
    }
}

fn in_chinese(reason: Reason, detail: &str) -> String {
    format!("{}（{detail}）。{}", reason.meaning(Lang::Zh), reason.advice(Lang::Zh))
}

/// What kind of failure a recorded error is, and what was said. `None` for what no attempt to send wrote.
fn parts(error: &str) -> Option<(Reason, &str)> {
    Reason::ALL.into_iter().find_map(|reason| Some((reason, error.strip_suffix(&format!(" ({})", reason.label()))?)))
}

/// The form in which a message was at last accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As designed.
    Full,
    /// Shortened to fit.
    Compact,
    /// Plain text, after the richer forms were refused.
    Plain,
}

impl Form {
    /// A fixed word for the store, logs and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Compact => "compact",
            Self::Plain => "plain",
        }
    }
}
