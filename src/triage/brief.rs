//! The brief: what of a look the model is told first. All of it is paid for in every turn.

use crate::alert::Lang;
use crate::playbook::finding::Finding;
use crate::playbook::latent;
use crate::report::{Report, Verdict};
use crate::toolbox::evidence::Evidence;

/// The most evidence shown in the first prompt; all of it can be read again for nothing.
const SHOWN_EVIDENCE: usize = 8;

/// The most open questions that are put to the model.
const MOST_QUESTIONS: usize = 5;

/// The playbook's findings as numbered lines, the likeliest cause first.
#[must_use]
pub fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().enumerate().map(|(index, finding)| finding.line(index + 1)).collect()
}

/// What the playbook could not settle, each question once: what its findings leave open, then what its report does, which
/// is all there is where nothing was found. What would fail next is no question; that all is well is one.
#[must_use]
pub fn questions(findings: &[Finding], report: &Report, lang: Lang) -> Vec<String> {
    let mut questions: Vec<String> = Vec::new();
    if report.verdict == Verdict::NoFault {
        questions.push(lang.pick(
            format!("程序的结论是“{}”。请设法推翻它：假如它不成立，集群里会看到什么？去看那里。", report.headline),
            format!(
                "Code concluded: \"{}\". Try to disprove it: what would the cluster show if it were wrong? Look there.",
                report.headline
            ),
        ));
    }
    let of_findings = findings.iter().flat_map(|finding| finding.unresolved.iter().chain(&finding.gaps));
    let of_report = report.unresolved.iter().chain(&report.data_gaps);
    for question in of_findings.chain(of_report) {
        if !questions.contains(question) && !latent::is_next(question) {
            questions.push(question.clone());
        }
    }
    questions.truncate(MOST_QUESTIONS);
    questions
}

/// What the findings cite, or the first reads where nothing was found. What no finding needs would be paid for every turn.
#[must_use]
pub fn evidence(findings: &[Finding], all: Vec<Evidence>) -> Vec<Evidence> {
    let mut order: Vec<&str> = Vec::new();
    for citation in findings.iter().flat_map(|finding| &finding.evidence) {
        if !order.contains(&citation.reference.as_str()) {
            order.push(&citation.reference);
        }
    }
    let place = |evidence: &Evidence| order.iter().position(|reference| *reference == evidence.reference);
    let mut shown = all;
    if shown.iter().any(|evidence| place(evidence).is_some()) {
        shown.retain(|evidence| place(evidence).is_some());
        shown.sort_by_key(place);
    }
    shown.truncate(SHOWN_EVIDENCE);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::ObjectRef;
    use crate::playbook::finding::Depth;
    use crate::report::Citation;
    use serde_json::Value;

    fn taken(count: usize) -> Vec<Evidence> {
        let log = crate::toolbox::evidence::EvidenceLog::default();
        let text = || "text".to_owned();
        let now = jiff::Timestamp::UNIX_EPOCH;
        (0..count).map(|_| log.record(log.reserve(), "pods_get", &Value::Null, text(), 99, now)).collect()
    }

    fn finding(references: &[&str]) -> Finding {
        let object = ObjectRef::new("Pod", "a", "web-0");
        let mut finding = Finding::new("code", Depth::Root, &object, &object, "it is broken");
        let cite = |reference: &&str| Citation { reference: (*reference).to_owned(), quote: "text".to_owned() };
        finding.evidence = references.iter().map(cite).collect();
        finding
    }

    fn shown(findings: &[Finding], count: usize) -> Vec<String> {
        super::evidence(findings, taken(count)).into_iter().map(|evidence| evidence.reference).collect()
    }

    #[test]
    fn the_prompt_shows_what_the_findings_cite_the_likeliest_first() {
        assert_eq!(shown(&[finding(&["E9", "E2"]), finding(&["E2", "E1"])], 12), ["E9", "E2", "E1"]);
    }

    #[test]
    fn that_all_is_well_is_put_to_the_model_for_disproof() {
        let mut report =
            Report { verdict: Verdict::NoFault, headline: "No fault found: web".into(), ..Report::default() };
        let asked = questions(&[], &report, Lang::En);
        assert!(asked[0].contains("No fault found: web") && asked[0].contains("disprove"), "{asked:?}");
        assert!(questions(&[], &report, Lang::Zh)[0].contains("推翻"));
        report.verdict = Verdict::Inconclusive;
        assert!(questions(&[], &report, Lang::En).is_empty());
    }

    #[test]
    fn without_findings_the_prompt_shows_the_first_reads() {
        assert_eq!(shown(&[], 12), ["E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8"]);
        assert_eq!(shown(&[finding(&[])], 2), ["E1", "E2"]);
    }
}
