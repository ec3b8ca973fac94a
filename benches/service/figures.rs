//! Medians and percentiles of durations.

use std::time::Duration;

/// Durations of one kind, in the order they were measured.
#[derive(Debug, Default)]
pub struct Durations(pub Vec<Duration>);

impl Durations {
    /// The value below which this share of all lies, in milliseconds (nearest rank).
    pub fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |one| one.as_secs_f64() * 1e3)
    }

    /// Median and 95th percentile, in milliseconds.
    pub fn median_and_p95(&self) -> String {
        format!("{:.1} / {:.1}", self.at(0.5), self.at(0.95))
    }
}
