//! The daily summary's part of a story: readable in a minute.

use super::tell::Teller;
use super::words::counted;
use super::{Block, Role, Section, Span, Tone, words};
use crate::alert::severity_rank;
use crate::notify::notice::{Digest, Feedback, Judged, Line, Tally};
use crate::notify::text;
use crate::times;

impl Teller<'_> {
    pub(super) fn digest_sections(&self, digest: &Digest) -> (Vec<Section>, Vec<Section>) {
        let open = self.lang.pick("尚未恢复", "Still open");
        let mut lead = vec![self.figures(digest)];
        lead.push(self.lines(Role::Diagnosis, open, &digest.open, digest.open_now));
        let noisy = self.lang.pick("最吵的告警", "Noisiest alerts");
        let slow = self.lang.pick("恢复最慢", "Slowest to resolve");
        lead.extend(digest.feedback.as_ref().map(|feedback| self.wrong(feedback)));
        lead.push(self.noisiest(noisy, &digest.noisiest));
        lead.retain(|part| !part.blocks.is_empty());
        (lead, vec![self.lines(Role::Primary, slow, &digest.slowest, digest.slowest.len() as u64)])
    }

    /// Nothing open is good news, and looks like it.
    pub(super) fn digest_tone(digest: &Digest) -> Tone {
        if digest.open_now == 0 { Tone::Green } else { Tone::Blue }
    }

    pub(super) fn digest_line(&self, digest: &Digest) -> String {
        let Digest { opened, resolved, open_now, .. } = digest;
        self.lang.pick(
            format!("新增 {opened} 起事件，恢复 {resolved} 起，{open_now} 起尚未恢复"),
            format!("{} opened, {resolved} resolved, {open_now} still open", counted(*opened, "incident")),
        )
    }

    fn figures(&self, digest: &Digest) -> Section {
        let mut blocks = vec![Block::Line(vec![Span::Strong(self.digest_line(digest))])];
        if digest.opened > 0 {
            blocks.push(Block::Line(vec![Span::Aside(self.by_severity(&digest.severities))]));
            let (found, healthy) = (digest.diagnosed, digest.healthy);
            blocks.push(Block::Line(vec![Span::Text(self.lang.pick(
                format!("其中 {found} 起查明原因，{healthy} 起未发现故障"),
                format!(
                    "{found} of the opened {} a diagnosed fault, {healthy} {} found healthy",
                    if found == 1 { "has" } else { "have" },
                    if healthy == 1 { "was" } else { "were" }
                ),
            ))]));
        }
        blocks.extend(digest.feedback.as_ref().filter(|feedback| feedback.judged > 0).map(|one| self.accuracy(one)));
        if digest.put_aside > 0 {
            blocks.push(self.put_aside(digest.put_aside));
        }
        self.section(Role::Alert, self.lang.pick("概况", "At a glance"), blocks)
    }

    /// How many of each severity, the gravest first; one word however it is spelt.
    fn by_severity(&self, tallies: &[Tally]) -> String {
        let mut by: Vec<(u8, String, u64)> = Vec::new();
        for tally in tallies {
            let name = tally.name.to_lowercase();
            let said = words::severity(self.lang, &text::said(&name, 24));
            match by.iter_mut().find(|(_, known, _)| *known == said) {
                Some((_, _, incidents)) => *incidents += tally.incidents,
                None => by.push((severity_rank(Some(&name)), said, tally.incidents)),
            }
        }
        by.sort_by_key(|(rank, _, _)| *rank);
        by.iter().map(|(_, said, incidents)| format!("{said} {incidents}")).collect::<Vec<_>>().join(" · ")
    }

    /// What nobody got, and the page that marks it.
    fn put_aside(&self, aside: u64) -> Block {
        let said = self.lang.pick(
            format!("有 {aside} 条消息无法送达，已搁置："),
            match aside {
                1 => "1 message could not be delivered and was put aside:".to_owned(),
                _ => format!("{aside} messages could not be delivered and were put aside:"),
            },
        );
        let list = self.lang.pick("事件列表 /incidents", "the list at /incidents").to_owned();
        Block::Line(vec![Span::Strong(said), self.leading_to(list, self.notice.page_url.as_deref())])
    }

    fn lines(&self, role: Role, title: &str, lines: &[Line], all: u64) -> Section {
        let shown = self.caps.items.max(1).min(lines.len());
        let mut blocks: Vec<Block> = lines.iter().take(shown).map(|line| Block::Item(self.incident(line))).collect();
        blocks.extend(self.rest(usize::try_from(all).unwrap_or(usize::MAX), shown));
        self.section(role, &self.lang.pick(format!("{title}（{all}）"), format!("{title} ({all})")), blocks)
    }

    fn incident(&self, line: &Line) -> Vec<Span> {
        let until = line.ended_at.unwrap_or(self.now);
        let lasted = times::duration(self.lang, until.as_second() - line.began_at.as_second());
        let mut spans = vec![self.leading_to(text::said(&line.alertname, 80), line.page.as_deref())];
        if !line.namespace.is_empty() {
            spans.push(Span::Code(text::said(&line.namespace, 63)));
        }
        let severity = words::severity(self.lang, &text::said(&line.severity, 24));
        spans.push(Span::Aside(format!("{severity} · {lasted}")));
        spans.extend(line.headline.iter().flat_map(|said| self.prose(&format!("— {said}"))));
        spans
    }

    /// How many diagnoses were right, as far as people said.
    fn accuracy(&self, feedback: &Feedback) -> Block {
        let Feedback { judged, right, .. } = feedback;
        let share = right * 100 / judged.max(&1);
        Block::Line(vec![Span::Text(self.lang.pick(
            format!("诊断准确率 {share}%：收到 {judged} 起评价（👍/👎），{right} 起诊断正确"),
            format!("{share}% of judged diagnoses were right: {right} of {judged} (👍/👎)"),
        ))])
    }

    /// The diagnoses that people say were wrong, with what they say.
    fn wrong(&self, feedback: &Feedback) -> Section {
        let all = usize::try_from(feedback.judged.saturating_sub(feedback.right)).unwrap_or(usize::MAX);
        let shown = self.caps.items.max(1).min(feedback.wrong.len());
        let mut blocks: Vec<Block> =
            feedback.wrong.iter().take(shown).map(|one| Block::Item(self.judged(one))).collect();
        blocks.extend(self.rest(all, shown));
        let title = self.lang.pick(format!("诊断有误（{all}）"), format!("Diagnoses that were wrong ({all})"));
        self.section(Role::Unknown, &title, blocks)
    }

    fn judged(&self, judged: &Judged) -> Vec<Span> {
        let line = &judged.line;
        let mut spans = vec![self.leading_to(text::said(&line.alertname, 80), line.page.as_deref())];
        if !line.namespace.is_empty() {
            spans.push(Span::Code(text::said(&line.namespace, 63)));
        }
        let (person, reason) = (text::said(&judged.person, 40), self.line(&judged.reason));
        spans.push(Span::Aside(match reason.is_empty() {
            true => format!("👎 {person}"),
            false => self.lang.pick(format!("👎 {person}：{reason}"), format!("👎 {person}: {reason}")),
        }));
        let said = self.lang.pick("— 当时的诊断：", "— the diagnosis was: ");
        spans.extend(line.headline.iter().flat_map(|headline| self.prose(&format!("{said}{headline}"))));
        spans
    }

    fn noisiest(&self, title: &str, tallies: &[Tally]) -> Section {
        let item = |tally: &Tally| {
            let (incidents, deliveries) = (tally.incidents, tally.deliveries);
            let said = self.lang.pick(
                format!("{incidents} 起事件，{deliveries} 次通知"),
                format!("{}, {}", counted(incidents, "incident"), counted(deliveries, "notification")),
            );
            Block::Item(vec![Span::Strong(text::said(&tally.name, 80)), Span::Aside(said)])
        };
        let blocks = tallies.iter().take(self.caps.items.min(5)).map(item).collect();
        self.section(Role::MoreSteps, title, blocks)
    }
}

#[cfg(test)]
mod tests {
    use crate::notify::fixtures::{notice, now};
    use crate::notify::notice::{NoticeBody, Tally};
    use crate::notify::plain;
    use crate::notify::story::{Caps, tell};

    #[test]
    fn severities_are_told_from_the_gravest_on_however_they_are_spelt() {
        let mut notice = notice("digest.en");
        let NoticeBody::Digest { digest } = &mut notice.body else { unreachable!("the fixture is a digest") };
        let tally = |(name, incidents): (&str, u64)| Tally { name: name.to_owned(), incidents, deliveries: 1 };
        let counted = [("warning", 11), ("Critical", 3), ("", 2), ("critical", 1), ("info", 1)];
        digest.severities = counted.map(tally).to_vec();
        let said = plain::text(&tell(&notice, now(), Caps::whole()), 9_000);
        assert!(said.contains("\ncritical 4 · warning 11 · unrated 2 · info 1\n"), "{said}");
    }
}
