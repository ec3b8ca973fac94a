//! Times and durations as people read them, in the zone they live in.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::alert::Lang;

/// A moment in a zone, by its IANA name, with its offset; `None` for the zero times some senders use for "not yet".
#[must_use]
pub fn moment(at: Timestamp, zone: &str) -> Option<String> {
    const YEAR_1971: i64 = 31_536_000;
    if at.as_second() < YEAR_1971 {
        return None;
    }
    let at = at.to_zoned(TimeZone::get(zone).unwrap_or(TimeZone::UTC));
    let offset = if at.offset().is_zero() { "UTC".to_owned() } else { at.strftime("%:z").to_string() };
    Some(format!("{} {offset}", at.strftime("%Y-%m-%d %H:%M:%S")))
}

/// The time of day in a zone, for pages that show the date elsewhere.
#[must_use]
pub fn time_of_day(at: Timestamp, zone: &str) -> String {
    at.to_zoned(TimeZone::get(zone).unwrap_or(TimeZone::UTC)).strftime("%H:%M").to_string()
}

/// A duration in its two largest units: `3 天 2 小时`, `1 h 5 min`. Negative ones, from clocks that disagree, are zero.
#[must_use]
pub fn duration(lang: Lang, seconds: i64) -> String {
    let units = [
        (86_400, lang.pick("天", "d")),
        (3_600, lang.pick("小时", "h")),
        (60, lang.pick("分钟", "min")),
        (1, lang.pick("秒", "s")),
    ];
    let seconds = seconds.max(0);
    let first = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let (size, unit) = units[first];
    let (whole, rest) = (seconds / size, seconds % size);
    match units.get(first + 1) {
        // Seconds beside minutes are noise.
        Some((smaller, name)) if *smaller > 1 && rest >= *smaller => {
            format!("{whole} {unit} {} {name}", rest / smaller)
        }
        _ => format!("{whole} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(duration(Lang::Zh, 12 * 60 + 9), "12 分钟");
        assert_eq!(duration(Lang::Zh, 3 * 86_400 + 2 * 3_600), "3 天 2 小时");
        assert_eq!(duration(Lang::En, 3_900), "1 h 5 min");
        assert_eq!(duration(Lang::En, 45), "45 s");
        assert_eq!(duration(Lang::En, -5), "0 s", "a clock that runs behind is not shown");
    }

    #[test]
    fn moments_carry_their_offset_and_zero_times_are_none() {
        let at: Timestamp = "2026-11-23T02:32:12.253Z".parse().expect("a time");
        assert_eq!(moment(at, "Asia/Shanghai").as_deref(), Some("2026-11-23 10:32:12 +08:00"));
        assert_eq!(moment(at, "Asia/Kathmandu").as_deref(), Some("2026-11-23 08:17:12 +05:45"));
        for unmoved in ["UTC", "Etc/UTC", "Nowhere/Else"] {
            assert_eq!(moment(at, unmoved).as_deref(), Some("2026-11-23 02:32:12 UTC"), "{unmoved}");
        }
        let zero: Timestamp = "0001-01-01T00:00:00Z".parse().expect("a time");
        assert_eq!(moment(zero, "Asia/Shanghai"), None);
        assert_eq!(time_of_day(at, "Asia/Shanghai"), "10:32");
    }
}
