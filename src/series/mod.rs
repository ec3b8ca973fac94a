//! A measured series as a report carries it: the values around the moment an alert fired, few enough for a message.

mod spark;
mod svg;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use spark::sparkline;
pub use svg::{in_words, svg};

use crate::alert::Labels;

/// The most points a report carries for a series.
pub const MOST_POINTS: usize = 60;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Point {
    /// When it was measured.
    pub at: Timestamp,
    /// The value; never NaN or infinite.
    pub value: f64,
}

/// The values of an alert's expression around the moment it fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Series {
    /// What was evaluated: the alert's expression, without the threshold it is compared with.
    pub expression: String,
    /// What the alert compares it with, for example `> 0.9`.
    #[serde(default)]
    pub threshold: Option<String>,
    /// Labels of this series.
    pub labels: Labels,
    /// When the alert fired.
    pub firing_at: Timestamp,
    /// Values, the oldest first, at most 60; a gap is a missing point.
    pub points: Vec<Point>,
    /// Smallest value.
    pub least: f64,
    /// Greatest value.
    pub greatest: f64,
    /// Newest value.
    pub latest: f64,
    /// The recorded tool result it stands in, for example `E7`.
    #[serde(rename = "ref")]
    pub reference: String,
}

impl Series {
    /// A series from measured points, of which those that are no number are dropped and the rest thinned to
    /// [`MOST_POINTS`]; none when nothing is left. Figures are of all points, not of those that are kept.
    #[must_use]
    pub fn new(expression: String, labels: Labels, firing_at: Timestamp, mut points: Vec<Point>) -> Option<Self> {
        points.retain(|point| point.value.is_finite());
        let latest = points.last()?.value;
        let least = points.iter().map(|point| point.value).fold(f64::INFINITY, f64::min);
        let greatest = points.iter().map(|point| point.value).fold(f64::NEG_INFINITY, f64::max);
        let points = thinned(points);
        let (threshold, reference) = (None, String::new());
        Some(Self { expression, threshold, labels, firing_at, points, least, greatest, latest, reference })
    }
}

/// At most so many points: of each stretch its least and its greatest, so that no peak is lost, and the newest of all.
fn thinned(points: Vec<Point>) -> Vec<Point> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let newest = points.last().copied();
    let stretch = points.len().div_ceil(MOST_POINTS / 2 - 1);
    let mut kept: Vec<Point> = Vec::with_capacity(MOST_POINTS);
    for stretch in points.chunks(stretch) {
        let by_value = |one: &&Point, other: &&Point| one.value.total_cmp(&other.value);
        let mut ends: Vec<Point> =
            [stretch.iter().min_by(by_value), stretch.iter().max_by(by_value)].into_iter().flatten().copied().collect();
        ends.sort_by_key(|point| point.at);
        ends.dedup_by_key(|point| point.at);
        kept.extend(ends);
    }
    kept.extend(newest.filter(|newest| kept.last().is_none_or(|last| last.at < newest.at)));
    kept
}

/// A value as people read it: three significant digits, large ones with a unit of thousands.
#[must_use]
pub fn figure(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let size = value.abs();
    let (scaled, unit) = match size {
        _ if size >= 1e12 => (value / 1e12, "T"),
        _ if size >= 1e9 => (value / 1e9, "G"),
        _ if size >= 1e6 => (value / 1e6, "M"),
        _ if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    // What rounds to nothing is still something.
    if text.trim_start_matches('-') == "0" && value != 0.0 { format!("{value:.1e}") } else { format!("{text}{unit}") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn series(values: &[f64]) -> Option<Series> {
        let point = |(index, value): (usize, &f64)| Point {
            at: Timestamp::from_second(1_800_000_000 + 60 * i64::try_from(index).unwrap()).unwrap(),
            value: *value,
        };
        let points: Vec<Point> = values.iter().enumerate().map(point).collect();
        let firing = Timestamp::from_second(1_800_000_000 + 30 * i64::try_from(values.len()).unwrap()).unwrap();
        Series::new("up".into(), Labels::new(), firing, points)
    }

    #[test]
    fn what_is_no_number_is_dropped_and_many_points_are_thinned() {
        assert_eq!(series(&[]), None);
        assert_eq!(series(&[f64::NAN, f64::INFINITY]), None);
        let values: Vec<f64> = (0..500).map(f64::from).collect();
        let many = series(&values).unwrap();
        assert!(many.points.len() <= MOST_POINTS && many.points.len() > MOST_POINTS / 2);
        assert_eq!((many.least, many.greatest, many.latest), (0.0, 499.0, 499.0));
        assert_eq!(many.points.last().unwrap().value, 499.0, "the newest stays");
        for peak in [0, 28, 117, 238] {
            let mut values = vec![1.0; 240];
            values[peak] = 9.0;
            let kept = series(&values).unwrap().points;
            assert!(kept.iter().any(|point| point.value == 9.0) && kept.len() <= MOST_POINTS, "a peak at {peak}");
        }
    }

    #[test]
    fn figures_are_short() {
        for (value, said) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.9731, "0.973"),
            (12.34, "12.3"),
            (1234.0, "1234"),
            (123_456.0, "123k"),
            (8.5e9, "8.5G"),
            (-2.5, "-2.5"),
            (0.000_012, "1.2e-5"),
        ] {
            assert_eq!(figure(value), said);
        }
    }
}
