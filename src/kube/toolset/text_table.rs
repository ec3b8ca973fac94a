//! Tables as text: the API server's rows printed the way kubectl prints them wide and with labels.

use serde_json::Value;

use super::cluster::Collection;

/// Blanks between columns.
const PADDING: usize = 3;
/// The least a column takes, blanks included.
const LEAST: usize = 6;

/// A line of cells. Every cell but an open last one is padded to its column.
pub(super) struct Line {
    /// The cells from left to right.
    pub cells: Vec<String>,
    /// Whether the last cell stands free, without padding after it.
    pub open: bool,
}

impl Line {
    /// How many cells belong to columns.
    fn closed(&self) -> usize {
        self.cells.len() - usize::from(self.open && !self.cells.is_empty())
    }
}

/// Lines with their columns aligned. A column is as wide as its widest cell among neighbouring lines that have it.
pub(super) fn align(lines: &[Line]) -> String {
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (column, cell) in line.cells.iter().enumerate() {
            out.push_str(cell);
            if column < line.closed() {
                let blanks = width(lines, index, column) - cell.chars().count();
                out.extend(std::iter::repeat_n(' ', blanks));
            }
        }
        out.push('\n');
    }
    out
}

fn width(lines: &[Line], index: usize, column: usize) -> usize {
    let has = |line: &&Line| line.closed() > column;
    let above = lines[..index].iter().rev().take_while(has);
    let below = lines[index..].iter().take_while(has);
    let widest = above.chain(below).map(|line| line.cells[column].chars().count() + PADDING).max();
    widest.unwrap_or(LEAST).max(LEAST)
}

/// A server-side Table as text; empty when it has no rows.
pub(super) fn print(table: &Collection, api_version: &str, kind: &str) -> String {
    let rows = &table.entries;
    if rows.is_empty() {
        return String::new();
    }
    let namespaced = rows.iter().any(|row| metadata(row, "namespace").is_some());
    let names = table.page["columnDefinitions"].as_array().into_iter().flatten();
    let names = names.map(|column| column["name"].as_str().unwrap_or_default().to_uppercase());
    let mut header: Vec<String> = namespaced.then(|| "NAMESPACE".to_owned()).into_iter().collect();
    header.extend(["APIVERSION".to_owned(), "KIND".to_owned()]);
    header.extend(names);
    header.push("LABELS".to_owned());
    let mut lines = vec![Line { cells: header, open: true }];
    for row in rows {
        let mut cells: Vec<String> = Vec::new();
        if namespaced {
            cells.push(metadata(row, "namespace").unwrap_or_default().to_owned());
        }
        cells.extend([api_version.to_owned(), kind.to_owned()]);
        cells.extend(row["cells"].as_array().into_iter().flatten().map(cell));
        cells.push(labels(row));
        lines.push(Line { cells, open: true });
    }
    align(&lines)
}

fn metadata<'a>(row: &'a Value, field: &str) -> Option<&'a str> {
    row["object"]["metadata"][field].as_str().filter(|text| !text.is_empty())
}

/// One cell on one line: what follows a line break is left out, and said so.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => match text.find(['\n', '\r', '\x0c']) {
            Some(end) => format!("{}...", &text[..end]),
            None => text.clone(),
        },
        other => other.to_string(),
    }
}

fn labels(row: &Value) -> String {
    let labels = row["object"]["metadata"]["labels"].as_object();
    let pair = |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
    let mut labels: Vec<String> = labels.into_iter().flatten().map(pair).collect();
    labels.sort_unstable();
    if labels.is_empty() { "<none>".to_owned() } else { labels.join(",") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let page = json!({"columnDefinitions": [{"name": "Name"}, {"name": "Age"}]});
        let rows = json!([{"cells": ["a-long-name", "8m"], "object": {"metadata": {"labels": {"b": "2", "a": "1"}}}},
            {"cells": ["b\nc", 3], "object": {"metadata": {}}}]);
        let table = Collection { entries: rows.as_array().cloned().unwrap(), page: page.clone() };
        let expected = "APIVERSION   KIND   NAME          AGE   LABELS\nv1           Node   a-long-name   8m    a=1,b=2\nv1           Node   b...          3     <none>\n";
        assert_eq!(print(&table, "v1", "Node"), expected);
        assert_eq!(print(&Collection { entries: Vec::new(), page }, "v1", "Node"), "");
    }

    #[test]
    fn a_column_ends_where_a_line_lacks_it() {
        let line = |cells: &[&str]| Line { cells: cells.iter().map(|cell| (*cell).to_owned()).collect(), open: false };
        let lines = [line(&["NAME", "SWAP(%)"]), line(&["worker-1"]), line(&["w", "<unknown>"])];
        assert_eq!(align(&lines), "NAME       SWAP(%)   \nworker-1   \nw          <unknown>   \n");
    }
}
