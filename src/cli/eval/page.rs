//! The scores as a page: what each run read and took.

use std::fmt::Write;

use super::contest::Row;
use super::totals::Total;

/// A table in Markdown, one line a run, and the totals below.
pub(super) fn page(rows: &[Row], totals: &[Total]) -> String {
    let mut out =
        String::from("| Scenario | By | Outcome | Tool calls | Read, bytes | Facts, bytes | Milliseconds |\n");
    out.push_str("| --- | --- | --- | ---: | ---: | ---: | ---: |\n");
    for row in rows {
        let Row { scenario, model, score, tool_calls, read_bytes, facts_bytes, seconds, .. } = row;
        let (outcome, millis) = (score.label(), seconds * 1e3);
        let _ = writeln!(
            out,
            "| {scenario} | {model} | {outcome} | {tool_calls} | {read_bytes} | {facts_bytes} | {millis:.0} |"
        );
    }
    for total in totals {
        let own = rows.iter().filter(|row| row.model == total.model && row.facts_bytes > 0);
        let mut ratios: Vec<u64> = own.map(|row| row.read_bytes / row.facts_bytes as u64).collect();
        ratios.sort_unstable();
        let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
        let Total { model, right, runs, tool_calls, seconds_median, .. } = total;
        let _ = writeln!(
            out,
            "\n**{model}**: {right} of {runs} right, {tool_calls} tool calls, median {:.0} ms; what was read is {ratio} times the facts made of it (median).",
            seconds_median * 1e3
        );
    }
    out
}
