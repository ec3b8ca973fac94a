//! Feishu's markdown: how a block is written so that no character of it is read as markup.

use crate::notify::story::{Block, Moment, Span, Tone, join};

/// Tags Feishu reads inside markdown, with or without a closing one.
const TAGS: [&str; 15] = [
    "at",
    "font",
    "person",
    "a",
    "link",
    "text_tag",
    "raw",
    "number_tag",
    "local_datetime",
    "br",
    "hr",
    "audio",
    "img",
    "table",
    "button",
];

/// Writes blocks as one markdown text.
pub fn blocks(blocks: &[Block]) -> String {
    let mut out = String::new();
    let mut before: Option<&Block> = None;
    for block in blocks {
        out.push_str(separator(before, block));
        out.push_str(&written(block));
        before = Some(block);
    }
    out
}

/// Lines need a hard break: a soft one may be dropped. Everything else stands apart from what surrounds it.
fn separator(before: Option<&Block>, block: &Block) -> &'static str {
    match (before, block) {
        (None, _) => "",
        (Some(Block::Item(_)), Block::Item(_)) => "\n",
        (Some(Block::Line(_)), Block::Line(_)) | (Some(Block::Quote(_)), Block::Quote(_)) => "<br>",
        (Some(_), _) => "\n\n",
    }
}

fn written(block: &Block) -> String {
    match block {
        Block::Line(spans) => join(spans, span),
        Block::Item(spans) => format!("- {}", join(spans, span)),
        Block::Command(command) => format!("```bash\n{}\n```", fenced(command)),
        Block::Quote(quote) => {
            let source = [quote.reference.as_str(), quote.tool.as_str()].join(" ");
            format!("<text_tag color='neutral'>{}</text_tag> {}", escape(source.trim()), code(&quote.text))
        }
    }
}

fn span(span: &Span) -> String {
    match span {
        Span::Text(text) => opening(text),
        // Four asterisks would be a line across.
        Span::Strong(text) if text.trim().is_empty() => String::new(),
        Span::Strong(text) => format!("**{}**", escape(text)),
        Span::Code(text) => code(text),
        Span::Aside(text) => format!("<font color='grey'>{}</font>", escape(text)),
        Span::Ref(text) => format!("<text_tag color='neutral'>{}</text_tag>", escape(text)),
        Span::Badge(badge) => {
            format!("<text_tag color='{}'>{}</text_tag>", tag_colour(badge.tone), escape(&badge.text))
        }
        Span::Moment(moment) => local(moment),
        Span::Link(link) => format!("[{}]({})", escape(&link.label), link.url),
    }
}

/// A moment as the reader's client shows it: date, time and zone where the reader is. Where the text is all there is, the
/// configured zone is said.
fn local(moment: &Moment) -> String {
    let part =
        |format: &str| format!("<local_datetime millisecond='{}' format_type='{format}'></local_datetime>", moment.at);
    ["date_num", "time_sec", "timezone"].map(part).join(" ")
}

/// Text with every character that markdown or Feishu's tags read replaced by its entity.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for c in text.chars() {
        match c {
            '&' | '<' | '>' | '~' | '!' | '*' | '\\' | '[' | ']' | '(' | ')' | '#' | ':' | '"' | '\'' | '`' | '$'
            | '_' | '|' => out.push_str(&entity(c)),
            c => out.push(c),
        }
    }
    out
}

/// The same for text that may open a line, where a dash or a number would begin a list.
fn opening(text: &str) -> String {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    match text[digits..].chars().next() {
        Some(mark @ ('-' | '+' | '=')) if digits == 0 => format!("{}{}", entity(mark), escape(&text[1..])),
        Some('.') if digits > 0 => format!("{}{}{}", &text[..digits], entity('.'), escape(&text[digits + 1..])),
        _ => escape(text),
    }
}

fn entity(c: char) -> String {
    format!("&#{};", u32::from(c))
}

/// Text in the code face. Entities are not read there, so backticks and tags are replaced by look-alikes.
fn code(text: &str) -> String {
    let text = without_tags(text).replace('`', "'");
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

fn fenced(text: &str) -> String {
    without_tags(text).replace("```", "'''")
}

/// A card with an image by address is refused as a whole; nobody wrote down whether one in code counts.
fn without_tags(text: &str) -> String {
    let text = text.replace("![", "!［");
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        out.push(if c == '<' && opens_tag(&text[at + 1..]) { '‹' } else { c });
    }
    out
}

fn opens_tag(rest: &str) -> bool {
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('/').unwrap_or(rest).trim_start();
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    TAGS.iter().any(|tag| rest[..end].eq_ignore_ascii_case(tag))
}

/// The colour of a tag.
pub fn tag_colour(tone: Tone) -> &'static str {
    match tone {
        Tone::Grey => "neutral",
        other => header_colour(other),
    }
}

/// The colour of a title bar.
pub fn header_colour(tone: Tone) -> &'static str {
    match tone {
        Tone::Red => "red",
        Tone::Orange => "orange",
        Tone::Yellow => "yellow",
        Tone::Blue => "blue",
        Tone::Green => "green",
        Tone::Turquoise => "turquoise",
        Tone::Grey => "grey",
    }
}

/// The lightest shade of a colour, for the ground under the conclusion.
pub fn ground(tone: Tone) -> &'static str {
    match tone {
        Tone::Red => "red-50",
        Tone::Orange => "orange-50",
        Tone::Yellow => "yellow-50",
        Tone::Blue => "blue-50",
        Tone::Green => "green-50",
        Tone::Turquoise => "turquoise-50",
        Tone::Grey => "grey-50",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_significant_character_becomes_an_entity() {
        assert_eq!(escape("<at id=all></at>"), "&#60;at id=all&#62;&#60;/at&#62;");
        assert_eq!(escape("[x](y) **b** :OK:"), "&#91;x&#93;&#40;y&#41; &#42;&#42;b&#42;&#42; &#58;OK&#58;");
        assert_eq!(opening("- a-b"), "&#45; a-b");
        assert_eq!(opening("12. a 3.4"), "12&#46; a 3.4");
        assert_eq!(escape("&#60;"), "&#38;&#35;60;", "an entity in the data is data");
    }

    #[test]
    fn code_keeps_placeholders_and_loses_tags() {
        assert_eq!(code("kubectl logs <pod> `x`"), "`kubectl logs <pod> 'x'`");
        assert_eq!(code("<at id=all></at> < / font >"), "`‹at id=all>‹/at> ‹ / font >`");
        assert_eq!(code("![x](http://evil.example)"), "`!［x](http://evil.example)`");
        assert_eq!(fenced("a\n```\n<AT id=all>"), "a\n'''\n‹AT id=all>");
    }
}
