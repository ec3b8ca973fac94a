//! Fixed words of the pages beside those every message uses: verdicts, states, decisions, in both languages.

use crate::alert::Lang;
use crate::notify::story::{Badge, Tone, words as said};
use crate::notify::text;
use crate::report::Verdict;
use crate::times;

/// How grave an alert is.
pub(super) fn severity_badge(lang: Lang, raw: &str) -> Badge {
    Badge { text: said::severity(lang, &text::line(raw, 24)), tone: said::severity_tone(raw) }
}

/// What was found, where it is not simply a fault.
pub(super) fn verdict_badge(lang: Lang, verdict: Verdict) -> Option<Badge> {
    let (text, tone) = match verdict {
        Verdict::Fault => return None,
        Verdict::NoFault => (lang.pick("未发现故障", "no fault found"), Tone::Turquoise),
        Verdict::Inconclusive => (lang.pick("尚无定论", "inconclusive"), Tone::Grey),
    };
    Some(Badge { text: text.to_owned(), tone })
}

/// How long ago something was.
pub(super) fn ago(lang: Lang, seconds: i64) -> String {
    let time = times::duration(lang, seconds);
    lang.pick(format!("{time}前"), format!("{time} ago"))
}
