//! What a channel refuses for good: told elsewhere once, visible as given up, and sent again when somebody asks.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Fault;
use crate::support::alerts::{PENDING, in_group, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::eventually;
use crate::support::feishu::Feishu;
use crate::support::service::{Home, Service, TOKEN};
use crate::support::webhook::Receiver;
use crate::support::wecom::Wecom;

struct Stage {
    feishu: Feishu,
    wecom: Wecom,
    service: Service,
    _home: Home,
}

/// Everything goes to Feishu alone; WeCom is told what Feishu refuses.
async fn stage() -> Stage {
    let (feishu, wecom) = (Feishu::start().await, Wecom::start().await);
    let home = Home::new(&json!({
        "channels": [
            {"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"fallback": "ops"}},
            {"name": "ops", "type": "wecom-bot", "url": wecom.url()},
        ],
        "routes": [{"channels": ["oncall"], "triage": "never"}],
    }));
    Stage { feishu, wecom, service: home.serve().await, _home: home }
}

/// Each message of an incident: channel, state, id.
fn messages(incident: &Value) -> Vec<(String, String, String)> {
    let word = |notice: &Value, key: &str| notice[key].as_str().unwrap_or_default().to_owned();
    let notices = incident["notices"].as_array().unwrap();
    notices.iter().map(|one| (word(one, "channel"), word(one, "state"), word(one, "id"))).collect()
}

async fn again(service: &Service, id: &str) -> u16 {
    service.request(Method::POST, &format!("/api/v1/messages/{id}/again")).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f35_what_a_channel_refuses_for_good_is_told_on_another_once_and_stays_visible() {
    on_every_engine(async || {
        let Stage { feishu, wecom, service, _home } = stage().await;
        feishu.fail([Fault::Code(19001, "param invalid: incoming webhook access token invalid")]);
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let both = |incident: &Value| messages(incident).len() == 2 && messages(incident)[1].1 == "sent";
        let incident = service.incident_when("it is told elsewhere", &id, 20, both).await;
        let told = messages(&incident);
        assert_eq!((told[0].0.as_str(), told[0].1.as_str()), ("oncall", "dead"), "{incident:#}");
        assert!(incident["notices"][0]["last_error"].as_str().unwrap().contains("19001"));
        let shown = wecom.accepted();
        assert_eq!(shown.len(), 1, "{shown:#?}");
        let said = shown[0]["markdown_v2"]["content"].as_str().unwrap();
        assert!(said.contains("Meant for channel `oncall`") && said.contains("19001"), "{said}");
        let balance = contract::holds(&service, webhook(PENDING)["alerts"].as_array().unwrap().len(), 5).await;
        assert_eq!(balance.dead, 0, "{balance:?}");
        assert_eq!(service.metric("firstlook_queue_length{queue=\"outbox_dead\"}").await, Some(1.0));

        let ready: Value = service.request(Method::GET, "/readyz?verbose").send().await.unwrap().json().await.unwrap();
        let health = |at: usize| {
            let channel = &ready["channels"][at];
            [&channel["name"], &channel["state"], &channel["failure"]]
                .map(|word| word.as_str().unwrap_or_default().to_owned())
        };
        assert_eq!(
            (health(0), health(1)),
            (["oncall", "failing", "auth"].map(str::to_owned), ["ops", "ok", ""].map(str::to_owned))
        );

        assert_eq!(again(&service, &told[1].2).await, 409, "it was sent");
        assert_eq!(again(&service, "01900000-0000-7000-8000-000000000000").await, 404);
        assert_eq!(again(&service, "nonsense").await, 404);
        assert_eq!(again(&service, &told[0].2).await, 202);
        service.settled(&id, 20).await;
        assert_eq!((feishu.accepted().len(), wecom.accepted().len()), (1, 1), "Feishu works again");
        assert!(!feishu.accepted()[0].to_string().contains("Meant for"), "it is where it was meant to be");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f35_a_dead_fallback_is_a_visible_dead_letter_too() {
    on_every_engine(async || {
        let Stage { feishu, wecom, service, _home } = stage().await;
        feishu.fail([Fault::Code(19001, "gone")]);
        wecom.fail([Fault::Code(93000, "invalid webhook url")]);
        let (id, _) = service.accept(&in_group(PENDING, "both")).await;
        let over = |incident: &Value| messages(incident).iter().filter(|one| one.1 == "dead").count() == 2;
        service.incident_when("both gave up", &id, 20, over).await;
        let balance = contract::holds(&service, webhook(PENDING)["alerts"].as_array().unwrap().len(), 5).await;
        assert!(balance.dead > 0, "{balance:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_button_asks_for_a_login_and_for_a_page_of_ours() {
    on_every_engine(async || {
    let hook = Receiver::start("s3cret").await;
    let home = Home::new(&json!({
        "channels": [
            {"name": "hook", "type": "webhook", "url": hook.url(), "secret": "s3cret", "headers": {"X-Team": "sre"}},
            {"name": "ops", "type": "wecom-bot", "url": "http://127.0.0.1:9/send?key=none"},
        ],
        "routes": [{"channels": ["hook"], "triage": "never"}],
    }));
    let service = home.serve().await;
    hook.fail([Fault::Status(400)]);
    let (id, _) = service.accept(&webhook(PENDING)).await;
    let incident = service.settled(&id, 20).await;
    let (_, state, message) = messages(&incident)[0].clone();
    assert_eq!(state, "dead", "{incident:#}");

    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let entered = browser
        .post(format!("{}/login", service.base()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("password={TOKEN}"));
    let entered = entered.send().await.unwrap();
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let page = browser.get(format!("{}/incidents/{id}?lang=en", service.base())).header("cookie", &cookie);
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(page.contains(&format!("action=\"{id}/messages/{message}/again?lang=en\"")), "{page}");

    let press = || browser.post(format!("{}/incidents/{id}/messages/{message}/again", service.base()));
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(press()).await, 401, "nobody knows who this is");
    let foreign = press().header("cookie", &cookie).header("origin", "https://evil.example");
    assert_eq!(status(foreign).await, 403);
    assert_eq!(messages(&service.incident(&id).await)[0].1, "dead");
    let ours = press().header("cookie", &cookie).header("origin", service.base());
    let answer = ours.send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()),
        (303, &*format!("../../../{id}"))
    );
    let sent = |incident: &Value| messages(incident)[0].1 == "sent";
    service.incident_when("it is sent again", &id, 20, sent).await;
    assert_eq!(hook.accepted().len(), 1);
    })
    .await;
}

/// A daily summary belongs to no incident; what becomes of it is seen all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daily_summary_its_channel_refuses_is_told_on_the_fallback_and_stays_visible() {
    let (feishu, wecom) = (Feishu::start().await, Wecom::start().await);
    feishu.fail([Fault::Code(19001, "param invalid: incoming webhook access token invalid")]);
    wecom.fail([Fault::Code(93000, "invalid webhook url")]);
    let due = jiff::Timestamp::now().strftime("%H:%M").to_string();
    let lost = |name: &str, kind: &str, url: String, fallback: Option<&str>| json!({"name": name, "type": kind, "url": url, "digest": due.clone(), "delivery": {"fallback": fallback}});
    let hook = Receiver::start("s3cret").await;
    let home = Home::new(&json!({"channels": [
        lost("oncall", "feishu-bot", feishu.url(), Some("hook")),
        lost("ops", "wecom-bot", wecom.url(), None),
        {"name": "hook", "type": "webhook", "url": hook.url(), "secret": "s3cret", "headers": {"X-Team": "sre"}},
    ]}));
    let service = home.serve().await;
    let told = eventually("the summary is told on the fallback", 30, || hook.accepted().pop()).await;
    let lost = told.to_string();
    assert!(lost.contains("\"digest\"") && lost.contains("oncall") && lost.contains("19001"), "{lost}");
    let api = service.get("/api/v1/incidents").await;
    let lost: Vec<_> =
        api["undelivered_summaries"].as_array().unwrap().iter().map(|one| one["channel"].clone()).collect();
    assert_eq!(lost, ["oncall", "ops"], "{api}");
    // The bot is back: a person asks for the summary, and it comes.
    let day = api["undelivered_summaries"][1]["day"].as_str().unwrap().to_owned();
    let again = async |day: &str, channel: &str| {
        let path = format!("/api/v1/summaries/{day}/{channel}/again");
        service.request(Method::POST, &path).send().await.unwrap().status().as_u16()
    };
    assert_eq!(
        (again(&day, "nobody").await, again("2020-01-01", "ops").await, again("x", "ops").await),
        (404, 404, 404)
    );
    assert_eq!((again(&day, "ops").await, again(&day, "ops").await), (202, 409), "once asked it waits");
    eventually("the summary comes after all", 30, || wecom.accepted().pop()).await;
    let api = service.get("/api/v1/incidents").await;
    assert_eq!(api["undelivered_summaries"].as_array().unwrap().len(), 1, "{api}");
    assert_eq!(again(&day, "ops").await, 409, "it was sent");
    assert_eq!(service.metric("firstlook_queue_length{queue=\"outbox_dead\"}").await, Some(1.0));
    assert_eq!((feishu.accepted().len(), wecom.accepted().len()), (0, 1));
}
