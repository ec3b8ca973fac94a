//! The part of a story that stands for many messages: one line for each, so that every name is told.

use super::tell::Teller;
use super::{Block, Role, Section, Span, Tone, words};
use crate::alert::severity_rank;
use crate::notify::notice::{Event, Told};
use crate::notify::text;

/// Bytes of an alert's name and of its object.
const NAME: usize = 60;
/// The same, and of a severity, where there is room for names alone: [`crate::notify::summary::SURE`] lines fit into the
/// smallest message.
const SHORT: (usize, usize) = (48, 12);
/// Bytes of a cluster's name, which stands where there are several.
const CLUSTER: usize = 20;
/// Lines from which on each is kept short.
const MANY: usize = 30;

impl Teller<'_> {
    pub(super) fn summary_sections(&self, told: &[Told]) -> (Vec<Section>, Vec<Section>) {
        // A long list keeps its names; what was found is cut first.
        let several = self.caps.items > 1 && told.iter().any(|one| one.cluster != told[0].cluster);
        let longest = match told.len() > MANY {
            true if several => 30,
            true => 40,
            false => 160,
        };
        let items = told.iter().map(|one| Block::Item(self.told(one, longest, several))).collect();
        (vec![self.section(Role::Alert, &self.summary_line(told), items)], Vec::new())
    }

    /// The gravest that still fires decides; green when nothing does.
    pub(super) fn summary_tone(told: &[Told]) -> Tone {
        let firing = told.iter().filter(|one| one.event != Event::Resolved);
        let gravest = firing.min_by_key(|one| severity_rank(Some(&one.severity)));
        gravest.map_or(Tone::Green, |one| words::severity_tone(&one.severity))
    }

    pub(super) fn summary_line(&self, told: &[Told]) -> String {
        let count = |event: Event| told.iter().filter(|one| one.event == event).count();
        let (firing, found, over) = (count(Event::Firing), count(Event::Diagnosed), count(Event::Resolved));
        let parts = [
            (firing, self.lang.pick(format!("{firing} 条触发"), format!("{firing} firing"))),
            (found, self.lang.pick(format!("{found} 条诊断"), format!("{found} diagnosed"))),
            (over, self.lang.pick(format!("{over} 条恢复"), format!("{over} resolved"))),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, said)| said).collect();
        parts.join(self.lang.pick("，", ", "))
    }

    fn told(&self, one: &Told, longest: usize, several: bool) -> Vec<Span> {
        let (longest_name, longest_severity) = if self.caps.items > 1 { (NAME, NAME) } else { SHORT };
        let severity = text::clip_bytes(&words::severity(self.lang, &text::said(&one.severity, 12)), longest_severity);
        let event = match one.event {
            Event::Firing => severity,
            Event::Diagnosed => format!("{severity} · {}", self.lang.pick("诊断", "diagnosis")),
            Event::Resolved => format!("{severity} · {}", self.lang.pick("已恢复", "resolved")),
        };
        let name = |said: &str| text::clip_bytes(&text::said(said, longest_name), longest_name);
        let mut spans = vec![self.leading_to(name(&one.alertname), one.page.as_deref())];
        if !one.object.is_empty() {
            spans.push(Span::Code(name(&one.object)));
        }
        let more = one.alerts.saturating_sub(1);
        let mut more = if more == 0 { String::new() } else { format!(" · +{more}") };
        if !one.others.is_empty() {
            let others: Vec<String> = one.others.iter().map(|other| name(other)).collect();
            more += &format!(" {}", others.join(", "));
        }
        let cluster = text::clip_bytes(&text::said(&one.cluster, CLUSTER), CLUSTER);
        let cluster = if several && !cluster.is_empty() { format!(" · {cluster}") } else { String::new() };
        spans.push(Span::Aside(format!("{event}{more}{cluster}")));
        // What is found is read on the page when there is room for names alone.
        if self.caps.items > 1
            && let Some(headline) = &one.headline
        {
            spans.extend(self.prose(&text::said(&format!("— {headline}"), longest)));
        }
        spans
    }
}
