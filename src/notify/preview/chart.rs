//! A card's chart as a picture, from the JSON that is sent: lines, their names and the ends of both axes.

use serde_json::Value;

use super::markdown::escaped;

const WIDTH: f64 = 600.0;
/// Room at the left for the axis' figures, and below for its times.
const LEFT: f64 = 36.0;
const BELOW: f64 = 16.0;

/// Draws a chart of Feishu's; what it does not say is not drawn.
#[must_use]
pub fn svg(chart: &Value) -> String {
    let spec = &chart["chart_spec"];
    let field = |name: &str| spec[name].as_str().unwrap_or_default().to_owned();
    let (x, y, series) = (field("xField"), field("yField"), field("seriesField"));
    let values: Vec<&Value> = spec.pointer("/data/values").and_then(Value::as_array).into_iter().flatten().collect();
    let height: f64 =
        chart["height"].as_str().and_then(|height| height.strip_suffix("px")?.parse().ok()).unwrap_or(200.0);
    let (mut times, mut names): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let (mut least, mut greatest) = (0.0_f64, f64::MIN);
    for value in &values {
        let (time, name) = (value[&x].as_str().unwrap_or_default(), value[&series].as_str().unwrap_or_default());
        if !times.contains(&time) {
            times.push(time);
        }
        if !names.contains(&name) {
            names.push(name);
        }
        let figure = value[&y].as_f64().unwrap_or_default();
        (least, greatest) = (least.min(figure), greatest.max(figure));
    }
    times.sort_unstable();
    let across = (WIDTH - LEFT) / count(times.len().saturating_sub(1).max(1));
    let tall = (height - BELOW) / (greatest - least).max(f64::MIN_POSITIVE);
    let place = |value: &&Value| {
        let at = times.iter().position(|time| Some(*time) == value[&x].as_str()).unwrap_or_default();
        let up = (value[&y].as_f64().unwrap_or_default() - least) * tall;
        format!("{:.1},{:.1}", LEFT + count(at) * across, height - BELOW - up)
    };
    let lines: String = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let mine: Vec<String> = values.iter().filter(|value| value[&series] == **name).map(place).collect();
            format!("<polyline class=\"line{number}\" points=\"{}\"/>", mine.join(" "))
        })
        .collect();
    let legend: String = names
        .iter()
        .enumerate()
        .map(|(number, name)| format!("<span class=\"line{number}\">{}</span>", escaped(name)))
        .collect();
    let (first, last) = (times.first().unwrap_or(&""), times.last().unwrap_or(&""));
    format!(
        "<div class=\"chart\"><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">{lines}\
         <text x=\"0\" y=\"10\">{greatest}</text><text x=\"0\" y=\"{:.0}\">{least}</text>\
         <text x=\"{LEFT}\" y=\"{height}\">{}</text><text x=\"{WIDTH}\" y=\"{height}\" text-anchor=\"end\">{}</text></svg>\
         <div class=\"legend\">{legend}</div></div>",
        height - BELOW,
        escaped(first),
        escaped(last),
    )
}

#[expect(clippy::cast_precision_loss, reason = "a chart has sixty points")]
fn count(number: usize) -> f64 {
    number as f64
}
