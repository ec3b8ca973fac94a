//! Ground: every claim of a model held against what was read. Code, not a second opinion.
//!
//! Nothing here makes a claim surer. Words are made harmless, objects nobody read are taken out, quotations and figures are
//! looked up where they are said to stand, and commands are shown, shown as blocked, or dropped. What was found wanting is
//! said among the data gaps.

mod about;
mod figures;
mod kinds;
mod links;
mod names;
mod prose;
mod quote;

pub use about::rests_on_its_object;
pub use quote::is_outsiders;

use std::collections::BTreeSet;

use super::command::{self, Fate};
use crate::alert::{AlertGroup, Lang, ObjectRef};
use crate::playbook::facts::Facts;
use crate::report::{Cause, Confidence, Diagnosis, Effect, Report, Step, Verdict};
use crate::toolbox::evidence::EvidenceLog;
use figures::Figures;
use names::Names;

/// The most figures or names that one data gap tells.
const NAMED: usize = 6;

/// What claims are held against.
pub struct Ground<'a> {
    /// What the tools returned.
    pub log: &'a EvidenceLog,
    /// The same, as objects.
    pub facts: &'a Facts,
    /// The alerts.
    pub group: &'a AlertGroup,
    /// What the analyzers made of it: its figures were computed, not read.
    pub playbook: &'a Report,
    /// The language in which shortcomings are said.
    pub lang: Lang,
}

