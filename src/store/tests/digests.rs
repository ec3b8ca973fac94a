//! Daily summaries: counted from what happened, sent by one process, tried again by the next.

use std::time::Duration;

use jiff::civil::{Date, date};

use super::fixtures::*;
use crate::alert::{AlertStatus, Source};
use crate::store::{NewIncident, PressEntry, PressState, Store};
use jiff::Timestamp;
use uuid::Uuid;

/// An incident that opened then, and resolved when it did.
async fn incident(store: &Store, name: &str, severity: &str, opened: i64, resolved: Option<i64>) -> Uuid {
    let mut group = group(&["api-1"]);
    group.alerts[0].labels.insert("alertname".into(), name.to_owned());
    group.alerts[0].labels.insert("severity".into(), severity.to_owned());
    group.alerts[0].starts_at = at(opened);
    let id = Uuid::now_v7();
    let key = id.to_string();
    let mut tx = store.begin().await.unwrap();
    let new =
        NewIncident { id, source: Source::Alertmanager, group_key_hash: &key, opened_at: at(opened), group: &group };
    tx.insert_incident(&new).await.unwrap();
    if let Some(resolved) = resolved {
        tx.resolve_incident(id, &group, at(resolved)).await.unwrap();
    }
    tx.commit().await.unwrap();
    id
}

/// A press that was done then.
async fn press(store: &Store, incident: Uuid, action: &str, pressed: i64, reason: &str) {
    let entry = PressEntry {
        id: Uuid::now_v7().to_string(),
        channel: "oncall".into(),
        message: "om_1".into(),
        person: "ou_1".into(),
        action: action.into(),
        reason: reason.into(),
        pressed_at: at(pressed),
        state: PressState::Done,
        outcome: String::new(),
    };
    assert!(store.note_press(incident, &entry).await.unwrap());
}

#[tokio::test]
async fn accuracy_is_what_people_said_last_about_each_diagnosis() {
    on_every_engine(async |store| {
        let [right, wrong, regretted, yesterday] = {
            let one = async |name| incident(&store, name, "warning", 0, None).await;
            [one("Right").await, one("Wrong").await, one("Regretted").await, one("Yesterday").await]
        };
        assert_eq!(store.digest(date(2026, 11, 25), at(0), at(100)).await.unwrap().feedback, None);
        press(&store, right, "useful", 10, "").await;
        press(&store, right, "again", 11, "").await;
        press(&store, wrong, "useful", 20, "").await;
        press(&store, wrong, "useless", 30, "it was DNS").await;
        press(&store, regretted, "useless", 40, "").await;
        press(&store, regretted, "useful", 41, "").await;
        press(&store, yesterday, "useless", -5, "").await;
        press(&store, right, "useless", 100, "tomorrow").await;
        let feedback = store.digest(date(2026, 11, 25), at(0), at(100)).await.unwrap().feedback.unwrap();
        assert_eq!((feedback.judged, feedback.right), (3, 2));
        let wrong_ones: Vec<_> = feedback.wrong.iter().map(|one| (one.line.incident, one.reason.as_str())).collect();
        assert_eq!(wrong_ones, [(Some(wrong), "it was DNS")]);
        assert_eq!((feedback.wrong[0].line.alertname.as_str(), feedback.wrong[0].person.as_str()), ("Wrong", "ou_1"));
    })
    .await;
}

#[tokio::test]
async fn a_summary_that_nobody_got_is_seen() {
    on_every_engine(async |store| {
        let (day, lease) = (date(2026, 11, 25), Duration::from_secs(15));
        store.claim_digest("mail", day, "a", lease).await.unwrap();
        assert_eq!(store.dead_digest("mail", day).await.unwrap(), None, "it is being sent");
        store.settle_digest("mail", day, 1, Err(("550 no such user", None))).await.unwrap();
        assert_eq!(store.dead_digest("mail", day).await.unwrap().as_deref(), Some("550 no such user"));
        let lost = store.undelivered_digests().await.unwrap();
        assert_eq!(
            lost.iter().map(|one| (one.channel.as_str(), one.day.as_str())).collect::<Vec<_>>(),
            [("mail", "2026-11-25")]
        );
        assert_eq!(store.counts().await.unwrap().outbox["mail"].dead, 1);
    })
    .await;
}

#[tokio::test]
async fn a_summary_counts_what_happened_between_two_moments() {
    on_every_engine(async |store| {
        incident(&store, "Old", "critical", -500, None).await;
        incident(&store, "Older", "warning", -900, Some(-100)).await;
        incident(&store, "Noisy", "warning", 10, Some(20)).await;
        incident(&store, "Noisy", "warning", 30, Some(90)).await;
        incident(&store, "Fresh", "critical", 50, None).await;
        incident(&store, "Tomorrow", "critical", 200, None).await;
        let digest = store.digest(date(2026, 11, 25), at(0), at(100)).await.unwrap();
        assert_eq!((digest.opened, digest.resolved, digest.open_now), (3, 2, 3));
        assert_eq!((digest.diagnosed, digest.healthy, digest.put_aside), (0, 0, 0));
        let named = |tallies: &[crate::notify::notice::Tally]| -> Vec<(String, u64)> {
            tallies.iter().map(|tally| (tally.name.clone(), tally.incidents)).collect()
        };
        assert_eq!(named(&digest.noisiest), [("Noisy".to_owned(), 2), ("Fresh".to_owned(), 1)]);
        assert_eq!(named(&digest.severities), [("warning".to_owned(), 2), ("critical".to_owned(), 1)]);
        let names: Vec<&str> = digest.open.iter().map(|line| line.alertname.as_str()).collect();
        assert_eq!(names, ["Old", "Fresh"], "the oldest first, and not what opened later");
        let lasted =
            |line: &crate::notify::notice::Line| line.ended_at.unwrap().duration_since(line.began_at).as_secs();
        assert_eq!(digest.slowest.iter().map(lasted).collect::<Vec<_>>(), [60, 10]);
    })
    .await;
}

