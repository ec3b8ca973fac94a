//! The playbook: what is known about broken Kubernetes workloads, as pure functions from facts to findings.
//!
//! One diagnosis walks through it like this: `scene` types the facts, the analyzers of [`analyzer`] say what they
//! find, `scope` tells what the question is about, `rank` puts causes before symptoms, `conclude` writes the
//! diagnosis. An analyzer knows no other analyzer, no model and no tool; all it may cite stands in [`facts`].

pub mod alerts;
pub mod alias;
pub mod analyzer;
mod answers;
pub mod awaited;
mod awaited_first;
mod back;
pub mod callees;
mod chain;
mod change;
mod checks;
mod chinese;
mod cite;
#[cfg(test)]
mod codes;
mod complaint;
mod conclude;
mod consequence;
mod corefile;
mod culprit;
mod describe;
mod detail;
mod drift;
pub mod environment;
pub mod facts;
pub mod finding;
mod health;
mod hearing;
mod impact;
mod lately;
pub mod latent;
mod line;
pub mod logs;
mod loopback;
mod mended;
pub mod near;
mod once;
mod onward;
pub mod origin;
pub mod outside;
mod over;
mod parsed;
mod passed;
mod pattern;
mod pods;
mod prelude;
mod present;
pub mod protocol;
mod purpose;
mod quantity;
mod rank;
pub mod reach;
mod recently;
mod record;
#[cfg(test)]
mod register;
pub mod relay;
mod renamed;
mod returned;
mod scan;
#[cfg(test)]
mod scenarios;
mod scene;
mod scope;
mod selector;
mod slow;
mod standby;
pub mod tie;
mod trace;
mod tries;
mod unfollowed;
mod unread;
pub mod upstream;
pub mod way_in;
mod worked_off;
#[cfg(test)]
mod world;

use jiff::Timestamp;

use crate::alert::{Lang, ObjectRef};
use crate::report::{Confidence, Diagnosis};
use facts::Facts;
use finding::Finding;
use outside::Outside;
use pattern::Pattern;
use rank::Ranked;
use scene::Scene;
use scope::{Relevance, Scope};

/// What is asked: the objects the alerts name and the alerts' names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The objects the alerts are about, the leading one first; empty asks about everything that was read.
    pub targets: Vec<ObjectRef>,
    /// The alerts' names.
    pub alert_names: Vec<String>,
    /// What alerts are about whose labels name no object.
    pub outside: Vec<Outside>,
    /// The expressions of the alerts' rules, where their sender gives them.
    pub expressions: Vec<String>,
    /// When the first of the alerts that still fire began; of a group that is over, when its first did.
    pub since: Option<Timestamp>,
    /// The Namespace of the Prometheus that does not reach its target, where an alert says that.
    pub scraped_from: Option<String>,
    /// Hosts that the alerts speak of, in their labels or their author's words; among them what only looks like one.
    pub hosts: Vec<String>,
    /// Whether they were counted at an ingress controller: what failed there may never have come to what they name.
    pub at_entrance: bool,
}

