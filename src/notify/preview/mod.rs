//! The demo page: every message as its recipients see it, beside the evidence it rests on, in one file without the network.

mod app;
mod card;
mod chart;
mod markdown;
mod posted;
mod wecom;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;
use sha2::{Digest, Sha256};

use self::markdown::escaped;
use self::posted::Shown;
pub use self::posted::{Product, posted};
use super::layout::Layout;
use super::notice::{Notice, NoticeBody};
use super::story::object_of;
use super::wecom::MessageType;
use super::{email, feishu, template, wecom as bot};
use crate::alert::Lang;
use crate::report::{Citation, Report};
use crate::times;
use crate::toolbox::evidence::{Evidence, position};

const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// The policy to serve the page with: nothing is loaded, the one script is known by its hash. Mails style inline.
#[must_use]
pub fn content_security_policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(SCRIPT));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"
    )
}

/// The layouts of the channels whose form a preview shows; the built-in ones when nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Looks {
    /// Of a Feishu bot.
    pub feishu: Layout,
    /// Of a Feishu app, when its card is to be shown too.
    pub app: Option<Layout>,
    /// Of a WeCom bot.
    pub wecom: Layout,
    /// The kind of message that bot's group wants.
    pub wecom_kind: MessageType,
    /// Of a mail channel.
    pub email: Layout,
    /// Whether the kinds of message that a WeCom group may want instead, or gets beside, are shown too.
    pub all_kinds: bool,
}

impl Looks {
    /// These, with everything that can be shown.
    #[must_use]
    pub fn everything(self) -> Self {
        Self { app: Some(self.app.unwrap_or_default()), all_kinds: true, ..self }
    }
}

/// The page. Messages are rendered from the JSON and the MIME parts that are really sent, as of `now`.
#[must_use]
pub fn page(
    notices: &[Notice],
    evidence: &[Evidence],
    report: &Report,
    lang: Lang,
    now: Timestamp,
    looks: &Looks,
) -> String {
    let messages: Vec<Message> = notices.iter().map(|notice| message(notice, report, now, lang, looks)).collect();
    let zone = notices.first().map_or("UTC", |notice| notice.timezone.as_str());
    let sources: Vec<Source> = evidence.iter().map(|one| source(one, report, zone)).collect();
    let context = context! {
        zh => lang == Lang::Zh,
        lang => lang.tag(),
        style => Value::from_safe_string(STYLE.to_owned()),
        script => Value::from_safe_string(SCRIPT.to_owned()),
        messages => Serde(messages),
        sources => Serde(sources),
        report => Serde(report),
        heading => heading(notices, report),
        about => about(notices, report),
    };
    template::render("page.html.j2", include_str!("page.html.j2"), context).unwrap_or_else(|error| {
        debug_assert!(false, "the preview template failed: {error}");
        tracing::error!(%error, "the preview template failed");
        String::from("<!doctype html><title>Firstlook</title>")
    })
}

/// What it comes to; until there is a diagnosis, what the alert says.
fn heading(notices: &[Notice], report: &Report) -> String {
    let alert = || notices.first().and_then(|notice| notice.group.leading()?.summary());
    let said = Some(report.headline.as_str()).filter(|text| !text.is_empty()).or_else(alert).unwrap_or("Firstlook");
    super::text::line(said, 240).replace('`', "")
}

