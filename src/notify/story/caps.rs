//! How much of everything a message may hold, by the form it takes.

use crate::notify::send::Form;

/// Upper limits for one message. Lengths are in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// A sentence.
    pub line: usize,
    /// A quotation.
    pub quote: usize,
    /// A command; a longer one is left out whole, because half a command is dangerous.
    pub command: usize,
    /// Findings, quotations, causes and objects per list.
    pub items: usize,
    /// Steps, the first included.
    pub steps: usize,
    /// Labels and annotations.
    pub facts: usize,
    /// Other alerts of the group.
    pub alerts: usize,
    /// Incidents that share the investigation.
    pub members: usize,
    /// Whether names in a list lead to their pages: an address is longer than most names.
    pub links: bool,
}

impl Caps {
    /// For channels with room for a page (Feishu 18 kB, mail): a report of usual size fits unshortened.
    #[must_use]
    pub fn page(form: Form) -> Self {
        match form {
            Form::Full => Self {
                line: 360,
                quote: 360,
                command: 600,
                items: 6,
                steps: 6,
                facts: 24,
                alerts: 12,
                members: 12,
                links: true,
            },
            Form::Compact => Self {
                line: 160,
                quote: 140,
                command: 300,
                items: 3,
                steps: 3,
                facts: 8,
                alerts: 4,
                members: 8,
                links: false,
            },
            Form::Plain => Self {
                line: 140,
                quote: 100,
                command: 200,
                items: 2,
                steps: 2,
                facts: 4,
                alerts: 2,
                members: 4,
                links: false,
            },
        }
    }

    /// A page as long as all of it fits: no sentence of usual size is cut where there is room for it. Below [`Caps::whole`],
    /// so that what is cut all the same reads differently.
    #[must_use]
    pub fn roomy_page() -> Self {
        Self { line: 600, quote: 600, command: 1000, items: 10, steps: 10, ..Self::page(Form::Full).naming_all() }
    }

    /// The same with every name of a storm that one card can hold: one look at it answers who else is hit.
    #[must_use]
    pub fn naming_all(self) -> Self {
        Self { alerts: 100, members: 100, ..self }
    }

    /// More than any message holds: what reads differently under these was cut.
    #[must_use]
    pub fn whole() -> Self {
        Self {
            line: 720,
            quote: 720,
            command: 1200,
            items: 12,
            steps: 12,
            facts: 0,
            alerts: 0,
            members: usize::MAX,
            links: true,
        }
    }

    /// For channels with room for a note (WeCom, 4 096 bytes): a Chinese character takes three of them.
    #[must_use]
    pub fn note(form: Form) -> Self {
        match form {
            Form::Full => Self {
                line: 220,
                quote: 200,
                command: 240,
                items: 3,
                steps: 4,
                facts: 8,
                alerts: 4,
                members: 12,
                links: true,
            },
            Form::Compact => Self {
                line: 90,
                quote: 80,
                command: 160,
                items: 2,
                steps: 2,
                facts: 4,
                alerts: 2,
                members: 4,
                links: false,
            },
            Form::Plain => Self {
                line: 80,
                quote: 60,
                command: 120,
                items: 1,
                steps: 1,
                facts: 3,
                alerts: 1,
                members: 4,
                links: false,
            },
        }
    }

    /// A note as long as all of it fits: every label and annotation an alert usually has, every name of a storm.
    #[must_use]
    pub fn roomy_note() -> Self {
        Self { facts: 24, alerts: 24, members: 100, ..Self::note(Form::Full) }
    }

    /// The same with every sentence and quotation whole: a few characters short of the end are no reason for a file.
    #[must_use]
    pub fn unclipped_note() -> Self {
        let Self { line, quote, command, .. } = Self::roomy_page();
        Self { line, quote, command, ..Self::roomy_note() }
    }
}
