//! Large results: what cannot be kept is cut before it is redacted, so that five megabytes of log cost milliseconds.
//!
//! Cutting first must not lay a secret bare whose beginning is cut off (a key of several lines, a value whose name stands
//! on the line before), so every piece is redacted together with what stood before it, which is then left out again.

use crate::redact::Redactor;

use super::fit;

/// Bytes before a piece that are redacted with it: longer than any key in PEM.
const LEAD_IN: usize = 16 << 10;
/// Lines before a single row that are redacted with it: an entry's name may stand two lines above its value.
const LINES_BEFORE: usize = 2;

/// The text without its secrets: all of it, or its head, its tail and error-like rows between when it is much longer than
/// `limit` bytes.
#[must_use]
pub fn redacted(redactor: &Redactor, text: &str, limit: usize) -> String {
    if text.len() <= limit + limit / 4 {
        return redactor.redact(text).into_owned();
    }
    let pieces = fit::pieces_of(text, limit);
    let before = |at: usize| {
        let lead_in = text.ceil_char_boundary(at.saturating_sub(LEAD_IN));
        let lines = text[lead_in..at].find('\n').map_or(at, |line_end| lead_in + line_end + 1);
        &text[lines..at]
    };
    let head = redactor.redact(&text[..pieces.head.last().map_or(0, |row| fit::end_of(row, text))]);
    let tail_at = pieces.tail.first().map_or(text.len(), |row| fit::start_of(row, text));
    let tail = &text[tail_at..];
    let tail = tail_behind(redactor, before(tail_at), tail);
    let rows: Vec<String> = pieces
        .errors
        .iter()
        .filter(|row| !looks_encoded(row))
        .map(|row| {
            let at = fit::start_of(row, text);
            let context = last_lines(before(at), LINES_BEFORE);
            last_lines(&redactor.redact(&format!("{context}\n{row}")), 1)
        })
        .collect();
    let left_out = pieces.left_out;
    let note = format!("[… {left_out} lines left out before redaction, error-like ones kept]");
    [head.trim_end_matches('\n'), &note, &rows.join("\n"), &tail].join("\n")
}

/// A tail redacted together with its lead-in, without it. A key of several lines is one line after redaction, so it is
/// counted after it: lines counted before would reach back to where the lead-in begins, perhaps in the middle of a key.
fn tail_behind(redactor: &Redactor, lead_in: &str, tail: &str) -> String {
    let together = redactor.redact(&format!("{lead_in}{tail}")).into_owned();
    let of_lead_in = redactor.redact(lead_in).lines().count();
    let count = together.lines().count().saturating_sub(of_lead_in).min(tail.lines().count());
    last_lines(&together, count)
}

/// The last lines of a text.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// A row of a key's body, which says nothing and could be part of a secret that is not seen whole.
fn looks_encoded(row: &str) -> bool {
    let row = row.trim();
    row.len() >= 40 && !row.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 20_000;

    fn noise(lines: usize) -> String {
        (0..lines).map(|n| format!("2026-11-25T00:00:00Z GET /healthz 200 in {n} ms\n")).collect()
    }

    fn key() -> String {
        let body: String =
            (0..30).map(|n| format!("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDoomFAIL{n:04}\n")).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n")
    }

    fn redact(text: &str) -> String {
        redacted(&Redactor::default(), text, LIMIT)
    }

    #[test]
    fn what_fits_is_redacted_whole() {
        let text = format!("{}password: hunter2secret\n", noise(100));
        assert_eq!(redact(&text), crate::redact::redact(&text));
    }

    #[test]
    fn head_tail_and_errors_of_a_long_text_are_kept() {
        let text = format!("first\n{}2026 ERROR disk is gone\n{}last", noise(2_000), noise(2_000));
        let out = redact(&text);
        assert!(out.starts_with("first\n") && out.ends_with("\nlast"), "{}", out.len());
        assert!(out.contains("\n2026 ERROR disk is gone\n") && out.contains("lines left out"));
        assert!(out.len() <= LIMIT + LIMIT / 4, "{}", out.len());
    }

    /// A workflow that hands results over whole put 21 MB into its prompts for the same five.
    #[test]
    fn five_megabytes_come_down_to_the_caps() {
        const KEPT: usize = 256 << 10;
        const SHOWN: usize = 24 << 10;
        for text in [noise(115_000), key().repeat(2_700), "x".repeat(5 << 20)] {
            assert!(text.len() > 5_000_000, "{}", text.len());
            let kept = crate::toolbox::reduce::reduce("pods_log", &redacted(&Redactor::default(), &text, KEPT));
            let kept = fit::fit(&kept, KEPT, None);
            assert!(kept.len() <= KEPT, "{}", kept.len());
            let bare = kept.find("MIIEvQ").map(|at| &kept[at.saturating_sub(300)..at + 80]);
            assert_eq!(bare, None);
            assert!(fit::fit(&kept, SHOWN, Some("E1")).len() <= SHOWN);
        }
    }

    /// Wherever the cut falls, no part of a key of several lines and no value under a name above it is laid bare.
    #[test]
    fn a_cut_never_lays_a_secret_bare() {
        for shift in 0..120 {
            let secrets = format!("{}- name: DB_PASSWORD\n  value: fail-hunter2-{shift}\n", key());
            for before in [2_000, 3_800] {
                let text = format!("{}{}{}{}", "x\n".repeat(shift * 20), noise(before), secrets, noise(4_000 - before));
                let out = redact(&text);
                assert!(!out.contains("MIIEvQ") && !out.contains("hunter2"), "shift {shift}, {before} lines before");
            }
            let text = format!("{}{}{}", noise(3_880), secrets, "y\n".repeat(shift * 60));
            let out = redact(&text);
            assert!(!out.contains("MIIEvQ") && !out.contains("hunter2"), "shift {shift} at the tail");
        }
    }
}
