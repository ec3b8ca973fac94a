//! WeCom's markdown: how a block is written so that no character of it is read as markup.
//!
//! Its page names no escape, and clients older than 4.1.36 show the source. So what would be read as markup is replaced
//! by the full-width character that looks the same in both.

use crate::alert::Lang;
use crate::notify::story::{Block, Span, Tone, join};

/// Writes blocks as lines of markdown.
pub fn blocks(blocks: &[Block], lang: Lang) -> String {
    let mut out = String::new();
    for (at, block) in blocks.iter().enumerate() {
        // A line right after a list or a quotation would be read as its continuation.
        let open = at > 0 && matches!(blocks[at - 1], Block::Item(_) | Block::Quote(_));
        let goes_on = at > 0 && std::mem::discriminant(&blocks[at - 1]) == std::mem::discriminant(block);
        out.push_str(if open && !goes_on { "\n" } else { "" });
        out.push_str(&written(block, lang));
        out.push('\n');
    }
    out
}

fn written(block: &Block, lang: Lang) -> String {
    match block {
        Block::Line(spans) => join(spans, |part| span(part, lang)),
        Block::Item(spans) => format!("- {}", join(spans, |part| span(part, lang))),
        Block::Command(command) => format!("```\n{}\n```", harmless(command).replace("```", "'''")),
        Block::Quote(quote) => {
            let source = [quote.reference.as_str(), quote.tool.as_str()].join(" ");
            format!("> {} {}", escape(source.trim()), code(&quote.text))
        }
    }
}

fn span(span: &Span, lang: Lang) -> String {
    match span {
        Span::Text(text) | Span::Aside(text) => opening(text),
        // Four asterisks would be a line across.
        Span::Strong(text) if text.trim().is_empty() => String::new(),
        Span::Strong(text) => format!("**{}**", escape(text)),
        Span::Code(text) => code(text),
        Span::Ref(text) => format!("({})", escape(text)),
        Span::Badge(badge) => match lang {
            Lang::Zh => format!("【{}】", escape(&badge.text)),
            Lang::En => format!("({})", escape(&badge.text)),
        },
        Span::Moment(moment) => escape(&moment.said),
        Span::Link(link) => format!("[{}]({})", escape(&link.label), link.url),
    }
}

/// Text without anything markdown or WeCom reads: emphasis, links, images, tags, headings, quotes, lists, mentions.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        out.push(match c {
            '<' => '＜',
            '>' => '＞',
            '[' => '［',
            ']' => '］',
            '*' => '＊',
            '`' => '＇',
            '~' => '～',
            '|' => '｜',
            '\\' => '＼',
            '_' if at_word_edge(text, at) => '＿',
            '@' if mentions_all(&text[at + 1..]) => '＠',
            '!' if text[at + 1..].starts_with('[') => '！',
            c => c,
        });
    }
    out
}

/// The same for text that may open a line, where a dash, a number or a hash would begin a list or a heading.
fn opening(text: &str) -> String {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (head, rest) = text.split_at(digits);
    let mut after = rest.chars();
    let opens = match after.next() {
        Some('#') if digits == 0 => true,
        Some('-' | '+' | '=') if digits == 0 => true,
        Some('.' | ')') if digits > 0 => after.next().is_none_or(char::is_whitespace),
        _ => false,
    };
    match rest.chars().next() {
        Some(mark) if opens => format!("{head}{}{}", full_width(mark), escape(&rest[1..])),
        _ => escape(text),
    }
}

/// Text in the code face.
fn code(text: &str) -> String {
    let text = harmless(text).replace('`', "'");
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// Whether what follows a `<` makes it the tag of a colour.
fn colours(rest: &str) -> bool {
    let tag = rest.trim_start_matches(['/', ' ']);
    tag.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("font"))
}

/// Code is read as it stands, except that WeCom looks for mentions everywhere, and some of its clients for colours.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let rest = &text[at + c.len_utf8()..];
        out.push(match c {
            '<' if rest.trim_start().starts_with('@') || colours(rest) => '＜',
            '@' if mentions_all(rest) => '＠',
            c => c,
        });
    }
    out
}

fn mentions_all(rest: &str) -> bool {
    rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("all")) || rest.starts_with("所有人")
}

fn at_word_edge(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
    let after = text[at + 1..].chars().next().is_some_and(char::is_alphanumeric);
    !(before && after)
}

/// The full-width twin of an ASCII character.
fn full_width(c: char) -> char {
    char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c)
}

/// Version 2 of WeCom's markdown has no colours; a disc in front of the title stands in.
pub fn disc(tone: Tone) -> &'static str {
    match tone {
        Tone::Red => "🔴",
        Tone::Orange => "🟠",
        Tone::Yellow => "🟡",
        Tone::Blue => "🔵",
        Tone::Green => "🟢",
        Tone::Turquoise => "✅",
        Tone::Grey => "⚪",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_replaced_by_its_full_width_twin() {
        assert_eq!(escape("<@all> @all @bob"), "＜＠all＞ ＠all @bob");
        assert_eq!(escape("![x](http://y) <font color=\"info\">"), "！［x］(http://y) ＜font color=\"info\"＞");
        assert_eq!(opening("# a"), "＃ a");
        assert_eq!(opening("- a-b"), "－ a-b");
        assert_eq!(opening("1. kube_pod_status _it_"), "1． kube_pod_status ＿it＿");
        assert_eq!(opening("19.4k"), "19.4k");
    }

    #[test]
    fn code_keeps_everything_but_mentions_and_backticks() {
        assert_eq!(code("kubectl logs <pod> `x`"), "`kubectl logs <pod> 'x'`");
        assert_eq!(code("<@zhang> @ALL img@sha256:00"), "`＜@zhang> ＠ALL img@sha256:00`");
        assert_eq!(code("<font color='info'>x</FONT> 字"), "`＜font color='info'>x＜/FONT> 字`");
    }
}
