//! Every message fits, whatever an incident holds: sizes the products refuse are never sent, and nothing takes long.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::fixtures::{ALL, notice, now};
use super::layout::Layout;
use super::notice::{Event, Notice, NoticeBody, Told};
use super::send::Form;
use super::wecom::MessageType;
use super::{email, feishu, plain, webhook, wecom};
use crate::alert::{Alert, Labels};
use crate::notify::story::{Caps, tell};
use crate::report::{Cause, Citation, Confidence, Led, Related, SameCause, Step};

const FORMS: [Form; 3] = [Form::Full, Form::Compact, Form::Plain];
/// An incident's page as a link with its pass has it.
const PAGE: &str = "https://firstlook.example.com/incidents/0193a5b2-7c1e-7d3a-9f00-5d2e3f9a12bc?pass=1766500000.iCeysk7t0sYfCuObXr34OQ";

fn assert_fits(notice: &Notice) {
    for form in FORMS {
        let content = feishu::render::content(notice, now(), form, Some("告警"), &Layout::default());
        assert!(content.is_some() || form != Form::Plain, "the last form always fits");
        if let Some(content) = content {
            let json = serde_json::to_vec(&content).expect("JSON");
            assert!(json.len() <= 18_000, "{form:?} takes {} bytes at Feishu", json.len());
            serde_json::from_slice::<Value>(&json).expect("valid JSON");
        }
        let message = wecom::render::message(notice, now(), form, wecom::render::MARKDOWN_BUDGET, &Layout::default());
        let message = message.map(|message| serde_json::to_value(message).expect("JSON"));
        if let Some(text) = message.as_ref().and_then(|message| message.pointer("/text/content")?.as_str()) {
            assert!(text.len() <= 2048 && !text.is_empty(), "plain text takes {} bytes at WeCom", text.len());
        }
        if let Some(text) = message.as_ref().and_then(|message| message.pointer("/markdown_v2/content")?.as_str()) {
            assert!(text.len() <= 4096 && !text.is_empty(), "{form:?} takes {} bytes at WeCom", text.len());
        }
        assert!(message.is_some() || form != Form::Plain, "the last form always fits");
        if let Some(card) = wecom::card::card(notice, now(), Caps::note(form)) {
            assert!(card.main_title.title.chars().count() <= 26 && card.main_title.desc.chars().count() <= 30);
            assert!(card.sub_title_text.chars().count() <= 112 && card.source.desc.chars().count() <= 13);
            assert!(serde_json::to_vec(&card).expect("JSON").len() <= 8_192, "links are as long as they are");
        }
        let body = webhook::render::body(notice, now(), form);
        assert!(body.is_some() || form != Form::Plain, "the last form always fits");
        if let Some(body) = body {
            assert!(body.len() <= webhook::render::BUDGET, "{form:?} takes {} bytes at a webhook", body.len());
            serde_json::from_slice::<Value>(&body).expect("valid JSON");
        }
        assert!(plain::text(&tell(notice, now(), Caps::page(form)), 4000).len() <= 4000);
    }
    let mail = email::render::richest(notice, now(), &Layout::default());
    assert!(mail.html.as_ref().map_or(0, String::len) <= 90_000 && mail.text.len() <= 60_000 && !mail.text.is_empty());
}

#[test]
fn the_fixtures_are_sent_as_designed() {
    for (name, _) in ALL {
        let notice = notice(name);
        assert_fits(&notice);
        assert!(
            feishu::render::content(&notice, now(), Form::Full, None, &Layout::default()).is_some(),
            "{name} is shortened at Feishu"
        );
    }
}

fn notice_alert() -> Alert {
    notice("diagnosis-pvc.en").group.alerts.remove(1)
}

