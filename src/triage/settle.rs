//! Settling: a model's checked diagnosis beside the playbook's, and which of them leads.
//!
//! Code wins where a model cannot know better: it may refine what the analyzers proved, not talk it away.

use super::ground::{is_outsiders, rests_on_its_object};
use crate::alert::Lang;
use crate::playbook::latent;
use crate::report::{Cause, Confidence, Diagnosis, Disagreement, Verdict, same_thing};
use crate::toolbox::evidence::EvidenceLog;

/// Who leads the settled diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    /// The model's diagnosis, with the playbook's further causes behind it.
    Model,
    /// The playbook's diagnosis, with the model's further causes as hypotheses behind it.
    Playbook,
}

/// Two diagnoses made one.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// What people are told.
    pub diagnosis: Diagnosis,
    /// Whose diagnosis it is first of all.
    pub leads: Leads,
    /// Where the two name different causes.
    pub disagreement: Option<Disagreement>,
}

/// Puts the two together: the better proven first, the other behind it.
#[must_use]
pub fn settle(playbook: Diagnosis, model: Diagnosis, log: &EvidenceLog, lang: Lang) -> Settled {
    let sees = model.clone();
    let model = doubted(model, &playbook);
    let case = weigh(&playbook, &model, log);
    let disagreement = disagreement(&playbook, &sees, case, lang);
    let (diagnosis, leads) = match case.leads() {
        Leads::Playbook if matches!(case, Case::NotAbout | Case::Opposed) => {
            (two_views(playbook, model, case, lang), Leads::Playbook)
        }
        Leads::Playbook => (playbook_first(playbook, model, log), Leads::Playbook),
        Leads::Model if proves_no_health(&playbook, &model) => (undecided(playbook, model, lang), Leads::Playbook),
        Leads::Model => (model_first(playbook, model), Leads::Model),
    };
    Settled { diagnosis, leads, disagreement }
}

/// A model is not sure of another reason at an object whose reason is proven.
fn doubted(mut model: Diagnosis, playbook: &Diagnosis) -> Diagnosis {
    for cause in &mut model.causes {
        let mut proven =
            playbook.causes.iter().filter(|it| is_proven(it)).filter(|it| same_thing(&it.resource, &cause.resource));
        if proven.any(|proven| !same_cause(proven, cause)) {
            cause.confidence = cause.confidence.min(Confidence::Medium);
        }
    }
    model
}

fn playbook_first(playbook: Diagnosis, model: Diagnosis, log: &EvidenceLog) -> Diagnosis {
    let mut settled = playbook;
    let doubted = model.causes.into_iter().map(|cause| {
        let most = if outsiders_only(&cause, log) { Confidence::Low } else { Confidence::Medium };
        Cause { confidence: cause.confidence.min(most), ..cause }
    });
    append_new(&mut settled.causes, doubted);
    settled.unresolved.extend(model.unresolved);
    settled.data_gaps.extend(model.data_gaps);
    settled
}

/// A fault where the checks found none: neither view can be told as the answer.
fn two_views(playbook: Diagnosis, model: Diagnosis, case: Case, lang: Lang) -> Diagnosis {
    let suspected = model.causes.first().map(suspect).unwrap_or_default();
    let (most, zh, en) = match case {
        Case::NotAbout => (Confidence::Low, "，但没有关于它的依据", " without proof about it"),
        _ => (Confidence::Medium, "", ""),
    };
    let mut settled = playbook;
    settled.verdict = Verdict::Inconclusive;
    settled.headline = lang.pick(
        format!("未能定论：规则库没有发现故障，模型怀疑 {suspected}{zh}"),
        format!("Undecided: the playbook found no fault, the model suspects {suspected}{en}"),
    );
    let doubted = model.causes.into_iter().map(|it| Cause { confidence: it.confidence.min(most), ..it });
    append_new(&mut settled.causes, doubted);
    settled.unresolved.extend(model.unresolved);
    settled.data_gaps.extend(model.data_gaps);
    settled
}

