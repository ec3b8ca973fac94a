//! What holds of any message, whatever an incident says: it is judged as the attacks are.
//!
//! Texts are random, and full of what markup is made of; every kind of notice goes through every form of every channel.

#[path = "../../tests/e2e/support/card.rs"]
mod card;
#[path = "../../tests/e2e/support/card_app.rs"]
mod card_app;

use proptest::prelude::*;
use serde_json::Value;

use super::attacks::{ATTACKS, judge_app, judge_feishu, judge_mail, judge_wecom};
use super::feishu::app::card::{BUDGET, Beside, plain, sealed};
use super::fixtures::{notice, now};
use super::layout::Layout;
use super::live::Step as Doing;
use super::notice::{
    Digest, Event, Feedback, Judged, LastTime, Line, Meanwhile, Notice, NoticeBody, Tally, Told, Undelivered,
};
use super::send::Form;
use super::wecom::MessageType;
use super::{email, feishu, wecom};
use crate::alert::{Alert, AlertStatus, Labels, ObjectRef};
use crate::report::{Citation, Report, Step};

const FORMS: [Form; 3] = [Form::Full, Form::Compact, Form::Plain];
const PAGE: &str =
    "https://firstlook.example.com/incidents/0193a5b2-7c1e-7d3a-9f00-5d2e3f9a12bc?pass=1766500000.iCeysk7t0";

/// A text as hostile and as broken as chance makes it; now and then a long one.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => prop::sample::select(&ATTACKS[..]).prop_map(str::to_owned),
        3 => "[\\PC]{0,40}",
        2 => "[`~*_<>\\[\\]()@#|=\\\\\n -]{0,12}",
        1 => any::<String>(),
        1 => prop::sample::select(&["字", "```", "~~~", "<at id=all>", "\u{1F1E8}\u{1F1F3}", "a", "`"][..])
            .prop_flat_map(|piece| (0..400_usize).prop_map(move |times| piece.repeat(times))),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

fn alert() -> impl Strategy<Value = Alert> {
    let labels = prop::collection::btree_map(text(), text(), 0..6);
    (labels, text(), text(), text(), any::<bool>()).prop_map(|(mut labels, name, severity, summary, firing)| {
        labels.insert("alertname".into(), name);
        labels.insert("severity".into(), severity.clone());
        labels.insert("cluster".into(), severity);
        let status = if firing { AlertStatus::Firing } else { AlertStatus::Resolved };
        let annotations = Labels::from([("summary".into(), summary.clone()), ("owner".into(), summary)]);
        let like = notice("diagnosis-pvc.en").group.alerts.remove(0);
        Alert { labels, annotations, status, generator_url: None, ..like }
    })
}

fn report() -> impl Strategy<Value = Report> {
    let texts = prop::collection::vec(text(), 6..10);
    (texts, any::<bool>()).prop_map(|(texts, few)| {
        let NoticeBody::Diagnosis { report } = notice("diagnosis-pvc.zh").body else {
            unreachable!("the fixture is a diagnosis")
        };
        let mut report = *report;
        let said = |number: usize| texts[number % texts.len()].clone();
        (report.headline, report.impact) = (said(0), said(1));
        report.primary.resource = ObjectRef::new(said(2), said(3), said(4));
        report.primary.findings = vec![said(3), said(4)];
        report.causes.truncate(if few { 1 } else { 3 });
        for cause in &mut report.causes {
            cause.summary = said(4);
            cause.evidence = vec![Citation { reference: "E1".into(), quote: said(5) }; 2];
        }
        report.steps = vec![Step { title: said(2), detail: said(5), command: Some(said(1)), ..Step::default() }; 3];
        report.unresolved = texts.clone();
        report
    })
}

fn told() -> impl Strategy<Value = Told> {
    let event = prop::sample::select(&[Event::Firing, Event::Diagnosed, Event::Resolved][..]);
    (event, text(), text(), text(), text(), prop::option::of(text())).prop_map(
        |(event, alertname, severity, object, cluster, headline)| Told {
            event,
            alertname,
            severity,
            object,
            others: vec![cluster.clone()],
            cluster,
            alerts: 3,
            headline,
            page: Some(PAGE.to_owned()),
            firing: Vec::new(),
        },
    )
}

fn line() -> impl Strategy<Value = Line> {
    (text(), text(), text(), prop::option::of(text())).prop_map(|(alertname, severity, namespace, headline)| Line {
        alertname,
        severity,
        namespace,
        headline,
        began_at: now(),
        ended_at: None,
        incident: None,
        page: Some(PAGE.to_owned()),
    })
}

