//! Settings of `routes:`: which channels are told of which alerts.

use serde::Deserialize;

use crate::alert::Labels;

/// One entry of `routes:`. The first whose labels all match decides; one without `match` matches every alert.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Labels and the exact values they must have.
    #[serde(default, rename = "match")]
    pub matches: Labels,
    /// Names of the channels to tell. None at all mutes what matches.
    pub channels: Vec<String>,
}

impl Route {
    /// Whether an alert with these labels takes this route.
    #[must_use]
    pub fn takes(&self, labels: &Labels) -> bool {
        self.matches.iter().all(|(name, value)| labels.get(name).is_some_and(|given| given == value))
    }
}