/// What a cause blames, in the words of the cause where that is no object.
fn suspect(cause: &Cause) -> String {
    if cause.resource.name.is_empty() { cause.summary.clone() } else { cause.resource.to_string() }
}

/// A model that sees no fault where the playbook could not tell has nothing to show for it: health has no quotation.
fn proves_no_health(playbook: &Diagnosis, model: &Diagnosis) -> bool {
    model.verdict == Verdict::NoFault && playbook.verdict == Verdict::Inconclusive
}

fn undecided(playbook: Diagnosis, model: Diagnosis, lang: Lang) -> Diagnosis {
    let mut settled = playbook;
    settled.unresolved.push(lang.pick(
        format!("模型认为没有故障，但没有可核对的依据：{}", model.headline),
        format!("The model sees no fault, with nothing that could be checked: {}", model.headline),
    ));
    settled.unresolved.extend(model.unresolved);
    settled.data_gaps.extend(model.data_gaps);
    add_new(&mut settled.ruled_out, model.ruled_out, |a, b| a.hypothesis == b.hypothesis);
    settled
}

fn model_first(playbook: Diagnosis, model: Diagnosis) -> Diagnosis {
    let mut settled = model;
    append_new(&mut settled.causes, playbook.causes);
    if settled.steps.is_empty() {
        settled.steps = playbook.steps;
    }
    if settled.primary.findings.is_empty() {
        settled.primary = playbook.primary;
    }
    add_new(&mut settled.data_gaps, playbook.data_gaps, |a, b| a == b);
    // What would fail next, what changed lately and what was ruled out is no part of the question a model is asked.
    let next = playbook.unresolved.into_iter().filter(|said| latent::is_next(said));
    add_new(&mut settled.unresolved, next, |a, b| a == b);
    add_new(&mut settled.related, playbook.related, |a, b| a.resource == b.resource);
    add_new(&mut settled.ruled_out, playbook.ruled_out, |a, b| a.hypothesis == b.hypothesis);
    settled
}

fn add_new<T>(known: &mut Vec<T>, more: impl IntoIterator<Item = T>, same: impl Fn(&T, &T) -> bool) {
    for one in more {
        if !known.iter().any(|other| same(other, &one)) {
            known.push(one);
        }
    }
}

/// How the two stand to each other; decides who leads, and says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// The playbook proved nothing.
    NothingProven,
    /// The playbook found everything healthy, and the model found nothing it can quote.
    Healthy,
    /// The playbook found everything healthy, and what the model quotes says nothing of the object it blames.
    NotAbout,
    /// The playbook found everything healthy, and the model quotes something of the object it blames.
    Opposed,
    /// The model quotes nothing that stands.
    NoQuote,
    /// The model sees no fault where one is proven.
    DeniesProven,
    /// What the model blames rests on words an outsider could have written.
    OutsidersWords,
    /// The playbook's evidence is the stronger.
    Weaker,
    /// Both are sure, each of another object.
    Tied,
    /// The model's evidence is as strong or stronger, or both mean the same.
    AsStrong,
}

impl Case {
    fn leads(self) -> Leads {
        match self {
            Self::NothingProven | Self::AsStrong => Leads::Model,
            Self::Healthy
            | Self::NotAbout
            | Self::Opposed
            | Self::NoQuote
            | Self::DeniesProven
            | Self::OutsidersWords
            | Self::Weaker
            | Self::Tied => Leads::Playbook,
        }
    }

