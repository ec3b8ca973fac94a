//! Who may come in: a bearer token, or basic credentials, checked before any body is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::App;
use super::error::ApiError;

/// Accepted credentials; none at all lets everybody in, which only a loopback listener may do.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    /// Bearer tokens; also accepted as the password of basic credentials, for browsers.
    pub tokens: Vec<SecretString>,
    /// User names and passwords.
    pub basic: Vec<(String, SecretString)>,
}

impl Auth {
    /// Whether everybody may come in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.basic.is_empty()
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        if self.is_open() {
            return true;
        }
        let mut given = headers.get_all(AUTHORIZATION).iter();
        // Two credentials are one too many: which of them a proxy checked is anybody's guess.
        let (Some(value), None) = (given.next(), given.next()) else { return false };
        let Some((scheme, credentials)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
            return false;
        };
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => self.knows_token(credentials.trim()),
            "basic" => self.knows_pair(credentials.trim()),
            _ => false,
        }
    }

    fn knows_token(&self, token: &str) -> bool {
        self.tokens.iter().fold(false, |known, one| same(one.expose_secret(), token) | known)
    }

    fn knows_pair(&self, encoded: &str) -> bool {
        let Some(decoded) = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return false;
        };
        let Some((user, password)) = decoded.split_once(':') else { return false };
        let pair = self
            .basic
            .iter()
            .fold(false, |known, (name, secret)| (same(name, user) & same(secret.expose_secret(), password)) | known);
        pair | self.knows_token(password)
    }
}

/// Compares in constant time; hashing first hides the length too.
fn same(a: &str, b: &str) -> bool {
    Sha256::digest(a.as_bytes()).as_slice().ct_eq(Sha256::digest(b.as_bytes()).as_slice()).into()
}

/// Lets a request pass or answers 401.
pub async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if app.auth.admits(request.headers()) {
        return next.run(request).await;
    }
    let mut response = ApiError::unauthorized().into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"firstlook\", Bearer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> Auth {
        Auth { tokens: vec!["t0ken".into()], basic: vec![("am".into(), "pass".into())] }
    }

    fn admitted(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        auth().admits(&headers)
    }

    #[test]
    fn the_right_credentials_pass() {
        assert!(admitted(&["Bearer t0ken"]));
        assert!(admitted(&[&format!("Basic {}", STANDARD.encode("am:pass"))]));
        assert!(
            admitted(&[&format!("Basic {}", STANDARD.encode("anyone:t0ken"))]),
            "browsers send a token as a password"
        );
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
    }
}
