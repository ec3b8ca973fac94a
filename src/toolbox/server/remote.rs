//! A server behind an address: the address, the headers of every request, and the HTTP client both HTTP transports share.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use secrecy::ExposeSecret;
use url::Url;

use crate::redact::Echo;
use crate::toolbox::config::McpSettings;
use crate::trust;
use crate::unreached::root_cause;

/// A host that does not take a connection by then is down.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Redirects followed for one request.
const REDIRECT_LIMIT: usize = 3;

/// Where a server is and how it is asked.
pub(super) struct Remote {
    pub(super) url: Url,
    pub(super) headers: HashMap<HeaderName, HeaderValue>,
    pub(super) client: reqwest::Client,
    echo: Echo,
}

impl Remote {
    /// Reads address and headers. The error is one sentence about what to change.
    pub(super) fn new(settings: &McpSettings) -> Result<Self, String> {
        let url = settings.url.as_deref().unwrap_or_default();
        let url = Url::parse(url).map_err(|error| format!("`url` is no address: {error}"))?;
        let mut headers = HashMap::new();
        for (name, value) in &settings.headers {
            let bad = || format!("header `{name}` is not a valid HTTP header");
            let mut value = HeaderValue::try_from(value.expose_secret()).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name.as_str()).map_err(|_| bad())?, value);
        }
        let echo = Echo::of_headers(headers.values()).and_of_address(&url);
        Ok(Self { url, headers, client: client().map_err(|error| root_cause(&error))?, echo })
    }

    /// What it says, without the credentials it was sent.
    pub(super) fn said(&self, text: String) -> String {
        self.echo.without(text)
    }

    /// Where a server of the older transport has its stream: at the address itself, or beside `/mcp`.
    pub(super) fn sse_url(&self) -> Url {
        let path = self.url.path().trim_end_matches('/');
        let Some(folder) = path.strip_suffix("/mcp").or(path.is_empty().then_some(path)) else {
            return self.url.clone();
        };
        let mut url = self.url.clone();
        url.set_path(&format!("{folder}/sse"));
        url
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    // Elsewhere the headers, which hold credentials, must not go; and only these two keep the body.
    let same_origin = |attempt: Attempt<'_>| {
        let stays = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
        let keeps_body = matches!(attempt.status().as_u16(), 307 | 308);
        if stays && keeps_body && attempt.previous().len() <= REDIRECT_LIMIT {
            attempt.follow()
        } else {
            attempt.stop()
        }
    };
    // A pooled connection whose last answer was not read to its end stalls the next request for 40 ms.
    trust::client(|builder| {
        builder.connect_timeout(CONNECT_LIMIT).pool_max_idle_per_host(0).redirect(Policy::custom(same_origin))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_stream_is_beside_mcp_or_at_the_address() {
        for (url, expected) in [
            ("http://kms:8080/mcp", "http://kms:8080/sse"),
            ("http://kms:8080/mcp/", "http://kms:8080/sse"),
            ("http://kms:8080", "http://kms:8080/sse"),
            ("http://gate/k8s/mcp?tenant=a", "http://gate/k8s/sse?tenant=a"),
            ("http://gate/sse", "http://gate/sse"),
            ("http://gate/k8s/events", "http://gate/k8s/events"),
        ] {
            let remote = Remote {
                url: Url::parse(url).unwrap(),
                headers: HashMap::new(),
                client: client().unwrap(),
                echo: Echo::default(),
            };
            assert_eq!(remote.sse_url().as_str(), expected);
        }
    }
}
