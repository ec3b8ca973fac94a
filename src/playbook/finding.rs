//! A finding: one thing an analyzer is ready to say about the cluster, with what proves it and what to do about it.

use std::fmt::Display;

use crate::alert::ObjectRef;
use crate::report::{Citation, Confidence, Effect, Related, RuledOut, Step};

/// How far down the chain from symptom to cause a finding stands: the deeper one explains the shallower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// What the alert itself already says: replicas are missing, a Service has no endpoints.
    Symptom,
    /// Why at one remove: a probe fails, a rollout hangs.
    Effect,
    /// How it breaks: the container runs out of memory, the image does not exist.
    Mechanism,
    /// The object that has to change before anything else can work.
    Root,
}

/// What an analyzer found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Stable snake_case code.
    pub code: &'static str,
    /// The object that has to change.
    pub blame: ObjectRef,
    /// The object at which it shows.
    pub about: ObjectRef,
    /// One sentence a person can act on at night: object and cause.
    pub headline: String,
    /// One or two sentences with the figures.
    pub summary: String,
    /// How sure the evidence makes it.
    pub confidence: Confidence,
    /// Its place between symptom and cause.
    pub depth: Depth,
    /// What proves it; only quotes that really stand in the evidence.
    pub evidence: Vec<Citation>,
    /// What to do: first what reads, then what changes.
    pub steps: Vec<Step>,
    /// Objects that suffer from it beside `about`.
    pub touches: Vec<ObjectRef>,
    /// Objects that were looked at on the way.
    pub related: Vec<Related>,
    /// What it is not, as far as that was really checked.
    pub ruled_out: Vec<RuledOut>,
    /// What only a person can answer.
    pub unresolved: Vec<String>,
    /// What could not be read and would have made it surer.
    pub gaps: Vec<String>,
}

impl Finding {
    /// A finding whose evidence speaks for itself; the summary is the headline until another is given.
    #[must_use]
    pub fn new(
        code: &'static str,
        depth: Depth,
        about: &ObjectRef,
        blame: &ObjectRef,
        headline: impl Into<String>,
    ) -> Self {
        let headline = headline.into();
        Self {
            code,
            blame: blame.clone(),
            about: about.clone(),
            summary: headline.clone(),
            headline,
            confidence: Confidence::High,
            depth,
            evidence: Vec::new(),
            steps: Vec::new(),
            touches: Vec::new(),
            related: Vec::new(),
            ruled_out: Vec::new(),
            unresolved: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Says it with the figures.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// Sets how sure it is.
    #[must_use]
    pub fn confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// Adds what proves it; quotes that were not found drop out, repeats too.
    #[must_use]
    pub fn cite(mut self, citations: impl IntoIterator<Item = Option<Citation>>) -> Self {
        for citation in citations.into_iter().flatten() {
            if !self.evidence.contains(&citation) {
                self.evidence.push(citation);
            }
        }
        self
    }

    /// Adds steps in the order they should be taken.
    #[must_use]
    pub fn steps(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }

    /// Adds objects that suffer from it.
    #[must_use]
    pub fn touches(mut self, objects: impl IntoIterator<Item = ObjectRef>) -> Self {
        self.touches.extend(objects);
        self
    }

    /// Adds an object that was looked at, and what was seen there.
    #[must_use]
    pub fn related(mut self, resource: ObjectRef, why: impl Into<String>, finding: impl Into<String>) -> Self {
        self.related.push(Related { resource, why: why.into(), findings: vec![finding.into()] });
        self
    }

    /// Adds a hypothesis that was checked and dropped.
    #[must_use]
    pub fn ruled_out(mut self, hypothesis: impl Into<String>, because: impl Into<String>) -> Self {
        self.ruled_out.push(RuledOut { hypothesis: hypothesis.into(), because: because.into() });
        self
    }

    /// Adds a question for a person.
    #[must_use]
    pub fn unresolved(mut self, question: impl Into<String>) -> Self {
        self.unresolved.push(question.into());
        self
    }

    /// Adds what could not be read.
    #[must_use]
    pub fn gap(mut self, gap: impl Into<String>) -> Self {
        self.gaps.push(gap.into());
        self
    }

    /// The numbered line handed to a model, for example `F1 [E3] Pod web/shop: image not found (high)`.
    #[must_use]
    pub fn line(&self, number: usize) -> String {
        let mut references: Vec<&str> = self.evidence.iter().map(|citation| citation.reference.as_str()).collect();
        references.dedup();
        let references = if references.is_empty() { String::new() } else { format!(" [{}]", references.join(", ")) };
        format!("F{number}{references} {}: {} ({})", self.code, self.summary, self.blame)
    }
}

/// A step that only looks.
#[must_use]
pub fn look(title: impl Into<String>, command: impl Into<String>) -> Step {
    Step {
        title: title.into(),
        detail: String::new(),
        command: Some(command.into()),
        effect: Effect::Reads,
        blocked: None,
    }
}

/// A step that changes something; without a command when only a person knows the new value.
#[must_use]
pub fn change(title: impl Into<String>, detail: impl Into<String>, command: Option<String>) -> Step {
    Step { title: title.into(), detail: detail.into(), command, effect: Effect::Changes, blocked: None }
}

/// `kubectl` with the object's namespace, then the words of the command.
#[must_use]
pub fn kubectl(namespace: &str, words: &str) -> String {
    if namespace.is_empty() { format!("kubectl {words}") } else { format!("kubectl -n {namespace} {words}") }
}

/// Edits a workload's Pod template; none for a Pod and a Job, whose template cannot be changed: those are made anew.
#[must_use]
pub fn edit_template(workload: &ObjectRef) -> Option<String> {
    let fixed = matches!(workload.kind.as_str(), "Pod" | "Job");
    (!fixed).then(|| kubectl(&workload.namespace, &format!("edit {}", slash(workload))))
}

/// The object as `kubectl` takes it, for example `deployment/shop`.
#[must_use]
pub fn slash(object: &ObjectRef) -> String {
    format!("{}/{}", object.kind.to_lowercase(), object.name)
}

/// `1 restart`, `2 restarts`, in English.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    format!("{count} {what}{}", if count == N::from(1) { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_thing_is_no_plural() {
        let said = [0, 1, 2].map(|restarts: i32| counted(restarts, "restart"));
        assert_eq!(said, ["0 restarts", "1 restart", "2 restarts"]);
    }
}
