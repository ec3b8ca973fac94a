//! Notify: from a notice to a message people read, one folder per channel.
//!
//! A [`notice::Notice`] becomes a [`story::Story`] — words in order — and each channel gives the story its own shape.

pub mod attachment;
#[cfg(test)]
mod attacks;
pub mod batch;
pub mod channel;
#[cfg(test)]
mod clocks;
pub mod companion;
#[cfg(test)]
mod cuts;
mod delivered;
pub mod delivery;
pub mod digest;
pub mod email;
pub mod feishu;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod ladder;
pub mod layout;
#[cfg(test)]
mod limits;
pub mod live;
pub mod mention;
pub mod notice;
pub mod outbox;
mod pace;
pub mod pass;
pub mod people;
pub mod plain;
pub mod post;
pub mod press;
pub mod preview;
#[cfg(test)]
mod properties;
pub mod rehearsal;
#[cfg(test)]
mod rerouted;
pub mod retry;
pub mod rule;
pub mod send;
#[cfg(test)]
mod snapshots;
pub mod story;
pub mod summary;
pub(crate) mod template;
pub mod text;
pub mod webhook;
pub mod wecom;
