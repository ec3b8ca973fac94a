//! Grafana's signature: the hex HMAC-SHA256 of the body, or of `TIMESTAMP:BODY` where a header for the time is configured
//! (grafana/alerting, http/hmac.go).

use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;
use thiserror::Error;

/// How far a signed time may be from ours.
const LEEWAY: SignedDuration = SignedDuration::from_mins(5);

/// How Grafana signs, as it is configured there under HMAC Signature of the contact point.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureSettings {
    /// The secret both sides know.
    #[schemars(with = "String")]
    pub secret: SecretString,
    /// Header that bears the signature.
    #[serde(default = "SignatureSettings::header")]
    pub header: String,
    /// Header that bears the time of signing, in Unix seconds. Without one, whoever has seen a delivery can send it again.
    #[serde(default)]
    pub timestamp_header: Option<String>,
}

impl SignatureSettings {
    fn header() -> String {
        "X-Grafana-Alerting-Signature".to_owned()
    }
}

/// Why a delivery is not taken for Grafana's.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unsigned {
    /// The header is missing or holds no signature.
    #[error("send the signature in the header {0}, as hex; Grafana does so with HMAC Signature at the contact point")]
    Missing(String),
    /// The time is missing or is no time.
    #[error(
        "send the time of signing in the header {0}, in Unix seconds; the contact point's Timestamp Header names it"
    )]
    Timeless(String),
    /// Signed too long ago, or in the future.
    #[error("the signature is of another time; it must not be more than 5 minutes from ours, so check both clocks")]
    OtherTime,
    /// Not made of this body with our secret.
    #[error("the signature does not fit the body; check that the secret here and in Grafana are the same")]
    Wrong,
    /// A delivery that was taken before.
    #[error("this signed delivery was taken already")]
    Again,
}

/// Checks signatures.
#[derive(Debug)]
pub struct Signatures {
    settings: SignatureSettings,
}

/// A signature that fits.
#[derive(Debug, PartialEq, Eq)]
pub struct Fitting {
    /// The signature in lower-case hex, where it may be used once only: a signed time says when it was made. Where
    /// nothing says so, two deliveries may well be the same.
    pub once: Option<String>,
}

impl Signatures {
    /// Checks what is signed in this way.
    #[must_use]
    pub fn new(settings: SignatureSettings) -> Self {
        Self { settings }
    }

    /// Whether the body is signed; `header` looks a header up.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn check<'h>(
        &self,
        header: impl Fn(&str) -> Option<&'h str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Fitting, Unsigned> {
        let settings = &self.settings;
        let missing = || Unsigned::Missing(settings.header.clone());
        let signature = header(&settings.header).and_then(bytes).ok_or_else(missing)?;
        let key = settings.secret.expose_secret().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Unsigned::Wrong)?;
        if let Some(name) = &settings.timestamp_header {
            let text = header(name).ok_or_else(|| Unsigned::Timeless(name.clone()))?;
            let signed: i64 = text.parse().map_err(|_| Unsigned::Timeless(name.clone()))?;
            if now.as_second().abs_diff(signed) > LEEWAY.as_secs().unsigned_abs() {
                return Err(Unsigned::OtherTime);
            }
            mac.update(format!("{text}:").as_bytes());
        }
        mac.update(body);
        mac.verify_slice(&signature).map_err(|_| Unsigned::Wrong)?;
        let hex = || signature.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Fitting { once: self.settings.timestamp_header.as_ref().map(|_| hex()) })
    }
}

/// The bytes of hex digits.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"version":"1"}"#;
    /// Computed with `printf '{"version":"1"}' | openssl dgst -sha256 -hmac s3cret`.
    const PLAIN: &str = "c859b35672b3200f3e6b662c7e2ef6e9db8cd75cf5c97a27b13913efe70b1e70";
    /// Computed with `printf '1700000000:{"version":"1"}' | openssl dgst -sha256 -hmac s3cret`.
    const TIMED: &str = "aca328ffab1c256895033ad9eca9713fc77ccd4353d2ea7fadfe5864e253c636";

    fn signatures(timestamp_header: Option<&str>) -> Signatures {
        Signatures::new(SignatureSettings {
            secret: "s3cret".into(),
            header: SignatureSettings::header(),
            timestamp_header: timestamp_header.map(str::to_owned),
        })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn plain(signature: Option<&str>, body: &[u8]) -> Result<Fitting, Unsigned> {
        signatures(None).check(|name| signature.filter(|_| name == "X-Grafana-Alerting-Signature"), body, at(0))
    }

    #[test]
    fn a42_a_body_is_taken_with_its_signature_and_with_no_other() {
        assert!(plain(Some(PLAIN), BODY).is_ok());
        assert!(plain(Some(&PLAIN.to_uppercase()), BODY).is_ok());
        assert_eq!(plain(Some(PLAIN), b"{}"), Err(Unsigned::Wrong), "a changed body");
        assert_eq!(plain(Some(TIMED), BODY), Err(Unsigned::Wrong));
        assert_eq!(plain(Some(&PLAIN[..32]), BODY), Err(Unsigned::Wrong), "half of it");
        for none in [None, Some(""), Some("abc"), Some("zz"), Some("sha256=00")] {
            assert!(matches!(plain(none, BODY), Err(Unsigned::Missing(_))), "{none:?}");
        }
    }

    fn timed(signatures: &Signatures, time: Option<&str>, now: i64) -> Result<Fitting, Unsigned> {
        let header = |name: &str| if name == "X-Time" { time } else { Some(TIMED) };
        signatures.check(header, BODY, at(now))
    }

    #[test]
    fn a42_a_signed_time_holds_for_five_minutes_before_and_after() {
        let signatures = signatures(Some("X-Time"));
        for now in [1_700_000_000, 1_700_000_300, 1_699_999_700] {
            assert!(timed(&signatures, Some("1700000000"), now).is_ok(), "{now}");
        }
        for now in [1_700_000_301, 1_699_999_699] {
            assert_eq!(timed(&signatures, Some("1700000000"), now), Err(Unsigned::OtherTime), "{now}");
        }
        assert_eq!(timed(&signatures, Some("1700000001"), 1_700_000_000), Err(Unsigned::Wrong), "another time");
        for none in [None, Some(""), Some("soon")] {
            assert_eq!(timed(&signatures, none, 1_700_000_000), Err(Unsigned::Timeless("X-Time".into())));
        }
    }

    #[test]
    fn a42_a_signature_with_a_time_may_be_used_once_however_it_is_spelt() {
        let signed = |signatures: &Signatures, signature: &str| {
            let header = |name: &str| Some(if name == "X-Time" { "1700000000" } else { signature });
            signatures.check(header, BODY, at(1_700_000_000)).unwrap().once
        };
        let timed = signatures(Some("X-Time"));
        for spelt in [TIMED.to_owned(), TIMED.to_uppercase()] {
            assert_eq!(signed(&timed, &spelt).as_deref(), Some(TIMED));
        }
        assert_eq!(signed(&signatures(None), PLAIN), None, "two deliveries may well be the same");
    }
}
