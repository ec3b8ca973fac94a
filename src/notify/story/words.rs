//! Words of our own that every message uses: severities, confidence, counts, in both languages.

use super::Tone;
use crate::alert::{Alert, AlertGroup, Lang, severity_rank};
use crate::notify::text;
use crate::report::Confidence;

/// The severity as people say it; unknown ones as their sender spells them.
pub fn severity(lang: Lang, raw: &str) -> String {
    if raw.is_empty() {
        return lang.pick("未分级", "unrated").to_owned();
    }
    let zh = match severity_rank(Some(raw)) {
        0 => "严重",
        1 => "重要",
        2 => "警告",
        4 => "提示",
        _ => raw,
    };
    lang.pick(zh, raw).to_owned()
}

/// The colour of a severity.
pub fn severity_tone(raw: &str) -> Tone {
    match severity_rank(Some(raw)) {
        0 => Tone::Red,
        1 => Tone::Orange,
        2 => Tone::Yellow,
        4 => Tone::Blue,
        _ => Tone::Grey,
    }
}

/// Who is responsible for a group's alerts, as they say themselves, each once; their words, so they call nobody.
pub fn owners(lang: Lang, group: &AlertGroup) -> Option<String> {
    const MOST: usize = 3;
    let mut owners: Vec<String> = Vec::new();
    for owner in group.alerts.iter().filter_map(Alert::owner).map(|owner| text::said(owner, 60)) {
        if !owner.is_empty() && !owners.contains(&owner) && owners.len() < MOST {
            owners.push(owner);
        }
    }
    Some(owners.join(lang.pick("、", ", "))).filter(|said| !said.is_empty())
}

/// How sure a cause is, with its colour.
pub fn confidence(lang: Lang, confidence: Confidence) -> (&'static str, Tone) {
    match confidence {
        Confidence::High => (lang.pick("置信度 高", "high confidence"), Tone::Green),
        Confidence::Medium => (lang.pick("置信度 中", "medium confidence"), Tone::Yellow),
        Confidence::Low => (lang.pick("置信度 低", "low confidence"), Tone::Grey),
    }
}

/// A count of tokens, short: `940`, `21.4k`, `1.2M`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn tokens(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{:.1}k", count as f64 / 1e3),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

/// Counts what stands in one message: messages, or incidents that were collected.
pub fn together(lang: Lang, count: usize, collected: bool) -> String {
    match collected {
        true if count == 1 => lang.pick("1 个事件", "1 incident").to_owned(),
        true => lang.pick(format!("{count} 个事件"), format!("{count} incidents")),
        false => lang.pick(format!("{count} 条消息合并发送"), format!("{count} messages in one")),
    }
}

/// Says that a message is not the whole, and where that is, or why nothing leads to it.
pub fn shortened(lang: Lang, has_page: bool) -> &'static str {
    match has_page {
        true => lang.pick("内容已精简，完整报告见链接。", "Shortened to fit; the full report is behind the link."),
        // Without an address of its own the service has no page to lead to.
        false => lang.pick(
            "内容过长，已精简；没有配置 server.public_url，无法链接到全文。",
            "Shortened to fit; server.public_url is not set, so no link leads to the whole.",
        ),
    }
}

/// `1 incident`, `2 incidents`, in English.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Counts what a list leaves out.
pub fn more(lang: Lang, count: usize) -> String {
    lang.pick(format!("…另有 {count} 项未列出"), format!("… and {count} more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_short() {
        assert_eq!([940, 21_430, 1_200_000].map(tokens), ["940", "21.4k", "1.2M"]);
    }
}
