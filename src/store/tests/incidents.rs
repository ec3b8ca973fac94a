//! The life of an incident, and what racing deliveries cannot do to it.

use std::time::Duration;

use uuid::Uuid;

use super::fixtures::*;
use crate::alert::{AlertStatus, Source};
use crate::notify::rule::{Applied, Rule};
use crate::report::Verdict;
use crate::store::{
    Changes, Decision, Delivery, IncidentState, InvestigationState, Named, NewIncident, NoticeRole, NoticeState,
    Outcome, Store, StoreError,
};

fn delivery(incident: Option<Uuid>, second: i64, decision: Decision) -> Delivery {
    Delivery {
        id: Uuid::now_v7(),
        incident,
        received_at: at(second),
        status: AlertStatus::Firing,
        alerts: 1,
        decision,
        rules: vec![Applied::just(Rule::Repeat), Applied::wait(Rule::Flapping, jiff::SignedDuration::from_mins(5))],
        changes: Changes { ended: Named { alerts: vec!["Pod 未就绪".into()], more: 1 }, ..Changes::default() },
        reason: "因为 group 是新的".into(),
        told: 0,
        outcome: Outcome::Merged,
        telling: None,
    }
}

#[tokio::test]
async fn the_life_of_one_incident() {
    on_every_engine(async |store| {
        let id = investigable(&store, "k").await;
        let mut tx = store.begin().await.unwrap();
        tx.record_delivery(&delivery(Some(id), 0, Decision::Opened)).await.unwrap();
        tx.commit().await.unwrap();
        queued(&store, id, "oncall", NoticeRole::First, past()).await;

        let mut tx = store.begin().await.unwrap();
        let open = tx.open_incident(Source::Alertmanager, "k").await.unwrap().unwrap();
        assert_eq!((open.id, open.generation, open.deliveries), (id, 1, 1));
        tx.update_group(id, &group(&["api-1", "api-2"]), at(5)).await.unwrap();
        tx.record_delivery(&delivery(Some(id), 5, Decision::Joined)).await.unwrap();
        tx.commit().await.unwrap();

        let first = store.claim_notice("oncall", "w", LEASE).await.unwrap().unwrap();
        assert_eq!(first.notice, notice(id));
        assert!(store.mark_sent(&first, "full").await.unwrap());
        let claim = store.claim_investigation("w", LEASE).await.unwrap().unwrap();
        assert_eq!(claim.incident.group, group(&["api-1", "api-2"]));
        let second = notice(id);
        let second = new_notice(id, "oncall", NoticeRole::Second, &second);
        assert!(store.finish_investigation(&claim, &report(), &evidence(), &[second], |_| None).await.unwrap());
        let out = store.claim_notice("oncall", "w", LEASE).await.unwrap().unwrap();
        assert_eq!(out.role, NoticeRole::Second);
        assert!(store.bury_notice(&out, "机器人已被移出群", None).await.unwrap());

        let mut tx = store.begin().await.unwrap();
        tx.resolve_incident(id, &group(&["api-1", "api-2"]), at(9)).await.unwrap();
        assert!(tx.open_incident(Source::Alertmanager, "k").await.unwrap().is_none());
        tx.commit().await.unwrap();

        let detail = store.incident(id).await.unwrap().unwrap();
        let incident = &detail.incident;
        assert_eq!((incident.state, incident.deliveries), (IncidentState::Resolved, 3));
        assert_eq!((incident.opened_at, incident.updated_at, incident.resolved_at), (at(0), at(9), Some(at(9))));
        assert_eq!(incident.report, Some(report()));
        assert_eq!(detail.investigation.unwrap().state, InvestigationState::Done);
        let decisions: Vec<_> = detail.deliveries.iter().map(|delivery| delivery.decision).collect();
        assert_eq!(decisions, [Decision::Opened, Decision::Joined]);
        let notices: Vec<_> = detail.notices.iter().map(|entry| (entry.role, entry.state, entry.attempts)).collect();
        assert_eq!(notices, [(NoticeRole::First, NoticeState::Sent, 1), (NoticeRole::Second, NoticeState::Dead, 1)]);
        assert_eq!(detail.notices[0].form.as_deref(), Some("full"));
        assert_eq!(detail.notices[1].last_error.as_deref(), Some("机器人已被移出群"));
        assert_eq!(detail.evidence[0].bytes, "start and a long rest".len());

        let kept = store.evidence(id).await.unwrap();
        assert_eq!(kept[0], evidence()[0]);
        assert_eq!(kept[1].text, "panic\u{fffd}\u{fffd}", "a NUL, which PostgreSQL refuses, is replaced");
    })
    .await;
}

