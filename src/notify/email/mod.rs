//! Mail: one transaction per recipient, so that one bad address does not keep the mail from the others.

mod config;
pub mod render;
pub mod wire;

use std::time::Duration;

pub use config::EmailSettings;
use jiff::Timestamp;
use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::transport::smtp::Error as SmtpError;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use url::Url;

use super::attachment;
use super::delivered::Delivered;
use super::ladder::{Refusal, descend};
use super::layout::Layout;
use super::notice::Notice;
use super::send::{Form, Reason, SendError};
use crate::unreached::with_remedy;

/// For each answer of the server.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A mail setting that cannot work. Never shows the address of the server: it holds the password.
#[derive(Debug, Error)]
pub enum BadMailSettings {
    /// The server's address.
    #[error(
        "`smtp` is not smtps://user:pass@host, smtp://host:port or smtp://user:pass@host:587?tls=required; \
         in a user name or password write %2F for /, %3F for ?, %23 for # and %25 for %"
    )]
    Server,
    /// The sender.
    #[error("`from` is not a mail address: `{0}`")]
    From(String),
    /// A recipient.
    #[error("`to` holds `{0}`, which is not a mail address")]
    To(String),
    /// No recipient at all.
    #[error("`to` is empty: nobody would get the mail")]
    Nobody,
}

/// A list of mailboxes behind one SMTP server.
#[derive(Debug)]
pub struct Email {
    name: String,
    host: String,
    password: Option<SecretString>,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    delivered: Delivered,
    layout: Layout,
}

/// How one recipient's transaction ended, when not well.
enum Failure {
    /// For this recipient only, or for this form: the next recipient may fare better.
    One(SendError),
    /// The message is too large for the server.
    TooBig(String),
    /// The server itself: nobody would fare better.
    All(SendError),
}

impl Email {
    /// Builds the channel; nothing is connected yet.
    ///
    /// # Errors
    /// When an address is not one.
    pub fn new(settings: EmailSettings, layout: Layout) -> Result<Self, BadMailSettings> {
        let EmailSettings { name, smtp, from, to, batch: _, digest: _, delivery: _ } = settings;
        let host = host(smtp.expose_secret()).ok_or(BadMailSettings::Server)?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(smtp.expose_secret())
            .map_err(|_| BadMailSettings::Server)?
            .timeout(Some(TIMEOUT))
            .build();
        let mailboxes = |text: &String| text.parse().map_err(|_| BadMailSettings::To(text.clone()));
        let to = to.iter().map(mailboxes).collect::<Result<Vec<Mailbox>, _>>()?;
        if to.is_empty() {
            return Err(BadMailSettings::Nobody);
        }
        let from = from.parse().map_err(|_| BadMailSettings::From(from))?;
        Ok(Self {
            name,
            host,
            password: password(smtp.expose_secret()),
            transport,
            from,
            to,
            delivered: Delivered::default(),
            layout,
        })
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the server greets, speaks TLS as configured and takes the login; nothing is sent.
    ///
    /// # Errors
    /// When it does not.
    pub async fn reach(&self) -> Result<(), SendError> {
        let answer = self.transport.test_connection().await.map_err(|error| self.failure(&error));
        match answer {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(SendError::new(Reason::Server, format!("{} closed the connection after its greeting", self.host)))
            }
            Err(Failure::One(error) | Failure::All(error)) => Err(error),
            Err(Failure::TooBig(said)) => Err(SendError::new(Reason::Rejected, said)),
        }
    }

    /// Sends a notice to every recipient who does not have it yet.
    ///
    /// # Errors
    /// When somebody may still get it later, or nobody gets it at all.
    pub async fn send(&self, notice: &Notice) -> Result<Form, SendError> {
        let now = Timestamp::now();
        descend(|form, refused| self.attempt(notice, now, form, refused)).await
    }

    async fn attempt(&self, notice: &Notice, now: Timestamp, form: Form, refused: bool) -> Result<(), Refusal> {
        let mail = render::mail(notice, now, form, &self.layout).ok_or(Refusal::Unfit)?;
        // A server that found the mail too large would find it larger with a file.
        let file = (mail.is_cut && !refused).then(|| attachment::full_report(notice)).flatten();
        let written = wire::write(notice, mail, file, &self.from, &self.to)
            .map_err(|error| Refusal::Other(SendError::new(Reason::Rejected, error.to_string())))?;
        let id = wire::message_id(notice, self.from.email.domain());
        let mut refused = Vec::new();
        for recipient in (0..self.to.len()).filter(|recipient| !self.delivered.has(&id, *recipient)) {
            match self.deliver(recipient, &written).await {
                Ok(()) => self.delivered.note(&id, recipient),
                Err(Failure::One(error)) => refused.push((recipient, error)),
                Err(Failure::TooBig(said)) => return Err(Refusal::Form(said)),
                Err(Failure::All(error)) => return Err(Refusal::Other(error)),
            }
        }
        self.settle(&id, refused)
    }

    /// A recipient who may still get it keeps the mail alive; one who never will does not, once somebody has it.
    fn settle(&self, id: &str, refused: Vec<(usize, SendError)>) -> Result<(), Refusal> {
        if let Some((_, error)) = refused.iter().find(|(_, error)| error.reason.is_retryable()) {
            return Err(Refusal::Other(error.clone()));
        }
        let somebody = self.delivered.any(id);
        self.delivered.forget(id);
        for (recipient, error) in &refused {
            tracing::warn!(channel = self.name, to = %self.to[*recipient].email, %error, "a recipient is refused for good");
        }
        match refused.into_iter().next() {
            Some((_, error)) if !somebody => Err(Refusal::Other(error)),
            _ => Ok(()),
        }
    }

