//! One mail for what is not critical: its messages wait for the end of a window and go together, one line an incident.
//!
//! Windows begin at multiples of their length, so that every replica and every restart means the same one, and a message
//! carries the end of its window as the time it is due: what waits is in the store and nowhere else.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::notice::{Event, Notice, NoticeBody, Told};
use super::summary;
use crate::alert::severity_rank;
use crate::store::{NoticeRole, Outgoing};

/// Messages in one mail. A line takes at most 1 050 bytes of HTML, and a mail has room for 90 000.
pub const MOST: usize = 80;

/// The end of the window this moment lies in, always later than it.
#[must_use]
pub fn end(at: Timestamp, window: SignedDuration) -> Timestamp {
    let length = i64::try_from(window.as_millis()).unwrap_or(i64::MAX).max(1);
    let begun = at.as_millisecond().div_euclid(length);
    let end = begun.saturating_add(1).saturating_mul(length);
    Timestamp::from_millisecond(end).unwrap_or(at)
}

/// Whether a message waits for others: it is about one incident, and none of its alerts is critical.
#[must_use]
pub fn waits(notice: &Notice) -> bool {
    let severity = notice.group.leading().and_then(|alert| alert.label("severity"));
    !notice.is_collective() && severity_rank(severity) > 0
}

/// One notice for these messages; there is at least one. An incident that has several of them is told as it stands at
/// the last, with what was found. One incident alone is told in full.
#[must_use]
pub fn together(waiting: &[Outgoing]) -> Option<Notice> {
    let incidents = by_incident(waiting);
    if let [only] = incidents.as_slice() {
        let last = only.last()?;
        let found_before = only.iter().any(|one| one.notice.report().is_some());
        if last.role != NoticeRole::Resolved || !found_before {
            return Some(last.notice.clone());
        }
    }
    let told = incidents.iter().filter_map(|messages| told(messages)).collect();
    let mut notice = summary::summary(waiting)?;
    notice.body = NoticeBody::Summary { told, collected: true };
    // The window's end, by which its mail is told from the others.
    notice.opened_at = Timestamp::now();
    Some(notice)
}

/// The messages of each incident in their order; the incident that opened last stands first.
fn by_incident(waiting: &[Outgoing]) -> Vec<Vec<&Outgoing>> {
    let mut incidents: Vec<(Uuid, Vec<&Outgoing>)> = Vec::new();
    for outgoing in waiting {
        match incidents.iter_mut().find(|(id, _)| *id == outgoing.incident) {
            Some((_, messages)) => messages.push(outgoing),
            None => incidents.push((outgoing.incident, vec![outgoing])),
        }
    }
    incidents.sort_by_key(|(_, messages)| std::cmp::Reverse(messages.first().map(|one| one.notice.opened_at)));
    incidents.into_iter().map(|(_, messages)| messages).collect()
}

fn told(messages: &[&Outgoing]) -> Option<Told> {
    let last = summary::told(messages.last()?);
    let found = messages.iter().rev().find_map(|one| summary::told(one).headline);
    let diagnosed = messages.iter().any(|one| one.role == NoticeRole::Second);
    let event = match last.event {
        Event::Firing if diagnosed => Event::Diagnosed,
        event => event,
    };
    // An incident is one line, and names whatever any of its messages is the only one to name.
    let mut others: Vec<String> = Vec::new();
    for name in messages.iter().flat_map(|one| summary::names(&one.notice)) {
        if name != last.alertname && others.iter().all(|known| known != name) {
            others.push(name.to_owned());
        }
    }
    let object = messages.iter().rev().map(|one| summary::told(one).object).find(|object| !object.is_empty());
    Some(Told { event, headline: found, object: object.unwrap_or_default(), others, ..last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::notice;

    fn outgoing(incident: Uuid, role: NoticeRole, fixture: &str) -> Outgoing {
        let notice = Notice { incident, ..notice(fixture) };
        Outgoing {
            id: Uuid::now_v7(),
            incident,
            channel: "mail".into(),
            role,
            notice,
            attempt: 1,
            left_behind: false,
            ends: 0,
            claimed_at: std::time::Instant::now(),
        }
    }

    fn lines(notice: &Notice) -> Vec<(Event, bool)> {
        let NoticeBody::Summary { told, collected: true } = &notice.body else { panic!("{:?}", notice.body) };
        told.iter().map(|one| (one.event, one.headline.is_some())).collect()
    }

    #[test]
    fn a_window_ends_at_a_multiple_of_its_length() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let ten = SignedDuration::from_mins(10);
        assert_eq!(end(at("2026-11-26T04:03:07Z"), ten), at("2026-11-26T04:10:00Z"));
        assert_eq!(end(at("2026-11-26T04:10:00Z"), ten), at("2026-11-26T04:20:00Z"), "the end belongs to the next");
    }

    #[test]
    fn an_incident_is_one_line_and_stands_as_it_does_at_the_last() {
        let (one, two, three) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let mut late = outgoing(three, NoticeRole::First, "alert-waiting.en");
        late.notice.opened_at = Timestamp::MAX;
        let all = [
            outgoing(one, NoticeRole::First, "alert-waiting.en"),
            outgoing(two, NoticeRole::First, "alert-waiting.en"),
            outgoing(one, NoticeRole::Second, "diagnosis-pvc.en"),
            outgoing(one, NoticeRole::Resolved, "resolved.en"),
            late,
        ];
        let told = together(&all).unwrap();
        assert_eq!(lines(&told), [(Event::Firing, false), (Event::Resolved, true), (Event::Firing, false)]);
        assert_ne!(told.incident, one, "a conversation of its own");
    }

    #[test]
    fn one_incident_alone_is_told_in_full() {
        let one = Uuid::from_u128(1);
        let first = outgoing(one, NoticeRole::First, "alert-waiting.en");
        let second = outgoing(one, NoticeRole::Second, "diagnosis-pvc.en");
        let end = outgoing(one, NoticeRole::Resolved, "resolved.en");
        assert_eq!(together(std::slice::from_ref(&first)), Some(first.notice.clone()));
        assert_eq!(together(&[first.clone(), second.clone()]), Some(second.notice.clone()));
        assert_eq!(together(&[first.clone(), end.clone()]), Some(end.notice.clone()));
        let all = together(&[first, second, end]).unwrap();
        assert_eq!(lines(&all), [(Event::Resolved, true)], "the end alone would not say what it was");
    }

    #[test]
    fn what_is_critical_waits_for_nobody() {
        assert!(waits(&notice("alert-waiting.en")));
        let mut critical = notice("alert-waiting.en");
        critical.group.alerts.iter_mut().for_each(|alert| drop(alert.labels.insert("severity".into(), "page".into())));
        assert!(!waits(&critical));
        assert!(!waits(&notice("digest.en")));
    }
}
