//! The same group fires again after it resolved: what the last time tells, and whether its diagnosis still holds. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::alert::{AlertGroup, Lang};
use crate::notify::notice;
use crate::report::{Report, Verdict};
use crate::store::LastTime;
use crate::times;

/// What the last time means for an incident that opens now.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Again {
    /// What people are told of it.
    pub(super) last_time: Option<notice::LastTime>,
    /// The diagnosis that still holds: nothing is investigated then.
    pub(super) holds: Option<Found>,
}

/// A diagnosis of an earlier generation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) report: Report,
    /// When it was found. It ages from then on, however often it is taken over.
    pub(super) at: Timestamp,
}

impl Found {
    /// Why nothing is investigated, for the delivery's entry.
    pub(super) fn reason(&self, now: Timestamp) -> String {
        let age = times::duration(Lang::En, now.duration_since(self.at).as_secs());
        format!("not investigated again: the diagnosis of {age} ago still holds (triage.cooldown)")
    }
}

/// Looks at the last generation of a group that fires now.
pub(super) fn again(last: Option<LastTime>, group: &AlertGroup, now: Timestamp, cooldown: SignedDuration) -> Again {
    let Some(last) = last else { return Again::default() };
    let found = still_holds(&last, group, now, cooldown);
    let told = last.incident.resolved_at.map(|resolved_at| notice::LastTime {
        resolved_at,
        headline: last.incident.report.map(|report| report.headline).filter(|headline| !headline.is_empty()),
        holds: found.is_some(),
    });
    Again { last_time: told, holds: found }
}

/// A diagnosis holds while it is young, blames something, and knows every alert that fires now.
fn still_holds(last: &LastTime, group: &AlertGroup, now: Timestamp, cooldown: SignedDuration) -> Option<Found> {
    let (report, at) = (last.incident.report.as_ref()?, last.diagnosed_at?);
    let young = now.duration_since(at) < cooldown;
    let blames = report.verdict == Verdict::Fault && !report.causes.is_empty();
    let known = |fingerprint: &str| last.incident.group.alerts.iter().any(|alert| alert.fingerprint == fingerprint);
    let same = group.truncated_alerts == 0 && group.firing().all(|alert| known(&alert.fingerprint));
    // Whom it followed then, or who followed it, is of that time.
    (young && blames && same).then(|| Found { report: Report { same_cause: None, ..report.clone() }, at })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::report::{Cause, SameCause};
    use crate::store::tests::fixtures::{at, group, report};
    use crate::store::{Incident, IncidentState};

    const COOLDOWN: SignedDuration = SignedDuration::from_mins(10);

    fn blaming() -> Report {
        Report { verdict: Verdict::Fault, causes: vec![Cause::default()], ..report() }
    }

    /// The last time: `api-1` fired, was diagnosed at second 0 and resolved at second 30.
    fn last(report: Option<Report>, diagnosed: i64) -> LastTime {
        let incident = Incident {
            id: Uuid::now_v7(),
            source: crate::alert::Source::Alertmanager,
            group_key_hash: "k".into(),
            generation: 1,
            state: IncidentState::Resolved,
            opened_at: at(0),
            updated_at: at(30),
            resolved_at: Some(at(30)),
            group: group(&["api-1"]),
            opened_with: None,
            report,
            deliveries: 2,
        };
        LastTime { incident, diagnosed_at: Some(at(diagnosed)) }
    }

    fn holds(last: LastTime, pods: &[&str], second: i64) -> bool {
        again(Some(last), &group(pods), at(second), COOLDOWN).holds.is_some()
    }

    #[test]
    fn a_young_diagnosis_of_the_same_alerts_holds() {
        assert!(holds(last(Some(blaming()), 0), &["api-1"], 599));
        assert!(!holds(last(Some(blaming()), 0), &["api-1"], 600), "it is too old");
        assert!(!holds(last(Some(blaming()), 0), &["api-1", "api-2"], 40), "it does not know the second alert");
        assert!(!holds(last(None, 0), &["api-1"], 40), "there is none");
        assert!(!holds(last(Some(Report { verdict: Verdict::Inconclusive, ..blaming() }), 0), &["api-1"], 40));
        assert!(!holds(last(Some(Report { verdict: Verdict::NoFault, ..blaming() }), 0), &["api-1"], 40));
        assert!(
            again(Some(last(Some(blaming()), 0)), &group(&["api-1"]), at(40), SignedDuration::ZERO).holds.is_none()
        );
    }

    #[test]
    fn who_shared_the_cause_then_is_not_told_again() {
        let followed = Report { same_cause: Some(SameCause::default()), ..blaming() };
        let found = again(Some(last(Some(followed), 0)), &group(&["api-1"]), at(40), COOLDOWN).holds.unwrap();
        assert_eq!(found.report, blaming());
    }

    #[test]
    fn the_last_time_is_told_whether_or_not_it_holds() {
        let told = |last, second| again(Some(last), &group(&["api-1"]), at(second), COOLDOWN).last_time.unwrap();
        let young = told(last(Some(blaming()), 0), 40);
        assert_eq!((young.resolved_at, young.holds, young.headline), (at(30), true, Some(report().headline)));
        let old = told(last(Some(blaming()), 0), 90_000);
        assert!(!old.holds && old.headline.is_some());
        assert_eq!(told(last(None, 0), 40).headline, None);
        assert_eq!(again(None, &group(&["api-1"]), at(40), COOLDOWN), Again::default());
    }

    /// A day of an alert that comes and goes every ten seconds, on a clock of its own.
    #[test]
    fn a47_an_alert_that_flaps_for_a_day_is_investigated_once_in_each_cooldown() {
        let (mut investigations, mut diagnosed) = (0, i64::MIN);
        let mut report = None;
        for second in (0..86_400).step_by(10) {
            match again(Some(last(report.clone(), diagnosed.max(0))), &group(&["api-1"]), at(second), COOLDOWN).holds {
                // Taken over with its age, as the desk keeps it.
                Some(found) => diagnosed = found.at.as_second() - at(0).as_second(),
                None => {
                    investigations += 1;
                    (report, diagnosed) = (Some(blaming()), second);
                }
            }
        }
        assert_eq!(investigations, 24 * 6);
    }
}
