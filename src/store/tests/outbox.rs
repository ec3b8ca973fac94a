//! The outbox: order, leases, retries, and the race between enriching a message and sending it.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use super::fixtures::*;
use crate::notify::notice::{Notice, NoticeBody};
use crate::report::Report;
use crate::store::{NewNotice, NoticeRole, NoticeState, Outgoing, Store};

async fn claim(store: &Store, channel: &str) -> Option<Outgoing> {
    store.claim_notice(channel, "w", LEASE).await.unwrap()
}

fn add_findings(_: &str, notice: &mut Notice) -> Timestamp {
    if let NoticeBody::Alert { report, .. } = &mut notice.body {
        *report = Some(Box::new(Report { headline: "found".into(), ..Report::default() }));
    }
    Timestamp::now()
}

fn is_enriched(outgoing: &Outgoing) -> bool {
    outgoing.notice.report().is_some()
}

async fn send_all(store: Store) -> Vec<(Uuid, NoticeRole)> {
    let mut sent = Vec::new();
    loop {
        if let Some(out) = claim(&store, "c").await {
            tokio::task::yield_now().await;
            assert!(store.mark_sent(&out, "full").await.unwrap());
            sent.push((out.incident, out.role));
        } else if store.next_due("c").await.unwrap().is_none() {
            return sent;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_senders_share_two_hundred_messages_and_send_each_once() {
    on_every_engine(async |store| {
        for key in 0..50 {
            let incident = opened(&store, &key.to_string()).await;
            for role in [NoticeRole::First, NoticeRole::Joined, NoticeRole::Second, NoticeRole::Resolved] {
                queued(&store, incident, "c", role, past()).await;
            }
        }
        let senders: Vec<_> = (0..8).map(|_| tokio::spawn(send_all(store.clone()))).collect();
        let mut sent = Vec::new();
        for sender in senders {
            sent.extend(sender.await.unwrap());
        }
        assert_eq!((sent.len(), sent.iter().collect::<HashSet<_>>().len()), (200, 200));
    })
    .await;
}

#[tokio::test]
async fn f34_messages_of_one_incident_keep_their_order_on_a_channel_and_hold_up_nobody_else() {
    on_every_engine(async |store| {
        let (a, b) = (opened(&store, "a").await, opened(&store, "b").await);
        queued(&store, a, "c", NoticeRole::First, past()).await;
        queued(&store, a, "c", NoticeRole::Second, past()).await;
        queued(&store, a, "other", NoticeRole::Second, past()).await;
        queued(&store, b, "c", NoticeRole::First, at(-900_000_000)).await;

        let first = claim(&store, "c").await.unwrap();
        assert_eq!((first.incident, first.role), (a, NoticeRole::First));
        assert_eq!(claim(&store, "other").await.unwrap().incident, a, "another channel does not wait");
        assert_eq!(claim(&store, "c").await.unwrap().incident, b, "another incident does not wait");
        assert!(claim(&store, "c").await.is_none(), "the second waits for the first");

        assert!(store.retry_notice(&first, "timeout", in_an_hour()).await.unwrap());
        assert!(claim(&store, "c").await.is_none(), "it also waits for the first one's retry");
        let due = store.next_due("c").await.unwrap().unwrap();
        assert!(due > Timestamp::now(), "a message that waits for another one wakes nobody");

        let (c, d) = (opened(&store, "c").await, NoticeRole::Resolved);
        queued(&store, c, "x", NoticeRole::First, past()).await;
        queued(&store, c, "x", d, past()).await;
        let first = claim(&store, "x").await.unwrap();
        assert!(store.bury_notice(&first, "kicked", None).await.unwrap());
        assert_eq!(claim(&store, "x").await.unwrap().role, d, "a dead message blocks nobody");
    })
    .await;
}

#[tokio::test]
async fn who_holds_an_incidents_message_may_take_those_behind_it_that_are_due() {
    on_every_engine(async |store| {
        let incident = opened(&store, "k").await;
        for (role, due) in [
            (NoticeRole::First, past()),
            (NoticeRole::Joined, past()),
            (NoticeRole::Second, past()),
            (NoticeRole::Joined, in_an_hour()),
            (NoticeRole::Resolved, past()),
        ] {
            queued(&store, incident, "c", role, due).await;
        }
        queued(&store, incident, "other", NoticeRole::First, past()).await;
        let first = claim(&store, "c").await.unwrap();
        let behind = store.claim_behind(&first, "w", LEASE).await.unwrap();
        let roles: Vec<NoticeRole> = behind.iter().map(|one| one.role).collect();
        assert_eq!(roles, [NoticeRole::Joined, NoticeRole::Second], "what waits keeps those behind it waiting");
        assert!(store.claim_behind(&first, "w", LEASE).await.unwrap().is_empty());
        assert!(claim(&store, "c").await.is_none());
        for one in std::iter::once(&first).chain(&behind) {
            assert!(store.mark_sent(one, "summary").await.unwrap());
        }
        assert!(claim(&store, "c").await.is_none(), "the end waits for what is before it");
    })
    .await;
}

#[tokio::test]
async fn an_expired_send_is_tried_again_under_the_same_id_and_the_old_sender_is_fenced_off() {
    on_every_engine(async |store| {
        let incident = opened(&store, "k").await;
        let id = queued(&store, incident, "c", NoticeRole::First, past()).await;
        let stale = store.claim_notice("c", "slow", EXPIRED).await.unwrap().unwrap();
        let fresh = claim(&store, "c").await.unwrap();
        assert_eq!((stale.id, fresh.id, fresh.attempt), (id, id, 2));
        assert!(!store.mark_sent(&stale, "full").await.unwrap());
        assert!(!store.retry_notice(&stale, "x", past()).await.unwrap());
        assert!(!store.bury_notice(&stale, "x", None).await.unwrap());
        assert!(store.mark_sent(&fresh, "plain").await.unwrap());
        assert!(claim(&store, "c").await.is_none());
        assert_eq!(store.next_due("c").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn only_the_end_of_another_sender_counts_against_a_message() {
    on_every_engine(async |store| {
        let incident = opened(&store, "k").await;
        queued(&store, incident, "c", NoticeRole::First, past()).await;
        let by = async |name| store.claim_notice("c", name, EXPIRED).await.unwrap().unwrap();
        assert_eq!([by("a").await.ends, by("a").await.ends], [0, 0], "its own claim whose answer was lost");
        let slow = by("b").await;
        assert_eq!(slow.ends, 1);
        assert!(store.put_back(&slow).await.unwrap());
        let slow = by("b").await;
        assert_eq!(slow.ends, 1, "it was not tried");
        assert_eq!(by("a").await.ends, 2);
        assert!(!store.put_back(&slow).await.unwrap(), "it lives, and lost the message");
        let tried = by("c").await;
        assert_eq!(tried.ends, 1, "the one between alone");
        assert!(store.retry_notice(&tried, "502", past()).await.unwrap());
        assert_eq!(by("b").await.ends, 0, "an attempt came to its end");
    })
    .await;
}

#[tokio::test]
async fn a_first_message_held_back_goes_enriched_as_soon_as_it_is_released() {
    on_every_engine(async |store| {
        let incident = opened(&store, "k").await;
        queued(&store, incident, "sent", NoticeRole::First, past()).await;
        let soon = Timestamp::now() + Duration::from_secs(5);
        for channel in ["held", "tried"] {
            queued(&store, incident, channel, NoticeRole::First, soon).await;
        }
        queued(&store, incident, "quiet", NoticeRole::First, in_an_hour()).await;
        queued(&store, incident, "held", NoticeRole::Second, in_an_hour()).await;
        let out = claim(&store, "sent").await.unwrap();
        store.mark_sent(&out, "full").await.unwrap();
        assert!(claim(&store, "held").await.is_none());

        let released = store.release_notice(incident, NoticeRole::First, add_findings).await.unwrap();
        assert_eq!(released, ["held", "quiet", "tried"]);
        assert!(claim(&store, "quiet").await.is_none(), "what a rule holds back keeps its time");
        let out = claim(&store, "held").await.unwrap();
        assert!(is_enriched(&out) && out.role == NoticeRole::First);

        let out = claim(&store, "tried").await.unwrap();
        store.retry_notice(&out, "rate limited", in_an_hour()).await.unwrap();
        assert_eq!(store.release_notice(incident, NoticeRole::First, add_findings).await.unwrap(), ["quiet", "tried"]);
        assert!(claim(&store, "tried").await.is_none(), "a retry keeps its pace");
    })
    .await;
}

#[tokio::test]
async fn late_alerts_travel_with_the_first_message_where_it_still_waits() {
    on_every_engine(async |store| {
        let incident = opened(&store, "k").await;
        let two = group(&["api-1", "api-2"]);
        let mut tx = store.begin().await.unwrap();
        let firsts = tx.carry_with_first(incident, &two, |_| None).await.unwrap();
        assert!(firsts.telling.is_none() && firsts.carry.is_empty(), "there is no first message");
        drop(tx);
        for channel in ["a", "b"] {
            queued(&store, incident, channel, NoticeRole::First, at(-900_000_000)).await;
        }
        queued(&store, incident, "held", NoticeRole::First, in_an_hour()).await;
        let mut tx = store.begin().await.unwrap();
        let firsts = tx.carry_with_first(incident, &two, |_| None).await.unwrap();
        assert!(firsts.telling.is_some() && firsts.gone.is_empty());
        tx.commit().await.unwrap();
        let sending = claim(&store, "a").await.unwrap();
        assert_eq!(sending.notice.group, two);
        assert!(claim(&store, "held").await.is_none(), "nothing says that it may go");

        let three = group(&["api-1", "api-2", "api-3"]);
        let mut tx = store.begin().await.unwrap();
        let firsts = tx.carry_with_first(incident, &three, |_| None).await.unwrap();
        assert_eq!((firsts.carry.len(), firsts.gone.len()), (0, 3), "what is being sent may be all that comes of it");
        drop(tx);
        store.mark_sent(&sending, "full").await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let firsts = tx.carry_with_first(incident, &three, |channel| (channel == "held").then(past)).await.unwrap();
        assert_eq!((firsts.carry, firsts.gone), (vec!["b".to_owned(), "held".to_owned()], vec!["a".to_owned()]));
        tx.commit().await.unwrap();
        assert_eq!(claim(&store, "b").await.unwrap().notice.group, three);
        assert_eq!(claim(&store, "held").await.unwrap().notice.group, three, "what joined is graver than the rule");
    })
    .await;
}

/// Alerts that joined and are held wait behind nothing and hold up nothing; what is over before is not told.
#[tokio::test]
async fn held_messages_about_alerts_that_joined_make_way_for_graver_ones_and_end_with_the_incident() {
    on_every_engine(async |store| {
        let incident = opened(&store, "k").await;
        queued(&store, incident, "c", NoticeRole::First, past()).await;
        let out = claim(&store, "c").await.unwrap();
        store.mark_sent(&out, "full").await.unwrap();
        queued(&store, incident, "c", NoticeRole::Joined, in_an_hour()).await;
        assert!(claim(&store, "c").await.is_none());
        let mut tx = store.begin().await.unwrap();
        tx.hurry(incident, "c", past()).await.unwrap();
        tx.commit().await.unwrap();
        let out = claim(&store, "c").await.unwrap();
        store.mark_sent(&out, "full").await.unwrap();

        queued(&store, incident, "c", NoticeRole::Joined, in_an_hour()).await;
        let mut tx = store.begin().await.unwrap();
        assert!(
            tx.withdraw_held(incident, "over", &Default::default()).await.unwrap().is_empty(),
            "it hears of the end"
        );
        tx.commit().await.unwrap();
        queued(&store, incident, "c", NoticeRole::Resolved, past()).await;
        assert_eq!(claim(&store, "c").await.unwrap().role, NoticeRole::Resolved, "nothing stands before it");
    })
    .await;
}

/// A channel that is down for an hour: every incident's second message waits behind a first one that will be tried later.
#[tokio::test]
async fn two_thousand_messages_that_wait_for_another_one_do_not_slow_the_channel_down() {
    on_every_engine(async |store| {
        let incidents = 2000;
        let mut tx = store.begin().await.unwrap();
        for key in 0..incidents {
            let incident = insert(&mut tx, &key.to_string()).await;
            let body = notice(incident);
            for (role, due) in [(NoticeRole::First, in_an_hour()), (NoticeRole::Second, past())] {
                let new = NewNotice { due, ..new_notice(incident, "c", role, &body) };
                tx.enqueue_notice(&new).await.unwrap();
            }
        }
        tx.commit().await.unwrap();

        let started = Instant::now();
        assert!(claim(&store, "c").await.is_none());
        assert!(store.next_due("c").await.unwrap().unwrap() > Timestamp::now());
        // About 10 ms each; a plan that looks at all of them for each of them takes a second and more.
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    })
    .await;
}

/// Either the release comes first and the message goes enriched, or the claim does and the release says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_races_with_a_claim_never_lies_about_what_was_sent() {
    on_every_engine(async |store| {
        let mut seen = BTreeMap::<bool, u32>::new();
        for round in 0..60 {
            let incident = opened(&store, &round.to_string()).await;
            queued(&store, incident, "c", NoticeRole::First, past()).await;
            let (left, right) = (store.clone(), store.clone());
            let release =
                tokio::spawn(
                    async move { left.release_notice(incident, NoticeRole::First, add_findings).await.unwrap() },
                );
            let send = tokio::spawn(async move { claim(&right, "c").await });
            let (released, first_try) = (release.await.unwrap(), send.await.unwrap());
            // A claim that met the release's lock skipped the message; it is there the next time.
            let out = match first_try {
                Some(out) => out,
                None => claim(&store, "c").await.expect("the message is still there"),
            };
            assert_eq!(is_enriched(&out), released == ["c"]);
            assert!(store.mark_sent(&out, "full").await.unwrap());
            *seen.entry(is_enriched(&out)).or_default() += 1;
        }
        assert_eq!(seen.values().sum::<u32>(), 60);
    })
    .await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_buried_and_those_behind_it_go() {
    on_every_engine(async |store| {
        let incident = opened(&store, "k").await;
        let broken = queued(&store, incident, "c", NoticeRole::First, past()).await;
        let good = queued(&store, incident, "c", NoticeRole::Second, past()).await;
        let newer = r#"{"kind":"from a newer version"}"#;
        let query = store.query("UPDATE outbox SET notice = $1 WHERE id = $2").bind(newer).bind(broken.to_string());
        store.write("break a message", query).await.unwrap();

        assert_eq!(claim(&store, "c").await.unwrap().id, good);
        let entries = store.incident(incident).await.unwrap().unwrap().notices;
        assert_eq!(entries[0].state, NoticeState::Dead);
        assert!(entries[0].last_error.as_deref().unwrap().contains("another version"));
    })
    .await;
}
