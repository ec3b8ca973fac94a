//! The diagnosis' part of a story: conclusion, first step, and everything that backs it, folded away.

use super::tell::Teller;
use super::{Badge, Block, Quote, Role, Section, Span, Tone, words};
use crate::notify::text;
use crate::report::{Cause, Citation, Common, Confidence, Disagreement, Effect, NAMED_OF, Report, SameCause, Step};

/// The most incidents that share an investigation and are named at first sight; of more, a fold names all.
const AT_FIRST_SIGHT: usize = 10;
/// The most names of alerts that are counted at first sight where there are more.
const NAMES: usize = 5;
/// Characters of a name in the list of all.
const NAME: usize = 120;

impl Teller<'_> {
    /// 诊断分析: what it comes to, the root cause with its confidence and first quotation, who is affected.
    pub(super) fn diagnosis(&self, report: &Report, investigating: bool) -> Section {
        let mut blocks = Vec::new();
        let headline = self.line(&report.headline);
        if !headline.is_empty() {
            blocks.push(self.labelled(self.lang.pick("初步分析", "In short"), &headline));
        }
        if let Some(cause) = report.causes.first() {
            blocks.push(Block::Line(self.cause(cause)));
            blocks.extend(cause.evidence.first().map(|cited| self.quote(report, cited)));
        }
        blocks.extend(report.disagreement.as_ref().map(|differ| self.disagreement(differ)));
        blocks.extend(report.same_cause.as_ref().and_then(|same| self.same_cause(same)));
        if !report.impact.trim().is_empty() {
            blocks.push(self.labelled(self.lang.pick("影响", "Impact"), &report.impact));
        }
        if investigating {
            blocks.push(self.investigating());
        }
        self.section(Role::Diagnosis, self.lang.pick("诊断分析", "Diagnosis"), blocks)
    }

    /// Both views in one line: whoever decides at night must know that there are two.
    fn disagreement(&self, differ: &Disagreement) -> Block {
        let said = self.lang.pick(
            format!(
                "模型认为是 {}；规则库认为是 {}。排在前面的理由：{}。",
                differ.model, differ.playbook, differ.because
            ),
            format!(
                "the model says {}; the playbook says {}. What comes first: {}.",
                differ.model, differ.playbook, differ.because
            ),
        );
        self.labelled(self.lang.pick("结论不一致", "Two views"), &said)
    }

    /// Whom it follows, or who follows it.
    fn same_cause(&self, same: &SameCause) -> Option<Block> {
        let label = same.label(self.lang);
        if let Some(led) = &same.led_by {
            let (zh, both) = match same.common() {
                Common::Cluster => ("来自同一集群", "all of its alerts"),
                Common::Alert => ("是同一对象上的同名告警", "both"),
                Common::Cause => ("为同一原因", "both"),
            };
            let said = self.lang.pick(
                format!("与「{}」{zh}，由那一事件统一研判", led.title),
                format!("as {}, which is investigated for {both}", led.title),
            );
            return Some(self.labelled(label, &said));
        }
        self.names(&same.followers).map(|named| self.labelled(label, &named))
    }

    /// Whose investigation this one was as well, told at its end: some came after its diagnosis had been told.
    pub(super) fn led(&self, titles: &[String]) -> Option<Block> {
        self.led_names(titles).map(|(label, named)| self.labelled(label, &named))
    }

    /// The same in words alone.
    pub(super) fn led_names(&self, titles: &[String]) -> Option<(&'static str, String)> {
        self.names(titles).map(|named| (self.led_label(), self.line(&named)))
    }

    pub(super) fn led_label(&self) -> &'static str {
        self.lang.pick("一并研判的告警", "Investigated here as well")
    }

    /// All of a list, or how many there are of each alert.
    fn names(&self, titles: &[String]) -> Option<String> {
        let all = titles.len();
        let between = self.lang.pick("；", "; ");
        if all <= AT_FIRST_SIGHT {
            return (all > 0).then(|| titles.join(between));
        }
        let alerts = by_alert(titles);
        let mut counts: Vec<String> = alerts.iter().map(|(alert, of)| format!("{alert} × {}", of.len())).collect();
        if counts.len() > NAMES {
            counts.truncate(NAMES);
            counts.push("…".to_owned());
        }
        let counts = counts.join(between);
        // The number first, because a line that is too long loses its end.
        Some(self.lang.pick(format!("共 {all} 个（{counts}）"), format!("{all} ({counts})")))
    }

    /// Every alert that shares the investigation, where they are too many for a line: forty lines are no list at night,
    /// so the objects stand behind the name of their alert.
    pub(super) fn members(&self, label: &str, titles: &[String]) -> Section {
        let shown = if titles.len() > AT_FIRST_SIGHT { self.caps.members.min(titles.len()) } else { 0 };
        let between = self.lang.pick("；", "; ");
        let item = |(alert, objects): (&str, Vec<&str>)| {
            let objects: Vec<String> = objects.into_iter().map(|object| text::said(object, NAME)).collect();
            Block::Item(vec![Span::Strong(text::said(alert, NAME)), Span::Text(format!(" {}", objects.join(between)))])
        };
        let mut blocks: Vec<Block> = by_alert(&titles[..shown]).into_iter().map(item).collect();
        if shown > 0 {
            blocks.extend(self.rest(titles.len(), shown));
        }
        self.counted(Role::Members, label, titles.len(), blocks)
    }

    /// The same of a report's.
    pub(super) fn followers(&self, report: &Report) -> Section {
        let none = SameCause::default();
        let same = report.same_cause.as_ref().filter(|same| same.led_by.is_none()).unwrap_or(&none);
        self.members(same.label(self.lang), &same.followers)
    }

    /// 处理建议: the first step, or the first question when there is none.
    pub(super) fn first_step(&self, report: &Report) -> Option<Section> {
        let title = self.lang.pick("处理建议", "Next steps");
        if let Some(step) = report.steps.first() {
            return Some(self.section(Role::Step, title, self.step(1, step)));
        }
        let question = report.unresolved.first()?;
        let asked = self.labelled(self.lang.pick("需要人工确认", "A person must answer"), question);
        Some(self.section(Role::Step, title, vec![asked]))
    }

    /// The steps after the first.
    pub(super) fn more_steps(&self, report: &Report) -> Section {
        let all = report.steps.len();
        let shown = self.caps.steps.min(all);
        let mut blocks: Vec<Block> = report
            .steps
            .iter()
            .enumerate()
            .take(shown)
            .skip(1)
            .flat_map(|(at, step)| self.step(at + 1, step))
            .collect();
        blocks.extend(self.rest(all, shown));
        self.counted(Role::MoreSteps, self.lang.pick("后续步骤", "Further steps"), all.saturating_sub(1), blocks)
    }

    /// The quotations the causes rest on, without the one that is visible already.
    pub(super) fn evidence(&self, report: &Report) -> Section {
        let mut cited: Vec<&Citation> = Vec::new();
        for citation in report.causes.iter().flat_map(|cause| &cause.evidence) {
            if !cited.contains(&citation) {
                cited.push(citation);
            }
        }
        let shown = report.causes.first().and_then(|cause| cause.evidence.first());
        cited.retain(|citation| Some(*citation) != shown);
        let all = cited.len();
        let mut blocks: Vec<Block> =
            cited.into_iter().take(self.caps.items).map(|citation| self.quote(report, citation)).collect();
        blocks.extend(self.rest(all, self.caps.items));
        self.counted(Role::Evidence, self.lang.pick("更多证据", "More evidence"), all, blocks)
    }

    /// Findings at the object the alert is about.
    pub(super) fn primary(&self, report: &Report) -> Section {
        let findings = &report.primary.findings;
        let mut blocks = self.items(findings);
        blocks.extend(self.rest(findings.len(), self.caps.items));
        let name = self.name(&report.primary.resource);
        let title = self.lang.pick(format!("主要资源 · {name}"), format!("Primary resource · {name}"));
        self.counted(Role::Primary, &title, findings.len(), blocks)
    }

    /// Findings at objects beside it.
    pub(super) fn related(&self, report: &Report) -> Section {
        let mut blocks = Vec::new();
        for related in report.related.iter().take(self.caps.items) {
            let mut spans = vec![Span::Code(self.name(&related.resource)), Span::Text(" ".to_owned())];
            spans.extend(self.prose(&related.why));
            blocks.push(Block::Line(spans));
            blocks.extend(self.items(&related.findings));
            blocks.extend(self.rest(related.findings.len(), self.caps.items));
        }
        blocks.extend(self.rest(report.related.len(), self.caps.items));
        self.counted(Role::Related, self.lang.pick("关联资源", "Related resources"), report.related.len(), blocks)
    }

    /// Causes after the first.
    pub(super) fn more_causes(&self, report: &Report) -> Section {
        let all = report.causes.len().saturating_sub(1);
        let causes = report.causes.iter().skip(1).take(self.caps.items);
        let mut blocks: Vec<Block> = causes.map(|cause| Block::Item(self.cause(cause))).collect();
        blocks.extend(self.rest(all, self.caps.items));
        self.counted(Role::MoreCauses, self.lang.pick("其他可能原因", "Other possible causes"), all, blocks)
    }

    /// Hypotheses that were dropped.
    pub(super) fn ruled_out(&self, report: &Report) -> Section {
        let all = report.ruled_out.len();
        let item = |(hypothesis, because): (&str, &str)| {
            let mut spans = self.prose(hypothesis);
            spans.push(Span::Aside(
                self.lang.pick(format!("—— {}", self.line(because)), format!("— {}", self.line(because))),
            ));
            Block::Item(spans)
        };
        let dropped = report.ruled_out.iter().take(self.caps.items);
        let mut blocks: Vec<Block> = dropped.map(|out| item((out.hypothesis.as_str(), out.because.as_str()))).collect();
        blocks.extend(self.rest(all, self.caps.items));
        self.counted(Role::RuledOut, self.lang.pick("已排除", "Ruled out"), all, blocks)
    }

    /// What was not checked, and what only a person can answer.
    pub(super) fn unknown(&self, report: &Report, missing: &[String]) -> Section {
        // Without steps the first question stands where the first step would.
        let asked = usize::from(report.steps.is_empty());
        let said = || report.unresolved.iter().skip(asked).chain(&report.data_gaps).chain(missing);
        let all = said().count();
        let mut blocks: Vec<Block> = said().take(self.caps.items).map(|gap| Block::Item(self.prose(gap))).collect();
        blocks.extend(self.rest(all, self.caps.items));
        self.counted(Role::Unknown, self.lang.pick("未能确认", "Not settled, not checked"), all, blocks)
    }

    /// A cause in one line. Without evidence, or with low confidence, it is called what it is: a hypothesis.
    fn cause(&self, cause: &Cause) -> Vec<Span> {
        let guessed = cause.confidence == Confidence::Low || cause.evidence.is_empty();
        let label = match guessed {
            true => self.lang.pick("推测（待验证）", "Hypothesis"),
            false => self.lang.pick("根本原因", "Root cause"),
        };
        let (confidence, tone) = words::confidence(self.lang, cause.confidence);
        let mut spans = vec![Span::Strong(label.to_owned()), Span::Badge(Badge { text: confidence.to_owned(), tone })];
        spans.extend(self.prose(&cause.summary));
        if !cause.resource.name.is_empty() {
            spans.extend([Span::Text(" ".to_owned()), Span::Code(self.name(&cause.resource))]);
        }
        let mut seen: Vec<&str> = Vec::new();
        for citation in cause.evidence.iter().take(self.caps.items) {
            if !seen.contains(&citation.reference.as_str()) {
                seen.push(&citation.reference);
                spans.push(Span::Ref(text::said(&citation.reference, 8)));
            }
        }
        if cause.evidence.is_empty() {
            spans.push(Span::Aside(self.lang.pick("（没有工具结果佐证）", "(no tool result backs it)").to_owned()));
        }
        spans
    }

    fn step(&self, number: usize, step: &Step) -> Vec<Block> {
        let (effect, tone) = match step.effect {
            Effect::Reads => (self.lang.pick("只读", "read-only"), Tone::Green),
            Effect::Changes => {
                (self.lang.pick("会变更集群 · 需人工确认", "changes the cluster · confirm first"), Tone::Orange)
            }
        };
        let title = Span::Strong(format!("{number}. {}", self.line(&step.title).replace('`', "")));
        let badge = Span::Badge(Badge { text: effect.to_owned(), tone });
        let mut blocks = vec![Block::Line(vec![title, badge])];
        if !step.detail.trim().is_empty() {
            blocks.push(Block::Line(self.prose(&step.detail)));
        }
        blocks.extend(step.command.as_deref().and_then(|command| self.command(command)));
        blocks.extend(step.blocked.as_deref().map(|command| self.blocked(command)));
        blocks
    }

    /// A command that must not be copied is told as words, without the form commands have.
    fn blocked(&self, command: &str) -> Block {
        let words = self.line(command).replace('`', "");
        let said = self.lang.pick(
            format!("已拦截的建议，请勿直接执行：{words}"),
            format!("Blocked suggestion, not to be run as it is: {words}"),
        );
        Block::Line(vec![Span::Aside(said)])
    }

    fn command(&self, command: &str) -> Option<Block> {
        let clean = text::block(command, self.caps.command + 1);
        if clean.is_empty() {
            return None;
        }
        if clean.chars().count() > self.caps.command {
            let said = self.lang.pick("命令过长，未在此列出。", "The command is too long to show here.");
            return Some(Block::Line(vec![Span::Aside(said.to_owned())]));
        }
        Some(Block::Command(clean))
    }

    fn quote(&self, report: &Report, citation: &Citation) -> Block {
        let entry = report.evidence.iter().find(|entry| entry.reference == citation.reference);
        Block::Quote(Quote {
            reference: text::said(&citation.reference, 8),
            tool: text::said(entry.map(|entry| entry.tool.as_str()).unwrap_or_default(), 48),
            text: text::line(&citation.quote, self.caps.quote),
        })
    }

    fn labelled(&self, label: &str, said: &str) -> Block {
        let mut spans = vec![Span::Strong(self.lang.pick(format!("{label}："), format!("{label}:")))];
        spans.extend(self.prose(said));
        Block::Line(spans)
    }

    fn items(&self, findings: &[String]) -> Vec<Block> {
        findings.iter().take(self.caps.items).map(|finding| Block::Item(self.prose(finding))).collect()
    }

    fn counted(&self, role: Role, title: &str, count: usize, blocks: Vec<Block>) -> Section {
        let title = self.lang.pick(format!("{title}（{count}）"), format!("{title} ({count})"));
        self.section(role, &title, blocks)
    }
}

/// The alerts of incidents, each with the objects it is about, in the order they are named first.
fn by_alert(titles: &[String]) -> Vec<(&str, Vec<&str>)> {
    let mut alerts: Vec<(&str, Vec<&str>)> = Vec::new();
    for title in titles {
        let (alert, object) = title.split_once(NAMED_OF).unwrap_or((title, ""));
        match alerts.iter_mut().find(|(known, _)| *known == alert) {
            Some((_, objects)) => objects.push(object),
            None => alerts.push((alert, vec![object])),
        }
    }
    alerts
}
