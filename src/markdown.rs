//! A report as Markdown, for terminals and files.

use crate::alert::{Lang, ObjectRef};
use crate::report::{AnsweredBy, Cause, Confidence, Effect, EvidenceEntry, PassedOver, Report, Verdict};
use crate::series::{figure, sparkline};
use crate::times;

/// The whole report, with times in a zone given by its IANA name.
#[must_use]
pub fn report(report: &Report, lang: Lang, zone: &str) -> String {
    let mut out = Page { text: String::new(), lang };
    out.overview(report);
    out.diagnosis(report);
    out.steps(report);
    out.evidence(report, zone);
    out.text
}

struct Page {
    text: String,
    lang: Lang,
}

impl Page {
    fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    fn heading(&mut self, level: usize, zh: &str, en: &str) {
        let title = self.lang.pick(zh, en);
        self.line(format!("\n{} {title}\n", "#".repeat(level)));
    }

    fn field(&mut self, zh: &str, en: &str, value: &str) {
        if !value.is_empty() {
            let (name, colon) = (self.lang.pick(zh, en), self.lang.pick("：", ": "));
            self.line(format!("- {name}{colon}{value}"));
        }
    }

    fn list(&mut self, zh: &str, en: &str, items: &[String]) {
        if !items.is_empty() {
            self.heading(3, zh, en);
            for item in items {
                self.line(format!("- {item}"));
            }
        }
    }

    fn overview(&mut self, report: &Report) {
        self.line(format!("# {}", report.headline));
        let overview = &report.overview;
        self.heading(2, "告警概览", "Alert");
        self.field("告警名称", "Alert name", &overview.alertname);
        self.field("严重程度", "Severity", &overview.severity);
        self.field("命名空间", "Namespace", &overview.namespace);
        self.field("主要受影响资源", "Affected resource", &named(&overview.resource));
        self.field("告警摘要", "Summary", &overview.summary);
        let others = overview.others.join(self.lang.pick("；", "; "));
        self.field("同组其他告警", "Other alerts of the group", &others);
        for series in &report.series {
            let [least, greatest, latest] = [series.least, series.greatest, series.latest].map(figure);
            let (line, what) = (sparkline(series), &series.expression);
            let said = self.lang.pick(
                format!("{line} `{what}` 最低 {least}，最高 {greatest}，最新 {latest}"),
                format!("{line} `{what}` least {least}, greatest {greatest}, latest {latest}"),
            );
            self.field("测量值", "Measured", &said);
        }
    }

    fn diagnosis(&mut self, report: &Report) {
        self.heading(2, "诊断分析", "Diagnosis");
        let verdict = match report.verdict {
            Verdict::Fault => self.lang.pick("存在故障", "something is broken"),
            Verdict::NoFault => self.lang.pick("未发现故障", "nothing is broken"),
            Verdict::Inconclusive => self.lang.pick("证据不足，无法定论", "the evidence does not decide it"),
        };
        self.field("初步分析", "First look", verdict);
        if let Some(differ) = &report.disagreement {
            let said = self.lang.pick(
                format!("模型认为是 {}；规则库认为是 {}（{}）", differ.model, differ.playbook, differ.because),
                format!("the model says {}; the playbook says {} ({})", differ.model, differ.playbook, differ.because),
            );
            self.field("结论不一致", "Two views", &said);
        }
        self.field("影响", "Impact", &report.impact);
        if !report.causes.is_empty() {
            self.heading(3, "根本原因", "Root cause");
            for (number, cause) in report.causes.iter().enumerate() {
                self.cause(number + 1, cause);
            }
        }
        let primary = self.lang.pick("主要资源", "Main resource");
        self.findings(primary, &report.primary.resource, "", &report.primary.findings);
        for related in &report.related {
            let title = self.lang.pick("关联资源", "Related resource");
            self.findings(title, &related.resource, &related.why, &related.findings);
        }
        let ruled_out: Vec<String> =
            report.ruled_out.iter().map(|one| format!("{} — {}", one.hypothesis, one.because)).collect();
        if let Some(same) = &report.same_cause {
            let led_by = same.led_by.iter().map(|led| &led.title);
            let label = same.label(self.lang);
            self.list(label, label, &led_by.chain(&same.followers).cloned().collect::<Vec<_>>());
        }
        self.list("已排除", "Ruled out", &ruled_out);
        self.list("有待人工确认", "A person must answer", &report.unresolved);
        self.list("未能检查", "Not checked", &report.data_gaps);
    }