    fn because(self, lang: Lang) -> &'static str {
        let (zh, en) = match self {
            Self::NothingProven => ("规则库没有查到有证据的原因", "the playbook proved nothing"),
            Self::Healthy | Self::NoQuote => {
                ("模型的说法没有查得到的引文", "nothing the model quotes was found in a result")
            }
            Self::DeniesProven => ("故障有工具结果为证", "tool results prove the fault"),
            Self::OutsidersWords => (
                "模型的依据来自日志等外部可写的内容，规则库的依据来自 API server",
                "the model relies on words that outsiders can write, the playbook on the API server",
            ),
            Self::NotAbout => (
                "模型引用的内容没有说明它所怀疑的对象有什么问题",
                "what the model quotes says nothing of the object it suspects",
            ),
            Self::Opposed => (
                "规则库检查过的对象都正常；引文只说明那里有这些字，不说明有故障",
                "the checks found these objects healthy; a quotation shows that words stand there, not a fault",
            ),
            Self::Tied => (
                "两者都有证据，规则库的原因由程序核实",
                "both have evidence, and code checked what the playbook's means",
            ),
            Self::Weaker => ("规则库的证据更直接", "the playbook's evidence is more direct"),
            Self::AsStrong => ("模型的证据不弱于规则库", "the model's evidence is at least as direct"),
        };
        lang.pick(zh, en)
    }
}

fn weigh(playbook: &Diagnosis, model: &Diagnosis, log: &EvidenceLog) -> Case {
    let Some(proven) = playbook.causes.first().filter(|cause| !cause.evidence.is_empty()) else {
        return unproven(playbook, model, log);
    };
    let Some(claimed) = model.causes.first().filter(|cause| !cause.evidence.is_empty()) else { return Case::NoQuote };
    if model.verdict != Verdict::Fault {
        return Case::DeniesProven;
    }
    // Of the proven reason too they may tell a story of their own.
    if outsiders_only(claimed, log) && is_proven(proven) {
        return Case::OutsidersWords;
    }
    if same_cause(claimed, proven) {
        return Case::AsStrong;
    }
    if claimed.confidence < proven.confidence {
        return Case::Weaker;
    }
    // A quotation shows that words stand somewhere, not that they make the object guilty.
    if is_proven(proven) { Case::Tied } else { Case::AsStrong }
}

fn unproven(playbook: &Diagnosis, model: &Diagnosis, log: &EvidenceLog) -> Case {
    if playbook.verdict != Verdict::NoFault {
        return Case::NothingProven;
    }
    match model.verdict {
        // A model without a quote says less than the playbook's "healthy".
        Verdict::Inconclusive => Case::Healthy,
        Verdict::Fault if model.causes.first().is_some_and(|cause| rests_on_its_object(cause, log)) => Case::Opposed,
        Verdict::Fault => Case::NotAbout,
        Verdict::NoFault => Case::NothingProven,
    }
}

/// Both sides in words, when they blame different objects or only one of them sees a fault.
fn disagreement(playbook: &Diagnosis, model: &Diagnosis, case: Case, lang: Lang) -> Option<Disagreement> {
    let Some(proven) = playbook.causes.first() else { return healthy_or_not(playbook, model, case, lang) };
    let says = |diagnosis: &Diagnosis| match diagnosis.causes.first() {
        Some(cause) if cause.resource.name.is_empty() => cause.summary.clone(),
        Some(cause) => format!("{}{}{}", cause.resource, lang.pick("：", ": "), cause.summary),
        None => lang.pick("没有发现故障", "no fault").to_owned(),
    };
    let agrees = match model.causes.first() {
        // Another reason than the proven one is another view, of the same object too.
        Some(claimed) => {
            same_cause(claimed, proven) || (!is_proven(proven) && same_thing(&claimed.resource, &proven.resource))
        }
        None => model.verdict == Verdict::Inconclusive,
    };
    (!agrees).then(|| Disagreement {
        model: says(model),
        playbook: says(playbook),
        because: case.because(lang).to_owned(),
    })
}

/// The playbook found everything healthy, and the model a fault.
fn healthy_or_not(playbook: &Diagnosis, model: &Diagnosis, case: Case, lang: Lang) -> Option<Disagreement> {
    let claimed = model.causes.first().filter(|_| model.verdict == Verdict::Fault)?;
    (playbook.verdict == Verdict::NoFault).then(|| Disagreement {
        model: format!("{}{}{}", claimed.resource, lang.pick("：", ": "), claimed.summary),
        playbook: lang.pick("没有发现故障", "no fault").to_owned(),
        because: case.because(lang).to_owned(),
    })
}