fn digest() -> impl Strategy<Value = Digest> {
    let lines = || prop::collection::vec(line(), 0..5);
    (lines(), lines(), prop::collection::vec(text(), 1..4), any::<bool>()).prop_map(|(open, slowest, texts, judged)| {
        let tallies: Vec<Tally> =
            texts.iter().map(|name| Tally { name: name.clone(), incidents: 3, deliveries: 9 }).collect();
        let wrong: Vec<Judged> = open
            .iter()
            .map(|line| Judged { line: line.clone(), person: texts[0].clone(), reason: texts[0].clone() })
            .collect();
        Digest {
            day: "2026-11-23".into(),
            opened: 9,
            resolved: 4,
            open_now: open.len() as u64,
            severities: tallies.clone(),
            noisiest: tallies,
            put_aside: 1,
            feedback: judged.then_some(Feedback { judged: 5, right: 2, wrong }),
            open,
            slowest,
            ..Digest::default()
        }
    })
}

fn body() -> impl Strategy<Value = NoticeBody> {
    let missing = prop::collection::vec(text(), 0..3);
    prop_oneof![
        2 => (prop::option::of(report()), any::<bool>(), missing).prop_map(|(report, investigating, missing)| {
            NoticeBody::Alert { report: report.map(Box::new), investigating, missing }
        }),
        1 => report().prop_map(|report| NoticeBody::Diagnosis { report: Box::new(report) }),
        1 => Just(NoticeBody::Resolved { resolved_at: now() }),
        2 => (prop::collection::vec(told(), 1..12), any::<bool>())
            .prop_map(|(told, collected)| NoticeBody::Summary { told, collected }),
        2 => digest().prop_map(|digest| NoticeBody::Digest { digest: Box::new(digest) }),
    ]
}

/// A Feishu bot's content as its service reads it: unknown properties, empty texts and more than 200 elements are refused.
fn assert_feishu_takes(content: &Value) {
    if let Some(shown) = content.get("card") {
        card::check(shown).unwrap_or_else(|why| panic!("{why}: {shown}"));
    }
}

/// An app's card in all it may show beside the notice, as its service reads it, and within its bytes.
fn assert_feishu_app_takes(notice: &Notice, form: Form, known: &Report) {
    let step = Doing { read: 7, tool: "pods_log".into(), tools: vec!["pods_log".into()], since: now() };
    let users = ["ou_1".to_owned(), "all".to_owned()];
    let most = Beside { known: Some(known), step: Some(&step), acts: true, users: &users, streams: true };
    for beside in [Beside::default(), Beside { known: Some(known), ..Beside::default() }, most] {
        if let Some(sealed) = sealed(notice, now(), form, beside, &Layout::default()) {
            let bytes = serde_json::to_string(&sealed.content).expect("JSON").len();
            assert!(bytes <= BUDGET && BUDGET < 30_000, "{form:?} takes {bytes} bytes");
            let shown: Value = serde_json::from_str(&sealed.content).expect("JSON within JSON");
            card_app::check(&shown).unwrap_or_else(|why| panic!("{why}: {shown}"));
        }
    }
    assert!(plain(notice, now(), &users, &Layout::default()).content.len() <= BUDGET);
}

prop_compose! {
    fn any_notice()(
        body in body(),
        alerts in prop::collection::vec(alert(), 1..4),
        said in text(),
        led in prop::collection::vec(text(), 0..3),
        english in any::<bool>(),
    ) -> Notice {
        let mut notice = Notice { body, ..notice(if english { "resolved.en" } else { "resolved.zh" }) };
        notice.group.alerts = alerts;
        notice.group.receiver = said.clone();
        notice.group.external_url = Some(format!("javascript:{said}"));
        notice.alertmanager_url = None;
        notice.last_time = Some(LastTime { resolved_at: now(), headline: Some(said.clone()), holds: english });
        notice.meanwhile = Meanwhile { repeats: 2, led, ..Meanwhile::default() };
        notice.undelivered = vec![Undelivered { channel: said.clone(), why: said }];
        notice
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_message_of_any_kind_is_ours_in_every_form(notice in any_notice(), known in report()) {
        let (layout, by) = (Layout::default(), "chance");
        for form in FORMS {
            if let Some(content) = feishu::render::content(&notice, now(), form, None, &layout) {
                let content = serde_json::to_value(content).expect("JSON");
                judge_feishu(&content, by);
                assert_feishu_takes(&content);
            }
            judge_app(&notice, form, Some(&known), by);
            assert_feishu_app_takes(&notice, form, &known);
            for kind in [MessageType::MarkdownV2, MessageType::Text, MessageType::TemplateCard] {
                let message = wecom::render::of_type(kind, &notice, now(), form, wecom::render::MARKDOWN_BUDGET, &layout);
                if let Some((message, _)) = message {
                    judge_wecom(&serde_json::to_value(message).expect("JSON"), by);
                }
            }
            if let Some(mail) = email::render::mail(&notice, now(), form, &layout) {
                judge_mail(&notice, mail, by);
            }
        }
        judge_wecom(&serde_json::to_value(wecom::render::call(&notice, &[])).expect("JSON"), by);
        judge_wecom(&serde_json::to_value(wecom::render::without_file(&notice)).expect("JSON"), by);
    }
}
