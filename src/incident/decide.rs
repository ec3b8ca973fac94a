//! The one decision point: what a delivery means for the incidents that are open. Pure, so that every case is a test.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};

use crate::alert::{Alert, AlertGroup, AlertStatus, severity_rank, stem};
use crate::notify::rule::Rule;
use crate::playbook::alerts;

/// A beginning this close to its delivery is the delivery's own time.
const UNTOLD: SignedDuration = SignedDuration::from_secs(1);

/// Nobody spoke of a group for so long: what began since is another firing, and not one that comes and goes.
const UNHEARD: SignedDuration = SignedDuration::from_hours(1);

/// Alerts that are over and stand with those of their group that are not: the gravest, and those that ended last.
const REMEMBERED: usize = 100;

/// What a delivery means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A new incident.
    Open,
    /// The same alerts again: nothing is told, nothing is investigated.
    Merge,
    /// Alerts the incident did not have yet, or that were over and fire again; they are listed here.
    Join(Vec<Alert>),
    /// The incident is over.
    Resolve,
    /// The incident was over long ago, though nobody said so, and this is another one.
    Reopen,
    /// Nothing to do, and why.
    Suppress(Rule, &'static str),
}

/// Decides. `open` is the group of the incident that is open under the same group key, and when it was last heard of;
/// `cluster_label` is the label by which alerts name their cluster.
#[must_use]
pub fn decide(
    open: Option<(&AlertGroup, Timestamp)>,
    delivery: &AlertGroup,
    cluster_label: &str,
    now: Timestamp,
) -> Decision {
    let Some((open, heard)) = open else {
        if let Some(why) = no_incident(delivery) {
            return Decision::Suppress(Rule::Heartbeat, why);
        }
        return match delivery.status {
            AlertStatus::Firing => Decision::Open,
            AlertStatus::Resolved => {
                Decision::Suppress(Rule::UnknownEnd, "resolved, but no incident is open for this group")
            }
        };
    };
    if delivery.status == AlertStatus::Resolved && !leaves_firing(open, delivery, cluster_label) {
        return Decision::Resolve;
    }
    let stands = |alert: &Alert| open.firing().any(|other| goes_on(other, alert, heard, now));
    let new: Vec<Alert> = delivery.firing().filter(|alert| !stands(alert)).cloned().collect();
    if ended_unsaid(open, delivery, &new, heard, now) && !of_another_cluster(open, delivery, cluster_label) {
        return Decision::Reopen;
    }
    if new.is_empty() { Decision::Merge } else { Decision::Join(new) }
}

/// Whether a group that nobody spoke of for long fires anew: all it says began since, some of it once more. Its sender keeps
/// ends to itself (`send_resolved: false`), or lost one.
fn ended_unsaid(open: &AlertGroup, delivery: &AlertGroup, new: &[Alert], heard: Timestamp, now: Timestamp) -> bool {
    let unheard = now.duration_since(heard) >= UNHEARD && !delivery.is_partial();
    let once_more = |alert: &Alert| open.firing().any(|known| known.fingerprint == alert.fingerprint);
    unheard
        && new.len() == delivery.firing().count()
        && new.iter().all(|alert| alert.starts_at > heard)
        && new.iter().any(once_more)
}

/// The group of an incident that was over when it was last heard of, as far as anybody knows.
#[must_use]
pub fn over_since(open: &AlertGroup, heard: Timestamp) -> AlertGroup {
    let mut over = open.clone();
    over.status = AlertStatus::Resolved;
    for alert in over.alerts.iter_mut().filter(|alert| alert.status == AlertStatus::Firing) {
        (alert.status, alert.ends_at) = (AlertStatus::Resolved, Some(heard));
    }
    over
}

/// Whether alerts of a group fire on though a delivery says that it is over, because its sender does not speak for them.
fn leaves_firing(open: &AlertGroup, delivery: &AlertGroup, cluster_label: &str) -> bool {
    // With `max_alerts` the list is cut before its status is computed: what was cut may still fire; so may what is sent alone.
    if delivery.is_partial() {
        return firing_beside(open, delivery).next().is_some() || delivery.firing().next().is_some();
    }
    of_another_cluster(open, delivery, cluster_label)
}

