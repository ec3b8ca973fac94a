//! Cards and presses: which message shows an incident, and what people pressed on it.

use super::fixtures::*;
use uuid::Uuid;

use crate::store::{Card, MAX_ATTEMPTS, NoticeRole, PressEntry, PressState, Revival, Shown, SilencedBy};

fn press(id: &str) -> PressEntry {
    PressEntry {
        id: id.into(),
        channel: "c".into(),
        message: "om_1".into(),
        person: "ou_1\0".into(),
        action: "silence".into(),
        reason: "吵".into(),
        pressed_at: at(5),
        state: PressState::Taken,
        outcome: String::new(),
    }
}

#[tokio::test]
async fn what_a_card_shows_is_the_last_that_was_sent_of_the_group_as_it_stands_while_it_goes_on() {
    on_every_engine(async |store| {
        let incident = opened(&store, "a").await;
        queued(&store, incident, "c", NoticeRole::First, past()).await;
        assert_eq!(store.shown_on_card(incident, "c").await.unwrap(), None, "nothing was sent");
        let out = store.claim_notice("c", "w", LEASE).await.unwrap().unwrap();
        store.mark_sent(&out, "full").await.unwrap();
        let joined = group(&["api-1", "api-2"]);
        let mut tx = store.begin().await.unwrap();
        tx.update_group(incident, &joined, at(5)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.shown_on_card(incident, "c").await.unwrap().unwrap().group, joined);
        assert_eq!(store.shown_on_card(incident, "other").await.unwrap(), None);
        resolved(&store, incident, at(9)).await;
        assert_eq!(store.shown_on_card(incident, "c").await.unwrap(), None, "its end changes the card");
    })
    .await;
}

#[tokio::test]
async fn a_card_is_found_by_its_incident_and_by_its_message_and_a_new_one_takes_its_place() {
    on_every_engine(async |store| {
        let incident = opened(&store, "a").await;
        assert_eq!(store.card(incident, "c").await.unwrap(), None);
        for message in ["om_1", "om_2"] {
            let card = Card { message: message.into(), sent_at: at(3) };
            store.keep_card(incident, "c", &card).await.unwrap();
            assert_eq!(store.card(incident, "c").await.unwrap(), Some(card));
        }
        let shown = |current| Some(Shown { incident, current });
        assert_eq!(store.incident_of_card("c", "om_2").await.unwrap(), shown(true));
        assert_eq!(store.incident_of_card("c", "om_1").await.unwrap(), shown(false), "it stays known");
        assert_eq!(store.incident_of_card("c", "om_3\0").await.unwrap(), None);
        assert_eq!(store.incident_of_card("another", "om_2").await.unwrap(), None);
        // Kept twice, as after an answer that was lost, it is one card; and a platform that brings an old one back is believed.
        for message in ["om_2", "om_1"] {
            store.keep_card(incident, "c", &Card { message: message.into(), sent_at: at(4) }).await.unwrap();
            assert_eq!(store.incident_of_card("c", message).await.unwrap(), shown(true));
        }
    })
    .await;
}

