//! The first look: what the playbook found, and what a model may go on from.

use std::time::Instant;

use super::brief;
use crate::alert::AlertGroup;
use crate::model::{Client, Fallback, Passed};
use crate::playbook::Question;
use crate::playbook::facts::Facts;
use crate::playbook::finding::Finding;
use crate::report::{Confidence, Led, Report, SameCause, Verdict};
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

impl Look {
    /// The facts in the words a model is told them in.
    #[must_use]
    pub fn facts(&self) -> Vec<String> {
        brief::lines(&self.findings)
    }

    /// Stands for what the playbook blames, the same for every incident that has this cause; none when it blames
    /// nothing that others could share with any certainty.
    #[must_use]
    pub fn cause_key(&self) -> Option<String> {
        let cause = self.report.causes.first().filter(|cause| cause.confidence > Confidence::Low)?;
        let code = cause.code.as_ref().filter(|_| self.report.verdict == Verdict::Fault)?;
        Some(format!("{}\n{code}\n{}", self.cluster.as_deref().unwrap_or_default(), cause.resource))
    }

    /// Leaves the cause to another incident, which is investigated for both: no model is asked about this one.
    pub fn leave_to(&mut self, led_by: Led) {
        self.report.usage.stopped_by = "same_cause".to_owned();
        self.report.same_cause = Some(SameCause { led_by: Some(led_by), followers: Vec::new() });
        self.model = Err(Vec::new());
    }

    /// Whether a model will be asked about it.
    #[must_use]
    pub fn will_be_reasoned_about(&self) -> bool {
        self.model.is_ok()
    }
}
