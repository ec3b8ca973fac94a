//! The tags of each family, and what each of them is for.

use std::sync::LazyLock;

use regex::Regex;

use super::Kind;
use crate::model::recover::tokens::{markers, pattern};

/// A family's tags.
pub(in crate::model::recover) struct Grammar {
    /// Every tag.
    pub(super) pattern: Regex,
    /// What a tag that was found is for.
    pub(super) kind: fn(&str) -> Kind,
}

type Tags = LazyLock<Grammar>;

/// DeepSeek V3.2 and V4. Tags that lost their token are remains of a call, not a call.
pub(in crate::model::recover) static DSML: Tags = LazyLock::new(|| Grammar {
    pattern: markers(
        r"</?[｜|]DSML[｜|](?:function_calls|tool_calls|invoke|parameter)\b[^<>]*>|</?[｜|]?DSML[｜|]?>?|</?(?:function_calls|invoke|parameter)\b[^<>]*>",
    ),
    kind: |tag| if tag.contains("DSML") { attributed(tag) } else { Kind::Faded },
});

/// `MiniMax` M2; M3 puts a token of its own before each tag.
pub(in crate::model::recover) static MINIMAX_M2: Tags = LazyLock::new(|| Grammar {
    pattern: markers(
        r"(?:\]<\]minimax\[>\[)?</?(?:minimax:)?(?:tool_calls?|invoke|parameter)\b[^<>]*>|\]<\]minimax\[>\[",
    ),
    kind: attributed,
});

/// Step3: DeepSeek's section around tags.
pub(in crate::model::recover) static STEP3: Tags = LazyLock::new(|| Grammar {
    pattern: markers(
        r"</?steptml:(?:invoke|parameter)\b[^<>]*>|<[｜|]tool[▁_](?:calls|call)[▁_](?:begin|end)[｜|]>|<[｜|]tool[▁_]sep[｜|]>",
    ),
    kind: |tag| match tag {
        tag if tag.contains("steptml:") => attributed(tag),
        tag if tag.contains("end") => Kind::Unwrap,
        _ => Kind::Wrap,
    },
});

/// Qwen3-Coder and Seed-OSS: names after an equals sign.
pub(in crate::model::recover) static FUNCTION: Tags = LazyLock::new(|| Grammar {
    pattern: markers(
        r"</?(?:seed:)?tool_call>|<function\s*=[^<>\n]*>|</function>|<parameter\s*=[^<>\n]*>|</parameter>",
    ),
    kind: |tag| match tag {
        "</function>" => Kind::CallEnd,
        "</parameter>" => Kind::ArgumentEnd,
        tag if tag.starts_with("<function") => Kind::Call { name: after_equals(tag), whole: false },
        tag if tag.starts_with("<parameter") => Kind::Argument { key: after_equals(tag), declared: None },
        tag if tag.starts_with("</") => Kind::Unwrap,
        _ => Kind::Wrap,
    },
});

/// GLM-4.5 and 4.7: the name inside the opening tag's text, keys and values in turn.
pub(in crate::model::recover) static GLM: Tags = LazyLock::new(|| Grammar {
    pattern: markers(
        r"<tool_call>\s*[\w.:-]*|</tool_call>|<arg_key>[^<]*</arg_key>\s*<arg_value>|</arg_value>|</?arg_key>|<arg_value>",
    ),
    kind: |tag| match tag {
        "</tool_call>" => Kind::CallEnd,
        "</arg_value>" => Kind::ArgumentEnd,
        tag if tag.starts_with("<tool_call>") => {
            Kind::Call { name: tag["<tool_call>".len()..].trim().to_owned(), whole: false }
        }
        tag => match tag.strip_prefix("<arg_key>").and_then(|rest| rest.split_once("</arg_key>")) {
            Some((key, _)) => Kind::Argument { key: key.trim().to_owned(), declared: None },
            None => Kind::Stray,
        },
    },
});

/// Kimi K3: open and close tokens, attributes with entities.
pub(in crate::model::recover) static KIMI_K3: Tags = LazyLock::new(|| Grammar {
    pattern: markers(r"<\|open\|>[^<]*<\|sep\|>|<\|close\|>[^<]*<\|sep\|>|<\|(?:open|close|sep)\|>"),
    kind: |tag| {
        let inner = |open: &str| tag.strip_prefix(open)?.strip_suffix("<|sep|>").map(str::trim);
        match (inner("<|open|>"), inner("<|close|>")) {
            (Some(open), _) if open.starts_with("call") => {
                Kind::Call { name: attribute(open, "tool").unwrap_or_default(), whole: false }
            }
            (Some(open), _) if open.starts_with("argument") => {
                Kind::Argument { key: attribute(open, "key").unwrap_or_default(), declared: attribute(open, "type") }
            }
            (Some(_), _) => Kind::Wrap,
            (_, Some("call")) => Kind::CallEnd,
            (_, Some("argument")) => Kind::ArgumentEnd,
            (_, Some(_)) => Kind::Unwrap,
            _ => Kind::Stray,
        }
    },
});

/// A tag with its name in an attribute, whatever stands before the word that says what it is for.
fn attributed(tag: &str) -> Kind {
    let closes = tag.contains("</");
    match (tag.contains("invoke"), tag.contains("parameter")) {
        (true, _) if closes => Kind::CallEnd,
        (true, _) => Kind::Call { name: attribute(tag, "name").unwrap_or_default(), whole: tag.ends_with("/>") },
        (_, true) if closes => Kind::ArgumentEnd,
        (_, true) => Kind::Argument { key: attribute(tag, "name").unwrap_or_default(), declared: declared(tag) },
        _ if !tag.ends_with('>') => Kind::Stray,
        _ if closes => Kind::Unwrap,
        _ => Kind::Wrap,
    }
}

fn declared(tag: &str) -> Option<String> {
    let string = attribute(tag, "string")?;
    Some(if string == "true" { "string" } else { "json" }.to_owned())
}

/// An attribute's value in either kind of quotation mark, its entities decoded.
fn attribute(tag: &str, name: &str) -> Option<String> {
    static ATTRIBUTE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>/]+))"#));
    let found = ATTRIBUTE.captures_iter(tag).find(|found| found.get(1).is_some_and(|key| key.as_str() == name))?;
    let value = found.get(2).or_else(|| found.get(3)).or_else(|| found.get(4))?;
    Some(decoded(value.as_str()))
}

fn decoded(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&#34;", "\"")];
    let decoded = entities.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain));
    decoded.replace("&amp;", "&")
}

fn after_equals(tag: &str) -> String {
    let value = tag.split_once('=').map_or("", |(_, value)| value);
    value.trim_end_matches('>').trim().trim_matches(['"', '\'']).to_owned()
}
