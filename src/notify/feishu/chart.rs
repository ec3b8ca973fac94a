//! The course of what an alert measures as Feishu's own chart: before and since the firing, and the threshold.
//!
//! Only properties that Feishu's examples use are set, so that every client that shows a card of schema 2.0 draws it. The
//! sparkline stands beside it all the same: it is what a list of chats, a forward and a refused chart leave.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::wire::{ChartData, ChartPoint, ChartSpec, Element, Legends};
use crate::alert::Lang;
use crate::notify::text;
use crate::series::{Point, Series};

/// As high as five lines of text: a look, not a dashboard; a click enlarges it.
const HEIGHT: &str = "140px";

/// The chart of a series; none when there is no course to draw.
#[must_use]
pub fn chart(series: &Series, lang: Lang, zone: &str) -> Option<Element> {
    let points = &series.points;
    let ([first, .., last], Some(clock)) = (points.as_slice(), Clock::of(points, zone)) else { return None };
    let at = |point: &Point, line: &str| ChartPoint {
        time: clock.said(point.at),
        value: point.value,
        line: line.to_owned(),
    };
    let (before, since) = (lang.pick("触发前", "before firing"), lang.pick("触发后", "since firing"));
    let fired = points.partition_point(|point| point.at < series.firing_at);
    // The point where one line ends is where the other begins: the course has no gap at the firing.
    let until = points.len().min(fired + 1);
    let mut values: Vec<ChartPoint> =
        points[..if fired == 0 { 0 } else { until }].iter().map(|one| at(one, before)).collect();
    values.extend(points[fired..].iter().map(|one| at(one, since)));
    if let Some((limit, said)) = threshold(series) {
        let name = format!("{} {said}", lang.pick("阈值", "threshold"));
        values.extend([first, last].map(|end| ChartPoint { value: limit, ..at(end, &name) }));
    }
    let legends = Legends { visible: true, orient: "bottom" };
    let (x_field, y_field, series_field) = ("time", "value", "line");
    let chart_spec = ChartSpec { r#type: "line", data: ChartData { values }, x_field, y_field, series_field, legends };
    Some(Element::Chart { chart_spec, height: HEIGHT })
}

/// What the alert compares with, as a figure and as it is written.
fn threshold(series: &Series) -> Option<(f64, String)> {
    let written = series.threshold.as_deref()?;
    let limit: f64 = written.split_whitespace().last()?.parse().ok()?;
    limit.is_finite().then(|| (limit, text::said(written, 24)))
}

/// How moments are written so that no two of a series read alike.
struct Clock {
    zone: TimeZone,
    format: &'static str,
}

impl Clock {
    fn of(points: &[Point], zone: &str) -> Option<Self> {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        ["%H:%M", "%H:%M:%S", "%m-%d %H:%M", "%m-%d %H:%M:%S"].into_iter().find_map(|format| {
            let clock = Self { zone: zone.clone(), format };
            let mut said: Vec<String> = points.iter().map(|point| clock.said(point.at)).collect();
            said.sort_unstable();
            said.dedup();
            (said.len() == points.len()).then_some(clock)
        })
    }

    fn said(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime(self.format).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::series::tests::series;

    fn drawn(values: &[f64], threshold: Option<&str>) -> Option<Value> {
        let mut series = series(values)?;
        series.threshold = threshold.map(str::to_owned);
        chart(&series, Lang::En, "UTC").map(|element| serde_json::to_value(element).unwrap())
    }

    fn line<'a>(chart: &'a Value, name: &str) -> Vec<(&'a str, f64)> {
        let values = chart["chart_spec"]["data"]["values"].as_array().unwrap();
        let mine = values.iter().filter(|one| one["line"] == name);
        mine.map(|one| (one["time"].as_str().unwrap(), one["value"].as_f64().unwrap())).collect()
    }

    #[test]
    fn a_course_is_drawn_before_and_since_the_firing_with_its_threshold() {
        let chart = drawn(&[1.0, 2.0, 3.0, 4.0], Some("> 2.5")).unwrap();
        assert_eq!(line(&chart, "before firing"), [("08:00", 1.0), ("08:01", 2.0), ("08:02", 3.0)]);
        assert_eq!(line(&chart, "since firing"), [("08:02", 3.0), ("08:03", 4.0)]);
        assert_eq!(line(&chart, "threshold > 2.5"), [("08:00", 2.5), ("08:03", 2.5)]);
        assert_eq!((&chart["tag"], &chart["height"]), (&"chart".into(), &"140px".into()));
    }

    #[test]
    fn one_point_is_no_course_and_a_threshold_in_words_no_line() {
        assert_eq!(drawn(&[1.0], None), None);
        let chart = drawn(&[1.0, 2.0], Some("== bool 1 or vector")).unwrap();
        assert_eq!(chart["chart_spec"]["data"]["values"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn moments_that_would_read_alike_are_written_longer() {
        let mut days = series(&[1.0, 2.0, 3.0]).unwrap();
        for (index, point) in days.points.iter_mut().enumerate() {
            point.at = Timestamp::from_second(1_800_000_000 + 86_400 * i64::try_from(index).unwrap()).unwrap();
        }
        let chart = serde_json::to_value(chart(&days, Lang::Zh, "Asia/Shanghai").unwrap()).unwrap();
        assert_eq!(chart["chart_spec"]["data"]["values"][0]["time"], "01-15 16:00");
    }
}
