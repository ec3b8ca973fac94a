//! A notice on its way through the forms of the ladder.

use jiff::Timestamp;
use tokio::sync::Mutex;

use super::card::{self, Beside};
use super::codes::Failure;
use super::wire::Sealed;
use crate::notify::layout::Layout;
use crate::notify::mention::ALL;
use crate::notify::notice::Notice;
use crate::notify::send::Form;

/// What one attempt to send left behind.
#[derive(Debug, Default)]
pub struct Trail {
    /// The id of a card that was sent.
    pub sent: Option<String>,
    /// The card is not there any more.
    pub gone: bool,
    /// The platform's filter took offence at something in it.
    pub filtered: bool,
}

impl Trail {
    /// Notes what a failure says beside that it failed.
    pub fn met(&mut self, failure: &Failure) {
        self.gone |= matches!(failure, Failure::Gone(_));
        self.filtered |= matches!(failure, Failure::Filtered(_));
    }
}

/// A notice on its way.
pub struct Telling<'a> {
    /// What is told.
    pub notice: &'a Notice,
    now: Timestamp,
    /// What its card shows beside it.
    pub beside: Beside<'a>,
    layout: &'a Layout,
    /// What the attempts left behind.
    pub trail: Mutex<Trail>,
}

impl<'a> Telling<'a> {
    /// A notice that nobody was told yet.
    pub fn of(notice: &'a Notice, beside: Beside<'a>, layout: &'a Layout) -> Self {
        Self { notice, now: Timestamp::now(), beside, layout, trail: Mutex::default() }
    }

    /// The content in one form. A chat may forbid to call everybody and then refuses the whole: once it refused, only
    /// people are called.
    pub fn content(&self, form: Form, refused: bool) -> Option<Sealed> {
        let users: Vec<String> = self.beside.users.iter().filter(|user| !refused || *user != ALL).cloned().collect();
        let beside = Beside { users: &users, ..self.beside };
        match form {
            Form::Full | Form::Compact => card::sealed(self.notice, self.now, form, beside, self.layout),
            Form::Plain => Some(card::plain(self.notice, self.now, &users, self.layout)),
        }
    }
}
