//! Which parts of a message are out already: when it is sent again for the others, nobody gets one twice.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::notice::Notice;

/// Messages that are partly delivered at one time; the oldest is forgotten first.
const REMEMBERED: usize = 128;

/// Parts delivered, by message id: for mail a recipient, for a chat the form of its text. Kept in memory: after a restart
/// a part may come twice.
#[derive(Debug, Default)]
pub struct Delivered(Mutex<VecDeque<(String, Vec<usize>)>>);

impl Delivered {
    /// Whether a part is delivered.
    pub fn has(&self, id: &str, part: usize) -> bool {
        let messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().any(|(known, parts)| known == id && parts.contains(&part))
    }

    /// Whether any part is.
    pub fn any(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(known, _)| known == id)
    }

    /// Notes that a part is delivered.
    pub fn note(&self, id: &str, part: usize) {
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, parts)) = messages.iter_mut().find(|(known, _)| known == id) {
            parts.push(part);
            return;
        }
        if messages.len() == REMEMBERED {
            messages.pop_front();
        }
        messages.push_back((id.to_owned(), vec![part]));
    }

    /// Forgets a message nobody waits for any more.
    pub fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != id);
    }
}

/// A notice's fingerprint: the same when it is sent again.
#[must_use]
pub fn fingerprint(notice: &Notice) -> String {
    let content = serde_json::to_vec(notice).unwrap_or_default();
    Sha256::digest(&content).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