/// Words that outsiders can write never outrank what the API server says.
fn outsiders_only(cause: &Cause, log: &EvidenceLog) -> bool {
    cause
        .evidence
        .iter()
        .all(|citation| log.get(&citation.reference).is_none_or(|evidence| is_outsiders(&evidence, &citation.quote)))
}

/// A reason at the same object that rests on other evidence stays visible: which of the two it is was not decided. What
/// rests on the same is put into other words.
fn append_new(causes: &mut Vec<Cause>, more: impl IntoIterator<Item = Cause>) {
    let rests_on =
        |a: &Cause, b: &Cause| a.evidence.iter().any(|it| b.evidence.iter().any(|one| one.reference == it.reference));
    add_new(causes, more, |a, b| same_cause(a, b) && (a.code == b.code || rests_on(a, b)));
}

/// Whether two causes blame the same object, and not for reasons that are known to differ. What is proven has a code, and
/// a cause without it says something else: it stands beside the proven one, never for it.
fn same_cause(a: &Cause, b: &Cause) -> bool {
    let coded = |cause: &Cause| cause.code.is_some();
    let is_told_apart = (coded(a) && coded(b)) || [a, b].into_iter().any(|it| coded(it) && is_proven(it));
    same_thing(&a.resource, &b.resource) && (a.code == b.code || !is_told_apart)
}

