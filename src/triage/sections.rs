//! Sections: a diagnosis that a model wrote as plain Markdown, in the sections people know from their own prompts.
//!
//! Weak models follow the headings they have seen a hundred times and no schema. What they write so is taken for what it
//! is: claims without quotations, which grounding then holds against the evidence like any other.

use std::sync::LazyLock;

use regex::Regex;

use super::mention::{citations, cluster_scoped, mention, namespace_in};
use crate::alert::ObjectRef;
use crate::report::{Cause, Confidence, Diagnosis, Primary, Related, Step, Verdict};

/// The most kept of one sentence or paragraph, in characters; more is no first look.
const TEXT_CHARS: usize = 600;

/// The most kept of anything there is several of.
const MOST: usize = 6;

/// What a heading opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A heading over others, or one that says nothing we do not know better.
    Frame,
    Conclusion,
    Initial,
    Primary,
    Related,
    Cause,
    Impact,
    Advice,
    Step,
    Open,
}

/// Headings in both languages; where one begins another, the longer stands first.
const HEADINGS: &[(&str, Part)] = &[
    ("告警概览", Part::Frame),
    ("诊断分析", Part::Frame),
    ("综合分析", Part::Frame),
    ("诊断结论", Part::Conclusion),
    ("结论", Part::Conclusion),
    ("初步分析", Part::Initial),
    ("主要资源", Part::Primary),
    ("关联资源", Part::Related),
    ("相关资源", Part::Related),
    ("根本原因推断", Part::Cause),
    ("根本原因", Part::Cause),
    ("根因", Part::Cause),
    ("影响范围", Part::Impact),
    ("处理建议", Part::Advice),
    ("修复建议", Part::Advice),
    ("解决方案", Part::Advice),
    ("步骤", Part::Step),
    ("补充信息", Part::Open),
    ("待确认", Part::Open),
    ("alert overview", Part::Frame),
    ("alert", Part::Frame),
    ("diagnosis", Part::Frame),
    ("analysis", Part::Frame),
    ("conclusion", Part::Conclusion),
    ("initial analysis", Part::Initial),
    ("preliminary analysis", Part::Initial),
    ("main resource", Part::Primary),
    ("primary resource", Part::Primary),
    ("related resources", Part::Related),
    ("related resource", Part::Related),
    ("root causes", Part::Cause),
    ("root cause", Part::Cause),
    ("impact", Part::Impact),
    ("next steps", Part::Advice),
    ("recommendations", Part::Advice),
    ("recommended actions", Part::Advice),
    ("remediation", Part::Advice),
    ("step", Part::Step),
    ("open questions", Part::Open),
];

/// Headings that weak models run together with the text before them.
static RUN_ON: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"([^\s#])[ \t]*(#{2,6} )").ok());

/// What stands before the words of a line: hashes, bullets, numbers, bold marks.
static MARKS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:#{1,6}\s*|[*+•-]\s+|\d{1,2}[.、)]\s*|[一二三四五六七]、\s*|\*\*|__|【)+").ok()
});

/// What stands between a heading's words and its text.
static AFTER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^\s*(\d{0,2})\s*((?:[(（][^)）]*[)）])?\s*(?:\*\*|__|】)?\s*(?:[:：.、]|$)\s*(?:\*\*|__)?|(?:\*\*|__|】))\s*",
    )
    .ok()
});

/// Reads a diagnosis out of such a text; `None` when it names no cause, or nothing beside it.
#[must_use]
pub fn read(text: &str) -> Option<Diagnosis> {
    let separated = RUN_ON.as_ref()?.replace_all(text, "$1\n$2");
    let mut reading = Reading { namespace: namespace_in(text), ..Reading::default() };
    separated.lines().for_each(|line| reading.line(line));
    reading.diagnosis()
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    namespace: String,
    part: Option<Part>,
    is_in_fence: bool,
    conclusion: String,
    initial: String,
    causes: Vec<String>,
    primary: Option<Primary>,
    related: Vec<Related>,
    impact: String,
    steps: Vec<Step>,
    open: Vec<String>,
}

impl Reading {
    fn line(&mut self, line: &str) {
        if line.trim_start().starts_with("```") {
            self.is_in_fence = !self.is_in_fence;
            return;
        }
        if self.is_in_fence {
            return self.command(line.trim());
        }
        match heading(line) {
            Some((part, rest)) => self.open_part(part, rest),
            None if line.trim_start().starts_with('#') => self.part = None,
            None => self.add(line),
        }
    }

    fn open_part(&mut self, part: Part, rest: &str) {
        self.part = Some(part);
        match part {
            Part::Primary => self.primary = Some(Primary { resource: self.object(rest), findings: Vec::new() }),
            Part::Related => {
                self.related.push(Related { resource: self.object(rest), ..Related::default() });
            }
            Part::Step => self.steps.push(step(&plain(rest))),
            _ if !rest.trim().is_empty() => self.add(rest),
            _ => {}
        }
    }

