//! What makes a callback over HTTP the platform's own: its signature over the raw body, and its encryption.

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::Decryptor;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Bytes of the vector in front of the encrypted text.
const BLOCK: usize = 16;

/// Decrypts what stands under `encrypt`; `None` when it was encrypted with another key, or was not.
pub fn decrypt(key: &str, encrypted: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(encrypted).ok()?;
    let (vector, text) = bytes.split_at_checked(BLOCK)?;
    let key = Sha256::digest(key.as_bytes());
    let mut text = text.to_vec();
    let open = Decryptor::<Aes256>::new_from_slices(&key, vector).ok()?;
    open.decrypt_padded::<Pkcs7>(&mut text).ok().map(<[u8]>::to_vec)
}

/// Whether a signature is the platform's: SHA-256 of timestamp, nonce, key and the body as it came.
pub fn is_signed(key: &str, timestamp: &str, nonce: &str, body: &[u8], signature: &str) -> bool {
    let digest =
        Sha256::new().chain_update(timestamp).chain_update(nonce).chain_update(key).chain_update(body).finalize();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.as_bytes().ct_eq(signature.to_ascii_lowercase().as_bytes()).into()
}

/// Compares in constant time; hashing first hides the length too.
pub fn same(a: &str, b: &str) -> bool {
    Sha256::digest(a).as_slice().ct_eq(Sha256::digest(b).as_slice()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_text_is_decrypted_and_no_other_key_does() {
        let encrypted = "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=";
        assert_eq!(decrypt("test key", encrypted).as_deref(), Some(&b"hello world"[..]));
        assert_ne!(decrypt("another", encrypted).as_deref(), Some(&b"hello world"[..]));
        for broken in ["", "not base64!", "AAAA", "P37w+VZImNgPEO1RBhJ6Rg=="] {
            assert_eq!(decrypt("test key", broken), None, "{broken}");
        }
    }

    #[test]
    fn a_signature_covers_time_nonce_key_and_every_byte() {
        // sha256("1599360473" "n0nce" "key" "{}"), by another implementation.
        let signature = "7def8aaa7ac7c3be7f30f49e734dcb0e2a691fcdc1e003b2a1d3cbf944eb0806";
        assert!(is_signed("key", "1599360473", "n0nce", b"{}", signature));
        assert!(!is_signed("key", "1599360474", "n0nce", b"{}", signature));
        assert!(!is_signed("key", "1599360473", "n0nce", b"{} ", signature));
        assert!(!is_signed("yek", "1599360473", "n0nce", b"{}", signature));
        assert!(!is_signed("key", "1599360473", "n0nce", b"{}", ""));
    }
}
