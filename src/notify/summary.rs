//! Many messages in one: when more wait than a channel takes, people are told all names now instead of one after the other.

use uuid::Uuid;

use super::notice::{Event, Notice, NoticeBody, Told, Undelivered};
use super::story::labelled_object;
use crate::store::{NoticeRole, Outgoing};

/// Messages in one whose names fit into the smallest message of every channel (WeCom's text, 2 048 bytes), however long
/// they are.
pub const SURE: usize = 12;
/// Messages in one where their names fit: a chat shows no longer list without a click, and names of usual length take
/// about 90 of WeCom's 3 800 bytes each.
pub const MOST: usize = 40;

/// One message that stands for these; there is at least one.
#[must_use]
pub fn summary(waiting: &[Outgoing]) -> Option<Notice> {
    let first = &waiting.first()?.notice;
    let told = waiting.iter().map(told).collect();
    let page_url = first.page_url.as_deref().and_then(|url| url.split_once("/incidents/"));
    Some(Notice {
        incident: Uuid::now_v7(),
        body: NoticeBody::Summary { told, collected: false },
        last_time: None,
        meanwhile: Default::default(),
        undelivered: undelivered(waiting),
        page_url: page_url.map(|(base, _)| format!("{base}/incidents")),
        ..first.clone()
    })
}

/// The channels that any of them was meant for, each once.
fn undelivered(waiting: &[Outgoing]) -> Vec<Undelivered> {
    let mut lost: Vec<Undelivered> = Vec::new();
    for one in waiting.iter().flat_map(|outgoing| &outgoing.notice.undelivered) {
        if lost.iter().all(|known| known.channel != one.channel) {
            lost.push(one.clone());
        }
    }
    lost
}

/// What a message tells, in a line.
pub(super) fn told(outgoing: &Outgoing) -> Told {
    let notice = &outgoing.notice;
    let leading = notice.group.leading();
    let of_report = notice.report().map(|report| report.primary.resource.clone());
    let object = of_report.filter(|object| !object.name.is_empty()).or_else(|| leading.and_then(labelled_object));
    let event = match outgoing.role {
        NoticeRole::First | NoticeRole::Joined => Event::Firing,
        NoticeRole::Second => Event::Diagnosed,
        NoticeRole::Resolved => Event::Resolved,
    };
    let anew = notice.group.firing().filter(|_| event == Event::Firing);
    Told {
        event,
        firing: anew.cloned().collect(),
        alertname: leading.map(|alert| alert.name().to_owned()).unwrap_or_default(),
        severity: leading.and_then(|alert| alert.label("severity")).unwrap_or_default().to_owned(),
        object: object.map(|object| object.to_string()).unwrap_or_default(),
        cluster: leading.and_then(|alert| alert.label("cluster")).unwrap_or_default().to_owned(),
        alerts: notice.group.alerts.len(),
        headline: notice.report().map(|report| report.headline.clone()).filter(|headline| !headline.is_empty()),
        page: notice.page_url.clone(),
    }
}