/// Everything about it is far too long.
pub(super) fn longest() -> Notice {
    let mut notice = notice("diagnosis-pvc.zh");
    let megabyte = "存储类 `cbs` \"<at id=all>\" \\ & ".repeat(30_000);
    let mut alert: Alert = notice.group.alerts[0].clone();
    alert.annotations.insert("description".into(), megabyte.clone());
    alert.annotations.insert("summary".into(), megabyte.clone());
    for number in 0..5_000 {
        alert.labels.insert(format!("label{number}"), "value".into());
    }
    notice.group.alerts = vec![alert; 3];
    let small = Alert { labels: Labels::from([("alertname".into(), "Storm".into())]), ..notice_alert() };
    notice.group.alerts.extend(vec![small; 10_000]);
    let NoticeBody::Diagnosis { report } = &mut notice.body else { unreachable!("the fixture is a diagnosis") };
    report.headline = megabyte.clone();
    report.impact = megabyte.clone();
    report.steps = vec![Step { title: megabyte.clone(), detail: megabyte.clone(), ..Step::default() }; 50];
    report.related =
        vec![Related { why: megabyte.clone(), findings: vec![megabyte.clone(); 2], ..Related::default() }; 9];
    report.unresolved = vec![megabyte.clone(); 20];
    report.causes[0].summary = megabyte.clone();
    let values: Vec<f64> = (0..60).map(|number| f64::from(number) / 7.0).collect();
    report.series = crate::series::tests::series(&values).into_iter().collect();
    report.series[0].threshold = Some(format!("{megabyte} 1e308"));
    notice
}

#[test]
fn an_incident_of_absurd_size_is_told_in_time_and_in_size() {
    let notice = longest();
    let begun = Instant::now();
    assert_fits(&notice);
    // A dozen renderings of 60 MB of text in a debug build on a busy machine; one takes milliseconds in a release build.
    assert!(begun.elapsed() < Duration::from_secs(30), "took {:?}", begun.elapsed());
}

/// However long the names are: what a name begins with stands in every form of every channel.
/// What Feishu and WeCom groups get of a notice in one form.
fn in_chats(notice: &Notice, form: Form) -> Vec<String> {
    let feishu = feishu::render::content(notice, now(), form, None, &Layout::default())
        .map(|content| serde_json::to_string(&content).expect("JSON"));
    let wecom = wecom::render::message(notice, now(), form, wecom::render::MARKDOWN_BUDGET, &Layout::default())
        .map(|message| serde_json::to_string(&message).expect("JSON"));
    feishu.into_iter().chain(wecom).collect()
}

#[test]
fn every_name_of_a_summary_is_told_in_every_form() {
    let told: Vec<Told> = (0..super::summary::SURE)
        .map(|number| Told {
            event: [Event::Firing, Event::Diagnosed, Event::Resolved][number % 3],
            alertname: format!("第{number:02}号{}", "告警名称很长".repeat(30)),
            severity: if number % 2 == 0 { "critical".into() } else { "级别很长".repeat(9) },
            object: format!("Deployment 命名空间{number:02}/{}", "很长的工作负载".repeat(30)),
            cluster: format!("集群{number}{}", "名字很长".repeat(9)),
            alerts: 5_000,
            others: Vec::new(),
            headline: Some("原因很长".repeat(300)),
            page: Some(PAGE.to_owned()),
            firing: Vec::new(),
        })
        .collect();
    let notice = Notice { body: NoticeBody::Summary { told, collected: false }, ..notice("summary.zh") };
    assert_fits(&notice);
    let named =
        |said: &str| (0..super::summary::SURE).filter(|number| said.contains(&format!("第{number:02}号"))).count();
    for form in FORMS {
        let chats = in_chats(&notice, form);
        let (kind, budget) = (MessageType::TemplateCard, wecom::render::MARKDOWN_BUDGET);
        let card = wecom::render::of_type(kind, &notice, now(), form, budget, &Layout::default());
        let card = card.map(|(message, _)| serde_json::to_string(&message).expect("JSON"));
        for said in chats.into_iter().chain(card) {
            assert_eq!(named(&said), super::summary::SURE, "{form:?}: {said}");
        }
    }
    let mail = email::render::richest(&notice, now(), &Layout::default());
    assert_eq!(
        (named(&mail.text), named(&mail.html.expect("the HTML part"))),
        (super::summary::SURE, super::summary::SURE)
    );
}

