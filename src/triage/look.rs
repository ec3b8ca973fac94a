//! The first look: what the playbook found, and what a model may go on from.

use std::time::Instant;

use super::brief;
use super::follow::owners;
use crate::alert::{AlertGroup, ObjectRef};
use crate::model::{Client, Fallback, Passed};
use crate::playbook::Question;
use crate::playbook::facts::Facts;
use crate::playbook::finding::Finding;
use crate::report::{Common, Confidence, Led, Report, SameCause, Verdict};
use crate::toolbox::Run;

/// The first look: what was read, what the analyzers made of it, and the run that can read more.
pub struct Look {
    /// The run, with its evidence.
    pub run: Run,
    /// The playbook's report.
    pub report: Report,
    pub(super) findings: Vec<Finding>,
    pub(super) facts: Facts,
    pub(super) question: Question,
    pub(super) group: AlertGroup,
    pub(super) cluster: Option<String>,
    pub(super) started: Instant,
    /// The models of this run, or why none can be asked.
    pub(super) model: Result<Fallback<Client>, Vec<Passed>>,
}

/// What incidents may have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The same for all of them.
    pub key: String,
    /// What that is.
    pub common: Common,
}

/// What an object belongs to in the end, as far as that was read: the Deployment of a Pod's ReplicaSet.
fn top_owner(facts: &Facts, object: &ObjectRef) -> ObjectRef {
    let mut top = object.clone();
    // A chain is three long at most; what points at itself ends here too.
    for _ in 0..4 {
        let Some((value, _)) = facts.raw(&top) else { break };
        let Some(owner) = owners(&top, value).next() else { break };
        top = owner;
    }
    top
}

impl Look {
    /// The facts in the words a model is told them in.
    #[must_use]
    pub fn facts(&self) -> Vec<String> {
        brief::lines(&self.findings)
    }

    /// What others may share with this incident; none when nothing is known that they could share with any certainty.
    #[must_use]
    pub fn shared(&self) -> Option<Shared> {
        let cluster = self.cluster.as_deref().unwrap_or_default();
        self.cause_key(cluster).or_else(|| self.subject_key(cluster)).or_else(|| self.cluster_key(cluster))
    }

    /// Stands for what the playbook blames, the same for every incident that has this cause.
    fn cause_key(&self, cluster: &str) -> Option<Shared> {
        let cause = self.report.causes.first().filter(|cause| cause.confidence > Confidence::Low)?;
        let code = cause.code.as_ref().filter(|_| self.report.verdict == Verdict::Fault)?;
        Some(Shared { key: format!("{cluster}\n{code}\n{}", cause.resource), common: Common::Cause })
    }

    /// Where nothing is blamed: the same alert about the same workload or Node. Less in common (a Namespace, a cluster)
    /// says nothing about a cause.
    fn subject_key(&self, cluster: &str) -> Option<Shared> {
        let ([name], [target]) = (self.question.alert_names.as_slice(), self.question.targets.as_slice()) else {
            return None;
        };
        let unexplained = self.report.verdict != Verdict::Fault && self.report.causes.is_empty();
        self.facts.raw(target).filter(|_| unexplained)?;
        let subject = top_owner(&self.facts, target);
        Some(Shared { key: format!("{cluster}\nunexplained {name}\n{subject}"), common: Common::Alert })
    }

    /// Where nothing can be read of a cluster that should be, as when its API server is gone.
    fn cluster_key(&self, cluster: &str) -> Option<Shared> {
        let is_unread = self.run.is_blind() && !self.run.gaps().is_empty() && self.report.causes.is_empty();
        is_unread.then(|| Shared { key: format!("{cluster}\nunread"), common: Common::Cluster })
    }

    /// Leaves the cause to another incident, which is investigated for both: no model is asked about this one.
    pub fn leave_to(&mut self, led_by: Led, common: Common) {
        self.report.usage.stopped_by = "same_cause".to_owned();
        self.report.same_cause = Some(SameCause::over(common, Some(led_by), Vec::new()));
        self.model = Err(Vec::new());
    }

    /// Whether a model will be asked about it.
    #[must_use]
    pub fn will_be_reasoned_about(&self) -> bool {
        self.model.is_ok()
    }
}
