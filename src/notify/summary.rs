//! Many messages in one: when more wait than a channel takes, people are told all names now instead of one after the other.

use uuid::Uuid;

use super::notice::{Event, Notice, NoticeBody, Told, Undelivered};
use super::story::object_of;
use crate::alert::{Alert, AlertStatus, severity_rank};
use crate::store::{NoticeRole, Outgoing};

/// Names that fit into the smallest message of every channel (WeCom's text, 2 048 bytes), however long they are.
pub const SURE: usize = 12;
/// Messages in one where their names fit: a chat shows no longer list without a click, and names of usual length take
/// about 90 of WeCom's 3 800 bytes each.
pub const MOST: usize = 40;

/// Whether all names of a message can stand in a line beside others; one that has more goes alone.
#[must_use]
pub fn is_a_line(notice: &Notice) -> bool {
    names(notice).len() <= SURE
}

/// How many names these messages have, each for itself.
#[must_use]
pub fn count(waiting: &[Outgoing]) -> usize {
    waiting.iter().map(|outgoing| names(&outgoing.notice).len().max(1)).sum()
}

/// How many names stand in these lines.
#[must_use]
pub fn named(told: &[Told]) -> usize {
    told.iter().map(|one| 1 + one.others.len()).sum()
}

/// How many of these, from the first on, surely go together; one always goes.
#[must_use]
pub fn sure(waiting: &[Outgoing]) -> usize {
    let fits = |upto: &usize| count(&waiting[..*upto]) <= SURE;
    (1..=waiting.len()).take_while(fits).last().unwrap_or(1).min(waiting.len())
}

/// One message that stands for these; there is at least one.
#[must_use]
pub fn summary(waiting: &[Outgoing]) -> Option<Notice> {
    let first = &waiting.first()?.notice;
    let mut told: Vec<Told> = waiting.iter().map(told).collect();
    // What goes on comes first, the gravest of it before all; of equals, what came first.
    told.sort_by_key(|one| (one.event == Event::Resolved, severity_rank(Some(&one.severity))));
    Some(Notice {
        incident: Uuid::now_v7(),
        body: NoticeBody::Summary { told, collected: false },
        opened_with: None,
        last_time: None,
        meanwhile: Default::default(),
        undelivered: undelivered(waiting),
        page_url: all(first),
        ..first.clone()
    })
}

/// The page of all incidents, which stands where the page of one does.
pub(super) fn all(notice: &Notice) -> Option<String> {
    let (base, _) = notice.page_url.as_deref()?.split_once("/incidents/")?;
    Some(format!("{base}/incidents"))
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
    let event = match outgoing.role {
        NoticeRole::First | NoticeRole::Joined => Event::Firing,
        NoticeRole::Second => Event::Diagnosed,
        NoticeRole::Resolved => Event::Resolved,
    };
    line(&outgoing.notice, event)
}

/// What a notice tells of such an event, in a line.
pub(super) fn line(notice: &Notice, event: Event) -> Told {
    let leading = notice.group.leading();
    let object = object_of(notice.report(), leading);
    let anew = notice.group.firing().filter(|_| event == Event::Firing);
    Told {
        event,
        firing: anew.cloned().collect(),
        alertname: leading.map(|alert| alert.name().to_owned()).unwrap_or_default(),
        severity: leading.and_then(|alert| alert.label("severity")).unwrap_or_default().to_owned(),
        object: object.map(|object| object.to_string()).unwrap_or_default(),
        cluster: leading.and_then(|alert| alert.label("cluster")).unwrap_or_default().to_owned(),
        alerts: notice.group.alerts.len(),
        others: names(notice).into_iter().skip(1).take(SURE).map(str::to_owned).collect(),
        headline: notice.report().map(|report| report.headline.clone()).filter(|headline| !headline.is_empty()),
        page: notice.page_url.clone(),
    }
}

/// The names of a message's alerts, each once, the leading one's first.
pub(super) fn names(notice: &Notice) -> Vec<&str> {
    // Of an end all alerts are told, of everything else those that go on.
    let over = matches!(notice.body, NoticeBody::Resolved { .. });
    let told = notice.group.alerts.iter().filter(|alert| over || alert.status == AlertStatus::Firing);
    let mut names: Vec<&str> = Vec::new();
    for name in notice.group.leading().into_iter().chain(told).map(Alert::name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::notice;
    use crate::notify::layout::Layout;
    use crate::notify::send::Form;
    use crate::notify::{feishu, wecom};

    fn waiting(role: NoticeRole, severity: &str, name: &str) -> Outgoing {
        let mut notice = notice("alert-waiting.en");
        notice.group.alerts.truncate(1);
        notice.group.alerts[0].labels.insert("severity".into(), severity.into());
        notice.group.alerts[0].labels.insert("alertname".into(), name.into());
        Outgoing {
            id: Uuid::now_v7(),
            incident: notice.incident,
            channel: "oncall".into(),
            role,
            notice,
            attempt: 1,
            left_behind: false,
            ends: 0,
            claimed_at: std::time::Instant::now(),
        }
    }

    #[test]
    fn what_goes_on_stands_before_what_is_over_and_the_gravest_first() {
        let waiting = [
            waiting(NoticeRole::Resolved, "critical", "over"),
            waiting(NoticeRole::First, "warning", "first warning"),
            waiting(NoticeRole::Second, "warning", "second warning"),
            waiting(NoticeRole::First, "Critical", "gravest"),
        ];
        let NoticeBody::Summary { told, .. } = summary(&waiting).unwrap().body else { panic!("no summary") };
        let names: Vec<&str> = told.iter().map(|one| one.alertname.as_str()).collect();
        assert_eq!(names, ["gravest", "first warning", "second warning", "over"]);
    }

    /// Alerts of one group may be called differently, and a summary may be all that is told of them.
    #[test]
    fn alerts_that_are_not_called_as_the_leading_one_is_are_named_in_its_line() {
        let mut several = waiting(NoticeRole::First, "critical", "NodeDown");
        for (name, status) in
            [("Kubelet", AlertStatus::Firing), ("Kubelet", AlertStatus::Firing), ("Over", AlertStatus::Resolved)]
        {
            let mut alert = several.notice.group.alerts[0].clone();
            alert.labels.insert("alertname".into(), name.into());
            alert.status = status;
            several.notice.group.alerts.push(alert);
        }
        assert_eq!(count(&[several.clone()]), 2);
        let many: Vec<Outgoing> = (0..9).map(|_| several.clone()).collect();
        assert_eq!((sure(&many), sure(&many[..3]), sure(&[])), (SURE / 2, 3, 0), "names count, not messages");
        let notice = summary(&[several, waiting(NoticeRole::First, "warning", "Disk")]).unwrap();
        let NoticeBody::Summary { told, .. } = &notice.body else { panic!("no summary") };
        assert_eq!((&told[0].others[..], &told[1].others[..]), (&["Kubelet".to_owned()][..], &[][..]));
        let now = jiff::Timestamp::now();
        for form in [Form::Full, Form::Compact, Form::Plain] {
            let feishu = feishu::render::content(&notice, now, form, None, &Layout::default()).unwrap();
            let wecom = wecom::render::message(&notice, now, form, wecom::render::MARKDOWN_BUDGET, &Layout::default());
            for said in [serde_json::to_string(&feishu).unwrap(), serde_json::to_string(&wecom.unwrap()).unwrap()] {
                assert!(said.contains("Kubelet") && !said.contains("Over"), "{form:?}: {said}");
            }
        }
    }
}
