//! Who already has a mail: when it is sent again for the others, nobody gets it twice.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Mails that are partly delivered at one time; the oldest is forgotten first.
const REMEMBERED: usize = 128;

/// Recipients served, by message id. Kept in memory: after a restart a mail may come twice, with the same id.
#[derive(Debug, Default)]
pub struct Delivered(Mutex<VecDeque<(String, Vec<usize>)>>);

impl Delivered {
    /// Whether a recipient, by position in the settings, has the mail.
    pub fn has(&self, id: &str, recipient: usize) -> bool {
        let mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mails.iter().any(|(known, served)| known == id && served.contains(&recipient))
    }

    /// Whether anybody has it.
    pub fn any(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(known, _)| known == id)
    }

    /// Notes that a recipient has it.
    pub fn note(&self, id: &str, recipient: usize) {
        let mut mails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, served)) = mails.iter_mut().find(|(known, _)| known == id) {
            served.push(recipient);
            return;
        }
        if mails.len() == REMEMBERED {
            mails.pop_front();
        }
        mails.push_back((id.to_owned(), vec![recipient]));
    }

    /// Forgets a mail nobody waits for any more.
    pub fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != id);
    }
}
