//! Every channel sends what its product accepts, reads what it answers, and says what to do when it fails.

use std::sync::Arc;
use std::time::Duration;

use firstlook::notify::channel::{Channel, ChannelSettings};
use firstlook::notify::companion::{Companion, Companions};
use firstlook::notify::notice::{Notice, NoticeBody};
use firstlook::notify::post;
use firstlook::notify::send::{Form, Reason, SendError};
use firstlook::report::Cause;
use serde_json::{Value, json};

use crate::support::feishu::Feishu;
use crate::support::smtp::{SmtpServer, self_signed};
use crate::support::webhook::Receiver;
use crate::support::wecom::Wecom;
use crate::support::{Fault, card, notice, notices};

fn channel(settings: Value) -> Channel {
    let settings: ChannelSettings = serde_json::from_value(settings).expect("settings");
    settings.build(&post::client().expect("a client"), &Arc::default()).expect("a channel")
}

fn feishu(bot: &Feishu) -> Channel {
    channel(json!({"type": "feishu-bot", "name": "oncall", "url": bot.url()}))
}

fn wecom(bot: &Wecom) -> Channel {
    channel(json!({"type": "wecom-bot", "name": "ops", "url": bot.url()}))
}

fn mail(smtp: &str, to: &[&str]) -> Channel {
    channel(json!({"type": "email", "name": "mail", "smtp": smtp, "from": "Firstlook <fl@example.com>", "to": to}))
}

async fn refusal(channel: &Channel, notice: &Notice) -> SendError {
    channel.send(notice).await.expect_err("the message is refused")
}

#[tokio::test]
async fn feishu_accepts_every_notice_in_full() {
    let bot = Feishu::with(Some("demo"), None).await.without_rate_limit();
    let channel = channel(json!({"type": "feishu-bot", "name": "oncall", "url": bot.url(), "secret": "demo"}));
    for (name, notice) in notices() {
        assert_eq!(channel.send(&notice).await.unwrap_or_else(|error| panic!("{name}: {error}")), Form::Full, "{name}");
    }
    assert_eq!(bot.accepted().len(), notices().len());
    assert!(bot.refused().is_empty(), "{:?}", bot.refused());
    assert_eq!(bot.accepted()[0]["msg_type"], "interactive");
}

#[tokio::test]
async fn feishu_says_what_to_do_about_a_wrong_signature() {
    let bot = Feishu::with(Some("right"), None).await;
    let channel = channel(json!({"type": "feishu-bot", "name": "oncall", "url": bot.url(), "secret": "wrong-secret"}));
    let error = refusal(&channel, &notice("diagnosis-pvc.zh")).await;
    assert_eq!(error.reason, Reason::Auth);
    assert!(error.detail.contains("19021") && error.detail.contains("`secret`"), "{error}");
    assert_eq!(bot.refused().len(), 1, "a plainer card would not be signed any better");
}

#[tokio::test]
async fn feishu_gets_its_keyword() {
    let bot = Feishu::with(None, Some("生产:告警")).await;
    let without = refusal(&feishu(&bot), &notice("resolved.en")).await;
    assert_eq!(without.reason, Reason::Rejected);
    assert!(without.detail.contains("`keyword`"), "{without}");
    let settings = json!({"type": "feishu-bot", "name": "oncall", "url": bot.url(), "keyword": "生产:告警"});
    assert_eq!(channel(settings).send(&notice("resolved.en")).await.expect("accepted"), Form::Full);
}

#[tokio::test]
async fn f37_feishu_gets_a_plainer_form_of_what_it_refuses() {
    let bot = Feishu::start().await;
    bot.fail([Fault::Code(11246, "card content invalid")]);
    assert_eq!(feishu(&bot).send(&notice("diagnosis-pvc.en")).await.expect("accepted"), Form::Compact);
    bot.fail([Fault::Code(19036, "too large"), Fault::Code(230_099, "ErrCode: 11310")]);
    assert_eq!(feishu(&bot).send(&notice("diagnosis-pvc.en")).await.expect("accepted"), Form::Plain);
    let text = bot.accepted()[1]["content"]["text"].as_str().expect("text").to_owned();
    assert!(text.contains("test-data") && text.contains("3f9a12bc"), "{text}");
    bot.fail(vec![Fault::Code(9499, "Bad Request"); 3]);
    assert_eq!(refusal(&feishu(&bot), &notice("diagnosis-pvc.en")).await.reason, Reason::Rejected);
}

