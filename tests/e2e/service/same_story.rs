//! The same incident through every channel tells the same story: whoever reads it where, in either language, knows the
//! same of it at once. What people read is compared, not how a product wants it written.

use std::time::Duration;

use firstlook::alert::Lang;
use firstlook::times;
use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, resolved, webhook};
use crate::support::eventually;
use crate::support::feishu::Feishu;
use crate::support::feishu_app::FeishuApp;
use crate::support::service::{Home, Service, is_settled};
use crate::support::smtp::SmtpServer;
use crate::support::webhook::Receiver;
use crate::support::wecom::Wecom;

const SECRET: &str = "webhook-signing-secret";

/// Everywhere a message can arrive.
struct Everywhere {
    feishu: Feishu,
    app: FeishuApp,
    markdown: Wecom,
    text: Wecom,
    card: Wecom,
    mail: SmtpServer,
    receiver: Receiver,
}

impl Everywhere {
    async fn start() -> Self {
        Self {
            feishu: Feishu::start().await,
            app: FeishuApp::start().await,
            markdown: Wecom::start().await,
            text: Wecom::start().await,
            card: Wecom::start().await,
            mail: tokio::task::spawn_blocking(|| SmtpServer::start(&[])).await.unwrap(),
            receiver: Receiver::start(SECRET).await,
        }
    }

    fn channels(&self) -> Value {
        let mut app = self.app.channel();
        app["name"] = "app".into();
        let wecom = |name: &str, bot: &Wecom, kind: &str| json!({"name": name, "type": "wecom-bot", "url": bot.url(), "msgtype": kind});
        json!([
            {"name": "feishu", "type": "feishu-bot", "url": self.feishu.url()},
            app,
            wecom("markdown", &self.markdown, "markdown_v2"),
            wecom("text", &self.text, "text"),
            wecom("card", &self.card, "template_card"),
            {"name": "mail", "type": "email", "smtp": format!("smtp://{}", self.mail.address()),
             "from": "Firstlook <firstlook@example.com>", "to": ["sre@example.com"]},
            {"name": "hook", "type": "webhook", "url": self.receiver.url(), "secret": SECRET, "headers": {"x-team": "sre"}},
        ])
    }

    /// What each channel showed last, as people read it.
    fn last(&self) -> Vec<(&'static str, String)> {
        let wecom = |bot: &Wecom| {
            let shown = bot.accepted().into_iter().rfind(|message| message["msgtype"] != "file");
            read(&strings(&shown.unwrap_or_default()))
        };
        let mail = self.mail.received(0).pop();
        let part = |of: fn(&crate::support::smtp::Received) -> Option<String>| {
            mail.as_ref().map(|mail| read(&format!("{}\n{}", mail.header("Subject"), of(mail).unwrap_or_default())))
        };
        vec![
            ("the Feishu bot", read(&strings(&self.feishu.accepted().pop().unwrap_or_default()))),
            ("the Feishu app", read(&strings(&self.app.cards().pop().map(|card| card.content).unwrap_or_default()))),
            ("WeCom's markdown", wecom(&self.markdown)),
            ("WeCom's text", wecom(&self.text)),
            ("WeCom's card", wecom(&self.card)),
            ("the mail's text", part(|mail| mail.text.clone()).unwrap_or_default()),
            ("the mail's HTML", part(|mail| mail.html.clone()).unwrap_or_default()),
            (
                "the webhook",
                read(self.receiver.accepted().pop().unwrap_or_default()["text"].as_str().unwrap_or_default()),
            ),
        ]
    }
}

/// All strings of a JSON value.
fn strings(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(strings).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) => fields.values().map(strings).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// A text without what only writes it: tags, entities, fences, emphasis, full-width stand-ins and white space.
fn read(text: &str) -> String {
    let without = |pattern: &str, text: &str| Regex::new(pattern).unwrap().replace_all(text, "").into_owned();
    let text = without(r"(?s)<style.*?</style>|<!--.*?-->|<[^<>]*>", text);
    let entity = Regex::new(r"&#(x?)([0-9a-fA-F]+);").unwrap();
    let text = entity.replace_all(&text, |found: &regex::Captures<'_>| {
        let radix = if found[1].is_empty() { 10 } else { 16 };
        u32::from_str_radix(&found[2], radix).ok().and_then(char::from_u32).unwrap_or(' ').to_string()
    });
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&sim;", "~"), ("&amp;", "&")];
    let text = named.into_iter().fold(text.into_owned(), |text, (entity, meant)| text.replace(entity, meant));
    let narrow = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        c => c,
    };
    let written =
        |c: &char| !c.is_whitespace() && !matches!(c, '`' | '*' | '\\' | '\u{200b}'..='\u{200d}' | '\u{2060}');
    text.chars().map(narrow).filter(written).collect()
}

/// The beginning of a text: a note has room for that.
fn beginning(text: &str, characters: usize) -> String {
    read(text).chars().take(characters).collect()
}

/// Whether a text says something. A line of a card of WeCom's own takes 30 characters, kind and namespace included.
fn names(channel: &str, text: &str, said: &str) -> bool {
    text.contains(said) || (channel == "WeCom's card" && text.contains(&beginning(said, 15)))
}

async fn page(service: &Service, id: &str) -> String {
    let answer = service.request(reqwest::Method::GET, &format!("/incidents/{id}")).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    read(&answer.text().await.unwrap())
}

/// The cluster the alerts say they are of.
const CLUSTER: &str = "prod-bj";

