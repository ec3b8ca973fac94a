//! Notify: from a notice to a message people read, one folder per channel.

pub mod notice;
pub mod send;
