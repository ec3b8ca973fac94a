//! A generic webhook: what people are told, as signed JSON, for systems of your own.

mod config;
pub mod render;
pub mod wire;

use bytes::Bytes;
pub use config::WebhookSettings;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::delivered::fingerprint;
use super::ladder::{Refusal, descend};
use super::notice::Notice;
use super::post::{Address, BadAddress, Reply};
use super::send::{Form, Reason, SendError};
use crate::redact::Echo;

/// Seconds since 1970 at which the body was signed.
const TIMESTAMP: HeaderName = HeaderName::from_static("x-firstlook-timestamp");
/// `sha256=` and the hex HMAC-SHA256 of `timestamp.body`.
const SIGNATURE: HeaderName = HeaderName::from_static("x-firstlook-signature");
/// The same each time a message is sent: who remembers it acts once.
const DELIVERY: HeaderName = HeaderName::from_static("x-firstlook-delivery");

/// An endpoint that is posted to.
#[derive(Debug)]
pub struct Webhook {
    name: String,
    address: Address,
    secret: Option<SecretString>,
    headers: HeaderMap,
    /// What of them a receiver might repeat.
    echo: Echo,
    client: reqwest::Client,
}

/// Settings a webhook cannot be built from.
#[derive(Debug, thiserror::Error)]
pub enum BadWebhook {
    /// The address is wrong.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// A header cannot be sent; its value is not told.
    #[error("`headers.{0}` cannot be sent: a name has letters, digits and `-`, a value no line breaks")]
    Header(String),
}

impl Webhook {
    /// Builds the channel; nothing is sent yet.
    ///
    /// # Errors
    /// When `url` is not a web address or a header cannot be sent.
    pub fn new(settings: WebhookSettings, client: reqwest::Client) -> Result<Self, BadWebhook> {
        let WebhookSettings { name, url, secret, headers, digest: _, delivery: _ } = settings;
        let address = Address::parse(&url)?;
        let headers = headers.iter().map(|(name, value)| header(name, value)).collect::<Result<HeaderMap, _>>()?;
        let echo = Echo::of_headers(headers.values());
        Ok(Self { name, address, secret, headers, echo, client })
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the host is reached; nothing is posted.
    ///
    /// # Errors
    /// When it is not.
    pub async fn reach(&self) -> Result<(), SendError> {
        self.address.reach(&self.client).await
    }

    /// Posts a notice; an endpoint that finds it too large gets it shorter.
    ///
    /// # Errors
    /// When no form is accepted; the error says why and what to do.
    pub async fn send(&self, notice: &Notice) -> Result<Form, SendError> {
        let (now, delivery) = (Timestamp::now(), fingerprint(notice));
        descend(|form, _| self.attempt(notice, now, form, &delivery)).await
    }

    async fn attempt(&self, notice: &Notice, now: Timestamp, form: Form, delivery: &str) -> Result<(), Refusal> {
        let body = render::body(notice, now, form).ok_or(Refusal::Unfit)?;
        let headers = self.signed(&body, now, delivery);
        let reply = self.address.post_with(&self.client, headers, Bytes::from(body)).await.map_err(Refusal::Other)?;
        self.read(&reply)
    }

    fn signed(&self, body: &[u8], now: Timestamp, delivery: &str) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let time = now.as_second();
        headers.insert(TIMESTAMP, HeaderValue::from(time));
        if let Ok(delivery) = HeaderValue::from_str(delivery) {
            headers.insert(DELIVERY, delivery);
        }
        if let Some(secret) = &self.secret
            && let Ok(signature) = HeaderValue::from_str(&sign(secret, time, body))
        {
            headers.insert(SIGNATURE, signature);
        }
        headers
    }

