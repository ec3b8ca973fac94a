//! From a notice to a mail: subject, text and HTML; pure.

use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;

use crate::notify::layout::{Layout, Part};
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::send::Form;
use crate::notify::story::{Caps, Story, tell, words};
use crate::notify::{attachment, plain, template, text};
use crate::times;

/// Bytes of HTML: Gmail hides what is past about 102 kB.
const HTML_BUDGET: usize = 90_000;
/// Bytes of the text part.
const TEXT_BUDGET: usize = 60_000;

/// A mail's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The same for every mail about an incident: some readers thread by it.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part; none in the plainest form.
    pub html: Option<String>,
    /// Whether it leaves out something of the report, so that the full one should come with it.
    pub is_cut: bool,
}

/// The mail in one form; `None` when it does not fit in that form.
#[must_use]
pub fn mail(notice: &Notice, now: Timestamp, form: Form, layout: &Layout) -> Option<Mail> {
    let story = tell(notice, now, Caps::page(form));
    let subject = subject(notice, &story, layout);
    let html = (form != Form::Plain)
        .then(|| layout.render(Part::Html, notice, &story).unwrap_or_else(|| html(&story, &subject)));
    if html.as_ref().is_some_and(|html| html.len() > HTML_BUDGET) {
        return None;
    }
    Some(Mail {
        text: plain::by(layout, notice, &story, TEXT_BUDGET),
        is_cut: attachment::is_needed(notice, &story),
        subject,
        html,
    })
}

/// The richest mail that fits, as it would be sent first.
#[must_use]
pub fn richest(notice: &Notice, now: Timestamp, layout: &Layout) -> Mail {
    let fits = [Form::Full, Form::Compact, Form::Plain].into_iter().find_map(|form| mail(notice, now, form, layout));
    fits.unwrap_or_else(|| Mail { subject: usual_subject(notice), text: String::new(), html: None, is_cut: true })
}

/// The operator's, in one line of a header; else ours.
fn subject(notice: &Notice, story: &Story, layout: &Layout) -> String {
    let own = layout.render(Part::Subject, notice, story).map(|own| text::said(&own, 200));
    own.filter(|own| !own.is_empty()).unwrap_or_else(|| usual_subject(notice))
}

/// What groups the alerts, and the incident: neither changes while the incident lasts.
pub(in crate::notify) fn usual_subject(notice: &Notice) -> String {
    if let NoticeBody::Digest { digest } = &notice.body {
        return format!("[Firstlook] {} {}", notice.lang.pick("每日摘要", "Daily summary"), digest.day);
    }
    if let NoticeBody::Summary { told, collected: true } = &notice.body {
        let count = words::together(notice.lang, told.len(), true);
        let when = times::moment(notice.opened_at, &notice.timezone).unwrap_or_default();
        return format!("[Firstlook] {count} · {when}");
    }
    if let NoticeBody::Summary { told, collected: false } = &notice.body {
        let (count, when) = (told.len(), times::time_of_day(notice.opened_at, &notice.timezone));
        return notice.lang.pick(
            format!("[Firstlook] 告警汇总：{count} 条消息（{when}）"),
            format!("[Firstlook] {count} messages in one ({when})"),
        );
    }
    let labels = &notice.group.group_labels;
    let name = labels.get("alertname");
    let rest = labels.iter().filter(|(key, _)| *key != "alertname").map(|(_, value)| value);
    let about = name.into_iter().chain(rest).take(4).map(|value| text::said(value, 60)).collect::<Vec<_>>().join(" ");
    let receiver = text::said(&notice.group.receiver, 60);
    let about = if about.trim().is_empty() { receiver } else { about };
    let incident = notice.lang.pick("事件", "incident");
    text::said(&format!("[Firstlook] {about} ({incident} {})", notice.short_id()), 200)
}

fn html(story: &Story, subject: &str) -> String {
    let context = context! { story => Serde(story), subject };
    template::render("mail.html.j2", include_str!("mail.html.j2"), context).unwrap_or_else(|error| {
        debug_assert!(false, "the mail template failed: {error}");
        tracing::error!(%error, "the mail template failed");
        let text = plain::text(story, TEXT_BUDGET);
        format!("<!doctype html><pre>{}</pre>", minijinja::HtmlEscape(&text))
    })
}
