//! Evidence as a page shows it: each quotation marked where it stands, its surroundings at once, the rest on demand.

use std::ops::Range;

use minijinja::HtmlEscape;
use serde::Serialize;

use crate::notify::text;
use crate::report::{Citation, Report};
use crate::times;
use crate::toolbox::evidence::{Evidence, position};

/// Bytes of one result that stand in the page; what is longer is a page of its own.
const INLINE: usize = 32 * 1024;
/// A result up to so many lines and bytes is its own excerpt.
const SHORT: (usize, usize) = (14, 2_000);
/// Lines, and at most so many bytes, shown on each side of a quotation.
const AROUND: (usize, usize) = (3, 400);

/// One tool call with what it returned.
#[derive(Debug, Serialize)]
pub(super) struct Piece {
    /// `E3`.
    pub(super) reference: String,
    /// The tool.
    pub(super) tool: String,
    /// Its arguments in a line.
    pub(super) arguments: String,
    time: String,
    size: String,
    cited: bool,
    /// What stands around the quotations, as HTML; empty when nothing is quoted.
    excerpt: String,
    /// The whole, as HTML; none when the excerpt is the whole.
    full: Option<String>,
    /// Whether the whole was too long for the page.
    cut: bool,
}

impl Piece {
    /// Whether a cause rests on it.
    pub(super) fn is_cited(&self) -> bool {
        self.cited
    }
}

/// A quotation, and where in the page it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Quote {
    reference: String,
    quote: String,
    anchor: String,
}

/// All evidence of a report, in the order it was taken.
pub(super) fn pieces(evidence: &[Evidence], report: &Report, zone: &str) -> Vec<Piece> {
    evidence.iter().map(|one| piece(one, report, zone)).collect()
}

/// A citation with its anchor: the mark when the words are found, the result otherwise; nothing when there is none.
pub(super) fn quote(citation: &Citation, evidence: &[Evidence], report: &Report) -> Quote {
    let anchor = evidence.iter().find(|one| one.reference == citation.reference).map(|one| {
        let text = readable(&one.full);
        let found = position(&text, &readable(&citation.quote));
        let marks = marks(&text, one, report);
        let mark = found.and_then(|(start, end)| marks.iter().position(|mark| mark.start <= start && end <= mark.end));
        mark.map_or_else(|| one.reference.clone(), |number| anchor(&one.reference, number))
    });
    Quote {
        reference: text::line(&citation.reference, 12),
        quote: text::line(&citation.quote, 600),
        anchor: anchor.unwrap_or_default(),
    }
}

fn piece(evidence: &Evidence, report: &Report, zone: &str) -> Piece {
    let text = readable(&evidence.full);
    let marks = marks(&text, evidence, report);
    let is_short = text.len() <= SHORT.1 && text.lines().count() <= SHORT.0;
    let cited = report.causes.iter().flat_map(|cause| &cause.evidence).any(|one| one.reference == evidence.reference);
    let end = text.floor_char_boundary(INLINE);
    let windows = if is_short { std::iter::once(0..text.len()).collect() } else { windows(&text, &marks) };
    let parts = windows.into_iter().map(|window| html(&text, &window, &marks, Some(&evidence.reference)));
    let excerpt = if marks.is_empty() { String::new() } else { parts.collect::<Vec<_>>().join("\n<i>⋯</i>\n") };
    let is_whole = is_short && !marks.is_empty();
    Piece {
        reference: evidence.reference.clone(),
        tool: text::line(&evidence.tool, 80),
        arguments: arguments(&evidence.arguments),
        time: times::moment(evidence.taken_at, zone).unwrap_or_default(),
        size: size(evidence.full.len()),
        cited,
        excerpt,
        full: (!is_whole).then(|| html(&text, &(0..end), &marks, None)),
        cut: end < text.len(),
    }
}

/// Arguments as people say them: `namespace=shop name=web-0`.
fn arguments(arguments: &serde_json::Value) -> String {
    let pairs = arguments.as_object().into_iter().flatten().map(|(key, value)| match value.as_str() {
        Some(text) => format!("{key}={text}"),
        None => format!("{key}={value}"),
    });
    text::line(&pairs.collect::<Vec<_>>().join(" "), 400)
}

/// Without what hides or changes how its neighbours read.
pub(super) fn readable(raw: &str) -> String {
    text::block(raw, raw.len())
}

fn anchor(reference: &str, number: usize) -> String {
    format!("{reference}-{}", number + 1)
}

/// Where the quotations of a result stand, in order; those that overlap are one.
fn marks(text: &str, evidence: &Evidence, report: &Report) -> Vec<Range<usize>> {
    let citations = report.causes.iter().flat_map(|cause| &cause.evidence);
    let of_this = citations.filter(|citation| citation.reference == evidence.reference);
    let mut found: Vec<(usize, usize)> = of_this.filter_map(|one| position(text, &readable(&one.quote))).collect();
    found.sort_unstable();
    joined(found.into_iter().map(|(start, end)| start..end))
}

