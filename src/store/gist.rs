//! What of a group of alerts stands in columns, so that lists and counts need not read the whole.

use jiff::Timestamp;

use super::columns::{signed, storable};
use crate::alert::AlertGroup;

/// What a list of incidents shows of a group.
pub(super) struct Gist {
    pub(super) alertname: String,
    /// That of the alert that leads.
    pub(super) severity: String,
    /// The gravest of all its alerts.
    pub(super) gravest: String,
    pub(super) namespace: String,
    pub(super) firing: i64,
    /// When the alert that leads began, where that is known.
    pub(super) began_at: Option<i64>,
    /// When the last of them was over, once they are.
    pub(super) ended_at: i64,
}

impl Gist {
    /// What stands in columns of a group that was heard of at this moment.
    pub(super) fn of(group: &AlertGroup, at: Timestamp) -> Self {
        let began = group.leading().and_then(|alert| alert.known_start(at));
        let label = |key| group.leading().and_then(|alert| alert.label(key)).unwrap_or_default();
        Self {
            alertname: storable(group.leading().map_or("", |alert| alert.name())).into_owned(),
            severity: storable(label("severity")).into_owned(),
            gravest: storable(group.gravest().unwrap_or_default()).into_owned(),
            namespace: storable(label("namespace")).into_owned(),
            firing: signed(group.firing().count()),
            began_at: began.map(Timestamp::as_millisecond),
            ended_at: group.ended(at).as_millisecond(),
        }
    }
}
