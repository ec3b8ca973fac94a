//! Words of our own that every message uses: severities, times, durations, counts, in both languages.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Tone;
use crate::alert::{Lang, severity_rank};
use crate::report::Confidence;

/// The severity as people say it; unknown ones as their sender spells them.
pub fn severity(lang: Lang, raw: &str) -> String {
    if raw.is_empty() {
        return lang.pick("未分级", "unrated").to_owned();
    }
    let zh = match severity_rank(Some(raw)) {
        0 => "严重",
        1 => "重要",
        2 => "警告",
        4 => "提示",
        _ => raw,
    };
    lang.pick(zh, raw).to_owned()
}

/// The colour of a severity.
pub fn severity_tone(raw: &str) -> Tone {
    match severity_rank(Some(raw)) {
        0 => Tone::Red,
        1 => Tone::Orange,
        2 => Tone::Yellow,
        4 => Tone::Blue,
        _ => Tone::Grey,
    }
}

/// How sure a cause is, with its colour.
pub fn confidence(lang: Lang, confidence: Confidence) -> (&'static str, Tone) {
    match confidence {
        Confidence::High => (lang.pick("置信度 高", "high confidence"), Tone::Green),
        Confidence::Medium => (lang.pick("置信度 中", "medium confidence"), Tone::Yellow),
        Confidence::Low => (lang.pick("置信度 低", "low confidence"), Tone::Grey),
    }
}

/// A moment in a zone, with its offset; `None` for the zero times some senders use for "not yet".
pub fn moment(at: Timestamp, zone: &str) -> Option<String> {
    const YEAR_1971: i64 = 31_536_000;
    if at.as_second() < YEAR_1971 {
        return None;
    }
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    Some(at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %:z").to_string())
}

/// A duration in its two largest units: `3 天 2 小时`, `1 h 5 min`.
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

/// A count of tokens, short: `940`, `21.4k`, `1.2M`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn tokens(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{:.1}k", count as f64 / 1e3),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

/// Says that a message is not the whole.
pub fn shortened(lang: Lang, has_page: bool) -> &'static str {
    match has_page {
        true => lang.pick("内容已精简，完整报告见链接。", "Shortened to fit; the full report is behind the link."),
        false => lang.pick("内容过长，已精简。", "Shortened to fit."),
    }
}

/// Counts what a list leaves out.
pub fn more(lang: Lang, count: usize) -> String {
    lang.pick(format!("…另有 {count} 项未列出"), format!("… and {count} more"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
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
        assert_eq!(moment(at, "Nowhere/Else").as_deref(), Some("2026-11-23 02:32:12 +00:00"));
        let zero: Timestamp = "0001-01-01T00:00:00Z".parse().expect("a time");
        assert_eq!(moment(zero, "Asia/Shanghai"), None);
    }

    #[test]
    fn tokens_are_short() {
        assert_eq!([940, 21_430, 1_200_000].map(tokens), ["940", "21.4k", "1.2M"]);
    }
}
