//! A series as a small picture for pages: the line, the threshold, and the moment the alert fired.

use std::fmt::Write;

use super::{Series, figure};
use crate::alert::Lang;
use crate::times;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 160.0;
const LEFT: f64 = 8.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 20.0;

/// The picture. Colours are the page's own (`currentColor` and the classes `line`, `mark`, `limit`, `note`), so it reads
/// in light and dark; its title says the same in words. `zone` is an IANA name.
#[must_use]
pub fn svg(series: &Series, lang: Lang, zone: &str) -> String {
    let limit = series.threshold.as_deref().and_then(|text| text.rsplit(' ').next()?.parse::<f64>().ok());
    let limit = limit.filter(|limit| limit.is_finite());
    let scale = Scale::of(series, limit);
    let title = escaped(&in_words(series, lang));
    let mut out = format!(
        r#"<svg class="series" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}" xmlns="http://www.w3.org/2000/svg"><title>{title}</title>"#
    );
    let _ = write!(
        out,
        r#"<path class="line" fill="none" stroke="currentColor" stroke-width="2" d="{}"/>"#,
        path(series, &scale)
    );
    if let Some(limit) = limit {
        let y = scale.y(limit);
        let _ = write!(
            out,
            r#"<line class="limit" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}" stroke="currentColor" stroke-dasharray="4 4" opacity=".6"/>"#,
            WIDTH - RIGHT
        );
    }
    let firing = series.firing_at.as_second();
    if scale.holds(firing) {
        let x = scale.x(firing);
        let _ = write!(
            out,
            r#"<line class="mark" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{:.1}" stroke="currentColor" stroke-width="1.5"/>"#,
            HEIGHT - BOTTOM
        );
        let anchor = if x > WIDTH / 2.0 { "end" } else { "start" };
        let label = format!("{} {}", lang.pick("触发", "fired"), times::time_of_day(series.firing_at, zone));
        note(&mut out, x, anchor, &label);
    } else if series.points.first().is_some_and(|first| series.firing_at < first.at) {
        let when = times::moment(series.firing_at, zone).unwrap_or_default();
        let label = format!("◂ {} {when}", lang.pick("触发", "fired"));
        note(&mut out, LEFT, "start", &label);
    }
    for (x, anchor, point) in [(LEFT, "start", series.points.first()), (WIDTH - RIGHT, "end", series.points.last())] {
        let Some(point) = point else { continue };
        let at = times::time_of_day(point.at, zone);
        let _ = write!(
            out,
            r#"<text class="note" x="{x}" y="{:.1}" text-anchor="{anchor}" font-size="12" fill="currentColor" opacity=".7">{}</text>"#,
            HEIGHT - 5.0,
            escaped(&at)
        );
    }
    out.push_str("</svg>");
    out
}

/// What stands above the line.
fn note(out: &mut String, x: f64, anchor: &str, label: &str) {
    let _ = write!(
        out,
        r#"<text class="note" x="{x:.1}" y="14" text-anchor="{anchor}" font-size="12" fill="currentColor">{}</text>"#,
        escaped(label)
    );
}

/// What a picture shows, in a sentence: for those who do not see it, and for its figures.
#[must_use]
pub fn in_words(series: &Series, lang: Lang) -> String {
    let [least, greatest, latest] = [series.least, series.greatest, series.latest].map(figure);
    let limit = series
        .threshold
        .as_ref()
        .map_or_else(String::new, |limit| lang.pick(format!("，触发条件 {limit}"), format!(", fires {limit}")));
    lang.pick(
        format!("{}：最低 {least}，最高 {greatest}，最新 {latest}{limit}", series.expression),
        format!("{}: least {least}, greatest {greatest}, latest {latest}{limit}", series.expression),
    )
}

struct Scale {
    from: f64,
    seconds: f64,
    low: f64,
    high: f64,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
    fn of(series: &Series, limit: Option<f64>) -> Self {
        let seconds = |at: Option<&super::Point>| at.map_or(0.0, |point| point.at.as_second() as f64);
        let (from, to) = (seconds(series.points.first()), seconds(series.points.last()));
        let (mut low, mut high) = (series.least, series.greatest);
        if let Some(limit) = limit {
            (low, high) = (low.min(limit), high.max(limit));
        }
        let margin = if high > low { (high - low) * 0.08 } else { high.abs().max(1.0) * 0.5 };
        Self { from, seconds: (to - from).max(1.0), low: low - margin, high: high + margin }
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
    fn x(&self, second: i64) -> f64 {
        LEFT + (second as f64 - self.from) / self.seconds * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (self.high - value) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
    fn holds(&self, second: i64) -> bool {
        (self.from..=self.from + self.seconds).contains(&(second as f64))
    }
}

/// The line, broken where points are missing for more than twice the usual distance.
fn path(series: &Series, scale: &Scale) -> String {
    let seconds: Vec<i64> = series.points.iter().map(|point| point.at.as_second()).collect();
    let usual = seconds.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(0);
    let mut out = String::new();
    let mut before: Option<i64> = None;
    for point in &series.points {
        let at = point.at.as_second();
        let joined = before.is_some_and(|before| at - before <= usual * 2);
        let _ = write!(out, "{}{:.1} {:.1}", if joined { "L" } else { "M" }, scale.x(at), scale.y(point.value));
        before = Some(at);
    }
    out
}

fn escaped(text: &str) -> String {
    minijinja::HtmlEscape(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::tests::series;
    use super::*;

    #[test]
    fn the_picture_marks_the_firing_and_says_its_figures_in_words() {
        let mut rise = series(&[0.0, 1.0, 2.0, 3.0]).unwrap();
        rise.threshold = Some("> 1.5".into());
        let picture = svg(&rise, Lang::En, "UTC");
        for part in ["class=\"mark\"", "class=\"limit\"", "least 0, greatest 3, latest 3", "fired "] {
            assert!(picture.contains(part), "{part}: {picture}");
        }
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
    }

    #[test]
    fn an_alert_that_fired_before_the_picture_begins_says_when() {
        let mut long = series(&[0.0, 7.0]).unwrap();
        long.firing_at = "2026-11-20T08:00:00Z".parse().unwrap();
        let picture = svg(&long, Lang::En, "Asia/Shanghai");
        assert!(picture.contains("◂ fired 2026-11-20 16:00:00 +08:00") && !picture.contains("class=\"mark\""));
    }

    #[test]
    fn an_expression_is_text_and_a_flat_line_has_a_height() {
        let mut flat = series(&[5.0, 5.0]).unwrap();
        flat.expression = "up{job=\"<script>\"}".into();
        let picture = svg(&flat, Lang::Zh, "UTC");
        assert!(!picture.contains("<script>") && !picture.contains("NaN"), "{picture}");
        assert!(!svg(&series(&[1.0]).unwrap(), Lang::Zh, "UTC").contains("NaN"));
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let gapped = series(&[1.0, 2.0, f64::NAN, f64::NAN, f64::NAN, 3.0, 4.0]).unwrap();
        assert_eq!(svg(&gapped, Lang::En, "UTC").matches('M').count(), 2);
    }
}
