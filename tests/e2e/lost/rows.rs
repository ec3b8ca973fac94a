//! The ways each product fails, with how a message ends there.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::Fault;
use crate::support::feishu::Feishu;
use crate::support::feishu_app::{self, FeishuApp, Refused};
use crate::support::line::{Break, line};
use crate::support::smtp::SmtpServer;
use crate::support::webhook::Receiver;
use crate::support::wecom::Wecom;

/// How a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Delivered, in this form.
    Sent(&'static str),
    /// Given up: a person has to mend something.
    Dead,
}

/// A channel whose product fails.
pub struct Row {
    pub name: String,
    /// Its settings, without the name.
    pub channel: Value,
    pub end: End,
    /// The product asks for a minute.
    pub waits_a_minute: bool,
    heard: Box<dyn Fn() -> usize + Send + Sync>,
}

impl Row {
    fn new(name: String, channel: Value, end: End, heard: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        Self { name, channel, end, waits_a_minute: false, heard: Box::new(heard) }
    }

    /// How many messages people saw.
    pub fn heard(&self) -> usize {
        (self.heard)()
    }
}

const FULL: End = End::Sent("full");
const COMPACT: End = End::Sent("compact");
const PLAIN: End = End::Sent("plain");
const BREAKS: [(Break, &str); 3] =
    [(Break::Reset, "reset"), (Break::Silence, "silent"), (Break::HalfAnAnswer, "half-an-answer")];

/// All of them.
pub async fn all() -> Vec<Row> {
    let mut rows = feishu_bots().await;
    rows.extend(feishu_apps().await);
    rows.extend(wecom_bots().await);
    rows.extend(mails().await);
    rows.extend(webhooks().await);
    rows
}

async fn feishu_bots() -> Vec<Row> {
    let code = |code, said| vec![Fault::Code(code, said)];
    let cases = [
        ("9499-malformed", code(9499, "Bad Request"), COMPACT),
        ("9499-in-every-form", vec![Fault::At(400, 9499, "Bad Request"); 3], End::Dead),
        ("9499-too-many", vec![Fault::At(400, 9499, "too many request")], FULL),
        ("11232", code(11232, "rate limit"), FULL),
        ("11233", code(11233, "rate limit of the chat"), FULL),
        ("11247", code(11247, "internal rate limit"), FULL),
        ("99991400", vec![Fault::At(429, 99_991_400, "request trigger frequency limit")], FULL),
        ("429", vec![Fault::Status(429)], FULL),
        ("19001", code(19001, "incoming webhook access token invalid"), End::Dead),
        ("19021", code(19021, "sign match fail or timestamp is not within one hour"), End::Dead),
        ("19022", code(19022, "ip not allowed"), End::Dead),
        ("19024", code(19024, "Key Words Not Found"), End::Dead),
        ("19036", code(19036, "the message exceeds the size limit"), COMPACT),
        ("11235", code(11235, "the group does not allow @all"), COMPACT),
        ("11246", vec![Fault::Code(11246, "card content invalid"); 2], PLAIN),
        ("230099", code(230_099, "ErrCode: 11310; element exceeds the limit"), COMPACT),
        ("500", vec![Fault::Status(500), Fault::Status(502), Fault::Status(503)], FULL),
        ("html", vec![Fault::Status(200)], FULL),
        ("404", vec![Fault::Status(404)], End::Dead),
    ];
    let mut rows = Vec::new();
    for (name, faults, end) in cases {
        let bot = Feishu::start().await;
        bot.fail(faults);
        let channel = json!({"type": "feishu-bot", "url": bot.url()});
        rows.push(Row::new(format!("feishu-{name}"), channel, end, move || bot.accepted().len()));
    }
    let bot = Feishu::with(Some("right"), None).await;
    let channel = json!({"type": "feishu-bot", "url": bot.url(), "secret": "wrong"});
    rows.push(Row::new("feishu-wrong-secret".into(), channel, End::Dead, move || bot.accepted().len()));
    for (broken, name) in BREAKS {
        let bot = Feishu::start().await;
        let url = through(&bot.url(), broken).await;
        let channel = json!({"type": "feishu-bot", "url": url});
        rows.push(Row::new(format!("feishu-{name}"), channel, FULL, move || bot.accepted().len()));
    }
    rows
}

