//! From a notice to its story: what is said, in which order, for each kind of notice.

use jiff::Timestamp;

use super::{Badge, Block, Caps, Link, Section, Span, Story, Tone, links, prose, words};
use crate::alert::{Alert, Lang, ObjectRef};
use crate::notify::live::Step;
use crate::notify::notice::{Notice, NoticeBody, Undelivered};
use crate::notify::{send, text};
use crate::report::{AnsweredBy, Overview, Report, Usage, Verdict};

/// The most models a footer says were passed over; the API tells all.
const PASSED_OVER: usize = 3;

/// Tells a notice. `now` is when it is sent: durations are counted up to it.
#[must_use]
pub fn tell(notice: &Notice, now: Timestamp, caps: Caps) -> Story {
    told(Teller { notice, now, caps, lang: notice.lang, in_place: None })
}

/// The same for a message that is changed as things go on; `step` is what the investigation does now, when it is known.
#[must_use]
pub fn tell_in_place(notice: &Notice, now: Timestamp, caps: Caps, step: Option<&Step>) -> Story {
    told(Teller { notice, now, caps, lang: notice.lang, in_place: Some(step) })
}

/// The end of an incident in one line; none for a notice of anything else.
#[must_use]
pub fn ending(notice: &Notice, now: Timestamp, caps: Caps) -> Option<String> {
    let NoticeBody::Resolved { resolved_at } = notice.body else { return None };
    Some(Teller { notice, now, caps, lang: notice.lang, in_place: None }.ending(resolved_at))
}

fn told(teller: Teller<'_>) -> Story {
    let (mut lead, folds) = teller.sections();
    if let Some(first) = lead.first_mut() {
        first.blocks.splice(0..0, teller.rerouted());
    }
    Story {
        lang: teller.lang,
        tone: teller.tone(),
        badges: teller.badges(),
        title: teller.title(),
        subtitle: teller.subtitle(),
        summary: teller.summary(),
        lead,
        folds: folds.into_iter().filter(|fold| !fold.blocks.is_empty()).collect(),
        links: links::all(teller.notice),
        footer: teller.footer(),
        shortened: None,
    }
}

/// What every part of a story is told from.
pub(super) struct Teller<'a> {
    pub(super) notice: &'a Notice,
    pub(super) now: Timestamp,
    pub(super) caps: Caps,
    pub(super) lang: Lang,
    /// For a message that changes in place: what the investigation does now, when it is known.
    pub(super) in_place: Option<Option<&'a Step>>,
}

