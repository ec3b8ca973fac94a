//! What people see, on record: every fixture on every channel, in both languages.

use super::fixtures::{self, ALL, notice, now};
use super::layout::Layout;
use super::notice::{Notice, NoticeBody};
use super::send::Form;
use super::{attacks, email, feishu, limits, preview, rehearsal, webhook, wecom};
use crate::alert::Lang;

#[test]
fn feishu_cards() {
    for (name, _) in ALL {
        let content = feishu::render::richest(&notice(name), now(), None, &Layout::default());
        insta::assert_json_snapshot!(format!("feishu-{name}"), content);
    }
}

#[test]
fn wecom_messages() {
    for (name, _) in ALL {
        let message =
            serde_json::to_value(wecom::render::richest(&notice(name), now(), &Layout::default())).expect("JSON");
        assert_eq!(message["msgtype"], "markdown_v2");
        insta::assert_snapshot!(format!("wecom-{name}"), message["markdown_v2"]["content"].as_str().expect("text"));
    }
}

#[test]
fn webhook_bodies() {
    for name in ["alert-waiting.en", "diagnosis-pvc.zh", "resolved.en"] {
        let body = webhook::render::body(&notice(name), now(), Form::Full).expect("it fits");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        insta::assert_json_snapshot!(format!("webhook-{name}"), body);
    }
}

#[test]
fn mails() {
    for (name, _) in ALL {
        let mail = email::render::richest(&notice(name), now(), &Layout::default());
        insta::assert_snapshot!(format!("mail-{name}.txt"), format!("Subject: {}\n\n{}", mail.subject, mail.text));
        insta::assert_snapshot!(format!("mail-{name}.html"), mail.html.expect("the HTML part"));
    }
}

/// Shows the message of every fixture on its page; `scripts/screens.sh` photographs what this writes.
#[test]
fn pages() {
    let folder = std::env::var_os("FIRSTLOOK_SCREENS").map(std::path::PathBuf::from);
    let extremes = [Lang::En, Lang::Zh].into_iter().flat_map(|lang| {
        let told =
            move |kind: &str, notice: Notice| (format!("{kind}.{}", lang.pick("zh", "en")), Notice { lang, ..notice });
        let extremes = [("diagnosis-hostile", attacks::hostile()), ("diagnosis-longest", limits::longest())];
        let small = [("alert-joined", joined(lang)), ("test", test(lang))];
        extremes.into_iter().chain(small).map(move |(kind, notice)| told(kind, notice))
    });
    for (name, notice) in ALL.into_iter().map(|(name, _)| (name.to_owned(), notice(name))).chain(extremes) {
        // What is over shows what was found.
        let found = || fixtures::notice(notice.lang.pick("diagnosis-pvc.zh", "diagnosis-pvc.en")).report().cloned();
        let over = matches!(notice.body, NoticeBody::Resolved { .. });
        let report = notice.report().cloned().or_else(|| found().filter(|_| over)).unwrap_or_default();
        let looks = preview::Looks::default().everything();
        let page = preview::page(std::slice::from_ref(&notice), &[], &report, notice.lang, now(), &looks);
        let kind = name.split(['-', '.']).next().expect("a name");
        assert!(page.contains(&format!("<section class=\"message {kind}\">")), "{name} is shown");
        if let Some(folder) = &folder {
            std::fs::write(folder.join(format!("{name}.html")), page).expect("the page is written");
            let mail = email::render::richest(&notice, now(), &Layout::default());
            let mails = folder.join("mails");
            std::fs::create_dir_all(&mails).expect("a folder");
            std::fs::write(mails.join(format!("{name}.html")), mail.html.unwrap_or_default())
                .expect("the mail is written");
        }
    }
}

/// An alert that joined an incident whose first message was out.
fn joined(lang: Lang) -> Notice {
    let mut notice = notice(lang.pick("alert-waiting.zh", "alert-waiting.en"));
    notice.group.alerts.remove(0);
    notice.group.alerts[0].starts_at = now() - jiff::SignedDuration::from_secs(42);
    notice.body = NoticeBody::Alert { report: None, investigating: false, missing: Vec::new() };
    notice
}

/// What `firstlook check --send` sends.
fn test(lang: Lang) -> Notice {
    let mut notice = Notice { opened_at: now(), ..rehearsal::notice(lang, "Asia/Shanghai") };
    notice.incident = fixtures::notice("alert-waiting.en").incident;
    notice.group.alerts.iter_mut().for_each(|alert| alert.starts_at = now());
    notice
}
