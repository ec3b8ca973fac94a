//! A message as the bytes that go out, readable.

use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Looks, app};
use crate::notify::notice::Notice;
use crate::notify::send::Form;
use crate::notify::{email, feishu, webhook, wecom};
use crate::report::Report;

/// Whose form a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Product {
    /// A Feishu (Lark) group bot.
    #[value(alias = "feishu")]
    FeishuBot,
    /// A Feishu (Lark) app: the card that is changed in place, with its buttons.
    FeishuApp,
    /// A WeCom group bot.
    WecomBot,
    /// Mail: subject and text; the page shows the HTML part.
    Email,
    /// A webhook of one's own.
    Webhook,
}

/// What is posted, in the richest form that fits; signatures and credentials are not in it. An app's card of what is over
/// keeps `report`.
#[must_use]
pub fn posted(product: Product, notice: &Notice, report: &Report, now: Timestamp, looks: &Looks) -> String {
    match product {
        Product::FeishuBot => pretty(&feishu::render::richest(notice, now, None, &looks.feishu)),
        Product::FeishuApp => {
            let sealed = app::card(notice, now, Some(report), &looks.app.clone().unwrap_or_default());
            // On the wire the content is a string; nobody reads that.
            let content: Value = serde_json::from_str(&sealed.content).unwrap_or_default();
            pretty(&json!({"msg_type": sealed.msg_type, "content": content}))
        }
        Product::WecomBot => pretty(&wecom::render::richest_of(looks.wecom_kind, notice, now, &looks.wecom)),
        Product::Email => {
            let mail = email::render::richest(notice, now, &looks.email);
            format!("Subject: {}\n\n{}", mail.subject, mail.text)
        }
        Product::Webhook => {
            let forms = [Form::Full, Form::Compact, Form::Plain];
            let body = forms.into_iter().find_map(|form| webhook::render::body(notice, now, form));
            let body: Option<Value> = body.and_then(|body| serde_json::from_slice(&body).ok());
            pretty(&body.unwrap_or_default())
        }
    }
}

/// A message as somebody sees it.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// What it is.
    pub caption: String,
    /// Its size as it is sent.
    pub bytes: usize,
    /// As a client draws it.
    pub html: String,
}

fn pretty(message: &impl Serialize) -> String {
    serde_json::to_string_pretty(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{notice, now};
    use crate::notify::wecom::MessageType;

    #[test]
    fn an_app_s_card_has_its_buttons() {
        let posted =
            posted(Product::FeishuApp, &notice("diagnosis-pvc.en"), &Report::default(), now(), &Looks::default());
        let posted: Value = serde_json::from_str(&posted).unwrap();
        assert_eq!((&posted["msg_type"], &posted["content"]["schema"]), (&json!("interactive"), &json!("2.0")));
        assert!(posted.to_string().contains("\"firstlook\":\"again\""), "{posted:#}");
    }

    #[test]
    fn a_bot_s_message_is_of_the_kind_its_group_wants() {
        for (wecom_kind, kind) in [
            (MessageType::MarkdownV2, "markdown_v2"),
            (MessageType::Text, "text"),
            (MessageType::TemplateCard, "template_card"),
        ] {
            let looks = Looks { wecom_kind, ..Looks::default() };
            let posted = posted(Product::WecomBot, &notice("diagnosis-pvc.en"), &Report::default(), now(), &looks);
            let posted: Value = serde_json::from_str(&posted).unwrap();
            assert_eq!(posted["msgtype"], kind);
        }
    }

    #[test]
    fn the_short_name_of_feishu_is_understood() {
        assert_eq!(Product::from_str("feishu", false), Ok(Product::FeishuBot));
        assert_eq!(Product::from_str("feishu-bot", false), Ok(Product::FeishuBot));
    }
}