/// The kinds that the analyzers asked by the alerts want listed, the likeliest first. What is named is read by name anyway.
#[must_use]
pub fn wanted(question: &Question) -> Vec<&'static str> {
    let asked = question.alert_names.iter().flat_map(|name| alerts::asks(name));
    let mut kinds: Vec<&'static str> = if question.at_entrance { vec!["Ingress"] } else { Vec::new() };
    // What is old may be made by runs that are no longer started.
    let mut own = question.alert_names.iter().filter(|alert| alerts::known(alert).is_none());
    let runs = own.any(|alert| analyzer::job::is_about_runs(alert)).then_some(&"CronJob");
    // What piles up has too few who work it off: whoever should make more of them may not.
    let piles = question.alert_names.iter().any(|alert| piles_up(alert)).then_some(&"HorizontalPodAutoscaler");
    for kind in asked.flat_map(|asked| analyzer::wants(asked)).chain(runs).chain(piles) {
        let named = question.targets.iter().any(|target| target.kind == *kind);
        if !named && !kinds.contains(kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// Whether an alert's name tells of work that waits and grows.
#[must_use]
pub fn piles_up(alert: &str) -> bool {
    static WORDS: Pattern = Pattern::new(
        r"(?i)backlog|queue_?(?:depth|length|size|grow)|(?:consumer|group|queue)_?lag|unacked|(?:messages|jobs|tasks)_?(?:ready|pending|waiting)|积压|堆积",
    );
    WORDS.hits(alert)
}

/// What the analyzers made of the facts.
#[derive(Debug, Clone, Default)]
pub struct Examined {
    /// What people are told when no model answers.
    pub diagnosis: Diagnosis,
    /// The findings that bear on the question, the likeliest cause first: what a model starts from.
    pub findings: Vec<Finding>,
}

/// Runs every analyzer once and ranks what they found into a diagnosis.
#[must_use]
pub fn examine(facts: &Facts, question: &Question, lang: Lang) -> Examined {
    let scene = Scene::new(facts, question, lang);
    let scope = Scope::of(&scene);
    let ranked = ranked(&scene, &scope);
    let diagnosis = conclude::conclude(&scene, &scope, &ranked);
    let near = |entry: &Ranked| entry.relevance >= Relevance::Neighbour;
    Examined { diagnosis, findings: ranked.into_iter().filter(near).map(|entry| entry.finding).collect() }
}

#[cfg(test)]
fn diagnose(facts: &Facts, question: &Question, lang: Lang) -> Diagnosis {
    examine(facts, question, lang).diagnosis
}

#[cfg(test)]
fn findings(facts: &Facts, question: &Question, lang: Lang) -> Vec<Finding> {
    examine(facts, question, lang).findings
}

/// Findings about kinds that the registry does not say their analyzers serve.
#[cfg(test)]
fn unserved(facts: &Facts, question: &Question) -> Vec<String> {
    let scene = Scene::new(facts, question, Lang::En);
    let found = |analyzer: &analyzer::Analyzer| {
        let strange =
            (analyzer.run)(&scene).into_iter().filter(|it| !analyzer.serves.contains(&it.about.kind.as_str()));
        strange.map(|finding| format!("{}: {}", analyzer.name, finding.about)).collect::<Vec<_>>()
    };
    analyzer::ANALYZERS.iter().flat_map(found).collect()
}

fn ranked(scene: &Scene<'_>, scope: &Scope) -> Vec<Ranked> {
    let found = analyzer::ANALYZERS
        .iter()
        .flat_map(|analyzer| (analyzer.run)(scene).into_iter().map(move |finding| (analyzer, finding)));
    let settled =
        found.map(|(analyzer, finding)| (analyzer, capped(scene, grounded(scene, back::only_real(scene, finding)))));
    rank::rank(scene, scope, settled.collect())
}

/// What only a log says is never sure: anybody who talks to an application can make it write a line. Nor is it sure that
/// a caller is at fault for a connection that failed, where nobody knows why it did.
fn capped(scene: &Scene<'_>, finding: Finding) -> Finding {
    let confidence = finding.confidence.min(Confidence::Medium);
    let is_open = rank::rests_on_logs(scene, &finding) || unfollowed::place(scene, &finding).is_some();
    if is_open { finding.confidence(confidence) } else { finding }
}

/// Where no wording of an analyzer stands in the evidence (a table row instead of an object), the object's line does.
fn grounded(scene: &Scene<'_>, finding: Finding) -> Finding {
    if !finding.evidence.is_empty() {
        return finding;
    }
    let line = |object: &ObjectRef| {
        let (_, reference) = scene.facts.raw(object)?;
        scene.quote_line(reference, &[&object.name])
    };
    let cited = line(&finding.about).or_else(|| line(&finding.blame));
    finding.cite([cited])
}
