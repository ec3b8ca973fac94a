//! The table for people: a matrix of scenarios and contestants, what went wrong, and one line of totals each.

use std::fmt::Display;

use super::contest::Row;
use super::score::Score;
use super::totals::Total;

/// The whole table.
pub(super) fn table(rows: &[Row], totals: &[Total]) -> String {
    format!("{}{}\n{}", matrix(rows, totals), reasons(rows), sums(totals))
}

/// One line a scenario, one column a contestant, one mark a run; below it what the marks mean that occur.
fn matrix(rows: &[Row], totals: &[Total]) -> String {
    let mut scenarios: Vec<&str> = Vec::new();
    for row in rows {
        if !scenarios.contains(&row.scenario.as_str()) {
            scenarios.push(&row.scenario);
        }
    }
    let head = ["SCENARIO"].into_iter().chain(totals.iter().map(|total| total.model.as_str())).map(str::to_owned);
    let mut lines: Vec<Vec<String>> = vec![head.collect()];
    for scenario in scenarios {
        let marks = totals.iter().map(|total| {
            rows.iter()
                .filter(|row| row.scenario == scenario && row.model == total.model)
                .map(|row| row.score.mark())
                .collect()
        });
        lines.push([scenario.to_owned()].into_iter().chain(marks).collect());
    }
    let occurs = |score: &Score| rows.iter().any(|row| row.score == *score);
    let legend: Vec<String> = Score::ALL
        .iter()
        .filter(|score| occurs(score))
        .map(|score| format!("{} {}", score.mark(), score.label()))
        .collect();
    format!("{}\n{}\n", columns(&lines, |_| false), legend.join("   "))
}

/// Why runs are not right, or right without the model's own answer.
fn reasons(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows.iter().filter(|row| !row.reasons.is_empty()) {
        let repeated = rows.iter().any(|other| other.run > 1);
        let run = if repeated { format!(" run {}", row.run) } else { String::new() };
        out += &format!("\n{} {}{run}: {}", row.model, row.scenario, row.score.label());
        for reason in &row.reasons {
            out += &format!("\n  - {reason}");
        }
        out += "\n";
    }
    out
}

/// One line a contestant. Columns in which nobody has anything are left out.
fn sums(totals: &[Total]) -> String {
    let repeated = totals.iter().any(|total| total.pass.len() > 1);
    let mut columns_of: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |name: &str, shown: bool, cell: &dyn Fn(&Total) -> String| {
        if shown {
            columns_of.push((name.to_owned(), totals.iter().map(cell).collect()));
        }
    };
    add("MODEL", true, &|total| total.model.clone());
    add("RIGHT", true, &|total| format!("{}/{}", total.right, total.runs));
    add("WRONG", true, &|total| total.wrong.to_string());
    add("CONFIDENTLY WRONG", true, &|total| total.confidently_wrong.to_string());
    add("FALSE ALARM", true, &|total| total.false_alarm.to_string());
    add("UNPLAYED", any(totals, |total| total.unplayed > 0), &|total| total.unplayed.to_string());
    add("ANSWERED", any(totals, |total| total.answered < total.runs), &|total| total.answered.to_string());
    add("PASS^1", repeated, &|total| percent(total.pass.first()));
    let most = totals.iter().map(|total| total.pass.len()).max().unwrap_or_default();
    add(&format!("PASS^{most}"), repeated, &|total| {
        // One run of code stands for any number of runs.
        percent(total.pass.get(most - 1).or(total.pass.first()))
    });
    add("TURNS", any(totals, |total| total.turns > 0), &|total| total.turns.to_string());
    add("CALLS", true, &|total| total.tool_calls.to_string());
    add("TOKENS", any(totals, |total| total.tokens > 0), &|total| total.tokens.to_string());
    add("COST", any(totals, |total| total.cost > 0.0), &|total| decimal(total.cost, 4));
    add("MEDIAN S", true, &|total| decimal(total.seconds_median, 2));
    add("P95 S", true, &|total| decimal(total.seconds_p95, 2));
    let mut lines = vec![columns_of.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()];
    lines.extend((0..totals.len()).map(|index| columns_of.iter().map(|(_, cells)| cells[index].clone()).collect()));
    columns(&lines, |column| column > 0)
}

fn any(totals: &[Total], has: impl Fn(&Total) -> bool) -> bool {
    totals.iter().any(has)
}

fn percent(share: Option<&f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0))
}

fn decimal(value: impl Display, digits: usize) -> String {
    format!("{value:.digits$}")
}

/// Lines of cells under each other, two spaces apart.
fn columns(lines: &[Vec<String>], right_aligned: impl Fn(usize) -> bool) -> String {
    let count = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut out = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if right_aligned(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        out += cells.collect::<Vec<_>>().join("  ").trim_end();
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::totals;
    use super::*;
    use crate::report::Report;

    fn row(model: &str, scenario: &str, run: u32, score: Score, reasons: &[&str]) -> Row {
        let by_model = model != "playbook";
        Row {
            model: model.into(),
            scenario: scenario.into(),
            run,
            score,
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            answered: true,
            tool_calls: 9,
            turns: if by_model { 2 } else { 0 },
            tokens: if by_model { 8_000 } else { 0 },
            cost: if by_model { 0.0123 } else { 0.0 },
            seconds: if by_model { 4.0 } else { 0.04 },
            read_bytes: 0,
            facts_bytes: 0,
            report: Report::default(),
        }
    }

    #[test]
    fn the_table_is_understood_in_one_look() {
        let rows = [
            row("playbook", "03-oomkilled", 1, Score::Right, &[]),
            row("playbook", "30-healthy-flap", 1, Score::Right, &[]),
            row("fast", "03-oomkilled", 1, Score::Right, &[]),
            row("fast", "03-oomkilled", 2, Score::ConfidentlyWrong, &["blames Pod a/b, not Deployment/web"]),
            row("fast", "30-healthy-flap", 1, Score::FalseAlarm, &["nothing is wrong here"]),
            row("fast", "30-healthy-flap", 2, Score::Right, &[]),
        ];
        insta::assert_snapshot!(table(&rows, &totals::of(&["playbook", "fast"], &rows)));
    }

    #[test]
    fn the_playbook_alone_needs_few_columns() {
        let rows = [row("playbook", "03-oomkilled", 1, Score::Right, &[])];
        insta::assert_snapshot!(table(&rows, &totals::of(&["playbook"], &rows)));
    }
}