impl Ground<'_> {
    /// Checks a model's diagnosis.
    pub fn check(&self, diagnosis: &mut Diagnosis) {
        texts_of(diagnosis).into_iter().for_each(|text| *text = links::harmless(text));
        let names = Names::of(self.log, self.facts, self.group);
        self.check_objects(diagnosis, &names);
        self.check_quotes(diagnosis);
        self.check_figures(diagnosis);
        self.check_prose(diagnosis, &names);
        // What is proven comes before what is guessed; among equals the model's order stands.
        diagnosis.causes.sort_by_key(|cause| cause.evidence.is_empty());
        if diagnosis.verdict == Verdict::Fault && diagnosis.causes.iter().all(|cause| cause.evidence.is_empty()) {
            diagnosis.verdict = Verdict::Inconclusive;
        }
        check_commands(diagnosis, self.lang);
        diagnosis.steps.iter_mut().for_each(|step| self.check_names(step, &names));
    }

    /// Takes out what is said of objects that occur nowhere. A cause survives as a question: its thought may be right.
    fn check_objects(&self, diagnosis: &mut Diagnosis, names: &Names) {
        let is_known = |object: &mut ObjectRef| {
            kinds::spell_as_read(object, self.facts);
            // One that only a log speaks of counts once somebody has looked for it; one that nothing speaks of does not.
            object.name.is_empty()
                || names.know_object(object)
                || (names.know(&object.name) && self.facts.is_missing(object))
        };
        let (kept, unread): (Vec<Cause>, Vec<Cause>) =
            std::mem::take(&mut diagnosis.causes).into_iter().partition(|cause| is_known(&mut cause.resource.clone()));
        diagnosis.causes = kept;
        diagnosis.causes.iter_mut().for_each(|cause| kinds::spell_as_read(&mut cause.resource, self.facts));
        for cause in unread {
            let object = &cause.resource;
            diagnosis.unresolved.push(self.lang.pick(
                format!("模型怀疑 {object}，但读到的内容里没有这个对象：{}", cause.summary),
                format!("The model suspects {object}, which occurs in nothing that was read: {}", cause.summary),
            ));
        }
        if !is_known(&mut diagnosis.primary.resource) {
            diagnosis.primary = crate::report::Primary::default();
        }
        diagnosis.related.retain_mut(|related| is_known(&mut related.resource));
    }

    /// Drops quotations that do not stand in the result they cite, and caps what is left by what the rest proves.
    fn check_quotes(&self, diagnosis: &mut Diagnosis) {
        let mut dropped = 0;
        for cause in &mut diagnosis.causes {
            let claimed = cause.evidence.len();
            cause.evidence.retain_mut(|citation| {
                citation.reference = citation.reference.trim().to_ascii_uppercase();
                self.log.get(&citation.reference).is_some_and(|evidence| quote::stands_in(&evidence, &citation.quote))
            });
            dropped += claimed - cause.evidence.len();
            cause.confidence = cause.confidence.min(self.ceiling(cause));
        }
        if dropped > 0 {
            diagnosis.data_gaps.push(self.lang.pick(
                format!("{dropped} 处引文在所引用的工具结果中找不到，已删除"),
                match dropped {
                    1 => "1 quotation was not found in the result it cites and was dropped".to_owned(),
                    many => format!("{many} quotations were not found in the results they cite and were dropped"),
                },
            ));
        }
    }

    /// The most a cause may claim: nothing without a telling quotation, certainty only when two different tools speak of the
    /// object in words that no outsider could write and one of them was asked about the object itself.
    fn ceiling(&self, cause: &Cause) -> Confidence {
        let (mut tools, mut telling, mut about) = (BTreeSet::new(), false, false);
        for citation in cause.evidence.iter().filter(|citation| quote::is_telling(&citation.quote)) {
            let Some(evidence) = self.log.get(&citation.reference) else { continue };
            telling = true;
            let names = about::only_names(&citation.quote, &cause.resource);
            if names || quote::is_outsiders(&evidence, &citation.quote) {
                continue;
            }
            let is_about = about::is_about(&evidence, &citation.quote, &cause.resource);
            about |= is_about;
            if is_about || about::mentions(&evidence, &citation.quote, &cause.resource) {
                tools.insert(evidence.tool);
            }
        }
        match (telling, tools.len()) {
            (false, _) => Confidence::Low,
            (true, 2..) if about => Confidence::High,
            (true, _) => Confidence::Medium,
        }
    }

    /// Lowers causes whose figures were not read, and names the figures. The headline and the impact speak for the first.
    fn check_figures(&self, diagnosis: &mut Diagnosis) {
        let mut known = self.common_figures();
        let mut unread = BTreeSet::new();
        for cause in &mut diagnosis.causes {
            let mut read = Figures::at(self.facts.now);
            for citation in &cause.evidence {
                self.log.get(&citation.reference).into_iter().for_each(|evidence| read.read(&evidence.full));
            }
            let said = figures::figures_in(&cause.summary);
            let wrong = said.into_iter().filter(|it| !read.hold(it) && !known.hold(it));
            let before = unread.len();
            unread.extend(wrong.map(|figure| figure.said));
            if unread.len() > before {
                cause.confidence = Confidence::Low;
            }
        }
        self.log.all().iter().for_each(|evidence| known.read(&evidence.full));
        for claim in [&diagnosis.headline, &diagnosis.impact] {
            let said = figures::figures_in(claim).into_iter();
            let wrong: Vec<String> = said.filter(|it| !known.hold(it)).map(|figure| figure.said).collect();
            if let (false, Some(first)) = (wrong.is_empty(), diagnosis.causes.first_mut()) {
                first.confidence = Confidence::Low;
            }
            unread.extend(wrong);
        }
        let aside = asides(diagnosis).flat_map(|text| figures::figures_in(text)).filter(|it| !known.hold(it));
        unread.extend(aside.map(|figure| figure.said));
        self.say_unread(
            diagnosis,
            unread,
            "模型给出的数字在工具结果中找不到",
            "Figures of the model that were read nowhere",
        );
    }

    /// Names what of a model's claims was read nowhere.
    fn say_unread(&self, diagnosis: &mut Diagnosis, unread: BTreeSet<String>, zh: &str, en: &str) {
        if unread.is_empty() {
            return;
        }
        let named: Vec<String> = unread.into_iter().take(NAMED).collect();
        diagnosis.data_gaps.push(self.lang.pick(
            format!("{zh}：{}；相关结论按推测对待", named.join("、")),
            format!("{en}: {}; what rests on them is a guess", named.join(", ")),
        ));
    }

    /// Lowers causes that speak of objects which occur nowhere, and names them. The headline and the impact speak for the
    /// first.
    fn check_prose(&self, diagnosis: &mut Diagnosis, names: &Names) {
        let unknown = |text: &str| -> Vec<String> {
            let spoken_of = prose::names_in(text).into_iter();
            spoken_of.filter(|name| !names.know_owner(name)).map(str::to_owned).collect()
        };
        let mut unread = BTreeSet::new();
        for (index, cause) in diagnosis.causes.iter_mut().enumerate() {
            let mut wrong = unknown(&cause.summary);
            if index == 0 {
                wrong.extend([&diagnosis.headline, &diagnosis.impact].into_iter().flat_map(|claim| unknown(claim)));
            }
            if !wrong.is_empty() {
                cause.confidence = Confidence::Low;
            }
            unread.extend(wrong);
        }
        unread.extend(asides(diagnosis).flat_map(|text| unknown(text)));
        let (zh, en) =
            ("模型提到的对象在读到的内容中没有出现", "Objects the model speaks of that occur in nothing that was read");
        self.say_unread(diagnosis, unread, zh, en);
    }

    /// Figures of the alerts and of the playbook, which every claim may use.
    fn common_figures(&self) -> Figures {
        let mut figures = Figures::at(self.facts.now);
        for alert in &self.group.alerts {
            alert.labels.values().chain(alert.annotations.values()).for_each(|text| figures.read(text));
        }
        let report = self.playbook;
        let findings = report.related.iter().flat_map(|related| &related.findings).chain(&report.primary.findings);
        let causes = report.causes.iter().map(|cause| &cause.summary);
        findings.chain(causes).chain([&report.headline]).for_each(|text| figures.read(text));
        figures
    }

    /// A command about an object that occurs nowhere is not one to copy.
    fn check_names(&self, step: &mut Step, names: &Names) {
        let is_unknown = |command: &String| command::names_in(command).into_iter().any(|name| !names.know(name));
        if step.command.as_ref().is_some_and(is_unknown) {
            step.blocked = step.command.take();
            let note = self.lang.pick(
                "（命令里的对象在读到的内容中没有出现）",
                " (The command names an object that occurs in nothing that was read.)",
            );
            step.detail.push_str(note);
        }
    }
}

