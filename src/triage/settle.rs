//! Settling: a model's checked diagnosis beside the playbook's, and which of them leads.
//!
//! Code wins where a model cannot know better: it may refine what the analyzers proved, not talk it away.

use crate::alert::ObjectRef;
use crate::report::{Cause, Confidence, Diagnosis, Verdict};
use crate::toolbox::evidence::EvidenceLog;

/// Who leads the settled diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    /// The model's diagnosis, with the playbook's further causes behind it.
    Model,
    /// The playbook's diagnosis, with the model's further causes as hypotheses behind it.
    Playbook,
}

/// Puts the two together.
#[must_use]
pub fn settle(playbook: Diagnosis, model: Diagnosis, log: &EvidenceLog) -> (Diagnosis, Leads) {
    if playbook_leads(&playbook, &model, log) {
        let mut settled = playbook;
        let doubted = model.causes.into_iter().map(|cause| Cause { confidence: Confidence::Low, ..cause });
        append_new(&mut settled.causes, doubted);
        settled.data_gaps.extend(model.data_gaps);
        (settled, Leads::Playbook)
    } else {
        let mut settled = model;
        append_new(&mut settled.causes, playbook.causes);
        if settled.steps.is_empty() {
            settled.steps = playbook.steps;
        }
        if settled.primary.findings.is_empty() {
            settled.primary = playbook.primary;
        }
        for gap in playbook.data_gaps {
            if !settled.data_gaps.contains(&gap) {
                settled.data_gaps.push(gap);
            }
        }
        (settled, Leads::Model)
    }
}

fn playbook_leads(playbook: &Diagnosis, model: &Diagnosis, log: &EvidenceLog) -> bool {
    let Some(proven) = playbook.causes.first().filter(|cause| !cause.evidence.is_empty()) else {
        // Nothing is proven on our side. A model without a quote says less than the playbook's "healthy" or "not known".
        return model.verdict == Verdict::Inconclusive && playbook.verdict == Verdict::NoFault;
    };
    let Some(claimed) = model.causes.first().filter(|cause| !cause.evidence.is_empty()) else { return true };
    if model.verdict != Verdict::Fault {
        return true;
    }
    let differs = !same_thing(&claimed.resource, &proven.resource);
    differs && proven.confidence == Confidence::High && from_logs_only(claimed, log)
}

/// Logs are hostile input: what only they say never outranks what the API server says.
fn from_logs_only(cause: &Cause, log: &EvidenceLog) -> bool {
    cause
        .evidence
        .iter()
        .filter_map(|citation| log.get(&citation.reference))
        .all(|evidence| evidence.tool == "pods_log")
}

fn append_new(causes: &mut Vec<Cause>, more: impl IntoIterator<Item = Cause>) {
    for cause in more {
        let known = causes.iter().any(|other| same_thing(&other.resource, &cause.resource));
        if !known {
            causes.push(cause);
        }
    }
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
    use crate::report::Citation;
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
        let (settled, leads) = settle(playbook, model, &log());
        (leads, settled.causes.len())
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
    fn what_only_a_log_says_does_not_outrank_the_api_server() {
        assert_eq!(
            leader(fault("Deployment", "web", Some("E1")), fault("Node", "n", Some("E2"))),
            (Leads::Playbook, 2)
        );
        assert_eq!(leader(Diagnosis::default(), fault("Node", "n", Some("E2"))), (Leads::Model, 1));
    }
}
