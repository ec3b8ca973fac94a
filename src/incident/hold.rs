//! What is not told and not looked at just now, and until when: maintenance, and groups that come and go. Pure.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::routes::{Pattern, carries};
use super::settings::severity;
use crate::alert::{AlertGroup, Labels, Lang, severity_rank};
use crate::notify::delivery::Hours;
use crate::notify::rule::Rule;
use crate::times;

/// A time in which somebody works on something: its alerts wait for the end, and are not told when they are over by then.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// What people call it; cards and pages say it.
    pub name: String,
    /// Labels all firing alerts of a group must carry; none match every group.
    #[serde(default, rename = "match")]
    pub matches: Labels,
    /// Regular expressions the whole value of a label must match.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub match_re: BTreeMap<String, Pattern>,
    /// When it begins, for example `2026-11-28T22:00:00+08:00`; left out: it has begun.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// When it ends; needed where there is no `daily`.
    #[serde(default)]
    pub to: Option<Timestamp>,
    /// Hours of every day, for example `01:00-03:00` in `timezone`.
    #[serde(default)]
    pub daily: Option<Hours>,
}

impl Maintenance {
    /// When it ends, if it is under way.
    fn end(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.from.is_some_and(|from| now < from) || self.to.is_some_and(|to| to <= now) {
            return None;
        }
        match self.daily {
            Some(hours) => hours.end(now, zone),
            None => self.to,
        }
    }

    fn concerns(&self, group: &AlertGroup) -> bool {
        group.firing().all(|alert| carries(alert, &self.matches, &self.match_re))
    }
}

/// When a group that fires and resolves again and again is held, as `triage.flapping` says. A critical one never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Flapping {
    /// So many firings within `within` make a group one that flaps; 0: none ever does.
    pub count: u32,
    /// The span they are counted over.
    pub within: SignedDuration,
    /// It is told when it has fired for this long without resolving.
    pub hold: SignedDuration,
}

impl Default for Flapping {
    fn default() -> Self {
        Self { count: 4, within: SignedDuration::from_hours(1), hold: SignedDuration::from_mins(5) }
    }
}

/// Why a group waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) until: Timestamp,
    pub(super) rule: Rule,
    reason: (String, String),
}

impl Hold {
    /// The reason as a sentence.
    pub(super) fn reason(&self, lang: Lang) -> String {
        let (zh, en) = self.reason.clone();
        lang.pick(zh, en)
    }
}

/// The window under way that holds a group longest, and when it ends.
pub(super) fn maintained<'w>(
    group: &AlertGroup,
    maintenance: &'w [Maintenance],
    now: Timestamp,
    zone: &TimeZone,
) -> Option<(&'w str, Timestamp)> {
    let under_way = maintenance.iter().filter(|window| window.concerns(group));
    under_way.filter_map(|window| Some((window.name.as_str(), window.end(now, zone)?))).max_by_key(|(_, end)| *end)
}

/// Whether a group that begins to fire waits. `firings` counts how often it began within the span of `flapping`.
pub(super) fn hold(
    group: &AlertGroup,
    maintenance: &[Maintenance],
    flapping: Flapping,
    firings: u64,
    now: Timestamp,
    zone: &TimeZone,
) -> Option<Hold> {
    if let Some((name, until)) = maintained(group, maintenance, now, zone) {
        return Some(Hold {
            until,
            rule: Rule::Maintenance,
            reason: (
                format!("维护窗口 {name} 期间触发，窗口结束后仍未恢复"),
                format!("It fired during the maintenance window {name} and was not over when that ended."),
            ),
        });
    }
    // What is critical is told each time: people would rather hear it once too often.
    let critical = severity_rank(severity(group)) == 0;
    if critical || flapping.count == 0 || firings < u64::from(flapping.count) {
        return None;
    }
    let (span, held) = (flapping.within.as_secs(), flapping.hold.as_secs());
    let told = |lang| (times::duration(lang, span), times::duration(lang, held));
    let ((span_zh, held_zh), (span_en, held_en)) = (told(Lang::Zh), told(Lang::En));
    Some(Hold {
        until: now.checked_add(flapping.hold).unwrap_or(Timestamp::MAX),
        rule: Rule::Flapping,
        reason: (
            format!("频繁抖动（{span_zh}内触发 {firings} 次），持续 {held_zh}未恢复才通知"),
            format!("It flaps ({firings} times within {span_en}), so it is told only after firing for {held_en}."),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::AlertStatus::Firing;
    use crate::incident::decide::tests::group;

    fn held(yaml: &str, namespace: &str, now: &str, firings: u64) -> Option<Hold> {
        let windows: Vec<Maintenance> = yaml_serde::from_str(yaml).unwrap();
        let mut group = group(&[("a", Firing)]);
        group.alerts[0].labels.insert("namespace".into(), namespace.into());
        hold(&group, &windows, Flapping::default(), firings, now.parse().unwrap(), &TimeZone::UTC)
    }

    const ONCE: &str =
        "[{name: upgrade, match: {namespace: pay}, from: '2026-11-25T22:00:00Z', to: '2026-11-26T02:00:00Z'}]";
    const DAILY: &str = "[{name: backup, match_re: {namespace: 'pay|shop'}, daily: '01:00-03:00'}]";

    #[test]
    fn a_maintenance_window_holds_its_alerts_until_it_ends() {
        let hold = held(ONCE, "pay", "2026-11-25T23:00:00Z", 0).unwrap();
        assert_eq!(hold.until.to_string(), "2026-11-26T02:00:00Z");
        assert!(hold.reason(Lang::En).contains("upgrade") && hold.reason(Lang::Zh).contains("upgrade"));
        assert_eq!(held(ONCE, "shop", "2026-11-25T23:00:00Z", 0), None, "another namespace");
        assert_eq!(held(ONCE, "pay", "2026-11-25T21:59:59Z", 0), None, "before");
        assert_eq!(held(ONCE, "pay", "2026-11-26T02:00:00Z", 0), None, "after");
        let nightly = held(DAILY, "shop", "2026-11-25T01:30:00Z", 0).unwrap();
        assert_eq!(nightly.until.to_string(), "2026-11-25T03:00:00Z");
        assert_eq!(held(DAILY, "shop", "2026-11-25T03:30:00Z", 0), None);
    }

    #[test]
    fn an_alert_beside_those_of_the_window_is_told() {
        let windows: Vec<Maintenance> = yaml_serde::from_str(ONCE).unwrap();
        let mut both = group(&[("a", Firing), ("b", Firing)]);
        both.alerts[0].labels.insert("namespace".into(), "pay".into());
        both.alerts[1].labels.insert("namespace".into(), "shop".into());
        let now = "2026-11-25T23:00:00Z".parse().unwrap();
        assert_eq!(hold(&both, &windows, Flapping::default(), 0, now, &TimeZone::UTC), None);
    }

    #[test]
    fn a47_what_flaps_is_told_once_it_stays() {
        assert_eq!(held("[]", "pay", "2026-11-25T23:00:00Z", 3), None);
        let hold = held("[]", "pay", "2026-11-25T23:00:00Z", 4).unwrap();
        assert_eq!(hold.until.to_string(), "2026-11-25T23:05:00Z");
        assert!(hold.reason(Lang::En).contains("4 times within 1 h"), "{}", hold.reason(Lang::En));
        let mut critical = group(&[("a", Firing)]);
        critical.alerts[0].labels.insert("severity".into(), "critical".into());
        let now = "2026-11-25T23:00:00Z".parse().unwrap();
        assert_eq!(super::hold(&critical, &[], Flapping::default(), 99, now, &TimeZone::UTC), None);
    }
}
