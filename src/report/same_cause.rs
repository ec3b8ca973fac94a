//! What incidents share, so that one of them is investigated for all.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::alert::Lang;

/// Between an alert's name and the object it is about, in the line that names an incident.
pub const NAMED_OF: &str = " · ";

/// Other incidents with the same cause, which is investigated once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct SameCause {
    /// The incident that is investigated for all of them, when it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub led_by: Option<Led>,
    /// What the alerts of those are about that leave it to this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followers: Vec<String>,
    /// Whether no cause was found that they share: they are the same alert about the same workload or Node, or of a
    /// cluster that cannot be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unproven: bool,
    /// Whether what they share is a cluster that could not be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
}

/// What incidents have in common that one of them is investigated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Common {
    /// The cause that was found.
    Cause,
    /// The alert and its object, though nothing is blamed.
    Alert,
    /// A cluster that cannot be read: without evidence a model has no more to say of one alert than of forty.
    Cluster,
}

impl SameCause {
    /// Whom an incident follows, or who follows it, over what they have in common.
    #[must_use]
    pub fn over(common: Common, led_by: Option<Led>, followers: Vec<String>) -> Self {
        Self { led_by, followers, unproven: common != Common::Cause, unread: common == Common::Cluster }
    }

    /// What they have in common.
    #[must_use]
    pub fn common(&self) -> Common {
        match (self.unread, self.unproven) {
            (true, _) => Common::Cluster,
            (false, true) => Common::Alert,
            (false, false) => Common::Cause,
        }
    }

    /// The same as a heading.
    #[must_use]
    pub fn label(&self, lang: Lang) -> &'static str {
        match self.common() {
            Common::Cluster => lang.pick("集群无法读取", "Cluster that cannot be read"),
            Common::Alert => lang.pick("同一对象的同名告警", "Same alert, same object"),
            Common::Cause => lang.pick("同因事件", "Same cause"),
        }
    }
}

/// An incident that is investigated for others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Led {
    /// Its id.
    #[schema(value_type = String)]
    pub incident: Uuid,
    /// What its alert is about.
    pub title: String,
}
