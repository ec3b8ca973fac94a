//! The WeCom group bot: sends, and reads what the reply really says.

pub mod card;
mod config;
mod markup;
pub mod render;
mod upload;
pub mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use config::{MessageType, WecomBotSettings};
use jiff::Timestamp;
pub(super) use markup::{blocks, escape};

use self::upload::Files;
use self::wire::Answer;
use super::attachment::{self, Attachment};
use super::companion::{Companion, Companions};
use super::delivered::{Delivered, fingerprint};
use super::ladder::{Refusal, descend};
use super::layout::Layout;
use super::mention::{BadUser, Mentions};
use super::notice::Notice;
use super::post::{Address, BadAddress, Reply};
use super::send::{Form, Reason, SendError};
use super::summary;

/// A bot may send 20 messages a minute; once refused, the minute has to pass.
const PAUSE: Duration = Duration::from_secs(60);

/// All forms, richest first.
const FORMS: [Form; 3] = [Form::Full, Form::Compact, Form::Plain];
/// For a file to be uploaded and shown. Short, because the outbox gives a whole message twelve seconds.
const FILE_LIMIT: Duration = Duration::from_secs(5);

/// A message push of one WeCom group.
#[derive(Debug)]
pub struct WecomBot {
    name: String,
    address: Address,
    files: Option<Files>,
    client: reqwest::Client,
    delivered: Delivered,
    companions: Companions,
    /// Whether files may go beside messages just now.
    files_allowed: AtomicBool,
    mentions: Mentions,
    msgtype: MessageType,
    layout: Layout,
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

impl WecomBot {
    /// Builds the channel; nothing is sent yet.
    ///
    /// # Errors
    /// When `url` is not a web address, or a user's id none.
    pub fn new(settings: WecomBotSettings, client: reqwest::Client, layout: Layout) -> Result<Self, BadBot> {
        let WecomBotSettings { name, url, msgtype, mentions, owners, digest: _, delivery: _ } = settings;
        let mentions = Mentions::new(mentions, owners)?;
        let address = Address::parse(&url)?;
        let files = Files::beside(&address);
        let (delivered, companions) = (Delivered::default(), Companions::default());
        let files_allowed = AtomicBool::new(true);
        Ok(Self { name, address, files, client, delivered, companions, files_allowed, mentions, msgtype, layout })
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

    /// Sends a notice in the richest form the bot accepts, and the full report as a file behind a message that could not
    /// hold it. The file is tried once: without it the message is still delivered, and its link still leads to our page.
    ///
    /// # Errors
    /// When it is not delivered in any form; the error says why and what to do.
    pub async fn send(&self, notice: &Notice) -> Result<Form, SendError> {
        let now = Timestamp::now();
        let id = fingerprint(notice);
        let known = FORMS.into_iter().find(|form| self.delivered.has(&id, *form as usize));
        if let Some(form) = known {
            // The last attempt was cut off behind the message: only the file is missing, and it had its chance.
            self.delivered.forget(&id);
            return Ok(form);
        }
        let cut = AtomicBool::new(false);
        let form = descend(|form, refused| self.attempt(notice, now, form, refused, &cut)).await?;
        self.delivered.note(&id, form as usize);
        self.call(notice).await;
        if cut.into_inner()
            && self.files_allowed.load(Ordering::Relaxed)
            && let (Some(files), Some(report)) = (&self.files, attachment::full_report(notice))
        {
            self.attach(files, &report, notice).await;
        }
        self.delivered.forget(&id);
        Ok(form)
    }

    /// What went out beside messages, and what did not.
    pub(super) fn companions(&self) -> &Companions {
        &self.companions
    }

    /// Lets files go beside messages, or not: each counts at the bot's rate.
    pub fn allow_files(&self, allowed: bool) {
        self.files_allowed.store(allowed, Ordering::Relaxed);
    }

    /// How many messages may go as one: plain text has half the room of markdown, in which a group with cards gets them too.
    pub fn most_together(&self) -> usize {
        if self.msgtype == MessageType::Text { summary::SURE } else { summary::MOST }
    }

    /// Whether there is room for all that a message names.
    pub fn has_room(&self, notice: &Notice) -> bool {
        let (now, form, budget) = (Timestamp::now(), Form::Compact, render::MARKDOWN_BUDGET);
        match self.msgtype {
            MessageType::Text => render::plain_holds(notice, now, &self.layout),
            _ => render::message(notice, now, form, budget, &self.layout).is_some(),
        }
    }

    async fn attempt(
        &self,
        notice: &Notice,
        now: Timestamp,
        form: Form,
        refused: bool,
        cut: &AtomicBool,
    ) -> Result<(), Refusal> {
        let budget = if refused { render::MARKDOWN_BUDGET / 2 } else { render::MARKDOWN_BUDGET };
        let (message, is_cut) =
            render::of_type(self.msgtype, notice, now, form, budget, &self.layout).ok_or(Refusal::Unfit)?;
        cut.store(is_cut, Ordering::Relaxed);
        let reply = self.address.post(&self.client, &message).await.map_err(Refusal::Other)?;
        self.read(&reply)
    }

    /// Whom it calls by name.
    pub(super) fn mentions(&self) -> &Mentions {
        &self.mentions
    }

    /// Calls people by name in a line of its own; a failure is logged and counted, the message is there.
    async fn call(&self, notice: &Notice) {
        let users = self.mentions.due(notice).await;
        if users.is_empty() {
            return;
        }
        self.companions.posted();
        let reply = self.address.post(&self.client, &render::call(notice, &users)).await.map_err(Refusal::Other);
        let outcome = reply.and_then(|reply| self.read(&reply));
        self.mentions.settle(&users, outcome.is_ok()).await;
        if let Err(error) = outcome {
            tracing::warn!(channel = self.name, %error, "a message went out without calling anybody");
            self.companions.lost(Companion::Mention);
        }
    }

    /// Uploads the report and shows it. When that fails, a line says where the report is: people wait for the file else.
    async fn attach(&self, files: &Files, report: &Attachment, notice: &Notice) {
        let attached = async {
            let message = files.upload(&self.client, report).await?;
            self.companions.posted();
            let reply = self.address.post(&self.client, &message).await.map_err(|error| error.to_string())?;
            self.read(&reply).map_err(|refusal| refusal.to_string())
        };
        let outcome = tokio::time::timeout(FILE_LIMIT, attached).await;
        if let Err(error) = outcome.unwrap_or_else(|_| Err(format!("not done within {} s", FILE_LIMIT.as_secs()))) {
            tracing::warn!(channel = self.name, %error, "a message went out without its file of the full report");
            self.companions.lost(Companion::File);
            self.companions.posted();
            let said = self.address.post(&self.client, &render::without_file(notice)).await.map_err(Refusal::Other);
            if let Err(error) = said.and_then(|reply| self.read(&reply)) {
                tracing::warn!(channel = self.name, %error, "nobody was told that a file is missing");
            }
        }
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
        93004 => other(Reason::Auth, ": the bot was disabled; its group's owner can enable it, or add another one"),
        93008 => {
            other(Reason::Auth, ": the bot is not in the group any more; add it again and copy its address into `url`")
        }
        -1 => other(Reason::Server, ""),
        _ if reply.status.is_server_error() => other(Reason::Server, ""),
        // 40058, 45002, 40008 and codes nobody wrote down: a shorter or plainer form may pass.
        _ => Refusal::Form(detail("")),
    }
}

fn unreadable(reply: &Reply) -> SendError {
    let status = reply.status.as_u16();
    let check = "; check that `url` is the bot's webhook address";
    let (reason, hint) = match status {
        429 => (Reason::RateLimited, ""),
        500..=599 => (Reason::Server, ""),
        // A success that is not the product's: a portal or proxy in between, which may be gone at the next try.
        200..=299 => (Reason::Server, check),
        _ => (Reason::Auth, check),
    };
    let retry_after = (reason == Reason::RateLimited).then(|| reply.wait.unwrap_or(PAUSE).max(PAUSE));
    SendError { retry_after, ..SendError::new(reason, format!("HTTP {status} without WeCom's reply{hint}")) }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use secrecy::SecretString;

    use super::*;

    fn answered(status: u16, body: &str) -> Result<(), Refusal> {
        let url = SecretString::from("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=0123456789abcdef");
        let settings = WecomBotSettings {
            name: "ops".into(),
            url,
            msgtype: MessageType::MarkdownV2,
            mentions: vec![],
            owners: Default::default(),
            digest: None,
            delivery: Default::default(),
        };
        let bot = WecomBot::new(settings, crate::notify::post::client().expect("a client"), Layout::default())
            .expect("a bot");
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
        for code in [93000, 93004, 93008, 40001, 40014] {
            // A gateway before the bot may say 403 with it.
            for status in [200, 403] {
                let refused = error(status, &format!(r#"{{"errcode":{code},"errmsg":"x"}}"#));
                assert_eq!(refused.reason, Reason::Auth, "{code} is somebody's to mend");
            }
        }
        for code in [45009, 45033] {
            let refused = error(200, &format!(r#"{{"errcode":{code},"errmsg":"x"}}"#));
            assert_eq!((refused.reason, refused.retry_after), (Reason::RateLimited, Some(PAUSE)), "{code}");
        }
        assert_eq!(error(200, r#"{"errcode":-1,"errmsg":"system busy"}"#).reason, Reason::Server);
        assert_eq!(error(200, "<html>login</html>").reason, Reason::Server, "a portal may be gone at the next try");
        assert_eq!(error(404, "<html>nothing</html>").reason, Reason::Auth);
        assert_eq!(error(503, "").reason, Reason::Server);
    }

    #[test]
    fn a_rate_limit_waits_at_least_a_minute() {
        let error = error(200, r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#);
        assert_eq!((error.reason, error.retry_after), (Reason::RateLimited, Some(PAUSE)));
    }
}
