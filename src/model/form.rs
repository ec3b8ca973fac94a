//! How requests to a model are formed now: its profile's way, less what its endpoint turned out to refuse.

use std::collections::BTreeSet;

/// One deviation from the profile, learnt from a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Functions are offered in the prompt, and calls are read from the text.
    SwitchToPromptTools,
    /// What the loop says after results stands in the last of them: some templates count a result as a user's message.
    MergeMessages,
    /// No thinking goes back.
    StripReasoning,
    /// Turns with calls have thinking even where none is known.
    RestoreReasoning,
    /// An answer need only be some JSON object, not one by a schema.
    AnyJsonObject,
    /// A parameter is left out.
    DropParameter(&'static str),
    /// The limit of an answer has its other name.
    RenameMaxTokens,
    /// The limit of an answer is low.
    LowerMaxTokens,
    /// Thinking is switched off.
    DisableThinking,
    /// Schemas in Kimi's dialect.
    NormaliseSchemas,
    /// Nothing but what every endpoint understands.
    Plainest,
}

/// Everything learnt so far about one endpoint. It only grows, so that what several runs learn adds up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Form(BTreeSet<Change>);

impl Form {
    pub(super) fn has(&self, change: Change) -> bool {
        self.0.contains(&change)
    }

    /// The same with one more change; `None` when it had it.
    pub(super) fn with(&self, change: Change) -> Option<Self> {
        let mut form = self.clone();
        form.0.insert(change).then_some(form)
    }

    /// The same as if something had not been learnt.
    pub(super) fn without(&self, change: Change) -> Self {
        Self(self.0.iter().copied().filter(|known| *known != change).collect())
    }

    /// Takes over what another run learnt.
    pub(super) fn learn(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Parameters that are left out.
    pub(super) fn dropped(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter_map(|change| match change {
            Change::DropParameter(name) => Some(*name),
            _ => None,
        })
    }
}
