//! Channels that fail: what can be mended by waiting is, what cannot is put where people see it, and the others go on.

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::service::{Home, Service};
use crate::support::team::{CHANNELS, Team};
use crate::support::{Fault, eventually};

/// Nothing is looked at: each incident is one message on each channel.
async fn serve(channels: Value) -> (Home, Service) {
    looking(json!([]), channels).await
}

async fn looking(mcp: Value, channels: Value) -> (Home, Service) {
    let home = Home::new(&json!({"mcp": mcp, "channels": channels}));
    let service = home.serve().await;
    (home, service)
}

/// Every alert of the one delivery was told on some channel.
async fn all_are_told(service: &Service) {
    let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
    let balance = contract::holds(service, alerts, 5).await;
    assert_eq!(balance.sent, alerts as u64, "{balance:?}");
}

fn notice<'a>(incident: &'a Value, channel: &str) -> &'a Value {
    let notices = incident["notices"].as_array().unwrap();
    notices.iter().find(|notice| notice["channel"] == channel).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_feishu_that_is_busy_gets_the_message_once_when_it_is_not() {
    on_every_engine(async || {
        let team = Team::start().await;
        team.feishu.fail([Fault::Code(9499, "too many request"), Fault::Code(9499, "too many request")]);
        let (_home, service) = serve(team.channels()).await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let incident = service.settled(&id, 30).await;
        team.each_has_just([1, 1, 1]).await;
        let sent = notice(&incident, "oncall");
        assert_eq!((&sent["state"], &sent["attempts"], &sent["form"]), (&json!("sent"), &json!(3), &json!("full")));
        let [feishu, wecom, mail] = team.heard();
        assert!(wecom[0].at < feishu[0].at && mail[0].at < feishu[0].at, "the others do not wait for it");
        let failures = "firstlook_notices_total{channel=\"oncall\",outcome=\"rate_limited\"}";
        assert_eq!(service.metric(failures).await, Some(2.0));
        all_are_told(&service).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f37_feishu_that_finds_the_card_too_large_gets_a_smaller_one_at_once() {
    on_every_engine(async || {
        let team = Team::start().await;
        team.feishu.fail([Fault::Code(19036, "the message exceeds the size limit")]);
        let (_home, service) = looking(builtin(PENDING), team.channels()).await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let incident = service.settled(&id, 30).await;
        let sent = notice(&incident, "oncall");
        assert_eq!((&sent["state"], &sent["attempts"], &sent["form"]), (&json!("sent"), &json!(1), &json!("compact")));
        assert!(team.heard()[0].iter().any(|message| message.text.contains("test-data")));
        all_are_told(&service).await;
    })
    .await;
}

/// Codes of a bot that is busy or paces its senders; each is waited out, and people read the message once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_each_code_by_which_feishu_asks_to_slow_down_is_waited_out() {
    for code in [11232, 99_991_400] {
        on_every_engine(async || {
            let team = Team::start().await;
            team.feishu.fail([Fault::Code(code, "frequency limited")]);
            let (_home, service) = serve(team.channels()).await;
            let (id, _) = service.accept(&webhook(PENDING)).await;
            let incident = service.settled(&id, 90).await;
            let sent = notice(&incident, "oncall");
            assert_eq!((&sent["state"], &sent["attempts"]), (&json!("sent"), &json!(2)), "{code}: {sent:#}");
            team.each_has_just([1, 1, 1]).await;
            all_are_told(&service).await;
        })
        .await;
    }
}

/// Codes that no repetition mends: a dead letter that people see, and the other channels tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f35_each_code_that_no_repetition_mends_is_a_dead_letter_at_once() {
    for (feishu, wecom) in [(Some(19022), None), (None, Some(93000))] {
        on_every_engine(async || {
            let team = Team::start().await;
            team.feishu.fail(feishu.map(|code| Fault::Code(code, "refused")));
            team.wecom.fail(wecom.map(|code| Fault::Code(code, "invalid webhook url")));
            let (_home, service) = serve(team.channels()).await;
            let (id, _) = service.accept(&webhook(PENDING)).await;
            let incident = service.settled(&id, 30).await;
            let dead = notice(&incident, if feishu.is_some() { "oncall" } else { "ops" });
            assert_eq!(dead["state"], "dead", "{feishu:?} {wecom:?}: {dead:#}");
            all_are_told(&service).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_wecom_over_its_rate_waits_as_long_as_wecom_wants() {
    on_every_engine(async || {
        let team = Team::start().await;
        team.wecom.fail([Fault::Code(45009, "api freq out of limit")]);
        let (_home, service) = serve(team.channels()).await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let waits = |incident: &Value| !notice(incident, "ops")["last_error"].is_null();
        let incident = service.incident_when("WeCom's refusal is noted", &id, 10, waits).await;
        let waiting = notice(&incident, "ops");
        assert_eq!((&waiting["state"], &waiting["attempts"]), (&json!("ready"), &json!(1)), "{waiting:#}");
        let due: jiff::Timestamp = waiting["due_at"].as_str().unwrap().parse().unwrap();
        let wait = due.duration_since(jiff::Timestamp::now()).as_secs();
        assert!((50..=70).contains(&wait), "a minute is WeCom's window, not {wait} s");
        eventually("the other channels have it", 5, || (team.counts() == [1, 0, 1]).then_some(())).await;
        contract::balance(&service).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f35_a_wrong_secret_is_a_dead_letter_that_people_see() {
    on_every_engine(async || {
        let team = Team::start().await;
        let mut channels = team.channels();
        channels[0]["secret"] = "not-the-secret".into();
        let (_home, service) = serve(channels).await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let incident = service.settled(&id, 30).await;
        let dead = notice(&incident, "oncall");
        assert_eq!((&dead["state"], &dead["attempts"]), (&json!("dead"), &json!(1)), "{dead:#}");
        let error = dead["last_error"].as_str().unwrap();
        assert!(error.contains("19021") && error.contains("`secret`"), "{error}");
        assert!(!error.contains("not-the-secret") && !service.log().contains("not-the-secret"));
        team.each_has_just([0, 1, 1]).await;
        assert_eq!(service.metric("firstlook_queue_length{queue=\"outbox_dead\"}").await, Some(1.0));
        let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
        let balance = contract::holds(&service, alerts, 5).await;
        assert_eq!((balance.sent, balance.dead), (alerts as u64, 0), "two channels of three told people: {balance:?}");
        let token = team.feishu.url().rsplit('/').next().unwrap().to_owned();
        assert!(!service.log().contains(&token), "the webhook's token is in the log");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f38_a_busy_mailbox_gets_its_mail_later() {
    on_every_engine(async || {
        let team = Team::writing_to("busy@example.com").await;
        let (_home, service) = serve(team.channels()).await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let incident = service.settled(&id, 30).await;
        let sent = notice(&incident, "mail");
        assert_eq!((&sent["state"], &sent["attempts"]), (&json!("sent"), &json!(2)), "{sent:#}");
        assert!(sent["last_error"].as_str().unwrap().contains("busy"));
        team.each_has_just([1, 1, 1]).await;
        all_are_told(&service).await;
    })
    .await;
}

/// Nobody could be told: that is an end too, and it is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_that_every_channel_gave_up_are_counted_as_dead() {
    on_every_engine(async || {
        let team = Team::start().await;
        let mut channels = team.channels();
        channels[0]["secret"] = "not-the-secret".into();
        let (_home, service) = serve(json!([channels[0]])).await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let incident = service.settled(&id, 30).await;
        let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
        let balance = contract::holds(&service, alerts, 5).await;
        assert_eq!((balance.sent, balance.dead), (0, alerts as u64), "{balance:?}");
        assert_eq!(incident["delivery_log"][0]["outcome"], "dead", "{incident:#}");
    })
    .await;
}

/// A channel that is down keeps nobody else waiting, and its own messages in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_a_gateway_in_between_that_fails_is_outlasted_in_order() {
    on_every_engine(async || {
        let team = Team::start().await;
        team.feishu.fail([Fault::Status(502), Fault::Status(503)]);
        let (_home, service) = serve(team.channels()).await;
        let alert = webhook(PENDING);
        let (id, _) = service.accept(&alert).await;
        service.accept(&crate::support::alerts::resolved(&alert)).await;
        service.settled(&id, 30).await;
        for (name, channel) in CHANNELS.iter().zip(team.heard()) {
            assert_eq!(channel.len(), 2, "{name}: {channel:#?}");
            assert!(channel[1].text.contains("Resolved"), "{name}");
        }
    })
    .await;
}