#[tokio::test]
async fn a_group_has_one_open_incident_and_counts_its_generations() {
    on_every_engine(async |store| {
        let first = opened(&store, "k").await;
        let alerts = group(&["api-1"]);
        let again = NewIncident {
            id: Uuid::now_v7(),
            source: Source::Alertmanager,
            group_key_hash: "k",
            opened_at: at(1),
            group: &alerts,
        };
        let mut tx = store.begin().await.unwrap();
        assert!(matches!(tx.insert_incident(&again).await, Err(StoreError::Conflict)));
        assert!(matches!(tx.commit().await, Err(StoreError::Overlooked)), "a failed transaction is not committed");

        let mut tx = store.begin().await.unwrap();
        tx.resolve_incident(first, &alerts, at(2)).await.unwrap();
        assert!(matches!(tx.resolve_incident(first, &alerts, at(2)).await, Err(StoreError::Conflict)));
        tx.commit().await.unwrap();

        let second = opened(&store, "k").await;
        assert_eq!(store.incident(second).await.unwrap().unwrap().incident.generation, 2);
    })
    .await;
}

/// The receive transaction as the incident room runs it, retried on conflict.
async fn receive(store: Store, pod: String) {
    loop {
        let mut tx = store.begin().await.unwrap();
        let mut alerts = group(&[&pod]);
        let open = tx.open_incident(Source::Alertmanager, "k").await.unwrap();
        let written = match open {
            Some(open) => {
                alerts.alerts.extend(open.group.alerts);
                tx.update_group(open.id, &alerts, at(1)).await
            }
            None => {
                let (id, source) = (Uuid::now_v7(), Source::Alertmanager);
                let new = NewIncident { id, source, group_key_hash: "k", opened_at: at(0), group: &alerts };
                tx.insert_incident(&new).await
            }
        };
        match written {
            Ok(()) => return tx.commit().await.unwrap(),
            Err(StoreError::Conflict) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_racing_deliveries_make_one_incident_and_none_of_their_alerts_is_lost() {
    on_every_engine(async |store| {
        let tasks: Vec<_> = (0..50).map(|pod| tokio::spawn(receive(store.clone(), pod.to_string()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let all = store.incidents(10, None, None).await.unwrap();
        let totals: Vec<_> = all.iter().map(|incident| (incident.deliveries, incident.firing)).collect();
        assert_eq!(totals, [(50, 50)]);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing() {
    on_every_engine(async |store| {
        let id = opened(&store, "k").await;
        let mut tx = store.begin().await.unwrap();
        tx.update_group(id, &group(&["other"]), at(7)).await.unwrap();
        tx.record_delivery(&delivery(None, 7, Decision::Suppressed)).await.unwrap();
        tx.enqueue_investigation(id, past()).await.unwrap();
        let body = notice(id);
        let new = new_notice(id, "c", NoticeRole::First, &body);
        tx.enqueue_notice(&new).await.unwrap();
        drop(tx);

        let detail = store.incident(id).await.unwrap().unwrap();
        assert_eq!(detail.incident.group, group(&["api-1"]));
        assert!(detail.investigation.is_none() && detail.notices.is_empty());
        assert!(store.counts().await.unwrap().deliveries.is_empty());
    })
    .await;
}

async fn open_and_record(store: Store, key: String) {
    let mut tx = store.begin().await.unwrap();
    let id = insert(&mut tx, &key).await;
    tx.record_delivery(&delivery(Some(id), 0, Decision::Opened)).await.unwrap();
    tx.commit().await.unwrap();
}

/// A sender that hangs up, or a time limit, drops the call wherever it stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_in_the_middle_leave_whole_incidents_and_a_store_that_works() {
    on_every_engine(async |store| {
        for round in 0..300_u64 {
            let task = tokio::spawn(open_and_record(store.clone(), round.to_string()));
            tokio::time::sleep(Duration::from_micros(round * 10)).await;
            task.abort();
        }
        open_and_record(store.clone(), "last".into()).await;
        let (incidents, decisions) = (store.incidents(1000, None, None).await.unwrap(), store.counts().await.unwrap());
        assert_eq!(decisions.deliveries[&Decision::Opened], u64::try_from(incidents.len()).unwrap());
    })
    .await;
}

#[tokio::test]
async fn lists_are_pages_of_newest_first() {
    on_every_engine(async |store| {
        let mut ids = Vec::new();
        for key in ["a", "b", "c", "d", "e"] {
            ids.push(opened(&store, key).await);
        }
        let mut tx = store.begin().await.unwrap();
        tx.resolve_incident(ids[1], &group(&["api-1"]), at(2)).await.unwrap();
        tx.commit().await.unwrap();
        ids.reverse();

        let mut seen = Vec::new();
        let mut before = None;
        loop {
            let page = store.incidents(2, before, None).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some((last.opened_at, last.id));
            seen.extend(page.iter().map(|incident| incident.id));
        }
        assert_eq!(seen, ids, "all were opened at the same moment, so ids decide");
        let resolved = store.incidents(9, None, Some(IncidentState::Resolved)).await.unwrap();
        assert_eq!(resolved.iter().map(|incident| incident.id).collect::<Vec<_>>(), [ids[3]]);
        assert_eq!((resolved[0].severity.as_str(), resolved[0].firing), ("critical", 1));
        assert_eq!(store.incidents(9, None, Some(IncidentState::Open)).await.unwrap().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_list_tells_the_verdict_once_there_is_one() {
    on_every_engine(async |store| {
        let id = investigable(&store, "k").await;
        assert_eq!(store.incidents(1, None, None).await.unwrap()[0].verdict, None);
        let claim = store.claim_investigation("w", LEASE).await.unwrap().unwrap();
        assert_eq!(claim.incident.id, id);
        store.finish_investigation(&claim, &report(), &[], &[], |_| None).await.unwrap();
        let line = &store.incidents(1, None, None).await.unwrap()[0];
        assert_eq!((line.verdict, line.headline.clone()), (Some(Verdict::Inconclusive), Some(report().headline)));
    })
    .await;
}

#[tokio::test]
async fn counts_say_what_waits_runs_and_was_given_up() {
    on_every_engine(async |store| {
        for key in ["a", "b"] {
            investigable(&store, key).await;
        }
        let id = store.claim_investigation("w", LEASE).await.unwrap().unwrap().incident.id;
        for (channel, count) in [("oncall", 2), ("mail", 1)] {
            for _ in 0..count {
                queued(&store, id, channel, NoticeRole::First, past()).await;
            }
        }
        let out = store.claim_notice("mail", "w", LEASE).await.unwrap().unwrap();
        store.bury_notice(&out, "550", None).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        for _ in 0..3 {
            tx.record_delivery(&delivery(None, 0, Decision::Suppressed)).await.unwrap();
        }
        tx.commit().await.unwrap();

        let counts = store.counts().await.unwrap();
        assert_eq!((counts.investigations_pending, counts.investigations_running), (1, 1));
        assert_eq!(counts.incidents_open, 2);
        assert_eq!((counts.outbox["oncall"].pending, counts.outbox["oncall"].dead), (2, 0));
        assert_eq!((counts.outbox["mail"].pending, counts.outbox["mail"].dead), (0, 1));
        assert_eq!(counts.deliveries[&Decision::Suppressed], 3);
    })
    .await;
}

#[tokio::test]
async fn the_last_generation_is_found_with_the_age_of_its_diagnosis() {
    on_every_engine(async |store| {
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.last_time(Source::Alertmanager, "k").await.unwrap(), None);
        for second in [1, 2] {
            let id = insert(&mut tx, "k").await;
            tx.set_report(id, &report(), at(second)).await.unwrap();
            tx.resolve_incident(id, &group(&["api-1"]), at(second)).await.unwrap();
        }
        insert(&mut tx, "other").await;
        let last = tx.last_time(Source::Alertmanager, "k").await.unwrap().unwrap();
        assert_eq!((last.incident.generation, last.diagnosed_at), (2, Some(at(2))));
        assert_eq!(last.incident.report, Some(report()));
    })
    .await;
}
