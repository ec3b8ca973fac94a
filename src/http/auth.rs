//! Who may come in: a token or basic credentials, checked before any body is read; a signed body where a sender signs.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::ApiError;
use super::{App, body};
use crate::alert::Source;
use crate::intake::signature::{Signatures, Unsigned};
use crate::store::Hold;

/// Longer than a request may take (30 s), so that of two with one signature one is over before the other can begin.
const HELD: Duration = Duration::from_secs(40);
/// Not refused for good: where the first of them fails, or its process dies, the second is the one to take.
const UNDER_WAY: &str = "a delivery with this signature is being taken; send it again if that one was not answered";

/// Accepted credentials; none at all lets everybody in, which only a loopback listener may do.
#[derive(Debug, Default)]
pub struct Auth {
    /// Tokens for every route; also accepted as the password of basic credentials, for browsers.
    pub tokens: Vec<SecretString>,
    /// User names and passwords.
    pub basic: Vec<(String, SecretString)>,
    /// Tokens that open one sender's route and no other.
    pub senders: Vec<(Source, SecretString)>,
    /// A header of the operator's own that may bear a token.
    pub token_header: Option<HeaderName>,
    /// How Grafana signs. Its route then asks for a signature, and for nothing else.
    pub grafana: Option<Signatures>,
}

/// The sender whose route this is.
pub(super) fn sender(path: &str) -> Option<Source> {
    match path {
        "/webhooks/alertmanager" => Some(Source::Alertmanager),
        "/webhooks/grafana" => Some(Source::Grafana),
        "/webhooks/nightingale" => Some(Source::Nightingale),
        "/prometheusalert" => Some(Source::PrometheusAlert),
        _ => None,
    }
}

impl Auth {
    /// Whether everybody may come in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.basic.is_empty() && self.senders.is_empty() && self.grafana.is_none()
    }

    /// Whether a request brings what opens this route: `sender` is whose it is.
    pub(super) fn admits(&self, headers: &HeaderMap, sender: Option<Source>) -> bool {
        if self.is_open() {
            return true;
        }
        let own = self.token_header.as_ref().map(|name| headers.get_all(name)).into_iter().flatten();
        let mut given =
            headers.get_all(AUTHORIZATION).iter().map(|value| (true, value)).chain(own.map(|it| (false, it)));
        // Two credentials are one too many: which of them a proxy checked is anybody's guess.
        let (Some((standard, value)), None) = (given.next(), given.next()) else { return false };
        let Ok(value) = value.to_str() else { return false };
        if !standard {
            return self.knows_token(value.trim(), sender);
        }
        let Some((scheme, credentials)) = value.split_once(' ') else { return false };
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => self.knows_token(credentials.trim(), sender),
            "basic" => self.knows_encoded(credentials.trim(), sender),
            _ => false,
        }
    }

    fn knows_token(&self, token: &str, sender: Option<Source>) -> bool {
        let own = self.senders.iter().filter(|(source, _)| Some(*source) == sender).map(|(_, token)| token);
        self.tokens.iter().chain(own).fold(false, |known, one| same(one.expose_secret(), token) | known)
    }

    fn knows_encoded(&self, encoded: &str, sender: Option<Source>) -> bool {
        let Some(decoded) = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return false;
        };
        decoded.split_once(':').is_some_and(|(user, password)| self.knows_pair(user, password, sender))
    }

    /// Whether these open the route; a token is a password for whatever user.
    pub(super) fn knows_pair(&self, user: &str, password: &str, sender: Option<Source>) -> bool {
        let pair = self
            .basic
            .iter()
            .fold(false, |known, (name, secret)| (same(name, user) & same(secret.expose_secret(), password)) | known);
        pair | self.knows_token(password, sender)
    }

    /// Changes when any credential for people does, so that what was opened with an old one closes.
    pub(super) fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        for token in &self.tokens {
            digest.update(Sha256::digest(token.expose_secret()));
        }
        for (user, password) in &self.basic {
            digest.update(Sha256::digest(user));
            digest.update(Sha256::digest(password.expose_secret()));
        }
        digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Compares in constant time; hashing first hides the length too.
fn same(a: &str, b: &str) -> bool {
    Sha256::digest(a.as_bytes()).as_slice().ct_eq(Sha256::digest(b.as_bytes()).as_slice()).into()
}

