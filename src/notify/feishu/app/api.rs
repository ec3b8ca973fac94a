//! Calls of the app API: with a token that is fetched once, kept, and renewed before it ends.

use std::time::Duration;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::codes::{Failure, failure};
use super::wire::{Answer, Endpoint, EndpointAnswer, EndpointRequest, TokenRequest};
use crate::notify::post::{Address, BadAddress, Reply};
use crate::notify::send::{Reason, SendError};

/// A token is renewed this long before it ends; the platform hands out a new one from 30 minutes before on.
const EARLY: Duration = Duration::from_secs(600);

/// The API, as one app.
#[derive(Debug)]
pub struct Api {
    base: String,
    address: Address,
    app_id: String,
    app_secret: SecretString,
    client: reqwest::Client,
    /// Held while a token is fetched: whoever needs one meanwhile waits for that one.
    token: Mutex<Option<Token>>,
}

#[derive(Debug, Clone)]
struct Token {
    value: SecretString,
    good_until: Instant,
}

impl Api {
    /// The API at an address. Nothing is called yet.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(
        base: &SecretString,
        app_id: String,
        app_secret: SecretString,
        client: reqwest::Client,
    ) -> Result<Self, BadAddress> {
        let address = Address::parse(base)?;
        let base = base.expose_secret().trim_end_matches('/').to_owned();
        Ok(Self { base, address, app_id, app_secret, client, token: Mutex::default() })
    }

    /// Makes sure that the app is known: fetches a token unless one is at hand.
    ///
    /// # Errors
    /// When the platform is not reached or refuses the app.
    pub async fn sign_in(&self) -> Result<(), SendError> {
        self.token().await.map(drop)
    }

    /// One call. A token the platform refuses is renewed once.
    ///
    /// # Errors
    /// When the call is not answered with code 0.
    pub async fn call(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Answer, Failure> {
        let token = self.token().await?;
        match self.call_with(&token, method.clone(), path, body).await {
            Err(Failure::Token(_)) => {
                self.forget(&token).await;
                let token = self.token().await?;
                self.call_with(&token, method, path, body).await
            }
            outcome => outcome,
        }
    }

    async fn call_with(
        &self,
        token: &SecretString,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer, Failure> {
        let request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(token.expose_secret());
        let reply = self.exchange(request.json(body)).await?;
        self.read(&reply, Some(token))
    }

    /// Whatever may have arrived is called once more with the same `uuid` or puts the same in the same place: nobody reads
    /// it twice.
    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Reply, SendError> {
        self.address.exchange(request).await.map_err(|error| error.perhaps_arrived(false))
    }

    async fn token(&self) -> Result<SecretString, SendError> {
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| token.good_until > Instant::now()) {
            return Ok(token.value.clone());
        }
        let token = self.fetch().await?;
        *kept = Some(token.clone());
        Ok(token.value)
    }

    async fn fetch(&self) -> Result<Token, SendError> {
        let asked = Instant::now();
        let path = format!("{}/open-apis/auth/v3/tenant_access_token/internal", self.base);
        let body = TokenRequest { app_id: &self.app_id, app_secret: self.app_secret.expose_secret() };
        let reply = self.exchange(self.client.post(path).json(&body)).await?;
        let answer = self.read(&reply, None).map_err(|failure| match failure.refusal() {
            crate::notify::ladder::Refusal::Other(error) => error,
            // A refusal of the app is no matter of form.
            refused => SendError::new(Reason::Auth, format!("{refused}; check `app_id` and `app_secret`")),
        })?;
        let value = answer
            .tenant_access_token
            .ok_or_else(|| SendError::new(Reason::Server, "Feishu answered without a token; it is asked again"))?;
        let life = Duration::from_secs(answer.expire.unwrap_or(0));
        // A token that hardly lives longer than the margin is used for half its life.
        let good_for = life.checked_sub(EARLY).filter(|left| *left > EARLY).unwrap_or(life / 2);
        Ok(Token { value: value.into(), good_until: asked + good_for })
    }

    /// Where the long connection is. It takes the app's secret, not a token.
    ///
    /// # Errors
    /// When the platform is not reached or refuses the app.
    pub async fn endpoint(&self) -> Result<Endpoint, SendError> {
        let body = EndpointRequest { app_id: &self.app_id, app_secret: self.app_secret.expose_secret() };
        let request = self.client.post(format!("{}/callback/ws/endpoint", self.base)).header("locale", "zh");
        let reply = self.exchange(request.json(&body)).await?;
        let answer: EndpointAnswer = serde_json::from_slice(&reply.body).map_err(|_| unreadable(&reply))?;
        match answer.data.filter(|_| answer.code == 0) {
            Some(endpoint) => Ok(endpoint),
            None => {
                let said = answer.msg.replace(self.app_secret.expose_secret(), "…");
                let said = self.address.silence(&said);
                let (reason, hint) = match answer.code {
                    1 | 1_000_040_343 => (Reason::Server, "; it is busy, or fails on its side"),
                    _ => (Reason::Auth, ""),
                };
                Err(SendError::new(reason, format!("Feishu answered {} \"{said}\"{hint}", answer.code)))
            }
        }
    }

    async fn forget(&self, refused: &SecretString) {
        let mut kept = self.token.lock().await;
        kept.take_if(|token| token.value.expose_secret() == refused.expose_secret());
    }

    fn read(&self, reply: &Reply, token: Option<&SecretString>) -> Result<Answer, Failure> {
        let Some(answer) = Answer::read(&reply.body) else { return Err(unreadable(reply).into()) };
        if answer.code == 0 && reply.status.is_success() {
            return Ok(answer);
        }
        let secrets = [Some(&self.app_secret), token];
        let said = secrets
            .into_iter()
            .flatten()
            .fold(answer.msg.clone(), |said, secret| said.replace(secret.expose_secret(), "…"));
        Err(failure(answer.code, &self.address.silence(&said), reply))
    }
}

fn unreadable(reply: &Reply) -> SendError {
    let status = reply.status.as_u16();
    let check = "; check that `base_url` is the address of the open platform";
    let (reason, hint) = match status {
        429 => (Reason::RateLimited, ""),
        500..=599 => (Reason::Server, ""),
        // A success that is not the product's: a portal or proxy in between, which may be gone at the next try.
        200..=299 => (Reason::Server, check),
        _ => (Reason::Auth, check),
    };
    let detail = format!("HTTP {status} without Feishu's reply{hint}");
    SendError { retry_after: reply.wait, ..SendError::new(reason, detail) }
}
