//! The address of a provider, and the headers every request carries.

use async_openai::config::Config;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::model::config::ModelConfig;
use crate::model::error::{Class, ModelError};
use crate::model::profile::{Auth, Profile};

/// Where requests go and what proves who sends them.
#[derive(Clone)]
pub(super) struct Endpoint {
    base: String,
    key: SecretString,
    headers: HeaderMap,
    query: Vec<(String, String)>,
}

impl Endpoint {
    pub(super) fn new(config: &ModelConfig, profile: &Profile) -> Result<Self, ModelError> {
        let refuse = |detail: &str| ModelError::new(&config.name, Class::Config, detail);
        let mut url = Url::parse(&config.base_url).map_err(|error| refuse(&format!("base_url: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("base_url must begin with http:// or https://"));
        }
        let in_address = url.query_pairs().into_owned();
        let query = in_address.chain(profile.query.clone()).collect();
        url.set_query(None);
        let key = config.api_key.clone().unwrap_or_default();
        let headers = headers(config, profile, &key)?;
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), key, headers, query })
    }
}

/// What proves who asks, and what the operator adds.
fn headers(config: &ModelConfig, profile: &Profile, key: &SecretString) -> Result<HeaderMap, ModelError> {
    let refuse = |what: &str| ModelError::new(&config.name, Class::Config, format!("{what} cannot be sent"));
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, value: &str, what: &str| {
        let mut value = HeaderValue::from_str(value).map_err(|_| refuse(&format!("{what} holds characters that")))?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok::<_, ModelError>(())
    };
    let key = key.expose_secret().trim();
    match profile.auth {
        _ if key.is_empty() => {}
        Auth::Bearer => add(AUTHORIZATION, &format!("Bearer {key}"), "api_key")?,
        Auth::ApiKeyHeader => add(HeaderName::from_static("api-key"), key, "api_key")?,
    }
    for (name, value) in &config.headers {
        let parsed = name.parse().map_err(|_| refuse(&format!("the header {name}")))?;
        add(parsed, value.expose_secret(), &format!("the header {name}"))?;
    }
    Ok(headers)
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}
