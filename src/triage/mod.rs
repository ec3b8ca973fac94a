//! Triage: from an incident's alerts to a report. Reads like the drawing: gather, analyze, reason, ground.
//!
//! The first two need no model. Their report stands on its own: it goes out when a model is slow, wrong or absent, and a
//! model starts from it instead of from nothing.

mod ask;
mod brief;
mod call_clue;
mod clue;
mod cluster;
pub(crate) mod command;
mod entrance;
mod follow;
mod gap;
mod gather;
mod ground;
mod log_clue;
mod look;
mod measure;
mod mention;
mod models;
mod outside;
pub mod prompt;
pub(crate) mod question;
mod ring;
mod rows;
mod scrub;
mod sections;
mod seen;
mod settle;
mod setup;
mod want;

pub use look::Look;
pub use question::targets_of;
pub use setup::{TriageConfig, TriageError};

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::agent::{self, AnswerTool, Budget};
use crate::alert::{Alert, AlertGroup, Lang};
use crate::model::{Absence, Client, Fallback, Ledger, Model, Passed, Roster, Standing};
use crate::playbook::{self, Examined, Question};
use crate::report::{AnsweredBy, Diagnosis, Overview, Report, Usage};
use crate::telemetry::Seen;
use crate::toolbox::evidence::Evidence;
use crate::toolbox::{Limits, Recorded, Run, Toolbox};
use cluster::Cluster;
use ground::Ground;
use prompt::Prompts;
use settle::Leads;

/// Alerts of a group listed beside the leading one.
const OTHERS: usize = 5;

/// Everything that investigates.
pub struct Triage {
    toolbox: Toolbox,
    models: Arc<Roster<Client>>,
    prompts: Prompts,
    answer: AnswerTool<Diagnosis>,
    budget: Budget,
    cluster_label: String,
    lang: Lang,
}

impl Triage {
    /// Sets up models, tools and prompts. Nothing is dialled.
    ///
    /// # Errors
    /// Settings that cannot work, with what to write instead.
    pub fn new(config: &TriageConfig<'_>) -> Result<Self, TriageError> {
        Ok(Self {
            toolbox: setup::toolbox(config)?,
            models: Arc::new(setup::roster(config)?),
            prompts: Prompts::load(config.lang, config.prompts)?,
            answer: AnswerTool::new(
                "submit_diagnosis",
                "Submits the diagnosis. Call it once, as soon as the evidence suffices.",
            )?,
            budget: config.budget.clone(),
            cluster_label: config.cluster_label.to_owned(),
            lang: config.lang,
        })
    }

    /// Whether a model is configured.
    #[must_use]
    pub fn has_model(&self) -> bool {
        !self.models.is_empty()
    }

    /// Whether any MCP server is configured.
    #[must_use]
    pub fn has_tools(&self) -> bool {
        !self.toolbox.is_empty()
    }

    /// The configured models, in order.
    pub fn models(&self) -> impl Iterator<Item = &Client> {
        self.models.models()
    }

    /// Names of the configured models.
    #[must_use]
    pub fn model_names(&self) -> Vec<&str> {
        self.models.models().map(Model::name).collect()
    }

    /// Names of the configured MCP servers.
    #[must_use]
    pub fn server_names(&self) -> Vec<&str> {
        self.toolbox.servers().iter().map(|server| server.name()).collect()
    }

    /// How the last calls of each model went, and what keeps it from being asked.
    pub fn model_health(&self) -> impl Iterator<Item = (&Client, Seen, Standing)> {
        self.models.standings().map(|(model, standing)| (model, model.health().seen(), standing))
    }

