//! One POST of JSON to a chat product: bounded in time and size, and silent about the address, which is the credential.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::Url;

use super::send::{Reason, SendError};
use crate::trust;
use crate::unreached::root_cause;

/// Chat products answer within a second; ten leave room for a slow proxy.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A reply is a few hundred bytes; what is longer is not one.
const LONGEST_REPLY: usize = 64 * 1024;

/// What the destination answered.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status; says little, the body decides.
    pub status: StatusCode,
    /// Body, at most 64 KiB.
    pub body: Vec<u8>,
    /// Seconds to wait, from `x-ogw-ratelimit-reset` or `retry-after`.
    pub wait: Option<Duration>,
}

/// The HTTP client all channels share. Redirects are refused: a webhook that moves is an answer, not a hop.
///
/// # Errors
/// Never with these settings.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    trust::client(|builder| {
        builder
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("firstlook/", env!("CARGO_PKG_VERSION")))
    })
}

/// A webhook's address: parsed once, secret for good.
#[derive(Debug, Clone)]
pub struct Address {
    url: SecretString,
    /// Scheme and host, the part that may be said.
    host: String,
}

/// An address that cannot be a webhook's.
#[derive(Debug, thiserror::Error)]
#[error("`url` is not an http or https address with a host")]
pub struct BadAddress;

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is not an absolute http or https address.
    pub fn parse(url: &SecretString) -> Result<Self, BadAddress> {
        let parsed = Url::parse(url.expose_secret()).map_err(|_| BadAddress)?;
        let host = parsed.host_str().ok_or(BadAddress)?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(BadAddress);
        }
        let host = format!("{}://{host}", parsed.scheme());
        Ok(Self { url: url.clone(), host })
    }

    /// Posts a body and reads the answer, whatever its status.
    ///
    /// # Errors
    /// When the destination is not reached or does not answer in time.
    pub async fn post(&self, client: &reqwest::Client, body: &impl Serialize) -> Result<Reply, SendError> {
        self.exchange(client.post(self.url.expose_secret()).json(body)).await
    }

    /// Posts bytes of a content type and reads the answer, whatever its status.
    ///
    /// # Errors
    /// When the destination is not reached or does not answer in time.
    pub async fn post_bytes(&self, client: &reqwest::Client, kind: &str, body: Bytes) -> Result<Reply, SendError> {
        self.exchange(client.post(self.url.expose_secret()).header(CONTENT_TYPE, kind).body(body)).await
    }

    /// Posts bytes with these headers and reads the answer, whatever its status.
    ///
    /// # Errors
    /// When the destination is not reached or does not answer in time.
    pub async fn post_with(
        &self,
        client: &reqwest::Client,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Reply, SendError> {
        self.exchange(client.post(self.url.expose_secret()).headers(headers).body(body)).await
    }

    /// The address beside this one: its last path segment `from` replaced, a query pair added. `None` when it ends otherwise.
    #[must_use]
    pub fn sibling(&self, from: &str, to: &str, (key, value): (&str, &str)) -> Option<Self> {
        let mut url = Url::parse(self.url.expose_secret()).ok()?;
        let stem = url.path().strip_suffix(from)?.strip_suffix('/')?.to_owned();
        url.set_path(&format!("{stem}/{to}"));
        url.query_pairs_mut().append_pair(key, value);
        Some(Self { url: String::from(url).into(), host: self.host.clone() })
    }

    /// Sends a request made elsewhere to an address under this one, and reads the answer, whatever its status.
    ///
    /// # Errors
    /// When the destination is not reached or does not answer in time.
    pub async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Reply, SendError> {
        let mut answer = request.send().await.map_err(|error| self.network(error))?;
        let header = |name: &str| answer.headers().get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
        let seconds = header("x-ogw-ratelimit-reset").or_else(|| header("retry-after"));
        let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.min(600.0)).ok());
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.network(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_REPLY {
                break;
            }
        }
        Ok(Reply { status, body, wait })
    }

    /// Whether the host answers HTTP at all. Asks for its front page: the address itself is never called.
    ///
    /// # Errors
    /// When the host is not reached or does not answer in time.
    pub async fn reach(&self, client: &reqwest::Client) -> Result<(), SendError> {
        let broken = || SendError::new(Reason::Network, BadAddress.to_string());
        let mut front = Url::parse(self.url.expose_secret()).map_err(|_| broken())?;
        front.set_path("/");
        front.set_query(None);
        client.head(front).send().await.map(drop).map_err(|error| self.network(error))
    }

    /// What a destination said, without the address' secret parts should it echo them.
    pub fn silence(&self, said: &str) -> String {
        let parsed = Url::parse(self.url.expose_secret()).ok();
        let segments = parsed.iter().flat_map(|url| url.path_segments()).flatten().map(str::to_owned);
        let values = parsed.iter().flat_map(Url::query_pairs).map(|(_, value)| value.into_owned());
        let mut said = said.to_owned();
        for secret in segments.chain(values).filter(|part| part.len() >= 8) {
            said = said.replace(&secret, "…");
        }
        super::text::line(&said, 240)
    }

    fn network(&self, error: reqwest::Error) -> SendError {
        let what = if error.is_timeout() { "did not answer in time" } else { "is not reached" };
        let sent = !error.is_connect();
        let cause = root_cause(&error.without_url());
        let said = format!("{} {what}: {}", self.host, self.silence(&cause));
        SendError::new(Reason::Network, said).perhaps_arrived(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_keeps_host_prefix_and_key() {
        let address = |url: &str| Address::parse(&url.into()).expect("an address");
        let sibling = |url: &str| {
            let found = address(url).sibling("send", "upload_media", ("type", "file"))?;
            Some(found.url.expose_secret().to_owned())
        };
        assert_eq!(
            sibling("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=a-b").as_deref(),
            Some("https://qyapi.weixin.qq.com/cgi-bin/webhook/upload_media?key=a-b&type=file")
        );
        assert_eq!(
            sibling("http://relay:8080/wecom/send?key=k").as_deref(),
            Some("http://relay:8080/wecom/upload_media?key=k&type=file")
        );
        assert_eq!(sibling("http://relay/resend?key=k"), None);
        assert_eq!(sibling("http://relay/wecom?key=k"), None);
    }
}