impl Teller<'_> {
    fn sections(&self) -> (Vec<Section>, Vec<Section>) {
        match &self.notice.body {
            NoticeBody::Resolved { resolved_at } => {
                (vec![self.resolved(*resolved_at)], vec![self.members(self.led_label(), &self.notice.meanwhile.led)])
            }
            NoticeBody::Test => (vec![self.rehearsal()], Vec::new()),
            NoticeBody::Digest { digest } => self.digest_sections(digest),
            NoticeBody::Summary { told, .. } => self.summary_sections(told),
            NoticeBody::Diagnosis { report } => self.with_report(report, &[], false),
            NoticeBody::Alert { report: Some(report), investigating, missing } => {
                self.with_report(report, missing, *investigating)
            }
            NoticeBody::Alert { report: None, investigating, missing } => {
                // With no diagnosis to read, the labels are what there is: nobody should have to click for them.
                let lead = [self.overview(), self.first_look(missing, *investigating), self.facts()];
                (lead.into_iter().filter(|part| !part.blocks.is_empty()).collect(), vec![self.others()])
            }
        }
    }

    fn with_report(&self, report: &Report, missing: &[String], investigating: bool) -> (Vec<Section>, Vec<Section>) {
        let mut lead = vec![self.overview(), self.diagnosis(report, investigating)];
        lead.extend(self.first_step(report));
        let folds = vec![
            self.more_steps(report),
            self.evidence(report),
            self.primary(report),
            self.related(report),
            self.more_causes(report),
            self.followers(report),
            self.ruled_out(report),
            self.unknown(report, missing),
            self.facts(),
            self.others(),
        ];
        (lead, folds)
    }

    /// That it was meant for another channel, and why it is not there.
    fn rerouted(&self) -> Vec<Block> {
        let several = self.notice.is_collective();
        let line = |lost: &Undelivered| {
            let meant = match several {
                true => self.lang.pick("其中有消息本应发到渠道", "Some of these were meant for channel"),
                false => self.lang.pick("本应发到渠道", "Meant for channel"),
            };
            let badge = Badge { text: self.lang.pick("转投", "rerouted").to_owned(), tone: Tone::Orange };
            let mut spans = vec![
                Span::Badge(badge),
                Span::Text(format!("{meant} ")),
                Span::Code(text::said(&lost.channel, 40)),
                Span::Text(self.lang.pick("，未能送达：", ", which did not take it: ").to_owned()),
            ];
            spans.extend(self.prose(&send::told(self.lang, &lost.why)));
            Block::Line(spans)
        };
        self.notice.undelivered.iter().map(line).collect()
    }

    fn tone(&self) -> Tone {
        match &self.notice.body {
            NoticeBody::Resolved { .. } => Tone::Green,
            NoticeBody::Test => Tone::Blue,
            NoticeBody::Digest { digest } => Self::digest_tone(digest),
            NoticeBody::Summary { told, .. } => Self::summary_tone(told),
            _ if self.verdict() == Some(Verdict::NoFault) => Tone::Turquoise,
            _ => words::severity_tone(self.severity()),
        }
    }

    fn badges(&self) -> Vec<Badge> {
        let (kind, tone) = self.kind();
        let mut badges = vec![Badge { text: kind.to_owned(), tone }];
        if self.notice.is_collective() || matches!(self.notice.body, NoticeBody::Test) {
            return badges;
        }
        badges.push(Badge {
            text: words::severity(self.lang, &text::said(self.severity(), 24)),
            tone: words::severity_tone(self.severity()),
        });
        let verdict = match self.verdict() {
            Some(Verdict::NoFault) => Some((self.lang.pick("未发现故障", "no fault found"), Tone::Turquoise)),
            Some(Verdict::Inconclusive) => Some((self.lang.pick("尚无定论", "inconclusive"), Tone::Grey)),
            Some(Verdict::Fault) | None => None,
        };
        badges.extend(verdict.map(|(text, tone)| Badge { text: text.to_owned(), tone }));
        badges
    }

    fn kind(&self) -> (&'static str, Tone) {
        match &self.notice.body {
            NoticeBody::Alert { .. } => (self.lang.pick("告警", "Alert"), Tone::Grey),
            NoticeBody::Diagnosis { .. } => (self.lang.pick("诊断", "Diagnosis"), Tone::Blue),
            NoticeBody::Resolved { .. } => (self.lang.pick("已恢复", "Resolved"), Tone::Green),
            NoticeBody::Test => (self.lang.pick("测试", "Test"), Tone::Blue),
            NoticeBody::Digest { .. } => (self.lang.pick("每日摘要", "Daily summary"), Tone::Blue),
            NoticeBody::Summary { .. } => (self.lang.pick("告警汇总", "Several alerts"), Tone::Grey),
        }
    }

    pub(super) fn title(&self) -> String {
        if let NoticeBody::Digest { digest } = &self.notice.body {
            return digest.day.clone();
        }
        if let NoticeBody::Summary { told, collected } = &self.notice.body {
            return words::together(self.lang, told.len(), *collected);
        }
        let fallback = self.notice.report().map(|report| report.overview.alertname.as_str()).unwrap_or_default();
        text::said(self.leading().map_or(fallback, Alert::name), 80)
    }

    pub(super) fn subtitle(&self) -> String {
        match self.notice.body {
            NoticeBody::Summary { collected: true, .. } => {
                return self.lang.pick("均非严重告警，合并成一封", "None is critical, so they share a mail").to_owned();
            }
            NoticeBody::Summary { collected: false, .. } => {
                let why = ("告警太多，逐条发送会超过渠道的限速", "More than this channel takes one by one");
                return self.lang.pick(why.0, why.1).to_owned();
            }
            _ => {}
        }
        let object = self.object().map(|object| text::said(&object.to_string(), 120));
        let cluster = self.leading().and_then(|alert| alert.label("cluster"));
        let cluster = cluster.map(|name| format!("{} {}", self.lang.pick("集群", "cluster"), text::said(name, 40)));
        object.into_iter().chain(cluster).collect::<Vec<_>>().join(" · ")
    }

    fn summary(&self) -> String {
        let (kind, _) = self.kind();
        if let NoticeBody::Digest { digest } = &self.notice.body {
            return format!("[{kind}] {} · {}", digest.day, self.digest_line(digest));
        }
        if let NoticeBody::Summary { told, .. } = &self.notice.body {
            return format!("[{kind}] {}", self.summary_line(told));
        }
        // What only tries a channel is grave in no way.
        let severity = match &self.notice.body {
            NoticeBody::Test => String::new(),
            _ => format!(" {}", words::severity(self.lang, &text::said(self.severity(), 24))),
        };
        let object = self.object().map(|object| format!(" · {object}")).unwrap_or_default();
        let headline = match &self.notice.body {
            NoticeBody::Resolved { .. } => None,
            _ => self.notice.report().map(|report| report.headline.as_str()),
        };
        let headline = headline.or_else(|| self.leading().and_then(Alert::summary)).unwrap_or_default();
        let colon = self.lang.pick("：", ": ");
        let said = if headline.is_empty() {
            String::new()
        } else {
            format!("{colon}{}", text::said(headline, 120).replace('`', ""))
        };
        text::said(&format!("[{kind}{severity}] {}{object}{said}", self.title()), 240)
    }

    fn footer(&self) -> Vec<String> {
        if self.notice.is_collective() {
            return vec!["Firstlook".to_owned()];
        }
        if matches!(self.notice.body, NoticeBody::Test) {
            return vec!["Firstlook".to_owned()];
        }
        let mut footer = vec![format!("{} {}", self.lang.pick("事件", "Incident"), self.notice.short_id())];
        if let Some(report) = self.notice.report() {
            footer.extend(self.usage(&report.usage));
        }
        footer
    }

    fn usage(&self, usage: &Usage) -> Vec<String> {
        let model = text::said(usage.model.as_deref().unwrap_or_default(), 60);
        let playbook = self.lang.pick("规则库", "playbook");
        let who = match (usage.source, model.is_empty()) {
            (AnsweredBy::Model, _) => self.lang.pick(format!("模型 {model} 作答"), format!("answered by {model}")),
            (AnsweredBy::Playbook, true) => {
                self.lang.pick(format!("{playbook}作答"), format!("answered by the {playbook}"))
            }
            (AnsweredBy::Playbook, false) if usage.is_outweighed() => self.lang.pick(
                format!("{playbook}作答（证据比模型 {model} 的更直接）"),
                format!("answered by the {playbook} (its evidence is more direct than {model}'s)"),
            ),
            (AnsweredBy::Playbook, false) => self.lang.pick(
                format!("{playbook}作答（模型 {model} 未给出结论）"),
                format!("answered by the {playbook} ({model} gave no conclusion)"),
            ),
        };
        let calls = usage.tool_calls;
        let mut said =
            vec![who, self.lang.pick(format!("用时 {:.1} 秒", usage.seconds), format!("{:.1} s", usage.seconds))];
        said.extend(usage.passed_over.iter().take(PASSED_OVER).map(|passed| {
            let (model, why) = (text::said(&passed.model, 60), text::said(&passed.why, 60));
            self.lang.pick(format!("{model}：{why}"), format!("{model}: {why}"))
        }));
        if calls > 0 {
            said.push(self.lang.pick(format!("{calls} 次工具调用"), words::counted(calls.into(), "tool call")));
        }
        let tokens = usage.prompt_tokens + usage.completion_tokens;
        if tokens > 0 {
            said.push(format!("{} tokens", words::tokens(tokens)));
        }
        said.extend(usage.money().map(|money| text::said(&money, 24)));
        said
    }

    fn verdict(&self) -> Option<Verdict> {
        self.notice.report().map(|report| report.verdict)
    }

    pub(super) fn leading(&self) -> Option<&Alert> {
        self.notice.group.leading()
    }

    pub(super) fn severity(&self) -> &str {
        let of_report = self.known().map(|overview| overview.severity.as_str()).unwrap_or_default();
        self.leading().and_then(|alert| alert.label("severity")).unwrap_or(of_report)
    }

    /// What the report knows of the alert that leads; nothing when another one led when it was written.
    pub(super) fn known(&self) -> Option<&Overview> {
        known(self.notice.report()?, self.leading())
    }

    pub(super) fn object(&self) -> Option<ObjectRef> {
        object_of(self.notice.report(), self.leading())
    }

    pub(super) fn line(&self, said: &str) -> String {
        text::said(said, self.caps.line)
    }

    pub(super) fn prose(&self, said: &str) -> Vec<Span> {
        prose(&self.line(said))
    }

    /// An alert's name in a list, which leads to its incident's page where there is room for addresses.
    pub(super) fn leading_to(&self, name: String, page: Option<&str>) -> Span {
        let unnamed = name.trim().is_empty();
        let name = if unnamed { self.lang.pick("（未命名）", "(unnamed)").to_owned() } else { name };
        match page.filter(|_| self.caps.links).and_then(text::web_link) {
            Some(url) => Span::Link(Link { label: name, url: text::address(&url), primary: true }),
            None => Span::Strong(name),
        }
    }

    pub(super) fn name(&self, object: &ObjectRef) -> String {
        text::said(&object.to_string(), 120)
    }
}