#[tokio::test]
async fn feishu_is_given_time_when_it_asks_for_it() {
    let bot = Feishu::start().await;
    let channel = feishu(&bot);
    for _ in 0..5 {
        channel.send(&notice("resolved.en")).await.expect("within the rate");
    }
    let error = refusal(&channel, &notice("resolved.en")).await;
    assert_eq!(error.reason, Reason::RateLimited, "the sixth in a second: {error}");
    assert!(error.retry_after >= Some(Duration::from_secs(1)));
    assert!(channel.pace().iter().any(|quota| quota.messages == 5 && quota.per == Duration::from_secs(1)));
}

#[tokio::test]
async fn the_stand_in_refuses_the_cards_feishu_refuses() {
    let bot = Feishu::start().await.without_rate_limit();
    feishu(&bot).send(&notice("diagnosis-pvc.en")).await.expect("accepted");
    let card = bot.accepted()[0]["card"].clone();
    assert_eq!(card::check(&card), Ok(()));
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut card = card.clone();
        change(&mut card);
        card::check(&card).expect_err("Feishu refuses this card")
    };
    broken(&|card| card["config"]["wide_screen_mode"] = json!(true));
    broken(&|card| card["body"]["elements"][0]["href"] = json!({}));
    broken(&|card| card["body"]["elements"][0]["tag"] = json!("note"));
    broken(&|card| card["header"]["template"] = json!("#ff0000"));
    broken(&|card| card["body"]["elements"][0]["content"] = json!("![x](https://evil.example)"));
    broken(&|card| card["body"]["elements"][3]["header"]["padding"] = json!("4px 8px"));
    broken(&|card| card["body"]["elements"] = json!(vec![json!({"tag": "hr"}); 201]));
    feishu(&bot).send(&notice("alert-oom.en")).await.expect("accepted");
    let drawn = bot.accepted()[1]["card"].clone();
    let chart = drawn["body"]["elements"].as_array().and_then(|all| all.iter().position(|one| one["tag"] == "chart"));
    let chart = chart.expect("what is measured is drawn");
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut card = drawn.clone();
        change(&mut card["body"]["elements"]);
        card::check(&card).expect_err("Feishu refuses this card")
    };
    broken(&|all| all[chart]["chart_spec"]["data"]["values"] = json!([]));
    broken(&|all| all[chart]["chart_spec"]["yField"] = json!("figure"));
    broken(&|all| all[chart]["height"] = json!("1000px"));
    broken(&|all| all[0]["content"] = json!("<local_datetime millisecond='1' format_type='iso'></local_datetime>"));
    broken(&|all| all[0]["content"] = json!("<local_datetime millisecond='' format_type='date'></local_datetime>"));
    let client = post::client().expect("a client");
    let large = json!({"msg_type": "text", "content": {"text": "x".repeat(21_000)}});
    let answer: Value = client.post(bot.url()).json(&large).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["code"], 19036);
}

