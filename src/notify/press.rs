//! A press: somebody asks for something by a button of a message. The channel reads it; who acts on it sits above.

use std::fmt::Debug;
use std::time::Duration;

use futures::future::BoxFuture;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Silence the incident's alerts in Alertmanager.
    Silence,
    /// Investigate once more.
    Again,
    /// The diagnosis helped.
    Useful,
    /// It did not.
    Useless,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Silence, Self::Again, Self::Useful, Self::Useless];

    /// The word on the wire and in the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Again => "again",
            Self::Useful => "useful",
            Self::Useless => "useless",
        }
    }

    /// The action of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }
}

/// Whether a person may ask for what they ask for, by the channel's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// They may.
    Granted,
    /// They are on no list: they may press nothing.
    NoOperator,
    /// They may press the other buttons, but not silence.
    NoSilencer,
}

/// A press on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Press {
    /// The platform's id of the event: the same press comes with the same one.
    pub event: String,
    /// Name of the channel.
    pub channel: String,
    /// The platform's id of the message.
    pub message: String,
    /// The platform's id of the person.
    pub person: String,
    /// Whether the person may ask for it.
    pub leave: Leave,
    /// What is asked for.
    pub action: Action,
    /// What the person wrote beside it.
    pub reason: String,
    /// How long a silence lasts.
    pub silence_for: Duration,
}

/// What came of a press, as the person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it is done.
    pub done: bool,
    /// One sentence.
    pub said: String,
}

/// Who acts on presses.
pub trait Presses: Send + Sync + Debug {
    /// Acts on a press, once per event.
    fn take(&self, press: Press) -> BoxFuture<'static, Outcome>;
}