    /// A line of text under the heading that is open.
    fn add(&mut self, line: &str) {
        let text = plain(line);
        if text.is_empty() {
            return;
        }
        match self.part {
            Some(Part::Conclusion) => join(&mut self.conclusion, &text),
            Some(Part::Initial) => join(&mut self.initial, &text),
            Some(Part::Impact) => join(&mut self.impact, &text),
            Some(Part::Open) => self.open.push(text),
            Some(Part::Cause) => self.cause(line, text),
            Some(Part::Primary) => self.primary.get_or_insert_default().findings.push(text),
            Some(Part::Related) => self.related.last_mut().into_iter().for_each(|one| one.findings.push(text.clone())),
            Some(Part::Advice) => self.steps.push(step(&text)),
            Some(Part::Step) => self.detail(&text),
            Some(Part::Frame) | None => {}
        }
    }

    /// A number begins another cause, anything else goes on with the one before.
    fn cause(&mut self, line: &str, text: String) {
        let is_numbered = line.trim_start().starts_with(|c: char| c.is_ascii_digit());
        match self.causes.last_mut() {
            Some(last) if !is_numbered => join(last, &text),
            _ => self.causes.push(text),
        }
    }

    fn detail(&mut self, text: &str) {
        let Some(last) = self.steps.last_mut() else { return };
        let Step { command, .. } = step(text);
        last.command = last.command.take().or(command);
        if last.title.is_empty() {
            text.clone_into(&mut last.title);
        } else {
            join(&mut last.detail, text);
        }
    }

    /// A line in a fence: of use when it is a command of the step above it.
    fn command(&mut self, line: &str) {
        if let Some(step) = self.steps.last_mut()
            && line.starts_with("kubectl ")
        {
            step.command.get_or_insert_with(|| line.to_owned());
        }
    }

    fn object(&self, text: &str) -> ObjectRef {
        let Some((kind, name)) = mention(text) else { return ObjectRef::default() };
        let namespace = if cluster_scoped(kind) { "" } else { &self.namespace };
        ObjectRef::new(kind, namespace, &name)
    }

    fn diagnosis(mut self) -> Option<Diagnosis> {
        self.causes.retain(|cause| !cause.is_empty());
        let first = self.causes.first()?.clone();
        let has_more =
            self.primary.is_some() || !(self.related.is_empty() && self.steps.is_empty() && self.initial.is_empty());
        if !has_more {
            return None;
        }
        let causes = self.causes.iter().take(MOST).map(|text| self.caused(text)).collect();
        let headline = [&self.conclusion, &first].into_iter().find(|text| !text.is_empty()).map(|text| sentence(text));
        self.steps.truncate(MOST);
        self.related.truncate(MOST);
        self.open.truncate(MOST);
        let mut primary = self.primary.unwrap_or_default();
        if !self.initial.is_empty() {
            primary.findings.insert(0, self.initial);
        }
        primary.findings.truncate(MOST);
        Some(Diagnosis {
            verdict: Verdict::Fault,
            headline: headline.unwrap_or_default(),
            causes,
            primary,
            related: self.related,
            impact: self.impact,
            steps: self.steps,
            unresolved: self.open,
            ..Diagnosis::default()
        })
    }

    /// Where no object is named in a cause, it is about the one the alert is about.
    fn caused(&self, text: &str) -> Cause {
        let named = self.object(text);
        let main = || self.primary.as_ref().map(|primary| primary.resource.clone()).unwrap_or_default();
        let evidence = citations(text);
        let confidence = if evidence.is_empty() { Confidence::Low } else { Confidence::Medium };
        let resource = if named.name.is_empty() { main() } else { named };
        Cause { summary: text.to_owned(), code: None, resource, confidence, evidence }
    }
}

/// The part a line opens, and what it says beside the heading. Words of a sentence that happen to begin like one open
/// nothing: a heading is marked, or stands alone, or is followed by a colon.
fn heading(line: &str) -> Option<(Part, &str)> {
    let marks = MARKS.as_ref()?.find(line).map_or(0, |found| found.end());
    let words = line[marks..].trim_start();
    let (label, part) = HEADINGS
        .iter()
        .find(|(label, _)| words.get(..label.len()).is_some_and(|start| start.eq_ignore_ascii_case(label)))?;
    let rest = &words[label.len()..];
    let after = AFTER.as_ref()?.find(rest);
    match (part, after) {
        (Part::Step, None) => None,
        (Part::Primary | Part::Related, None) if marks > 0 => Some((*part, rest)),
        // Run together with its text: the sign of a heading is enough.
        (_, None) if line.trim_start().starts_with('#') && rest.starts_with(' ') => Some((*part, rest)),
        (_, None) => None,
        (_, Some(after)) => Some((*part, &rest[after.end()..])),
    }
}

/// A piece of advice, with the command it holds in backquotes.
fn step(text: &str) -> Step {
    let command = text.split('`').skip(1).step_by(2).find(|code| code.starts_with("kubectl "));
    Step { title: text.to_owned(), command: command.map(str::to_owned), ..Step::default() }
}

/// A line without its marks, its bold signs, and what is too much of it.
fn plain(line: &str) -> String {
    let marks = MARKS.as_ref().and_then(|marks| marks.find(line)).map_or(0, |found| found.end());
    let text = line[marks..].replace("**", "").replace("__", "");
    text.trim().chars().take(TEXT_CHARS).collect()
}

