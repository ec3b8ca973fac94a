//! The daily summary's part of a story: readable in a minute.

use super::tell::Teller;
use super::{Block, Role, Section, Span, Tone, words};
use crate::notify::notice::{Digest, Line, Tally};
use crate::notify::text;
use crate::times;

impl Teller<'_> {
    pub(super) fn digest_sections(&self, digest: &Digest) -> (Vec<Section>, Vec<Section>) {
        let open = self.lang.pick("尚未恢复", "Still open");
        let mut lead = vec![self.figures(digest)];
        lead.push(self.lines(Role::Diagnosis, open, &digest.open, digest.open_now));
        let noisy = self.lang.pick("最吵的告警", "Noisiest alerts");
        let slow = self.lang.pick("恢复最慢", "Slowest to resolve");
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
            format!("{opened} incidents opened, {resolved} resolved, {open_now} still open"),
        )
    }

    fn figures(&self, digest: &Digest) -> Section {
        let mut blocks = vec![Block::Line(vec![Span::Strong(self.digest_line(digest))])];
        if digest.opened > 0 {
            let by = digest.severities.iter().map(|tally| {
                format!("{} {}", words::severity(self.lang, &text::said(&tally.name, 24)), tally.incidents)
            });
            blocks.push(Block::Line(vec![Span::Aside(by.collect::<Vec<_>>().join(" · "))]));
            let (found, healthy) = (digest.diagnosed, digest.healthy);
            blocks.push(Block::Line(vec![Span::Text(self.lang.pick(
                format!("其中 {found} 起查明原因，{healthy} 起未发现故障"),
                format!("{found} of the opened have a diagnosed fault, {healthy} were found healthy"),
            ))]));
        }
        if digest.put_aside > 0 {
            let aside = digest.put_aside;
            blocks.push(Block::Line(vec![Span::Strong(self.lang.pick(
                format!("有 {aside} 条消息无法送达，已搁置：请查看 /api/v1/incidents"),
                match aside {
                    1 => "1 message could not be delivered and was put aside: see /api/v1/incidents".to_owned(),
                    _ => format!("{aside} messages could not be delivered and were put aside: see /api/v1/incidents"),
                },
            ))]));
        }
        self.section(Role::Alert, self.lang.pick("概况", "At a glance"), blocks)
    }

    fn lines(&self, role: Role, title: &str, lines: &[Line], all: u64) -> Section {
        let shown = self.caps.items.max(1).min(lines.len());
        let mut blocks: Vec<Block> = lines.iter().take(shown).map(|line| Block::Item(self.incident(line))).collect();
        blocks.extend(self.rest(usize::try_from(all).unwrap_or(usize::MAX), shown));
        self.section(role, &format!("{title} ({all})"), blocks)
    }

    fn incident(&self, line: &Line) -> Vec<Span> {
        let until = line.resolved_at.unwrap_or(self.now);
        let lasted = times::duration(self.lang, until.as_second() - line.opened_at.as_second());
        let mut spans = vec![Span::Strong(text::said(&line.alertname, 80))];
        if !line.namespace.is_empty() {
            spans.push(Span::Code(text::said(&line.namespace, 63)));
        }
        let severity = words::severity(self.lang, &text::said(&line.severity, 24));
        spans.push(Span::Aside(format!("{severity} · {lasted}")));
        spans.extend(line.headline.iter().flat_map(|said| self.prose(&format!("— {said}"))));
        spans
    }

    fn noisiest(&self, title: &str, tallies: &[Tally]) -> Section {
        let item = |tally: &Tally| {
            let (incidents, deliveries) = (tally.incidents, tally.deliveries);
            let said = self.lang.pick(
                format!("{incidents} 起事件，{deliveries} 次通知"),
                format!("{incidents} incidents, {deliveries} notifications"),
            );
            Block::Item(vec![Span::Strong(text::said(&tally.name, 80)), Span::Aside(said)])
        };
        let blocks = tallies.iter().take(self.caps.items.min(5)).map(item).collect();
        self.section(Role::MoreSteps, title, blocks)
    }
}
