//! The list of incidents, narrowed down and page by page.

use uuid::Uuid;

use super::fixtures::*;
use crate::alert::{AlertStatus, Source};
use crate::store::{ByState, IncidentState, InvestigationState, Narrowed, NewIncident, NoticeRole, Store};

/// An incident of this name and namespace, opened at this second.
async fn named(store: &Store, second: i64, alertname: &str, namespace: &str, severity: &str) -> Uuid {
    let mut group = group(&["api-1"]);
    for (key, value) in [("alertname", alertname), ("namespace", namespace), ("severity", severity)] {
        group.alerts[0].labels.insert(key.to_owned(), value.to_owned());
    }
    let (id, key) = (Uuid::now_v7(), format!("{second}"));
    let new =
        NewIncident { id, source: Source::Alertmanager, group_key_hash: &key, opened_at: at(second), group: &group };
    let mut tx = store.begin().await.unwrap();
    tx.insert_incident(&new).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn ids(store: &Store, narrowed: &Narrowed) -> Vec<Uuid> {
    let listed = store.listed(narrowed, None, 50).await.unwrap();
    listed.into_iter().map(|one| one.incident.id).collect()
}

#[tokio::test]
async fn a_list_is_narrowed_down_by_each_and_by_all() {
    on_every_engine(async |store| {
        let pod = named(&store, 1, "KubePodCrashLooping", "shop", "critical").await;
        let disk = named(&store, 2, "disk_50%_full", "infra", "warning").await;
        let other = named(&store, 3, "KubePodNotReady", "shop-staging", "warning").await;
        let mut tx = store.begin().await.unwrap();
        tx.resolve_incident(pod, &group(&["api-1"]), at(9)).await.unwrap();
        tx.commit().await.unwrap();

        let all = Narrowed::default();
        assert_eq!(ids(&store, &all).await, [other, disk, pod], "newest first");
        assert_eq!(ids(&store, &Narrowed { state: Some(IncidentState::Resolved), ..all.clone() }).await, [pod]);
        assert_eq!(ids(&store, &Narrowed { namespace: "shop-staging".into(), ..all.clone() }).await, [other]);
        assert_eq!(ids(&store, &Narrowed { severity: "warning".into(), ..all.clone() }).await, [other, disk]);
        assert_eq!(ids(&store, &Narrowed { alert: "kubepod".into(), ..all.clone() }).await, [other, pod]);
        assert_eq!(ids(&store, &Narrowed { alert: "0%_F".into(), ..all.clone() }).await, [disk]);
        assert!(ids(&store, &Narrowed { alert: "k%d".into(), ..all.clone() }).await.is_empty(), "% is only itself");
        let both = Narrowed { alert: "kube".into(), severity: "warning".into(), ..all.clone() };
        assert_eq!(ids(&store, &both).await, [other]);

        assert_eq!(store.incidents_by_state(&all).await.unwrap(), ByState { open: 2, resolved: 1 });
        assert_eq!(store.incidents_by_state(&both).await.unwrap(), ByState { open: 1, resolved: 0 });
        let choices = store.incident_choices().await.unwrap();
        assert_eq!(choices.severities, ["warning", "critical"], "the most frequent first");
        assert_eq!((choices.namespaces.len(), choices.alerts.len()), (3, 3));
    })
    .await;
}

/// A group whose gravest alert ended, while another goes on.
pub(super) async fn milder_by_now(store: &Store) -> Uuid {
    let mut both = group(&["api-1", "db-0"]);
    both.alerts[0].labels.insert("severity".into(), "warning".into());
    let (id, source) = (Uuid::now_v7(), Source::Alertmanager);
    let new = NewIncident { id, source, group_key_hash: "milder", opened_at: at(0), group: &both };
    let mut tx = store.begin().await.unwrap();
    tx.insert_incident(&new).await.unwrap();
    (both.alerts[1].status, both.alerts[1].ends_at) = (AlertStatus::Resolved, Some(at(5)));
    tx.update_group(id, &both, at(5)).await.unwrap();
    tx.commit().await.unwrap();
    id
}

#[tokio::test]
async fn an_incident_is_led_by_what_fires_and_found_by_the_gravest_it_ever_had() {
    on_every_engine(async |store| {
        let id = milder_by_now(&store).await;
        let critical = Narrowed { severity: "critical".into(), ..Narrowed::default() };
        let listed = store.listed(&critical, None, 50).await.unwrap().remove(0).incident;
        assert_eq!((listed.id, listed.severity.as_str(), listed.gravest.as_str()), (id, "warning", "critical"));
        assert_eq!(store.incidents_by_state(&critical).await.unwrap(), ByState { open: 1, resolved: 0 });
        assert_eq!(store.incident_choices().await.unwrap().severities, ["critical"]);
        assert_eq!(store.incidents(1, None, None).await.unwrap()[0].gravest, "critical");
    })
    .await;
}

#[tokio::test]
async fn a_list_goes_on_where_it_ended_and_tells_what_goes_on() {
    on_every_engine(async |store| {
        let first = named(&store, 1, "A", "", "").await;
        let second = investigable(&store, "k").await;
        queued(&store, second, "oncall", NoticeRole::First, past()).await;
        let notice = store.claim_notice("oncall", "w", LEASE).await.unwrap().unwrap();
        assert!(store.bury_notice(&notice, "机器人已被移出群", None).await.unwrap());
        let newest = store.listed(&Narrowed::default(), None, 1).await.unwrap();
        assert_eq!(newest[0].incident.id, first);
        let last = (newest[0].incident.opened_at, first);
        let rest = store.listed(&Narrowed::default(), Some(last), 5).await.unwrap();
        assert_eq!(rest.len(), 1);
        assert_eq!((rest[0].incident.id, rest[0].undelivered), (second, 1));
        assert_eq!(rest[0].investigation, Some(InvestigationState::Ready));
        assert_eq!((newest[0].investigation, newest[0].undelivered), (None, 0));
    })
    .await;
}

#[tokio::test]
async fn a_pulse_changes_whenever_the_page_would() {
    on_every_engine(async |store| {
        assert_eq!(store.pulse(Uuid::now_v7()).await.unwrap(), None);
        let id = investigable(&store, "k").await;
        let mut versions = Vec::new();
        let mut beat = async |is_live: bool| {
            let pulse = store.pulse(id).await.unwrap().unwrap();
            assert_eq!(pulse.is_live(), is_live, "{pulse:?}");
            versions.push(pulse.version);
        };
        beat(true).await;
        queued(&store, id, "oncall", NoticeRole::First, past()).await;
        beat(true).await;
        let claim = store.claim_investigation("w", LEASE).await.unwrap().unwrap();
        beat(true).await;
        let notice = store.claim_notice("oncall", "w", LEASE).await.unwrap().unwrap();
        assert!(store.mark_sent(&notice, "full").await.unwrap());
        beat(true).await;
        assert!(store.keep_first_look(&claim, &report(), &evidence()).await.unwrap());
        beat(true).await;
        assert!(store.finish_investigation(&claim, &report(), &evidence(), &[], |_| None).await.unwrap());
        beat(false).await;
        let mut tx = store.begin().await.unwrap();
        tx.resolve_incident(id, &group(&["api-1"]), at(9)).await.unwrap();
        tx.commit().await.unwrap();
        beat(false).await;
        let different: std::collections::HashSet<&String> = versions.iter().collect();
        assert_eq!(different.len(), versions.len(), "{versions:?}");
    })
    .await;
}
