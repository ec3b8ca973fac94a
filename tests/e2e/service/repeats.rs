//! Repeats: Alertmanager says everything more than once; people hear it once.

use serde_json::{Value, json};
use sqlx::Connection;

use crate::support::alerts::{PENDING, builtin, in_group, resolved, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::model::ModelServer;
use crate::support::pending;
use crate::support::service::{Home, Service};
use crate::support::team::Team;

struct Stage {
    team: Team,
    model: ModelServer,
    service: Service,
    _home: Home,
}

async fn stage() -> Stage {
    let (team, model) = (Team::start().await, pending::model().await);
    let parts = json!({"mcp": builtin(PENDING), "models": pending::models(&model), "channels": team.channels()});
    let home = Home::new(&parts);
    Stage { service: home.serve().await, team, model, _home: home }
}

fn alerts(body: &Value) -> usize {
    body["alerts"].as_array().unwrap().len()
}

fn words(receipts: &[(String, String)]) -> Vec<&str> {
    let mut words: Vec<&str> = receipts.iter().map(|(_, decision)| decision.as_str()).collect();
    words.sort_unstable();
    words
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f41_fifty_at_once_are_one_incident_one_message_one_investigation() {
    on_every_engine(async || {
        let Stage { team, model, service, _home } = stage().await;
        let alert = webhook(PENDING);
        let receipts = futures::future::join_all((0..50).map(|_| service.accept(&alert))).await;
        let id = &receipts[0].0;
        assert!(receipts.iter().all(|(other, _)| other == id), "{receipts:?}");
        let mut expected = vec!["merged"; 49];
        expected.push("opened");
        assert_eq!(words(&receipts), expected);

        service.settled(id, 30).await;
        let mut repeat = alert.clone();
        repeat["notification_reason"] = "repeat interval elapsed".into();
        assert_eq!(service.accept(&repeat).await, (id.clone(), "merged".to_owned()));
        let incident = service.settled(id, 30).await;
        let log = incident["delivery_log"].as_array().unwrap();
        assert!(log[50]["reason"].as_str().unwrap().contains("repeat interval elapsed"), "{}", log[50]);
        assert_eq!(log.len(), 51);
        team.each_has_what_was_sent(&[&incident]).await;
        assert_eq!(model.asked().len(), 2, "one investigation: a look and an answer");
        assert_eq!(service.metric("firstlook_deliveries_total{decision=\"merged\"}").await, Some(50.0));
        assert_eq!(service.metric("firstlook_rules_total{rule=\"repeat\"}").await, Some(50.0));
        let balance = contract::holds(&service, 51 * alerts(&alert), 5).await;
        assert_eq!(balance.sent, alerts(&alert) as u64, "{balance:?}");

        service.accept(&resolved(&alert)).await;
        let incident = service.settled(id, 30).await;
        team.each_has_what_was_sent(&[&incident]).await;
        for channel in team.heard() {
            let (first, end) = (&channel[0].text, &channel.last().unwrap().text);
            assert!(!first.contains("Meanwhile"), "{first}");
            assert!(end.contains("Resolved") && end.contains("50 repeats merged"), "{end}");
        }
        team.refused_nothing();
    })
    .await;
}

/// Its sender keeps ends to itself: what fires hours later is another incident, and the one before is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_fires_anew_after_hours_of_silence_is_another_incident() {
    on_every_engine(async || {
        let Stage { team, model: _model, service, _home: home } = stage().await;
        let alert = webhook(PENDING);
        let (first, _) = service.accept(&alert).await;
        service.settled(&first, 30).await;
        sqlx::any::install_default_drivers();
        let mut other = sqlx::AnyConnection::connect(home.store()).await.unwrap();
        let long_ago = "UPDATE incident SET updated_at = updated_at - 7200000, diagnosed_at = diagnosed_at - 7200000";
        sqlx::raw_sql(long_ago).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let mut anew = alert.clone();
        for one in anew["alerts"].as_array_mut().unwrap() {
            one["startsAt"] = (jiff::Timestamp::now() - jiff::SignedDuration::from_mins(5)).to_string().into();
        }
        let (second, decision) = service.accept(&anew).await;
        assert!(second != first && decision == "opened", "{decision}");
        let (before, now) = (service.settled(&first, 30).await, service.settled(&second, 30).await);
        assert_eq!((&before["state"], &now["state"]), (&json!("resolved"), &json!("open")));
        assert_eq!(now["investigation"]["state"], "done", "{now:#}");
        team.each_has_what_was_sent(&[&before, &now]).await;
        contract::holds(&service, 2 * alerts(&alert), 10).await;
    })
    .await;
}

fn with_another_alert(alert: &Value) -> Value {
    let mut alert = alert.clone();
    let mut another = alert["alerts"][0].clone();
    another["labels"]["alertname"] = "KubePersistentVolumeClaimPending".into();
    another["labels"]["persistentvolumeclaim"] = "test-data".into();
    another["fingerprint"] = "feedfacefeedface".into();
    alert["alerts"].as_array_mut().unwrap().push(another);
    alert
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_alert_of_a_told_group_is_told_by_itself() {
    on_every_engine(async || {
        let Stage { team, model, service, _home } = stage().await;
        let alert = webhook(PENDING);
        let (id, _) = service.accept(&alert).await;
        service.settled(&id, 30).await;
        let before = team.counts();
        let (same, decision) = service.accept(&with_another_alert(&alert)).await;
        assert_eq!((same.as_str(), decision.as_str()), (id.as_str(), "joined"));
        service.settled(&id, 30).await;
        for (channel, before) in team.heard().iter().zip(before) {
            assert_eq!(channel.len(), before + 1, "what the second look found was told by the first");
            assert!(channel[before].text.contains("KubePersistentVolumeClaimPending"), "{}", channel[before].text);
        }
        assert_eq!(
            model.asked().len(),
            4,
            "an alert of another kind changes the picture, so it is looked at once more"
        );
        let incident = service.incident(&id).await;
        let reason = incident["delivery_log"][1]["reason"].as_str().unwrap();
        assert!(reason.contains("investigated once more"), "{reason}");
        let balance = contract::holds(&service, 2 * alerts(&alert) + 1, 5).await;
        assert_eq!((balance.sent, balance.merged), (alerts(&alert) as u64 + 1, alerts(&alert) as u64), "{balance:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f42_an_end_without_a_beginning_is_nothing_to_tell() {
    on_every_engine(async || {
        let Stage { team, service, _home, model: _model } = stage().await;
        let (id, decision) = service.accept(&resolved(&webhook(PENDING))).await;
        assert_eq!((id.as_str(), decision.as_str()), ("", "suppressed"));
        // What comes after it is heard, and nothing before that.
        let (id, _) = service.accept(&in_group(PENDING, "other")).await;
        let incident = service.settled(&id, 30).await;
        team.each_has_what_was_sent(&[&incident]).await;
        assert_eq!(service.incidents().await.len(), 1);
        let each = alerts(&webhook(PENDING)) as u64;
        let balance = contract::holds(&service, 2 * each as usize, 5).await;
        assert_eq!((balance.sent, balance.suppressed), (each, each), "{balance:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f42_the_same_group_again_after_its_end_is_a_new_incident_that_knows_the_last_one() {
    on_every_engine(async || {
        let Stage { team, service, _home, model } = stage().await;
        let alert = webhook(PENDING);
        let (first, _) = service.accept(&alert).await;
        service.settled(&first, 30).await;
        let (same, decision) = service.accept(&resolved(&alert)).await;
        assert_eq!((same.as_str(), decision.as_str()), (first.as_str(), "resolved"));
        let (none, decision) = service.accept(&resolved(&alert)).await;
        assert_eq!((none.as_str(), decision.as_str()), ("", "suppressed"), "the end is told once");
        let (second, decision) = service.accept(&alert).await;
        assert_eq!(decision, "opened");
        assert_ne!(first, second);
        let incident = service.settled(&second, 30).await;
        let before = service.settled(&first, 30).await;
        assert_eq!(incident["generation"], 2);
        assert!(incident["investigation"].is_null() && model.asked().len() == 2, "the diagnosis still holds");
        assert_eq!(incident["report"]["headline"], service.incident(&first).await["report"]["headline"]);
        let reason = incident["delivery_log"][0]["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("triage.cooldown"), "{reason}");
        assert_eq!(service.incident(&first).await["state"], "resolved");
        team.each_has_what_was_sent(&[&before, &incident]).await;
        for channel in team.heard() {
            let told = &channel.last().unwrap().text;
            assert!(told.contains("Again") && told.contains("still holds") && told.contains("test-data"), "{told}");
            assert!(!channel[0].text.contains("still holds"));
        }
        contract::holds(&service, 4 * alerts(&alert), 5).await;
    })
    .await;
}

/// Over before anything was told: the beginning and the end are told, in that order, and nothing after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_in_the_same_second_comes_after_the_beginning() {
    on_every_engine(async || {
        let Stage { team, service, _home, model: _model } = stage().await;
        let alert = webhook(PENDING);
        let (id, _) = service.accept(&alert).await;
        service.accept(&resolved(&alert)).await;
        service.settled(&id, 30).await;
        for channel in team.heard() {
            assert_eq!(channel.len(), 2, "{channel:#?}");
            assert!(!channel[0].text.contains("Resolved") && channel[1].text.contains("Resolved"), "{channel:#?}");
        }
    })
    .await;
}

/// Due this minute: sent at the start, once a day over restarts, to every channel that wants it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daily_summary_is_sent_once_a_day() {
    on_every_engine(async || {
        let team = Team::start().await;
        let mut channels = team.channels();
        let due = jiff::Timestamp::now().strftime("%H:%M").to_string();
        for channel in channels.as_array_mut().unwrap() {
            channel["digest"] = due.clone().into();
        }
        let home = Home::new(&json!({"channels": channels}));
        let service = home.serve().await;
        let heard = team.each_has(1, 20).await;
        for channel in &heard {
            assert!(channel[0].text.contains("0 incidents opened"), "{}", channel[0].text);
        }
        assert!(team.mail.received(0)[0].header("Subject").contains("Daily summary"));
        assert!(service.terminate().await.success());
        let service = home.serve().await;
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        team.each_has_just([1, 1, 1]).await;
        team.refused_nothing();
        assert!(service.terminate().await.success());
    })
    .await;
}

/// The end of one of two alerts is told to nobody, and is no repeat either: the page says what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_some_alerts_is_no_repeat_and_what_joined_is_named() {
    on_every_engine(async || {
        let Stage { team, model: _model, service, _home } = stage().await;
        let one = webhook(PENDING);
        let mut both = one.clone();
        let mut second = one["alerts"][0].clone();
        (second["fingerprint"], second["labels"]["alertname"]) = ("00000000000000ab".into(), "KubePodSlow".into());
        both["alerts"].as_array_mut().unwrap().push(second);
        let mut ended = both.clone();
        let last = ended["alerts"].as_array_mut().unwrap().last_mut().unwrap();
        (last["status"], last["endsAt"]) = ("resolved".into(), "2026-11-23T03:59:00Z".into());
        let (id, _) = service.accept(&one).await;
        service.settled(&id, 30).await;
        for body in [&both, &ended, &ended] {
            assert_eq!(service.accept(body).await.0, id);
        }
        let incident = service.settled(&id, 60).await;
        let log = incident["delivery_log"].as_array().unwrap();
        let named =
            |delivery: &Value, change: &str| delivery["changes"][change]["alerts"][0].as_str().unwrap().to_owned();
        assert!(named(&log[1], "joined").starts_with("KubePodSlow · Pod "), "{log:?}");
        assert!(named(&log[2], "ended").starts_with("KubePodSlow · Pod "), "{log:?}");
        let rules: Vec<&Value> = log[2..].iter().map(|delivery| &delivery["rules"][0]["rule"]).collect();
        assert_eq!(rules, ["some_ended", "repeat"]);
        assert_eq!(
            incident["looks"].as_array().map(Vec::len),
            Some(1),
            "another kind of alert asked for a second look"
        );
        service.accept(&resolved(&both)).await;
        service.settled(&id, 30).await;
        for channel in team.heard() {
            let end = &channel.last().unwrap().text;
            assert!(end.contains("1 repeat merged"), "{end}");
        }
    })
    .await;
}