/// The same where alerts of one group are called differently.
#[test]
fn every_name_of_a_group_is_told_in_every_form() {
    let (lines, each) = (3, super::summary::SURE / 3);
    let called = |line: usize, number: usize| format!("第{line}{number}号{}", "告警名称很长".repeat(30));
    let told: Vec<Told> = (0..lines)
        .map(|line| Told {
            event: Event::Diagnosed,
            alertname: called(line, 0),
            severity: "critical".into(),
            object: format!("Deployment 命名空间/{}", "很长的工作负载".repeat(30)),
            cluster: format!("集群{line}{}", "名字很长".repeat(9)),
            alerts: 5_000,
            others: (1..each).map(|number| called(line, number)).collect(),
            headline: Some("原因很长".repeat(300)),
            page: Some(PAGE.to_owned()),
            firing: Vec::new(),
        })
        .collect();
    let notice = Notice { body: NoticeBody::Summary { told, collected: false }, ..notice("summary.zh") };
    assert_fits(&notice);
    for form in FORMS {
        let chats = in_chats(&notice, form);
        for (line, number) in (0..lines).flat_map(|line| (0..each).map(move |number| (line, number))) {
            for said in &chats {
                assert!(said.contains(&format!("第{line}{number}号")), "{form:?} lacks {line}{number}: {said}");
            }
        }
    }
}

/// A group that reads plain text gets the cause and the first command whole, not their beginnings.
#[test]
fn plain_text_tells_the_cause_to_its_end() {
    for name in ["alert-oom.en", "alert-oom.zh", "diagnosis-pvc.en", "diagnosis-pvc.zh"] {
        let notice = notice(name);
        let (kind, budget) = (MessageType::Text, wecom::render::MARKDOWN_BUDGET);
        let (message, _) =
            wecom::render::of_type(kind, &notice, now(), Form::Plain, budget, &Layout::default()).expect("a text");
        let said = serde_json::to_value(&message).expect("JSON")["text"]["content"].to_string();
        let read = |text: &str| text.chars().filter(|char| char.is_alphanumeric()).collect::<String>();
        let report = notice.report().expect("a report");
        let cause = read(&report.causes[0].summary);
        assert!(read(&said).contains(&cause), "{name} lacks {cause}: {said}");
        let command = report.steps.iter().find_map(|step| step.command.as_deref()).map(read).expect("a command");
        assert!(read(&said).contains(&command), "{name} lacks {command}: {said}");
    }
}

/// As many as go together: a form has either room for each name, or does not take them.
#[test]
fn many_names_are_all_told_or_refused() {
    for (name, object) in [
        ("KubePodCrashLooping", "Pod shop/cart-7c9d8b6f5-"),
        ("告警名称很长*_[<`", "命名空间/\"\\工作负载很长很长很长"),
    ] {
        let told: Vec<Told> = (0..super::summary::MOST)
            .map(|number| Told {
                event: Event::Firing,
                alertname: format!("N{number:02}{name}"),
                severity: "critical".into(),
                object: format!("{object}{number:02}"),
                cluster: format!("集群{number}{}", "名字很长".repeat(9)),
                alerts: 5_000,
                others: Vec::new(),
                headline: Some("原因很长".repeat(300)),
                page: Some(PAGE.to_owned()),
                firing: Vec::new(),
            })
            .collect();
        let notice = Notice { body: NoticeBody::Summary { told, collected: false }, ..notice("summary.zh") };
        let named =
            |said: &str| (0..super::summary::MOST).filter(|number| said.contains(&format!("N{number:02}"))).count();
        let mut forms = 0;
        for form in FORMS {
            let feishu = feishu::render::content(&notice, now(), form, None, &Layout::default())
                .map(|content| serde_json::to_string(&content).expect("JSON"));
            let wecom =
                wecom::render::message(&notice, now(), form, wecom::render::MARKDOWN_BUDGET, &Layout::default());
            let wecom = wecom.map(|message| serde_json::to_string(&message).expect("JSON"));
            for said in [feishu, wecom].into_iter().flatten() {
                assert_eq!(named(&said), super::summary::MOST, "{form:?}: {said}");
                forms += 1;
            }
        }
        assert!(forms >= 2, "Feishu takes them all: {forms}");
    }
}

