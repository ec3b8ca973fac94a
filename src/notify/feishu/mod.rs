//! The Feishu (Lark) group bot: signs, sends, and reads what the reply really says.

pub mod app;
mod chart;
mod config;
mod markup;
pub mod render;
pub mod wire;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
pub use config::FeishuBotSettings;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
pub(super) use markup::{blocks, escape};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use self::wire::{Answer, Content, Message};
use super::ladder::{Refusal, descend};
use super::layout::Layout;
use super::mention::{ALL, BadUser, Mentions};
use super::notice::Notice;
use super::post::{Address, BadAddress, Reply};
use super::send::{Form, Reason, SendError};

/// A custom bot of one Feishu group.
#[derive(Debug)]
pub struct FeishuBot {
    name: String,
    address: Address,
    secret: Option<SecretString>,
    keyword: Option<String>,
    mentions: Mentions,
    client: reqwest::Client,
    layout: Layout,
}

impl FeishuBot {
    /// Builds the channel; nothing is sent yet.
    ///
    /// # Errors
    /// When `url` is not a web address, or a user's id none.
    pub fn new(settings: FeishuBotSettings, client: reqwest::Client, layout: Layout) -> Result<Self, BadBot> {
        let FeishuBotSettings { name, url, secret, keyword, mentions, owners, digest: _, delivery: _ } = settings;
        let mentions = Mentions::new(mentions, owners)?;
        let keyword = keyword.filter(|word| !word.trim().is_empty());
        Ok(Self { name, address: Address::parse(&url)?, secret, keyword, mentions, client, layout })
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

    /// Sends a notice in the richest form the group's bot accepts.
    ///
    /// # Errors
    /// When it is not delivered in any form; the error says why and what to do.
    pub async fn send(&self, notice: &Notice) -> Result<Form, SendError> {
        let now = Timestamp::now();
        let users = self.mentions.due(notice).await;
        // A group may forbid to call everybody, and then refuses the whole card (11235): then only people are called.
        let people: Vec<String> = users.iter().filter(|user| *user != ALL).cloned().collect();
        let attempt = async |form, refused| {
            let first = self.attempt(notice, now, form, if refused { &people } else { &users }).await;
            match first {
                // That much was wrong with it, and no more.
                Err(Refusal::Form(_)) if !refused && people.len() < users.len() => {
                    self.attempt(notice, now, form, &people).await
                }
                outcome => outcome,
            }
        };
        let outcome = descend(attempt).await;
        self.mentions.settle(&users, outcome.is_ok()).await;
        outcome
    }

    /// Whom it calls by name.
    pub(super) fn mentions(&self) -> &Mentions {
        &self.mentions
    }

    /// Whether a card has room for all that a message names.
    pub(super) fn has_room(&self, notice: &Notice) -> bool {
        render::content(notice, Timestamp::now(), Form::Compact, self.keyword.as_deref(), &self.layout).is_some()
    }

    async fn attempt(&self, notice: &Notice, now: Timestamp, form: Form, users: &[String]) -> Result<(), Refusal> {
        let content =
            render::content(notice, now, form, self.keyword.as_deref(), &self.layout).ok_or(Refusal::Unfit)?;
        let content = render::calling(content, users);
        let message = self.signed(content, now.as_second());
        let reply = self.address.post(&self.client, &message).await.map_err(Refusal::Other)?;
        self.read(&reply)
    }

    fn signed(&self, content: Content, now: i64) -> Message {
        let sign = self.secret.as_ref().map(|secret| sign(now, secret.expose_secret()));
        Message { timestamp: sign.is_some().then(|| now.to_string()), sign, content }
    }

    fn read(&self, reply: &Reply) -> Result<(), Refusal> {
        let Some(answer) = Answer::read(&reply.body) else {
            return Err(Refusal::Other(unreadable(reply)));
        };
        if answer.code() == 0 && reply.status.is_success() {
            return Ok(());
        }
        let said = self.address.silence(answer.message());
        let said = self.secret.as_ref().map_or(said.clone(), |secret| said.replace(secret.expose_secret(), "…"));
        Err(refusal(answer.code(), &said, reply))
    }
}

/// Settings a bot cannot be built from.
#[derive(Debug, thiserror::Error)]
pub enum BadBot {
    /// The address is wrong.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// `mentions` or `owners` hold what is no user id.
    #[error(transparent)]
    User(#[from] BadUser),
}

/// What a code asks for: another form, a pause, or somebody's attention.
fn refusal(code: i64, said: &str, reply: &Reply) -> Refusal {
    let detail = |hint: &str| format!("Feishu answered {code} \"{said}\"{hint}");
    let other = |reason, hint: &str| Refusal::Other(SendError::new(reason, detail(hint)));
    let slow = || {
        let wait = reply.wait.unwrap_or(Duration::from_secs(1));
        Refusal::Other(SendError { retry_after: Some(wait), ..SendError::new(Reason::RateLimited, detail("")) })
    };
    match code {
        11232 | 11233 | 11247 | 99_991_400 => slow(),
        9499 if said.to_ascii_lowercase().contains("too many") => slow(),
        _ if reply.status.as_u16() == 429 => slow(),
        19001 => other(
            Reason::Auth,
            ": the webhook address is not valid any more; copy it again from the group's bot page into `url`",
        ),
        19021 => other(Reason::Auth, ": the signature does not match; check `secret`, and this machine's clock"),
        19022 => other(Reason::Auth, ": this machine's address is not on the bot's IP list; add it on the bot's page"),
        19024 => other(Reason::Rejected, ": the bot requires a keyword; set `keyword` to one from the bot's page"),
        _ if reply.status.is_server_error() => other(Reason::Server, ""),
        // 9499, 19036, 11246, 230099 and codes nobody wrote down: a plainer form may pass.
        _ => Refusal::Form(detail("")),
    }
}

fn unreadable(reply: &Reply) -> SendError {
    let status = reply.status;
    let check = "; check that `url` is the bot's webhook address";
    let (reason, hint) = match status.as_u16() {
        429 => (Reason::RateLimited, ""),
        500..=599 => (Reason::Server, ""),
        // A success that is not the product's: a portal or proxy in between, which may be gone at the next try.
        200..=299 => (Reason::Server, check),
        _ => (Reason::Auth, check),
    };
    let detail = format!("HTTP {} without Feishu's reply{hint}", status.as_u16());
    SendError { retry_after: reply.wait, ..SendError::new(reason, detail) }
}

/// Feishu's signature: HMAC-SHA256 of nothing, keyed with timestamp and secret.
fn sign(timestamp: i64, secret: &str) -> String {
    let key = format!("{timestamp}\n{secret}");
    // HMAC takes keys of any length; the error type is a formality.
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map(|mac| mac.finalize().into_bytes());
    mac.map(|bytes| STANDARD.encode(bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn answered(status: u16, body: &str) -> Result<(), Refusal> {
        let url = SecretString::from("https://open.feishu.cn/open-apis/bot/v2/hook/0123456789abcdef");
        let settings = FeishuBotSettings {
            name: "oncall".into(),
            url,
            secret: None,
            keyword: None,
            mentions: vec![],
            owners: Default::default(),
            digest: None,
            delivery: Default::default(),
        };
        let bot = FeishuBot::new(settings, crate::notify::post::client().expect("a client"), Layout::default())
            .expect("a bot");
        let status = StatusCode::from_u16(status).expect("a status");
        bot.read(&Reply { status, body: body.as_bytes().to_vec(), wait: None })
    }

    fn reason(status: u16, body: &str) -> Option<Reason> {
        match answered(status, body) {
            Err(Refusal::Other(error)) => Some(error.reason),
            _ => None,
        }
    }

    #[test]
    fn the_signature_matches_the_documented_algorithm() {
        assert_eq!(sign(1_599_360_473, "demo"), "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=");
    }

    #[test]
    fn codes_decide_and_http_200_does_not() {
        assert!(answered(200, r#"{"code":0,"msg":"success"}"#).is_ok());
        assert!(answered(200, r#"{"StatusCode":0,"StatusMessage":"success"}"#).is_ok());
        for code in [9499, 11235, 11246, 19036, 230_099] {
            let refused = answered(200, &format!(r#"{{"code":{code},"msg":"Bad Request"}}"#));
            assert!(matches!(refused, Err(Refusal::Form(_))), "{code} asks for a plainer form");
        }
        assert_eq!(reason(400, r#"{"code":9499,"msg":"too many request"}"#), Some(Reason::RateLimited));
        for code in [11232, 11233, 11247, 99_991_400] {
            let said = format!(r#"{{"code":{code},"msg":"frequency limited"}}"#);
            assert_eq!(reason(200, &said), Some(Reason::RateLimited), "{code}");
        }
        assert_eq!(reason(429, r#"{"code":1,"msg":"x"}"#), Some(Reason::RateLimited));
        for code in [19001, 19021, 19022] {
            assert_eq!(reason(200, &format!(r#"{{"code":{code},"msg":"x"}}"#)), Some(Reason::Auth));
        }
        assert_eq!(reason(200, r#"{"code":19024,"msg":"Key Words Not Found"}"#), Some(Reason::Rejected));
        assert_eq!(reason(502, "<html>bad gateway</html>"), Some(Reason::Server));
        assert_eq!(
            reason(200, "<html>login</html>"),
            Some(Reason::Server),
            "a portal's page is not a delivery, and may be gone"
        );
        assert_eq!(reason(302, "<html>moved</html>"), Some(Reason::Auth));
    }

    #[test]
    fn a_pause_is_always_named_when_feishu_asks_to_slow_down() {
        let Err(Refusal::Other(error)) = answered(200, r#"{"code":11232,"msg":"frequency limited"}"#) else {
            panic!("11232 is a rate limit");
        };
        assert_eq!(error.retry_after, Some(Duration::from_secs(1)));
    }
}
