//! Notices for those who try a channel or a layout: the test message, which says of itself that it is no alert, and one of
//! every kind.

use jiff::Timestamp;
use uuid::Uuid;

use super::notice::{Digest, Event, Line, Notice, NoticeBody, Tally};
use super::summary;
use crate::alert::{Alert, AlertGroup, AlertStatus, Labels, Lang};
use crate::report::{Cause, Citation, Report, Step};
use crate::times;

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
        opened_with: None,
        last_time: None,
        meanwhile: Default::default(),
        undelivered: Vec::new(),
        alertmanager_url: None,
        page_url: None,
    }
}

/// Many messages in one that begins with what this one tells: as it fires, is diagnosed and ends.
#[must_use]
pub fn many(notice: &Notice, collected: bool) -> Notice {
    let told = [Event::Firing, Event::Diagnosed, Event::Resolved].map(|event| summary::line(notice, event)).to_vec();
    let body = NoticeBody::Summary { told, collected };
    Notice { body, page_url: summary::all(notice), ..notice.clone() }
}

/// A daily summary of a day on which this was all that happened.
#[must_use]
pub fn daily(notice: &Notice) -> Notice {
    let told = summary::line(notice, Event::Firing);
    let tally = |name: &str| vec![Tally { name: name.to_owned(), incidents: 1, deliveries: 1 }];
    let line = Line {
        alertname: told.alertname.clone(),
        severity: told.severity.clone(),
        namespace: notice.group.leading().and_then(|alert| alert.label("namespace")).unwrap_or_default().to_owned(),
        headline: told.headline,
        began_at: notice.group.began(notice.opened_at, notice.opened_at),
        ended_at: None,
        incident: Some(notice.incident),
        page: told.page,
    };
    let digest = Digest {
        day: times::moment(notice.opened_at, &notice.timezone).unwrap_or_default().chars().take(10).collect(),
        opened: 1,
        open_now: 1,
        severities: tally(&told.severity),
        diagnosed: u64::from(line.headline.is_some()),
        noisiest: tally(&told.alertname),
        open: vec![line],
        ..Digest::default()
    };
    let body = NoticeBody::Digest { digest: Box::new(digest) };
    // A day is about no one group.
    let group = AlertGroup::unsent(Vec::new());
    Notice { body, group, page_url: summary::all(notice), ..notice.clone() }
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
        NoticeBody::Test,
    ];
    let of_many = [daily(&test), many(&test, false), many(&test, true)];
    bodies.into_iter().map(|body| Notice { body, ..test.clone() }).chain(of_many).collect()
}
