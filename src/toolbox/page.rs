//! Paging: `evidence_read`, the tool of our own that reads what the size limit cut out of a result.

use serde_json::{Value, json};

use super::evidence::{Evidence, EvidenceLog};
use super::fit::rows;
use crate::agent::tools::ToolSpec;

/// The tool's name.
pub const NAME: &str = "evidence_read";

/// Lines of a page, where none are asked for.
const LINES: usize = 120;

/// The most lines of context on either side of a match.
const MOST_CONTEXT: usize = 20;

/// How it is described to a model.
#[must_use]
pub fn spec() -> ToolSpec {
    ToolSpec {
        name: NAME.to_owned(),
        description: "Reads more of an earlier result that was cut: lines from a position, or only lines with a word."
            .to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {
                "ref": {"type": "string", "description": "for example E3"},
                "from": {"type": "integer", "minimum": 1, "description": "first line, counted from 1"},
                "lines": {"type": "integer", "minimum": 1, "description": "how many, default 120"},
                "grep": {"type": "string", "description": "only lines that contain this text, in any case"},
                "context": {"type": "integer", "minimum": 0, "description": "with grep: lines around each match, at most 20"}
            },
            "required": ["ref"],
            "additionalProperties": false
        }),
        read_only: true,
    }
}

/// What is wanted of a result.
struct Wanted {
    from: usize,
    lines: usize,
    grep: String,
    context: usize,
}

impl Wanted {
    fn read(arguments: &Value) -> Self {
        let number =
            |key: &str| arguments.get(key).and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok());
        Self {
            from: number("from").unwrap_or(1).max(1),
            lines: number("lines").unwrap_or(LINES).max(1),
            grep: arguments.get("grep").and_then(Value::as_str).unwrap_or_default().to_lowercase(),
            context: number("context").unwrap_or(0).min(MOST_CONTEXT),
        }
    }
}

/// Answers a call: numbered lines and how to go on, or a sentence that says why there are none.
///
/// # Errors
/// An unknown reference; the text lists the known ones.
pub fn read(log: &EvidenceLog, arguments: &Value, limit: usize) -> Result<String, String> {
    let reference = arguments.get("ref").and_then(Value::as_str).unwrap_or_default();
    let Some(evidence) = log.get(reference.trim_start_matches("evidence://")) else {
        return Err(format!("there is no {reference}; known are {}", log.references().join(", ")));
    };
    Ok(page(&evidence, &Wanted::read(arguments), limit))
}

fn page(evidence: &Evidence, wanted: &Wanted, limit: usize) -> String {
    let total = rows(&evidence.full).count();
    let mut out = format!("{} has {total} lines\n", evidence.reference);
    let (mut shown, mut matched, mut next) = (0, 0, None);
    // Where the newest match's context ends, and what came since and may become the next one's.
    let (mut until, mut before) = (0, std::collections::VecDeque::new());
    for (number, row) in rows(&evidence.full).enumerate().map(|(index, row)| (index + 1, row)).skip(wanted.from - 1) {
        let is_match = wanted.grep.is_empty() || row.to_lowercase().contains(&wanted.grep);
        if !is_match && number > until {
            before.push_back((number, row));
            if before.len() > wanted.context {
                before.pop_front();
            }
            continue;
        }
        before.push_back((number, row));
        let mut block = before.iter().map(|(number, row)| format!("{number}: {row}\n")).collect::<String>();
        let is_too_long = out.len() + block.len() + NEXT > limit;
        if is_too_long && shown == 0 {
            block = format!("{number}: {row}\n");
        } else if is_too_long || (is_match && matched >= wanted.lines) {
            next = Some(before.front().map_or(number, |(first, _)| *first));
            break;
        }
        out.push_str(&block);
        shown += before.len();
        before.clear();
        if is_match {
            matched += 1;
            until = number + wanted.context;
        }
    }
    if shown == 0 {
        out.push_str(&nothing(wanted, total));
    }
    if let Some(next) = next {
        let again = if wanted.grep.is_empty() { "" } else { " and the same grep" };
        out.push_str(&format!("[this page ends here; go on with from={next}{again}]\n"));
    }
    out
}

/// What the sentence about the next page takes, in bytes.
const NEXT: usize = 80;

fn nothing(wanted: &Wanted, total: usize) -> String {
    match wanted.grep.as_str() {
        "" => format!("[line {} is behind the last one, {total}]\n", wanted.from),
        _ => format!("[no line from {} on contains that text]\n", wanted.from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn log_of(text: &str) -> EvidenceLog {
        let log = EvidenceLog::default();
        log.record(log.reserve(), "pods_log", &Value::Null, text.to_owned(), 200, Timestamp::UNIX_EPOCH);
        log
    }

    fn log() -> EvidenceLog {
        let text: Vec<String> =
            (1..=500).map(|n| if n == 300 { "Boom".to_owned() } else { format!("line {n}") }).collect();
        log_of(&text.join("\n"))
    }

    fn read_of(log: &EvidenceLog, arguments: &Value) -> String {
        read(log, arguments, 999).unwrap()
    }

    #[test]
    fn pages_and_greps() {
        assert_eq!(
            read_of(&log(), &json!({"ref": "E1", "from": 499})),
            "E1 has 500 lines\n499: line 499\n500: line 500\n"
        );
        assert_eq!(read_of(&log(), &json!({"ref": "evidence://E1", "grep": "boom"})), "E1 has 500 lines\n300: Boom\n");
        assert!(read_of(&log(), &json!({"ref": "E1", "grep": "none such"})).contains("no line from 1 on"));
        assert!(read_of(&log(), &json!({"ref": "E1", "from": 501})).contains("behind the last one, 500"));
    }

    #[test]
    fn a_match_stands_among_its_neighbours() {
        assert_eq!(
            read_of(&log(), &json!({"ref": "E1", "grep": "boom", "context": 1})),
            "E1 has 500 lines\n299: line 299\n300: Boom\n301: line 301\n"
        );
    }

    #[test]
    fn a_page_has_a_size_limit_and_says_how_to_go_on() {
        let page = read(&log(), &json!({"ref": "E1"}), 150).unwrap();
        assert!(page.len() <= 150 && page.contains("go on with from="), "{page}");
        let page = read_of(&log(), &json!({"ref": "E1", "lines": 2, "grep": "line"}));
        assert!(page.ends_with("2: line 2\n[this page ends here; go on with from=3 and the same grep]\n"), "{page}");
    }

    #[test]
    fn going_on_from_page_to_page_reads_everything_once_one_endless_line_too() {
        for text in ["one line of several\n".repeat(400), "x".repeat(30_000), "内存,".repeat(9_000)] {
            let log = log_of(&text);
            let (mut from, mut read_back, mut pages) = (1, String::new(), 0);
            loop {
                let page = read(&log, &json!({"ref": "E1", "from": from}), 2_048).unwrap();
                let lines = page.lines().skip(1).filter(|line| !line.starts_with('['));
                lines.for_each(|line| read_back.push_str(line.split_once(": ").unwrap().1));
                pages += 1;
                match page.split_once("from=") {
                    Some((_, next)) => from = next.trim_end().trim_end_matches(']').parse().unwrap(),
                    None => break,
                }
                assert!(pages < 100);
            }
            assert_eq!(read_back, text.replace('\n', ""));
        }
    }

    #[test]
    fn an_unknown_reference_is_told() {
        assert!(read(&log(), &json!({"ref": "E9"}), 100).unwrap_err().contains("known are E1"));
    }
}
