//! The question to the models: what they are told first, what they may spend, and how their answer is read.

use jiff::SignedDuration;

use super::prompt::{AlertInput, PromptError, Size, SystemInput};
use super::{Look, Triage, brief, measure, sections};
use crate::agent::tools::Tools;
use crate::agent::{self, Budget, Envelope, Task};
use crate::model::{Client, Fallback};
use crate::report::Diagnosis;

impl Triage {
    /// Lets the models reason over a look within what is left of the incident's time.
    ///
    /// # Errors
    /// When a prompt fails on this input.
    pub(super) async fn ask(
        &self,
        model: &Fallback<Client>,
        look: &Look,
    ) -> Result<agent::Outcome<Diagnosis>, PromptError> {
        let envelope = Envelope::new();
        let specs = look.run.specs();
        let system = self.prompts.system(&SystemInput {
            envelope: &envelope,
            tools: &specs,
            answer_tool: &self.answer.function().name,
            budget: &self.budget,
        })?;
        let evidence = brief::evidence(&look.findings, look.run.log().all());
        let questions = brief::questions(&look.findings, &look.report, self.lang);
        let mut findings = brief::lines(&look.findings);
        findings.extend(look.report.series.iter().map(|series| measure::sentence(series, self.lang)));
        let input = AlertInput {
            envelope: &envelope,
            group: &look.group,
            findings: &findings,
            questions: &questions,
            evidence: &evidence,
            size: Size::Whole,
        };
        let prompt = self.prompts.alert(&input)?;
        let shorter = [Size::Tight, Size::Bare].map(|size| self.prompts.alert(&AlertInput { size, ..input }));
        let shorter: Vec<String> = shorter.into_iter().collect::<Result<_, _>>()?;
        // The deadline is the incident's: what gathering took is gone.
        let spent = SignedDuration::try_from(look.started.elapsed()).unwrap_or_default();
        let budget = Budget { deadline: self.budget.deadline - spent, ..self.budget.clone() };
        let task = Task {
            system: &system,
            prompt: &prompt,
            shorter: &shorter,
            answer: &self.answer,
            read: sections::read,
            budget: &budget,
            envelope: &envelope,
            lang: self.lang,
        };
        Ok(agent::run(model, &look.run, task).await)
    }
}