/// The object that an alert, which leads its group, is about: the report knows it best, the labels name it otherwise.
#[must_use]
pub(crate) fn object_of(report: Option<&Report>, leading: Option<&Alert>) -> Option<ObjectRef> {
    let of_report = report.and_then(|report| known(report, leading)).map(|overview| &overview.resource);
    let of_report = of_report.filter(|object| !object.name.is_empty()).cloned();
    of_report.or_else(|| leading.and_then(labelled_object))
}

/// What a report knows of the alert that leads.
pub(crate) fn known<'r>(report: &'r Report, leading: Option<&Alert>) -> Option<&'r Overview> {
    Some(&report.overview).filter(|overview| leading.is_none_or(|alert| overview.is_of(alert)))
}

/// The object an alert's labels name. Workloads come before `pod`, which on kube-state-metrics' alerts can be the exporter's own.
pub(crate) fn labelled_object(alert: &Alert) -> Option<ObjectRef> {
    const KINDS: [(&str, &str, bool); 10] = [
        ("persistentvolumeclaim", "PersistentVolumeClaim", true),
        ("deployment", "Deployment", true),
        ("statefulset", "StatefulSet", true),
        ("daemonset", "DaemonSet", true),
        ("job_name", "Job", true),
        ("cronjob", "CronJob", true),
        ("horizontalpodautoscaler", "HorizontalPodAutoscaler", true),
        ("pod", "Pod", true),
        ("node", "Node", false),
        ("namespace", "Namespace", false),
    ];
    KINDS.iter().find_map(|(label, kind, namespaced)| {
        let name = alert.label(label)?;
        let namespace = if *namespaced { alert.label("namespace").unwrap_or_default() } else { "" };
        Some(ObjectRef::new(*kind, text::said(namespace, 63), text::said(name, 253)))
    })
}
