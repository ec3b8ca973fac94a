//! What the platform answers when it does not do as asked, and what becomes of the card.

use serde_json::{Value, json};

use super::parts;
use crate::support::alerts::{PENDING, in_group, resolved};
use crate::support::database::on_every_engine;
use crate::support::feishu_app::{FeishuApp, Refused};
use crate::support::service::{Home, Service, is_settled};
use crate::support::{contract, eventually};

async fn service(app: &FeishuApp) -> (Home, Service) {
    let home = Home::new(&parts(app, json!([])));
    let service = home.serve().await;
    (home, service)
}

async fn told(service: &Service, group: &str) -> (Value, String) {
    let alert = in_group(PENDING, group);
    let (id, _) = service.accept(&alert).await;
    service.settled(&id, 30).await;
    contract::holds_at_least(service, alert["alerts"].as_array().unwrap().len() as u64, 10).await;
    (alert, id)
}

async fn over(service: &Service, alert: &Value, id: &str) -> Value {
    service.accept(&resolved(alert)).await;
    let over = |incident: &Value| incident["state"] == "resolved" && is_settled(incident);
    let incident = service.incident_when("it is resolved", id, 30, over).await;
    contract::holds_at_least(service, 2 * alert["alerts"].as_array().unwrap().len() as u64, 10).await;
    incident
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_is_gone_is_followed_by_a_new_one() {
    let app = FeishuApp::start().await;
    let (_home, service) = service(&app).await;
    for code in [230_011, 230_031, 230_110] {
        let before = app.cards().len();
        let (alert, id) = told(&service, &format!("gone-{code}")).await;
        let card = app.cards().pop().unwrap();
        app.lose(&card.id, code);
        over(&service, &alert, &id).await;
        let cards = app.cards();
        assert_eq!(cards.len(), before + 2, "{code}: {cards:#?}");
        assert_eq!(cards.last().unwrap().content["header"]["template"], "green", "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f36_an_answer_that_was_lost_makes_no_second_card() {
    on_every_engine(async || {
        let app = FeishuApp::start().await;
        let (_home, service) = service(&app).await;
        app.swallow(2);
        let (alert, id) = told(&service, "swallowed").await;
        assert_eq!(app.cards().len(), 1, "the uuid stayed the same");
        over(&service, &alert, &id).await;
        assert_eq!(app.cards().len(), 1);
        assert_eq!(app.cards()[0].content["header"]["template"], "green", "the card was found again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_could_note_the_card_it_makes_no_second_one() {
    on_every_engine(async || {
        let app = FeishuApp::start().await;
        let (home, service) = service(&app).await;
        app.swallow(1_000);
        let alert = in_group(PENDING, "killed");
        let (id, _) = service.accept(&alert).await;
        eventually("the card is there", 10, || (!app.cards().is_empty()).then_some(())).await;
        service.kill_9().await;
        app.swallow(0);
        let service = home.serve().await;
        service.settled(&id, 40).await;
        over(&service, &alert, &id).await;
        assert_eq!(app.cards().len(), 1);
        assert_eq!(app.cards()[0].content["header"]["template"], "green");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ended_is_renewed_once_and_one_that_lives_is_kept() {
    let app = FeishuApp::start().await;
    let (_home, service) = service(&app).await;
    for group in 0..3 {
        told(&service, &format!("kept-{group}")).await;
    }
    assert_eq!(app.tokens_given(), 1);
    app.end_tokens();
    told(&service, "renewed").await;
    assert_eq!(app.tokens_given(), 2);
    assert_eq!(app.cards().len(), 4);
    assert!(!service.log().contains("t-0"), "no token stands in the log");

    let brief = FeishuApp::with_tokens_for(2).await;
    let (_home, service) = self::service(&brief).await;
    told(&service, "before").await;
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    told(&service, "after").await;
    assert_eq!((brief.tokens_given(), brief.refused()), (2, vec![]), "renewed before it ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_f37_what_passes_is_waited_for_and_what_does_not_fit_becomes_plainer() {
    let app = FeishuApp::start().await;
    let (_home, service) = service(&app).await;
    let at_200 = Refused { status: 200, ..Refused::code(230_020, "frequency limit") };
    app.fail([Refused::slow(1), at_200, Refused::code(99_991_663, "Invalid access token")]);
    let (_, id) = told(&service, "slow").await;
    let notice = &service.incident(&id).await["notices"][0];
    assert_eq!((&notice["state"], &notice["attempts"], &notice["form"]), (&json!("sent"), &json!(3), &json!("full")));

    app.fail([Refused::code(230_025, "The length of the card is too long")]);
    let (_, id) = told(&service, "long").await;
    assert_eq!(service.incident(&id).await["notices"][0]["form"], "compact");

    app.fail([Refused::code(230_099, "ErrCode: 11310"), Refused::code(230_099, "ErrCode: 11310")]);
    let (alert, id) = told(&service, "plain").await;
    assert_eq!(service.incident(&id).await["notices"][0]["form"], "plain");
    let cards = app.cards().len();
    over(&service, &alert, &id).await;
    assert_eq!(app.cards().len(), cards + 1, "a text cannot become a card: the end is a card of its own");

    let (alert, id) = told(&service, "changes").await;
    app.fail_changes(vec![Refused::code(230_099, "ErrCode: 200861"); 2]);
    let incident = over(&service, &alert, &id).await;
    assert_eq!(incident["notices"][1]["form"], "plain", "what no card takes is told beneath it: {incident:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_must_mend_is_put_aside_with_what_to_do() {
    for (code, says) in [(230_002, "add the app's bot"), (99_991_672, "im:message:send_as_bot"), (232_009, "dissolved")]
    {
        let app = FeishuApp::start().await;
        let (_home, service) = service(&app).await;
        app.fail([Refused::code(code, "no")]);
        let (_, id) = told(&service, "dead").await;
        let notice = service.incident(&id).await["notices"][0].clone();
        assert_eq!(notice["state"], "dead", "{notice}");
        assert!(notice["last_error"].as_str().unwrap().contains(says), "{notice}");
    }
    let app = FeishuApp::start().await;
    let mut parts = parts(&app, json!([]));
    parts["channels"][0]["app_secret"] = "wrong-secret-wrong-secret".into();
    let home = Home::new(&parts);
    let service = home.serve().await;
    let (_, id) = told(&service, "wrong").await;
    let notice = service.incident(&id).await["notices"][0].clone();
    assert!(notice["last_error"].as_str().unwrap().contains("`app_secret`"), "{notice}");
    assert!(!service.log().contains("wrong-secret-wrong-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_keeps_to_the_chat_s_rate_and_every_incident_has_its_card() {
    const INCIDENTS: usize = 20;
    let app = FeishuApp::start().await;
    let (_home, service) = service(&app).await;
    let alerts: Vec<Value> = (0..INCIDENTS).map(|index| in_group(PENDING, &format!("burst-{index}"))).collect();
    let taken = futures::future::join_all(alerts.iter().map(|alert| service.accept(alert))).await;
    for (id, _) in &taken {
        service.settled(id, 60).await;
    }
    assert_eq!(app.cards().len(), INCIDENTS);
    let limited = app.refused().iter().filter(|(code, _)| *code == 230_020).count();
    assert!(limited <= 2, "{limited} calls were over the chat's rate");
    assert_eq!(app.messages().iter().filter(|message| message.kind == "text").count(), 0);
}

/// What a documented code asks for, when a card that stands is changed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asks {
    /// The same once more, a moment later.
    Again,
    /// A card in the place of the one that is gone.
    NewCard,
    /// A shorter card.
    Shorter,
    /// Somebody who mends it: the message is a visible dead letter.
    Somebody,
}

const CODES: [(i64, Asks); 35] = [
    (11_232, Asks::Again),
    (11_233, Asks::Again),
    (11_247, Asks::Again),
    (230_020, Asks::Again),
    (230_049, Asks::Again),
    (99_991_400, Asks::Again),
    (99_991_661, Asks::Again),
    (99_991_663, Asks::Again),
    (99_991_665, Asks::Again),
    (99_991_671, Asks::Again),
    (230_011, Asks::NewCard),
    (230_031, Asks::NewCard),
    (230_110, Asks::NewCard),
    (9_499, Asks::Shorter),
    (11_246, Asks::Shorter),
    (11_310, Asks::Shorter),
    (200_860, Asks::Shorter),
    (230_001, Asks::Shorter),
    (230_022, Asks::Shorter),
    (230_025, Asks::Shorter),
    (230_028, Asks::Shorter),
    (230_099, Asks::Shorter),
    (300_305, Asks::Shorter),
    (230_002, Asks::Somebody),
    (230_006, Asks::Somebody),
    (230_013, Asks::Somebody),
    (230_018, Asks::Somebody),
    (230_027, Asks::Somebody),
    (230_029, Asks::Somebody),
    (230_034, Asks::Somebody),
    (230_035, Asks::Somebody),
    (230_053, Asks::Somebody),
    (232_009, Asks::Somebody),
    (99_991_403, Asks::Somebody),
    (99_991_672, Asks::Somebody),
];

/// Incidents that are told, one for each code, on a service of their own: its faults meet nobody else.
async fn one_for_each(app: &FeishuApp, service: &Service, what: &str) -> Vec<(Value, String, i64, Asks)> {
    let mut told = Vec::new();
    for (code, asks) in CODES {
        let alert = in_group(PENDING, &format!("{what}-{code}"));
        let (id, _) = service.accept(&alert).await;
        told.push((alert, id, code, asks));
    }
    for (_, id, _, _) in &told {
        service.settled(id, 60).await;
    }
    assert_eq!(app.cards().len(), CODES.len());
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_code_of_a_change_ends_in_a_message_or_a_visible_dead_letter() {
    let app = FeishuApp::start().await;
    let (_home, service) = service(&app).await;
    for (alert, id, code, asks) in one_for_each(&app, &service, "change").await {
        let cards = app.cards().len();
        app.fail_changes([Refused::code(code, "as the test wants it")]);
        let incident = over(&service, &alert, &id).await;
        let notice = &incident["notices"][1];
        let came = (notice["state"].as_str().unwrap(), notice["form"].as_str().unwrap_or_default());
        let expected = match asks {
            Asks::Again | Asks::NewCard => ("sent", "full"),
            Asks::Shorter => ("sent", "compact"),
            Asks::Somebody => ("dead", ""),
        };
        assert_eq!(came, expected, "{code}: {notice:#}");
        assert_eq!(app.cards().len(), cards + usize::from(asks == Asks::NewCard), "{code}");
        if asks == Asks::Somebody {
            let said = notice["last_error"].as_str().unwrap();
            assert!(said.contains(&code.to_string()) && said.contains(": "), "{code}: what to do is said: {said}");
        }
    }
    let dead = CODES.iter().filter(|(_, asks)| *asks == Asks::Somebody).count();
    let counted = service.metric("firstlook_queue_length{queue=\"outbox_dead\"}").await;
    assert_eq!(counted, u32::try_from(dead).ok().map(f64::from), "people see them");
}

/// The card says already that it is over: a line in its thread that is refused for good is counted, and nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_code_of_a_reply_leaves_the_card_changed() {
    let app = FeishuApp::start().await;
    let (_home, service) = service(&app).await;
    let mut lost = 0.0;
    for (alert, id, code, asks) in one_for_each(&app, &service, "reply").await {
        // One refused for its form is tried once beneath the card instead of in its thread; a filter reads the same words there.
        let again = asks == Asks::Shorter && ![230_022, 230_028].contains(&code);
        app.fail_replies(vec![Refused::code(code, "as the test wants it"); 1 + usize::from(again)]);
        let incident = over(&service, &alert, &id).await;
        let notice = &incident["notices"][1];
        assert_eq!((&notice["state"], &notice["form"]), (&json!("sent"), &json!("full")), "{code}: {notice:#}");
        let green = app.cards().iter().filter(|card| card.content["header"]["template"] == "green").count();
        assert!(green > 0, "{code}");
        lost += f64::from(u8::from(asks != Asks::Again));
    }
    let green = app.cards().iter().filter(|card| card.content["header"]["template"] == "green").count();
    assert_eq!((green, app.cards().len()), (CODES.len(), CODES.len()), "each card says that it is over");
    let counted = service.metric("firstlook_notices_total{channel=\"oncall\",outcome=\"without_reply\"}").await;
    assert_eq!(counted, Some(lost));
}
