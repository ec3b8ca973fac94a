//! The alert's part of a story: overview, first look, resolution, labels, and the other alerts of the group.

use jiff::Timestamp;

use super::tell::{Teller, labelled_object};
use super::{Badge, Block, Caps, Moment, Role, Section, Span, Tone, prose, words};
use crate::alert::{Alert, AlertStatus, Labels, Lang};
use crate::notify::live::Step;
use crate::notify::notice::LastTime;
use crate::notify::{summary, text};
use crate::series::{figure, sparkline};
use crate::times;

/// Kinds of alerts named beside the one in the title.
const OTHER_NAMES: usize = 8;

impl Teller<'_> {
    /// 告警概览: what the alert says of itself, since when, how many.
    pub(super) fn overview(&self) -> Section {
        let mut blocks = Vec::new();
        let of_report = self.known().map(|overview| overview.summary.as_str()).unwrap_or_default();
        let summary = self.leading().and_then(Alert::summary).unwrap_or(of_report);
        if !summary.trim().is_empty() {
            blocks.push(Block::Line(self.prose(summary)));
        }
        blocks.push(Block::Line(self.since_when()));
        blocks.extend(self.owners());
        blocks.extend(self.measured());
        blocks.extend(self.notice.last_time.as_ref().map(|last| self.again(last)));
        blocks.extend(self.meanwhile());
        self.section(Role::Alert, self.lang.pick("告警概览", "Alert"), blocks)
    }

    /// The course of what the alert measures, in a line: blocks, the firing marked, and the figures.
    fn measured(&self) -> Option<Block> {
        let series = self.notice.report()?.series.first()?;
        let [least, greatest, latest] = [series.least, series.greatest, series.latest].map(figure);
        let limit = series.threshold.as_deref().map(|limit| text::said(limit, 24));
        let limit = limit.map(|limit| self.lang.pick(format!("，阈值 {limit}"), format!(", fires {limit}")));
        let limit = limit.unwrap_or_default();
        let said = self.lang.pick(
            format!("最低 {least}，最高 {greatest}，最新 {latest}{limit}"),
            format!("least {least}, greatest {greatest}, latest {latest}{limit}"),
        );
        Some(Block::Line(vec![Span::Code(sparkline(series)), Span::Aside(said)]))
    }

    /// Who is on it.
    fn owners(&self) -> Option<Block> {
        let owners = words::owners(self.lang, &self.notice.group)?;
        let said = self.lang.pick(format!("负责人 {owners}"), format!("Owner {owners}"));
        Some(Block::Line(vec![Span::Text(said)]))
    }

    /// That it fired before, how long ago that ended, and what was found then.
    fn again(&self, last: &LastTime) -> Block {
        let quiet = self.notice.opened_at.as_second() - last.resolved_at.as_second();
        let quiet = times::duration(self.lang, quiet);
        let mut spans = vec![Span::Text(
            self.lang.pick(format!("距上次恢复 {quiet}，再次触发。"), format!("Again {quiet} after it had resolved. ")),
        )];
        if last.holds {
            let held = self
                .lang
                .pick("沿用上次的诊断，未重新调查。", "The last diagnosis still holds; not investigated again.");
            spans.push(Span::Text(held.to_owned()));
        } else if let Some(headline) = &last.headline {
            spans.push(Span::Text(self.lang.pick("上次：", "Last time: ").to_owned()));
            spans.extend(self.prose(headline));
        }
        Block::Line(spans)
    }

    /// The whole of a test message: nothing began, nothing lasts.
    pub(super) fn rehearsal(&self) -> Section {
        let summary = self.leading().and_then(Alert::summary).unwrap_or_default();
        let title = self.lang.pick("渠道测试", "Channel test");
        // Our own words, and all of them: half a sentence would leave open whether it is an alert.
        self.section(Role::Alert, title, vec![Block::Line(prose(&text::said(summary, Caps::whole().line)))])
    }

    /// The diagnosis section of a first message that has no diagnosis yet: what goes on, and what is missing.
    pub(super) fn first_look(&self, missing: &[String], investigating: bool) -> Section {
        if self.notice.joins() {
            return self.joined();
        }
        let mut blocks = Vec::new();
        if investigating {
            blocks.push(self.investigating());
        } else {
            let words = self
                .lang
                .pick("本次没有自动诊断，请人工排查。", "No automatic diagnosis this time; please look into it.");
            blocks.push(Block::Line(vec![Span::Text(words.to_owned())]));
        }
        blocks.extend(missing.iter().take(self.caps.items).map(|gap| Block::Item(self.prose(gap))));
        self.section(Role::Diagnosis, self.lang.pick("诊断分析", "Diagnosis"), blocks)
    }

    /// To which incident alerts belong that came later: its diagnosis, when there is one, is theirs.
    fn joined(&self) -> Section {
        let id = self.notice.short_id();
        let (zh, en) = match self.in_place {
            None => ("，诊断见此前的消息。", ", which was told before: what was found is in that message."),
            Some(_) => ("，诊断见本话题的卡片。", ", whose card stands above this thread and shows what was found."),
        };
        let said = self.lang.pick(format!("并入事件 {id}{zh}"), format!("Part of incident {id}{en}"));
        let title = self.lang.pick("所属事件", "Joins an incident");
        self.section(Role::Diagnosis, title, vec![Block::Line(vec![Span::Text(said)])])
    }

    /// Says that the model is still at work, so that people know a second message may come.
    pub(super) fn investigating(&self) -> Block {
        let words = match self.in_place {
            None => self
                .lang
                .pick("结论更明确时会再发一条消息。", "A second message follows when it finds more.")
                .to_owned(),
            Some(None) => self.lang.pick("结论会更新在这张卡片上。", "This card will show what it finds.").to_owned(),
            Some(Some(step)) => self.how_far(step),
        };
        let badge = Badge { text: self.lang.pick("调查中…", "investigating…").to_owned(), tone: Tone::Blue };
        Block::Line(vec![Span::Badge(badge), Span::Aside(words)])
    }

    /// How far an investigation is, and for how long it has been going on.
    fn how_far(&self, step: &Step) -> String {
        let elapsed = times::duration(self.lang, self.now.as_second() - step.since.as_second());
        let (read, tool) = (step.read, text::said(&step.tool, 60));
        self.lang.pick(
            format!("已读取 {read} 项，最近一项 {tool} · 已用 {elapsed}"),
            format!("{} read, the last from {tool} · {elapsed} so far", words::counted(read as u64, "result")),
        )
    }

    /// When it ended, and how long it lasted.
    fn end(&self, resolved_at: Timestamp) -> (Timestamp, String) {
        // A sender may leave the end at zero, or put it before the start: then it ended when we were told.
        let ended = if resolved_at < self.started() { self.now } else { resolved_at };
        (ended, times::duration(self.lang, ended.as_second() - self.started().as_second()))
    }

    /// The end in one line, where the rest can be seen already: how long, what, and what else was investigated with it.
    pub(super) fn ending(&self, resolved_at: Timestamp) -> String {
        let (_, lasted) = self.end(resolved_at);
        let about = [self.title(), self.subtitle()];
        let about = about.into_iter().filter(|said| !said.is_empty()).collect::<Vec<_>>().join(" · ");
        let about = format!("{about}{}", self.other_names());
        let said =
            self.lang.pick(format!("已恢复，共持续 {lasted}：{about}"), format!("Resolved after {lasted}: {about}"));
        match self.led_names(&self.notice.meanwhile.led) {
            Some((label, names)) => {
                self.lang.pick(format!("{said}（{label}：{names}）"), format!("{said} ({label}: {names})"))
            }
            None => said,
        }
    }

    /// The whole of a message that an incident is over.
    pub(super) fn resolved(&self, resolved_at: Timestamp) -> Section {
        let (ended, lasted) = self.end(resolved_at);
        let alerts = self.notice.group.alerts.len();
        let (gone_zh, gone) = match alerts {
            0 | 1 => ("告警已恢复", "The alert is gone"),
            _ => ("告警均已恢复", "The alerts are gone"),
        };
        let said = self.lang.pick(format!("{gone_zh}，共持续 {lasted}。"), format!("{gone} after {lasted}."));
        let mut blocks = vec![Block::Line(vec![Span::Strong(said)])];
        if let Some(summary) = self.leading().and_then(Alert::summary) {
            blocks.push(Block::Line(self.prose(summary)));
        }
        let names = self.other_names();
        let all = self.lang.pick(format!(" · 共 {alerts} 条告警{names}"), format!("· {alerts} alerts{names}"));
        let all = if alerts > 1 { all } else { String::new() };
        let (start, end) = (self.moment(self.started()), self.moment(ended));
        let aside = |said: &str| Span::Aside(said.to_owned());
        let mut line = match self.lang {
            Lang::Zh => vec![start, aside("开始 ·"), end, Span::Aside(format!("恢复{all}"))],
            Lang::En => {
                let end = [aside("from"), start, aside("· to"), end].into_iter();
                end.chain((alerts > 1).then_some(Span::Aside(all))).collect()
            }
        };
        line.extend(self.oldest("from"));
        blocks.push(Block::Line(line));
        blocks.extend(self.owners());
        blocks.extend(self.meanwhile());
        blocks.extend(self.led(&self.notice.meanwhile.led));
        self.section(Role::Alert, self.lang.pick("告警概览", "Alert"), blocks)
    }

    /// What was held back or merged before this message, in a line.
    fn meanwhile(&self) -> Option<Block> {
        let (lang, seen) = (self.lang, &self.notice.meanwhile);
        let span = |seconds: u64| times::duration(lang, i64::try_from(seconds).unwrap_or(i64::MAX));
        let mut said = Vec::new();
        if seen.repeats > 0 {
            let times = seen.repeats;
            let one = if times == 1 { "1 repeat merged".to_owned() } else { format!("{times} repeats merged") };
            said.push(lang.pick(format!("合并重复通知 {times} 次"), one));
        }
        said.extend(seen.debounced_s.map(span).map(|wait| {
            lang.pick(format!("研判推迟 {wait}（等待自愈）"), format!("investigation put off {wait} (debounce)"))
        }));
        said.extend(
            seen.quiet_s
                .map(span)
                .map(|wait| lang.pick(format!("静默时段暂缓 {wait}"), format!("held back {wait} by quiet hours"))),
        );
        if seen.untold > 0 {
            let (times, s) = (seen.untold, if seen.untold == 1 { " was" } else { "s were" });
            said.push(
                lang.pick(format!("此前 {times} 次触发未单独通知"), format!("{times} earlier firing{s} not told")),
            );
        }
        let said = said.join(" · ");
        (!said.is_empty())
            .then(|| Block::Line(vec![Span::Aside(lang.pick(format!("期间：{said}"), format!("Meanwhile: {said}")))]))
    }

    /// Labels and annotations of the leading alert, without the summary that is told already.
    pub(super) fn facts(&self) -> Section {
        let mut blocks = Vec::new();
        if let Some(alert) = self.leading() {
            let annotations: Labels =
                alert.annotations.clone().into_iter().filter(|(key, _)| key != "summary").collect();
            let total = alert.labels.len() + annotations.len();
            blocks.extend(self.pairs(&alert.labels).chain(self.pairs(&annotations)).take(self.caps.facts));
            blocks.extend(self.rest(total, self.caps.facts));
        }
        self.section(Role::Facts, self.lang.pick("告警标签与注解", "Labels and annotations"), blocks)
    }

    /// The other alerts of the group.
    pub(super) fn others(&self) -> Section {
        let group = &self.notice.group;
        let leading = self.leading();
        let others = || group.alerts.iter().filter(|alert| !leading.is_some_and(|lead| std::ptr::eq(lead, *alert)));
        let sent_out = usize::try_from(group.truncated_alerts).unwrap_or(usize::MAX);
        let total = others().count().saturating_add(sent_out);
        let shown = self.caps.alerts.min(others().count());
        let mut blocks: Vec<Block> = others().take(shown).map(|alert| Block::Item(self.other(alert))).collect();
        blocks.extend(self.rest(total, shown));
        let title = self.lang.pick(format!("同组其他告警（{total}）"), format!("Other alerts of the group ({total})"));
        self.section(Role::Others, &title, blocks)
    }

    fn other(&self, alert: &Alert) -> Vec<Span> {
        let mut spans = vec![Span::Strong(text::said(alert.name(), 80))];
        spans.extend(labelled_object(alert).map(|object| Span::Code(self.name(&object))));
        if alert.status == AlertStatus::Resolved {
            let text = self.lang.pick("已恢复", "resolved").to_owned();
            spans.push(Span::Badge(Badge { text, tone: Tone::Green }));
        }
        spans
    }

    fn since_when(&self) -> Vec<Span> {
        let lasted = times::duration(self.lang, self.now.as_second() - self.started().as_second());
        let mut said = vec![self.lang.pick(format!("已持续 {lasted}"), format!("for {lasted}"))];
        let firing = self.notice.group.firing().count();
        if firing > 1 || self.notice.group.truncated_alerts > 0 {
            let all = firing as u64 + self.notice.group.truncated_alerts;
            let others = self.other_names();
            said.push(self.lang.pick(format!("{all} 条告警触发中{others}"), format!("{all} alerts firing{others}")));
        }
        let (at, said) = (self.moment(self.started()), said.join(" · "));
        let mut line = match self.lang {
            Lang::Zh => vec![at, Span::Aside(format!("开始 · {said}"))],
            Lang::En => vec![Span::Aside("since".to_owned()), at, Span::Aside(format!("· {said}"))],
        };
        line.extend(self.oldest("since"));
        line
    }

    /// Since when its oldest alert is there, where that is not the one in the title.
    fn oldest(&self, since: &str) -> Vec<Span> {
        let Some(at) = self.notice.group.oldest(self.notice.opened_at, self.now) else { return Vec::new() };
        let said = self.lang.pick("· 最早的一条始于".to_owned(), format!("· oldest of the group {since}"));
        vec![Span::Aside(said), self.moment(at)]
    }

    /// Names of the alerts told of beside the one in the title: a chat that shows no list of them must still say what fires,
    /// or fired.
    fn other_names(&self) -> String {
        let names: Vec<&str> = summary::names(self.notice).into_iter().skip(1).collect();
        let Some(more) = names.len().checked_sub(1) else { return String::new() };
        let shown: Vec<String> = names.iter().take(OTHER_NAMES).map(|name| text::said(name, 60)).collect();
        let shown = shown.join(self.lang.pick("、", ", "));
        match (more + 1).checked_sub(OTHER_NAMES).filter(|left| *left > 0) {
            Some(left) => self.lang.pick(
                format!("（另有 {shown} 等 {} 种）", left + OTHER_NAMES),
                format!(" (also {shown} and {left} more kinds)"),
            ),
            None => self.lang.pick(format!("（另有 {shown}）"), format!(" (also {shown})")),
        }
    }

    /// When the alert in the title began.
    fn started(&self) -> Timestamp {
        self.notice.group.began(self.notice.opened_at, self.now)
    }

    fn moment(&self, at: Timestamp) -> Span {
        let said = times::moment(at, &self.notice.timezone).unwrap_or_default();
        Span::Moment(Moment { at: at.as_millisecond(), said })
    }

    fn pairs<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = Block> + 'a {
        labels.iter().map(|(key, value)| {
            Block::Item(vec![Span::Strong(text::said(key, 60)), Span::Code(text::line(value, self.caps.line))])
        })
    }

    /// Says how many of a list were left out.
    pub(super) fn rest(&self, total: usize, shown: usize) -> Option<Block> {
        let left = total.saturating_sub(shown);
        (left > 0).then(|| Block::Line(vec![Span::Aside(words::more(self.lang, left))]))
    }

    pub(super) fn section(&self, role: Role, title: &str, blocks: Vec<Block>) -> Section {
        Section { role, title: title.to_owned(), blocks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures;
    use crate::notify::notice::{Meanwhile, Notice, NoticeBody};
    use crate::notify::send::Form;
    use crate::notify::story::{Story, tell};

    fn told(fixture: &str, headline: Option<&str>, holds: bool) -> String {
        let mut notice = fixtures::notice(fixture);
        let resolved_at = notice.opened_at - jiff::SignedDuration::from_mins(12);
        notice.last_time = Some(LastTime { resolved_at, headline: headline.map(str::to_owned), holds });
        let Story { lead, .. } = tell(&notice, fixtures::now(), Caps::whole());
        serde_json::to_string(&lead[0]).unwrap()
    }

    /// A warning of three days and a critical alert of half a minute.
    fn mixed(lang: &str) -> Notice {
        let mut notice = fixtures::notice(&format!("alert-waiting.{lang}"));
        let began = fixtures::now() - jiff::SignedDuration::from_secs(30);
        let (first, graver) = notice.group.alerts.split_at_mut(1);
        first[0].labels.insert("alertname".into(), "CertExpiresSoon".into());
        first[0].starts_at = fixtures::now() - jiff::SignedDuration::from_hours(72);
        graver[0].labels.insert("alertname".into(), "DatabaseDown".into());
        graver[0].labels.insert("severity".into(), "critical".into());
        graver[0].starts_at = began;
        notice
    }

    fn over(mut notice: Notice) -> Notice {
        let resolved_at = fixtures::now();
        for alert in &mut notice.group.alerts {
            (alert.status, alert.ends_at) = (AlertStatus::Resolved, Some(resolved_at));
        }
        notice.body = NoticeBody::Resolved { resolved_at };
        notice
    }

    fn in_words(notice: &Notice) -> String {
        crate::notify::plain::text(&tell(notice, fixtures::now(), Caps::whole()), 9_000)
    }

    #[test]
    fn a_mixed_group_is_told_as_its_gravest_alert_first_and_last_with_that_ones_own_age() {
        let first = in_words(&mixed("en"));
        let told = "for 30 s · 2 alerts firing (also CertExpiresSoon) · oldest of the group since 2026-11-20 11:40:00";
        assert!(first.contains(told) && first.contains("critical"), "{first}");
        let end = in_words(&over(mixed("en")));
        assert!(end.starts_with("[Resolved · critical] DatabaseDown"), "{end}");
        assert!(end.contains("The alerts are gone after 30 s."), "{end}");
        let told = "· 2 alerts (also CertExpiresSoon) · oldest of the group from 2026-11-20 11:40:00";
        assert!(end.contains(told), "{end}");
    }

    #[test]
    fn a_mixed_group_reads_the_same_in_chinese() {
        let first = in_words(&mixed("zh"));
        let told = "已持续 30 秒 · 2 条告警触发中（另有 CertExpiresSoon） · 最早的一条始于 2026-11-20 11:40:00";
        assert!(first.contains(told), "{first}");
        let end = in_words(&over(mixed("zh")));
        let told = "共 2 条告警（另有 CertExpiresSoon） · 最早的一条始于 2026-11-20 11:40:00";
        assert!(end.contains("共持续 30 秒") && end.contains(told) && end.contains("DatabaseDown"), "{end}");
        let line = crate::notify::story::ending(&over(mixed("zh")), fixtures::now(), Caps::whole()).unwrap();
        assert!(
            line.starts_with("已恢复，共持续 30 秒：DatabaseDown · ") && line.ends_with("（另有 CertExpiresSoon）"),
            "{line}"
        );
    }

    #[test]
    fn what_a_report_knows_of_another_alert_is_not_said_of_the_one_that_leads() {
        let mut notice = fixtures::notice("diagnosis-pvc.en");
        let pod = "Pod aiops/test-deployment-d49fc6fff-v8f86";
        assert!(tell(&notice, fixtures::now(), Caps::whole()).subtitle.starts_with(pod));
        let graver = &mut notice.group.alerts[1].labels;
        graver.retain(|name, _| name == "alertname");
        graver.extend([("severity".into(), "critical".into()), ("node".into(), "worker-1".into())]);
        let story = tell(&notice, fixtures::now(), Caps::whole());
        assert_eq!(
            (story.title.as_str(), story.subtitle.as_str()),
            ("KubeDeploymentReplicasMismatch", "Node/worker-1")
        );
    }

    #[test]
    fn a_test_message_is_whole_and_ranks_as_nothing_in_every_form() {
        for lang in [Lang::En, Lang::Zh] {
            let test = crate::notify::rehearsal::notice(lang, "UTC");
            for caps in [Caps::page(Form::Full), Caps::note(Form::Plain)] {
                let story = tell(&test, test.opened_at, caps);
                let text = crate::notify::plain::text(&story, 9_000);
                assert!(text.contains(test.group.leading().and_then(Alert::summary).unwrap()), "{text}");
                assert!(story.badges.len() == 1 && !text.contains("public_url"), "{text}");
            }
        }
    }

    #[test]
    fn alerts_that_join_lead_to_their_incident_and_send_nobody_looking() {
        for (lang, said) in [("en", "Part of incident 3f9a12bc"), ("zh", "并入事件 3f9a12bc")] {
            let mut notice = fixtures::notice(&format!("alert-waiting.{lang}"));
            notice.body = NoticeBody::Alert { report: None, investigating: false, missing: Vec::new() };
            let text = crate::notify::plain::text(&tell(&notice, fixtures::now(), Caps::whole()), 9_000);
            assert!(text.contains(said) && !text.contains("请人工排查") && !text.contains("please look"), "{text}");
        }
    }

    #[test]
    fn who_is_on_it_stands_in_the_overview_and_at_the_end_once_each() {
        for (fixture, word) in [("alert-oom.zh", "负责人 alice、bob"), ("resolved.en", "Owner alice, bob")] {
            let mut notice = fixtures::notice(fixture);
            let first = notice.group.alerts[0].clone();
            notice.group.alerts = vec![first.clone(), first.clone(), first];
            notice.group.alerts[0].annotations.insert("owner".into(), "alice".into());
            notice.group.alerts[1].labels.insert("owner".into(), "alice\u{202e}".into());
            notice.group.alerts[2].labels.insert("owner".into(), "bob".into());
            let told = serde_json::to_string(&tell(&notice, fixtures::now(), Caps::whole()).lead[0]).unwrap();
            assert!(told.contains(word), "{told}");
        }
        assert!(!told("alert-oom.en", None, false).contains("Owner"), "nobody is named when nobody is");
    }

    #[test]
    fn what_was_held_back_or_merged_is_said_in_a_line_and_nothing_is_said_of_nothing() {
        let told = |fixture: &str, meanwhile: Meanwhile| {
            let notice = crate::notify::notice::Notice { meanwhile, ..fixtures::notice(fixture) };
            serde_json::to_string(&tell(&notice, fixtures::now(), Caps::whole()).lead[0]).unwrap()
        };
        let all = Meanwhile {
            repeats: 14,
            debounced_s: Some(30),
            quiet_s: Some(8 * 3_600),
            untold: 3,
            ..Meanwhile::default()
        };
        let zh =
            "期间：合并重复通知 14 次 · 研判推迟 30 秒（等待自愈） · 静默时段暂缓 8 小时 · 此前 3 次触发未单独通知";
        assert!(told("resolved.zh", all.clone()).contains(zh), "{}", told("resolved.zh", all));
        let led = Meanwhile { led: vec!["KubePodNotReady · Pod a/b".into(), "Other".into()], ..Meanwhile::default() };
        let said = told("resolved.en", led);
        assert!(
            said.contains("Investigated here as well") && said.contains("KubePodNotReady · Pod a/b; Other"),
            "{said}"
        );
        let few = Meanwhile { repeats: 1, untold: 1, ..Meanwhile::default() };
        let en = "Meanwhile: 1 repeat merged · 1 earlier firing was not told";
        for fixture in ["resolved.en", "alert-bare.en", "diagnosis-pvc.en"] {
            assert!(told(fixture, few.clone()).contains(en), "{}", told(fixture, few));
            assert!(!told(fixture, Meanwhile::default()).contains("Meanwhile"));
        }
    }

    #[test]
    fn an_alert_that_fires_again_says_when_it_was_gone_and_what_it_was_then() {
        let zh = told("alert-waiting.zh", Some("缺少 `DATABASE_URL`"), false);
        assert!(
            zh.contains("距上次恢复 12 分钟，再次触发。") && zh.contains("上次：") && zh.contains("DATABASE_URL"),
            "{zh}"
        );
        let en = told("alert-waiting.en", Some("`DATABASE_URL` is missing"), true);
        assert!(en.contains("Again 12 min after it had resolved.") && en.contains("still holds"), "{en}");
        let bare = told("alert-waiting.en", None, false);
        assert!(bare.contains("Again") && !bare.contains("Last time"), "{bare}");
    }

    #[test]
    fn a_test_message_has_no_severity_that_it_could_announce() {
        for (lang, kind) in [(Lang::En, "[Test] "), (Lang::Zh, "[测试] ")] {
            let notice = crate::notify::rehearsal::notice(lang, "UTC");
            let summary = crate::notify::story::tell(&notice, fixtures::now(), Caps::page(Form::Full)).summary;
            assert!(summary.starts_with(kind), "{summary}");
        }
    }
}
