//! Answers of Prometheus as text that reads well and costs little: the newest value and the course of each series.

use std::fmt::Write;

use serde_json::{Value, json};

use super::client::{Answer, Measured};
use crate::alert::Labels;
use crate::series::{Series, figure, sparkline};

/// Series that are written out; how many were left out is said.
const SHOWN: usize = 20;
/// Series that code gets to see.
const KEPT: usize = 200;
/// Values of a course that are written out.
const VALUES: usize = 12;

/// The answer as lines.
pub(super) fn table(answer: &Answer) -> String {
    let mut out = String::new();
    for warning in &answer.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    if let Some(text) = &answer.text {
        let _ = writeln!(out, "{text}");
    }
    if answer.series.is_empty() && answer.text.is_none() {
        out.push_str(
            "No series: nothing matches the expression now. A comparison that does not hold answers nothing.\n",
        );
    }
    for measured in answer.series.iter().take(SHOWN) {
        let _ = writeln!(out, "{}", line(measured));
    }
    if answer.series.len() > SHOWN {
        let _ = writeln!(out, "[… {} more series; narrow the expression or pass labels]", answer.series.len() - SHOWN);
    }
    out
}

fn line(measured: &Measured) -> String {
    let name = named(&measured.labels);
    let latest = measured.points.last().map_or(f64::NAN, |point| point.value);
    let firing = measured.points.first().map_or(jiff::Timestamp::UNIX_EPOCH, |point| point.at);
    let series = Series::new(String::new(), Labels::new(), firing, measured.points.clone());
    match series {
        Some(series) if measured.points.len() > 1 => {
            let every = measured.points.len().div_ceil(VALUES);
            let course: Vec<String> = measured
                .points
                .iter()
                .rev()
                .step_by(every)
                .map(|point| format!("{}={}", point.at.strftime("%H:%M:%S"), figure(point.value)))
                .collect();
            let course: Vec<&str> = course.iter().rev().map(String::as_str).collect();
            format!(
                "{name} latest {} least {} greatest {} {} over {} points (UTC): {}",
                figure(latest),
                figure(series.least),
                figure(series.greatest),
                sparkline(&series),
                measured.points.len(),
                course.join(" ")
            )
        }
        _ => format!("{name} {latest}"),
    }
}

/// `name{label="value",…}`, as Prometheus writes a series.
fn named(labels: &Labels) -> String {
    let name = labels.get("__name__").map(String::as_str).unwrap_or_default();
    let pairs: Vec<String> =
        labels.iter().filter(|(key, _)| *key != "__name__").map(|(key, value)| format!("{key}={value:?}")).collect();
    format!("{name}{{{}}}", pairs.join(","))
}

/// The answer for code: labels, and values that are numbers.
pub(super) fn structured(answer: &Answer) -> Value {
    let series = answer.series.iter().take(KEPT).map(|measured| {
        let points: Vec<Value> = measured
            .points
            .iter()
            .filter(|point| point.value.is_finite())
            .map(|point| json!([point.at.as_millisecond(), point.value]))
            .collect();
        json!({"labels": measured.labels, "points": points})
    });
    json!({"series": series.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Point;

    fn measured(pod: &str, values: &[f64]) -> Measured {
        let at =
            |index: usize| jiff::Timestamp::from_second(1_800_000_000 + 60 * i64::try_from(index).unwrap()).unwrap();
        let points = values.iter().enumerate().map(|(index, value)| Point { at: at(index), value: *value }).collect();
        Measured { labels: Labels::from([("__name__".into(), "up".into()), ("pod".into(), pod.into())]), points }
    }

    #[test]
    fn a_course_is_one_line_with_its_figures() {
        let text = table(&Answer { series: vec![measured("web-0", &[1.0, 2.0, 8.0])], ..Answer::default() });
        assert_eq!(
            text,
            "up{pod=\"web-0\"} latest 8 least 1 greatest 8 ▁▂█ over 3 points (UTC): 08:00:00=1 08:01:00=2 08:02:00=8\n"
        );
    }

    #[test]
    fn many_series_are_counted_and_none_is_explained() {
        let series = (0..50).map(|n| measured(&format!("web-{n}"), &[1.0])).collect();
        let text = table(&Answer { series, ..Answer::default() });
        assert_eq!(text.lines().count(), 21);
        assert!(text.contains("30 more series"), "{text}");
        assert!(table(&Answer::default()).starts_with("No series"));
    }
}