    /// What models spent today.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        self.models.ledger()
    }

    /// Whether any model has a daily limit.
    #[must_use]
    pub fn ledger_is_limited(&self) -> bool {
        self.models.is_limited()
    }

    /// Calls that each model wrote into its text since this was last asked.
    pub fn take_recovered_calls(&self) -> impl Iterator<Item = (&str, u64)> {
        self.models.models().map(|model| (model.name(), model.take_recovered_calls()))
    }

    /// How the last calls of each MCP server went.
    pub fn server_health(&self) -> impl Iterator<Item = (&str, Seen)> {
        self.toolbox.servers().iter().map(|server| (server.name(), server.health().seen()))
    }

    /// Looks and reasons: the whole way from alerts to the report, with what it was read from.
    pub async fn run(&self, group: &AlertGroup) -> (Report, Vec<Evidence>) {
        let look = self.look(group, Vec::new()).await;
        let report = self.reason(&look).await;
        (report, look.run.log().all())
    }

    /// Gathers and analyzes, from what an earlier attempt read where there was one.
    pub async fn look(&self, group: &AlertGroup, read: Vec<Recorded>) -> Look {
        let started = Instant::now();
        let mut question = question::question(group);
        let Cluster { name: cluster, gap } = cluster::of(group, &self.cluster_label, &self.toolbox, self.lang);
        let now = self.toolbox.now(cluster);
        let run = self.toolbox.run(Limits::for_window(self.context_tokens()), cluster).await.recalling(read);
        let reading = gather::gather(&run, &question, now);
        // A snapshot's clock stands still, a Prometheus lives in the present.
        let measuring = measure::measure(&run, group, Timestamp::now(), self.lang);
        let (gathered, measured) = futures::join!(reading, measuring);
        question.targets = gathered.targets;
        let Examined { mut diagnosis, findings } = playbook::examine(&gathered.facts, &question, self.lang);
        ground::check_commands(&mut diagnosis, self.lang);
        // Why nothing was read comes before what was not.
        diagnosis.data_gaps.splice(0..0, gap);
        diagnosis.data_gaps.extend(gathered.gaps.iter().map(|gap| gap.told(self.lang)).chain(measured.gaps));
        if !question.outside.is_empty() {
            diagnosis.primary.findings.extend(measured.series.iter().map(|one| measure::sentence(one, self.lang)));
        }
        let model = Fallback::new(self.models.clone());
        let nobody = model.as_ref().err();
        diagnosis.data_gaps.extend(nobody.map(|passed| models::gaps(passed, self.lang)).unwrap_or_default());
        let usage = Usage {
            tool_calls: run.calls(),
            seconds: started.elapsed().as_secs_f64(),
            stopped_by: nobody.map_or("analyzed", |passed| models::nobody(passed)).to_owned(),
            passed_over: nobody.map(|passed| models::passed_over(passed, self.lang)).unwrap_or_default(),
            ..Usage::default()
        };
        let report = assemble((group, self.lang), &question, diagnosis, &run, usage);
        let report = Report { series: measured.series, ..report };
        tracing::info!(
            evidence = report.evidence.len(),
            duration_ms = started.elapsed().as_millis(),
            "gathered and analyzed"
        );
        let (cluster, group) = (cluster.map(str::to_owned), group.clone());
        Look { run, report, findings, facts: gathered.facts, question, group, cluster, started, model }
    }

    /// Lets the models reason over a look, and holds what they say against the evidence. Without a model, or when none
    /// answers, the playbook's report is the result and says why.
    pub async fn reason(&self, look: &Look) -> Report {
        let Ok(model) = &look.model else { return look.report.clone() };
        let outcome = match self.ask(model, look).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::error!(%error, "no prompt for the model");
                return self.without_model(look, "prompt_error", Some(error.to_string()), Usage::default());
            }
        };
        let mut passed = model.passed_over();
        if let Some(error) = &outcome.error {
            passed.push(Passed { model: error.model.clone(), why: Absence::of(error) });
        }
        let usage = Usage {
            source: AnsweredBy::Model,
            model: Some(outcome.model.clone()),
            turns: outcome.spent.turns,
            prompt_tokens: outcome.spent.prompt_tokens,
            completion_tokens: outcome.spent.completion_tokens,
            cost: outcome.spent.cost,
            currency: model.currency().map(str::to_owned),
            passed_over: models::passed_over(&passed, self.lang),
            stopped_by: outcome.stop.label().to_owned(),
            ..Usage::default()
        };
        tracing::info!(model = %outcome.model, stopped_by = outcome.stop.label(), turns = outcome.spent.turns, "model finished");
        let mut report = match outcome.submitted.map(scrub::scrub) {
            Some(diagnosis) if diagnosis.headline.is_empty() => {
                self.without_model(look, agent::Stop::InvalidAnswer.label(), None, usage)
            }
            Some(diagnosis) => self.settled(look, diagnosis, usage),
            None => {
                self.without_model(look, outcome.stop.label(), outcome.error.map(|error| error.told(self.lang)), usage)
            }
        };
        report.data_gaps.extend(models::limits(&passed, self.lang));
        report
    }

    /// The report of a model's diagnosis, checked and put beside the playbook's.
    fn settled(&self, look: &Look, mut diagnosis: Diagnosis, usage: Usage) -> Report {
        let log = look.run.log();
        Ground { log, facts: &look.facts, group: &look.group, playbook: &look.report, lang: self.lang }
            .check(&mut diagnosis);
        let settled = settle::settle(diagnosis_of(&look.report), diagnosis, log, self.lang);
        let source = match settled.leads {
            Leads::Model => AnsweredBy::Model,
            Leads::Playbook => AnsweredBy::Playbook,
        };
        let usage = self.spent(look, Usage { source, ..usage });
        let report = assemble((&look.group, self.lang), &look.question, settled.diagnosis, &look.run, usage);
        Report { disagreement: settled.disagreement, series: look.report.series.clone(), ..report }
    }

    /// The playbook's report when the model gave none, saying so.
    fn without_model(&self, look: &Look, stopped_by: &str, error: Option<String>, usage: Usage) -> Report {
        let mut report = look.report.clone();
        let why = scrub::text(&error.unwrap_or_else(|| stopped_by.to_owned()));
        report.data_gaps.push(
            self.lang.pick(format!("模型没有给出可用的结论：{why}"), format!("The model gave no usable answer: {why}")),
        );
        report.evidence = look.run.log().all().iter().map(Evidence::entry).collect();
        report.usage =
            self.spent(look, Usage { source: AnsweredBy::Playbook, stopped_by: stopped_by.to_owned(), ..usage });
        report
    }

    fn spent(&self, look: &Look, usage: Usage) -> Usage {
        Usage { tool_calls: look.run.calls(), seconds: look.started.elapsed().as_secs_f64(), ..usage }
    }

    fn context_tokens(&self) -> usize {
        // Without a model nothing is paid for by the token; the largest result a person scrolls through is the limit.
        self.models.models().map(Model::context_tokens).min().unwrap_or(usize::MAX / 8)
    }
}

