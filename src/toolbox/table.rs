//! Tables as kubernetes-mcp-server prints lists: columns padded with spaces, headings in capitals.

use std::collections::BTreeMap;

/// One row: column heading to cell.
pub type Row = BTreeMap<String, String>;

/// Reads a printed table; empty when the text is none.
#[must_use]
pub fn parse(text: &str) -> Vec<Row> {
    let mut lines = text.lines();
    let Some(header) = lines.next().filter(|line| line.contains("NAME")) else { return Vec::new() };
    let columns = columns(header);
    lines.filter(|line| !line.trim().is_empty()).map(|line| row(&columns, line)).collect()
}

/// Headings and where they start, in characters. Two spaces or more part columns; a heading may hold one (`ACCESS MODES`).
fn columns(header: &str) -> Vec<(usize, String)> {
    let mut columns: Vec<(usize, String)> = Vec::new();
    let mut spaces = 2;
    for (at, char) in header.chars().enumerate() {
        if char == ' ' {
            spaces += 1;
            continue;
        }
        match columns.last_mut() {
            Some((_, heading)) if spaces < 2 => {
                heading.extend(std::iter::repeat_n(' ', spaces));
                heading.push(char);
            }
            _ => columns.push((at, char.to_string())),
        }
        spaces = 0;
    }
    columns
}

fn row(columns: &[(usize, String)], line: &str) -> Row {
    let chars: Vec<char> = line.chars().collect();
    let ends = columns.iter().skip(1).map(|(start, _)| *start).chain([chars.len()]);
    columns
        .iter()
        .zip(ends)
        .map(|((start, heading), end)| {
            let cell: String = chars.get(*start..end.min(chars.len())).unwrap_or_default().iter().collect();
            (heading.clone(), cell.trim().to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_under_their_headings() {
        let rows = parse(
            "NAMESPACE   APIVERSION   KIND   NAME    READY   NOMINATED NODE   LABELS\n\
             aiops       v1           Pod    web-0   0/1     <none>           app=test,x=y\n",
        );
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["NAME"], "web-0");
        assert_eq!(rows[0]["NOMINATED NODE"], "<none>");
        assert_eq!(rows[0]["LABELS"], "app=test,x=y");
    }

    #[test]
    fn what_is_no_table_has_no_rows() {
        assert!(parse("failed to list pods: forbidden").is_empty());
        assert!(parse("").is_empty());
    }
}