/// Which alert, and about which object.
fn about(notices: &[Notice], report: &Report) -> String {
    let alert = notices.first().and_then(|notice| notice.group.leading());
    let name = alert.map_or(report.overview.alertname.as_str(), |alert| alert.name());
    let object = object_of(Some(report), alert).map(|object| object.to_string());
    [Some(name.to_owned()), object].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// One notice on every channel.
#[derive(Debug, Serialize)]
struct Message {
    kind: &'static str,
    title: &'static str,
    /// Whether chats get it too: only mail has windows.
    chats: bool,
    time: String,
    feishu: String,
    feishu_bytes: usize,
    /// What a Feishu app shows of it, in every state.
    app: Vec<Shown>,
    wecom: String,
    wecom_bytes: usize,
    /// Other kinds of message for WeCom.
    kinds: Vec<Shown>,
    subject: String,
    mail: String,
    mail_bytes: usize,
}

fn message(notice: &Notice, report: &Report, now: Timestamp, lang: Lang, looks: &Looks) -> Message {
    let (kind, title) = match &notice.body {
        NoticeBody::Alert { .. } => ("alert", lang.pick("首条消息", "First message")),
        NoticeBody::Diagnosis { .. } => ("diagnosis", lang.pick("诊断结论", "Diagnosis")),
        NoticeBody::Resolved { .. } => ("resolved", lang.pick("恢复通知", "Resolved")),
        NoticeBody::Digest { .. } => ("digest", lang.pick("每日摘要", "Daily summary")),
        NoticeBody::Summary { .. } => ("summary", lang.pick("告警汇总", "Several alerts")),
        NoticeBody::Test => ("test", lang.pick("测试消息", "Test message")),
    };
    let card = serde_json::to_value(feishu::render::richest(notice, now, None, &looks.feishu)).unwrap_or_default();
    let chat = serde_json::to_value(bot::render::richest(notice, now, &looks.wecom)).unwrap_or_default();
    // What is over keeps what was found.
    let known = Some(report).filter(|report| !report.headline.is_empty());
    let mail = email::render::richest(notice, now, &looks.email);
    let body = mail.html.unwrap_or_else(|| format!("<pre>{}</pre>", escaped(&mail.text)));
    Message {
        kind,
        title,
        chats: !matches!(notice.body, NoticeBody::Summary { collected: true, .. }),
        time: times::time_of_day(now, &notice.timezone),
        feishu_bytes: card.to_string().len(),
        feishu: card::feishu(&card, &notice.timezone),
        wecom_bytes: chat.pointer("/markdown_v2/content").and_then(|text| text.as_str()).map_or(0, str::len),
        wecom: wecom::wecom(&chat),
        app: looks.app.as_ref().map(|layout| app::states(notice, now, known, layout)).unwrap_or_default(),
        kinds: if looks.all_kinds { wecom::kinds(notice, now, &looks.wecom) } else { Vec::new() },
        subject: mail.subject,
        mail_bytes: body.len(),
        mail: body,
    }
}

/// One tool call with what it returned.
#[derive(Debug, Serialize)]
struct Source {
    reference: String,
    tool: String,
    arguments: String,
    time: String,
    bytes: usize,
    /// Escaped, with the cited words marked.
    text: String,
    cited: bool,
}

fn source(evidence: &Evidence, report: &Report, zone: &str) -> Source {
    let citations: Vec<&Citation> = report
        .causes
        .iter()
        .flat_map(|cause| &cause.evidence)
        .filter(|citation| citation.reference == evidence.reference)
        .collect();
    Source {
        reference: evidence.reference.clone(),
        tool: evidence.tool.clone(),
        arguments: serde_json::to_string(&evidence.arguments).unwrap_or_default(),
        time: times::moment(evidence.taken_at, zone).unwrap_or_default(),
        bytes: evidence.text.len(),
        cited: !citations.is_empty(),
        text: marked(&evidence.text, &citations),
    }
}

/// Marks every citation that stands in the text word for word, white space aside.
fn marked(text: &str, citations: &[&Citation]) -> String {
    let mut spans: Vec<(usize, usize)> =
        citations.iter().filter_map(|citation| position(text, &citation.quote)).collect();
    spans.sort_unstable();
    let mut out = String::new();
    let mut done = 0;
    for (start, end) in spans.into_iter().filter(|(start, end)| end > start) {
        if start < done {
            continue;
        }
        out.push_str(&escaped(&text[done..start]));
        out.push_str(&format!("<mark>{}</mark>", escaped(&text[start..end])));
        done = end;
    }
    out + &escaped(&text[done..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{ALL, notice, now};

    #[test]
    fn a_quotation_is_marked_across_folded_lines() {
        let citation = Citation { reference: "E1".into(), quote: "created either by".into() };
        assert_eq!(marked("be <created\n   either by x", &[&citation]), "be &lt;<mark>created\n   either by</mark> x");
        assert_eq!(marked("createdeither by", &[&citation]), "createdeither by");
    }

    #[test]
    fn what_only_mail_collects_is_shown_as_mail_alone() {
        let panes = |name: &str| {
            let page = page(&[notice(name)], &[], &Report::default(), Lang::En, now(), &Looks::default());
            ["feishu", "wecom", "inbox"].map(|pane| page.contains(&format!("<figure class=\"device {pane}\"")))
        };
        assert_eq!(panes("summary-batch.en"), [false, false, true]);
        assert_eq!(panes("summary.en"), [true; 3]);
    }

    #[test]
    fn the_page_is_one_file_and_loads_nothing() {
        for (name, _) in ALL {
            let notice = notice(name);
            let report = notice.report().cloned().unwrap_or_default();
            let evidence = Evidence {
                full: "</pre><script>alert(1)</script>".into(),
                reference: "E4".into(),
                tool: "resources_get".into(),
                arguments: serde_json::json!({"name": "<script>alert(1)</script>"}),
                text: "</pre><script>alert(1)</script>".into(),
                taken_at: now(),
            };
            let page = page(&[notice], &[evidence], &report, Lang::Zh, now(), &Looks::default());
            assert_eq!(page.matches("<script").count(), 1, "only our own script runs on {name}");
            for loading in ["<img", "<link", "src=\"http", "@import", "url(http"] {
                assert!(!page.contains(loading), "{name} loads something: {loading}");
            }
            assert!(page.contains("id=\"E4\""), "evidence has its anchor");
        }
    }
}
