//! An HTTP client on any machine: whom it trusts is found out here, and where that is nobody, plain HTTP still works.

use std::sync::Once;

use reqwest::ClientBuilder;

use crate::unreached::root_cause;

/// What is said once to who runs a machine without certificates, a bare container image for example.
static TOLD: Once = Once::new();

/// A client with these settings. It trusts whom the machine trusts; where that has no certificates, each HTTPS call fails
/// and says what to do, and a model, a tool server or a chat of the own network is spoken to all the same.
///
/// # Errors
/// When the settings contradict each other.
pub fn client(settings: impl Fn(ClientBuilder) -> ClientBuilder) -> reqwest::Result<reqwest::Client> {
    cryptography();
    settings(reqwest::Client::builder()).build().or_else(|error| {
        let client = settings(reqwest::Client::builder()).tls_certs_only([]).build()?;
        TOLD.call_once(|| {
            let why = root_cause(&error);
            tracing::warn!(
                why,
                "no certificates to trust were found, so no HTTPS address can be reached: install the package \
                 ca-certificates, or name a readable file of certificates in SSL_CERT_FILE"
            );
        });
        Ok(client)
    })
}

/// Chooses the process's cryptography, when none is chosen yet.
pub fn cryptography() {
    // A second thread may have been faster; either way one is installed now.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
