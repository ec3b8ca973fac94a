//! Routes: which channels hear of a group, and whether it is investigated; as Alertmanager's own, with defaults from above.

use std::collections::BTreeMap;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::alert::{Alert, AlertGroup, Labels};

/// One entry of `routes:`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// Labels an alert must carry; none match every alert. A group goes where each of its alerts goes.
    #[serde(rename = "match")]
    pub matches: Labels,
    /// Regular expressions the whole value of a label must match; a label that is missing counts as empty.
    #[schemars(with = "BTreeMap<String, String>")]
    pub match_re: BTreeMap<String, Pattern>,
    /// Names of channels; an empty list mutes. Left out: those of the entry around this one.
    pub channels: Option<Vec<String>>,
    /// Whether it is investigated: never, on_first (not when it fires again) or always (however short ago it was). Left
    /// out: as in the entry around this one, else by `triage.cooldown`.
    pub triage: Option<When>,
    /// Goes on with the entries behind this one, whose channels hear of it too.
    #[serde(rename = "continue")]
    pub goes_on: bool,
    /// Narrower entries, tried in order; what none of them matches is this entry's own.
    pub routes: Vec<Route>,
}

/// When a group is investigated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// It is only told.
    Never,
    /// The first time it fires.
    OnFirst,
    /// Each time, even when a diagnosis still holds.
    Always,
}

/// An anchored regular expression.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let anchored = Regex::new(&format!("^(?:{text})$"));
        anchored.map(Self).map_err(|error| de::Error::custom(format!("not a regular expression: {error}")))
    }
}

/// Where a group goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routed {
    /// Names of channels, each once.
    pub channels: Vec<String>,
    /// Channels that would hear of it if it were graver: their `min_severity` is above it.
    pub too_mild: Vec<String>,
    /// Whether it is investigated, when a route says so.
    pub triage: Option<When>,
    /// The entries that decided, for example `routes[0].routes[2]`; none when no entry matches.
    pub by: Vec<String>,
}

/// What an entry takes over from the one around it.
#[derive(Clone, Copy)]
struct Defaults<'r> {
    channels: &'r [String],
    triage: Option<When>,
}

/// Where a group goes: where each of its firing alerts goes by its own labels; an alert that no entry matches to all
/// channels, for one that nobody hears of is the one outcome nobody wants.
#[must_use]
pub fn route(routes: &[Route], all: &[String], group: &AlertGroup) -> Routed {
    let firing: Vec<&Alert> = group.firing().collect();
    let alerts = if firing.is_empty() { group.alerts.iter().collect() } else { firing };
    let each = alerts.into_iter().map(|alert| route_one(routes, all, alert));
    each.reduce(Routed::and).unwrap_or_else(|| Routed { channels: all.to_vec(), ..Routed::default() })
}

/// Where one alert goes by its labels.
pub(super) fn route_one(routes: &[Route], all: &[String], alert: &Alert) -> Routed {
    let mut routed = Routed::default();
    let defaults = Defaults { channels: all, triage: None };
    if !descend(routes, "routes", alert, defaults, &mut routed) {
        routed.channels = all.to_vec();
    }
    routed
}

/// Tries entries in order; whether one matched.
fn descend(routes: &[Route], path: &str, alert: &Alert, above: Defaults<'_>, routed: &mut Routed) -> bool {
    let mut any = false;
    for (index, route) in routes.iter().enumerate().filter(|(_, route)| route.takes(alert)) {
        any = true;
        let path = format!("{path}[{index}]");
        let own = Defaults {
            channels: route.channels.as_deref().unwrap_or(above.channels),
            triage: route.triage.or(above.triage),
        };
        if !descend(&route.routes, &format!("{path}.routes"), alert, own, routed) {
            add(&mut routed.channels, own.channels);
            routed.triage = routed.triage.or(own.triage);
            routed.by.push(path);
        }
        if !route.goes_on {
            break;
        }
    }
    any
}

