//! What goes out beside a message: it counts at the destination's rate, and what of it is lost is counted where people look.

use std::sync::atomic::{AtomicU32, Ordering};

/// Something beside a message. Without it the message stands; with it nobody has to look for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Companion {
    /// A line that calls people by name.
    Mention,
    /// The full report as a file.
    File,
    /// A line in a card's thread.
    Reply,
}

impl Companion {
    const ALL: [Self; 3] = [Self::Mention, Self::File, Self::Reply];

    /// The outcome a message without it is counted under.
    #[must_use]
    pub fn lost(self) -> &'static str {
        match self {
            Self::Mention => "without_mention",
            Self::File => "without_file",
            Self::Reply => "without_reply",
        }
    }
}

/// What went out beside messages, and what did not, since it was last asked.
#[derive(Debug, Default)]
pub struct Companions {
    sent: AtomicU32,
    lost: [AtomicU32; 3],
}

impl Companions {
    /// Notes that one was posted, whatever became of it: the destination counts it.
    pub fn posted(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a message went out without this.
    pub fn lost(&self, companion: Companion) {
        self.lost[companion as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were posted.
    pub fn take_posted(&self) -> u32 {
        self.sent.swap(0, Ordering::Relaxed)
    }

    /// What was lost, one entry for each.
    #[must_use]
    pub fn take_lost(&self) -> Vec<Companion> {
        let times = |one: Companion| self.lost[one as usize].swap(0, Ordering::Relaxed);
        Companion::ALL.into_iter().flat_map(|one| (0..times(one)).map(move |_| one)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_told_once() {
        let companions = Companions::default();
        companions.posted();
        companions.lost(Companion::File);
        companions.lost(Companion::Mention);
        companions.lost(Companion::File);
        assert_eq!(companions.take_lost(), [Companion::Mention, Companion::File, Companion::File]);
        assert_eq!((companions.take_lost().len(), companions.take_posted(), companions.take_posted()), (0, 1, 0));
    }
}
