//! A message as the bytes that go out, readable.

use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;

use super::Looks;
use crate::notify::notice::Notice;
use crate::notify::send::Form;
use crate::notify::{email, feishu, webhook, wecom};

/// Whose form a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Product {
    /// A Feishu (Lark) group bot.
    #[value(alias = "feishu")]
    FeishuBot,
    /// A WeCom group bot.
    WecomBot,
    /// Mail: subject and text; the page shows the HTML part.
    Email,
    /// A webhook of one's own.
    Webhook,
}

/// What is posted, in the richest form that fits; signatures and credentials are not in it.
#[must_use]
pub fn posted(product: Product, notice: &Notice, now: Timestamp, looks: &Looks) -> String {
    match product {
        Product::FeishuBot => pretty(&feishu::render::richest(notice, now, None, &looks.feishu)),
        Product::WecomBot => pretty(&wecom::render::richest(notice, now, &looks.wecom)),
        Product::Email => {
            let mail = email::render::richest(notice, now, &looks.email);
            format!("Subject: {}\n\n{}", mail.subject, mail.text)
        }
        Product::Webhook => {
            let forms = [Form::Full, Form::Compact, Form::Plain];
            let body = forms.into_iter().find_map(|form| webhook::render::body(notice, now, form));
            let body: Option<serde_json::Value> = body.and_then(|body| serde_json::from_slice(&body).ok());
            pretty(&body.unwrap_or_default())
        }
    }
}

fn pretty(message: &impl Serialize) -> String {
    serde_json::to_string_pretty(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_name_of_feishu_is_understood() {
        assert_eq!(Product::from_str("feishu", false), Ok(Product::FeishuBot));
        assert_eq!(Product::from_str("feishu-bot", false), Ok(Product::FeishuBot));
    }
}
