//! What all runs of one contestant come to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::contest::Row;
use super::score::Score;

/// All runs of one contestant.
#[derive(Debug, Default, Serialize)]
pub(super) struct Total {
    pub(super) model: String,
    pub(super) scenarios: usize,
    pub(super) runs: usize,
    pub(super) right: usize,
    pub(super) wrong: usize,
    pub(super) confidently_wrong: usize,
    pub(super) false_alarm: usize,
    /// Runs that do not fit their recording, and are not judged.
    pub(super) unplayed: usize,
    /// Runs in which the model submitted a diagnosis itself.
    pub(super) answered: usize,
    pub(super) tool_calls: u32,
    pub(super) turns: u32,
    pub(super) tokens: u64,
    pub(super) cost: f64,
    /// Of all runs together.
    pub(super) seconds: f64,
    pub(super) seconds_median: f64,
    pub(super) seconds_p95: f64,
    /// pass^1, pass^2, …: the chance that so many runs of a scenario are all right, as a mean over the scenarios.
    pub(super) pass: Vec<f64>,
}

/// The totals of each contestant, in their order.
pub(super) fn of(names: &[&str], rows: &[Row]) -> Vec<Total> {
    names.iter().map(|name| total(name, rows.iter().filter(|row| row.model == *name).collect())).collect()
}

fn total(name: &str, rows: Vec<&Row>) -> Total {
    let count = |score| rows.iter().filter(|row| row.score == score).count();
    let mut seconds: Vec<f64> = rows.iter().map(|row| row.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let mut scenarios: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in &rows {
        let (runs, right) = scenarios.entry(&row.scenario).or_default();
        *runs += 1;
        *right += usize::from(row.score == Score::Right);
    }
    let scenarios: Vec<(usize, usize)> = scenarios.into_values().collect();
    Total {
        model: name.to_owned(),
        scenarios: scenarios.len(),
        runs: rows.len(),
        right: count(Score::Right),
        wrong: count(Score::Wrong),
        confidently_wrong: count(Score::ConfidentlyWrong),
        false_alarm: count(Score::FalseAlarm),
        unplayed: count(Score::Unplayed),
        answered: rows.iter().filter(|row| row.answered).count(),
        tool_calls: rows.iter().map(|row| row.tool_calls).sum(),
        turns: rows.iter().map(|row| row.turns).sum(),
        tokens: rows.iter().map(|row| row.tokens).sum(),
        cost: rows.iter().map(|row| row.cost).sum(),
        seconds: seconds.iter().sum(),
        seconds_median: percentile(&seconds, 50),
        seconds_p95: percentile(&seconds, 95),
        pass: pass(&scenarios),
    }
}

/// The smallest value that so many percent do not exceed; 0 of nothing.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// pass^k for every k the runs allow. Of n runs with c right, C(c, k) of the C(n, k) choices of k runs are all right
/// (Yao et al., τ-bench, 2024, arXiv 2406.12045).
fn pass(scenarios: &[(usize, usize)]) -> Vec<f64> {
    let most = scenarios.iter().map(|(runs, _)| *runs).min().unwrap_or_default();
    (1..=most)
        .map(|k| {
            scenarios.iter().map(|(runs, right)| all_right(*runs, *right, k)).sum::<f64>() / scenarios.len() as f64
        })
        .collect()
}

fn all_right(runs: usize, right: usize, k: usize) -> f64 {
    (0..k).map(|i| right.saturating_sub(i) as f64 / (runs - i) as f64).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pass_k_is_the_chance_that_k_runs_are_all_right() {
        assert_eq!(pass(&[(1, 1), (1, 0)]), [0.5]);
        let [one, two, three] = pass(&[(3, 3), (3, 2)])[..] else { panic!("three runs allow three") };
        assert!((one - 5.0 / 6.0).abs() < 1e-9, "5 of 6 runs are right: {one}");
        assert!((two - (1.0 + 1.0 / 3.0) / 2.0).abs() < 1e-9, "one pair of three is all right: {two}");
        assert!((three - 0.5).abs() < 1e-9, "{three}");
        assert!(pass(&[]).is_empty());
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let sorted: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!((percentile(&sorted, 50), percentile(&sorted, 95)), (10.0, 19.0));
        assert_eq!((percentile(&[7.0], 50), percentile(&[7.0], 95), percentile(&[], 50)), (7.0, 7.0, 0.0));
    }
}
