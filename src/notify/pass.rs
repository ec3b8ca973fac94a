//! A pass: what in a link of ours shows that we made it, and until when it opens what it names.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use uuid::Uuid;

/// Bytes of a signature: half of SHA-256, which nobody guesses, and a link stays short enough for a chat.
const SIGNATURE: usize = 16;

/// Signs passes and knows its own again. Replicas that share the secret know each other's.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Signer")
    }
}

impl Signer {
    /// A signer with this secret; none when the secret is no key, which an HMAC never says.
    #[must_use]
    pub fn new(secret: &SecretString) -> Option<Self> {
        Hmac::new_from_slice(secret.expose_secret().as_bytes()).ok().map(Self)
    }

    /// `EXPIRES.SIGNATURE`: opens this until then.
    #[must_use]
    pub fn sign(&self, what: &str, until: Timestamp) -> String {
        let expires = until.as_second();
        let signature = self.mac(what, expires).finalize().into_bytes();
        format!("{expires}.{}", URL_SAFE_NO_PAD.encode(&signature[..SIGNATURE]))
    }

    /// Whether this is a pass of ours for this, and not too old.
    #[must_use]
    pub fn knows(&self, what: &str, pass: &str, now: Timestamp) -> bool {
        let Some((expires, signature)) = pass.split_once('.') else { return false };
        let (Ok(expires), Ok(signature)) = (expires.parse::<i64>(), URL_SAFE_NO_PAD.decode(signature)) else {
            return false;
        };
        let ours = signature.len() == SIGNATURE && self.mac(what, expires).verify_truncated_left(&signature).is_ok();
        ours && now.as_second() < expires
    }

    fn mac(&self, what: &str, expires: i64) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(format!("{expires} {what}").as_bytes());
        mac
    }
}

/// What the pages of an incident are called in a pass.
#[must_use]
pub fn incident(id: Uuid) -> String {
    format!("incident/{id}")
}

/// The address of an incident's page below `base`, with its pass when links carry one.
#[must_use]
pub fn page(base: &str, passes: Option<&Passes>, id: Uuid, now: Timestamp) -> String {
    let page = format!("{base}/incidents/{id}");
    match passes {
        Some(passes) => format!("{page}?pass={}", passes.of(id, now)),
        None => page,
    }
}

/// How links of messages open their incident without a login.
#[derive(Debug, Clone)]
pub struct Passes {
    signer: Signer,
    life: SignedDuration,
}

impl Passes {
    /// Links that open for so long after they were written.
    #[must_use]
    pub fn new(signer: Signer, life: SignedDuration) -> Self {
        Self { signer, life }
    }

    /// The pass for an incident's pages, in a link written at this moment.
    #[must_use]
    pub fn of(&self, id: Uuid, now: Timestamp) -> String {
        let until = now.checked_add(self.life).unwrap_or(Timestamp::MAX);
        self.signer.sign(&incident(id), until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secret: &str) -> Signer {
        Signer::new(&secret.into()).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The signature was computed with `printf '1700000000 incident/7' | openssl dgst -sha256 -hmac s3cret`.
    #[test]
    fn a_pass_is_what_openssl_computes() {
        let pass = signer("s3cret").sign("incident/7", at(1_700_000_000));
        assert_eq!(pass, "1700000000.iCeysk7t0sYfCuObXr34OQ");
    }

    #[test]
    fn a_pass_opens_what_it_names_until_it_expires_and_nothing_else() {
        let (ours, pass) = (signer("s3cret"), signer("s3cret").sign("incident/7", at(100)));
        assert!(ours.knows("incident/7", &pass, at(99)));
        assert!(!ours.knows("incident/7", &pass, at(100)), "over");
        assert!(!ours.knows("incident/8", &pass, at(99)), "another incident");
        assert!(!signer("other").knows("incident/7", &pass, at(99)), "another secret");
        let later = pass.replacen("100.", "9999999999.", 1);
        assert!(!ours.knows("incident/7", &later, at(99)), "made to last longer");
        let longer = format!("{pass}AA");
        for broken in ["", ".", "100", "100.", "x.y", &pass[..pass.len() - 4], &longer] {
            assert!(!ours.knows("incident/7", broken, at(99)), "{broken}");
        }
    }

    #[test]
    fn passes_live_from_when_they_are_written() {
        let (id, passes) = (Uuid::nil(), Passes::new(signer("s3cret"), SignedDuration::from_hours(1)));
        let pass = passes.of(id, at(0));
        assert!(signer("s3cret").knows(&incident(id), &pass, at(3_599)));
        assert!(!signer("s3cret").knows(&incident(id), &pass, at(3_600)));
    }
}