#[tokio::test]
async fn a_card_is_in_progress_until_a_message_that_ends_the_investigation_is_queued() {
    on_every_engine(async |store| {
        let incident = opened(&store, "a").await;
        queued(&store, incident, "c", NoticeRole::First, past()).await;
        store.keep_card(incident, "c", &Card { message: "om_1".into(), sent_at: at(3) }).await.unwrap();
        assert_eq!(store.card_in_progress(incident, "c").await.unwrap(), None, "its first message is not out");
        let first = store.claim_notice("c", "w", LEASE).await.unwrap().unwrap();
        store.mark_sent(&first, "full").await.unwrap();
        assert!(store.card_in_progress(incident, "c").await.unwrap().is_some());
        queued(&store, incident, "c", NoticeRole::Second, past()).await;
        assert_eq!(store.card_in_progress(incident, "c").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_press_is_kept_once_and_ends_with_its_outcome() {
    on_every_engine(async |store| {
        let incident = opened(&store, "a").await;
        assert!(store.note_press(incident, &press("e1")).await.unwrap());
        assert!(!store.note_press(incident, &press("e1")).await.unwrap());
        store.end_press("e1", PressState::Done, "ok").await.unwrap();
        let kept = store.presses(incident).await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].state, kept[0].outcome.as_str(), kept[0].reason.as_str()), (PressState::Done, "ok", "吵"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_all_who_silence_at_once_one_does_and_the_next_when_that_failed_died_or_is_over() {
    on_every_engine(async |store| {
        let incident = opened(&store, "a").await;
        let pressing = (0..8).map(|number| {
            let store = store.clone();
            let person = format!("ou_{number}");
            tokio::spawn(async move { store.take_silence(incident, &person, &person, LEASE).await.unwrap() })
        });
        let answers = futures::future::join_all(pressing.collect::<Vec<_>>()).await;
        let first = answers.iter().position(|one| one.as_ref().unwrap().is_none()).unwrap();
        assert_eq!(answers.iter().filter(|one| one.as_ref().unwrap().is_none()).count(), 1);
        let first = format!("ou_{first}");
        let by = |person: &str, made| Some(SilencedBy { person: person.to_owned(), made });
        assert_eq!(store.take_silence(incident, "e", "ou_9", LEASE).await.unwrap(), by(&first, false));
        store.give_silence_back(incident, &first).await.unwrap();

        assert_eq!(store.take_silence(incident, "e", "ou_9", EXPIRED).await.unwrap(), None, "the first could not");
        assert_eq!(store.take_silence(incident, "f", "ou_8", LEASE).await.unwrap(), None, "the second died over it");
        store.keep_silence(incident, "e", LEASE).await.unwrap();
        assert_eq!(
            store.take_silence(incident, "g", "ou_7", LEASE).await.unwrap(),
            by("ou_8", false),
            "not e's any more"
        );
        store.keep_silence(incident, "f", LEASE).await.unwrap();
        store.give_silence_back(incident, "f").await.unwrap();
        assert_eq!(store.take_silence(incident, "g", "ou_7", LEASE).await.unwrap(), by("ou_8", true));
        store.keep_silence(incident, "f", EXPIRED).await.unwrap();
        assert_eq!(store.take_silence(incident, "g", "ou_7", LEASE).await.unwrap(), None, "the silence is over");
    })
    .await;
}

#[tokio::test]
async fn a_card_is_left_behind_when_its_investigation_is_dead_and_nothing_says_so() {
    on_every_engine(async |store| {
        let incident = investigable(&store, "a").await;
        store.keep_card(incident, "c", &Card { message: "om_1".into(), sent_at: at(3) }).await.unwrap();
        for attempt in 1..=MAX_ATTEMPTS {
            assert!(store.cards_left_behind("c").await.unwrap().is_empty(), "before attempt {attempt}");
            let claim = store.claim_investigation("w", LEASE).await.unwrap().unwrap();
            store.retry_investigation(&claim, "broke off", past()).await.unwrap();
        }
        assert_eq!(store.cards_left_behind("c").await.unwrap(), [incident]);
        assert!(store.cards_left_behind("another").await.unwrap().is_empty());
        assert_eq!(store.revive_investigation(incident).await.unwrap(), Revival::Again(()));
        assert_eq!(store.revive_investigation(incident).await.unwrap(), Revival::NotDead, "it waits");
        for _ in 1..=MAX_ATTEMPTS {
            let claim = store.claim_investigation("w", LEASE).await.unwrap().unwrap();
            store.retry_investigation(&claim, "broke off", past()).await.unwrap();
        }
        assert!(store.investigate_again(incident).await.unwrap(), "it can be asked for once more");
        assert!(!store.investigate_again(incident).await.unwrap(), "but not twice");
        let claim = store.claim_investigation("w", LEASE).await.unwrap().unwrap();
        assert!(store.finish_investigation(&claim, &report(), &evidence(), &[], |_| None).await.unwrap());
        assert_eq!(store.revive_investigation(incident).await.unwrap(), Revival::NotDead, "it ended well");
        assert_eq!(store.revive_investigation(Uuid::now_v7()).await.unwrap(), Revival::Unknown);
        assert!(store.investigate_again(incident).await.unwrap());
        let claim = store.claim_investigation("w", LEASE).await.unwrap().unwrap();
        assert!(store.finish_investigation(&claim, &report(), &evidence()[..1], &[], |_| None).await.unwrap());
        let kept = store.incident(incident).await.unwrap().unwrap();
        assert_eq!(kept.evidence.len(), 1, "the evidence is the last investigation's");
    })
    .await;
}
