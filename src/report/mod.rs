//! The report: what a triage produces, what the model submits, what every channel renders, what the API returns.

mod news;
mod same_cause;
mod usage;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use news::{News, news, same_thing};
pub use same_cause::{Common, Led, NAMED_OF, SameCause};
pub use usage::{AnsweredBy, PassedOver, Usage};

use crate::alert::{Alert, ObjectRef};
use crate::series::Series;

/// Whether something is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A fault was found.
    Fault,
    /// Everything that was looked at is healthy.
    NoFault,
    /// What could be read does not decide it.
    #[default]
    Inconclusive,
}

/// How sure a cause is, after its evidence was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// A hypothesis.
    #[default]
    Low,
    /// Likely; something that would settle it was not seen.
    Medium,
    /// The evidence says so itself.
    High,
}

/// What following a step does to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It only looks.
    #[default]
    Reads,
    /// It changes something: a person decides.
    Changes,
}

/// The alert in five lines: the first section of every card.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Overview {
    /// The leading alert's name.
    pub alertname: String,
    /// Its fingerprint: another alert may lead the group later.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fingerprint: String,
    /// Its severity, as the sender spells it; empty when it has none.
    #[serde(default)]
    pub severity: String,
    /// Namespace of the affected object, empty for cluster-scoped ones.
    #[serde(default)]
    pub namespace: String,
    /// The object the alert is about.
    pub resource: ObjectRef,
    /// The alert's own summary.
    #[serde(default)]
    pub summary: String,
    /// The other alerts of the group, each with its object; the last one says how many are not listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

impl Overview {
    /// Whether it tells of this alert. What was kept without a fingerprint goes by name and severity.
    #[must_use]
    pub fn is_of(&self, alert: &Alert) -> bool {
        if self.fingerprint.is_empty() {
            let severity = alert.label("severity").unwrap_or_default();
            return (self.alertname.as_str(), self.severity.as_str()) == (alert.name(), severity);
        }
        self.fingerprint == alert.fingerprint
    }
}

/// A quotation from a recorded tool result.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Citation {
    /// The evidence it stands in, for example `E3`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Words copied from that result.
    pub quote: String,
}

/// Something that explains the alert.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Cause {
    /// One or two sentences.
    pub summary: String,
    /// A stable snake_case code when the cause is a known one.
    #[serde(default)]
    pub code: Option<String>,
    /// The object that is to blame.
    pub resource: ObjectRef,
    /// How sure this is.
    #[serde(default)]
    pub confidence: Confidence,
    /// What says so.
    #[serde(default)]
    pub evidence: Vec<Citation>,
}

/// What was found at the object the alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Primary {
    /// The object.
    pub resource: ObjectRef,
    /// Findings, one sentence each.
    #[serde(default)]
    pub findings: Vec<String>,
}

/// What was found at an object beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Related {
    /// The object.
    pub resource: ObjectRef,
    /// Why it was looked at.
    #[serde(default)]
    pub why: String,
    /// Findings, one sentence each.
    #[serde(default)]
    pub findings: Vec<String>,
}

/// Something a person can do next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct Step {
    /// What to do.
    pub title: String,
    /// How, and how to see that it worked.
    #[serde(default)]
    pub detail: String,
    /// A `kubectl` command to copy, when there is one.
    #[serde(default)]
    pub command: Option<String>,
    /// Whether it changes the cluster.
    #[serde(default)]
    pub effect: Effect,
    /// A command that was suggested and must not be copied, as words for people. Code fills it in, never a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub blocked: Option<String>,
}

/// A hypothesis that was looked into and dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct RuledOut {
    /// What it could have been.
    pub hypothesis: String,
    /// Why it is not.
    pub because: String,
}

/// The model and the playbook name different causes: people see both, and why one comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Disagreement {
    /// What the model blames.
    pub model: String,
    /// What the playbook blames.
    pub playbook: String,
    /// Why the one that leads does.
    pub because: String,
}

/// One recorded tool result, without its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceEntry {
    /// `E1`, `E2`, … in the order they were taken.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The tool that was called.
    pub tool: String,
    /// With which arguments.
    pub arguments: Value,
    /// Length of the recorded text in bytes.
    pub bytes: usize,
    /// When.
    pub taken_at: Timestamp,
}

/// What the model must submit: the report without what code fills in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Is something broken?
    pub verdict: Verdict,
    /// One sentence a person can act on.
    pub headline: String,
    /// Causes, the most likely first.
    #[serde(default)]
    pub causes: Vec<Cause>,
    /// The object the alert is about.
    #[serde(default)]
    pub primary: Primary,
    /// Objects beside it.
    #[serde(default)]
    pub related: Vec<Related>,
    /// Who or what is affected.
    #[serde(default)]
    pub impact: String,
    /// What to do next, first things first.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What it is not.
    #[serde(default)]
    pub ruled_out: Vec<RuledOut>,
    /// Questions only a person can answer.
    #[serde(default)]
    pub unresolved: Vec<String>,
    /// What could not be read.
    #[serde(default)]
    pub data_gaps: Vec<String>,
}

/// A whole report. Its keys are stable: they may be added to, never renamed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Is something broken?
    pub verdict: Verdict,
    /// One sentence a person can act on.
    pub headline: String,
    /// The alert in five lines.
    pub overview: Overview,
    /// Causes, the most likely first.
    pub causes: Vec<Cause>,
    /// The object the alert is about.
    pub primary: Primary,
    /// Objects beside it.
    pub related: Vec<Related>,
    /// Who or what is affected.
    pub impact: String,
    /// What to do next, first things first.
    pub steps: Vec<Step>,
    /// What it is not.
    pub ruled_out: Vec<RuledOut>,
    /// Questions only a person can answer.
    pub unresolved: Vec<String>,
    /// What could not be read or checked.
    pub data_gaps: Vec<String>,
    /// Where the model and the playbook name different causes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disagreement: Option<Disagreement>,
    /// Other incidents with the same cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_cause: Option<SameCause>,
    /// The alerts' own expressions around the moment they fired, where a Prometheus is configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Series>,
    /// The recorded tool results the report may cite.
    pub evidence: Vec<EvidenceEntry>,
    /// What it cost.
    pub usage: Usage,
}

impl Report {
    /// Puts what code knows around what was diagnosed.
    #[must_use]
    pub fn assemble(overview: Overview, diagnosis: Diagnosis, evidence: Vec<EvidenceEntry>, usage: Usage) -> Self {
        let Diagnosis { verdict, headline, causes, primary, related, impact, steps, ruled_out, unresolved, data_gaps } =
            diagnosis;
        Self {
            verdict,
            headline,
            overview,
            causes,
            primary,
            related,
            impact,
            steps,
            ruled_out,
            unresolved,
            data_gaps,
            disagreement: None,
            same_cause: None,
            series: Vec::new(),
            evidence,
            usage,
        }
    }
}
