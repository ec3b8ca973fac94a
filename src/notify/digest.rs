//! The daily summary of a channel: when it is due, and whose it is.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::notice::{Digest, Notice, NoticeBody};
use super::pass::{self, Passes};
use super::people::People;
use crate::alert::{AlertGroup, Lang};

/// A summary that could not go out at its time still goes within this; later it is yesterday's news.
const CATCH_UP: SignedDuration = SignedDuration::from_hours(2);

/// A time of day, `HH:MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct TimeOfDay(Time);

/// What is no time of day.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no time of day; write it as 09:00")]
pub struct BadTime(String);

impl TryFrom<String> for TimeOfDay {
    type Error = BadTime;

    fn try_from(text: String) -> Result<Self, BadTime> {
        let time = Time::strptime("%H:%M", &text).map_err(|_| BadTime(text))?;
        Ok(Self(time))
    }
}

/// When a channel's summary is due, and how it speaks.
#[derive(Debug, Clone)]
pub struct Schedule {
    at: TimeOfDay,
    zone: TimeZone,
    timezone: String,
    lang: Lang,
    public_url: Option<String>,
    passes: Option<Passes>,
    people: People,
}

impl Schedule {
    /// A summary at a time of day in an IANA zone; UTC when the zone is not known.
    #[must_use]
    pub fn new(at: TimeOfDay, timezone: &str, lang: Lang, public_url: Option<String>) -> Self {
        let zone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
        Self { at, zone, timezone: timezone.to_owned(), lang, public_url, passes: None, people: People::default() }
    }

    /// Lets its links open without a login.
    #[must_use]
    pub fn opening_with(mut self, passes: Option<Passes>) -> Self {
        self.passes = passes;
        self
    }

    /// Calls people by their names.
    #[must_use]
    pub fn calling(mut self, people: People) -> Self {
        self.people = people;
        self
    }

    /// The day whose summary is due now, and the moment it was due; none between a day's last chance and the next time.
    /// A day with a clock change has one summary like every other: the day is its identity.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<(Date, Timestamp)> {
        let today = now.to_zoned(self.zone.clone()).date();
        let at = |day: Date| Some((day, self.on(day)?));
        let candidates = [at(today), today.yesterday().ok().and_then(at)];
        candidates.into_iter().flatten().find(|(_, due)| *due <= now && now.duration_since(*due) < CATCH_UP)
    }

    /// When the summary of a day was due.
    #[must_use]
    pub fn on(&self, day: Date) -> Option<Timestamp> {
        Some(day.to_datetime(self.at.0).to_zoned(self.zone.clone()).ok()?.timestamp())
    }

    /// The message. Its identity is the channel's and the day's, so that it is the same each time it is tried.
    #[must_use]
    pub fn notice(&self, channel: &str, mut digest: Digest, now: Timestamp) -> Notice {
        for line in digest.lines_mut() {
            let base = self.public_url.as_deref();
            line.page = base.zip(line.incident).map(|(base, id)| pass::page(base, self.passes.as_ref(), id, now));
        }
        for judged in digest.feedback.iter_mut().flat_map(|feedback| &mut feedback.wrong) {
            judged.person = self.people.name(&judged.person).to_owned();
        }
        let hash = Sha256::digest(format!("{channel}\n{}", digest.day));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Notice {
            incident: Uuid::from_bytes(bytes),
            opened_at: now,
            group: AlertGroup::unsent(Vec::new()),
            body: NoticeBody::Digest { digest: Box::new(digest) },
            lang: self.lang,
            timezone: self.timezone.clone(),
            alertmanager_url: None,
            page_url: self.public_url.as_ref().map(|base| format!("{base}/incidents")),
            opened_with: None,
            last_time: None,
            meanwhile: Default::default(),
            undelivered: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(at: &str, zone: &str) -> Schedule {
        Schedule::new(TimeOfDay::try_from(at.to_owned()).expect("a time"), zone, Lang::En, None)
    }

    fn due(schedule: &Schedule, now: &str) -> Option<String> {
        schedule.due(now.parse().expect("a time")).map(|(day, _)| day.to_string())
    }

    #[test]
    fn it_is_due_once_a_day_and_for_two_hours() {
        let nine = schedule("09:00", "Asia/Shanghai");
        assert_eq!(due(&nine, "2026-11-25T00:59:59Z"), None);
        assert_eq!(due(&nine, "2026-11-25T01:00:00Z").as_deref(), Some("2026-11-25"));
        assert_eq!(due(&nine, "2026-11-25T02:59:59Z").as_deref(), Some("2026-11-25"));
        assert_eq!(due(&nine, "2026-11-25T03:00:00Z"), None, "too late is tomorrow's");
        let late = schedule("23:30", "Asia/Shanghai");
        assert_eq!(
            due(&late, "2026-11-24T16:10:00Z").as_deref(),
            Some("2026-11-24"),
            "ten past midnight is still yesterday's"
        );
    }

    #[test]
    fn a_day_on_which_the_clock_changes_has_one_summary() {
        let gap = schedule("02:30", "Europe/Berlin");
        assert_eq!(
            due(&gap, "2026-03-29T01:30:00Z").as_deref(),
            Some("2026-03-29"),
            "02:30 does not exist: an hour later"
        );
        let fold = schedule("02:30", "Europe/Berlin");
        for twice in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
            assert_eq!(due(&fold, twice).as_deref(), Some("2026-10-25"));
        }
    }

    #[test]
    fn what_is_no_time_of_day_is_refused() {
        for bad in ["9", "24:00", "09:60", "nine", ""] {
            assert!(TimeOfDay::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
