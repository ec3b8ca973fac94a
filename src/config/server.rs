//! Settings of `server:`: where alerts come in, and who may send them.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};

use crate::intake::{self, prometheusalert::Destination};

/// The HTTP surface.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address to listen on; `localhost:PORT` is loopback, `:PORT` is every address.
    #[serde(deserialize_with = "listen_address")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Where people reach these pages; messages link to it.
    pub public_url: Option<String>,
    /// Bearer tokens; any of them opens every route that needs one.
    #[schemars(with = "Vec<String>")]
    pub tokens: Vec<SecretString>,
    /// Users for HTTP basic authentication, for senders that cannot send a bearer token.
    pub basic_auth: Vec<BasicAuth>,
    /// Listens beyond loopback without tokens: only where something in front authenticates.
    pub insecure: bool,
    /// Where alerts go that were sent to PrometheusAlert: the first entry that matches the query of `/prometheusalert`
    /// decides; what none matches goes by `routes`.
    pub prometheusalert: Vec<Destination>,
    /// What one request may hold.
    pub limits: ServerLimits,
}

/// A user of HTTP basic authentication.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// User name, without a colon.
    pub username: String,
    /// Password.
    #[schemars(with = "String")]
    pub password: SecretString,
}

/// What one request may hold; more is answered with 413.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerLimits {
    /// Length of a body in bytes. Groups of real clusters stay below 1 MB.
    pub max_body_bytes: usize,
    /// Alerts in one delivery.
    pub max_alerts: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            tokens: Vec::new(),
            basic_auth: Vec::new(),
            insecure: false,
            prometheusalert: Vec::new(),
            limits: ServerLimits::default(),
        }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self { max_body_bytes: 8 * 1024 * 1024, max_alerts: intake::Limits::default().max_alerts }
    }
}

impl ServerLimits {
    /// The same for the readers of bodies.
    #[must_use]
    pub fn intake(&self) -> intake::Limits {
        intake::Limits { max_alerts: self.max_alerts, ..intake::Limits::default() }
    }
}

impl Server {
    /// Whether requests must prove who sends them.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        !self.tokens.is_empty() || !self.basic_auth.is_empty()
    }
}

fn listen_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let full = match text.rsplit_once(':') {
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        Some(("", port)) => format!("0.0.0.0:{port}"),
        _ => text,
    };
    full.parse().map_err(|_| {
        de::Error::custom(
            "not an address to listen on; write ADDRESS:PORT, for example 127.0.0.1:8080 or \"[::]:8080\"",
        )
    })
}
