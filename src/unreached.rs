//! Why another end was not reached: the innermost reason, and what to do where that is a certificate.

use std::error::Error;

/// What to do about certificates, by what the TLS library says of them. Each has its own remedy, and "check the
/// certificate" names none of them.
const CERTIFICATES: [(&[&str], &str); 4] = [
    (&["certificate expired", "Expired"], "renew that server's certificate, or set the clock here"),
    (&["not valid yet", "NotValidYet"], "set the clock here or there"),
    (
        &["UnknownIssuer", "CaUsedAsEndEntity"],
        "trust its issuer here: a file of certificates in SSL_CERT_FILE, or the system's",
    ),
    (&["not valid for name", "NotValidForName"], "use a name that the certificate is for"),
];

/// The innermost reason ("connection refused"): it helps, the layers around it do not, and they repeat the address, which
/// may hold a password.
#[must_use]
pub fn root_cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    with_remedy(innermost.to_string())
}

/// A reason with what to do about it, where it is a certificate.
#[must_use]
pub fn with_remedy(mut said: String) -> String {
    let is_tls = said.contains("certificate");
    let remedy = CERTIFICATES.iter().find(|(words, _)| is_tls && words.iter().any(|word| said.contains(word)));
    if let Some((_, remedy)) = remedy {
        said.push_str("; ");
        said.push_str(remedy);
    }
    said
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError::{Expired, NotValidForName, NotValidYet, UnknownIssuer};
    use rustls::Error::InvalidCertificate;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_says_what_to_do() {
        let said = |error| root_cause(&std::io::Error::other(InvalidCertificate(error)));
        assert!(said(Expired).ends_with("renew that server's certificate, or set the clock here"), "{}", said(Expired));
        assert!(said(NotValidYet).ends_with("set the clock here or there"), "{}", said(NotValidYet));
        assert!(said(UnknownIssuer).contains("SSL_CERT_FILE"), "{}", said(UnknownIssuer));
        assert!(said(NotValidForName).ends_with("a name that the certificate is for"), "{}", said(NotValidForName));
        assert_eq!(root_cause(&std::io::Error::other("token Expired")), "token Expired");
    }
}