/// What stands around each mark, up to some lines on each side.
fn windows(text: &str, marks: &[Range<usize>]) -> Vec<Range<usize>> {
    joined(marks.iter().map(|mark| {
        let before = &text[..mark.start];
        let start = before.rmatch_indices('\n').nth(AROUND.0).map_or(0, |(at, _)| at + 1);
        let start = start.max(text.ceil_char_boundary(mark.start.saturating_sub(AROUND.1)));
        let after = &text[mark.end..];
        let end = after.match_indices('\n').nth(AROUND.0).map_or(text.len(), |(at, _)| mark.end + at);
        start..end.min(text.floor_char_boundary(mark.end + AROUND.1))
    }))
}

fn joined(spans: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => out.push(span),
        }
    }
    out
}

/// A part of a text as HTML with its marks; `named` gives them the anchors citations lead to.
fn html(text: &str, window: &Range<usize>, marks: &[Range<usize>], named: Option<&str>) -> String {
    let mut out = String::new();
    let mut done = window.start;
    for (number, mark) in marks.iter().enumerate() {
        let (start, end) = (mark.start.max(done), mark.end.min(window.end));
        if start >= end {
            continue;
        }
        let id =
            named.map(|reference| format!(" id=\"{}\"", HtmlEscape(&anchor(reference, number)))).unwrap_or_default();
        out.push_str(&HtmlEscape(&text[done..start]).to_string());
        out.push_str(&format!("<mark{id}>{}</mark>", HtmlEscape(&text[start..end])));
        done = end;
    }
    out + &HtmlEscape(&text[done..window.end]).to_string()
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KB", bytes.div_ceil(1_024)),
        _ => format!("{} MB", bytes.div_ceil(1_048_576)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Cause;
    use jiff::Timestamp;
    use serde_json::json;

    fn evidence(full: &str) -> Evidence {
        Evidence {
            reference: "E1".into(),
            tool: "pods_log".into(),
            arguments: json!({"namespace": "shop", "tail": 20}),
            text: full.into(),
            full: full.into(),
            taken_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn report(quotes: &[&str]) -> Report {
        let cite = |quote: &&str| Citation { reference: "E1".into(), quote: (*quote).to_owned() };
        let cause = Cause { evidence: quotes.iter().map(cite).collect(), ..Cause::default() };
        Report { causes: vec![cause], ..Report::default() }
    }

    #[test]
    fn a_short_result_is_shown_whole_with_its_quotations_marked() {
        let piece = piece(&evidence("be <created\n   either by\u{202e} x"), &report(&["created either by"]), "UTC");
        assert_eq!(piece.excerpt, "be &lt;<mark id=\"E1-1\">created\n   either by</mark> x");
        assert_eq!((piece.full, piece.cut), (None, false));
        assert_eq!(piece.arguments, "namespace=shop tail=20");
    }

    #[test]
    fn a_long_result_shows_what_stands_around_and_the_whole_on_demand() {
        let lines: Vec<String> = (1..=200).map(|number| format!("line {number} end")).collect();
        let text = lines.join("\n");
        let piece = piece(&evidence(&text), &report(&["line 50 end", "line 150 end", "line 51 end"]), "UTC");
        assert!(piece.excerpt.starts_with("line 47 end\nline 48"), "{}", piece.excerpt);
        assert!(piece.excerpt.contains("line 54 end\n<i>⋯</i>\nline 147 end"), "{}", piece.excerpt);
        assert!(piece.excerpt.contains("<mark id=\"E1-2\">line 51 end</mark>"), "{}", piece.excerpt);
        assert_eq!(piece.full.map(|full| full.matches("<mark>").count()), Some(3));
    }

    #[test]
    fn one_endless_line_is_cut_around_the_quotation_and_in_full() {
        let text = format!("{}needle{}", "字".repeat(40_000), "x".repeat(40_000));
        let piece = piece(&evidence(&text), &report(&["needle"]), "UTC");
        assert!(piece.excerpt.len() < 1_000 && piece.excerpt.contains(">needle</mark>"), "{}", piece.excerpt.len());
        assert!(piece.cut && piece.full.is_some_and(|full| full.len() <= INLINE));
    }

    #[test]
    fn quotations_lead_to_their_mark_overlapping_ones_to_the_same() {
        let (text, report) = (evidence("one two three four"), report(&["one two three", "three four", "absent"]));
        let anchors: Vec<String> = report.causes[0]
            .evidence
            .iter()
            .map(|one| quote(one, std::slice::from_ref(&text), &report).anchor)
            .collect();
        assert_eq!(anchors, ["E1-1", "E1-1", "E1"]);
        let elsewhere = Citation { reference: "E9".into(), quote: "x".into() };
        assert_eq!(quote(&elsewhere, &[text], &report).anchor, "", "there is nothing to lead to");
    }

    #[test]
    fn what_nobody_quotes_has_no_excerpt() {
        let piece = piece(&evidence("a\nb"), &report(&[]), "UTC");
        assert_eq!((piece.excerpt.as_str(), piece.full.as_deref(), piece.cited), ("", Some("a\nb"), false));
    }
}