async fn feishu_apps() -> Vec<Row> {
    let code = |code, said: &str| vec![Refused::code(code, said)];
    let at = |status, code, said: &str| vec![Refused { status, ..Refused::code(code, said) }];
    let mut cases = vec![
        ("230020-429", vec![Refused::slow(1)], FULL),
        ("11232-at-200", at(200, 11_232, "rate limit"), FULL),
        ("230001-receiver", code(230_001, "invalid receive_id"), End::Dead),
        ("230001", code(230_001, "invalid parameter"), COMPACT),
        ("230025", code(230_025, "the length of the card is too long"), COMPACT),
        ("230022-in-every-form", vec![Refused::code(230_022, "sensitive content"); 3], PLAIN),
        ("230022-then-busy", vec![Refused::code(230_022, "sensitive content"), Refused::slow(1)], FULL),
        ("230022-whatever-is-said", vec![Refused::code(230_022, "sensitive content"); 4], End::Dead),
        ("500", at(500, 2200, "Internal Error"), FULL),
    ];
    let slow = [230_020, 230_049, 11_233, 11_247, 99_991_400].map(|number| (number, FULL));
    let token = [99_991_661, 99_991_663, 99_991_665, 99_991_671].map(|number| (number, FULL));
    let card = [230_022, 230_028, 230_099, 200_860, 300_305].map(|number| (number, COMPACT));
    let permanent = [
        230_002, 230_006, 230_013, 230_018, 230_027, 230_029, 230_034, 230_035, 230_053, 232_009, 99_991_403,
        99_991_672,
    ];
    let permanent = permanent.map(|number| (number, End::Dead));
    let numbered: Vec<(String, Vec<Refused>, End)> = slow
        .into_iter()
        .chain(token)
        .chain(card)
        .chain(permanent)
        .map(|(number, end)| (number.to_string(), code(number, "refused"), end))
        .collect();
    let mut rows = Vec::new();
    let named = cases.drain(..).map(|(name, faults, end)| (name.to_owned(), faults, end));
    for (name, faults, end) in named.chain(numbered) {
        let app = FeishuApp::start().await;
        app.fail(faults);
        rows.push(app_row(&name, app.base.clone(), app, end));
    }
    for (broken, name) in BREAKS {
        let app = FeishuApp::start().await;
        rows.push(app_row(name, line(&app.base, broken).await, app, FULL));
    }
    let app = FeishuApp::start().await;
    let mut wrong = app_row("wrong-secret", app.base.clone(), app, End::Dead);
    wrong.channel["app_secret"] = "wrong-secret-wrong-secret".into();
    rows.push(wrong);
    let app = FeishuApp::start().await;
    let mut stranger = app_row("wrong-chat", app.base.clone(), app, End::Dead);
    stranger.channel["receive_id"] = "oc_00000000000000000000000".into();
    rows.push(stranger);
    let brief = FeishuApp::with_tokens_for(1).await;
    rows.push(app_row("brief-token", brief.base.clone(), brief, FULL));
    rows
}

fn app_row(name: &str, base: String, app: FeishuApp, end: End) -> Row {
    let channel = json!({"type": "feishu-app", "app_id": feishu_app::APP_ID, "app_secret": feishu_app::APP_SECRET,
                         "receive_id": feishu_app::CHAT, "base_url": base});
    Row::new(format!("app-{name}"), channel, end, move || app.messages().len())
}

