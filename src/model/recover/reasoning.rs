//! Takes out of a text what was never meant for people: thinking, and tokens that only steer a model.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::Family;
use super::tokens::pattern;

/// Tags that open and close thinking. Magistral's are in brackets, and mean that only in Mistral's family.
static TAGS: LazyLock<Regex> = LazyLock::new(|| pattern(r"</?(?:seed:|mm:)?think(?:ing)?>"));
static BRACKETS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\[/?THINK\]"));

/// Tokens that begin or end a message, which gateways sometimes leave in.
static SPECIAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"<[|｜](?:im_start|im_end|im_user|im_assistant|im_system|im_middle|endoftext|end_of_text|begin_of_text",
        r"|eot_id|eom_id|start_header_id|end_header_id|user|assistant|observation|end|return",
        r"|User|Assistant|(?:begin|end)[▁_]of[▁_]sentence)[|｜]>|\[e~\[|\[EOS\]"
    ))
});

/// A marker the output limit cut in two, at the end of a text.
static HALF: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:<[/|｜\w][^\s<>]{0,40}|<|\[[A-Z_]{1,12})$"));

/// Kimi K3's channels: thinking goes whole, of what is meant for people only the tokens around it.
static K3_THINKING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?s)<\|open\|>(?:think|thinking|analysis|reasoning)\b[^<]*<\|sep\|>.*?(?:<\|close\|>(?:think|thinking|analysis|reasoning)<\|sep\|>|$)",
    )
});
static K3_CHANNEL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"<\|(?:open|close)\|>(?:response|message|final|assistant)\b[^<]*<\|sep\|>"));

/// A text of Kimi K3 as its other families write theirs.
pub(super) fn without_channels(text: &str) -> String {
    K3_CHANNEL.replace_all(&K3_THINKING.replace_all(text, ""), "\n").trim().to_owned()
}

/// The text without thinking: what stands between tags, before a lone closing tag, and after one that never closes.
pub(super) fn without(text: &str, family: Family) -> Cow<'_, str> {
    let stripped = strip(text, &TAGS);
    match family {
        Family::Mistral | Family::Unknown => Cow::Owned(strip(&stripped, &BRACKETS).into_owned()),
        _ => stripped,
    }
}

fn strip<'t>(text: &'t str, tags: &Regex) -> Cow<'t, str> {
    if !tags.is_match(text) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut thinking = false;
    let mut at = 0;
    for tag in tags.find_iter(text) {
        let closes = tag.as_str()[1..].starts_with('/');
        if closes && !thinking {
            kept.clear();
        } else if !closes && !thinking {
            kept.push_str(&text[at..tag.start()]);
        }
        thinking = !closes;
        at = tag.end();
    }
    if !thinking {
        kept.push_str(&text[at..]);
    }
    // What was taken out may have stood inside another tag; a blank keeps its halves apart.
    Cow::Owned(tags.replace_all(&kept, " ").into_owned())
}

/// The text trimmed and without tokens that only steer a model.
pub(super) fn without_special_tokens(text: &str) -> String {
    SPECIAL.replace_all(text.trim(), " ").trim().to_owned()
}

/// The text of a cut turn without the beginning of a marker it may end in.
pub(super) fn without_half_a_marker(text: &str) -> &str {
    HALF.find(text).map_or(text, |half| text[..half.start()].trim_end())
}