/// Checks the commands of a diagnosis. Those of the playbook too: it puts names into them, and names come from labels,
/// which anybody may have written.
pub fn check_commands(diagnosis: &mut Diagnosis, lang: Lang) {
    diagnosis.steps.iter_mut().for_each(|step| check_step(step, lang));
}

/// A command is for copying only when it is one plain `kubectl` call of a known verb; what it does is decided here, not by
/// who wrote it.
fn check_step(step: &mut Step, lang: Lang) {
    step.blocked = None;
    step.title = command::without_changes(&step.title, lang);
    step.detail = command::without_changes(&step.detail, lang);
    let Some(text) = step.command.take() else { return };
    let text = text.trim().to_owned();
    match command::fate(&text) {
        Fate::Shown(effect) => {
            step.effect = if step.effect == Effect::Changes { Effect::Changes } else { effect };
            step.command = Some(text);
        }
        Fate::Blocked => step.blocked = Some(text),
        Fate::Dropped => {
            let note = lang.pick(
                "（建议的命令未通过检查，未列出）",
                " (The suggested command did not pass the check and is left out.)",
            );
            step.detail.push_str(note);
        }
    }
}

/// What a diagnosis says beside its causes of what was read. Steps may give figures of their own: what to set.
fn asides(diagnosis: &Diagnosis) -> impl Iterator<Item = &String> {
    let related = diagnosis.related.iter().flat_map(|related| related.findings.iter().chain([&related.why]));
    let ruled_out = diagnosis.ruled_out.iter().flat_map(|out| [&out.hypothesis, &out.because]);
    diagnosis.primary.findings.iter().chain(related).chain(ruled_out)
}

/// Every text of a diagnosis that people read, quotations and commands aside: those have checks of their own.
fn texts_of(diagnosis: &mut Diagnosis) -> Vec<&mut String> {
    let Diagnosis { headline, causes, primary, related, impact, steps, ruled_out, unresolved, data_gaps, .. } =
        diagnosis;
    let mut texts = vec![headline, impact];
    texts.extend(causes.iter_mut().map(|cause| &mut cause.summary));
    texts.extend(primary.findings.iter_mut());
    for one in related {
        texts.push(&mut one.why);
        texts.extend(one.findings.iter_mut());
    }
    for step in steps {
        texts.extend([&mut step.title, &mut step.detail]);
    }
    for out in ruled_out {
        texts.extend([&mut out.hypothesis, &mut out.because]);
    }
    texts.extend(unresolved.iter_mut().chain(data_gaps.iter_mut()));
    texts
}

#[cfg(test)]
mod tests;