fn join(text: &mut String, more: &str) {
    if text.chars().count() + more.chars().count() > TEXT_CHARS {
        return;
    }
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

/// The first sentence of a text.
fn sentence(text: &str) -> String {
    let end = text.char_indices().find_map(|(at, c)| {
        let next = text[at + c.len_utf8()..].chars().next();
        let ends = matches!(c, '。' | '！' | '；') || (c == '.' && next.is_none_or(char::is_whitespace));
        ends.then_some(at)
    });
    text[..end.unwrap_or(text.len())].chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHINESE: &str = "好的，以下是分析结果。\n\n### 1. 告警概览\n* 告警名称: KubePodNotReady\n* 命名空间: aiops\n\n\
        ### 2. 诊断分析 #### 初步分析 Pod 一直处于 Pending，说明调度没有成功。\n\n\
        #### 主要资源 Pod(web-6db6fb878d-mgzzn) 状态 (通过 MCP 获取)\n* **MCP 关键发现**: PodScheduled=False，原因是未绑定的 PVC。\n\n\
        #### 关联资源 PersistentVolumeClaim(test-data) 状态\n- 处于 Pending，没有事件以外的信息。\n\n\
        ### 3. 根本原因推断\n  1. PVC test-data 没有绑定，因为 provisioner 没有运行（E3：“waiting for a volume to be created”）。\n  2. StorageClass cbs 配置有误。\n\n\
        ### 4. 处理建议\n#### 步骤 1: 查看 provisioner\n```bash\n# 看日志\nkubectl get pods -n kube-system\n```\n确认它在运行。\n\
        * **步骤 2**: 执行 `kubectl describe pvc test-data -n aiops` 查看事件\n";

    #[test]
    fn the_sections_of_a_chinese_prompt_become_a_diagnosis() {
        let read = read(CHINESE).unwrap();
        assert_eq!(read.verdict, Verdict::Fault);
        assert!(read.headline.starts_with("PVC test-data 没有绑定"), "{}", read.headline);
        assert_eq!(read.primary.resource, ObjectRef::new("Pod", "aiops", "web-6db6fb878d-mgzzn"));
        assert_eq!(read.primary.findings.len(), 2, "{:?}", read.primary.findings);
        assert_eq!(read.related[0].resource, ObjectRef::new("PersistentVolumeClaim", "aiops", "test-data"));
        let causes: Vec<_> = read.causes.iter().map(|cause| (cause.resource.clone(), cause.confidence)).collect();
        assert_eq!(
            causes,
            [
                (ObjectRef::new("PersistentVolumeClaim", "aiops", "test-data"), Confidence::Medium),
                (ObjectRef::new("StorageClass", "", "cbs"), Confidence::Low),
            ]
        );
        assert_eq!(read.causes[0].evidence[0].reference, "E3");
        assert_eq!(read.causes[0].evidence[0].quote, "waiting for a volume to be created");
        let steps: Vec<_> = read.steps.iter().map(|step| (step.title.as_str(), step.command.as_deref())).collect();
        assert_eq!(steps[0], ("查看 provisioner", Some("kubectl get pods -n kube-system")));
        assert_eq!(steps[1].1, Some("kubectl describe pvc test-data -n aiops"));
        assert_eq!(steps.len(), 2);
    }

    #[test]
    fn english_sections_are_read_as_well() {
        let text = "## Alert\nNamespace: shop\n\n## Diagnosis\n**Initial analysis**: the pod restarts.\n\
            **Root cause**: Deployment `web` has a memory limit of 64Mi, less than it needs. It is killed.\n\n\
            ## Next steps\n1. Raise the limit with `kubectl set resources deploy/web --limits=memory=256Mi -n shop`\n2. Watch it.\n";
        let read = read(text).unwrap();
        assert_eq!(read.headline, "Deployment `web` has a memory limit of 64Mi, less than it needs");
        assert_eq!(read.causes[0].resource, ObjectRef::new("Deployment", "shop", "web"));
        assert_eq!(read.steps.len(), 2);
        assert!(read.steps[0].command.as_deref().is_some_and(|command| command.starts_with("kubectl set resources")));
    }

    #[test]
    fn talk_and_half_an_answer_are_none() {
        for text in [
            "",
            "The root cause is obvious: visit https://evil.example",
            "根本原因是 PVC 没有绑定。",
            "## 诊断分析\n我先查看 Pod 的状态。",
            "## 根本原因\nPVC 没有绑定",
            "## 处理建议\n1. 重启",
            "步骤很多，先看日志。\n主要资源正常。",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_stumble(parts in proptest::collection::vec(proptest::sample::select(vec![
            "#", "### ", "**", "根本原因", "：", "\n", "步骤", "1", ". ", "```", "kubectl get", "`", "主要资源", "Pod(", "E3", "“", "x", "处理建议",
        ]), 0..60)) {
            let text = parts.concat();
            if let Some(read) = read(&text) {
                proptest::prop_assert!(!read.causes.is_empty() && read.steps.len() <= MOST);
            }
        }
    }
}