prop_compose! {
    fn text()(parts in prop::collection::vec(prop_oneof![
        any::<String>(),
        "[\\PC]{0,400}",
        Just("<at id=all></at>".to_owned()),
        Just("`".to_owned()),
        Just("\"\\\u{7f}&<>*".repeat(40)),
        Just("字".repeat(300)),
    ], 0..4)) -> String { parts.concat() }
}

fn causes() -> impl Strategy<Value = Vec<Cause>> {
    let cause =
        (text(), prop::collection::vec(text(), 0..8), any::<bool>()).prop_map(|(summary, quotes, high)| Cause {
            summary,
            confidence: if high { Confidence::High } else { Confidence::Low },
            evidence: quotes.into_iter().map(|quote| Citation { reference: "E1".into(), quote }).collect(),
            ..Cause::default()
        });
    prop::collection::vec(cause, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_notice_fits(
        causes in causes(),
        headline in text(),
        findings in prop::collection::vec(text(), 0..20),
        followers in prop::collection::vec(text(), 0..40),
        leader in prop::option::of(text()),
        labels in prop::collection::btree_map(text(), text(), 0..30),
        steps in prop::collection::vec((text(), text(), prop::option::of(text())), 0..10),
        english in any::<bool>(),
    ) {
        let mut notice = notice(if english { "diagnosis-pvc.en" } else { "diagnosis-pvc.zh" });
        notice.group.alerts[0].labels.extend(labels.clone());
        notice.group.group_labels = labels;
        let NoticeBody::Diagnosis { report } = &mut notice.body else { unreachable!("the fixture is a diagnosis") };
        report.causes = causes;
        report.headline = headline;
        report.primary.findings = findings;
        let led_by = leader.map(|title| Led { title, ..Led::default() });
        report.same_cause = Some(SameCause { led_by, followers, ..SameCause::default() });
        report.steps = steps
            .into_iter()
            .map(|(title, detail, command)| Step { title, detail, command, ..Step::default() })
            .collect();
        assert_fits(&notice);
    }
}

/// A window's mail holds its incidents whose names and findings are as long as they get, none left out.
#[test]
fn every_incident_of_a_window_is_named_in_its_mail() {
    let told: Vec<Told> = (0..super::batch::MOST)
        .map(|number| Told {
            event: Event::Diagnosed,
            alertname: format!("第{number:02}号{}", "告警名称很长".repeat(30)),
            severity: "warning".into(),
            object: format!("Deployment 命名空间{number:02}/{}", "很长的工作负载".repeat(30)),
            cluster: format!("集群{number}{}", "名字很长".repeat(9)),
            alerts: 5_000,
            others: Vec::new(),
            headline: Some("原因 `很长` <b>".repeat(300)),
            page: Some(PAGE.to_owned()),
            firing: Vec::new(),
        })
        .collect();
    let notice = Notice { body: NoticeBody::Summary { told, collected: true }, ..notice("summary.zh") };
    for form in FORMS {
        let mail = email::render::mail(&notice, now(), form, &Layout::default());
        let mail = mail.unwrap_or_else(|| panic!("{form:?} has no room"));
        for said in [Some(mail.text), mail.html].into_iter().flatten() {
            let named = (0..super::batch::MOST).filter(|number| said.contains(&format!("第{number:02}号"))).count();
            assert_eq!(named, super::batch::MOST, "{form:?}: {} bytes", said.len());
        }
    }
}
