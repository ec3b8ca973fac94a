//! The markdown of chat messages as HTML: CommonMark by a parser that is not ours, plus the tags each product adds.

use minijinja::HtmlEscape;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Whose markdown it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Feishu: `<font>`, `<text_tag>`, `<br>`; a soft break is a space.
    Feishu,
    /// WeCom: no tags; every line break shows.
    Wecom,
}

/// Renders a message. Tags the dialect does not know are shown as text, never passed on.
#[must_use]
pub fn html(markdown: &str, dialect: Dialect) -> String {
    let mut out = String::new();
    // CommonMark tag names have no underscore; Feishu's reader takes this one all the same.
    let markdown = match dialect {
        Dialect::Feishu => markdown.replace("<text_tag", "<text-tag").replace("</text_tag", "</text-tag"),
        Dialect::Wecom => markdown.to_owned(),
    };
    for event in Parser::new_ext(&markdown, Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES) {
        match event {
            Event::Start(tag) => out.push_str(&opening(&tag)),
            Event::End(tag) => out.push_str(closing(tag)),
            Event::Text(text) => out.push_str(&escaped(&text)),
            Event::Code(code) => out.push_str(&format!("<code>{}</code>", escaped(&code))),
            Event::SoftBreak if dialect == Dialect::Feishu => out.push(' '),
            Event::SoftBreak | Event::HardBreak => out.push_str("<br>"),
            Event::Rule => out.push_str("<hr>"),
            Event::InlineHtml(tag) | Event::Html(tag) if dialect == Dialect::Feishu => out.push_str(&feishu_tag(&tag)),
            Event::InlineHtml(text) | Event::Html(text) => out.push_str(&escaped(&text)),
            _ => {}
        }
    }
    out
}

fn opening(tag: &Tag<'_>) -> String {
    match tag {
        Tag::Paragraph => "<p>".to_owned(),
        Tag::Heading { level, .. } => format!("<div class=\"h h{}\">", *level as u8),
        Tag::BlockQuote(_) => "<blockquote>".to_owned(),
        Tag::CodeBlock(_) => "<pre>".to_owned(),
        Tag::List(Some(start)) => format!("<ol start=\"{start}\">"),
        Tag::List(None) => "<ul>".to_owned(),
        Tag::Item => "<li>".to_owned(),
        Tag::Strong => "<b>".to_owned(),
        Tag::Emphasis => "<i>".to_owned(),
        Tag::Strikethrough => "<s>".to_owned(),
        Tag::Link { dest_url, .. } => format!("<a href=\"{}\" rel=\"noreferrer nofollow\">", escaped(dest_url)),
        // An image would be loaded from elsewhere: its words are shown instead.
        _ => "<span>".to_owned(),
    }
}

fn closing(tag: TagEnd) -> &'static str {
    match tag {
        TagEnd::Paragraph => "</p>",
        TagEnd::Heading(_) => "</div>",
        TagEnd::BlockQuote(_) => "</blockquote>",
        TagEnd::CodeBlock => "</pre>",
        TagEnd::List(true) => "</ol>",
        TagEnd::List(false) => "</ul>",
        TagEnd::Item => "</li>",
        TagEnd::Strong => "</b>",
        TagEnd::Emphasis => "</i>",
        TagEnd::Strikethrough => "</s>",
        TagEnd::Link => "</a>",
        _ => "</span>",
    }
}

fn feishu_tag(tag: &str) -> String {
    let inner = tag.trim().trim_start_matches('<').trim_end_matches('>').trim_end_matches('/').trim();
    let (name, rest) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
    match name {
        "br" => "<br>".to_owned(),
        "font" => format!("<span class=\"ink {}\">", colour(rest)),
        "text-tag" => format!("<span class=\"tag {}\">", colour(rest)),
        "at" => format!("<span class=\"at\">@{}</span>", escaped(rest.trim_start_matches("id="))),
        "/at" => String::new(),
        "/font" | "/text-tag" => "</span>".to_owned(),
        _ => escaped(tag),
    }
}

/// The colour in `color='grey'`, reduced to letters so that it is a class name and nothing else.
fn colour(attributes: &str) -> String {
    let value = attributes.split_once("color=").map(|(_, value)| value).unwrap_or_default();
    value.chars().filter(char::is_ascii_alphabetic).take(12).collect()
}

/// Text as HTML text or attribute.
pub fn escaped(text: &str) -> String {
    HtmlEscape(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_show_what_they_stand_for_and_unknown_tags_are_text() {
        let shown =
            html("&#60;at id=all&#62; **a** <text_tag color='red'>x</text_tag><raw><at id=ou_1></at>", Dialect::Feishu);
        assert_eq!(
            shown,
            "<p>&lt;at id=all&gt; <b>a</b> <span class=\"tag red\">x</span>&lt;raw&gt;<span class=\"at\">@ou_1</span></p>"
        );
    }

    #[test]
    fn wecom_reads_no_tags() {
        assert_eq!(html("a\n<b>c", Dialect::Wecom), "<p>a<br>&lt;b&gt;c</p>");
    }
}