#[tokio::test]
async fn a_day_counts_an_incident_by_the_gravest_it_ever_had() {
    on_every_engine(async |store| {
        super::listing::milder_by_now(&store).await;
        let digest = store.digest(date(2026, 11, 25), at(0), at(100)).await.unwrap();
        let severities: Vec<_> = digest.severities.iter().map(|tally| tally.name.as_str()).collect();
        assert_eq!((severities, digest.open[0].severity.as_str()), (vec!["critical"], "warning"));
    })
    .await;
}

/// How long a list and a day's summary say that an incident lasted whose alert began and ended then. It opened at 0, and
/// its end came at 60.
async fn lasted(store: &Store, began: Timestamp, ended: Option<Timestamp>) -> (i64, i64) {
    let (mut alerts, id) = (group(&["api-1"]), Uuid::now_v7());
    alerts.alerts[0].starts_at = began;
    let key = id.to_string();
    let new = NewIncident { id, source: Source::Alertmanager, group_key_hash: &key, opened_at: at(0), group: &alerts };
    let mut tx = store.begin().await.unwrap();
    tx.insert_incident(&new).await.unwrap();
    (alerts.alerts[0].status, alerts.alerts[0].ends_at) = (AlertStatus::Resolved, ended);
    tx.resolve_incident(id, &alerts, at(60)).await.unwrap();
    tx.commit().await.unwrap();
    let listed = store.incidents(50, None, None).await.unwrap().into_iter().find(|one| one.id == id).unwrap();
    let digest = store.digest(date(2026, 11, 25), at(0), at(100)).await.unwrap();
    let line = digest.slowest.into_iter().find(|line| line.incident == Some(id)).unwrap();
    let between = |from: Timestamp, to: Option<Timestamp>| to.unwrap().as_second() - from.as_second();
    (between(listed.began_at, listed.ended_at), between(line.began_at, line.ended_at))
}

#[tokio::test]
async fn lists_and_summaries_count_from_the_leading_alerts_start_to_the_end_as_messages_do() {
    on_every_engine(async |store| {
        assert_eq!(lasted(&store, at(-400), Some(at(20))).await, (420, 420));
        assert_eq!(lasted(&store, at(-400), None).await, (460, 460), "its sender does not say when it ended");
        assert_eq!(lasted(&store, Timestamp::UNIX_EPOCH, Some(at(20))).await, (20, 20), "nor when it began");
        assert_eq!(lasted(&store, at(-400), Some(at(-500))).await, (460, 460), "it cannot end before it began");
    })
    .await;
}

#[tokio::test]
async fn one_process_sends_a_summary_and_another_takes_it_up_when_that_one_dies() {
    on_every_engine(async |store| {
        let (day, lease) = (date(2026, 11, 25), Duration::from_secs(15));
        let claims = futures::future::join_all((0..8).map(|_| taken(&store, "mail", day, "a", lease))).await;
        assert_eq!(claims.iter().flatten().collect::<Vec<_>>(), [&(1, false)], "{claims:?}");
        assert_eq!(taken(&store, "ops", day, "a", EXPIRED).await, Some((1, false)), "each channel has its own");
        assert_eq!(taken(&store, "ops", day, "b", lease).await, Some((2, true)), "the lease ran out");
        assert!(!store.settle_digest("ops", day, 1, Ok(())).await.unwrap(), "the first owner writes nothing any more");
        let hour = Duration::from_secs(3600);
        assert!(store.settle_digest("ops", day, 2, Err(("429", Some(hour)))).await.unwrap());
        assert_eq!(taken(&store, "ops", day, "b", lease).await, None, "not before its time");
        assert!(store.settle_digest("mail", day, 1, Ok(())).await.unwrap());
        assert_eq!(taken(&store, "mail", day, "b", lease).await, None, "once a day");
        assert_eq!(taken(&store, "mail", date(2026, 11, 26), "b", lease).await, Some((1, false)));
    })
    .await;
}

/// Takes a summary: which attempt it is, and whether the one before may have arrived.
async fn taken(store: &Store, channel: &str, day: Date, by: &str, lease: Duration) -> Option<(u32, bool)> {
    let claim = store.claim_digest(channel, day, by, lease).await.unwrap();
    claim.map(|claim| (claim.attempt, claim.left_behind))
}

#[tokio::test]
async fn f47_who_was_held_up_goes_on_with_a_summary_unless_another_has_it() {
    on_every_engine(async |store| {
        let (day, lease) = (date(2026, 11, 25), Duration::from_secs(15));
        let mut slow = store.claim_digest("mail", day, "slow", EXPIRED).await.unwrap().unwrap();
        assert!(store.hold_on_digest("mail", day, &mut slow, lease).await.unwrap());
        assert_eq!(taken(&store, "mail", day, "next", lease).await, None, "it holds on");
        assert!(store.hold_on_digest("mail", day, &mut slow, EXPIRED).await.unwrap());
        assert_eq!(taken(&store, "mail", day, "next", lease).await, Some((2, true)));
        assert!(!store.hold_on_digest("mail", day, &mut slow, lease).await.unwrap());
        assert!(!store.settle_digest("mail", day, 1, Err(("held up", Some(EXPIRED)))).await.unwrap());
        assert!(store.settle_digest("mail", day, 2, Err(("held up", Some(EXPIRED)))).await.unwrap());
        assert_eq!(taken(&store, "mail", day, "next", lease).await, Some((3, false)), "it was not tried");
    })
    .await;
}