async fn wecom_bots() -> Vec<Row> {
    let code = |code, said| vec![Fault::Code(code, said)];
    let cases = [
        ("40008", code(40008, "invalid message type"), COMPACT, false),
        ("40058", code(40058, "markdown.content exceed max length 4096"), COMPACT, false),
        ("44004", code(44004, "empty content"), COMPACT, false),
        ("45002", vec![Fault::Code(45002, "content size out of limit"); 2], PLAIN, false),
        ("40058-in-every-form", vec![Fault::Code(40058, "invalid parameter"); 3], End::Dead, false),
        ("45009", code(45009, "api freq out of limit"), FULL, true),
        ("45033", code(45033, "concurrency out of limit"), FULL, true),
        ("429", vec![Fault::Status(429)], FULL, true),
        ("busy", code(-1, "system busy"), FULL, false),
        ("500", vec![Fault::Status(500), Fault::Status(502), Fault::Status(503)], FULL, false),
        ("93000", code(93000, "invalid webhook url"), End::Dead, false),
        ("93000-at-403", vec![Fault::At(403, 93000, "invalid webhook url")], End::Dead, false),
        ("93004", code(93004, "robot disabled"), End::Dead, false),
        ("93008", code(93008, "not in the group"), End::Dead, false),
        ("40014", code(40014, "invalid access_token"), End::Dead, false),
        ("html", vec![Fault::Status(200)], FULL, false),
        ("404", vec![Fault::Status(404)], End::Dead, false),
    ];
    let mut rows = Vec::new();
    for (name, faults, end, waits_a_minute) in cases {
        let bot = Wecom::start().await;
        bot.fail(faults);
        let channel = json!({"type": "wecom-bot", "url": bot.url()});
        let row = Row::new(format!("wecom-{name}"), channel, end, move || bot.accepted().len());
        rows.push(Row { waits_a_minute, ..row });
    }
    let bot = Wecom::start().await;
    let channel = json!({"type": "wecom-bot", "url": bot.url().replace("key=", "key=0")});
    rows.push(Row::new("wecom-wrong-key".into(), channel, End::Dead, move || bot.accepted().len()));
    for (broken, name) in BREAKS {
        let bot = Wecom::start().await;
        let url = through(&bot.url(), broken).await;
        let channel = json!({"type": "wecom-bot", "url": url});
        rows.push(Row::new(format!("wecom-{name}"), channel, FULL, move || bot.accepted().len()));
    }
    rows
}

/// One server of each kind for all rows: what fails hangs on the recipient.
async fn mails() -> Vec<Row> {
    let start = |options: &'static [&'static str]| async move {
        Arc::new(tokio::task::spawn_blocking(move || SmtpServer::start(options)).await.unwrap())
    };
    let (plain, small, login) =
        (start(&[]).await, start(&["--size", "4000"]).await, start(&["--login", "user:right"]).await);
    let mut rows = Vec::new();
    let mut row = |name: &str, server: &Arc<SmtpServer>, url: String, end| {
        let to = format!("{name}@example.com");
        let channel = json!({"type": "email", "smtp": url, "from": "Firstlook <fl@example.com>", "to": [to]});
        let (server, to) = (server.clone(), to.clone());
        let heard = move || server.received(0).iter().filter(|mail| mail.to.contains(&to)).count();
        rows.push(Row::new(format!("mail-{name}"), channel, end, heard));
    };
    let usual = format!("smtp://{}", plain.address());
    row("unknown", &plain, usual.clone(), End::Dead);
    row("busy", &plain, usual.clone(), FULL);
    row("full", &small, format!("smtp://{}", small.address()), PLAIN);
    row("wrong-password", &login, format!("smtp://user:wrong@{}", login.address()), End::Dead);
    row("no-login", &login, format!("smtp://{}", login.address()), End::Dead);
    row("no-tls", &plain, format!("{usual}?tls=required"), End::Dead);
    for (broken, name) in BREAKS {
        row(name, &plain, format!("smtp://{}", line(&plain.address(), broken).await), FULL);
    }
    rows
}

async fn webhooks() -> Vec<Row> {
    let mut cases = vec![(413, COMPACT)];
    cases.extend([408, 425, 429, 500, 502, 503, 504].map(|status| (status, FULL)));
    cases.extend([301, 400, 401, 403, 404, 405, 410, 422].map(|status| (status, End::Dead)));
    let settings = |url: String, secret: &str| json!({"type": "webhook", "url": url, "secret": secret, "headers": {"X-Team": "sre"}});
    let mut rows = Vec::new();
    for (status, end) in cases {
        let receiver = Receiver::start("right").await;
        receiver.fail([Fault::Status(status)]);
        let channel = settings(receiver.url(), "right");
        rows.push(Row::new(format!("webhook-{status}"), channel, end, move || receiver.accepted().len()));
    }
    let receiver = Receiver::start("right").await;
    let channel = settings(receiver.url(), "wrong");
    rows.push(Row::new("webhook-wrong-secret".into(), channel, End::Dead, move || receiver.accepted().len()));
    for (broken, name) in BREAKS {
        let receiver = Receiver::start("right").await;
        let url = through(&receiver.url(), broken).await;
        rows.push(Row::new(format!("webhook-{name}"), settings(url, "right"), FULL, move || receiver.accepted().len()));
    }
    rows
}

/// The same address over a line that breaks once.
async fn through(url: &str, broken: Break) -> String {
    let end = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at);
    format!("{}{}", line(&url[..end], broken).await, &url[end..])
}
