//! When a channel is told: from which severity on, and not at night.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::alert::severity_rank;

/// What a channel is told, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// Alerts less severe than this are not told here. One whose severity nobody knows always is.
    pub min_severity: Option<MinSeverity>,
    /// Hours of every day, for example `23:00-08:00` in `timezone`, in which only critical alerts are told at once. Others
    /// wait for the end of the hours; what is over by then is not told any more.
    pub quiet_hours: Option<Hours>,
    /// When so many messages wait, they go as one that names each (up to 40 in a chat, 80 in a mail); left out: half of
    /// what the product takes in a minute (Feishu bot 50, WeCom 10, mail 30; Feishu app 120). Fewer are enough while much
    /// of a minute's messages is spent. What changes a card that is there never goes with others.
    pub merge_above: Option<u32>,
    /// How many messages it gets in a minute at most, where its people want fewer than the product takes (Feishu bot 100,
    /// WeCom 20, mail 60); what is more waits, and goes as one from half of that on, to a webhook each alone. All channels
    /// with the same address, in all replicas, count together. Not for a Feishu app, whose card changes in place.
    #[schemars(range(min = 1))]
    pub max_per_minute: Option<u32>,
    /// Name of a channel that is told instead when a message can never be delivered here: refused for good, or given up
    /// after a day of attempts. The message says so, and stays visible here with its error.
    pub fallback: Option<String>,
}

/// The severities people use, by the word for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MinSeverity {
    /// Everything.
    Info,
    /// And worse.
    Warning,
    /// Also called error, high.
    Major,
    /// Also called page, emergency, disaster.
    Critical,
}

impl Delivery {
    /// Whether alerts of this severity are told.
    #[must_use]
    pub fn hears(&self, severity: Option<&str>) -> bool {
        const UNKNOWN: u8 = 3;
        let most = match self.min_severity {
            None | Some(MinSeverity::Info) => u8::MAX,
            Some(MinSeverity::Warning) => 2,
            Some(MinSeverity::Major) => 1,
            Some(MinSeverity::Critical) => 0,
        };
        let rank = severity_rank(severity);
        rank <= most || rank == UNKNOWN
    }

    /// When alerts of this severity are told that could be told at this moment.
    #[must_use]
    pub fn due(&self, severity: Option<&str>, at: Timestamp, zone: &TimeZone) -> Timestamp {
        let over = self.quiet_hours.filter(|_| severity_rank(severity) > 0).and_then(|hours| hours.end(at, zone));
        over.unwrap_or(at)
    }
}

/// Hours of a day, `HH:MM-HH:MM`; they may pass midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Hours {
    from: Time,
    to: Time,
}

/// What is no span of hours.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no span of hours; write it as 23:00-08:00")]
pub struct BadHours(String);

impl TryFrom<String> for Hours {
    type Error = BadHours;

    fn try_from(text: String) -> Result<Self, BadHours> {
        let parsed = text.split_once('-').and_then(|(from, to)| {
            let read = |part: &str| Time::strptime("%H:%M", part.trim()).ok();
            Some(Self { from: read(from)?, to: read(to)? })
        });
        parsed.filter(|hours| hours.from != hours.to).ok_or(BadHours(text))
    }
}

impl Hours {
    /// When the hours that hold at this moment end; none when none do.
    #[must_use]
    pub fn end(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = at.to_zoned(zone.clone());
        let time = local.time();
        let passes_midnight = self.to < self.from;
        let within =
            if passes_midnight { time >= self.from || time < self.to } else { (self.from..self.to).contains(&time) };
        let tomorrow = passes_midnight && time >= self.from;
        let day = if tomorrow { local.date().tomorrow().ok()? } else { local.date() };
        let end = day.to_datetime(self.to).to_zoned(zone.clone()).ok()?.timestamp();
        (within && end > at).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Hours {
        text.to_owned().try_into().unwrap()
    }

    fn end(text: &str, at: &str) -> Option<String> {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        hours(text).end(at.parse().unwrap(), &zone).map(|end| end.to_string())
    }

    #[test]
    fn hours_end_in_the_zone_they_are_written_in() {
        let (evening, morning) = ("2026-11-25T15:30:00Z", "2026-11-25T22:30:00Z");
        assert_eq!(end("23:00-08:00", evening).unwrap(), "2026-11-26T00:00:00Z", "23:30 there");
        assert_eq!(end("23:00-08:00", morning).unwrap(), "2026-11-26T00:00:00Z", "06:30 there");
        assert_eq!(end("23:00-08:00", "2026-11-26T00:00:00Z"), None, "the end is outside");
        assert_eq!(end("23:00-08:00", "2026-11-25T04:00:00Z"), None);
        assert_eq!(end("01:00-03:00", "2026-11-25T18:00:00Z").unwrap(), "2026-11-25T19:00:00Z");
        for bad in ["", "23:00", "23-8", "25:00-08:00", "08:00-08:00"] {
            assert!(Hours::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_channel_hears_from_a_severity_on_and_of_what_nobody_can_rank() {
        let from = |min| Delivery { min_severity: min, ..Delivery::default() };
        let heard = |min| ["info", "warning", "error", "page", "odd", ""].map(|it| from(min).hears(Some(it)));
        assert_eq!(heard(Some(MinSeverity::Warning)), [false, true, true, true, true, true]);
        assert_eq!(heard(Some(MinSeverity::Critical)), [false, false, false, true, true, true]);
        assert_eq!(heard(None), [true; 6]);
        assert!(from(Some(MinSeverity::Critical)).hears(None));
    }

    #[test]
    fn at_night_the_critical_is_told_and_the_rest_waits_for_morning() {
        let quiet = Delivery { quiet_hours: Some(hours("23:00-08:00")), ..Delivery::default() };
        let night: Timestamp = "2026-11-25T23:30:00Z".parse().unwrap();
        assert_eq!(quiet.due(Some("critical"), night, &TimeZone::UTC), night);
        assert_eq!(quiet.due(Some("warning"), night, &TimeZone::UTC).to_string(), "2026-11-26T08:00:00Z");
        assert_eq!(Delivery::default().due(Some("warning"), night, &TimeZone::UTC), night);
    }
}