/// What everybody has to know, and by which name a failure calls it.
fn story(report: &Value, zh: bool) -> Vec<(&'static str, String)> {
    let said =
        |path: &str| report.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path} in {report:#}"));
    let confidence = match (said("/causes/0/confidence"), zh) {
        ("high", true) => "置信度 高",
        ("medium", true) => "置信度 中",
        ("low", true) => "置信度 低",
        ("high", false) => "high confidence",
        ("medium", false) => "medium confidence",
        (_, _) => "low confidence",
    };
    vec![
        ("severity", read(if zh { "警告" } else { "warning" })),
        ("alert", read(said("/overview/alertname"))),
        ("object", read(said("/overview/resource/name"))),
        ("root cause", beginning(said("/causes/0/summary"), 50)),
        ("confidence", read(confidence)),
        ("command", read(said("/steps/0/command"))),
        ("cluster", CLUSTER.to_owned()),
    ]
}

async fn tells_the_same(lang: Lang) {
    let zh = lang == Lang::Zh;
    let everywhere = Everywhere::start().await;
    let home = Home::new(&json!({
        "mcp": builtin(PENDING), "models": [], "channels": everywhere.channels(),
        "language": if zh { "zh-CN" } else { "en" }, "timezone": "Asia/Shanghai",
    }));
    let service = home.serve().await;
    let mut alert = webhook(PENDING);
    for one in alert["alerts"].as_array_mut().unwrap() {
        one["labels"]["cluster"] = CLUSTER.into();
    }
    let (id, _) = service.accept(&alert).await;
    let incident = service.settled(&id, 40).await;
    let story = story(&incident["report"], zh);
    // The mail server's word may come a moment after its mail.
    eventually("a mail", 5, || everywhere.mail.received(0).pop()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut told = everywhere.last();
    told.push(("the page", page(&service, &id).await));
    for (channel, text) in &told {
        for (what, said) in &story {
            // A card of WeCom's own has room for a sentence and leads to the rest.
            let left_out = *channel == "WeCom's card" && ["root cause", "command"].contains(what);
            assert!(left_out || names(channel, text, said), "{channel} lacks the {what} {said:?}: {text}");
        }
    }
    let card = &told.iter().find(|(channel, _)| *channel == "WeCom's card").unwrap().1;
    let headline = beginning(incident["report"]["headline"].as_str().unwrap(), 50);
    assert!(card.contains(&headline) && card.contains(&format!("/incidents/{id}")), "{headline}: {card}");

    let over = |incident: &Value| incident["state"] == "resolved" && is_settled(incident);
    let end = resolved(&alert);
    service.accept(&end).await;
    service.incident_when("it is resolved", &id, 30, over).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let of = |key: &str| end["alerts"].as_array().unwrap().iter().map(|one| moment(&one[key])).collect::<Vec<_>>();
    let (began, ended) = (of("startsAt").into_iter().min().unwrap(), of("endsAt").into_iter().max().unwrap());
    let lasted = read(&times::duration(lang, ended.as_second() - began.as_second()));
    let mut told = everywhere.last();
    told.push(("the page", page(&service, &id).await));
    let ended = read(if zh { "已恢复" } else { "resolved" });
    for (channel, text) in &told {
        assert!(text.contains(&lasted), "{channel} does not say that it lasted {lasted}: {text}");
        assert!(text.to_lowercase().contains(&ended), "{channel} does not say that it is over: {text}");
        for (what, said) in &story[1..3] {
            assert!(names(channel, text, said), "{channel} lacks the {what} {said:?}: {text}");
        }
    }
    assert_eq!((everywhere.feishu.refused(), everywhere.app.refused()), (vec![], vec![]));
    for bot in [&everywhere.markdown, &everywhere.text, &everywhere.card] {
        assert_eq!(bot.refused(), vec![]);
    }
}

fn moment(value: &Value) -> Timestamp {
    value.as_str().unwrap_or_else(|| panic!("no moment: {value}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_channel_tells_the_same_story_in_english() {
    tells_the_same(Lang::En).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_channel_tells_the_same_story_in_chinese() {
    tells_the_same(Lang::Zh).await;
}

/// What leads a group while it fires leads it when it is over, wherever people read of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_group_is_its_gravest_alerts_everywhere_first_and_last() {
    let everywhere = Everywhere::start().await;
    let home = Home::new(&json!({"models": [], "channels": everywhere.channels(), "language": "en"}));
    let service = home.serve().await;
    let mut alert = webhook(PENDING);
    for (number, name, severity) in [(0, "DiskFilling", "warning"), (1, "DatabaseDown", "critical")] {
        let labels = &mut alert["alerts"][number]["labels"];
        (labels["alertname"], labels["severity"]) = (name.into(), severity.into());
    }
    let (id, _) = service.accept(&alert).await;
    service.settled(&id, 40).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut first = everywhere.last();
    service.accept(&resolved(&alert)).await;
    let over = |incident: &Value| incident["state"] == "resolved" && is_settled(incident);
    service.incident_when("it is resolved", &id, 30, over).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut last = everywhere.last();
    last.push(("the page", page(&service, &id).await));
    let thread = everywhere.app.answers_to(&everywhere.app.cards()[0].id);
    first.extend(thread.last().map(|line| ("the thread", read(&format!("critical {}", strings(&line.content))))));
    for (channel, text) in first.iter().chain(&last) {
        assert!(text.contains("DatabaseDown") && text.contains("critical"), "{channel}: {text}");
        assert!(*channel == "WeCom's card" || text.contains("DiskFilling"), "{channel} names the other: {text}");
    }
    let listed = service.request(reqwest::Method::GET, "/api/v1/incidents").send().await.unwrap();
    let listed = &listed.json::<Value>().await.unwrap()["incidents"][0];
    let shown = ["alertname", "severity", "gravest"].map(|key| listed[key].as_str().unwrap());
    assert_eq!(shown, ["DatabaseDown", "critical", "critical"]);
}
