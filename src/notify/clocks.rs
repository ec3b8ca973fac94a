//! Whatever a sender's clock says, people read a time in their zone, a duration that can be, and never the year 1.

use jiff::{Span, Timestamp};

use super::fixtures::{ALL, notice, now};
use super::layout::Layout;
use super::notice::{Notice, NoticeBody};
use super::send::Form;
use super::{email, feishu, preview, wecom};
use crate::alert::Lang;

/// Everything a notice is on every channel and in every form, and on the page.
fn told(notice: &Notice) -> String {
    let mut told = String::new();
    for form in [Form::Full, Form::Compact, Form::Plain] {
        let card = feishu::render::content(notice, now(), form, None, &Layout::default()).unwrap();
        let chat =
            wecom::render::message(notice, now(), form, wecom::render::MARKDOWN_BUDGET, &Layout::default()).unwrap();
        let mail = email::render::mail(notice, now(), form, &Layout::default()).unwrap();
        told += &serde_json::to_string(&card).unwrap().replace("&#58;", ":");
        told += &serde_json::to_string(&chat).unwrap();
        told += &format!("{}{}", mail.text, mail.html.unwrap_or_default());
    }
    let report = notice.report().cloned().unwrap_or_default();
    told + &preview::page(std::slice::from_ref(notice), &[], &report, Lang::En, now(), &preview::Looks::default())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn starting(name: &str, starts_at: Timestamp) -> Notice {
    let mut notice = notice(name);
    notice.group.alerts.iter_mut().for_each(|alert| alert.starts_at = starts_at);
    notice
}

#[test]
fn a_start_at_zero_or_ahead_of_the_clock_is_when_we_were_told() {
    for start in [at("0001-01-01T00:00:00Z"), Timestamp::UNIX_EPOCH, now() + Span::new().hours(3)] {
        // A summary is about a day or about many alerts, not about one that began.
        let single = ALL.into_iter().filter(|(name, _)| !notice(name).is_collective());
        for (name, lang) in single.map(|(name, _)| (name, notice(name).lang)) {
            let notice = Notice { opened_at: at("2026-11-23T03:35:00Z"), ..starting(name, start) };
            let told = told(&notice);
            assert!(told.contains("2026-11-23 11:35:00 +08:00"), "{name} from {start}: {told}");
            assert!(!told.contains("0001-01-01") && !told.contains("1970-01-01") && !told.contains("14:40:00"));
            if !matches!(notice.body, NoticeBody::Resolved { .. }) {
                assert!(told.contains(lang.pick("已持续 5 分钟", "for 5 min")), "{name} from {start}");
            }
        }
    }
}

#[test]
fn an_end_at_zero_or_before_the_start_is_when_we_were_told() {
    for resolved_at in [at("0001-01-01T00:00:00Z"), Timestamp::UNIX_EPOCH, at("2026-11-23T01:00:00Z")] {
        let body = NoticeBody::Resolved { resolved_at };
        let told = told(&Notice { body, ..notice("resolved.zh") });
        assert!(told.contains("2026-11-23 10:32:12 +08:00 开始"), "{told}");
        assert!(told.contains("2026-11-23 11:40:00 +08:00 恢复"), "the moment of sending: {told}");
        assert!(told.contains("共持续 1 小时 7 分钟") && !told.contains("0001-") && !told.contains("1970-"));
    }
}

#[test]
fn without_a_zone_times_are_utc_and_say_so() {
    let told = told(&Notice { timezone: "UTC".into(), ..notice("alert-oom.en") });
    assert!(told.contains(" UTC · for ") && !told.contains("+00:00"), "{told}");
}
