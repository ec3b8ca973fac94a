//! Paging: `evidence_read`, the tool of our own that reads what the size limit cut out of a result.

use serde_json::{Value, json};

use super::evidence::EvidenceLog;
use crate::agent::tools::ToolSpec;

/// The tool's name.
pub const NAME: &str = "evidence_read";

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
                "grep": {"type": "string", "description": "only lines that contain this text, in any case"}
            },
            "required": ["ref"],
            "additionalProperties": false
        }),
        read_only: true,
    }
}

/// Answers a call: numbered lines, or a sentence that says why there are none.
///
/// # Errors
/// An unknown reference; the text lists the known ones.
pub fn read(log: &EvidenceLog, arguments: &Value, limit: usize) -> Result<String, String> {
    let reference = arguments.get("ref").and_then(Value::as_str).unwrap_or_default();
    let Some(evidence) = log.get(reference) else {
        let known: Vec<String> = log.all().into_iter().map(|evidence| evidence.reference).collect();
        return Err(format!("there is no {reference}; known are {}", known.join(", ")));
    };
    let number = |key: &str| arguments.get(key).and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok());
    let (from, lines) = (number("from").unwrap_or(1).max(1), number("lines").unwrap_or(120));
    let grep = arguments.get("grep").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let total = evidence.full.lines().count();
    let mut out = format!("{} has {total} lines\n", evidence.reference);
    let wanted =
        evidence.full.lines().enumerate().skip(from - 1).filter(|(_, line)| line.to_lowercase().contains(&grep));
    for (index, line) in wanted.take(lines) {
        if out.len() + line.len() > limit {
            out.push_str(&format!("[the size limit ends this page; go on with from={}]\n", index + 1));
            break;
        }
        out.push_str(&format!("{}: {line}\n", index + 1));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn log() -> EvidenceLog {
        let log = EvidenceLog::default();
        let text: Vec<String> =
            (1..=500).map(|n| if n == 300 { "Boom".to_owned() } else { format!("line {n}") }).collect();
        log.record(log.reserve(), "pods_log", &Value::Null, text.join("\n"), 200, Timestamp::UNIX_EPOCH);
        log
    }

    #[test]
    fn pages_and_greps() {
        assert_eq!(
            read(&log(), &json!({"ref": "E1", "from": 499}), 999).unwrap(),
            "E1 has 500 lines\n499: line 499\n500: line 500\n"
        );
        assert_eq!(read(&log(), &json!({"ref": "E1", "grep": "boom"}), 999).unwrap(), "E1 has 500 lines\n300: Boom\n");
    }

    #[test]
    fn a_page_has_a_size_limit_and_says_how_to_go_on() {
        let page = read(&log(), &json!({"ref": "E1"}), 100).unwrap();
        assert!(page.contains("go on with from="), "{page}");
    }

    #[test]
    fn an_unknown_reference_is_told() {
        assert!(read(&log(), &json!({"ref": "E9"}), 100).unwrap_err().contains("known are E1"));
    }
}
