//! Routes: which channels hear of a group.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::alert::{AlertGroup, Labels};

/// One entry of `routes:`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Labels an alert of the group must carry; none match every group.
    #[serde(default, rename = "match")]
    pub matches: Labels,
    /// Names of channels.
    pub channels: Vec<String>,
}

/// The channels of the first route that matches an alert of the group; all channels when no route does, for an alert
/// that nobody hears of is the one outcome nobody wants.
#[must_use]
pub fn channels_for(routes: &[Route], all: &[String], group: &AlertGroup) -> Vec<String> {
    let alerts: Vec<_> =
        if group.firing().next().is_some() { group.firing().collect() } else { group.alerts.iter().collect() };
    let matches = |route: &&Route| {
        alerts
            .iter()
            .any(|alert| route.matches.iter().all(|(key, value)| alert.label(key).unwrap_or_default() == value))
    };
    routes.iter().find(matches).map_or_else(|| all.to_vec(), |route| route.channels.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::AlertStatus::Firing;
    use crate::incident::decide::tests::group;

    fn told(severity: &str, routes: &[Route]) -> Vec<String> {
        let mut group = group(&[("a", Firing)]);
        group.alerts[0].labels.insert("severity".into(), severity.into());
        channels_for(routes, &["oncall".into(), "mail".into()], &group)
    }

    fn route(severity: Option<&str>, channels: &[&str]) -> Route {
        let matches = severity.map(|value| ("severity".to_owned(), value.to_owned())).into_iter().collect();
        Route { matches, channels: channels.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        let routes = [route(Some("critical"), &["oncall", "mail"]), route(Some("none"), &[]), route(None, &["mail"])];
        assert_eq!(told("critical", &routes), ["oncall", "mail"]);
        assert_eq!(told("none", &routes), Vec::<String>::new(), "an empty list mutes");
        assert_eq!(told("warning", &routes), ["mail"]);
        assert_eq!(told("warning", &routes[..1]), ["oncall", "mail"], "silence must be asked for");
    }
}
