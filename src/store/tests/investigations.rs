//! The queue: nobody gets the same investigation twice, nothing is lost, the past cannot write.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::fixtures::*;
use crate::store::{Claim, Engine, InvestigationState, MAX_ATTEMPTS, NoticeRole, Retry, Store};
use crate::toolbox::evidence::{Evidence, Recorded};

async fn claim(store: &Store) -> Option<Claim> {
    store.claim_investigation("w", LEASE).await.unwrap()
}

async fn work_all(store: Store, worker: String) -> Vec<Uuid> {
    let mut done = Vec::new();
    while let Some(claim) = store.claim_investigation(&worker, LEASE).await.unwrap() {
        assert!(store.finish_investigation(&claim, &report(), &[], &[], |_| None).await.unwrap());
        done.push(claim.incident.id);
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_workers_share_two_hundred_investigations_without_doing_one_twice() {
    on_every_engine(async |store| {
        for key in 0..200 {
            investigable(&store, &key.to_string()).await;
        }
        let workers: Vec<_> = (0..8).map(|n| tokio::spawn(work_all(store.clone(), format!("w{n}")))).collect();
        let mut done = Vec::new();
        for worker in workers {
            done.extend(worker.await.unwrap());
        }
        assert_eq!((done.len(), done.iter().collect::<HashSet<_>>().len()), (200, 200));
        assert_eq!(store.next_investigation_due().await.unwrap(), None);
    })
    .await;
}

/// Whoever waits for the end of an investigation reads the report with it, not in the next answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_investigation_that_reads_as_done_has_its_report() {
    on_every_engine(async |store| {
        for key in 0..60 {
            let id = investigable(&store, &key.to_string()).await;
            let reader = tokio::spawn({
                let store = store.clone();
                async move {
                    loop {
                        let detail = store.incident(id).await.unwrap().unwrap();
                        if detail.investigation.is_some_and(|seen| seen.state == InvestigationState::Done) {
                            return detail.incident.report.is_some();
                        }
                    }
                }
            });
            tokio::time::sleep(Duration::from_millis(key % 4)).await;
            let claim = claim(&store).await.unwrap();
            assert!(store.finish_investigation(&claim, &report(), &evidence(), &[], |_| None).await.unwrap());
            assert!(reader.await.unwrap(), "done without a report, in round {key}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_expired_lease_is_taken_over_and_the_old_holder_is_fenced_off() {
    on_every_engine(async |store| {
        let id = investigable(&store, "k").await;
        let stale = store.claim_investigation("slow", EXPIRED).await.unwrap().unwrap();
        let fresh = claim(&store).await.unwrap();
        assert_eq!((fresh.incident.id, fresh.attempt), (id, 2));

        let late = notice(id);
        let late = new_notice(id, "c", NoticeRole::Second, &late);
        assert!(!store.extend(&stale, LEASE).await.unwrap());
        assert!(!store.hand_back(&stale).await.unwrap());
        assert_eq!(store.retry_investigation(&stale, "x", past()).await.unwrap(), Retry::Lost);
        assert!(!store.finish_investigation(&stale, &report(), &evidence(), &[late], |_| None).await.unwrap());
        let detail = store.incident(id).await.unwrap().unwrap();
        assert!(detail.incident.report.is_none() && detail.notices.is_empty() && detail.evidence.is_empty());

        assert!(store.finish_investigation(&fresh, &report(), &evidence(), &[], |_| None).await.unwrap());
        assert!(
            !store.finish_investigation(&fresh, &report(), &evidence(), &[], |_| None).await.unwrap(),
            "done is done"
        );
    })
    .await;
}

#[tokio::test]
async fn a_renewed_lease_is_not_taken_over() {
    on_every_engine(async |store| {
        investigable(&store, "k").await;
        let held = store.claim_investigation("w", EXPIRED).await.unwrap().unwrap();
        assert!(store.extend(&held, LEASE).await.unwrap());
        assert!(claim(&store).await.is_none());
        assert!(store.next_investigation_due().await.unwrap().unwrap() > jiff::Timestamp::now());
    })
    .await;
}

#[tokio::test]
async fn failures_wait_for_their_time_and_the_last_one_is_kept_as_dead() {
    on_every_engine(async |store| {
        let id = investigable(&store, "k").await;
        let first = claim(&store).await.unwrap();
        assert_eq!(store.retry_investigation(&first, "no answer", in_an_hour()).await.unwrap(), Retry::Again);
        assert!(claim(&store).await.is_none(), "the retry is not due");
        let due = store.next_investigation_due().await.unwrap().unwrap();
        assert!(due > jiff::Timestamp::now());
        assert!(store.cancel_investigation(id).await.unwrap(), "nobody works on it");

        let id = investigable(&store, "other").await;
        for attempt in 1..=MAX_ATTEMPTS {
            let held = claim(&store).await.unwrap();
            assert_eq!(held.attempt, attempt);
            let expected = if attempt == MAX_ATTEMPTS { Retry::Dead } else { Retry::Again };
            assert_eq!(store.retry_investigation(&held, "model gone\0", past()).await.unwrap(), expected);
        }
        assert!(claim(&store).await.is_none());
        let kept = store.incident(id).await.unwrap().unwrap().investigation.unwrap();
        assert_eq!((kept.state, kept.attempts), (InvestigationState::Dead, 3));
        assert_eq!(kept.last_error.as_deref(), Some("model gone\u{fffd}"));
        assert!(kept.ended_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn what_kills_its_worker_every_time_is_put_aside_and_the_rest_goes_on() {
    on_every_engine(async |store| {
        let poison = investigable(&store, "poison").await;
        for _ in 0..MAX_ATTEMPTS {
            assert_eq!(store.claim_investigation("dies", EXPIRED).await.unwrap().unwrap().incident.id, poison);
        }
        let healthy = investigable(&store, "healthy").await;
        assert_eq!(claim(&store).await.unwrap().incident.id, healthy);
        assert!(claim(&store).await.is_none());
        let kept = store.incident(poison).await.unwrap().unwrap().investigation.unwrap();
        assert_eq!((kept.state, kept.attempts), (InvestigationState::Dead, 3));
        assert!(kept.last_error.unwrap().contains("killed"));
    })
    .await;
}

#[tokio::test]
async fn what_is_handed_back_is_free_at_once_and_not_counted() {
    on_every_engine(async |store| {
        investigable(&store, "k").await;
        for _ in 0..5 {
            let held = claim(&store).await.unwrap();
            assert_eq!(held.attempt, 1);
            assert!(store.hand_back(&held).await.unwrap());
            assert!(!store.extend(&held, LEASE).await.unwrap(), "the right to it is gone");
        }
    })
    .await;
}

#[tokio::test]
async fn only_what_waits_can_be_cancelled_and_nothing_is_queued_twice() {
    on_every_engine(async |store| {
        let running = investigable(&store, "running").await;
        claim(&store).await.unwrap();
        assert!(!store.cancel_investigation(running).await.unwrap());
        let waiting = investigable(&store, "waiting").await;
        assert!(store.cancel_investigation(waiting).await.unwrap());
        assert!(claim(&store).await.is_none());
        let mut tx = store.begin().await.unwrap();
        assert!(!tx.enqueue_investigation(waiting, past()).await.unwrap());
        assert!(!tx.enqueue_investigation(running, past()).await.unwrap());
    })
    .await;
}

/// A disk that is full when the tool results are written: the report does not stand there without them.
#[tokio::test]
async fn f14_a_report_is_kept_with_its_evidence_or_not_at_all() {
    on_every_engine(async |store| {
        let incident = investigable(&store, "k").await;
        let (full, room) = match store.0.engine {
            Engine::Sqlite => (
                "CREATE TRIGGER full_disk BEFORE INSERT ON evidence BEGIN SELECT RAISE(FAIL, 'disk is full'); END",
                "DROP TRIGGER full_disk",
            ),
            Engine::Postgres => (
                "DO $do$ BEGIN
                   CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql
                     AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''disk_full''; END';
                   CREATE TRIGGER full_disk BEFORE INSERT ON evidence EXECUTE FUNCTION full_disk();
                 END $do$",
                "DROP FUNCTION full_disk CASCADE",
            ),
        };
        store.write("fill the disk", sqlx::query(full)).await.unwrap();
        let claim = store.claim_investigation("w", EXPIRED).await.unwrap().unwrap();
        assert!(store.finish_investigation(&claim, &report(), &evidence(), &[], |_| None).await.is_err());
        assert!(store.incident(incident).await.unwrap().unwrap().incident.report.is_none());
        store.write("make room", sqlx::query(room)).await.unwrap();
        let lease = std::time::Duration::from_secs(9);
        let claim = store.claim_investigation("w", lease).await.unwrap().expect("it comes again");
        assert!(store.finish_investigation(&claim, &report(), &evidence(), &[], |_| None).await.unwrap());
        assert!(store.incident(incident).await.unwrap().unwrap().incident.report.is_some());
    })
    .await;
}

#[tokio::test]
async fn what_the_playbook_found_is_kept_with_its_evidence_until_the_model_is_done() {
    on_every_engine(async |store| {
        let id = investigable(&store, "k").await;
        let stale = store.claim_investigation("slow", EXPIRED).await.unwrap().unwrap();
        let held = claim(&store).await.unwrap();
        assert!(!store.keep_first_look(&stale, &report(), &evidence()).await.unwrap(), "somebody else holds it");
        let before = store.incident(id).await.unwrap().unwrap();
        assert!(before.first_look.is_none() && before.evidence.is_empty());
        assert!(store.keep_first_look(&held, &report(), &evidence()).await.unwrap());
        let detail = store.incident(id).await.unwrap().unwrap();
        assert_eq!((detail.first_look, detail.evidence.len()), (Some(report()), 2));
        assert!(detail.incident.report.is_none(), "it is no diagnosis yet");
        assert!(store.hand_back(&held).await.unwrap());
        assert!(store.first_look(id).await.unwrap().is_some(), "it outlives the process that found it");
        let held = claim(&store).await.unwrap();
        assert!(store.finish_investigation(&held, &report(), &evidence(), &[], |_| None).await.unwrap());
        assert!(store.incident(id).await.unwrap().unwrap().first_look.is_none());
        assert!(store.first_look(id).await.unwrap().is_none(), "the report takes its place");
    })
    .await;
}

#[tokio::test]
async fn what_was_read_is_kept_for_the_next_attempt_and_for_no_other_look() {
    let recorded = |number: usize| {
        let evidence = Evidence { reference: format!("E{number}"), ..evidence().remove(0) };
        Recorded { evidence, structured: Some(json!({"a": "nul \0"})), is_error: false }
    };
    let part = |numbers: &[usize]| numbers.iter().map(|number| Arc::new(recorded(*number))).collect::<Vec<_>>();
    on_every_engine(async |store| {
        let id = investigable(&store, "k").await;
        let stale = store.claim_investigation("slow", EXPIRED).await.unwrap().unwrap();
        let held = claim(&store).await.unwrap();
        assert!(!store.keep_what_was_read(&stale, &part(&[1])).await.unwrap(), "somebody else holds it");
        assert!(store.keep_what_was_read(&held, &part(&[1, 2])).await.unwrap());
        assert!(store.keep_what_was_read(&held, &part(&[3])).await.unwrap());
        assert!(store.hand_back(&held).await.unwrap());
        let held = claim(&store).await.unwrap();
        assert_eq!(store.what_was_read(&held).await.unwrap(), [1, 2, 3].map(recorded));
        assert!(store.finish_investigation(&held, &report(), &evidence(), &[], |_| None).await.unwrap());
        assert!(store.what_was_read(&held).await.unwrap().is_empty(), "its evidence is kept with the report");

        assert!(store.investigate_again(id).await.unwrap());
        let held = claim(&store).await.unwrap();
        assert!(store.keep_what_was_read(&held, &part(&[1])).await.unwrap());
        let dead = Claim { attempt: MAX_ATTEMPTS, ..held.clone() };
        assert_eq!(store.retry_investigation(&dead, "no", Timestamp::now()).await.unwrap(), Retry::Dead);
        assert!(store.investigate_again(id).await.unwrap());
        let held = claim(&store).await.unwrap();
        assert!(store.what_was_read(&held).await.unwrap().is_empty(), "what is asked again is looked at again");
        let age = "UPDATE read_so_far SET kept_at = kept_at - 600000";
        assert!(store.keep_what_was_read(&held, &part(&[1])).await.unwrap());
        assert_eq!(store.prune_what_was_read().await.unwrap(), 0, "it may be needed yet");
        store.write("let time pass", sqlx::query(age)).await.unwrap();
        assert!(store.what_was_read(&held).await.unwrap().is_empty(), "a cluster changes");
        assert_eq!(store.prune_what_was_read().await.unwrap(), 1);
    })
    .await;
}