/// Whether alerts fire of which a delivery's sender knows nothing. The Alertmanagers of two clusters use the same group keys;
/// to have no cluster's label is as good as a name: where only one cluster has one, the other's alerts are those without.
/// The members of a pair get the same alerts, with the same labels.
fn of_another_cluster(open: &AlertGroup, delivery: &AlertGroup, cluster_label: &str) -> bool {
    let is_foreign =
        |alert: &Alert| delivery.alerts.iter().all(|other| other.label(cluster_label) != alert.label(cluster_label));
    firing_beside(open, delivery).any(is_foreign)
}

/// The alerts that a delivery ends: they fired in its group until now.
#[must_use]
pub fn ended<'a>(open: &AlertGroup, delivery: &'a AlertGroup) -> Vec<&'a Alert> {
    let is_over = |alert: &&Alert| alert.status == AlertStatus::Resolved;
    let fired = |alert: &&Alert| open.firing().any(|known| known.fingerprint == alert.fingerprint);
    delivery.alerts.iter().filter(is_over).filter(fired).collect()
}

/// The alerts of a group that fire and of which a delivery says nothing.
fn firing_beside<'a>(open: &'a AlertGroup, delivery: &'a AlertGroup) -> impl Iterator<Item = &'a Alert> {
    open.firing().filter(|alert| !speaks_of(delivery, alert))
}

/// Whether a delivery says something of an alert.
fn speaks_of(delivery: &AlertGroup, alert: &Alert) -> bool {
    delivery.alerts.iter().any(|other| other.fingerprint == alert.fingerprint)
}

/// Whether an alert is one that was firing and never stopped. One that began after its group was last heard of had ended
/// meanwhile, though its end was never sent: people were told of another firing. One that begins just now is from a sender
/// that does not say when alerts began, and goes on.
fn goes_on(known: &Alert, alert: &Alert, heard: Timestamp, now: Timestamp) -> bool {
    let is_told = now.duration_since(alert.starts_at) >= UNTOLD;
    let began_anew = is_told && alert.starts_at > known.starts_at && alert.starts_at > heard;
    known.fingerprint == alert.fingerprint && !began_anew
}

/// Why a group is no incident: all its alerts are heartbeats. One that may be more makes an incident of all of them.
fn no_incident(delivery: &AlertGroup) -> Option<&'static str> {
    let mut reasons = delivery.alerts.iter().map(|alert| alerts::no_incident(alert.name()));
    let first = reasons.next()??;
    reasons.all(|why| why.is_some()).then_some(first)
}

/// The group as it stands after a delivery: what the delivery says of an alert is newer than what was known of it. What it
/// says of all its alerts (firing or not, common labels) holds for those it does not list only where they agree.
#[must_use]
pub fn merge(open: &AlertGroup, delivery: &AlertGroup) -> AlertGroup {
    let mut merged = delivery.clone();
    let unlisted = || open.alerts.iter().filter(|alert| !speaks_of(delivery, alert));
    // A group that never ends would otherwise carry every alert it ever had.
    let mut over: Vec<_> = unlisted().filter(|alert| alert.status != AlertStatus::Firing).collect();
    over.sort_by_key(|alert| alert.ends_at);
    // By the gravest alert it had an incident is counted, and led once it is over.
    let gravest =
        over.iter().enumerate().min_by_key(|(place, alert)| (severity_rank(alert.label("severity")), Reverse(*place)));
    if let Some(place) = gravest.map(|(place, _)| place) {
        over[place..].rotate_left(1);
    }
    let forgotten = &over[..over.len().saturating_sub(REMEMBERED)];
    for kept in unlisted().filter(|alert| !forgotten.iter().any(|other| std::ptr::eq(*other, *alert))) {
        merged.common_labels.retain(|key, value| kept.labels.get(key) == Some(value));
        merged.common_annotations.retain(|key, value| kept.annotations.get(key) == Some(value));
        merged.alerts.push(kept.clone());
    }
    if merged.firing().next().is_some() {
        merged.status = AlertStatus::Firing;
    }
    merged
}