    async fn deliver(&self, recipient: usize, mail: &[u8]) -> Result<(), Failure> {
        let to = &self.to[recipient].email;
        let envelope = Envelope::new(Some(self.from.email.clone()), vec![to.clone()])
            .map_err(|error| Failure::One(SendError::new(Reason::Rejected, error.to_string())))?;
        self.transport.send_raw(&envelope, mail).await.map(drop).map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &SmtpError) -> Failure {
        let mut said = with_remedy(error.to_string());
        if let Some(password) = &self.password {
            said = said.replace(password.expose_secret(), "…");
        }
        let said = super::text::line(&said, 240);
        let detail = |hint: &str| format!("{} answered: {said}{hint}", self.host);
        match error.status().map(u16::from) {
            Some(530 | 534 | 535 | 538) => Failure::All(SendError::new(
                Reason::Auth,
                detail("; check user and password in `smtp`, and `?tls=required` if the server wants STARTTLS"),
            )),
            Some(552) => Failure::TooBig(detail("")),
            Some(421) => Failure::All(SendError::new(Reason::Server, detail(""))),
            Some(400..=499) => Failure::One(SendError::new(Reason::Server, detail(""))),
            Some(_) => Failure::One(SendError::new(Reason::Rejected, detail(""))),
            None if error.is_client() => Failure::All(SendError::new(
                Reason::Auth,
                detail("; the server does not offer what `smtp` asks for (TLS, or a login)"),
            )),
            None if error.is_tls() => Failure::All(SendError::new(
                Reason::Network,
                detail("; TLS failed: check port, certificate and scheme in `smtp`"),
            )),
            // A server that was not reached took nothing; one that went silent may have.
            None => Failure::All(SendError::new(Reason::Network, detail("")).perhaps_arrived(!is_unreached(error))),
        }
    }
}

/// Whether no connection was made at all; lettre has no other way to ask.
fn is_unreached(error: &SmtpError) -> bool {
    error.to_string().starts_with("Connection error")
}

/// The part of the server's address that may be said. Checks what lettre would accept and then not do.
fn host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let tls = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
    let sound =
        matches!((url.scheme(), tls.as_deref()), ("smtps", None) | ("smtp", None | Some("required" | "opportunistic")));
    // Something after the host is what a slash in the password leaves; before it would stand a part of the password.
    let ends = matches!(url.path(), "" | "/");
    let host = url.host_str().filter(|host| !host.is_empty())?;
    (sound && ends).then(|| format!("{}://{host}", url.scheme()))
}

/// The password as the server sees it, should it ever repeat it.
fn password(url: &str) -> Option<SecretString> {
    let url = Url::parse(url).ok()?;
    let raw = format!("p={}", url.password()?.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(raw.as_bytes()).next()?.1.into_owned();
    (!decoded.is_empty()).then(|| decoded.into())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_password_that_breaks_the_address_is_refused_before_a_part_of_it_is_dialled() {
        for broken in ["smtp://u:p@ss/w@mail:25", "smtp://u:p/w@mail:25", "smtps://u:p#w@mail", "smtps://u:p?w@mail"] {
            assert_eq!(host(broken), None, "{broken}");
        }
        for sound in ["smtps://ops@example.com:p@ss:w@mail", "smtps://u:p%2Fw%23@mail:465/", "smtps://u:p%25@mail"] {
            assert_eq!(host(sound).as_deref(), Some("smtps://mail"), "{sound}");
        }
    }

    /// A server that takes everything but the recipient, to whom it answers this.
    async fn answering(reply: String) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            write.write_all(b"220 ready\r\n").await.unwrap();
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let said = match line.get(..4) {
                    Some("RCPT") => format!("{reply}\r\n"),
                    Some("QUIT") => "221 bye\r\n".to_owned(),
                    _ => "250 ok\r\n".to_owned(),
                };
                if write.write_all(said.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        address
    }

    /// RFC 5321 and 4954: 4yz passes by itself, 5yz does not, and what is about the login is somebody's to mend.
    #[tokio::test]
    async fn f38_every_reply_code_has_its_consequence() {
        let table = [
            (Reason::Server, &[421, 450, 451, 452, 454, 455][..]),
            (Reason::Auth, &[530, 534, 535, 538]),
            (Reason::Rejected, &[500, 501, 502, 503, 504, 550, 551, 552, 553, 554, 555]),
        ];
        for (expected, codes) in table {
            for code in codes {
                let server = answering(format!("{code} no")).await;
                let settings = EmailSettings {
                    name: "mail".into(),
                    smtp: format!("smtp://{server}").into(),
                    from: "a@example.com".into(),
                    to: vec!["b@example.com".into()],
                    batch: None,
                    digest: None,
                    delivery: Default::default(),
                };
                let mail = Email::new(settings, Layout::default()).unwrap();
                // The plainer forms, which 552 asks for, meet the same server: a new connection would be refused.
                let failure = mail.deliver(0, b"Subject: x\r\n\r\nx").await.unwrap_err();
                let reason = match failure {
                    Failure::One(error) | Failure::All(error) => error.reason,
                    Failure::TooBig(_) => {
                        assert_eq!(*code, 552);
                        Reason::Rejected
                    }
                };
                assert_eq!(reason, expected, "{code}");
            }
        }
    }
}