    fn cause(&mut self, number: usize, cause: &Cause) {
        let confidence = match cause.confidence {
            Confidence::High => self.lang.pick("置信度高", "high confidence"),
            Confidence::Medium => self.lang.pick("置信度中", "medium confidence"),
            Confidence::Low => self.lang.pick("推测", "hypothesis"),
        };
        let (open, close) = self.lang.pick(("（", "）："), (" (", "): "));
        self.line(format!("{number}. **{}**{open}{confidence}{close}{}", named(&cause.resource), cause.summary));
        for citation in &cause.evidence {
            self.line(format!("   - {}: `{}`", citation.reference, citation.quote.replace('`', "'")));
        }
    }

    fn findings(&mut self, title: &str, resource: &ObjectRef, why: &str, findings: &[String]) {
        if resource.name.is_empty() || findings.is_empty() {
            return;
        }
        let (open, close) = self.lang.pick(("（", "）"), (" (", ")"));
        let why = if why.is_empty() { String::new() } else { format!("{open}{why}{close}") };
        self.line(format!("\n### {title} {}{why}\n", named(resource)));
        for finding in findings {
            self.line(format!("- {finding}"));
        }
    }

    fn steps(&mut self, report: &Report) {
        if report.steps.is_empty() {
            return;
        }
        self.heading(2, "处理建议", "Next steps");
        for (number, step) in report.steps.iter().enumerate() {
            let mark = match step.effect {
                Effect::Reads => "",
                Effect::Changes => {
                    self.lang.pick(" [会改动集群，需人工确认]", " [changes the cluster: a person decides]")
                }
            };
            self.line(format!("{}. **{}**{mark}", number + 1, step.title));
            if !step.detail.is_empty() {
                self.line(format!("   {}", step.detail));
            }
            if let Some(command) = &step.command {
                self.line(format!("\n   ```sh\n   {command}\n   ```"));
            }
            // What must not be copied is told as words, without the form commands have.
            if let Some(words) = &step.blocked {
                let words = words.replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ");
                self.line(self.lang.pick(
                    format!("   已拦截的建议，请勿直接执行：{words}"),
                    format!("   Blocked suggestion, not to be run as it is: {words}"),
                ));
            }
        }
    }

    fn evidence(&mut self, report: &Report, zone: &str) {
        self.heading(2, "证据", "Evidence");
        for entry in &report.evidence {
            let at = times::moment(entry.taken_at, zone).map(|at| format!(" · {at}")).unwrap_or_default();
            let EvidenceEntry { reference, tool, arguments, bytes, .. } = entry;
            self.line(format!("- {reference} `{tool} {arguments}` ({bytes} B{at})"));
        }
        let usage = &report.usage;
        let who = match (usage.source, &usage.model) {
            (AnsweredBy::Model, Some(model)) => model.clone(),
            _ => self.lang.pick("规则库 (playbook)", "playbook").to_owned(),
        };
        let passed = |one: &PassedOver| {
            self.lang.pick(format!(" · {}：{}", one.model, one.why), format!(" · {}: {}", one.model, one.why))
        };
        let passed: String = usage.passed_over.iter().map(passed).collect();
        let money = usage.money().map(|money| format!(" · {money}")).unwrap_or_default();
        let tokens = usage.prompt_tokens + usage.completion_tokens;
        let (seconds, turns, calls) = (usage.seconds, usage.turns, usage.tool_calls);
        let spent = self.lang.pick(
            format!("{seconds:.1} 秒 · 模型 {turns} 轮 · 工具调用 {calls} 次 · {tokens} tokens"),
            format!("{seconds:.1} s · {turns} turns · {calls} tool calls · {tokens} tokens"),
        );
        self.line(format!("\n---\n{who}{passed} · {spent}{money} · {}", usage.stopped_by));
    }
}

fn named(object: &ObjectRef) -> String {
    if object.name.is_empty() { String::new() } else { object.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Step;

    #[test]
    fn a_blocked_command_is_told_as_words_and_not_as_one_to_copy() {
        let step =
            Step { title: "Clean up".into(), blocked: Some("kubectl delete `ns` shop".into()), ..Step::default() };
        let told = report(&Report { steps: vec![step], ..Report::default() }, Lang::En, "UTC");
        assert!(told.contains("Blocked suggestion, not to be run as it is: kubectl delete ns shop"), "{told}");
        assert!(!told.contains("```sh"), "{told}");
    }
}
