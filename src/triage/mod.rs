//! Triage: from an incident to a diagnosis.

pub mod prompt;
