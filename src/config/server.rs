//! Settings of `server:`: where alerts come in, and who may send them.

use std::net::{Ipv4Addr, SocketAddr};

use jiff::SignedDuration;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};

use crate::alert::Source;
use crate::intake::prometheusalert::Destination;
use crate::intake::{self, signature::SignatureSettings};

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
    /// Tokens of single senders: each opens that sender's route and nothing else.
    pub senders: Vec<Sender>,
    /// A header besides `Authorization` that may bear a token, for senders that can only set a header of their own.
    pub token_header: Option<String>,
    /// How Grafana signs: its route then takes signed deliveries, and no others.
    pub grafana_hmac: Option<SignatureSettings>,
    /// How long the links of messages open their incident without a login; 0s: they need one.
    pub link_life: SignedDuration,
    /// What signs links and logins. Left out: a key of the store's own, which all its replicas share.
    #[schemars(with = "Option<String>")]
    pub link_secret: Option<SecretString>,
    /// Listens beyond loopback without tokens: only where something in front authenticates.
    pub insecure: bool,
    /// Where alerts go that were sent to PrometheusAlert: the first entry that matches the query of `/prometheusalert`
    /// decides; what none matches goes by `routes`.
    pub prometheusalert: Vec<Destination>,
    /// What requests may hold, and how many there may be.
    pub limits: ServerLimits,
}

/// A token that one sender alone may use.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sender {
    /// Whose route it opens: alertmanager, grafana, nightingale or prometheusalert.
    pub source: Source,
    /// Its token.
    #[schemars(with = "String")]
    pub token: SecretString,
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

/// What one request may hold, where more is answered with 413, and how much there may be of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerLimits {
    /// Length of a body in bytes. Groups of real clusters stay below 1 MB.
    pub max_body_bytes: usize,
    /// Alerts in one delivery.
    pub max_alerts: usize,
    /// Connections at a time. Beyond them the one that is silent longest gives way. A process may open 1024 files on
    /// many systems.
    pub max_connections: usize,
    /// Messages that wait to be delivered, over all channels and replicas. Beyond them what would open an incident is
    /// refused, and senders come again: Alertmanager and Grafana by 503, Nightingale by 429.
    pub max_waiting: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            tokens: Vec::new(),
            basic_auth: Vec::new(),
            senders: Vec::new(),
            token_header: None,
            grafana_hmac: None,
            link_life: SignedDuration::from_hours(7 * 24),
            link_secret: None,
            insecure: false,
            prometheusalert: Vec::new(),
            limits: ServerLimits::default(),
        }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 8 * 1024 * 1024,
            max_alerts: intake::Limits::default().max_alerts,
            max_connections: 900,
            max_waiting: 100_000,
        }
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
        self.knows_people() || !self.senders.is_empty() || self.grafana_hmac.is_some()
    }

    /// Whether somebody can log in.
    #[must_use]
    pub fn knows_people(&self) -> bool {
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
