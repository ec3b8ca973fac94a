//! A series in one line of block characters, for messages that can hold no picture.

use super::Series;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Characters of a line: what a phone shows without breaking it.
const WIDTH: usize = 24;

/// The line: higher blocks are greater values, a dot is a gap, `│` is where the alert fired; `│…` stands before a line that
/// begins later than that.
#[must_use]
pub fn sparkline(series: &Series) -> String {
    let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else { return String::new() };
    let (from, to) = (first.at.as_second(), last.at.as_second());
    let span = (to - from).max(1);
    let slots = WIDTH.min(series.points.len()).max(1);
    let slot = |at: i64| {
        let index = (at - from) * i64::try_from(slots).unwrap_or(1) / (span + 1);
        usize::try_from(index.max(0)).unwrap_or(0).min(slots - 1)
    };
    // The greatest value of a slot: a peak must not vanish between two quiet values.
    let mut peaks: Vec<Option<f64>> = vec![None; slots];
    for point in &series.points {
        let peak = &mut peaks[slot(point.at.as_second())];
        *peak = Some(peak.map_or(point.value, |known| known.max(point.value)));
    }
    let firing = series.firing_at.as_second();
    let mark = (from < firing && firing <= to).then(|| slot(firing));
    let mut line = if firing < from { "│…".to_owned() } else { String::new() };
    for (index, peak) in peaks.into_iter().enumerate() {
        if mark == Some(index) {
            line.push('│');
        }
        line.push(peak.map_or('·', |value| block(series, value)));
    }
    line
}

fn block(series: &Series, value: f64) -> char {
    let span = series.greatest - series.least;
    // A flat line is neither high nor low.
    let share = if span > 0.0 { (value - series.least) / span } else { 0.4 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
    let index = (share * 7.0).round().clamp(0.0, 7.0) as usize;
    BLOCKS[index]
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::tests::series;
    use super::*;

    #[test]
    fn an_alert_that_fired_before_the_line_begins_says_so() {
        let mut long = series(&[0.0, 7.0]).unwrap();
        long.firing_at = Timestamp::UNIX_EPOCH;
        assert_eq!(sparkline(&long), "│…▁█");
    }

    #[test]
    fn a_rise_rises_and_the_firing_is_marked() {
        assert_eq!(sparkline(&series(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]).unwrap()), "▁▂▃▄│▅▆▇█");
    }

    #[test]
    fn flat_single_negative_and_gapped_series_have_a_line() {
        assert_eq!(sparkline(&series(&[5.0, 5.0]).unwrap()), "▄│▄");
        assert_eq!(sparkline(&series(&[1.0]).unwrap()), "▄");
        assert_eq!(sparkline(&series(&[-3.0, -1.0, -2.0]).unwrap()), "▁█│▅");
        let gapped = series(&[1.0, f64::NAN, f64::NAN, f64::NAN, 2.0, 2.0]).unwrap();
        assert!(sparkline(&gapped).contains('·'), "{}", sparkline(&gapped));
    }

    #[test]
    fn a_peak_between_quiet_values_is_seen() {
        let mut values = vec![0.0; 60];
        values[31] = 9.0;
        let line = sparkline(&series(&values).unwrap());
        assert!(line.contains('█') && line.chars().count() <= WIDTH + 1, "{line}");
    }
}
