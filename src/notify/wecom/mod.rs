//! The WeCom group bot: sends, and reads what the reply really says.

mod config;
mod markup;
pub mod render;
pub mod wire;

use std::time::Duration;

pub use config::WecomBotSettings;
use jiff::Timestamp;

use self::wire::Answer;
use super::ladder::{Refusal, descend};
use super::notice::Notice;
use super::post::{Address, BadAddress, Reply};
use super::send::{Form, Reason, SendError};

/// A bot may send 20 messages a minute; once refused, the minute has to pass.
const PAUSE: Duration = Duration::from_secs(60);

/// A message push of one WeCom group.
#[derive(Debug, Clone)]
pub struct WecomBot {
    name: String,
    address: Address,
    client: reqwest::Client,
}

impl WecomBot {
    /// Builds the channel; nothing is sent yet.
    ///
    /// # Errors
    /// When `url` is not a web address.
    pub fn new(settings: WecomBotSettings, client: reqwest::Client) -> Result<Self, BadAddress> {
        let WecomBotSettings { name, url } = settings;
        Ok(Self { name, address: Address::parse(&url)?, client })
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the product's host is reached; nothing is posted.
    ///
    /// # Errors
    /// When it is not.
    pub async fn reach(&self) -> Result<(), SendError> {
        self.address.reach(&self.client).await
    }

    /// Sends a notice in the richest form the bot accepts.
    ///
    /// # Errors
    /// When it is not delivered in any form; the error says why and what to do.
    pub async fn send(&self, notice: &Notice) -> Result<Form, SendError> {
        let now = Timestamp::now();
        descend(|form, refused| self.attempt(notice, now, form, refused)).await
    }

    async fn attempt(&self, notice: &Notice, now: Timestamp, form: Form, refused: bool) -> Result<(), Refusal> {
        let budget = if refused { render::MARKDOWN_BUDGET / 2 } else { render::MARKDOWN_BUDGET };
        let message = render::message(notice, now, form, budget).ok_or(Refusal::Unfit)?;
        let reply = self.address.post(&self.client, &message).await.map_err(Refusal::Other)?;
        self.read(&reply)
    }

    fn read(&self, reply: &Reply) -> Result<(), Refusal> {
        match Answer::read(&reply.body) {
            Some(answer) if answer.errcode == 0 && reply.status.is_success() => Ok(()),
            Some(answer) => Err(refusal(answer.errcode, &self.address.silence(&answer.errmsg), reply)),
            None => Err(Refusal::Other(unreadable(reply))),
        }
    }
}

/// What a code asks for: another form, a pause, or somebody's attention.
fn refusal(code: i64, said: &str, reply: &Reply) -> Refusal {
    let detail = |hint: &str| format!("WeCom answered {code} \"{said}\"{hint}");
    let other = |reason, hint: &str| Refusal::Other(SendError::new(reason, detail(hint)));
    match code {
        45009 | 45033 => Refusal::Other(SendError {
            retry_after: Some(reply.wait.unwrap_or(PAUSE).max(PAUSE)),
            ..SendError::new(Reason::RateLimited, detail(""))
        }),
        93000 | 40001 | 40014 => {
            other(Reason::Auth, ": the webhook key is not valid any more; copy the address again into `url`")
        }
        -1 => other(Reason::Server, ""),
        _ if reply.status.is_server_error() => other(Reason::Server, ""),
        // 40058, 45002, 40008 and codes nobody wrote down: a shorter or plainer form may pass.
        _ => Refusal::Form(detail("")),
    }
}

fn unreadable(reply: &Reply) -> SendError {
    let status = reply.status.as_u16();
    let (reason, hint) = match status {
        429 => (Reason::RateLimited, ""),
        500..=599 => (Reason::Server, ""),
        _ => (Reason::Auth, "; check that `url` is the bot's webhook address"),
    };
    let retry_after = (reason == Reason::RateLimited).then(|| reply.wait.unwrap_or(PAUSE).max(PAUSE));
    SendError { retry_after, ..SendError::new(reason, format!("HTTP {status} without WeCom's reply{hint}")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use reqwest::StatusCode;
    use secrecy::SecretString;

    use super::*;

    fn answered(status: u16, body: &str) -> Result<(), Refusal> {
        let url = SecretString::from("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=0123456789abcdef");
        let settings = WecomBotSettings { name: "ops".into(), url };
        let bot = WecomBot::new(settings, crate::notify::post::client().expect("a client")).expect("a bot");
        let status = StatusCode::from_u16(status).expect("a status");
        bot.read(&Reply { status, body: body.as_bytes().to_vec(), wait: None })
    }

    fn error(status: u16, body: &str) -> SendError {
        match answered(status, body) {
            Err(Refusal::Other(error)) => error,
            other => panic!("expected a final failure, got {other:?}"),
        }
    }

    #[test]
    fn errcode_decides_and_http_200_does_not() {
        assert!(answered(200, r#"{"errcode":0,"errmsg":"ok"}"#).is_ok());
        for code in [40058, 45002, 40008, 44004] {
            let refused = answered(200, &format!(r#"{{"errcode":{code},"errmsg":"x"}}"#));
            assert!(matches!(refused, Err(Refusal::Form(_))), "{code} asks for a plainer form");
        }
        assert_eq!(error(200, r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#).reason, Reason::Auth);
        assert_eq!(error(200, r#"{"errcode":-1,"errmsg":"system busy"}"#).reason, Reason::Server);
        assert_eq!(error(200, "<html>login</html>").reason, Reason::Auth);
        assert_eq!(error(503, "").reason, Reason::Server);
    }

    #[test]
    fn a_rate_limit_waits_at_least_a_minute() {
        let error = error(200, r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#);
        assert_eq!((error.reason, error.retry_after), (Reason::RateLimited, Some(PAUSE)));
    }
}