#[tokio::test]
async fn wecom_accepts_every_notice_without_a_mention() {
    let bot = Wecom::start().await.without_rate_limit();
    for (name, notice) in notices() {
        wecom(&bot).send(&notice).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(bot.accepted().len(), notices().len());
    assert!(bot.refused().is_empty(), "{:?}", bot.refused());
    assert!(bot.accepted().iter().all(|message| message["msgtype"] == "markdown_v2"));
}

#[tokio::test]
async fn wecom_gets_a_shorter_form_of_what_it_refuses() {
    let bot = Wecom::start().await;
    bot.fail([Fault::Code(40058, "markdown_v2.content exceed max length 4096")]);
    assert_eq!(wecom(&bot).send(&notice("diagnosis-pvc.zh")).await.expect("accepted"), Form::Compact);
    let content = bot.accepted()[0]["markdown_v2"]["content"].as_str().expect("markdown").to_owned();
    assert!(content.len() <= 1_900 && content.contains("根本原因"), "half the size: {} bytes", content.len());
    bot.fail([Fault::Code(40008, "invalid message type"), Fault::Code(45002, "content size out of limit")]);
    assert_eq!(wecom(&bot).send(&notice("diagnosis-pvc.zh")).await.expect("accepted"), Form::Plain);
    assert_eq!(bot.accepted()[1]["msgtype"], "text");
}

/// A diagnosis no message holds: six causes with a paragraph each.
fn long(name: &str) -> Notice {
    let mut notice = notice(name);
    let NoticeBody::Diagnosis { report } = &mut notice.body else { unreachable!("the fixture is a diagnosis") };
    let cause = report.causes[0].clone();
    report.causes = (1..=6)
        .map(|number| Cause { summary: format!("cause {number}: {}", "the volume waits ".repeat(40)), ..cause.clone() })
        .collect();
    notice
}

#[tokio::test]
async fn wecom_gets_the_full_report_as_a_file_behind_a_message_that_could_not_hold_it() {
    let bot = Wecom::start().await;
    let channel = wecom(&bot);
    assert_eq!(channel.send(&notice("diagnosis-pvc.zh")).await.expect("accepted"), Form::Full);
    assert!(bot.files().is_empty(), "the message held it all");
    assert_eq!(channel.send(&long("diagnosis-pvc.zh")).await.expect("accepted"), Form::Compact);
    let content = bot.accepted()[1]["markdown_v2"]["content"].as_str().expect("markdown").to_owned();
    assert!(content.contains("(https://firstlook.example.com/incidents/"), "the page's link stays: {content}");
    let files = bot.files();
    assert_eq!(files.len(), 1);
    let (after, file) = &files[0];
    assert_eq!((*after, file.name.as_str()), (2, "firstlook-3f9a12bc.md"), "right behind its message");
    assert!(file.content.contains("cause 6: ") && file.content.matches("the volume waits").count() == 240);
    let companions = channel.companions().expect("a bot has companions");
    assert_eq!(companions.take_posted(), 1, "it counts at the bot's rate");
    assert_eq!((companions.take_posted(), companions.take_lost()), (0, vec![]));
    assert!(bot.refused().is_empty(), "{:?}", bot.refused());
}

#[tokio::test]
async fn wecom_keeps_a_message_whose_file_fails_and_never_repeats_it() {
    let bot = Wecom::start().await;
    let channel = wecom(&bot);
    let faults = [Fault::Code(-1, "system busy"), Fault::Status(502), Fault::Echo(40058)];
    bot.fail_upload(faults.clone());
    for _ in faults {
        channel.send(&long("diagnosis-pvc.en")).await.expect("the message itself is delivered");
    }
    assert_eq!((bot.accepted().len(), bot.files().len()), (6, 0), "a line behind each says where the report is");
    let line = &bot.accepted()[1]["text"]["content"];
    assert!(line.as_str().is_some_and(|line| line.contains("3f9a12bc") && line.contains("https://")), "{line}");
    let companions = channel.companions().expect("a bot has companions");
    assert_eq!((companions.take_posted(), companions.take_lost()), (3, vec![Companion::File; 3]));
    let relay = channel_without_uploads(&bot);
    relay.send(&long("diagnosis-pvc.en")).await.expect("the message itself is delivered");
    assert_eq!((bot.accepted().len(), bot.files().len()), (7, 0));
}

/// The same bot at an address whose sibling nobody can know.
fn channel_without_uploads(bot: &Wecom) -> Channel {
    channel(json!({"type": "wecom-bot", "name": "relayed", "url": bot.relay_url()}))
}

#[tokio::test]
async fn the_stand_in_refuses_the_uploads_wecom_refuses() {
    let bot = Wecom::start().await;
    let client = post::client().expect("a client");
    let call = async |url: String, body: String| {
        let kind = "multipart/form-data; boundary=b";
        let request = client.post(url).header("content-type", kind).body(body);
        request.send().await.unwrap().json::<Value>().await.unwrap()["errcode"].clone()
    };
    let part = |fields: &str, content: &str| {
        format!("--b\r\nContent-Disposition: form-data; {fields}\r\n\r\n{content}\r\n--b--\r\n")
    };
    let upload = bot.url().replace("/send?", "/upload_media?") + "&type=file";
    let good = r#"name="media"; filename="a.md"; filelength=6"#;
    assert_eq!(call(upload.clone(), part(good, "123456")).await, 0);
    assert_eq!(call(upload.clone(), part(good, "1234567")).await, 41005, "another length than it says");
    assert_eq!(call(upload.clone(), part(r#"name="media"; filename="a.md"; filelength=5"#, "12345")).await, 40006);
    assert_eq!(call(upload.clone(), part(r#"name="file"; filename="a.md"; filelength=6"#, "123456")).await, 41005);
    assert_eq!(call(upload.replace("&type=file", ""), part(good, "123456")).await, 40004);
    assert_eq!(call(upload.replace("key=", "key=0"), part(good, "123456")).await, 93000);
    let unknown = json!({"msgtype": "file", "file": {"media_id": "of another bot"}});
    let answer: Value = client.post(bot.url()).json(&unknown).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["errcode"], 40007);
}

#[tokio::test]
async fn wecom_is_given_a_minute_after_twenty_messages() {
    let bot = Wecom::start().await;
    let channel = wecom(&bot);
    for _ in 0..20 {
        channel.send(&notice("resolved.zh")).await.expect("within the rate");
    }
    let error = refusal(&channel, &notice("resolved.zh")).await;
    assert_eq!(error.reason, Reason::RateLimited, "{error}");
    assert!(error.retry_after >= Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn wecom_says_what_to_do_about_a_wrong_key() {
    let bot = Wecom::start().await;
    let url = bot.url().replace("0ec2sifa5aaa", "0ec2sifa5aab");
    let error =
        refusal(&channel(json!({"type": "wecom-bot", "name": "ops", "url": url})), &notice("resolved.zh")).await;
    assert_eq!(error.reason, Reason::Auth);
    assert!(error.detail.contains("`url`"), "{error}");
}

#[tokio::test]
async fn failures_on_the_way_are_retryable() {
    let (feishu_bot, wecom_bot) = (Feishu::start().await, Wecom::start().await);
    feishu_bot.fail([Fault::Status(502)]);
    wecom_bot.fail([Fault::Status(503)]);
    let nobody = json!({"type": "feishu-bot", "name": "oncall", "url": "http://127.0.0.1:9/open-apis/bot/v2/hook/x"});
    for (channel, reason) in
        [(feishu(&feishu_bot), Reason::Server), (wecom(&wecom_bot), Reason::Server), (channel(nobody), Reason::Network)]
    {
        let error = refusal(&channel, &notice("resolved.en")).await;
        assert_eq!(error.reason, reason, "{error}");
        assert!(error.reason.is_retryable());
    }
}

#[tokio::test]
async fn no_failure_ever_tells_a_secret() {
    const SECRETS: [&str; 5] = ["f00dcafe-1234", "0ec2sifa5aaa", "signing-secret", "mail-p@ssword", "mail-p%40ssword"];
    let (feishu_bot, wecom_bot) = (Feishu::start().await, Wecom::start().await);
    feishu_bot.fail([Fault::Echo(19001), Fault::Echo(19021), Fault::Echo(9499), Fault::Echo(9499), Fault::Echo(9499)]);
    wecom_bot.fail([Fault::Echo(93000), Fault::Echo(45009), Fault::Echo(-1)]);
    let signed = json!({"type": "feishu-bot", "name": "oncall", "url": feishu_bot.url(), "secret": "signing-secret"});
    let server = SmtpServer::start(&["--login", "someone:else"]);
    let login = mail(&format!("smtp://user:mail-p%40ssword@{}", server.address()), &["a@example.com"]);
    let gone_feishu =
        channel(json!({"type": "feishu-bot", "name": "x", "url": "http://127.0.0.1:9/hook/f00dcafe-1234"}));
    let gone_wecom = channel(json!({"type": "wecom-bot", "name": "x", "url": "http://127.0.0.1:9/?key=0ec2sifa5aaa"}));
    let gone_mail = mail("smtp://user:mail-p%40ssword@127.0.0.1:9", &["a@example.com"]);
    let signed = channel(signed);
    let wecom_bot = wecom(&wecom_bot);
    let mut told = Vec::new();
    for channel in
        [&signed, &signed, &signed, &wecom_bot, &wecom_bot, &wecom_bot, &login, &gone_feishu, &gone_wecom, &gone_mail]
    {
        let error = refusal(channel, &notice("resolved.en")).await;
        told.push(format!("{error} {error:?} {channel:?}"));
    }
    for bad in [
        json!({"type": "feishu-bot", "name": "x", "url": "f00dcafe-1234"}),
        json!({"type": "email", "name": "x", "smtp": "imap://user:mail-p%40ssword@host", "from": "a@b.c", "to": ["a@b.c"]}),
        json!({"type": "email", "name": "x", "smtp": "smtp://user:mail-p%40ssword@host?tls=maybe", "from": "a@b.c", "to": ["a@b.c"]}),
    ] {
        let settings: ChannelSettings = serde_json::from_value(bad).expect("settings");
        told.push(format!("{settings:?}"));
        let error = settings
            .build(&post::client().expect("a client"), &Arc::default())
            .expect_err("these settings cannot work");
        told.push(format!("{error} {error:?}"));
    }
    for text in told {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} is told in: {text}");
        }
    }
}

#[tokio::test]
async fn a_mail_threads_with_its_incident_and_stops_auto_replies() {
    let server = SmtpServer::start(&[]);
    let channel = mail(&format!("smtp://{}", server.address()), &["a@example.com"]);
    for name in ["diagnosis-pvc.zh", "resolved.zh"] {
        assert_eq!(channel.send(&notice(name)).await.expect("accepted"), Form::Full);
    }
    let mails = server.received(2);
    assert_eq!(mails.len(), 2);
    let root = "<inc-0193a5b27c1e7d3a9f005d2e3f9a12bc@example.com>";
    for mail in &mails {
        assert_eq!(mail.header("In-Reply-To"), root);
        assert_eq!(mail.header("References"), root);
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert!(!mail.header("Date").is_empty());
        assert_eq!(mail.header("X-Auto-Response-Suppress"), "All");
        assert_eq!(mail.header("Subject"), mails[0].header("Subject"), "one subject for the whole incident");
        assert_eq!(mail.parts, ["multipart/alternative", "text/plain", "text/html"]);
    }
    assert_ne!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    let about = "KubePodNotReady Pod aiops/test-deployment-d49fc6fff-v8f86 prod-bj";
    assert_eq!(mails[0].header("Subject"), format!("[Firstlook] 警告 {about} (事件 3f9a12bc)"));
    assert!(mails[0].text.as_ref().is_some_and(|text| text.contains("根本原因")));
    assert!(mails[0].html.as_ref().is_some_and(|html| html.contains("根本原因")));
}

#[tokio::test]
async fn one_bad_recipient_does_not_keep_the_mail_from_the_others() {
    let server = SmtpServer::start(&[]);
    let channel =
        mail(&format!("smtp://{}", server.address()), &["unknown@example.com", "a@example.com", "b@example.com"]);
    assert_eq!(channel.send(&notice("resolved.en")).await.expect("two of three"), Form::Full);
    let served: Vec<_> = server.received(2).into_iter().flat_map(|mail| mail.to).collect();
    assert_eq!(served, ["a@example.com", "b@example.com"]);
    let only = mail(&format!("smtp://{}", server.address()), &["unknown@example.com"]);
    assert_eq!(refusal(&only, &notice("resolved.en")).await.reason, Reason::Rejected);
}

#[tokio::test]
async fn a_mail_sent_again_goes_only_to_those_without_it() {
    let server = SmtpServer::start(&[]);
    let channel =
        mail(&format!("smtp://{}", server.address()), &["a@example.com", "busy@example.com", "unknown@example.com"]);
    let error = refusal(&channel, &notice("resolved.en")).await;
    assert!(error.reason.is_retryable(), "{error}");
    channel.send(&notice("resolved.en")).await.expect("the busy one takes it now");
    let mails = server.received(2);
    let served: Vec<_> = mails.iter().flat_map(|mail| &mail.to).collect();
    assert_eq!(served, ["a@example.com", "busy@example.com"], "nobody got it twice");
    assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
}

#[tokio::test]
async fn a_mail_that_had_to_be_shortened_carries_the_full_report() {
    let server = SmtpServer::start(&[]);
    let channel = mail(&format!("smtp://{}", server.address()), &["a@example.com"]);
    channel.send(&long("diagnosis-pvc.zh")).await.expect("accepted");
    let mails = server.received(1);
    assert_eq!(
        mails[0].parts,
        ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/markdown"]
    );
    let (name, content) = &mails[0].files[0];
    assert_eq!(name, "firstlook-3f9a12bc.md");
    assert!(content.matches("the volume waits").count() == 240 && content.contains("根本原因"), "{content}");
}

#[tokio::test]
async fn a_mail_too_large_for_the_server_is_sent_as_text() {
    let server = SmtpServer::start(&["--size", "6000"]);
    let channel = mail(&format!("smtp://{}", server.address()), &["a@example.com"]);
    assert_eq!(channel.send(&notice("diagnosis-pvc.en")).await.expect("accepted"), Form::Plain);
    let mails = server.received(1);
    assert_eq!(mails[0].parts, ["text/plain"]);
    assert!(mails[0].text.as_ref().is_some_and(|text| text.contains("test-data")));
}

#[tokio::test]
async fn a_login_works_and_a_wrong_one_says_so() {
    let server = SmtpServer::start(&["--login", "user:p@ss"]);
    let right = mail(&format!("smtp://user:p%40ss@{}", server.address()), &["a@example.com"]);
    right.send(&notice("resolved.en")).await.expect("accepted");
    let wrong = mail(&format!("smtp://user:wrong@{}", server.address()), &["a@example.com"]);
    let error = refusal(&wrong, &notice("resolved.en")).await;
    assert_eq!(error.reason, Reason::Auth, "{error}");
    assert!(error.detail.contains("`smtp`"), "{error}");
}

#[tokio::test]
async fn f38_no_mail_goes_out_in_the_clear_when_tls_is_required() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = self_signed(folder.path());
    let certificate = certificate.to_str().expect("a path");
    let plain = SmtpServer::start(&[]);
    let starttls = SmtpServer::start(&["--tls", "starttls", "--certificate", certificate]);
    let implicit = SmtpServer::start(&["--tls", "implicit", "--certificate", certificate]);
    for (server, url) in [
        (&plain, format!("smtp://{}?tls=required", plain.address())),
        (&plain, format!("smtps://{}", plain.address())),
        (&starttls, format!("smtp://{}?tls=required", starttls.address())),
        (&starttls, format!("smtp://{}", starttls.address())),
        (&implicit, format!("smtps://{}", implicit.address())),
    ] {
        refusal(&mail(&url, &["a@example.com"]), &notice("resolved.en")).await;
        assert!(server.received(0).is_empty(), "{url} let a mail out");
    }
}

/// TLS that works needs a trusted certificate, and trust is read from the environment of a process: this test runs
/// itself again in one that trusts the server's.
#[tokio::test]
async fn mail_goes_over_tls_to_a_trusted_server() {
    if let Ok(url) = std::env::var("FIRSTLOOK_TEST_SMTP") {
        mail(&url, &["a@example.com"]).send(&notice("resolved.en")).await.expect("accepted over TLS");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = self_signed(folder.path());
    let trusted = folder.path().join("certificate.pem");
    for (kind, scheme, query) in [("starttls", "smtp", "?tls=required"), ("implicit", "smtps", "")] {
        let server = SmtpServer::start(&["--tls", kind, "--certificate", certificate.to_str().expect("a path")]);
        let child = tokio::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "channels::mail_goes_over_tls_to_a_trusted_server"])
            .env("FIRSTLOOK_TEST_SMTP", format!("{scheme}://{}{query}", server.address()))
            .env("SSL_CERT_FILE", &trusted)
            .output();
        let ended = child.await.expect("the child runs");
        assert!(ended.status.success(), "{kind}: {}", String::from_utf8_lossy(&ended.stdout));
        assert!(server.received(1).iter().all(|mail| mail.secure), "{kind}");
        assert_eq!(server.received(1).len(), 1, "{kind}");
    }
}

#[test]
fn settings_are_plain_and_strict() {
    let unknown = json!({"type": "wecom-bot", "name": "ops", "url": "https://example.com", "secrte": "x"});
    let error = serde_json::from_value::<ChannelSettings>(unknown).expect_err("an unknown key");
    assert!(error.to_string().contains("secrte"), "{error}");
    let nobody = json!({"type": "email", "name": "mail", "smtp": "smtp://localhost", "from": "a@b.c", "to": []});
    let settings: ChannelSettings = serde_json::from_value(nobody).expect("settings");
    assert_eq!(settings.name(), "mail");
    assert!(settings.build(&post::client().expect("a client"), &Arc::default()).is_err(), "nobody would get it");
}

fn webhook(receiver: &Receiver, secret: &str) -> Channel {
    let headers = json!({"X-Team": "sre"});
    channel(json!({"type": "webhook", "name": "own", "url": receiver.url(), "secret": secret, "headers": headers}))
}

#[tokio::test]
async fn a_webhook_gets_every_notice_signed_and_once() {
    let receiver = Receiver::start("right").await;
    for (name, notice) in notices() {
        let sent = webhook(&receiver, "right").send(&notice).await;
        assert_eq!(sent.unwrap_or_else(|error| panic!("{name}: {error}")), Form::Full, "{name}");
    }
    assert_eq!(receiver.accepted().len(), notices().len());
    let message = &receiver.accepted()[0];
    assert_eq!(message["version"], 1);
    assert!(message["text"].as_str().is_some_and(|text| !text.is_empty()));
    let again = notice("diagnosis-pvc.zh");
    webhook(&receiver, "right").send(&again).await.expect("taken, and known by its delivery id");
    assert_eq!(receiver.accepted().len(), notices().len(), "who remembers the delivery id acts once");
}

#[tokio::test]
async fn a_webhook_says_what_to_do_and_shortens_what_is_too_large() {
    let receiver = Receiver::start("right").await;
    let error = refusal(&webhook(&receiver, "wrong"), &notice("resolved.en")).await;
    assert_eq!(error.reason, Reason::Auth);
    assert!(error.detail.contains("`secret`"), "{error}");
    receiver.fail([Fault::Status(413)]);
    assert_eq!(webhook(&receiver, "right").send(&notice("diagnosis-pvc.en")).await.expect("accepted"), Form::Compact);
    receiver.fail([Fault::Status(503)]);
    assert_eq!(refusal(&webhook(&receiver, "right"), &notice("resolved.en")).await.reason, Reason::Server);
    receiver.fail([Fault::Status(429)]);
    let error = refusal(&webhook(&receiver, "right"), &notice("resolved.en")).await;
    assert_eq!((error.reason, error.retry_after), (Reason::RateLimited, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn feishu_calls_the_people_the_rules_name_and_not_again_at_once() {
    let bot = Feishu::start().await.calling("ou_alice");
    let mentions = json!([{"match": {"severity": "warning"}, "users": ["ou_alice"]}]);
    let channel = channel(json!({"type": "feishu-bot", "name": "oncall", "url": bot.url(), "mentions": mentions}));
    for told in ["alert-waiting.zh", "diagnosis-pvc.zh", "alert-waiting.zh"] {
        assert_eq!(channel.send(&notice(told)).await.expect("accepted"), Form::Full);
    }
    let called = |message: &Value| message.to_string().contains("<at id=ou_alice></at>");
    let calls: Vec<bool> = bot.accepted().iter().map(called).collect();
    assert_eq!(calls, [true, false, false], "a diagnosis calls nobody, and the next alert comes too soon");
}

/// A group that forbids to call everybody refuses the whole card.
#[tokio::test]
async fn feishu_calls_people_where_the_group_forbids_to_call_everybody() {
    let bot = Feishu::start().await.calling("ou_alice");
    let mentions = json!([{"users": ["all", "ou_alice"]}]);
    let channel = channel(json!({"type": "feishu-bot", "name": "oncall", "url": bot.url(), "mentions": mentions}));
    let form = channel.send(&notice("alert-waiting.zh")).await.expect("accepted");
    assert_eq!(form, Form::Full, "nothing else was wrong with it");
    assert_eq!(bot.refused()[0].0, 11235);
    assert!(bot.accepted()[0].to_string().contains("<at id=ou_alice></at>"), "{:?}", bot.accepted());
}

#[tokio::test]
async fn wecom_calls_people_in_a_line_behind_the_message() {
    let bot = Wecom::start().await;
    let owners = json!({"alice": "zhangsan"});
    let mentions = json!([{"match": {"severity": "warning"}, "users": ["all"]}]);
    let settings =
        json!({"type": "wecom-bot", "name": "ops", "url": bot.url(), "mentions": mentions.clone(), "owners": owners});
    let channel = self::channel(settings);
    let mut told = notice("alert-waiting.zh");
    told.group.alerts[0].labels.insert("owner".into(), "alice".into());
    channel.send(&told).await.expect("accepted");
    assert_eq!(bot.accepted().len(), 2);
    assert_eq!(bot.accepted()[0]["msgtype"], "markdown_v2");
    let users = &bot.accepted()[1]["text"]["mentioned_list"];
    assert_eq!(users.as_array().map(Vec::len), Some(2), "{users}");
    let companions = channel.companions().expect("a bot has companions");
    assert_eq!((companions.take_posted(), companions.take_lost()), (1, vec![]), "the line counts at the bot's rate");
    // One that calls nobody after all is counted: the message is there, and nobody was called.
    bot.fail_calls([Fault::Code(45009, "api freq out of limit")]);
    let another = self::channel(json!({"type": "wecom-bot", "name": "b", "url": bot.url(), "mentions": mentions}));
    another.send(&told).await.expect("accepted");
    let lost = another.companions().map(Companions::take_lost);
    assert_eq!(lost, Some(vec![Companion::Mention]));
    let before = bot.accepted().len();
    channel.send(&notice("resolved.zh")).await.expect("accepted");
    assert_eq!(bot.accepted().len(), before + 1, "the end calls nobody");
}

#[tokio::test]
async fn wecom_sends_the_kind_of_message_the_group_wants() {
    let bot = Wecom::start().await.without_rate_limit();
    let of = |kind: &str| channel(json!({"type": "wecom-bot", "name": "ops", "url": bot.url(), "msgtype": kind}));
    for (name, notice) in notices() {
        of("text").send(&notice).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        of("template_card").send(&notice).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(bot.refused().is_empty(), "{:?}", bot.refused());
    let kinds: Vec<Value> = bot.accepted().iter().map(|message| message["msgtype"].clone()).collect();
    assert_eq!(kinds.len(), 2 * notices().len());
    for (pair, (name, notice)) in kinds.chunks(2).zip(notices()) {
        // A card has no room for the names of many incidents.
        let card = if notice.is_collective() { "markdown_v2" } else { "template_card" };
        assert_eq!(pair, [json!("text"), json!(card)], "{name}");
    }
    let reports = notices().iter().filter(|(_, notice)| notice.report().is_some()).count();
    let files = bot.files().len();
    assert!((reports + 1..2 * reports).contains(&files), "a card never holds the whole report, a text may: {files}");
    let without_page = Notice { page_url: None, alertmanager_url: None, ..notice("resolved.zh") };
    of("template_card").send(&without_page).await.expect("accepted");
}