/// Each once, in order.
fn add(all: &mut Vec<String>, more: &[String]) {
    for one in more {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
}

impl Routed {
    /// Where two alerts of a group go together, looked at as the one that asks for more.
    fn and(mut self, other: Self) -> Self {
        add(&mut self.channels, &other.channels);
        add(&mut self.by, &other.by);
        self.triage = std::cmp::max_by_key(self.triage, other.triage, |triage| match triage {
            Some(When::Never) => 0,
            Some(When::OnFirst) => 1,
            None => 2,
            Some(When::Always) => 3,
        });
        self
    }
}

/// Whether an alert carries these labels and its values match these expressions, as `match` and `match_re` mean them.
pub(super) fn carries(alert: &Alert, matches: &Labels, match_re: &BTreeMap<String, Pattern>) -> bool {
    let label = |key: &String| alert.label(key).unwrap_or_default();
    matches.iter().all(|(key, value)| label(key) == value)
        && match_re.iter().all(|(key, pattern)| pattern.0.is_match(label(key)))
}

impl Route {
    fn takes(&self, alert: &Alert) -> bool {
        carries(alert, &self.matches, &self.match_re)
    }

    /// Whether it takes every alert and leaves none to the entries behind it.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.matches.is_empty() && self.match_re.is_empty() && !self.goes_on
    }

    /// Every entry, with its place below this path.
    pub fn each<'r>(routes: &'r [Route], path: &str, visit: &mut impl FnMut(&str, &'r Route)) {
        for (index, route) in routes.iter().enumerate() {
            let path = format!("{path}[{index}]");
            visit(&path, route);
            Self::each(&route.routes, &format!("{path}.routes"), visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::AlertStatus::Firing;
    use crate::incident::decide::tests::group;

    fn routes(yaml: &str) -> Vec<Route> {
        yaml_serde::from_str(yaml).unwrap()
    }

    fn routed(labels: &[(&str, &str)], routes: &[Route]) -> Routed {
        let mut group = group(&[("a", Firing)]);
        group.alerts[0].labels.extend(labels.iter().map(|(key, value)| ((*key).into(), (*value).into())));
        route(routes, &["oncall".into(), "mail".into()], &group)
    }

    fn told(labels: &[(&str, &str)], routes: &[Route]) -> Vec<String> {
        routed(labels, routes).channels
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        let routes = routes(
            "[{match: {severity: critical}, channels: [oncall, mail]}, {match: {severity: none}, channels: []}, {channels: [mail]}]",
        );
        assert_eq!(told(&[("severity", "critical")], &routes), ["oncall", "mail"]);
        assert_eq!(told(&[("severity", "none")], &routes), Vec::<String>::new(), "an empty list mutes");
        assert_eq!(told(&[("severity", "warning")], &routes), ["mail"]);
        assert_eq!(told(&[("severity", "warning")], &routes[..1]), ["oncall", "mail"], "silence must be asked for");
    }

    #[test]
    fn expressions_match_whole_values_and_a_missing_label_is_empty() {
        let routes =
            routes("[{match_re: {namespace: 'pay|order.*', team: ''}, channels: [mail]}, {channels: [oncall]}]");
        assert_eq!(told(&[("namespace", "order-api")], &routes), ["mail"]);
        assert_eq!(told(&[("namespace", "payments")], &routes), ["oncall"], "not the whole value");
        assert_eq!(told(&[("namespace", "pay"), ("team", "x")], &routes), ["oncall"]);
        assert!(yaml_serde::from_str::<Vec<Route>>("[{match_re: {a: '('}}]").is_err());
    }

    #[test]
    fn narrower_entries_take_over_what_they_do_not_say() {
        let routes = routes(
            "[{match: {team: db}, channels: [mail], triage: never, routes: [{match: {severity: critical}, channels: [oncall]}, \
             {match: {severity: info}, triage: always}]}]",
        );
        let critical = routed(&[("team", "db"), ("severity", "critical")], &routes);
        assert_eq!((critical.channels, critical.triage), (vec!["oncall".to_owned()], Some(When::Never)));
        assert_eq!(critical.by, ["routes[0].routes[0]"]);
        let info = routed(&[("team", "db"), ("severity", "info")], &routes);
        assert_eq!((info.channels, info.triage), (vec!["mail".to_owned()], Some(When::Always)));
        let other = routed(&[("team", "db"), ("severity", "warning")], &routes);
        assert_eq!((other.by, other.triage), (vec!["routes[0]".to_owned()], Some(When::Never)));
        assert_eq!(routed(&[("team", "web")], &routes).by, Vec::<String>::new());
    }

    #[test]
    fn each_alert_of_a_group_goes_where_its_own_labels_lead() {
        let routes = routes(
            "[{match: {severity: info}, channels: [mail], triage: never}, {match: {severity: none}, channels: []}, \
             {channels: [oncall]}]",
        );
        let mut both = group(&[("a", Firing), ("b", Firing), ("c", Firing)]);
        for (alert, severity) in both.alerts.iter_mut().zip(["info", "warning", "none"]) {
            alert.labels.insert("severity".into(), severity.into());
        }
        let routed = route(&routes, &["oncall".into(), "mail".into()], &both);
        assert_eq!(routed.channels, ["mail", "oncall"]);
        assert_eq!(routed.by, ["routes[0]", "routes[2]", "routes[1]"]);
        assert_eq!(routed.triage, None, "one of them is investigated as usual");
    }

    #[test]
    fn an_entry_that_goes_on_adds_to_those_behind_it() {
        let routes = routes(
            "[{match: {severity: critical}, channels: [oncall], continue: true}, {channels: [mail, oncall], triage: on_first}]",
        );
        let both = routed(&[("severity", "critical")], &routes);
        assert_eq!(both.channels, ["oncall", "mail"], "each once");
        assert_eq!((both.by.len(), both.triage), (2, Some(When::OnFirst)));
        assert_eq!(told(&[("severity", "info")], &routes), ["mail", "oncall"]);
    }
}