fn is_proven(cause: &Cause) -> bool {
    cause.confidence == Confidence::High && !cause.evidence.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::ObjectRef;
    use crate::report::{Citation, Related};
    use jiff::Timestamp;
    use serde_json::Value;

    fn log() -> EvidenceLog {
        let log = EvidenceLog::default();
        for tool in ["pods_get", "pods_log"] {
            log.record(log.reserve(), tool, &Value::Null, "text".into(), 99, Timestamp::UNIX_EPOCH);
        }
        log
    }

    fn fault(kind: &str, name: &str, reference: Option<&str>) -> Diagnosis {
        let evidence = reference.map(|reference| Citation { reference: reference.into(), quote: "text".into() });
        let cause = Cause {
            resource: ObjectRef::new(kind, "a", name),
            confidence: Confidence::High,
            evidence: evidence.into_iter().collect(),
            ..Cause::default()
        };
        Diagnosis { verdict: Verdict::Fault, causes: vec![cause], ..Diagnosis::default() }
    }

    fn leader(playbook: Diagnosis, model: Diagnosis) -> (Leads, usize) {
        let settled = settle(playbook, model, &log(), Lang::En);
        (settled.leads, settled.diagnosis.causes.len())
    }

    #[test]
    fn a_model_refines_what_the_playbook_found() {
        assert_eq!(
            leader(fault("Deployment", "web", Some("E1")), fault("Pod", "web-5d4-x", Some("E1"))),
            (Leads::Model, 1)
        );
        assert_eq!(
            leader(fault("Deployment", "web", Some("E1")), fault("ConfigMap", "x", Some("E1"))),
            (Leads::Playbook, 2),
            "two sure causes of two objects: what code checked comes first"
        );
    }

    #[test]
    fn a_model_cannot_talk_a_proven_fault_away() {
        let healthy = Diagnosis { verdict: Verdict::NoFault, ..Diagnosis::default() };
        assert_eq!(leader(fault("Deployment", "web", Some("E1")), healthy), (Leads::Playbook, 1));
        assert_eq!(leader(fault("Deployment", "web", Some("E1")), fault("Node", "n", None)), (Leads::Playbook, 2));
    }

    #[test]
    fn where_they_differ_both_are_told_and_why_one_comes_first() {
        let told = |playbook, model| settle(playbook, model, &log(), Lang::En).disagreement;
        let web = || fault("Deployment", "web", Some("E1"));
        assert_eq!(told(web(), fault("Pod", "web-5d4-x", Some("E1"))), None, "the Deployment's own Pod");
        assert_eq!(told(Diagnosis::default(), fault("Node", "n", Some("E1"))), None, "only one of them says something");
        let differ = told(web(), fault("Node", "n", Some("E2"))).unwrap();
        assert!(differ.model.starts_with("Node a/n") && differ.playbook.starts_with("Deployment a/web"), "{differ:?}");
        assert!(differ.because.contains("outsiders"), "{differ:?}");
        let denied = told(web(), Diagnosis { verdict: Verdict::NoFault, ..Diagnosis::default() }).unwrap();
        assert_eq!(denied.model, "no fault");
    }

    #[test]
    fn another_reason_at_the_same_object_does_not_pass_for_the_proven_one() {
        let coded = |code: &str, reference: &str, confidence| {
            let mut diagnosis = fault("Deployment", "web", Some(reference));
            (diagnosis.causes[0].code, diagnosis.causes[0].confidence) = (Some(code.to_owned()), confidence);
            diagnosis
        };
        let proven = || coded("oom_killed", "E1", Confidence::High);
        assert_eq!(leader(proven(), coded("oom_killed", "E1", Confidence::Medium)), (Leads::Model, 1));
        assert_eq!(
            leader(proven(), coded("oom_killed", "E2", Confidence::Medium)),
            (Leads::Playbook, 1),
            "a log's story"
        );
        assert_eq!(leader(proven(), coded("app_error", "E2", Confidence::High)), (Leads::Playbook, 2), "a log's words");
        assert_eq!(leader(proven(), coded("app_error", "E1", Confidence::Low)), (Leads::Playbook, 2));
        assert_eq!(leader(proven(), coded("app_error", "E1", Confidence::High)), (Leads::Playbook, 2), "it is proven");
        let likely = coded("oom_killed", "E1", Confidence::Medium);
        assert_eq!(leader(likely, coded("app_error", "E1", Confidence::High)), (Leads::Model, 2));
    }

    #[test]
    fn another_reason_at_the_same_object_takes_the_place_of_none() {
        let mut likely = fault("Deployment", "web", Some("E1"));
        (likely.causes[0].code, likely.causes[0].confidence) = (Some("app_error".into()), Confidence::Medium);
        let settled = settle(likely, fault("Deployment", "web", Some("E2")), &log(), Lang::En);
        assert_eq!(settled.diagnosis.causes.len(), 2, "{:?}", settled.diagnosis.causes);
    }

    #[test]
    fn two_sure_reasons_at_one_object_are_told_as_two_views() {
        let coded = |code: &str| {
            let mut diagnosis = fault("Deployment", "web", Some("E1"));
            diagnosis.causes[0].code = Some(code.to_owned());
            diagnosis
        };
        let told = |model: Diagnosis| settle(coded("oom_killed"), model, &log(), Lang::En).disagreement;
        assert!(told(coded("app_error")).is_some());
        assert_eq!(told(coded("oom_killed")), None);
    }

    #[test]
    fn a_model_that_only_says_that_all_is_well_decides_nothing() {
        let undecided =
            Diagnosis { verdict: Verdict::Inconclusive, headline: "undecided".into(), ..Diagnosis::default() };
        let well = Diagnosis { verdict: Verdict::NoFault, headline: "All is well".into(), ..Diagnosis::default() };
        let settled = settle(undecided, well.clone(), &log(), Lang::En);
        assert_eq!((settled.leads, settled.diagnosis.verdict), (Leads::Playbook, Verdict::Inconclusive));
        assert_eq!(settled.diagnosis.headline, "undecided");
        assert!(settled.diagnosis.unresolved[0].contains("All is well"), "{:?}", settled.diagnosis.unresolved);
        let healthy = Diagnosis { verdict: Verdict::NoFault, ..Diagnosis::default() };
        assert_eq!(settle(healthy, well, &log(), Lang::En).diagnosis.verdict, Verdict::NoFault);
    }

    #[test]
    fn what_a_model_was_not_asked_about_is_told_beside_its_answer() {
        let mut playbook = fault("Deployment", "web", Some("E1"));
        let next = "What will fail next: Deployment a/web refers to ConfigMap a/x, which does not exist".to_owned();
        playbook.unresolved = vec![next.clone(), "Is it meant to be so?".to_owned()];
        let changed = Related { resource: ObjectRef::new("ReplicaSet", "a", "web-2"), ..Related::default() };
        playbook.related = vec![changed.clone()];
        let told = settle(playbook, fault("Deployment", "web", Some("E1")), &log(), Lang::En).diagnosis;
        assert_eq!((told.unresolved, told.related), (vec![next], vec![changed]));
    }

    #[test]
    fn a_fault_where_the_playbook_found_none_is_told_as_two_views() {
        let healthy = Diagnosis { verdict: Verdict::NoFault, ..Diagnosis::default() };
        let settled = settle(healthy, fault("Node", "n", Some("E1")), &log(), Lang::En);
        assert_eq!(settled.disagreement.unwrap().playbook, "no fault");
    }

    #[test]
    fn a_fault_that_rests_on_nothing_about_its_object_decides_nothing_against_health() {
        let log = log();
        let asked = serde_json::json!({"kind": "Node", "name": "n"});
        log.record(log.reserve(), "resources_get", &asked, "text".into(), 99, Timestamp::UNIX_EPOCH);
        let healthy = || Diagnosis { verdict: Verdict::NoFault, ..Diagnosis::default() };
        let against = |reference: &str| settle(healthy(), fault("Node", "n", Some(reference)), &log, Lang::En);
        let guess = against("E1");
        assert_eq!((guess.leads, guess.diagnosis.verdict), (Leads::Playbook, Verdict::Inconclusive));
        assert_eq!(guess.diagnosis.causes[0].confidence, Confidence::Low);
        assert!(guess.disagreement.unwrap().because.contains("nothing of the object"));
        let opposed = against("E3");
        assert_eq!((opposed.leads, opposed.diagnosis.verdict), (Leads::Playbook, Verdict::Inconclusive));
        assert_eq!(opposed.diagnosis.causes[0].confidence, Confidence::Medium, "the Node itself was read");
        assert!(opposed.disagreement.unwrap().because.contains("not a fault"));
    }

    #[test]
    fn over_a_proven_cause_one_without_its_code_adds_and_does_not_replace() {
        let mut proven = fault("Deployment", "web", Some("E1"));
        proven.causes[0].code = Some("oom_killed".into());
        let mut other = fault("Deployment", "web", Some("E1"));
        other.causes[0].confidence = Confidence::Low;
        let settled = settle(proven.clone(), other.clone(), &log(), Lang::En);
        assert_eq!((settled.leads, settled.diagnosis.causes.len()), (Leads::Playbook, 2));
        assert_eq!(settled.diagnosis.causes[0].code.as_deref(), Some("oom_killed"));
        assert!(settled.disagreement.is_some());
        proven.causes[0].confidence = Confidence::Medium;
        assert_eq!(leader(proven, other), (Leads::Model, 1), "a likely cause may be put into other words");
    }

    #[test]
    fn the_better_proven_cause_comes_first() {
        let mut likely = fault("Node", "n", Some("E1"));
        likely.causes[0].confidence = Confidence::Medium;
        assert_eq!(leader(fault("Deployment", "web", Some("E1")), likely.clone()), (Leads::Playbook, 2));
        let mut guess = fault("Deployment", "web", Some("E1"));
        guess.causes[0].confidence = Confidence::Medium;
        assert_eq!(leader(guess, likely), (Leads::Model, 2));
    }

    #[test]
    fn what_only_a_log_says_does_not_outrank_the_api_server() {
        assert_eq!(
            leader(fault("Deployment", "web", Some("E1")), fault("Node", "n", Some("E2"))),
            (Leads::Playbook, 2)
        );
        assert_eq!(leader(Diagnosis::default(), fault("Node", "n", Some("E2"))), (Leads::Model, 1));
    }
}
