//! What a WeCom group shows, from the JSON that is sent: markdown, plain text, a card, a file.

use jiff::Timestamp;
use serde_json::Value;

use super::markdown::{Dialect, escaped, html};
use super::posted::Shown;
use crate::notify::attachment;
use crate::notify::layout::Layout;
use crate::notify::mention::{ALL, may_call};
use crate::notify::notice::Notice;
use crate::notify::send::Form;
use crate::notify::wecom::MessageType;
use crate::notify::wecom::render::{MARKDOWN_BUDGET, call, of_type};
use crate::notify::wecom::wire::{Media, Message};

/// Draws a message in its bubble.
#[must_use]
pub fn wecom(message: &Value) -> String {
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match message["msgtype"].as_str().unwrap_or_default() {
        "markdown_v2" => bubble(&html(text("/markdown_v2/content"), Dialect::Wecom)),
        "template_card" => card(&message["template_card"]),
        "file" => {
            let name = escaped(text("/file/media_id"));
            format!("<div class=\"bubble file\"><span class=\"leaf\" aria-hidden=\"true\"></span>{name}</div>")
        }
        _ => bubble(&format!("<pre class=\"plain\">{}{}</pre>", escaped(text("/text/content")), called(message))),
    }
}

fn bubble(inside: &str) -> String {
    format!("<div class=\"bubble\">{inside}</div>")
}

fn called(message: &Value) -> String {
    let users = message.pointer("/text/mentioned_list").and_then(Value::as_array).into_iter().flatten();
    let name = |user: &Value| {
        let user = user.as_str().unwrap_or_default().trim_start_matches('@');
        format!(" <span class=\"at\">@{}</span>", escaped(user))
    };
    users.map(name).collect()
}

fn card(card: &Value) -> String {
    let text = |pointer: &str| escaped(card.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
    let list = |pointer: &str| card.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let part = |value: &Value, name: &str| escaped(value[name].as_str().unwrap_or_default());
    let colour = match card.pointer("/source/desc_color").and_then(Value::as_u64) {
        Some(2) => "red",
        Some(3) => "green",
        Some(1) => "ink-black",
        _ => "grey",
    };
    let lines: String = list("/horizontal_content_list")
        .map(|line| format!("<div class=\"pair\"><span>{}</span>{}</div>", part(line, "keyname"), part(line, "value")))
        .collect();
    let links: String = list("/jump_list")
        .map(|link| {
            let (url, title) = (part(link, "url"), part(link, "title"));
            format!("<a class=\"jump-to\" href=\"{url}\" rel=\"noreferrer nofollow\">{title}</a>")
        })
        .collect();
    format!(
        "<div class=\"bubble notice\"><div class=\"ink {colour}\">{}</div><div class=\"h\">{}</div><div class=\"dim\">{}</div>\
         <p>{}</p>{lines}{links}</div>",
        text("/source/desc"),
        text("/main_title/title"),
        text("/main_title/desc"),
        text("/sub_title_text"),
    )
}

/// The kinds of message beside markdown: plain text and a card for groups that want those, the line that calls people,
/// and the file behind a message that could not hold the report.
pub fn kinds(notice: &Notice, now: Timestamp, layout: &Layout) -> Vec<Shown> {
    let lang = notice.lang;
    let of = |kind: MessageType| {
        let forms = [Form::Full, Form::Compact, Form::Plain];
        forms.into_iter().find_map(|form| of_type(kind, notice, now, form, MARKDOWN_BUDGET, layout))
    };
    let show = |caption: String, message: &Message, bytes: usize| Shown {
        caption,
        bytes,
        html: wecom(&serde_json::to_value(message).unwrap_or_default()),
    };
    let sized = |message: &Message| serde_json::to_vec(message).map_or(0, |json| json.len());
    let mut shown = Vec::new();
    if let Some((text, _)) = of(MessageType::Text) {
        shown.push(show("msgtype: text".to_owned(), &text, sized(&text)));
    }
    let card = of(MessageType::TemplateCard);
    if let Some((card @ Message::TemplateCard { .. }, _)) = &card {
        shown.push(show("msgtype: template_card".to_owned(), card, sized(card)));
    }
    if may_call(notice) {
        let companion = call(notice, &["zhangsan".to_owned(), ALL.to_owned()]);
        let caption = lang.pick("紧随其后：按 `mentions` 点名", "behind it: who `mentions` calls");
        shown.push(show(caption.to_owned(), &companion, sized(&companion)));
    }
    let is_cut = of(MessageType::MarkdownV2).is_some_and(|(_, cut)| cut);
    if let Some(report) = attachment::full_report(notice).filter(|_| is_cut) {
        let file = Message::File { file: Media { media_id: report.name } };
        let caption = lang.pick("放不下的报告：文件", "the report that did not fit: a file");
        shown.push(show(caption.to_owned(), &file, report.content.len()));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{notice, now};
    use crate::notify::limits;

    #[test]
    fn every_kind_of_message_is_drawn() {
        let shown = kinds(&notice("alert-oom.zh"), now(), &Layout::default());
        let classes = |shown: &[Shown]| -> Vec<bool> {
            shown.iter().map(|one| one.html.contains("bubble notice") || one.html.contains("bubble file")).collect()
        };
        assert_eq!(classes(&shown), [false, true, false], "text, card, companion");
        assert!(shown[2].html.contains("class=\"at\">@zhangsan"), "{}", shown[2].html);
        let over = kinds(&notice("resolved.zh"), now(), &Layout::default());
        assert!(over.iter().all(|one| !one.html.contains("class=\"at\"")), "an end calls nobody");
        let longest = kinds(&limits::longest(), now(), &Layout::default());
        assert!(longest.last().is_some_and(|file| file.html.contains("firstlook-")), "its report is a file");
    }
}
