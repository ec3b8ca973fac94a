//! The bounded loop: a model, its tools, and budgets that always hold.

pub mod answer;
pub mod budget;
mod calls;
mod conversation;
pub mod envelope;
mod memory;
mod notes;
mod run;
mod schema;
#[cfg(test)]
mod tests;
pub mod tools;

use std::fmt;

use crate::alert::Lang;
use crate::model::ModelError;

pub use answer::{AnswerTool, SchemaError};
pub use budget::Budget;
pub use envelope::Envelope;
pub use run::run;

/// What a model is asked to do, and within which bounds.
#[derive(Debug)]
pub struct Task<'a, T> {
    /// What it is told about itself.
    pub system: &'a str,
    /// What it is asked; foreign text in it is already wrapped.
    pub prompt: &'a str,
    /// The same question in fewer words, each shorter than the one before, for windows that the first does not fit.
    pub shorter: &'a [String],
    /// The tool by which it answers.
    pub answer: &'a AnswerTool<T>,
    /// Reads an answer that was written as plain text, without JSON, where it has the sections people know.
    pub read: fn(&str) -> Option<T>,
    /// What it may spend.
    pub budget: &'a Budget,
    /// What wraps tool results in this run.
    pub envelope: &'a Envelope,
    /// The language in which the loop itself speaks to it.
    pub lang: Lang,
}

/// Why the loop ended. Labels are stable: dashboards count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stop {
    /// An answer was submitted and accepted.
    Submitted,
    /// All turns were used.
    MaxTurns,
    /// All tool calls were used, and the turn after them brought no answer.
    MaxToolCalls,
    /// All tokens were used, or what is left does not carry one more question.
    MaxTokens,
    /// All money was used, or what is left does not carry one more question.
    MaxCost,
    /// The time was used.
    Deadline,
    /// The same call was made five times, or turn after turn brought nothing new.
    Repetition,
    /// The conversation does not fit into the model, even shortened.
    Context,
    /// The model failed.
    ModelError,
    /// Answers were submitted, and none of them had the form asked for.
    InvalidAnswer,
    /// The model talks, and submits nothing.
    NoAnswer,
    /// The model wrote calls into its text, again and again, that are none.
    GarbledCalls,
    /// The answer was cut off at the model's output limit.
    Truncated,
}

impl Stop {
    /// The word in reports and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::MaxTurns => "max_turns",
            Self::MaxToolCalls => "max_tool_calls",
            Self::MaxTokens => "max_tokens",
            Self::MaxCost => "max_cost",
            Self::Deadline => "deadline",
            Self::Repetition => "repetition",
            Self::Context => "context",
            Self::ModelError => "model_error",
            Self::InvalidAnswer => "invalid_answer",
            Self::NoAnswer => "no_answer",
            Self::GarbledCalls => "garbled_calls",
            Self::Truncated => "truncated",
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What a run cost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spent {
    /// Answers of the model.
    pub turns: u32,
    /// Tool calls that were executed; repeated and refused ones cost nothing.
    pub tool_calls: u32,
    /// Tokens of all questions, estimated where the provider does not count.
    pub prompt_tokens: u64,
    /// Tokens of all answers, estimated where the provider does not count.
    pub completion_tokens: u64,
    /// Money, in the currency of the models' prices; zero where they are not known.
    pub cost: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<T> {
    /// The accepted answer. Text the model wrote beside it never leaves the loop.
    pub submitted: Option<T>,
    /// Why it ended.
    pub stop: Stop,
    /// What it cost.
    pub spent: Spent,
    /// The configured name of the model that was asked last.
    pub model: String,
    /// The failure that ended it, if one did.
    pub error: Option<ModelError>,
}
