//! The acceptance cases.
