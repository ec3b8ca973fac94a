//! Settling: a model's checked diagnosis beside the playbook's, and which of them leads.
//!
//! Code wins where a model cannot know better: it may refine what the analyzers proved, not talk it away.

use super::ground::is_outsiders;
use crate::alert::{Lang, ObjectRef};
use crate::playbook::latent;
use crate::report::{Cause, Confidence, Diagnosis, Disagreement, Verdict};
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
        Leads::Playbook => (playbook_first(playbook, model, log), Leads::Playbook),
        Leads::Model if proves_no_health(&playbook, &model) => (undecided(playbook, model, lang), Leads::Playbook),
        Leads::Model => (model_first(playbook, model), Leads::Model),
    };
    Settled { diagnosis, leads, disagreement }
}

/// A model is not sure of another reason at an object whose reason is proven.
fn doubted(mut model: Diagnosis, playbook: &Diagnosis) -> Diagnosis {
    let is_proven = |proven: &&Cause| proven.confidence == Confidence::High && !proven.evidence.is_empty();
    for cause in &mut model.causes {
        let mut proven =
            playbook.causes.iter().filter(is_proven).filter(|it| same_thing(&it.resource, &cause.resource));
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
    /// The model quotes nothing that stands.
    NoQuote,
    /// The model sees no fault where one is proven.
    DeniesProven,
    /// What the model blames rests on words an outsider could have written.
    OutsidersWords,
    /// The playbook's evidence is the stronger.
    Weaker,
    /// The model's evidence is as strong or stronger, or both mean the same.
    AsStrong,
}

impl Case {
    fn leads(self) -> Leads {
        match self {
            Self::NothingProven | Self::AsStrong => Leads::Model,
            Self::Healthy | Self::NoQuote | Self::DeniesProven | Self::OutsidersWords | Self::Weaker => Leads::Playbook,
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
            Self::Weaker => ("规则库的证据更直接", "the playbook's evidence is more direct"),
            Self::AsStrong => ("模型的证据不弱于规则库", "the model's evidence is at least as direct"),
        };
        lang.pick(zh, en)
    }
}

fn weigh(playbook: &Diagnosis, model: &Diagnosis, log: &EvidenceLog) -> Case {
    let Some(proven) = playbook.causes.first().filter(|cause| !cause.evidence.is_empty()) else {
        // A model without a quote says less than the playbook's "healthy".
        let says_nothing = model.verdict == Verdict::Inconclusive && playbook.verdict == Verdict::NoFault;
        return if says_nothing { Case::Healthy } else { Case::NothingProven };
    };
    let Some(claimed) = model.causes.first().filter(|cause| !cause.evidence.is_empty()) else { return Case::NoQuote };
    if model.verdict != Verdict::Fault {
        return Case::DeniesProven;
    }
    if same_cause(claimed, proven) {
        return Case::AsStrong;
    }
    if outsiders_only(claimed, log) && proven.confidence == Confidence::High {
        return Case::OutsidersWords;
    }
    if claimed.confidence < proven.confidence { Case::Weaker } else { Case::AsStrong }
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
        // Of one object two sure reasons that differ are two views too.
        Some(claimed) => {
            let sure = claimed.confidence == Confidence::High && proven.confidence == Confidence::High;
            same_cause(claimed, proven) || (!sure && same_thing(&claimed.resource, &proven.resource))
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

fn append_new(causes: &mut Vec<Cause>, more: impl IntoIterator<Item = Cause>) {
    add_new(causes, more, same_cause);
}

/// Whether two causes blame the same object, and not for reasons that are known to differ.
fn same_cause(a: &Cause, b: &Cause) -> bool {
    let differ = a.code.is_some() && b.code.is_some() && a.code != b.code;
    same_thing(&a.resource, &b.resource) && !differ
}

/// Whether two objects are the same or one is named after the other, as a Deployment's pods are.
#[must_use]
pub fn same_thing(a: &ObjectRef, b: &ObjectRef) -> bool {
    let named_after = |child: &str, parent: &str| child.strip_prefix(parent).is_some_and(|rest| rest.starts_with('-'));
    let workload = |kind: &str| {
        matches!(kind, "Pod" | "ReplicaSet" | "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob")
    };
    if a.namespace != b.namespace {
        return false;
    }
    (a.kind == b.kind && a.name == b.name)
        || (workload(&a.kind)
            && workload(&b.kind)
            && (a.name == b.name || named_after(&a.name, &b.name) || named_after(&b.name, &a.name)))
}

/// Whether a later report tells people something an earlier one did not: another verdict, another culprit, more certainty.
#[must_use]
pub fn adds(later: &crate::report::Report, earlier: &crate::report::Report) -> bool {
    if later.verdict != earlier.verdict {
        return true;
    }
    let (Some(now), Some(before)) = (later.causes.first(), earlier.causes.first()) else {
        return !later.causes.is_empty();
    };
    let new_culprit = later
        .causes
        .iter()
        .filter(|cause| !cause.evidence.is_empty())
        .any(|cause| !earlier.causes.iter().any(|known| same_thing(&known.resource, &cause.resource)));
    new_culprit || !same_thing(&now.resource, &before.resource) || now.confidence > before.confidence
}

#[cfg(test)]
mod tests {
    use super::*;
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
            (Leads::Model, 2)
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
        assert_eq!(leader(proven(), coded("oom_killed", "E2", Confidence::Medium)), (Leads::Model, 1));
        assert_eq!(leader(proven(), coded("app_error", "E2", Confidence::High)), (Leads::Playbook, 2), "a log's words");
        assert_eq!(leader(proven(), coded("app_error", "E1", Confidence::Low)), (Leads::Playbook, 2));
        assert_eq!(leader(proven(), coded("app_error", "E1", Confidence::High)), (Leads::Playbook, 2), "it is proven");
        let likely = coded("oom_killed", "E1", Confidence::Medium);
        assert_eq!(leader(likely, coded("app_error", "E1", Confidence::High)), (Leads::Model, 2));
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