fn assemble(
    (group, lang): (&AlertGroup, Lang),
    question: &Question,
    diagnosis: Diagnosis,
    run: &Run,
    usage: Usage,
) -> Report {
    let evidence = run.log().all().iter().map(Evidence::entry).collect();
    let overview = Overview { others: others(group, lang), ..overview(group, question) };
    Report::assemble(overview, diagnosis, evidence, usage)
}

/// The alerts of a group beside the leading one, a few, each with the object its labels name.
fn others(group: &AlertGroup, lang: Lang) -> Vec<String> {
    let leading = group.leading();
    let beside: Vec<&Alert> =
        group.alerts.iter().filter(|alert| !leading.is_some_and(|lead| std::ptr::eq(lead, *alert))).collect();
    let told = |alert: &&Alert| match targets_of(alert).first() {
        Some(object) => format!("{} {object}", alert.name()),
        None => alert.name().to_owned(),
    };
    let mut others: Vec<String> = beside.iter().take(OTHERS).map(told).map(|said| scrub::text(&said)).collect();
    if let Some(left) = beside.len().checked_sub(OTHERS).filter(|left| *left > 0) {
        others.push(lang.pick(format!("另有 {left} 条"), format!("{left} more")));
    }
    others
}

fn overview(group: &AlertGroup, question: &Question) -> Overview {
    let Some(alert) = group.leading() else { return Overview::default() };
    let resource =
        targets_of(alert).into_iter().next().or_else(|| question.targets.first().cloned()).unwrap_or_default();
    let namespace =
        Some(resource.namespace.as_str()).filter(|name| !name.is_empty()).or_else(|| alert.label("namespace"));
    Overview {
        alertname: alert.name().to_owned(),
        fingerprint: alert.fingerprint.clone(),
        severity: alert.label("severity").unwrap_or_default().to_owned(),
        namespace: namespace.unwrap_or_default().to_owned(),
        summary: alert.summary().unwrap_or_default().to_owned(),
        resource,
        others: Vec::new(),
    }
}

/// The part of a report that was diagnosed.
fn diagnosis_of(report: &Report) -> Diagnosis {
    let Report { verdict, headline, causes, primary, related, impact, steps, ruled_out, unresolved, data_gaps, .. } =
        report.clone();
    Diagnosis { verdict, headline, causes, primary, related, impact, steps, ruled_out, unresolved, data_gaps }
}