/// Lets a request pass or answers 401.
pub async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let sender = sender(request.uri().path());
    match &app.auth.grafana {
        Some(signatures) if sender == Some(Source::Grafana) => signed(&app, signatures, request, next).await,
        _ if app.auth.admits(request.headers(), sender) => next.run(request).await,
        _ => refused(ApiError::unauthorized()),
    }
}

/// 401, and what to send instead.
pub(super) fn refused(error: ApiError) -> Response {
    let mut response = error.into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"firstlook\", Bearer"));
    response
}

/// Reads the body, which nobody has looked into yet, and lets it pass when its sender signed it.
async fn signed(app: &App, signatures: &Signatures, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = match body::read(body, app.body_limit).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let once = match signatures.check(header, &body, Timestamp::now()) {
        Ok(fitting) => fitting.once,
        Err(unsigned) => return ApiError::denied(unsigned.to_string()).into_response(),
    };
    let Some(once) = once else { return next.run(Request::from_parts(parts, Body::from(body))).await };
    match app.store.hold_signature(&once, Timestamp::now(), HELD).await {
        Ok(Hold::Ours) => {}
        Ok(Hold::Taken) => return ApiError::denied(Unsigned::Again.to_string()).into_response(),
        Ok(Hold::Anothers) => return ApiError::unavailable(UNDER_WAY).into_response(),
        Err(error) => return ApiError::from(error).into_response(),
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let kept = match response.status().is_success() {
        true => app.store.take_signature(&once).await,
        false => app.store.give_back_signature(&once).await,
    };
    if let Err(error) = kept {
        // What is played again then merges with what it repeats.
        tracing::warn!(%error, "what became of a signature could not be kept; it opens the door once more in a while");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> Auth {
        Auth {
            tokens: vec!["t0ken".into()],
            basic: vec![("am".into(), "pass".into())],
            senders: vec![(Source::Nightingale, "n9e".into())],
            token_header: Some(HeaderName::from_static("x-token")),
            grafana: None,
        }
    }

    fn admitted_to(sender: Option<Source>, values: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(*name, value.parse().unwrap());
        }
        auth().admits(&headers, sender)
    }

    fn admitted(values: &[&str]) -> bool {
        let values: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
        admitted_to(None, &values)
    }

    #[test]
    fn the_right_credentials_pass() {
        assert!(admitted(&["Bearer t0ken"]));
        assert!(admitted(&[&format!("Basic {}", STANDARD.encode("am:pass"))]));
        assert!(
            admitted(&[&format!("Basic {}", STANDARD.encode("anyone:t0ken"))]),
            "browsers send a token as a password"
        );
        assert!(admitted_to(None, &[("x-token", "t0ken")]));
    }

    #[test]
    fn everything_else_does_not() {
        for values in [
            &[][..],
            &["Bearer wrong"],
            &["Bearer"],
            &["Basic !"],
            &["Digest t0ken"],
            &["Bearer t0ken", "Bearer t0ken"],
        ] {
            assert!(!admitted(values), "{values:?}");
        }
        assert!(!admitted(&[&format!("Basic {}", STANDARD.encode("am:wrong"))]));
        assert!(!admitted_to(None, &[("x-token", "wrong")]));
        assert!(!admitted_to(None, &[("x-token", "t0ken"), ("authorization", "Bearer t0ken")]), "one too many");
        assert!(!admitted_to(None, &[("x-other", "t0ken")]));
    }

    #[test]
    fn a_senders_token_opens_its_route_alone() {
        let bearer = [("authorization", "Bearer n9e")];
        assert!(admitted_to(Some(Source::Nightingale), &bearer));
        assert!(admitted_to(Some(Source::Nightingale), &[("authorization", "Bearer t0ken")]), "and so does any token");
        for other in [None, Some(Source::Alertmanager), Some(Source::Grafana), Some(Source::PrometheusAlert)] {
            assert!(!admitted_to(other, &bearer), "{other:?}");
        }
    }

    #[test]
    fn a_changed_password_changes_the_fingerprint() {
        let other = Auth { basic: vec![("am".into(), "passed".into())], ..auth() };
        assert_ne!(auth().fingerprint(), other.fingerprint());
        assert_eq!(auth().fingerprint(), auth().fingerprint());
    }
}
