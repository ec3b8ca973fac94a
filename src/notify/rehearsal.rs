//! The test message an operator asks for: a notice that says of itself that it is none.

use jiff::Timestamp;
use uuid::Uuid;

use super::notice::{Notice, NoticeBody};
use crate::alert::{Alert, AlertGroup, AlertStatus, Labels, Lang};
use crate::report::{Cause, Citation, Report, Step};

/// A test message in the language and zone of the configuration.
#[must_use]
pub fn notice(lang: Lang, timezone: &str) -> Notice {
    let now = Timestamp::now();
    let title = lang.pick("Firstlook 测试消息", "Firstlook test message");
    let summary = lang.pick(
        "这是 firstlook check --send 发出的测试消息，不是告警，无需处理。能看到它，说明这个渠道配置正确。",
        "This test message was sent by firstlook check --send. It is not an alert; nobody needs to act. \
         Whoever reads it knows that this channel works.",
    );
    let labels = Labels::from([("alertname".to_owned(), title.to_owned()), ("severity".to_owned(), "none".to_owned())]);
    let alert = Alert {
        status: AlertStatus::Firing,
        labels: labels.clone(),
        annotations: Labels::from([("summary".to_owned(), summary.to_owned())]),
        starts_at: now,
        ends_at: None,
        generator_url: None,
        fingerprint: String::new(),
    };
    let group = AlertGroup {
        group_labels: Labels::from([("alertname".to_owned(), title.to_owned())]),
        common_labels: labels,
        ..AlertGroup::unsent(vec![alert])
    };
    Notice {
        incident: Uuid::now_v7(),
        opened_at: now,
        group,
        body: NoticeBody::Test,
        lang,
        timezone: timezone.to_owned(),
        last_time: None,
        meanwhile: Default::default(),
        undelivered: Vec::new(),
        alertmanager_url: None,
        page_url: None,
    }
}

/// One notice of every kind, with little in it: what a layout must be able to show.
#[must_use]
pub fn every_kind(lang: Lang, timezone: &str) -> Vec<Notice> {
    let test = notice(lang, timezone);
    let report = || {
        let evidence = vec![Citation { reference: "E1".to_owned(), quote: "Back-off restarting".to_owned() }];
        let cause = Cause { summary: "the container ends at once".to_owned(), evidence, ..Cause::default() };
        let step = Step { title: "look at its log".to_owned(), ..Step::default() };
        Box::new(Report { causes: vec![cause], steps: vec![step], ..Report::default() })
    };
    let bodies = [
        NoticeBody::Alert { report: None, investigating: true, missing: vec!["no model".to_owned()] },
        NoticeBody::Alert { report: Some(report()), investigating: false, missing: Vec::new() },
        NoticeBody::Diagnosis { report: report() },
        NoticeBody::Resolved { resolved_at: test.opened_at },
        NoticeBody::Digest { digest: Box::default() },
        NoticeBody::Summary { told: Vec::new(), collected: false },
        NoticeBody::Summary { told: Vec::new(), collected: true },
        NoticeBody::Test,
    ];
    bodies.into_iter().map(|body| Notice { body, ..test.clone() }).collect()
}