/// Whether alerts of another name, or about another workload, fire in a group than when it was looked at: they may have
/// another cause. More alerts of what was there (the next Pod of a Deployment) hardly do.
#[must_use]
pub fn changes_the_picture<'a>(seen: &AlertGroup, mut firing: impl Iterator<Item = &'a Alert>) -> bool {
    firing.any(|alert| !seen.firing().any(|known| known.name() == alert.name() && subject(known) == subject(alert)))
}

/// Labels that name what an alert is about, the most telling first.
const SUBJECTS: [&str; 11] = [
    "workload",
    "deployment",
    "statefulset",
    "daemonset",
    "cronjob",
    "job_name",
    "horizontalpodautoscaler",
    "persistentvolumeclaim",
    "pod",
    "service",
    "node",
];

/// What an alert is about as far as its labels tell: the Namespace, and a workload or what a Pod's name says of it.
fn subject(alert: &Alert) -> (&str, &str) {
    let named = SUBJECTS.iter().find_map(|label| {
        let name = alert.label(label)?;
        Some(if *label == "pod" { stem(name) } else { name })
    });
    (alert.label("namespace").unwrap_or_default(), named.unwrap_or_default())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::alert::Source;

    pub(in crate::incident) fn group(alerts: &[(&str, AlertStatus)]) -> AlertGroup {
        let alerts: Vec<Alert> = alerts
            .iter()
            .map(|(fingerprint, status)| Alert {
                status: *status,
                labels: Default::default(),
                annotations: Default::default(),
                starts_at: Timestamp::UNIX_EPOCH,
                ends_at: None,
                generator_url: None,
                fingerprint: (*fingerprint).to_owned(),
            })
            .collect();
        let firing = alerts.iter().any(|alert| alert.status == AlertStatus::Firing);
        AlertGroup {
            source: Source::Alertmanager,
            receiver: String::new(),
            group_key: "{}".into(),
            status: if firing { AlertStatus::Firing } else { AlertStatus::Resolved },
            group_labels: Default::default(),
            common_labels: Default::default(),
            common_annotations: Default::default(),
            external_url: None,
            truncated_alerts: 0,
            notification_reason: None,
            alerts,
        }
    }

    use AlertStatus::{Firing, Resolved};

    fn decided(open: Option<(&AlertGroup, Timestamp)>, delivery: &AlertGroup) -> Decision {
        decide(open, delivery, "cluster", Timestamp::constant(10_000, 0))
    }

    const HEARD: Timestamp = Timestamp::constant(1_000, 0);

    #[test]
    fn the_first_firing_delivery_opens_and_repeats_merge() {
        let first = group(&[("a", Firing)]);
        assert_eq!(decided(None, &first), Decision::Open);
        assert_eq!(decided(Some((&first, HEARD)), &first), Decision::Merge);
    }

    #[test]
    fn one_that_was_over_and_fires_again_is_told_though_others_of_its_group_went_on() {
        let open = group(&[("a", Resolved), ("b", Firing)]);
        let Decision::Join(again) = decided(Some((&open, HEARD)), &group(&[("a", Firing), ("b", Firing)])) else {
            panic!()
        };
        assert_eq!((again.len(), again[0].fingerprint.as_str()), (1, "a"));
    }

    #[test]
    fn one_whose_end_was_never_sent_is_told_when_it_fires_again() {
        let open = group(&[("a", Firing)]);
        let starting = |at: i64| {
            let mut delivery = open.clone();
            delivery.alerts[0].starts_at = Timestamp::from_second(at).unwrap();
            delivery
        };
        let lately = Timestamp::from_second(8_000).unwrap();
        let again = decided(Some((&open, lately)), &starting(9_000));
        assert!(matches!(again, Decision::Join(_)), "it began after that: {again:?}");
        assert_eq!(decided(Some((&open, HEARD)), &starting(500)), Decision::Merge, "the other of a pair saw it later");
        let ahead = starting(2_000);
        assert_eq!(decided(Some((&ahead, HEARD)), &ahead), Decision::Merge, "its sender's clock is ahead of ours");
        assert_eq!(decided(Some((&open, HEARD)), &starting(10_000)), Decision::Merge, "its sender does not say when");
    }

    #[test]
    fn resolved_without_an_incident_is_nothing_to_tell() {
        assert!(matches!(decided(None, &group(&[("a", Resolved)])), Decision::Suppress(Rule::UnknownEnd, _)));
    }

    #[test]
    fn a_new_alert_of_the_group_joins() {
        let open = group(&[("a", Firing)]);
        let Decision::Join(new) = decided(Some((&open, HEARD)), &group(&[("a", Firing), ("b", Firing)])) else {
            panic!()
        };
        assert_eq!(new[0].fingerprint, "b");
    }

    #[test]
    fn part_of_a_group_resolving_is_no_end() {
        let open = group(&[("a", Firing), ("b", Firing)]);
        let delivery = group(&[("a", Firing), ("b", Resolved)]);
        assert_eq!(decided(Some((&open, HEARD)), &delivery), Decision::Merge);
        assert_eq!(merge(&open, &delivery).firing().count(), 1);
        let over =
            |open: &AlertGroup| ended(open, &delivery).iter().map(|it| it.fingerprint.clone()).collect::<Vec<_>>();
        assert_eq!(over(&open), ["b"]);
        assert!(over(&merge(&open, &delivery)).is_empty(), "who says it again ends nothing");
    }

    #[test]
    fn the_end_is_believed_unless_the_list_was_cut() {
        let open = group(&[("a", Firing), ("b", Firing)]);
        let mut delivery = group(&[("a", Resolved)]);
        assert_eq!(decided(Some((&open, HEARD)), &delivery), Decision::Resolve);
        delivery.truncated_alerts = 1;
        assert_eq!(decided(Some((&open, HEARD)), &delivery), Decision::Merge);
    }

    /// Alerts by name, cluster (empty: no label) and status.
    fn of_clusters(alerts: &[(&str, &str, AlertStatus)]) -> AlertGroup {
        let mut group = group(&alerts.iter().map(|(name, _, status)| (*name, *status)).collect::<Vec<_>>());
        for (alert, (_, cluster, _)) in group.alerts.iter_mut().zip(alerts) {
            if !cluster.is_empty() {
                alert.labels.insert("cluster".into(), (*cluster).into());
            }
        }
        group
    }

    #[test]
    fn one_clusters_alertmanager_does_not_end_anothers_alerts() {
        let open = of_clusters(&[("a", "east", Firing), ("b", "west", Firing)]);
        let east = of_clusters(&[("a", "east", Resolved)]);
        assert_eq!(decided(Some((&open, HEARD)), &east), Decision::Merge);
        let left = merge(&open, &east);
        assert_eq!(left.firing().map(|alert| alert.fingerprint.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(left.status, Firing, "the group goes on");

        assert_eq!(decided(Some((&left, HEARD)), &east), Decision::Merge, "the other of east's pair says it too");
        let west = of_clusters(&[("b", "west", Resolved)]);
        assert_eq!(decided(Some((&left, HEARD)), &west), Decision::Resolve, "the last one's end is the end");
        assert!(matches!(decided(Some((&left, HEARD)), &of_clusters(&[("a", "east", Firing)])), Decision::Join(_)));
        let both = of_clusters(&[("a", "east", Resolved), ("b", "west", Resolved)]);
        assert_eq!(decided(Some((&open, HEARD)), &both), Decision::Resolve, "one Alertmanager of both");
        let of_both = of_clusters(&[("c", "east", Resolved), ("b", "west", Resolved)]);
        assert_eq!(decided(Some((&open, HEARD)), &of_both), Decision::Resolve, "it speaks for east, and leaves a out");
    }

    #[test]
    fn alerts_without_the_label_are_of_a_cluster_of_their_own() {
        let open = of_clusters(&[("a", "east", Firing), ("b", "", Firing)]);
        let (east, none) = (of_clusters(&[("a", "east", Resolved)]), of_clusters(&[("b", "", Resolved)]));
        assert_eq!(decided(Some((&open, HEARD)), &east), Decision::Merge);
        assert_eq!(decided(Some((&open, HEARD)), &none), Decision::Merge);
        assert_eq!(decided(Some((&merge(&open, &none), HEARD)), &east), Decision::Resolve);
        let pair = of_clusters(&[("a", "", Firing), ("b", "", Firing)]);
        assert_eq!(decided(Some((&pair, HEARD)), &of_clusters(&[("a", "", Resolved)])), Decision::Resolve);
        let pair = of_clusters(&[("a", "east", Firing), ("b", "east", Firing)]);
        assert_eq!(decided(Some((&pair, HEARD)), &east), Decision::Resolve, "one of a pair saw less");
    }

    #[test]
    fn what_only_the_alerts_of_one_delivery_share_is_not_common() {
        let mut east = of_clusters(&[("a", "east", Firing)]);
        east.common_labels = [("cluster".to_owned(), "east".to_owned()), ("job".to_owned(), "api".to_owned())].into();
        let mut west = of_clusters(&[("b", "west", Firing)]);
        west.alerts[0].labels.insert("job".into(), "api".into());
        east.alerts[0].labels.insert("job".into(), "api".into());
        let merged = merge(&west, &east);
        assert_eq!(merged.common_labels.keys().collect::<Vec<_>>(), ["job"]);
    }

    #[test]
    fn a_group_that_never_ends_remembers_those_that_ended_last() {
        let mut open = group(&[("new", Firing)]);
        for second in 0..150 {
            let mut alert = group(&[("old", Resolved)]).alerts.remove(0);
            alert.fingerprint = format!("old-{second}");
            alert.ends_at = Some(Timestamp::from_second(1_700_000_000 + second).unwrap());
            open.alerts.push(alert);
        }
        let merged = merge(&open, &group(&[("new", Firing)]));
        assert_eq!(merged.alerts.len(), 1 + REMEMBERED);
        assert!(merged.alerts.iter().any(|alert| alert.fingerprint == "old-149"));
        assert!(!merged.alerts.iter().any(|alert| alert.fingerprint == "old-0"));
    }

    #[test]
    fn a_group_that_never_ends_forgets_its_gravest_alert_least_of_all() {
        let mut open = group(&[("new", Firing)]);
        for second in 0..150 {
            let mut alert = group(&[("old", Resolved)]).alerts.remove(0);
            let severity = if second < 2 { "critical" } else { "warning" };
            alert.labels.insert("severity".into(), severity.into());
            alert.fingerprint = format!("old-{second}");
            alert.ends_at = Some(Timestamp::from_second(1_700_000_000 + second).unwrap());
            open.alerts.push(alert);
        }
        let mut merged = merge(&open, &group(&[("new", Firing)]));
        merged = merge(&merged, &group(&[("new", Firing)]));
        assert_eq!((merged.alerts.len(), merged.gravest()), (1 + REMEMBERED, Some("critical")));
        merged = merge(&merged, &group(&[("new", Resolved)]));
        assert_eq!(merged.leading().map(|alert| alert.fingerprint.as_str()), Some("old-1"), "the last of the gravest");
    }

    #[test]
    fn an_alert_of_another_name_changes_the_picture() {
        let named = |name: &str| {
            let mut group = group(&[(name, Firing)]);
            group.alerts[0].labels.insert("alertname".into(), name.into());
            group
        };
        let (seen, same, other) = (named("PodNotReady"), named("PodNotReady"), named("NodeNotReady"));
        assert!(!changes_the_picture(&seen, same.firing()));
        assert!(changes_the_picture(&seen, other.firing()));
        let mut over = named("NodeNotReady");
        over.alerts[0].status = Resolved;
        assert!(!changes_the_picture(&seen, over.firing()) && changes_the_picture(&over, other.firing()));
    }

    #[test]
    fn another_workload_changes_the_picture_and_another_pod_of_it_does_not() {
        let of = |pod: &str| {
            let mut group = group(&[(pod, Firing)]);
            group.alerts[0].labels.extend([("namespace".into(), "shop".into()), ("pod".into(), pod.into())]);
            group
        };
        let seen = of("cart-7c9d8b6f5-2mxkq");
        assert!(!changes_the_picture(&seen, of("cart-7c9d8b6f5-x8v4z").firing()));
        assert!(!changes_the_picture(&seen, of("cart-5d4f7c8b9d-x8v4z").firing()), "its next ReplicaSet");
        assert!(changes_the_picture(&seen, of("orders-7c9d8b6f5-2mxkq").firing()));
        assert!(!changes_the_picture(&of("db-0"), of("db-1").firing()));
        assert!(changes_the_picture(&of("db-0"), of("db-replica-0").firing()), "another StatefulSet");
        assert_eq!(stem("consumer-orders"), "consumer-orders");
    }

    #[test]
    fn a_group_unheard_of_for_long_that_fires_anew_is_another_incident() {
        let at = |hour: i64| Timestamp::from_second(1_764_000_000 + hour * 3_600).unwrap();
        let fires = |began: i64, prints: &[&str]| {
            let mut group = group(&prints.iter().map(|print| (*print, Firing)).collect::<Vec<_>>());
            group.alerts.iter_mut().for_each(|alert| alert.starts_at = at(began));
            group
        };
        let open = fires(0, &["a", "b"]);
        let at_noon = |delivery: &AlertGroup, heard: i64| decide(Some((&open, at(heard))), delivery, "cluster", at(12));
        assert_eq!(at_noon(&fires(11, &["a"]), 1), Decision::Reopen);
        assert_eq!(at_noon(&fires(11, &["a", "c"]), 1), Decision::Reopen, "with what never fired before");
        assert!(matches!(at_noon(&fires(11, &["c"]), 1), Decision::Join(_)), "the others may go on");
        assert_eq!(at_noon(&fires(0, &["a"]), 1), Decision::Merge, "it goes on");
        let mut both = fires(11, &["a", "b"]);
        both.alerts[1].starts_at = at(0);
        assert!(matches!(at_noon(&both, 1), Decision::Join(_)), "one of them goes on");
        let mut lately = fires(11, &["a"]);
        lately.alerts[0].starts_at = at(12) - SignedDuration::from_mins(10);
        let heard = at(12) - SignedDuration::from_mins(20);
        assert!(
            matches!(decide(Some((&open, heard)), &lately, "cluster", at(12)), Decision::Join(_)),
            "it comes and goes"
        );
        let mut two = fires(0, &["a", "b"]);
        two.alerts[0].labels.insert("cluster".into(), "west".into());
        two.alerts[1].labels.insert("cluster".into(), "east".into());
        let mut west = fires(11, &["a"]);
        west.alerts[0].labels.insert("cluster".into(), "west".into());
        let decision = decide(Some((&two, at(1))), &west, "cluster", at(12));
        assert!(matches!(decision, Decision::Join(_)), "the east may go on: {decision:?}");
        let over = over_since(&open, at(1));
        assert_eq!((over.firing().count(), over.ended(at(12))), (0, at(1)));
    }

    #[test]
    fn heartbeats_are_taken_and_counted_and_no_incident() {
        let named = |names: &[&str]| {
            let mut group = group(&names.iter().map(|name| (*name, Firing)).collect::<Vec<_>>());
            for (alert, name) in group.alerts.iter_mut().zip(names) {
                alert.labels.insert("alertname".into(), (*name).to_owned());
            }
            group
        };
        assert!(
            matches!(decided(None, &named(&["Watchdog"])), Decision::Suppress(Rule::Heartbeat, why) if why.contains("Watchdog"))
        );
        assert!(matches!(decided(None, &named(&["InfoInhibitor"])), Decision::Suppress(Rule::Heartbeat, _)));
        assert_eq!(decided(None, &named(&["Watchdog", "KubePodNotReady"])), Decision::Open);
    }
}