    /// The status decides: a receiver of one's own has no reply of a fixed shape.
    fn read(&self, reply: &Reply) -> Result<(), Refusal> {
        let status = reply.status.as_u16();
        let said = self.address.silence(&self.echo.without(String::from_utf8_lossy(&reply.body).into_owned()));
        let other = |reason, hint: &str| {
            let error = SendError::new(reason, format!("HTTP {status}{hint}: {said}"));
            Err(Refusal::Other(SendError { retry_after: reply.wait, ..error }))
        };
        match status {
            200..=299 => Ok(()),
            413 => Err(Refusal::Form(format!("HTTP {status}"))),
            429 => other(Reason::RateLimited, ""),
            408 | 425 | 500..=599 => other(Reason::Server, ""),
            300..=399 => other(Reason::Auth, ", a redirect; give the final address in `url`"),
            401 | 403 => other(Reason::Auth, "; check `secret`, `headers` and the receiver's list of addresses"),
            404 | 405 | 410 => other(Reason::Auth, "; check that `url` takes a POST"),
            _ => other(Reason::Rejected, ""),
        }
    }
}

fn header(name: &str, value: &SecretString) -> Result<(HeaderName, HeaderValue), BadWebhook> {
    let bad = || BadWebhook::Header(name.to_owned());
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
    let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| bad())?;
    value.set_sensitive(true);
    Ok((key, value))
}

/// `sha256=` and the hex HMAC of `timestamp.body`.
fn sign(secret: &SecretString, time: i64, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        // HMAC takes keys of any length.
        return String::new();
    };
    mac.update(format!("{time}.").as_bytes());
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn webhook() -> Webhook {
        let settings = WebhookSettings {
            name: "own".into(),
            url: "https://hooks.example.com/firstlook?token=0123456789abcdef".into(),
            secret: Some("s3cret".into()),
            headers: [("X-Key".to_owned(), "Bearer fedcba9876543210".into())].into(),
            digest: None,
            delivery: Default::default(),
        };
        Webhook::new(settings, crate::notify::post::client().expect("a client")).expect("a webhook")
    }

    fn read(status: u16, body: &str) -> Result<(), Refusal> {
        let status = StatusCode::from_u16(status).expect("a status");
        webhook().read(&Reply { status, body: body.as_bytes().to_vec(), wait: None })
    }

    #[test]
    fn the_status_decides_whether_it_comes_again() {
        assert!(read(204, "").is_ok());
        assert!(matches!(read(413, ""), Err(Refusal::Form(_))), "a shorter body may pass");
        let reason = |status| match read(status, "no token=0123456789abcdef here, nor fedcba9876543210") {
            Err(Refusal::Other(error)) => {
                let said = error.to_string();
                assert!(!said.contains("0123456789abcdef") && !said.contains("fedcba9876543210"), "{said}");
                error.reason
            }
            other => panic!("{status}: {other:?}"),
        };
        for status in [408, 500, 502, 503] {
            assert_eq!(reason(status), Reason::Server);
        }
        assert_eq!(reason(429), Reason::RateLimited);
        for status in [301, 401, 403, 404, 410] {
            assert_eq!(reason(status), Reason::Auth);
        }
        assert_eq!(reason(400), Reason::Rejected);
    }

    /// Computed with `printf '1700000000.{}' | openssl dgst -sha256 -hmac s3cret`.
    #[test]
    fn the_signature_is_what_openssl_computes() {
        let expected = "sha256=97926816e98fbb41ccb1673225ff29a2f35369099990e1b1561651e7bd097ebf";
        assert_eq!(sign(&"s3cret".into(), 1_700_000_000, b"{}"), expected);
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_named_and_its_value_is_not() {
        let settings = WebhookSettings {
            name: "own".into(),
            url: "https://hooks.example.com/".into(),
            secret: None,
            headers: [("X-Key".to_owned(), "se\ncret".into())].into(),
            digest: None,
            delivery: Default::default(),
        };
        let error = Webhook::new(settings, crate::notify::post::client().expect("a client")).expect_err("refused");
        assert!(error.to_string().contains("X-Key") && !error.to_string().contains("cret"), "{error}");
    }
}
