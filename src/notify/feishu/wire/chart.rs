//! The part of a card that VChart draws.

use serde::Serialize;

/// A line chart, in the properties that Feishu's own examples use.
#[derive(Debug, Clone, Serialize)]
pub struct ChartSpec {
    /// `line`.
    pub r#type: &'static str,
    /// What is drawn.
    pub data: ChartData,
    /// The property of a point that says where it stands.
    #[serde(rename = "xField")]
    pub x_field: &'static str,
    /// The property that says how high.
    #[serde(rename = "yField")]
    pub y_field: &'static str,
    /// The property that says to which line it belongs.
    #[serde(rename = "seriesField")]
    pub series_field: &'static str,
    /// The names of the lines.
    pub legends: Legends,
}

/// The points of a chart.
#[derive(Debug, Clone, Serialize)]
pub struct ChartData {
    /// In their order from left to right.
    pub values: Vec<ChartPoint>,
}

/// A point of a chart.
#[derive(Debug, Clone, Serialize)]
pub struct ChartPoint {
    /// When, in words; the same words are the same place.
    pub time: String,
    /// The value.
    pub value: f64,
    /// The line's name.
    pub line: String,
}

/// Whether and where the lines are named.
#[derive(Debug, Clone, Serialize)]
pub struct Legends {
    /// Whether they are.
    pub visible: bool,
    /// `bottom`.
    pub orient: &'static str,
}
